//! References to objects, by the processes that hold them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ListOptions, Resource, TaskState, WorkerType};
use crate::numbers;
use crate::string_enum::string_enum;
use crate::{ClientError, Listing, RayClient};

string_enum! {
    /// What keeps an object.
    ReferenceType {
        /// A handle of an actor.
        ActorHandle = "ACTOR_HANDLE",
        /// An unfinished `ray.get`.
        PinnedInMemory = "PINNED_IN_MEMORY",
        /// A reference in a program.
        LocalReference = "LOCAL_REFERENCE",
        /// A task that is not over has it as an argument.
        UsedByPendingTask = "USED_BY_PENDING_TASK",
        /// Another object holds a reference to it.
        CapturedInObject = "CAPTURED_IN_OBJECT",
        /// Ray cannot tell.
        UnknownStatus = "UNKNOWN_STATUS",
    }
}

/// A reference to an object by one worker process. An object that several refer to has several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Object {
    /// The id of the object, 56 hex digits.
    pub object_id: String,
    /// Its size in bytes; `None` if Ray does not know it.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub object_size: Option<u64>,
    /// The state of the task that makes it.
    pub task_status: Option<TaskState>,
    /// How often that task ran, this time included.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub attempt_number: Option<u64>,
    /// What keeps it.
    pub reference_type: Option<ReferenceType>,
    /// The line of the program that made it; `disabled` if Ray does not record call sites.
    pub call_site: Option<String>,
    /// What the process is for that refers to it.
    #[serde(rename = "type")]
    pub worker_type: Option<WorkerType>,
    /// The process id of that process.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub pid: Option<u32>,
    /// The IP address of its node.
    pub ip: Option<String>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Objects.
impl RayClient {
    /// The references to objects of the cluster. Calls `GET /api/v0/objects`, for which Ray asks
    /// every node that is alive; those that did not answer are in the warnings. The total counts
    /// references that Ray does not list, too.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_objects(&self) -> Result<Listing<Object>, ClientError> {
        self.list_objects_with(&ListOptions::default())
    }

    /// The references that match. Calls `GET /api/v0/objects`. There is no call for one object,
    /// since it may have several: filter by `object_id`.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_objects_with(&self, options: &ListOptions) -> Result<Listing<Object>, ClientError> {
        self.list_state(Resource::Objects, options)
    }
}
