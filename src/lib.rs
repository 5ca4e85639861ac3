//! A blocking client for the dashboard of an [Apache Ray](https://www.ray.io) cluster
//! (`http://ray-head:8265`): submit jobs, follow their logs live, inspect nodes and tasks, and deploy
//! Serve applications. No async runtime and no `unsafe`.
//!
//! The client does not speak the `ray://` Ray Client protocol.
//!
//! ```no_run
//! use ray_client::{JobSubmission, RayClient};
//!
//! fn main() -> Result<(), ray_client::ClientError> {
//!     let client = RayClient::new("http://127.0.0.1:8265")?;
//!     let id = client.submit_job(&JobSubmission::new("python -c 'print(1)'"))?;
//!     for line in client.follow_job_logs(&id)? {
//!         println!("{}", line?);
//!     }
//!     println!("{}", client.get_job(&id)?.status);
//!     Ok(())
//! }
//! ```
//!
//! All calls are methods of [`RayClient`]. This page lists the types that most programs need. The modules
//! contain the other parameters and results:
//!
//! | Module | Purpose | Chapter |
//! |---|---|---|
//! | [`jobs`] | submit, wait for, stop and delete jobs | [sending code](guide::packages) |
//! | [`logs`] | follow and read the logs of jobs, nodes, actors and tasks | [logs](guide::logs) |
//! | [`state`] | inspect nodes, tasks, actors, objects, resources and usage | [cluster](guide::cluster) |
//! | [`serve`] | deploy, change and delete Serve applications | [Serve](guide::serve) |
#![cfg_attr(
    feature = "packages",
    doc = "| [`packages`] | upload local code (feature `packages`) | [sending code](guide::packages) |"
)]
//!
//! The [`guide`] also has chapters about [errors](guide::errors), [security](guide::security),
//! [testing](guide::testing) and [compatibility](guide::compatibility) with Ray 2.9 to 2.60.
//!
//! Features: `tls` (default) for `https://`, `packages` for uploading local code, `log` for
//! [log records](guide::logs#logging) of requests, retries and reconnects.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

/// Compiles the README's examples.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

pub mod guide;
pub mod jobs;
pub mod logs;
#[cfg(feature = "packages")]
pub mod packages;
pub mod serve;
pub mod state;

mod address;
mod agent_access;
mod builder;
mod client;
mod deadline_lock;
mod environment;
mod error;
mod gateway;
mod json;
mod listing;
mod lock;
mod logging;
mod numbers;
mod ray_error;
mod redact;
mod rejection_kind;
mod retry;
#[cfg(test)]
#[allow(dead_code, reason = "the test programs use all of it")]
#[path = "../tests/support/rng.rs"]
mod rng;
mod string_enum;
mod transport;
mod validate;
mod version;
mod wait;

pub use agent_access::AgentAccess;
pub use builder::ClientBuilder;
pub use client::RayClient;
pub use error::{ClientError, StreamLimit, TimeoutKind};
#[doc(inline)]
pub use jobs::{Job, JobStatus, JobSubmission, RuntimeEnv, StopOutcome};
pub use listing::Listing;
#[doc(inline)]
pub use logs::{LogLine, LogTail, NextLine, Protocol, StreamLimits, TailHandle, TailOptions};
#[cfg(feature = "packages")]
#[doc(inline)]
pub use packages::{Package, PackageUpload};
pub use retry::RetryPolicy;
#[doc(inline)]
pub use serve::{ServeApplication, ServeApplicationConfig, ServeApplicationStatus, ServeConfig};
#[doc(inline)]
pub use state::{ClusterStatus, Filter, ListOptions, Node, NodeUsage, RuntimeEnvState, Task};
pub use version::Version;
