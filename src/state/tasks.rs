//! The tasks of the cluster, by attempt.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ListOptions, Resource};
use crate::numbers::time_from_ms;
use crate::string_enum::string_enum;
use crate::{ClientError, Listing, RayClient};
use crate::{json, numbers};

string_enum! {
    /// The state of a task.
    TaskState {
        /// Ray knows of no event of it.
        Nil = "NIL",
        /// Waits for its arguments to be made.
        PendingArgsAvail = "PENDING_ARGS_AVAIL",
        /// Waits for a node.
        PendingNodeAssignment = "PENDING_NODE_ASSIGNMENT",
        /// Waits for memory of the object store.
        PendingObjStoreMemAvail = "PENDING_OBJ_STORE_MEM_AVAIL",
        /// Waits for its arguments to arrive at the node.
        PendingArgsFetch = "PENDING_ARGS_FETCH",
        /// Handed to a worker.
        SubmittedToWorker = "SUBMITTED_TO_WORKER",
        /// Waits in the actor for its arguments to arrive.
        PendingActorTaskArgsFetch = "PENDING_ACTOR_TASK_ARGS_FETCH",
        /// Waits in the actor for its turn.
        PendingActorTaskOrderingOrConcurrency = "PENDING_ACTOR_TASK_ORDERING_OR_CONCURRENCY",
        /// The worker gets its arguments.
        GettingAndPinningArgs = "GETTING_AND_PINNING_ARGS",
        /// Runs.
        Running = "RUNNING",
        /// Runs, and waits in `ray.get`.
        RunningInRayGet = "RUNNING_IN_RAY_GET",
        /// Runs, and waits in `ray.wait`.
        RunningInRayWait = "RUNNING_IN_RAY_WAIT",
        /// Ended without an error.
        Finished = "FINISHED",
        /// Ended with an error.
        Failed = "FAILED",
    }
}

impl TaskState {
    /// Whether the attempt is over: finished or failed.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Finished | Self::Failed)
    }
}

string_enum! {
    /// What a task is.
    TaskType {
        /// A call of a remote function.
        Normal = "NORMAL_TASK",
        /// The making of an actor.
        ActorCreation = "ACTOR_CREATION_TASK",
        /// A call of an actor's method.
        Actor = "ACTOR_TASK",
        /// A driver, which is listed as a task, too.
        Driver = "DRIVER_TASK",
    }
}

/// A state that a task came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskEvent {
    /// The state.
    pub state: TaskState,
    /// When it came to it, in milliseconds since the epoch.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub created_ms: Option<u64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl TaskEvent {
    /// When the task came to this state.
    pub fn created_at(&self) -> Option<SystemTime> {
        self.created_ms.and_then(time_from_ms)
    }
}

