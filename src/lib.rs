#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

#[cfg(doctest)]
#[doc = include_str!("../docs/tailing.md")]
mod tailing_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/testing.md")]
mod testing_guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/errors.md")]
mod errors_guide {}

#[cfg(test)]
#[allow(dead_code, reason = "the test programs use all of it")]
mod chance;
mod client;
mod config;
mod error;
mod gateway;
mod jobs;
mod json;
mod listing;
mod logs;
mod numbers;
mod ray_fault;
mod redact;
mod serve;
mod state;
mod transport;
mod turn;
mod validate;
mod version;
mod wait;
mod wire;

pub use client::RayClient;
pub use config::{ClientBuilder, RetryPolicy};
pub use error::{ClientError, StreamLimit, TimeoutKind};
pub use jobs::{DriverInfo, Job, JobEnds, JobStatus, JobSubmission, JobType, StopOutcome};
pub use listing::Listing;
pub use logs::{
    LogFile, LogFileName, LogLine, LogReader, LogTail, Protocol, StreamLimits, TailOptions,
};
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
    ResourceDemand, ResourceUse, RuntimeEnv, Summary, Task, TaskEvent, TaskGroup, TaskLogInfo,
    TaskState, TaskSummary, TaskTimeline, TaskType, UnavailableNodeType, Worker, WorkerExitType,
    WorkerType,
};
pub use version::Version;
