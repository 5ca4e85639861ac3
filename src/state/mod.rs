//! The state of the cluster: nodes, tasks, actors and the other resources of Ray's state API, the
//! cluster status, and the usage of each node.
//!
//! [`RayClient`] has the calls. [`ListOptions`] filter and limit a list, and a [`Listing`] reports
//! whether it is complete. Every model keeps unknown fields in `extra`, and its enums keep unknown
//! values as `Unknown`.
//!
//! ```no_run
//! use ray_client::{Filter, ListOptions, RayClient};
//!
//! let client = RayClient::new("http://127.0.0.1:8265")?;
//! let running = ListOptions::default().filter("state", Filter::Eq, "RUNNING").limit(1000);
//! for task in &client.list_tasks_with(&running)? {
//!     println!("{} {}", task.task_id, task.name.as_deref().unwrap_or_default());
//! }
//! # Ok::<(), ray_client::ClientError>(())
//! ```
//!
//! The guide describes all calls and options in [inspecting the cluster](crate::guide::cluster).

mod actors;
mod cluster_events;
mod cluster_status;
mod node_usage;
mod nodes;
mod objects;
mod options;
mod placement_groups;
mod runtime_envs;
mod summaries;
mod tasks;
mod timeline;
mod workers;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::json::{Rows, or_default};
use crate::rejection_kind::RejectionKind;
use crate::transport::{Request, path};
use crate::{ClientError, Listing, RayClient, validate};

pub use actors::{Actor, ActorState};
pub use cluster_events::ClusterEvent;
pub(crate) use cluster_status::unmet_demands;
pub use cluster_status::{
    ClusterStatus, FailedNode, PendingNode, PlacementGroupDemand, ResourceDemand, ResourceUse,
    UnavailableNodeType,
};
pub use node_usage::{DiskUsage, GpuUsage, NodeUsage};
pub use nodes::{Node, NodeState};
pub use objects::{Object, ReferenceType};
pub use options::{Filter, ListOptions};
pub use placement_groups::{
    Bundle, BundleId, PlacementGroup, PlacementGroupState, PlacementGroupStats,
};
pub use runtime_envs::RuntimeEnvState;
pub use summaries::{
    ActorGroup, ActorSummary, ObjectGroup, ObjectSummary, Summary, TaskGroup, TaskSummary,
};
pub use tasks::{ProfileEvent, ProfilingData, Task, TaskEvent, TaskLogInfo, TaskState, TaskType};
pub use timeline::TaskTimeline;
pub use workers::{Worker, WorkerExitType, WorkerType};

/// Maximum number of rows that Ray's data sources return to its dashboard
/// (`RAY_MAX_LIMIT_FROM_DATA_SOURCE`).
const DATA_SOURCE_LIMIT: usize = 10_000;

/// A resource that the state API lists. A new one needs a variant and a route here, a file with its model
/// and calls, its id in `row_name` of `json.rs`, and a row in `docs/cluster.md`.
#[derive(Clone, Copy)]
pub(crate) enum Resource {
    Actors,
    ClusterEvents,
    Jobs,
    Nodes,
    Objects,
    PlacementGroups,
    RuntimeEnvs,
    Tasks,
    Workers,
}

impl Resource {
    fn route(self) -> &'static str {
        match self {
            Self::Actors => "actors",
            Self::ClusterEvents => "cluster_events",
            Self::Jobs => "jobs",
            Self::Nodes => "nodes",
            Self::Objects => "objects",
            Self::PlacementGroups => "placement_groups",
            Self::RuntimeEnvs => "runtime_envs",
            Self::Tasks => "tasks",
            Self::Workers => "workers",
        }
    }

    /// Returns, for example, `placement groups`, for messages.
    fn plural(self) -> String {
        self.route().replace('_', " ")
    }

    /// Returns, for example, `placement_group`. Every resource that has an id has a regular plural.
    fn singular(self) -> &'static str {
        self.route().trim_end_matches('s')
    }

    fn get_operation(self, id: &str) -> String {
        format!("get {} `{id}`", self.singular().replace('_', " "))
    }

    fn no_such(self, id: &str, truncated: bool) -> ClientError {
        let noun = self.singular().replace('_', " ");
        let among = if truncated { " among those that Ray lists" } else { "" };
        ClientError::not_found(format_args!("{}: no such {noun}{among}", self.get_operation(id)))
    }
}

