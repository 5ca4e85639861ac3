//! What `ray status` shows: resources in use, demands that wait, and what the autoscaler does.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::or_default;
use crate::transport::{Request, path};
use crate::{ClientError, RayClient, numbers};

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

/// The answer. Ray changes names on the way: `object_store_memory` becomes `objectStoreMemory`.
#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    #[serde(default)]
    autoscaling_error: Option<String>,
    #[serde(deserialize_with = "or_default")]
    cluster_status: Wire,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Wire {
    #[serde(deserialize_with = "numbers::float")]
    time: Option<f64>,
    #[serde(deserialize_with = "or_default")]
    autoscaler_report: Report,
    #[serde(deserialize_with = "or_default")]
    load_metrics_report: Load,
}

type Amounts = BTreeMap<String, (f64, f64)>;
type Demands = Vec<(BTreeMap<String, f64>, u64)>;

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Load {
    #[serde(deserialize_with = "or_default")]
    usage: Amounts,
    #[serde(deserialize_with = "or_default")]
    usage_by_node: BTreeMap<String, Amounts>,
    #[serde(deserialize_with = "or_default")]
    resource_demand: Demands,
    #[serde(deserialize_with = "or_default")]
    request_demand: Demands,
    #[serde(deserialize_with = "or_default")]
    node_types: Demands,
    #[serde(deserialize_with = "or_default")]
    pg_demand: Vec<(WireGroup, u64)>,
}

#[derive(Deserialize)]
struct WireGroup {
    #[serde(default, deserialize_with = "or_default")]
    bundles: Demands,
    #[serde(default, deserialize_with = "or_default")]
    strategy: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Report {
    #[serde(deserialize_with = "or_default")]
    active_nodes: BTreeMap<String, u64>,
    idle_nodes: Option<BTreeMap<String, u64>>,
    #[serde(deserialize_with = "or_default")]
    pending_nodes: Vec<(String, String, String)>,
    #[serde(deserialize_with = "or_default")]
    pending_launches: BTreeMap<String, u64>,
    #[serde(deserialize_with = "or_default")]
    failed_nodes: Vec<(String, String)>,
    #[serde(deserialize_with = "or_default")]
    node_type_mapping: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    node_availability_summary: Availability,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Availability {
    #[serde(deserialize_with = "or_default")]
    node_availabilities: BTreeMap<String, Value>,
}

/// The names as they were before Ray changed them in the keys of its answer. It leaves those within lists
/// as they are.
struct Names(BTreeMap<String, String>);

impl Names {
    fn of<'n>(names: impl IntoIterator<Item = &'n String>) -> Self {
        Self(names.into_iter().map(|name| (camel_case(name), name.clone())).collect())
    }

    fn restore<T>(&self, map: BTreeMap<String, T>) -> BTreeMap<String, T> {
        let original = |key: String| self.0.get(&key).cloned().unwrap_or(key);
        map.into_iter().map(|(key, value)| (original(key), value)).collect()
    }
}

/// As Ray's dashboard writes keys: `node:__internal_head__` becomes `node:InternalHead`.
fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut is_within = false;
        for c in part.chars() {
            if is_within {
                camel.extend(c.to_lowercase());
            } else {
                camel.extend(c.to_uppercase());
            }
            is_within = c.is_alphabetic();
        }
    }
    camel
}

fn demands(wire: Demands) -> Vec<ResourceDemand> {
    wire.into_iter().map(|(resources, count)| ResourceDemand { resources, count }).collect()
}

fn amounts(wire: Amounts, names: &Names) -> BTreeMap<String, ResourceUse> {
    let wire = names.restore(wire).into_iter();
    wire.map(|(name, (used, total))| (name, ResourceUse { used, total })).collect()
}

fn unavailable((key, node): (&String, &Value)) -> Option<UnavailableNodeType> {
    if node.get("isAvailable").and_then(Value::as_bool) != Some(false) {
        return None;
    }
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let why = node.get("unavailableNodeInformation");
    Some(UnavailableNodeType {
        node_type: text(node.get("nodeType")).unwrap_or_else(|| key.clone()),
        category: text(why.and_then(|why| why.get("category"))),
        description: text(why.and_then(|why| why.get("description"))),
    })
}

impl From<Data> for ClusterStatus {
    fn from(data: Data) -> Self {
        let Wire { time, autoscaler_report: report, load_metrics_report: load } =
            data.cluster_status;
        let resources = Names::of(load.node_types.iter().flat_map(|(node, _)| node.keys()));
        let types = Names::of(report.node_type_mapping.values());
        let by_node = load.usage_by_node.into_iter();
        let availabilities = &report.node_availability_summary.node_availabilities;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "is saturating")]
        let updated_ms = time.map(|seconds| (seconds * 1000.0) as u64);
        Self {
            updated_ms,
            resources: amounts(load.usage, &resources),
            resources_by_node: by_node.map(|(id, node)| (id, amounts(node, &resources))).collect(),
            node_sizes: demands(load.node_types),
            pending_demands: demands(load.resource_demand),
            pending_placement_groups: load.pg_demand.into_iter().map(group).collect(),
            requested_resources: demands(load.request_demand),
            active_nodes: types.restore(report.active_nodes),
            idle_nodes: report.idle_nodes.map(|nodes| types.restore(nodes)),
            pending_nodes: report.pending_nodes.into_iter().map(pending_node).collect(),
            pending_launches: types.restore(report.pending_launches),
            failed_nodes: report.failed_nodes.into_iter().map(failed_node).collect(),
            unavailable_node_types: availabilities.iter().filter_map(unavailable).collect(),
            autoscaler_error: data.autoscaling_error.filter(|error| !error.is_empty()),
        }
    }
}

