//! Verifies what the feature `log` records, and that no record shows a secret.

#[path = "../faults/cluster.rs"]
#[allow(dead_code, reason = "each user takes what it needs")]
mod cluster;
mod records;
#[path = "../support/server.rs"]
mod server;

mod recording;
mod secrets;

use std::time::Duration;

use ray_client::{Protocol, RayClient, RetryPolicy, StreamLimits, TailOptions};

/// A client that does not try again.
fn client(address: &str) -> RayClient {
    RayClient::builder(address).retry(RetryPolicy::none()).build().unwrap()
}

fn options(protocol: Protocol) -> TailOptions {
    TailOptions::default()
        .protocol(protocol)
        .limits(StreamLimits::unlimited())
        .stream_timeout(Duration::from_secs(60))
}
