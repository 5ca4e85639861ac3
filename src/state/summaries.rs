//! Counts of tasks, actors and objects by name, class and call site.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ListOptions, Resource, TaskType};
use crate::{ClientError, RayClient, json};

/// A summary, and what it leaves out. Never cut in silence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary<T> {
    /// The summary.
    pub summary: T,
    /// How many rows there are on the cluster, as in [`Listing::total`](crate::Listing::total).
    pub total: usize,
    /// Whether there are rows that were not counted: Ray counts 10,000 at most.
    pub truncated: bool,
    /// Ray's own warnings about this summary.
    pub warnings: Vec<String>,
}

/// How many attempts of tasks there are, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskSummary {
    /// The counts by name of the task, which is that of its function or method if it was given no
    /// other.
    #[serde(rename = "summary")]
    pub groups: BTreeMap<String, TaskGroup>,
    /// Calls of remote functions.
    pub total_tasks: u64,
    /// Calls of actors' methods.
    pub total_actor_tasks: u64,
    /// Actors that were made.
    pub total_actor_scheduled: u64,
    /// What it is grouped by: `func_name`.
    pub summary_by: Option<String>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Tasks of one name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskGroup {
    /// The name.
    pub func_or_class_name: Option<String>,
    /// What the first of them is.
    #[serde(rename = "type")]
    pub task_type: Option<TaskType>,
    /// How many are in each state, for example `FINISHED`.
    #[serde(default, deserialize_with = "json::or_default")]
    pub state_counts: BTreeMap<String, u64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How many actors there are, by class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActorSummary {
    /// The counts by class.
    #[serde(rename = "summary")]
    pub groups: BTreeMap<String, ActorGroup>,
    /// All of them.
    pub total_actors: u64,
    /// What it is grouped by: `class`.
    pub summary_by: Option<String>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Actors of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActorGroup {
    /// The class.
    pub class_name: Option<String>,
    /// How many are in each state, for example `ALIVE`.
    #[serde(default, deserialize_with = "json::or_default")]
    pub state_counts: BTreeMap<String, u64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How many references to objects there are, by where the objects were made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ObjectSummary {
    /// The counts by call site; all under `disabled` if Ray does not record call sites.
    #[serde(rename = "summary")]
    pub groups: BTreeMap<String, ObjectGroup>,
    /// All references.
    pub total_objects: u64,
    /// The size of the objects, in units of 1024 × 1024 bytes.
    pub total_size_mb: f64,
    /// Whether Ray records call sites.
    pub callsite_enabled: Option<bool>,
    /// What it is grouped by: `callsite`.
    pub summary_by: Option<String>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// References to objects that were made at one place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ObjectGroup {
    /// All of them.
    pub total_objects: u64,
    /// The size of the objects, in units of 1024 × 1024 bytes.
    pub total_size_mb: f64,
    /// How many processes refer to them.
    pub total_num_workers: u64,
    /// How many nodes these processes are on.
    pub total_num_nodes: u64,
    /// How many are made by a task in each state.
    #[serde(default, deserialize_with = "json::or_default")]
    pub task_state_counts: BTreeMap<String, u64>,
    /// How many are made by which attempt of a task.
    #[serde(default, deserialize_with = "json::or_default")]
    pub task_attempt_number_counts: BTreeMap<String, u64>,
    /// How many are kept by what, for example `LOCAL_REFERENCE`.
    #[serde(default, deserialize_with = "json::or_default")]
    pub ref_type_counts: BTreeMap<String, u64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Ray sends one summary, of the whole cluster.
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
    /// The number of tasks by name and state. Calls `GET /api/v0/tasks/summarize`.
    ///
    /// # Errors
    /// The same errors as [`summarize_tasks_with`](Self::summarize_tasks_with).
    pub fn summarize_tasks(&self) -> Result<Summary<TaskSummary>, ClientError> {
        self.summarize_tasks_with(&ListOptions::default())
    }

    /// The number of tasks that match. Calls `GET /api/v0/tasks/summarize`, which takes filters and
    /// a timeout only.
    ///
    /// # Errors
    /// 400 if the options have a limit, detail, or drivers, otherwise the same errors as
    /// [`list_nodes_with`](Self::list_nodes_with).
    pub fn summarize_tasks_with(
        &self,
        options: &ListOptions,
    ) -> Result<Summary<TaskSummary>, ClientError> {
        self.summarize_state(Resource::Tasks, options)
    }

    /// The number of actors by class and state. Calls `GET /api/v0/actors/summarize`.
    ///
    /// # Errors
    /// The same errors as [`summarize_tasks_with`](Self::summarize_tasks_with).
    pub fn summarize_actors(&self) -> Result<Summary<ActorSummary>, ClientError> {
        self.summarize_actors_with(&ListOptions::default())
    }

    /// The number of actors that match. Calls `GET /api/v0/actors/summarize`.
    ///
    /// # Errors
    /// The same errors as [`summarize_tasks_with`](Self::summarize_tasks_with).
    pub fn summarize_actors_with(
        &self,
        options: &ListOptions,
    ) -> Result<Summary<ActorSummary>, ClientError> {
        self.summarize_state(Resource::Actors, options)
    }

    /// The number of references to objects by call site. Calls `GET /api/v0/objects/summarize`.
    ///
    /// # Errors
    /// The same errors as [`summarize_tasks_with`](Self::summarize_tasks_with).
    pub fn summarize_objects(&self) -> Result<Summary<ObjectSummary>, ClientError> {
        self.summarize_objects_with(&ListOptions::default())
    }

    /// The number of references that match. Calls `GET /api/v0/objects/summarize`.
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

    /// Ray answers a filter that it cannot use with a bare 500 here. Its list of the same resource
    /// says what is wrong with it.
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
