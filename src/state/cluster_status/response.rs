//! The response of `GET /api/cluster_status`. Restores the names that Ray changes in it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    ClusterStatus, FailedNode, PendingNode, PlacementGroupDemand, ResourceDemand, ResourceUse,
    UnavailableNodeType,
};
use crate::json::{keep_unread, or_default};
use crate::numbers;

/// The response. Ray changes the names in its keys: `object_store_memory` becomes
/// `objectStoreMemory`.
#[derive(Deserialize)]
pub(super) struct StatusResponse {
    pub(super) data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Data {
    autoscaling_error: Option<String>,
    #[serde(deserialize_with = "or_default")]
    cluster_status: RawStatus,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RawStatus {
    #[serde(deserialize_with = "numbers::float")]
    time: Option<f64>,
    #[serde(deserialize_with = "or_default")]
    autoscaler_report: Report,
    #[serde(deserialize_with = "or_default")]
    load_metrics_report: Load,
    #[serde(flatten)]
    extra: Map<String, Value>,
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
    pg_demand: Vec<(RawPlacementGroup, u64)>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize)]
struct RawPlacementGroup {
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
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Availability {
    #[serde(deserialize_with = "or_default")]
    node_availabilities: BTreeMap<String, Value>,
}

/// The original names, by the names that Ray changed them to. Ray changes only keys, so names in
/// lists are original.
struct Names(BTreeMap<String, String>);

impl Names {
    fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self(names.into_iter().map(|name| (camel_case(name), name.to_owned())).collect())
    }

    fn restore<T>(&self, map: BTreeMap<String, T>) -> BTreeMap<String, T> {
        let original = |key: String| self.0.get(&key).cloned().unwrap_or(key);
        map.into_iter().map(|(key, value)| (original(key), value)).collect()
    }
}

/// Returns a key as Ray's dashboard writes it: `node:__internal_head__` becomes
/// `node:InternalHead`.
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

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "is saturating")]
fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}

fn demands(raw: Demands) -> Vec<ResourceDemand> {
    raw.into_iter().map(|(resources, count)| ResourceDemand { resources, count }).collect()
}

fn amounts(raw: Amounts, names: &Names) -> BTreeMap<String, ResourceUse> {
    let raw = names.restore(raw).into_iter();
    raw.map(|(name, (used, total))| (name, ResourceUse { used, total })).collect()
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
        attempted_ms: node.get("lastCheckedTimestamp").and_then(Value::as_f64).map(milliseconds),
    })
}

impl From<Data> for ClusterStatus {
    fn from(data: Data) -> Self {
        let mut extra = data.extra;
        let mut status = data.cluster_status;
        let (report, load) = (status.autoscaler_report, status.load_metrics_report);
        keep_unread(&mut status.extra, "autoscalerReport", report.extra);
        keep_unread(&mut status.extra, "loadMetricsReport", load.extra);
        keep_unread(&mut extra, "clusterStatus", status.extra);
        let resources =
            Names::of(load.node_types.iter().flat_map(|(node, _)| node.keys().map(String::as_str)));
        let by_node = load.usage_by_node.into_iter();
        let availabilities = &report.node_availability_summary.node_availabilities;
        // A type that has no node yet is named where its launches are told of.
        let launched = availabilities.values().filter_map(|node| node.get("nodeType")?.as_str());
        let mapped = report.node_type_mapping.values().map(String::as_str);
        let types = Names::of(mapped.chain(launched));
        Self {
            updated_ms: status.time.map(milliseconds),
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
            extra,
        }
    }
}

fn group((group, count): (RawPlacementGroup, u64)) -> PlacementGroupDemand {
    let RawPlacementGroup { bundles, strategy } = group;
    PlacementGroupDemand { bundles: demands(bundles), strategy, count }
}

fn pending_node((ip, node_type, status): (String, String, String)) -> PendingNode {
    PendingNode { ip, node_type, status }
}

fn failed_node((ip, node_type): (String, String)) -> FailedNode {
    FailedNode { ip, node_type }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(cluster_status: &Value) -> ClusterStatus {
        let response = json!({"data": {"autoscalingError": "", "clusterStatus": cluster_status}});
        serde_json::from_value::<StatusResponse>(response).unwrap().data.into()
    }

    fn busy() -> ClusterStatus {
        read(&json!({
            "time": 5000.25,
            "autoscalerReport": {
                "activeNodes": {"cpuWorker": 1, "headNode": 1},
                "pendingNodes": [["10.0.0.9", "cpu_worker", "setting-up"]],
                "pendingLaunches": {"gpuWorker": 2, "largeWorker": 1},
                "failedNodes": [["10.0.0.7", "cpu_worker"]],
                "nodeAvailabilitySummary": {"nodeAvailabilities": {
                    "cpuWorker": {"nodeType": "cpu_worker", "isAvailable": true},
                    "gpuWorker": {"nodeType": "gpu_worker", "isAvailable": false, "lastCheckedTimestamp": 4000,
                        "unavailableNodeInformation": {"category": "Quota", "description": "no GPUs"}},
                }},
                "nodeTypeMapping": {"a": "head_node", "b": "cpu_worker"},
                "newField": true,
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
    fn resource_names_are_restored() {
        let status = busy();
        let names: Vec<&String> = status.resources.keys().collect();
        assert_eq!(names, ["CPU", "my_disk", "node:__internal_head__", "object_store_memory"]);
        assert_eq!(status.resources["my_disk"], ResourceUse { used: 1.0, total: 2.0 });
        assert_eq!(status.active_nodes["head_node"], 1);
        assert_eq!(status.pending_launches["gpu_worker"], 2);
        assert_eq!(status.pending_launches["largeWorker"], 1, "first launch: keeps Ray's name");
    }

    #[test]
    fn pending_demands_and_their_lacking_resources_are_reported() {
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
        assert_eq!(unavailable[0].attempted_ms, Some(4_000_000));
        assert_eq!((unavailable.len(), status.autoscaler_error.as_deref()), (1, None));
    }

    #[test]
    fn unread_fields_are_kept() {
        let status = busy();
        let extra = json!({"clusterStatus": {"autoscalerReport": {"newField": true}}});
        assert_eq!(json!(status.extra), extra);
        let written = serde_json::to_value(&status).unwrap();
        assert_eq!(serde_json::from_value::<ClusterStatus>(written).unwrap(), status);
    }

    #[test]
    fn the_status_of_a_fresh_head_is_empty() {
        assert_eq!(read(&Value::Null), ClusterStatus::default());
        let status = read(&json!({"time": 5.0, "loadMetricsReport": {"usage": {}}}));
        assert_eq!((status.updated_ms, status.resources.len()), (Some(5000), 0));
    }
}
