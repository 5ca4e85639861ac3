//! Placement groups: the models and the calls.

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
        /// Its resources are found but not yet reserved.
        Prepared = "PREPARED",
        /// Holds its resources.
        Created = "CREATED",
        /// Was removed.
        Removed = "REMOVED",
        /// Lost a node and waits for resources again.
        Rescheduling = "RESCHEDULING",
    }
}

/// The id of a bundle: its placement group and index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BundleId {
    /// The placement group.
    pub placement_group_id: Option<String>,
    /// The index of the bundle, from 0.
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
    /// Its id.
    pub bundle_id: Option<BundleId>,
    /// Its resources, by name.
    #[serde(default, deserialize_with = "json::or_default")]
    pub unit_resources: BTreeMap<String, f64>,
    /// Its node; empty until it is placed.
    pub node_id: Option<String>,
    /// The labels that its node must have.
    pub label_selector: Option<BTreeMap<String, String>>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Statistics about the scheduling of a placement group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlacementGroupStats {
    /// When it was requested, in nanoseconds since the epoch.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub creation_request_received_ns: Option<u64>,
    /// When scheduling started, in nanoseconds since the epoch.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub scheduling_started_time_ns: Option<u64>,
    /// How long the last scheduling attempt took, in microseconds.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub scheduling_latency_us: Option<u64>,
    /// How long the creation took from its request, in microseconds.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub end_to_end_creation_latency_us: Option<u64>,
    /// The number of scheduling attempts.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub scheduling_attempt: Option<u64>,
    /// The state of the scheduling, for example `FINISHED` or `INFEASIBLE`.
    pub scheduling_state: Option<String>,
    /// The longest pause between two scheduling attempts, in milliseconds.
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
    /// Its name; empty if it has none.
    pub name: Option<String>,
    /// The job that created it.
    pub creator_job_id: Option<String>,
    /// Its state.
    pub state: PlacementGroupState,
    /// Its bundles. With detail.
    pub bundles: Option<Vec<Bundle>>,
    /// Whether it outlives its job. With detail.
    pub is_detached: Option<bool>,
    /// Statistics about its scheduling. With detail.
    pub stats: Option<PlacementGroupStats>,
    /// The placement strategy for each topology label. With detail. Experimental in Ray.
    pub topology_strategy: Option<Map<String, Value>>,
    /// The chosen value of each topology label. With detail. Experimental in Ray.
    pub topology_assignments: Option<Map<String, Value>>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Placement groups.
impl RayClient {
    /// Returns up to 10,000 placement groups, including removed ones. Calls
    /// `GET /api/v0/placement_groups`. [`truncated`](Listing::truncated) says whether there are more.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// for group in client.list_placement_groups()? {
    ///     println!("{} {:?} {}", group.placement_group_id, group.name, group.state);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_placement_groups(&self) -> Result<Listing<PlacementGroup>, ClientError> {
        self.list_placement_groups_with(&ListOptions::default())
    }

    /// Returns the placement groups that match `options`. Calls `GET /api/v0/placement_groups`.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_placement_groups_with(
        &self,
        options: &ListOptions,
    ) -> Result<Listing<PlacementGroup>, ClientError> {
        self.list_state(Resource::PlacementGroups, options)
    }

    /// Returns one placement group, with detail. Calls `GET /api/v0/placement_groups`. Ray searches
    /// at most 10,000 placement groups.
    ///
    /// # Errors
    /// 404 if the placement group does not exist or the id is not 36 hex digits; otherwise the same
    /// errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn get_placement_group(&self, id: impl AsRef<str>) -> Result<PlacementGroup, ClientError> {
        self.get_state(Resource::PlacementGroups, id.as_ref())
    }
}