/// A span of time within a task, for example `task:execute`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProfileEvent {
    /// What was done.
    pub event_name: Option<String>,
    /// When it began, in milliseconds since the epoch, with fractions.
    #[serde(default, rename = "start_time", deserialize_with = "numbers::float")]
    pub start_time_ms: Option<f64>,
    /// When it ended, in milliseconds since the epoch, with fractions.
    #[serde(default, rename = "end_time", deserialize_with = "numbers::float")]
    pub end_time_ms: Option<f64>,
    /// What the program noted about it.
    pub extra_data: Option<Value>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What a worker measured of a task. All fields are empty if it has not reported yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProfilingData {
    /// `worker` or `driver`.
    pub component_type: Option<String>,
    /// The id of the worker.
    pub component_id: Option<String>,
    /// The IP address of its node.
    pub node_ip_address: Option<String>,
    /// The spans of time.
    #[serde(default, deserialize_with = "json::or_default")]
    pub events: Vec<ProfileEvent>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Where in its worker's log files the output of a task is. The offsets are in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskLogInfo {
    /// The file of standard output, on the task's node.
    pub stdout_file: Option<String>,
    /// The file of standard error, on the task's node.
    pub stderr_file: Option<String>,
    /// Where its standard output begins.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub stdout_start: Option<u64>,
    /// Where its standard output ends.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub stdout_end: Option<u64>,
    /// Where its standard error begins.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub stderr_start: Option<u64>,
    /// Where its standard error ends.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub stderr_end: Option<u64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One attempt of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Task {
    /// Its id, 48 hex digits. All its attempts have the same.
    pub task_id: String,
    /// Which attempt this is, from 0 on.
    #[serde(default, deserialize_with = "numbers::count")]
    pub attempt_number: u64,
    /// The name it was given, else that of its function or method.
    pub name: Option<String>,
    /// Its state.
    pub state: TaskState,
    /// The job it belongs to.
    pub job_id: Option<String>,
    /// The actor it belongs to.
    pub actor_id: Option<String>,
    /// What it is.
    #[serde(rename = "type")]
    pub task_type: Option<TaskType>,
    /// The function, the method with its class, or for an actor's creation the class.
    pub func_or_class_name: Option<String>,
    /// The task that started it.
    pub parent_task_id: Option<String>,
    /// The node it runs or ran on; `None` until it was placed.
    pub node_id: Option<String>,
    /// The worker it runs or ran in.
    pub worker_id: Option<String>,
    /// The process id of that worker.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub worker_pid: Option<u32>,
    /// The kind of failure, for example `TASK_EXECUTION_EXCEPTION`.
    pub error_type: Option<String>,
    /// `PYTHON`, `JAVA` or `CPP`. With detail.
    pub language: Option<String>,
    /// The resources it asked for, by name. With detail.
    pub required_resources: Option<BTreeMap<String, f64>>,
    /// Its runtime environment, as Ray keeps it. With detail.
    pub runtime_env_info: Option<Map<String, Value>>,
    /// The placement group it was placed in. With detail.
    pub placement_group_id: Option<String>,
    /// The states it came to, in the order of Ray's list of states. With detail.
    pub events: Option<Vec<TaskEvent>>,
    /// What its worker measured. With detail.
    pub profiling_data: Option<ProfilingData>,
    /// When it was made, in milliseconds since the epoch. With detail.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub creation_time_ms: Option<u64>,
    /// When it began to run, in milliseconds since the epoch. With detail.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub start_time_ms: Option<u64>,
    /// When it finished or failed, in milliseconds since the epoch. With detail.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub end_time_ms: Option<u64>,
    /// Where its output is. `None` for a task of an actor that runs several at a time. With detail.
    pub task_log_info: Option<TaskLogInfo>,
    /// The error, with its Python traceback. With detail.
    pub error_message: Option<String>,
    /// Whether Ray's debugger holds it. With detail.
    pub is_debugger_paused: Option<bool>,
    /// The line of the program that called it, if Ray records call sites. With detail.
    pub call_site: Option<String>,
    /// The labels its node must have. With detail.
    pub label_selector: Option<BTreeMap<String, String>>,
    /// What to try if no node has the labels. With detail.
    pub fallback_strategy: Option<Map<String, Value>>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Task {
    /// When it was made. With detail.
    pub fn created_at(&self) -> Option<SystemTime> {
        self.creation_time_ms.and_then(time_from_ms)
    }

    /// When it began to run. With detail.
    pub fn started_at(&self) -> Option<SystemTime> {
        self.start_time_ms.and_then(time_from_ms)
    }

    /// When it finished or failed. With detail.
    pub fn ended_at(&self) -> Option<SystemTime> {
        self.end_time_ms.and_then(time_from_ms)
    }

    /// How long it ran; `None` while it is not over. With detail.
    pub fn duration(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.end_time_ms?.saturating_sub(self.start_time_ms?)))
    }
}

/// Tasks.
impl RayClient {
    /// The tasks of the cluster, one row for each attempt, drivers left out. Calls
    /// `GET /api/v0/tasks`.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_tasks(&self) -> Result<Listing<Task>, ClientError> {
        self.list_tasks_with(&ListOptions::default())
    }

    /// The attempts of tasks that match. Calls `GET /api/v0/tasks`.
    ///
    /// Ray filters by `task_id`, `job_id`, `actor_id`, `name` and `state` where it keeps the tasks,
    /// takes 10,000 of what is left, and filters these by the other columns: if there are more,
    /// the list is [truncated](Listing::truncated) and may even be empty (measured on Ray 2.60.0).
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_tasks_with(&self, options: &ListOptions) -> Result<Listing<Task>, ClientError> {
        self.list_state(Resource::Tasks, options)
    }

    /// The latest attempt of one task, with detail. Calls `GET /api/v0/tasks`.
    ///
    /// # Errors
    /// The same errors as [`list_task_attempts`](Self::list_task_attempts).
    pub fn get_task(&self, id: impl AsRef<str>) -> Result<Task, ClientError> {
        let id = id.as_ref();
        let listing: Listing<Task> = self.find_state(Resource::Tasks, id)?;
        let truncated = listing.truncated;
        let latest = listing.into_iter().max_by_key(|task| task.attempt_number);
        latest.ok_or_else(|| Resource::Tasks.no_such(id, truncated))
    }

    /// All attempts of one task that Ray still knows, the first one first, with detail. Calls
    /// `GET /api/v0/tasks`.
    ///
    /// # Errors
    /// 404 if there is no such task, 400 if the id is not 48 hex digits, otherwise the same errors as
    /// [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_task_attempts(&self, id: impl AsRef<str>) -> Result<Listing<Task>, ClientError> {
        let id = id.as_ref();
        let mut listing: Listing<Task> = self.find_state(Resource::Tasks, id)?;
        if listing.results.is_empty() {
            return Err(Resource::Tasks.no_such(id, listing.truncated));
        }
        listing.results.sort_by_key(|task| task.attempt_number);
        Ok(listing)
    }
}