fn group((group, count): (WireGroup, u64)) -> PlacementGroupDemand {
    let WireGroup { bundles, strategy } = group;
    PlacementGroupDemand { bundles: demands(bundles), strategy, count }
}

fn pending_node((ip, node_type, status): (String, String, String)) -> PendingNode {
    PendingNode { ip, node_type, status }
}

fn failed_node((ip, node_type): (String, String)) -> FailedNode {
    FailedNode { ip, node_type }
}

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
        let request = Request::get("get cluster status", path(&["api", "cluster_status"]));
        Ok(self.http().send(&request)?.json::<Answer>()?.data.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(cluster_status: Value) -> ClusterStatus {
        let answer = json!({"data": {"autoscalingError": "", "clusterStatus": cluster_status}});
        serde_json::from_value::<Answer>(answer).unwrap().data.into()
    }

    fn busy() -> ClusterStatus {
        read(json!({
            "time": 5000.25,
            "autoscalerReport": {
                "activeNodes": {"cpuWorker": 1, "headNode": 1},
                "pendingNodes": [["10.0.0.9", "cpu_worker", "setting-up"]],
                "pendingLaunches": {"gpuWorker": 2},
                "failedNodes": [["10.0.0.7", "cpu_worker"]],
                "nodeAvailabilitySummary": {"nodeAvailabilities": {
                    "cpuWorker": {"nodeType": "cpu_worker", "isAvailable": true},
                    "gpuWorker": {"nodeType": "gpu_worker", "isAvailable": false,
                        "unavailableNodeInformation": {"category": "Quota", "description": "no GPUs"}},
                }},
                "nodeTypeMapping": {"a": "head_node", "b": "cpu_worker"},
            },
            "loadMetricsReport": {
                "usage": {"CPU": [3.0, 6.0], "objectStoreMemory": [5.0, 9.0], "node:InternalHead": [0.0, 1.0],
                    "myDisk": [1.0, 2.0]},
                "usageByNode": {"a": {"CPU": [3.0, 4.0]}},
                "resourceDemand": [[{"CPU": 1.0, "my_gpu": 2.0}, 3]],
                "pgDemand": [[{"bundles": [[{"CPU": 30.0}, 2]], "strategy": "STRICT_SPREAD"}, 1]],
                "requestDemand": [[{"CPU": 7}, 2]],
                "nodeTypes": [[{"CPU": 4.0, "object_store_memory": 9.0, "my_disk": 2.0,
                    "node:__internal_head__": 1.0}, 1], [{"CPU": 2.0}, 1]],
            },
        }))
    }

    #[test]
    fn resources_have_the_names_that_programs_use() {
        let status = busy();
        let names: Vec<&String> = status.resources.keys().collect();
        assert_eq!(names, ["CPU", "my_disk", "node:__internal_head__", "object_store_memory"]);
        assert_eq!(status.resources["my_disk"], ResourceUse { used: 1.0, total: 2.0 });
        assert_eq!(status.active_nodes["head_node"], 1);
        assert_eq!(
            status.pending_launches["gpuWorker"], 2,
            "a type without nodes keeps Ray's name"
        );
    }

    #[test]
    fn what_waits_is_told_and_why() {
        let status = busy();
        let [demand] = &status.pending_demands[..] else { panic!("{status:?}") };
        assert_eq!((demand.count, status.lacking(demand)), (3, vec!["my_gpu"]));
        let group = &status.pending_placement_groups[0];
        assert_eq!((group.strategy.as_str(), group.bundles[0].count), ("STRICT_SPREAD", 2));
        assert_eq!(status.lacking(&group.bundles[0]), ["CPU"]);
        assert_eq!(status.requested_resources[0].count, 2);
        assert_eq!(status.pending_nodes[0].status, "setting-up");
        assert_eq!(status.failed_nodes[0].ip, "10.0.0.7");
        let unavailable = &status.unavailable_node_types[..];
        assert_eq!(unavailable[0].description.as_deref(), Some("no GPUs"));
        assert_eq!((unavailable.len(), status.autoscaler_error.as_deref()), (1, None));
    }

    #[test]
    fn a_head_that_has_just_started_knows_nothing_yet() {
        assert_eq!(read(Value::Null), ClusterStatus::default());
        let status = read(json!({"time": 5.0, "loadMetricsReport": {"usage": {}}}));
        assert_eq!((status.updated_ms, status.resources.len()), (Some(5000), 0));
    }
}