#[derive(Deserialize)]
struct StateResponse<R> {
    data: Data<R>,
}

#[derive(Deserialize)]
struct Data<R> {
    result: Envelope<R>,
}

/// Of `total` rows, the data source returned `num_after_truncation`; `num_filtered` of these match,
/// and `result` contains the first of them.
#[derive(Deserialize)]
struct Envelope<R> {
    total: usize,
    num_after_truncation: usize,
    num_filtered: usize,
    result: R,
    #[serde(default, deserialize_with = "or_default")]
    partial_failure_warning: String,
    #[serde(default, deserialize_with = "or_default")]
    warnings: Vec<String>,
}

impl<R> Envelope<R> {
    /// Returns `true` if Ray's data source omitted rows that may match.
    fn is_truncated_at_data_source(&self, resource: Resource, options: &ListOptions) -> bool {
        let lost = self.total > self.num_after_truncation;
        match resource {
            // The total includes references that Ray never lists.
            Resource::Objects => lost && self.total > DATA_SOURCE_LIMIT,
            // The total includes the rows that the data source filtered out.
            Resource::Nodes | Resource::Workers if options.has_filters() => {
                lost && self.num_after_truncation >= DATA_SOURCE_LIMIT
            }
            _ => lost,
        }
    }

    fn take_warnings(&mut self) -> Vec<String> {
        let partial = std::mem::take(&mut self.partial_failure_warning);
        let partial = Some(partial).filter(|text| !text.is_empty());
        partial.into_iter().chain(std::mem::take(&mut self.warnings)).collect()
    }
}

/// Turns the error for an unusable filter into 400. Old Rays respond with 500 and a Python
/// exception, newer ones with 400 (measured on Ray 2.9.3).
fn refused_filter(error: ClientError, options: &ListOptions) -> ClientError {
    if error.rejection_kind() == RejectionKind::BadValue && options.has_filters() {
        return ClientError::rejected(400, error);
    }
    error
}

impl RayClient {
    /// Requests one route of the state API.
    fn query_state<R: DeserializeOwned>(
        &self,
        operation: &str,
        segments: &[&str],
        options: &ListOptions,
    ) -> Result<Envelope<R>, ClientError> {
        options.check()?;
        let read_timeout = self.http().read_timeout();
        let request = options.write_to(Request::get(operation, path(segments)), read_timeout);
        let response =
            self.http().send(&request).map_err(|error| refused_filter(error, options))?;
        Ok(response.json::<StateResponse<R>>()?.data.result)
    }

    fn query_rows<T: DeserializeOwned>(
        &self,
        operation: &str,
        resource: Resource,
        options: &ListOptions,
    ) -> Result<Envelope<Rows<T>>, ClientError> {
        let route = ["api", "v0", resource.route()];
        let result = self.query_state(operation, &route, options);
        // Ray 2.49.2 rejects an unusable filter with 500 and no reason (measured). The same list
        // without filters then succeeds.
        let has_no_reason =
            result.as_ref().is_err_and(|error| error.rejection_kind() == RejectionKind::NoReason);
        if has_no_reason && options.has_filters() {
            let all = options.clone().limit(1).without_filters();
            if self.query_state::<IgnoredAny>(operation, &route, &all).is_ok() {
                return Err(ClientError::rejected(
                    400,
                    format_args!("{operation}: Ray cannot use the filter, and does not say why"),
                ));
            }
        }
        result
    }

    /// Returns a list. All list calls use this.
    pub(crate) fn list_state<T: DeserializeOwned>(
        &self,
        resource: Resource,
        options: &ListOptions,
    ) -> Result<Listing<T>, ClientError> {
        self.list_state_as(&format!("list {}", resource.plural()), resource, options)
    }

