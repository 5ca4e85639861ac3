//! References to objects: the model and the calls.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ListOptions, Resource, TaskState, WorkerType};
use crate::numbers;
use crate::string_enum::string_enum;
use crate::{ClientError, Listing, RayClient};

string_enum! {
    /// Why an object is kept.
    ReferenceType {
        /// An actor handle refers to it.
        ActorHandle = "ACTOR_HANDLE",
        /// An unfinished `ray.get` reads it.
        PinnedInMemory = "PINNED_IN_MEMORY",
        /// A program refers to it.
        LocalReference = "LOCAL_REFERENCE",
        /// It is an argument of an unfinished task.
        UsedByPendingTask = "USED_BY_PENDING_TASK",
        /// Another object refers to it.
        CapturedInObject = "CAPTURED_IN_OBJECT",
        /// Ray does not know.
        UnknownStatus = "UNKNOWN_STATUS",
    }
}

/// A reference to an object by one worker process. An object can have several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Object {
    /// The id of the object, 56 hex digits.
    pub object_id: String,
    /// Its size in bytes; `None` if Ray does not know it.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub object_size: Option<u64>,
    /// The state of the task that creates it.
    pub task_status: Option<TaskState>,
    /// The number of runs of that task, including the current one.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub attempt_number: Option<u64>,
    /// Why the object is kept.
    pub reference_type: Option<ReferenceType>,
    /// The line of the program that created it; `disabled` if Ray does not record call sites.
    pub call_site: Option<String>,
    /// The type of the worker process that refers to it.
    #[serde(rename = "type")]
    pub worker_type: Option<WorkerType>,
    /// The process id of that worker.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub pid: Option<u32>,
    /// The IP address of that worker's node.
    pub ip: Option<String>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Objects.
impl RayClient {
    /// Returns up to 10,000 references to objects. Calls `GET /api/v0/objects`.
    /// [`truncated`](Listing::truncated) says whether there are more. Ray queries every alive
    /// node; [`warnings`](Listing::warnings) reports nodes that did not respond.
    /// [`total`](Listing::total) includes references that Ray does not list.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// for object in client.list_objects()? {
    ///     println!("{} {:?} bytes", object.object_id, object.object_size);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_objects(&self) -> Result<Listing<Object>, ClientError> {
        self.list_objects_with(&ListOptions::default())
    }

    /// Returns the references that match `options`. Calls `GET /api/v0/objects`. For one object,
    /// filter by `object_id`.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_objects_with(&self, options: &ListOptions) -> Result<Listing<Object>, ClientError> {
        self.list_state(Resource::Objects, options)
    }
}
