//! A blocking client for an [Apache Ray](https://www.ray.io) cluster's dashboard
//! (`http://ray-head:8265`): jobs, live logs, nodes, tasks and Serve applications. No async runtime, no
//! `unsafe`. It is not the `ray://` Ray Client protocol.
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
//! [`RayClient`] has all calls. The [`guide`] explains [logs](guide::logs), [errors](guide::errors), the
//! [cluster](guide::cluster), [Serve](guide::serve), [sending code](guide::packages),
//! [security](guide::security), [testing](guide::testing) and
//! [old and new Rays](guide::compatibility).
//!
//! Features: `tls` (default) for `https://`, `packages` for uploading local code.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

/// Compiles the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

pub mod guide;

mod address;
mod agent_access;
mod builder;
#[cfg(test)]
#[allow(dead_code, reason = "the test programs use all of it")]
mod chance;
mod client;
mod environment;
mod error;
mod fault;
mod gateway;
mod jobs;
mod json;
mod listing;
mod logs;
mod numbers;
#[cfg(feature = "packages")]
mod packages;
mod ray_fault;
mod redact;
mod retry;
mod serve;
mod state;
mod transport;
mod turn;
mod validate;
mod version;
mod wait;
mod wire;

pub use agent_access::AgentAccess;
pub use builder::ClientBuilder;
pub use client::RayClient;
pub use error::{ClientError, StreamLimit, TimeoutKind};
pub use jobs::{
    DriverInfo, Job, JobEnds, JobStatus, JobSubmission, JobType, RuntimeEnv, StopOutcome,
};
pub use listing::Listing;
pub use logs::{
    LineEnding, LogFile, LogFileName, LogLine, LogReader, LogTail, NextLine, Protocol,
    StreamLimits, TailHandle, TailOptions,
};
#[cfg(feature = "packages")]
pub use packages::{Package, PackageUpload};
pub use retry::RetryPolicy;
pub use serve::{
    ServeActor, ServeApplication, ServeApplicationConfig, ServeApplicationStatus, ServeConfig,
    ServeDeployment, ServeDeploymentConfig, ServeDeploymentStatus, ServeDetails, ServeProxy,
    ServeProxyLocation, ServeProxyStatus, ServeReplica, ServeReplicaState, ServeSource,
};
pub use state::{
    Actor, ActorGroup, ActorState, ActorSummary, Bundle, BundleId, ClusterEvent, ClusterStatus,
    DiskUsage, FailedNode, Filter, GpuUsage, ListOptions, Node, NodeState, NodeUsage, Object,
    ObjectGroup, ObjectSummary, PendingNode, PlacementGroup, PlacementGroupDemand,
    PlacementGroupState, PlacementGroupStats, ProfileEvent, ProfilingData, ReferenceType,
    ResourceDemand, ResourceUse, RuntimeEnvState, Summary, Task, TaskEvent, TaskGroup, TaskLogInfo,
    TaskState, TaskSummary, TaskTimeline, TaskType, UnavailableNodeType, Worker, WorkerExitType,
    WorkerType,
};
pub use version::Version;
