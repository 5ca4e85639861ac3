//! Worker processes: the model and the calls.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ListOptions, Resource};
use crate::numbers;
use crate::numbers::time_from_ms;
use crate::string_enum::string_enum;
use crate::{ClientError, Listing, RayClient};

string_enum! {
    /// The type of a worker process.
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
        /// Ray ended it, for example because it was idle for a long time.
        IntendedSystemExit = "INTENDED_SYSTEM_EXIT",
        /// An error in the program ended it, for example in an actor's `__init__`.
        UserError = "USER_ERROR",
        /// The program ended it, for example by `ray.kill` or with exit code 0.
        IntendedUserExit = "INTENDED_USER_EXIT",
        /// Ray ended it because its node was out of memory.
        NodeOutOfMemory = "NODE_OUT_OF_MEMORY",
    }
}

/// A worker process, running or ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Worker {
    /// Its id, 56 hex digits.
    pub worker_id: String,
    /// Whether it runs.
    pub is_alive: Option<bool>,
    /// Its type.
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
    /// Ray's explanation of its end. With detail.
    pub exit_detail: Option<String>,
    /// When Ray requested its start, in milliseconds since the epoch. With detail.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub worker_launch_time_ms: Option<u64>,
    /// When its process started, in milliseconds since the epoch. With detail.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub worker_launched_time_ms: Option<u64>,
    /// When it was ready for work, in milliseconds since the epoch. With detail.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub start_time_ms: Option<u64>,
    /// When it ended, in milliseconds since the epoch; `None` while it runs. With detail.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub end_time_ms: Option<u64>,
    /// The port of its debugger. With detail.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub debugger_port: Option<u16>,
    /// The number of its threads that are paused in the debugger. With detail.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub num_paused_threads: Option<u64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Worker {
    /// Returns when the worker was ready for work. With detail.
    pub fn started_at(&self) -> Option<SystemTime> {
        self.start_time_ms.and_then(time_from_ms)
    }

    /// Returns when the worker ended. With detail.
    pub fn ended_at(&self) -> Option<SystemTime> {
        self.end_time_ms.and_then(time_from_ms)
    }
}

/// Workers.
impl RayClient {
    /// Returns up to 10,000 worker processes, including drivers and ended ones. Calls
    /// `GET /api/v0/workers`. [`truncated`](Listing::truncated) says whether there are more.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// for worker in client.list_workers()? {
    ///     println!("{} {:?} {:?}", worker.worker_id, worker.is_alive, worker.exit_type);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_workers(&self) -> Result<Listing<Worker>, ClientError> {
        self.list_workers_with(&ListOptions::default())
    }

    /// Returns the worker processes that match `options`. Calls `GET /api/v0/workers`.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_workers_with(&self, options: &ListOptions) -> Result<Listing<Worker>, ClientError> {
        self.list_state(Resource::Workers, options)
    }

    /// Returns one worker process, with detail. Calls `GET /api/v0/workers`. Ray searches at most
    /// 10,000 workers.
    ///
    /// # Errors
    /// 404 if the worker does not exist or the id is not 56 hex digits; otherwise the same errors
    /// as [`list_nodes_with`](Self::list_nodes_with).
    pub fn get_worker(&self, id: impl AsRef<str>) -> Result<Worker, ClientError> {
        self.get_state(Resource::Workers, id.as_ref())
    }
}
