//! The cluster status as `ray status` shows it: resources in use, pending demands and the state of
//! the autoscaler. The format of the response is in `response`.

mod response;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::transport::{Http, Request, path};
use crate::{ClientError, RayClient};

/// How much of a resource is in use. `memory` and `object_store_memory` are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResourceUse {
    /// The amount that tasks, actors, placement groups or objects hold.
    pub used: f64,
    /// The amount that the nodes have.
    pub total: f64,
}

/// Resources that one or more tasks, actors or calls of `request_resources` require.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResourceDemand {
    /// The resources that each of them requires, by name.
    pub resources: BTreeMap<String, f64>,
    /// How many require these resources. Ray counts only part of a long queue.
    pub count: u64,
}

/// Pending placement groups that require the same resources.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlacementGroupDemand {
    /// The bundles of one of them.
    pub bundles: Vec<ResourceDemand>,
    /// The placement strategy, for example `STRICT_SPREAD`.
    pub strategy: String,
    /// The number of pending placement groups.
    pub count: u64,
}

/// A node that the autoscaler is starting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PendingNode {
    /// Its IP address.
    pub ip: String,
    /// Its node type.
    pub node_type: String,
    /// The step of its setup, for example `setting-up`.
    pub status: String,
}

/// A node that failed recently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailedNode {
    /// Its IP address.
    pub ip: String,
    /// Its node type.
    pub node_type: String,
}

/// A node type of which the autoscaler recently failed to start a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnavailableNodeType {
    /// The node type.
    pub node_type: String,
    /// The kind of failure, for example `QuotaExceeded`.
    pub category: Option<String>,
    /// The explanation of the cloud provider.
    pub description: Option<String>,
    /// When a node of this type was last asked for, in milliseconds since 1970.
    pub attempted_ms: Option<u64>,
}

/// The cluster status as `ray status` shows it.
///
/// Ray updates it every five seconds. All fields are empty, and `updated_ms` is `None`, for the first
/// few seconds after the head starts, and always with Ray's autoscaler v2, whose status the dashboard
/// does not return (measured on Ray 2.60.0).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClusterStatus {
    /// When Ray updated the status, in milliseconds since the epoch; `None` before the first
    /// update.
    pub updated_ms: Option<u64>,
    /// The resources of all alive nodes, by name.
    pub resources: BTreeMap<String, ResourceUse>,
    /// The resources of each alive node, by node id, or by IP address if the autoscaler starts
    /// nodes.
    pub resources_by_node: BTreeMap<String, BTreeMap<String, ResourceUse>>,
    /// The total resources of a node, and how many nodes have the same.
    pub node_sizes: Vec<ResourceDemand>,
    /// Resources that pending tasks and actors require, including the entrypoints of PENDING jobs.
    pub pending_demands: Vec<ResourceDemand>,
    /// Pending placement groups.
    pub pending_placement_groups: Vec<PlacementGroupDemand>,
    /// Resources that programs requested with `request_resources`, even if the cluster has them.
    pub requested_resources: Vec<ResourceDemand>,
    /// The number of alive nodes by node type. On a cluster without node types, each node has a
    /// type of its own.
    pub active_nodes: BTreeMap<String, u64>,
    /// The number of alive nodes that are idle, by node type; `None` if Ray does not report it.
    pub idle_nodes: Option<BTreeMap<String, u64>>,
    /// Nodes that are being set up.
    pub pending_nodes: Vec<PendingNode>,
    /// The number of nodes that the autoscaler has requested, by node type.
    pub pending_launches: BTreeMap<String, u64>,
    /// Nodes that failed recently. Always empty on a cluster without an autoscaler.
    pub failed_nodes: Vec<FailedNode>,
    /// Node types of which no node could be started recently.
    pub unavailable_node_types: Vec<UnavailableNodeType>,
    /// The error that stopped the autoscaler.
    pub autoscaler_error: Option<String>,
    /// Other fields that Ray sends, under the names in the response.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

impl ClusterStatus {
    /// Returns when Ray updated the status; `None` before the first update.
    pub fn updated_at(&self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.updated_ms?))
    }

    /// Returns the resources of `demand` that no node has in that amount, even if it is idle. Empty
    /// if each resource is available on some node: the demand then waits until other work ends, or
    /// for a single node that has all of them.
    ///
    /// ```
    /// # fn main() -> Result<(), serde_json::Error> {
    /// # let json = r#"{"resources": {}, "resources_by_node": {}, "pending_placement_groups": [],
    /// #   "node_sizes": [{"resources": {"CPU": 8}, "count": 2}], "requested_resources": [],
    /// #   "pending_demands": [{"resources": {"CPU": 1, "GPU": 1}, "count": 3}], "active_nodes": {},
    /// #   "pending_nodes": [], "pending_launches": {}, "failed_nodes": [], "unavailable_node_types": []}"#;
    /// # let status: ray_client::ClusterStatus = serde_json::from_str(json)?;
    /// for demand in &status.pending_demands {
    ///     assert_eq!(status.lacking(demand), ["GPU"]);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn lacking<'d>(&self, demand: &'d ResourceDemand) -> Vec<&'d str> {
        let has = |name: &String, amount: f64| {
            self.node_sizes
                .iter()
                .any(|node| node.resources.get(name).is_some_and(|n| *n >= amount))
        };
        let lacking = demand.resources.iter().filter(|(name, amount)| !has(name, **amount));
        lacking.map(|(name, _)| &**name).collect()
    }
}

/// Returns the resources that no node has, as the end of a message about a pending job. Empty if
/// the cluster does not respond in time.
pub(crate) fn unmet_demands(http: &Http, deadline: Instant) -> String {
    match get_status(http, Some(deadline)) {
        Ok(status) => status.unmet(),
        Err(_) => String::new(),
    }
}

fn get_status(http: &Http, deadline: Option<Instant>) -> Result<ClusterStatus, ClientError> {
    let request = Request::get("get cluster status", path(&["api", "cluster_status"]));
    Ok(http.send(&request.deadline(deadline))?.json::<response::StatusResponse>()?.data.into())
}

impl ClusterStatus {
    fn unmet(&self) -> String {
        const MAX_SHOWN: usize = 3;
        let unmet = self.pending_demands.iter().filter(|demand| !self.lacking(demand).is_empty());
        let resources = unmet.map(|demand| {
            let amounts = demand.resources.iter().map(|(name, amount)| format!("{amount} {name}"));
            amounts.collect::<Vec<_>>().join(" and ")
        });
        let resources: Vec<_> = resources.take(MAX_SHOWN).collect();
        if resources.is_empty() {
            return String::new();
        }
        format!("; pending work needs {}, which no node has", resources.join(", and "))
    }
}

/// Cluster status.
impl RayClient {
    /// Returns the resources of the cluster, the pending demands and the state of the autoscaler,
    /// as `ray status` shows them. Calls `GET /api/cluster_status`.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let status = client.cluster_status()?;
    /// for (name, amount) in &status.resources {
    ///     println!("{}/{} {name}", amount.used, amount.total);
    /// }
    /// for demand in &status.pending_demands {
    ///     println!("{} pending: {:?}", demand.count, demand.resources);
    ///     println!("no node has enough {:?}", status.lacking(demand));
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same errors as [`list_jobs`](Self::list_jobs).
    pub fn cluster_status(&self) -> Result<ClusterStatus, ClientError> {
        get_status(self.http(), None)
    }
}
