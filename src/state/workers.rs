//! The worker processes of the cluster.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ListOptions, Resource};
use crate::numbers;
use crate::numbers::time_from_ms;
use crate::string_enum::string_enum;
use crate::{ClientError, Listing, RayClient};

string_enum! {
    /// What a worker process is for.
    WorkerType {
        /// Runs tasks or an actor.
        Worker = "WORKER",
        /// A program that called `ray.init`.
        Driver = "DRIVER",
        /// Moves objects from memory to disk.
        SpillWorker = "SPILL_WORKER",
        /// Moves objects from disk to memory.
        RestoreWorker = "RESTORE_WORKER",
    }
}

string_enum! {
    /// How a worker process ended.
    WorkerExitType {
        /// It crashed, or its node did.
        SystemError = "SYSTEM_ERROR",
        /// Ray ended it, for example because it was idle for long.
        IntendedSystemExit = "INTENDED_SYSTEM_EXIT",
        /// An error of the program, for example in an actor's `__init__`.
        UserError = "USER_ERROR",
        /// The program ended it, for example by `ray.kill` or with exit code 0.
        IntendedUserExit = "INTENDED_USER_EXIT",
        /// Ended because its node had no memory left.
        NodeOutOfMemory = "NODE_OUT_OF_MEMORY",
    }
}

/// A worker process, also one that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Worker {
    /// Its id, 56 hex digits.
    pub worker_id: String,
    /// Whether it runs.
    pub is_alive: Option<bool>,
    /// What it is for.
    pub worker_type: Option<WorkerType>,
    /// How it ended; `None` while it runs.
    pub exit_type: Option<WorkerExitType>,
    /// Its node.
    pub node_id: Option<String>,
    /// The IP address of its node.
    pub ip: Option<String>,
    /// Its process id.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub pid: Option<u32>,
    /// Ray's explanation of how it ended. With detail.
    pub exit_detail: Option<String>,
    /// When its start was asked for, in milliseconds since the epoch. With detail.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub worker_launch_time_ms: Option<u64>,
    /// When its process was started, in milliseconds since the epoch. With detail.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub worker_launched_time_ms: Option<u64>,
    /// When it was ready to work, in milliseconds since the epoch. With detail.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub start_time_ms: Option<u64>,
    /// When it ended, in milliseconds since the epoch; `None` while it runs. With detail.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub end_time_ms: Option<u64>,
    /// The port of its debugger. With detail.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub debugger_port: Option<u16>,
    /// How many of its threads the debugger holds. With detail.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub num_paused_threads: Option<u64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Worker {
    /// When it was ready to work. With detail.
    pub fn started_at(&self) -> Option<SystemTime> {
        self.start_time_ms.and_then(time_from_ms)
    }

    /// When it ended. With detail.
    pub fn ended_at(&self) -> Option<SystemTime> {
        self.end_time_ms.and_then(time_from_ms)
    }
}

/// Workers.
impl RayClient {
    /// The worker processes of the cluster, drivers and ended ones among them. Calls
    /// `GET /api/v0/workers`.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_workers(&self) -> Result<Listing<Worker>, ClientError> {
        self.list_workers_with(&ListOptions::default())
    }

    /// The worker processes that match. Calls `GET /api/v0/workers`.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_workers_with(&self, options: &ListOptions) -> Result<Listing<Worker>, ClientError> {
        self.list_state(Resource::Workers, options)
    }

    /// One worker process, with detail. Calls `GET /api/v0/workers`. Ray looks for it among the
    /// 10,000 workers that its list has at most.
    ///
    /// # Errors
    /// 404 if there is no such worker, also for an id that is not 56 hex digits; otherwise the same errors
    /// as [`list_nodes_with`](Self::list_nodes_with).
    pub fn get_worker(&self, id: impl AsRef<str>) -> Result<Worker, ClientError> {
        self.get_state(Resource::Workers, id.as_ref())
    }
}
