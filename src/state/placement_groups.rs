//! The placement groups of the cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ListOptions, Resource};
use crate::string_enum::string_enum;
use crate::{ClientError, Listing, RayClient};
use crate::{json, numbers};

string_enum! {
    /// The state of a placement group.
    PlacementGroupState {
        /// Waits for resources.
        Pending = "PENDING",
        /// Its resources are found, and not yet taken.
        Prepared = "PREPARED",
        /// Holds its resources.
        Created = "CREATED",
        /// Was removed.
        Removed = "REMOVED",
        /// Lost a node, and waits for resources again.
        Rescheduling = "RESCHEDULING",
    }
}

/// Which bundle of which placement group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BundleId {
    /// The placement group.
    pub placement_group_id: Option<String>,
    /// The number of the bundle, from 0 on.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub bundle_index: Option<u64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Resources that a placement group holds on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Bundle {
    /// Which one it is.
    pub bundle_id: Option<BundleId>,
    /// Its resources, by name.
    #[serde(default, deserialize_with = "json::or_default")]
    pub unit_resources: BTreeMap<String, f64>,
    /// Its node; empty until it was placed.
    pub node_id: Option<String>,
    /// The labels its node must have.
    pub label_selector: Option<BTreeMap<String, String>>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How the scheduling of a placement group went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlacementGroupStats {
    /// When it was asked for, in nanoseconds since the epoch.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub creation_request_received_ns: Option<u64>,
    /// When scheduling began, in nanoseconds since the epoch.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub scheduling_started_time_ns: Option<u64>,
    /// How long the last scheduling took, in microseconds.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub scheduling_latency_us: Option<u64>,
    /// How long it took from the request to the end, in microseconds.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub end_to_end_creation_latency_us: Option<u64>,
    /// How often it was tried.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub scheduling_attempt: Option<u64>,
    /// How far it is, for example `FINISHED` or `INFEASIBLE`.
    pub scheduling_state: Option<String>,
    /// The longest pause between two tries, in milliseconds.
    #[serde(default, deserialize_with = "numbers::float")]
    pub highest_retry_delay_ms: Option<f64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A placement group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlacementGroup {
    /// Its id, 36 hex digits.
    pub placement_group_id: String,
    /// The name it was given; empty if none.
    pub name: Option<String>,
    /// The job that made it.
    pub creator_job_id: Option<String>,
    /// Its state.
    pub state: PlacementGroupState,
    /// Its bundles. With detail.
    pub bundles: Option<Vec<Bundle>>,
    /// Whether it outlives its job. With detail.
    pub is_detached: Option<bool>,
    /// How its scheduling went. With detail.
    pub stats: Option<PlacementGroupStats>,
    /// How it is placed by each topology label. With detail. Experimental in Ray.
    pub topology_strategy: Option<Map<String, Value>>,
    /// The value that was chosen for each topology label. With detail. Experimental in Ray.
    pub topology_assignments: Option<Map<String, Value>>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Placement groups.
impl RayClient {
    /// The placement groups of the cluster, removed ones among them. Calls
    /// `GET /api/v0/placement_groups`.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_placement_groups(&self) -> Result<Listing<PlacementGroup>, ClientError> {
        self.list_placement_groups_with(&ListOptions::default())
    }

    /// The placement groups that match. Calls `GET /api/v0/placement_groups`.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_placement_groups_with(
        &self,
        options: &ListOptions,
    ) -> Result<Listing<PlacementGroup>, ClientError> {
        self.list_state(Resource::PlacementGroups, options)
    }

    /// One placement group, with detail. Calls `GET /api/v0/placement_groups`. Ray looks for it
    /// among the 10,000 that its list has at most.
    ///
    /// # Errors
    /// 404 if there is no such placement group, also for an id that is not 36 hex digits; otherwise the
    /// same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn get_placement_group(&self, id: impl AsRef<str>) -> Result<PlacementGroup, ClientError> {
        self.get_state(Resource::PlacementGroups, id.as_ref())
    }
}
