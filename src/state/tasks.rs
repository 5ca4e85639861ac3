//! Tasks and their attempts: the models and the calls.

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
        /// Ray has recorded no event for it.
        Nil = "NIL",
        /// Waits until its arguments are created.
        PendingArgsAvail = "PENDING_ARGS_AVAIL",
        /// Waits for a node.
        PendingNodeAssignment = "PENDING_NODE_ASSIGNMENT",
        /// Waits for memory in the object store.
        PendingObjStoreMemAvail = "PENDING_OBJ_STORE_MEM_AVAIL",
        /// Waits until its arguments arrive on the node.
        PendingArgsFetch = "PENDING_ARGS_FETCH",
        /// Assigned to a worker.
        SubmittedToWorker = "SUBMITTED_TO_WORKER",
        /// Waits in the actor until its arguments arrive.
        PendingActorTaskArgsFetch = "PENDING_ACTOR_TASK_ARGS_FETCH",
        /// Waits in the actor for its turn.
        PendingActorTaskOrderingOrConcurrency = "PENDING_ACTOR_TASK_ORDERING_OR_CONCURRENCY",
        /// Its worker reads its arguments.
        GettingAndPinningArgs = "GETTING_AND_PINNING_ARGS",
        /// Is running.
        Running = "RUNNING",
        /// Is running and waits in `ray.get`.
        RunningInRayGet = "RUNNING_IN_RAY_GET",
        /// Is running and waits in `ray.wait`.
        RunningInRayWait = "RUNNING_IN_RAY_WAIT",
        /// Succeeded.
        Finished = "FINISHED",
        /// Failed.
        Failed = "FAILED",
    }
}

impl TaskState {
    /// Returns `true` if the attempt finished or failed.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Finished | Self::Failed)
    }
}

string_enum! {
    /// The type of a task.
    TaskType {
        /// A call of a remote function.
        Normal = "NORMAL_TASK",
        /// The creation of an actor.
        ActorCreation = "ACTOR_CREATION_TASK",
        /// A call of an actor method.
        Actor = "ACTOR_TASK",
        /// A driver. Ray lists drivers as tasks.
        Driver = "DRIVER_TASK",
    }
}

/// A change of the state of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskEvent {
    /// The new state.
    pub state: TaskState,
    /// When the task entered the state, in milliseconds since the epoch.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub created_ms: Option<u64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl TaskEvent {
    /// Returns when the task entered the state.
    pub fn created_at(&self) -> Option<SystemTime> {
        self.created_ms.and_then(time_from_ms)
    }
}

/// A time span within a task, for example `task:execute`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProfileEvent {
    /// The name of the span.
    pub event_name: Option<String>,
    /// When it started, in milliseconds since the epoch, with fractions.
    #[serde(default, rename = "start_time", deserialize_with = "numbers::float")]
    pub start_time_ms: Option<f64>,
    /// When it ended, in milliseconds since the epoch, with fractions.
    #[serde(default, rename = "end_time", deserialize_with = "numbers::float")]
    pub end_time_ms: Option<f64>,
    /// The data that the program attached.
    pub extra_data: Option<Value>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The time spans that a worker measured for a task. All fields are empty until the worker reports
