//! Summaries of tasks by name, of actors by class and of objects by call site.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ListOptions, Resource, TaskType};
use crate::{ClientError, RayClient, json};

/// A summary, and whether it is complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary<T> {
    /// The summary.
    pub summary: T,
    /// How many rows Ray knows of, as in [`Listing::total`](crate::Listing::total).
    pub total: usize,
    /// Whether rows were not counted. Ray counts at most 10,000.
    pub truncated: bool,
    /// Ray's warnings, for example about nodes that did not respond.
    pub warnings: Vec<String>,
}

/// The number of task attempts by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskSummary {
    /// The counts by name of the task, by default the name of its function or method.
    #[serde(rename = "summary")]
    pub groups: BTreeMap<String, TaskGroup>,
    /// The number of calls of remote functions.
    pub total_tasks: u64,
    /// The number of calls of actor methods.
    pub total_actor_tasks: u64,
    /// The number of created actors.
    pub total_actor_scheduled: u64,
    /// What the summary is grouped by: `func_name`.
    pub summary_by: Option<String>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The tasks with one name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskGroup {
    /// The name.
    pub func_or_class_name: Option<String>,
    /// The type of the first of these tasks.
    #[serde(rename = "type")]
    pub task_type: Option<TaskType>,
    /// The number of tasks in each state, for example `FINISHED`.
    #[serde(default, deserialize_with = "json::or_default")]
    pub state_counts: BTreeMap<String, u64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The number of actors by class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActorSummary {
    /// The counts by class.
    #[serde(rename = "summary")]
    pub groups: BTreeMap<String, ActorGroup>,
    /// The number of actors.
    pub total_actors: u64,
    /// What the summary is grouped by: `class`.
    pub summary_by: Option<String>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The actors of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActorGroup {
    /// The class.
    pub class_name: Option<String>,
    /// The number of actors in each state, for example `ALIVE`.
    #[serde(default, deserialize_with = "json::or_default")]
    pub state_counts: BTreeMap<String, u64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The number of references to objects, by the call sites that created the objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ObjectSummary {
    /// The counts by call site; all under `disabled` if Ray does not record call sites.
    #[serde(rename = "summary")]
    pub groups: BTreeMap<String, ObjectGroup>,
    /// The number of references.
    pub total_objects: u64,
    /// The size of the objects, in units of 1024 × 1024 bytes.
    pub total_size_mb: f64,
    /// Whether Ray records call sites.
    pub callsite_enabled: Option<bool>,
    /// What the summary is grouped by: `callsite`.
    pub summary_by: Option<String>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The references to objects that one call site created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ObjectGroup {
    /// The number of references.
    pub total_objects: u64,
    /// The size of the objects, in units of 1024 × 1024 bytes.
    pub total_size_mb: f64,
    /// The number of processes that refer to the objects.
    pub total_num_workers: u64,
    /// The number of nodes of these processes.
    pub total_num_nodes: u64,
    /// The number of references by the state of the creating task.
    #[serde(default, deserialize_with = "json::or_default")]
    pub task_state_counts: BTreeMap<String, u64>,
    /// The number of references by the attempt number of the creating task.
    #[serde(default, deserialize_with = "json::or_default")]
    pub task_attempt_number_counts: BTreeMap<String, u64>,
    /// The number of references by type, for example `LOCAL_REFERENCE`.
    #[serde(default, deserialize_with = "json::or_default")]
    pub ref_type_counts: BTreeMap<String, u64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Ray sends a single summary, for the whole cluster.
#[derive(Deserialize)]
struct ByNode<T> {
    node_id_to_summary: Cluster<T>,
}

#[derive(Deserialize)]
struct Cluster<T> {
    cluster: T,
}

/// Summaries of tasks, actors and objects.
impl RayClient {
    /// Returns the number of task attempts by name and state. Calls `GET /api/v0/tasks/summarize`.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let summary = client.summarize_tasks()?.summary;
    /// for (name, group) in &summary.groups {
    ///     println!("{name}: {:?}", group.state_counts);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same errors as [`summarize_tasks_with`](Self::summarize_tasks_with).
    pub fn summarize_tasks(&self) -> Result<Summary<TaskSummary>, ClientError> {
        self.summarize_tasks_with(&ListOptions::default())
    }

    /// Returns the number of task attempts that match `options`. Calls `GET
    /// /api/v0/tasks/summarize`, which accepts only filters and a timeout.
    ///
    /// # Errors
    /// 400 if the options set a limit, detail or drivers; otherwise the same errors as
    /// [`list_nodes_with`](Self::list_nodes_with).
    pub fn summarize_tasks_with(
        &self,
        options: &ListOptions,
    ) -> Result<Summary<TaskSummary>, ClientError> {
        self.summarize_state(Resource::Tasks, options)
    }

    /// Returns the number of actors by class and state. Calls `GET /api/v0/actors/summarize`.
    ///
    /// # Errors
    /// The same errors as [`summarize_tasks_with`](Self::summarize_tasks_with).
    pub fn summarize_actors(&self) -> Result<Summary<ActorSummary>, ClientError> {
        self.summarize_actors_with(&ListOptions::default())
    }

    /// Returns the number of actors that match `options`. Calls `GET /api/v0/actors/summarize`.
    ///
    /// # Errors
    /// The same errors as [`summarize_tasks_with`](Self::summarize_tasks_with).
    pub fn summarize_actors_with(
        &self,
        options: &ListOptions,
    ) -> Result<Summary<ActorSummary>, ClientError> {
        self.summarize_state(Resource::Actors, options)
    }

    /// Returns the number of references to objects by call site. Calls `GET
    /// /api/v0/objects/summarize`.
    ///
    /// # Errors
    /// The same errors as [`summarize_tasks_with`](Self::summarize_tasks_with).
    pub fn summarize_objects(&self) -> Result<Summary<ObjectSummary>, ClientError> {
        self.summarize_objects_with(&ListOptions::default())
    }

    /// Returns the number of references that match `options`. Calls `GET
    /// /api/v0/objects/summarize`.
    ///
    /// # Errors
    /// The same errors as [`summarize_tasks_with`](Self::summarize_tasks_with).
    pub fn summarize_objects_with(
        &self,
        options: &ListOptions,
    ) -> Result<Summary<ObjectSummary>, ClientError> {
        self.summarize_state(Resource::Objects, options)
    }

    fn summarize_state<T: DeserializeOwned>(
        &self,
        resource: Resource,
        options: &ListOptions,
    ) -> Result<Summary<T>, ClientError> {
        options.check_for_summary()?;
        let operation = format!("summarize {}", resource.plural());
        let route = ["api", "v0", resource.route(), "summarize"];
        let mut envelope = self
            .query_state::<ByNode<T>>(&operation, &route, options)
            .map_err(|error| self.blame_filters(error, &operation, resource, options))?;
        let truncated = envelope.is_truncated_at_data_source(resource, options);
        let warnings = envelope.take_warnings();
        let summary = envelope.result.node_id_to_summary.cluster;
        Ok(Summary { summary, total: envelope.total, truncated, warnings })
    }

    /// Ray rejects a summary with an unusable filter with 500 and no reason. The list of the same
    /// resource returns the reason.
    fn blame_filters(
        &self,
        error: ClientError,
        operation: &str,
        resource: Resource,
        options: &ListOptions,
    ) -> ClientError {
        if error.status() != 500 || !options.has_filters() {
            return error;
        }
        let one = options.clone().limit(1);
        match self.list_state_as::<IgnoredAny>(operation, resource, &one) {
            Err(refused) if refused.status() == 400 => refused,
            _ => error,
        }
    }
}