    fn list_state_as<T: DeserializeOwned>(
        &self,
        operation: &str,
        resource: Resource,
        options: &ListOptions,
    ) -> Result<Listing<T>, ClientError> {
        let mut envelope = self.query_rows::<T>(operation, resource, options)?;
        let mut warnings = envelope.take_warnings();
        let truncated = envelope.num_filtered > envelope.result.read.len()
            || envelope.is_truncated_at_data_source(resource, options);
        warnings.extend(envelope.result.warnings());
        Ok(Listing { total: envelope.total, truncated, warnings, results: envelope.result.read })
    }

    /// Returns all rows with this id, with detail. A task has one row per attempt, any other
    /// resource one.
    fn find_state<T: DeserializeOwned>(
        &self,
        resource: Resource,
        id: &str,
    ) -> Result<Listing<T>, ClientError> {
        let column = format!("{}_id", resource.singular());
        validate::id(&column, id)?;
        let mut options = ListOptions::default().detail(true).exclude_driver(false).filter(
            column,
            Filter::Eq,
            id,
        );
        if !matches!(resource, Resource::Tasks) {
            // A cluster may refuse the default (`RAY_MAX_LIMIT_FROM_API_SERVER`).
            options = options.limit(1);
        }
        let operation = resource.get_operation(id);
        let mut envelope = self.query_rows::<T>(&operation, resource, &options)?;
        // An unreadable row exists, so this must not become 404.
        if let Some(why) = envelope.result.reasons.first() {
            return Err(ClientError::unexpected(format_args!("{operation}: {why}")));
        }
        let truncated = envelope.is_truncated_at_data_source(resource, &options);
        let warnings = envelope.take_warnings();
        Ok(Listing { total: envelope.total, truncated, warnings, results: envelope.result.read })
    }

    fn get_state<T: DeserializeOwned>(
        &self,
        resource: Resource,
        id: &str,
    ) -> Result<T, ClientError> {
        let listing = self.find_state(resource, id)?;
        let truncated = listing.truncated;
        listing.into_iter().next().ok_or_else(|| resource.no_such(id, truncated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(total: usize, after: usize, filtered: usize) -> Envelope<Vec<u8>> {
        serde_json::from_value(serde_json::json!({
            "total": total, "num_after_truncation": after, "num_filtered": filtered, "result": [],
            "partial_failure_warning": "one node of two", "warnings": ["a", "b"],
        }))
        .unwrap()
    }

    #[test]
    fn rows_filtered_at_the_data_source_do_not_truncate_a_list() {
        let all = ListOptions::default();
        let some = ListOptions::default().filter("state", Filter::Eq, "ALIVE");
        for (resource, options, total, after, cut) in [
            (Resource::Tasks, &all, 5, 5, false),
            (Resource::Tasks, &some, 25_000, 10_000, true),
            (Resource::Tasks, &some, 11, 10, true),
            (Resource::Nodes, &all, 11, 10, true),
            (Resource::Nodes, &some, 11, 10, false),
            (Resource::Nodes, &some, 10_001, 10_000, true),
            (Resource::Workers, &some, 11, 10, false),
            (Resource::Objects, &all, 30, 29, false),
            (Resource::Objects, &all, 10_001, 9_999, true),
        ] {
            let envelope = envelope(total, after, 0);
            assert_eq!(
                envelope.is_truncated_at_data_source(resource, options),
                cut,
                "{total} {after}"
            );
        }
    }

    #[test]
    fn a_filter_that_raises_a_python_exception_is_400() {
        let none = ListOptions::default();
        let some = ListOptions::default().filter("task_id", Filter::Eq, "zz");
        for (options, kind, status) in [
            (&some, RejectionKind::BadValue, 400),
            (&some, RejectionKind::Other, 500),
            (&none, RejectionKind::BadValue, 500),
        ] {
            let error = ClientError::rejected(500, "list tasks: x").with_rejection_kind(kind);
            let error = refused_filter(error, options);
            assert_eq!((error.status(), &*error.to_string()), (status, "list tasks: x"));
        }
    }

    #[test]
    fn both_kinds_of_warnings_are_kept() {
        assert_eq!(envelope(0, 0, 0).take_warnings(), ["one node of two", "a", "b"]);
    }
}