/// them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProfilingData {
    /// `worker` or `driver`.
    pub component_type: Option<String>,
    /// The id of the worker.
    pub component_id: Option<String>,
    /// The IP address of its node.
    pub node_ip_address: Option<String>,
    /// The time spans.
    #[serde(default, deserialize_with = "json::or_default")]
    pub events: Vec<ProfileEvent>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The position of a task's output in the log files of its worker. The offsets are in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskLogInfo {
    /// The standard output file on the task's node.
    pub stdout_file: Option<String>,
    /// The standard error file on the task's node.
    pub stderr_file: Option<String>,
    /// The start of its standard output.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub stdout_start: Option<u64>,
    /// The end of its standard output.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub stdout_end: Option<u64>,
    /// The start of its standard error.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub stderr_start: Option<u64>,
    /// The end of its standard error.
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
    /// Its id, 48 hex digits. All attempts have the same id.
    pub task_id: String,
    /// The number of the attempt, from 0.
    #[serde(default, deserialize_with = "numbers::count")]
    pub attempt_number: u64,
    /// Its name, by default that of its function or method.
    pub name: Option<String>,
    /// Its state.
    pub state: TaskState,
    /// The job it belongs to.
    pub job_id: Option<String>,
    /// The actor it belongs to.
    pub actor_id: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub task_type: Option<TaskType>,
    /// The function, the class and method, or the class of a created actor.
    pub func_or_class_name: Option<String>,
    /// The task that started it.
    pub parent_task_id: Option<String>,
    /// Its node; `None` until it is placed.
    pub node_id: Option<String>,
    /// Its worker.
    pub worker_id: Option<String>,
    /// The process id of that worker.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub worker_pid: Option<u32>,
    /// The kind of failure, for example `TASK_EXECUTION_EXCEPTION`.
    pub error_type: Option<String>,
    /// `PYTHON`, `JAVA` or `CPP`. With detail.
    pub language: Option<String>,
    /// The resources that it requires, by name. With detail.
    pub required_resources: Option<BTreeMap<String, f64>>,
    /// Its runtime environment, in an internal format of Ray. With detail.
    pub runtime_env_info: Option<Map<String, Value>>,
    /// Its placement group. With detail.
    pub placement_group_id: Option<String>,
    /// The changes of its state, in the order of Ray's list of states. With detail.
    pub events: Option<Vec<TaskEvent>>,
    /// The time spans that its worker measured. With detail.
    pub profiling_data: Option<ProfilingData>,
    /// When it was created, in milliseconds since the epoch. With detail.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub creation_time_ms: Option<u64>,
    /// When it started running, in milliseconds since the epoch. With detail.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub start_time_ms: Option<u64>,
    /// When it finished or failed, in milliseconds since the epoch. With detail.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub end_time_ms: Option<u64>,
    /// The position of its output. `None` for a task of an actor that runs several at a time. With
    /// detail.
    pub task_log_info: Option<TaskLogInfo>,
    /// The error, with its Python traceback. With detail.
    pub error_message: Option<String>,
    /// Whether it is paused in Ray's debugger. With detail.
    pub is_debugger_paused: Option<bool>,
    /// The line of the program that called it, if Ray records call sites. With detail.
    pub call_site: Option<String>,
    /// The labels that its node must have. With detail.
    pub label_selector: Option<BTreeMap<String, String>>,
    /// The alternatives if no node has the labels. With detail.
    pub fallback_strategy: Option<Map<String, Value>>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Task {
    /// Returns when the task was created. With detail.
    pub fn created_at(&self) -> Option<SystemTime> {
        self.creation_time_ms.and_then(time_from_ms)
    }

    /// Returns when the task started running. With detail.
    pub fn started_at(&self) -> Option<SystemTime> {
        self.start_time_ms.and_then(time_from_ms)
    }

    /// Returns when the task finished or failed. With detail.
    pub fn ended_at(&self) -> Option<SystemTime> {
        self.end_time_ms.and_then(time_from_ms)
    }

    /// Returns how long the task ran; `None` until it ends. With detail.
    pub fn duration(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.end_time_ms?.saturating_sub(self.start_time_ms?)))
    }
}

/// Tasks.
impl RayClient {
    /// Returns up to 10,000 tasks, one row per attempt, without drivers. Calls `GET /api/v0/tasks`.
    /// [`truncated`](Listing::truncated) says whether there are more.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// for task in client.list_tasks()? {
    ///     println!("{} attempt {}: {}", task.task_id, task.attempt_number, task.state);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_tasks(&self) -> Result<Listing<Task>, ClientError> {
        self.list_tasks_with(&ListOptions::default())
    }

    /// Returns the task attempts that match `options`. Calls `GET /api/v0/tasks`.
    ///
    /// Ray first filters by `task_id`, `job_id`, `actor_id`, `name` and `state`, and applies other
    /// filters to only 10,000 of the remaining rows. If there are more, the list is
    /// [truncated](Listing::truncated) and may even be empty (measured on Ray 2.60.0).
    ///
    /// ```no_run
    /// use ray_client::{Filter, ListOptions};
    ///
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let failed = ListOptions::default().filter("state", Filter::Eq, "FAILED");
    /// for task in client.list_tasks_with(&failed)? {
    ///     println!("{} {:?}", task.task_id, task.error_type);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_tasks_with(&self, options: &ListOptions) -> Result<Listing<Task>, ClientError> {
        self.list_state(Resource::Tasks, options)
    }

    /// Returns the latest attempt of one task, with detail. Calls `GET /api/v0/tasks`.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let task = client.get_task("c8ef45ccd0112571ffffffffffffffffffffffff01000000")?;
    /// println!("{} after {:?}", task.state, task.duration());
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
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

    /// Returns all attempts of one task that Ray still knows, the first attempt first, with detail.
    /// Calls `GET /api/v0/tasks`.
    ///
    /// # Errors
    /// 404 if the task does not exist; 400 if the id is not 48 hex digits; otherwise the same
    /// errors as [`list_nodes_with`](Self::list_nodes_with).
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
