//! Verifies what the feature `log` records, and that no record shows a secret.

#[path = "../faults/cluster.rs"]
#[allow(dead_code, reason = "each user takes what it needs")]
mod cluster;
mod records;
#[path = "../support/server.rs"]
mod server;

mod recording;
mod secrets;

use cluster::{client, options};
