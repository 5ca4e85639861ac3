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

#[cfg(all(doctest, feature = "packages"))]
#[doc = include_str!("../docs/packages.md")]
mod packages_guide {}

mod address;
mod agent_access;
mod builder;
#[cfg(test)]
#[allow(dead_code, reason = "the test programs use all of it")]
mod chance;
mod client;
mod environment;
mod error;
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
