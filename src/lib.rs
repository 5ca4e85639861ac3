#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

#[cfg(test)]
#[allow(dead_code, reason = "the test programs use all of it")]
mod chance;
mod client;
mod config;
mod error;
mod jobs;
mod listing;
mod logs;
mod message;
mod transport;
mod validate;
mod version;
mod wire;

pub use client::RayClient;
pub use config::{ClientBuilder, RetryPolicy};
pub use error::ClientError;
pub use jobs::{DriverInfo, Job, JobStatus, JobSubmission, JobType, StopOutcome};
pub use listing::Listing;
pub use logs::{LogLine, LogReader, LogTail, Protocol, StreamLimits, TailOptions};
pub use version::Version;
