//! What `ray status` shows: resources in use, demands that wait, and what the autoscaler does. How Ray
//! sends it is in `response`.

mod response;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::transport::{Http, Request, path};
use crate::{ClientError, RayClient};

/// How much of a resource is in use. `memory` and `object_store_memory` are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResourceUse {
    /// What tasks, actors, placement groups or objects hold.
    pub used: f64,
    /// What there is.
    pub total: f64,
}

/// Resources that several tasks, actors or calls of `request_resources` want alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResourceDemand {
    /// The resources by name, of one of them.
    pub resources: BTreeMap<String, f64>,
    /// How many want them. Ray does not count all of a long queue.
    pub count: u64,
}

/// Placement groups that wait for the same resources.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlacementGroupDemand {
    /// The bundles of one of them.
    pub bundles: Vec<ResourceDemand>,
    /// How the bundles are to be placed, for example `STRICT_SPREAD`.
    pub strategy: String,
    /// How many wait.
    pub count: u64,
}

/// A node that the autoscaler starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PendingNode {
    /// Its IP address.
    pub ip: String,
    /// Its node type.
    pub node_type: String,
    /// How far it is, for example `setting-up`.
    pub status: String,
}

/// A node that the autoscaler lost lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailedNode {
    /// Its IP address.
    pub ip: String,
    /// Its node type.
    pub node_type: String,
}

/// A node type of which the autoscaler could not start a node lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnavailableNodeType {
    /// The node type.
    pub node_type: String,
    /// The kind of failure, for example `QuotaExceeded`.
    pub category: Option<String>,
    /// What the provider of the nodes said.
    pub description: Option<String>,
    /// When a node of this type was last asked for, in milliseconds since 1970.
    pub attempted_ms: Option<u64>,
}

/// The cluster as `ray status` shows it. Ray refreshes it every five seconds. All of it is empty before the
/// first time, a few seconds after the start of a head.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClusterStatus {
    /// When Ray found this out, in milliseconds since the epoch; `None` if it did not yet.
    pub updated_ms: Option<u64>,
    /// The resources of all nodes that are alive, by name.
    pub resources: BTreeMap<String, ResourceUse>,
    /// The same by node id. By IP address on a cluster whose autoscaler starts nodes.
    pub resources_by_node: BTreeMap<String, BTreeMap<String, ResourceUse>>,
    /// What each node has in all when it is idle.
    pub node_sizes: Vec<ResourceDemand>,
    /// What tasks and actors wait for, the entrypoints of PENDING jobs among them.
    pub pending_demands: Vec<ResourceDemand>,
    /// What placement groups wait for.
    pub pending_placement_groups: Vec<PlacementGroupDemand>,
    /// What programs asked for with `request_resources`, whether it is there or not.
    pub requested_resources: Vec<ResourceDemand>,
    /// The nodes that are alive, by node type. A cluster without node types gives each node one of its own.
    pub active_nodes: BTreeMap<String, u64>,
    /// Those of them that are idle. `None` if Ray does not tell them apart.
    pub idle_nodes: Option<BTreeMap<String, u64>>,
    /// Nodes that are being set up.
    pub pending_nodes: Vec<PendingNode>,
    /// Nodes that are being asked for, by node type.
    pub pending_launches: BTreeMap<String, u64>,
    /// Nodes that failed lately. Ray without an autoscaler lists none.
    pub failed_nodes: Vec<FailedNode>,
    /// Node types of which no node could be started lately, and why.
    pub unavailable_node_types: Vec<UnavailableNodeType>,
    /// The error that the autoscaler stopped with.
    pub autoscaler_error: Option<String>,
}

impl ClusterStatus {
    /// When Ray found this out.
    pub fn updated_at(&self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.updated_ms?))
    }

    /// Why a demand waits: the resources of which no node has so much, also when it is idle. Empty if a
    /// node has each of them, so that the demand waits for others to end, or for one node that has all.
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

/// What the cluster has no node for, as the end of a message about a job that waits. Empty if the cluster
/// does not say in time.
pub(crate) fn unmet_demands(http: &Http, deadline: Instant) -> String {
    match ask(http, Some(deadline)) {
        Ok(status) => status.unmet(),
        Err(_) => String::new(),
    }
}

fn ask(http: &Http, deadline: Option<Instant>) -> Result<ClusterStatus, ClientError> {
    let request = Request::get("get cluster status", path(&["api", "cluster_status"]));
    Ok(http.send(&request.deadline(deadline))?.json::<response::StatusResponse>()?.data.into())
}

impl ClusterStatus {
    fn unmet(&self) -> String {
        const MOST: usize = 3;
        let unmet = self.pending_demands.iter().filter(|demand| !self.lacking(demand).is_empty());
        let resources = unmet.map(|demand| {
            let amounts = demand.resources.iter().map(|(name, amount)| format!("{amount} {name}"));
            amounts.collect::<Vec<_>>().join(" and ")
        });
        let resources: Vec<_> = resources.take(MOST).collect();
        if resources.is_empty() {
            return String::new();
        }
        format!("; something waits for {}, which no node has", resources.join(", for "))
    }
}

/// The status of the cluster.
impl RayClient {
    /// The resources of the cluster, what waits for some, and what the autoscaler does, as `ray status`
    /// shows them. Calls `GET /api/cluster_status`.
    ///
    /// ```no_run
    /// let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let status = client.cluster_status()?;
    /// for (name, amount) in &status.resources {
    ///     println!("{}/{} {name}", amount.used, amount.total);
    /// }
    /// for demand in &status.pending_demands {
    ///     println!("{} wait for {:?}", demand.count, demand.resources);
    ///     println!("no node has so much of {:?}", status.lacking(demand));
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 408 or 503 if the cluster does not answer or cannot be reached, 500 if the answer is not Ray's.
    pub fn cluster_status(&self) -> Result<ClusterStatus, ClientError> {
        ask(self.http(), None)
    }
}
