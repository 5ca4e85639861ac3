#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod client;
mod config;
mod error;
mod jobs;
mod listing;
mod logs;
mod message;
mod serve;
mod transport;
mod validate;
mod version;
mod wait;
mod wire;

pub use client::RayClient;
pub use config::{ClientBuilder, RetryPolicy};
pub use error::ClientError;
pub use jobs::{DriverInfo, Job, JobStatus, JobSubmission, JobType, StopOutcome};
pub use listing::Listing;
pub use logs::{LogLine, LogReader, LogTail, Protocol, StreamLimits, TailOptions};
pub use serve::{
    ServeActor, ServeApplication, ServeApplicationConfig, ServeApplicationStatus, ServeConfig,
    ServeDeployment, ServeDeploymentConfig, ServeDeploymentStatus, ServeDetails, ServeProxy,
    ServeProxyLocation, ServeProxyStatus, ServeReplica, ServeReplicaState, ServeSource,
};
pub use version::Version;
