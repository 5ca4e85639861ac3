//! Node usage: CPU, memory, disks, network and GPUs of each node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::NodeState;
use crate::json::{Rows, keep_unread, or_default};
use crate::transport::{Request, path};
use crate::{ClientError, Listing, RayClient, numbers};

/// The usage of a disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DiskUsage {
    /// Its capacity.
    pub total: u64,
    /// The space in use.
    pub used: u64,
    /// The space that is free for Ray.
    pub free: u64,
}

/// A GPU of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GpuUsage {
    /// Its index on the node, from 0.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub index: Option<u32>,
    /// Its model.
    pub name: Option<String>,
    /// Its id.
    pub uuid: Option<String>,
    /// Its utilization, in percent; `None` if it does not report it.
    #[serde(default, rename = "utilizationGpu", deserialize_with = "numbers::float")]
    pub utilization_percent: Option<f64>,
    /// Its used memory, in units of 1024 × 1024 bytes.
    #[serde(default, rename = "memoryUsed", deserialize_with = "numbers::float")]
    pub memory_used_mib: Option<f64>,
    /// Its total memory, in units of 1024 × 1024 bytes.
    #[serde(default, rename = "memoryTotal", deserialize_with = "numbers::float")]
    pub memory_total_mib: Option<f64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The usage of a node. Nodes on the same machine report the same values. Measurements of a node
/// that is dead or starting are `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeUsage {
    /// Its id, 56 hex digits.
    pub node_id: String,
    /// Whether it is part of the cluster.
    pub state: NodeState,
    /// Its IP address.
    pub ip: Option<String>,
    /// The name of its machine.
    pub hostname: Option<String>,
    /// Whether it is the head.
    pub is_head_node: Option<bool>,
    /// When the values were measured, in milliseconds since the epoch.
    pub measured_ms: Option<u64>,
    /// The utilization of all its CPUs together, in percent.
    pub cpu_percent: Option<f64>,
    /// The number of logical CPUs of the machine.
    pub cpus: Option<u64>,
    /// The average number of running or waiting processes over the last 1, 5 and 15 minutes.
    pub load_average: Option<[f64; 3]>,
    /// The memory of the machine, or of the container if there is one, in bytes.
    pub memory_total: Option<u64>,
    /// The used memory, in bytes.
    pub memory_used: Option<u64>,
    /// The disks of `/` and of Ray's temporary directory, by path. Ray's dashboard changes a path that has
    /// underscores: `/my_disk` becomes `/myDisk`. Empty in a Kubernetes pod, unless
    /// `RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE=1` is set there.
    pub disks: BTreeMap<String, DiskUsage>,
    /// Bytes read from its disks per second.
    pub disk_read_per_second: Option<f64>,
    /// Bytes written to its disks per second.
    pub disk_written_per_second: Option<f64>,
    /// Bytes sent per second over the interfaces whose names begin with `e`, as Ray counts them.
    pub network_sent_per_second: Option<f64>,
    /// Bytes received per second over the same interfaces.
    pub network_received_per_second: Option<f64>,
    /// Its GPUs.
    pub gpus: Vec<GpuUsage>,
    /// The memory of its object store, in bytes.
    pub object_store_total: Option<u64>,
    /// The memory of its object store that objects use, in bytes.
    pub object_store_used: Option<u64>,
    /// The number of its worker processes, including drivers.
    pub workers: Option<u64>,
    /// Everything else that Ray sends about the node, under Ray's names.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

#[derive(Deserialize)]
struct NodesResponse {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    summary: Rows<RawNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawNode {
    raylet: Raylet,
    ip: Option<String>,
    hostname: Option<String>,
    #[serde(default, deserialize_with = "numbers::float")]
    now: Option<f64>,
    #[serde(default, deserialize_with = "numbers::float")]
    cpu: Option<f64>,
    /// Logical and physical CPUs.
    cpus: Option<Vec<Option<u64>>>,
    /// For the machine, and for each CPU.
    load_avg: Option<Vec<[f64; 3]>>,
    /// Total, available, percent, used.
    mem: Option<Vec<f64>>,
    #[serde(default, deserialize_with = "or_default")]
    disk: BTreeMap<String, DiskUsage>,
    /// Read and written, in bytes and in calls.
    disk_io_speed: Option<Vec<f64>>,
    /// Sent and received.
    network_speed: Option<Vec<f64>>,
    #[serde(default, deserialize_with = "or_default")]
    gpus: Vec<GpuUsage>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raylet {
    node_id: String,
    state: NodeState,
    is_head_node: Option<bool>,
    node_manager_address: Option<String>,
    node_manager_hostname: Option<String>,
    #[serde(default, deserialize_with = "numbers::whole")]
    object_store_used_memory: Option<u64>,
    #[serde(default, deserialize_with = "numbers::whole")]
    object_store_available_memory: Option<u64>,
    #[serde(default, deserialize_with = "numbers::whole")]
    num_workers: Option<u64>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "is saturating")]
fn whole(number: f64) -> u64 {
    number as u64
}

impl From<RawNode> for NodeUsage {
    fn from(raw: RawNode) -> Self {
        let RawNode { raylet, mem, disk_io_speed, network_speed, mut extra, .. } = raw;
        keep_unread(&mut extra, "raylet", raylet.extra);
        let at = |numbers: &Option<Vec<f64>>, index: usize| numbers.as_ref()?.get(index).copied();
        // For a node without measurements, Ray reports an object store of 0 bytes.
        let store = raylet.object_store_used_memory.zip(raylet.object_store_available_memory);
        let store = store.filter(|(used, available)| used.saturating_add(*available) > 0);
        // In a pod, Ray sends a disk of 1 byte instead of measurements.
        let disks = raw.disk.into_iter().filter(|(_, disk)| disk.total > 1).collect();
        Self {
            node_id: raylet.node_id,
            state: raylet.state,
            ip: raw.ip.or(raylet.node_manager_address),
            hostname: raw.hostname.or(raylet.node_manager_hostname),
            is_head_node: raylet.is_head_node,
            measured_ms: raw.now.map(|seconds| whole(seconds * 1000.0)),
            cpu_percent: raw.cpu,
            cpus: raw.cpus.and_then(|cpus| cpus.first().copied().flatten()),
            load_average: raw.load_avg.and_then(|load| load.first().copied()),
            memory_total: at(&mem, 0).map(whole),
            memory_used: at(&mem, 3).map(whole),
            disks,
            disk_read_per_second: at(&disk_io_speed, 0),
            disk_written_per_second: at(&disk_io_speed, 1),
            network_sent_per_second: at(&network_speed, 0),
            network_received_per_second: at(&network_speed, 1),
            gpus: raw.gpus,
            object_store_total: store.map(|(used, available)| used.saturating_add(available)),
            object_store_used: store.map(|(used, _)| used),
            workers: raylet.num_workers,
            extra,
        }
    }
}

/// Node usage.
impl RayClient {
    /// Returns the usage of each node, including dead ones: CPU, memory, disks, network and GPUs.
    /// The dashboard agent of a node measures them every few seconds. Calls `GET
    /// /nodes?view=summary`.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// for node in client.list_node_usage()? {
    ///     println!("{} {:?}% CPU, {:?} bytes", node.node_id, node.cpu_percent, node.memory_used);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same errors as [`list_jobs`](Self::list_jobs).
    pub fn list_node_usage(&self) -> Result<Listing<NodeUsage>, ClientError> {
        let request = Request::get("list node usage", path(&["nodes"])).query("view", "summary");
        let rows = self.http().send(&request)?.json::<NodesResponse>()?.data.summary;
        let Listing { results, total, truncated, warnings } = Listing::of_rows(rows);
        let results = results.into_iter().map(NodeUsage::from).collect();
        Ok(Listing { results, total, truncated, warnings })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(node: Value) -> NodeUsage {
        serde_json::from_value::<RawNode>(node).unwrap().into()
    }

    #[test]
    fn the_measurements_of_a_node_are_read() {
        let node = read(json!({
            "now": 5000.25, "ip": "10.0.0.2", "hostname": "vm", "cpu": 42.5, "cpus": [8, 4],
            "loadAvg": [[15.1, 9.6, 6.1], [1.8, 1.2, 0.7]], "mem": [25, 22, 11.8, 3],
            "disk": {"/": {"total": 9, "used": 4, "free": 5, "percent": 44.4}},
            "diskIoSpeed": [1.5, 2.5, 3.0, 4.0], "networkSpeed": [6.0, 7.0],
            "gpus": [{"index": 0, "name": "A100", "uuid": "GPU-1", "utilizationGpu": null,
                "memoryUsed": 512, "memoryTotal": 40960, "processesPids": {}}],
            "bootTime": 7.5,
            "raylet": {"nodeId": "ab", "state": "ALIVE", "isHeadNode": true, "numWorkers": 7, "pid": 3,
                "objectStoreUsedMemory": 20, "objectStoreAvailableMemory": 80},
        }));
        assert_eq!((node.cpu_percent, node.cpus), (Some(42.5), Some(8)));
        assert_eq!((node.memory_total, node.memory_used), (Some(25), Some(3)));
        assert_eq!(node.load_average.map(|load| load[0]), Some(15.1));
        assert_eq!(node.disks["/"].free, 5);
        assert_eq!(
            (node.disk_read_per_second, node.disk_written_per_second),
            (Some(1.5), Some(2.5))
        );
        assert_eq!(node.network_received_per_second, Some(7.0));
        let gpu = &node.gpus[0];
        assert_eq!((gpu.utilization_percent, gpu.memory_total_mib), (None, Some(40960.0)));
        assert_eq!((node.object_store_total, node.object_store_used), (Some(100), Some(20)));
        assert_eq!((node.workers, node.measured_ms), (Some(7), Some(5_000_250)));
        assert_eq!(json!(node.extra), json!({"bootTime": 7.5, "raylet": {"pid": 3}}));
        let written = serde_json::to_value(&node).unwrap();
        assert_eq!(serde_json::from_value::<NodeUsage>(written).unwrap(), node);
    }

    #[test]
    fn a_node_without_measurements_has_none() {
        let node = read(
            json!({"raylet": {"nodeId": "ab", "state": "DEAD", "nodeManagerAddress": "10.0.0.3",
            "objectStoreUsedMemory": 0, "objectStoreAvailableMemory": 0}}),
        );
        assert_eq!((node.state, node.ip.as_deref()), (NodeState::Dead, Some("10.0.0.3")));
        assert_eq!(
            (node.cpu_percent, node.memory_total, node.object_store_total),
            (None, None, None)
        );
        assert!(node.disks.is_empty() && node.gpus.is_empty());
    }

    /// Ray 2.60.0 sends this in a Kubernetes pod.
    #[test]
    fn a_disk_that_was_not_measured_is_left_out() {
        let node = read(json!({"raylet": {"nodeId": "ab", "state": "ALIVE"},
            "disk": {"/": {"total": 1, "used": 0, "free": 1, "percent": 0.0}}}));
        assert!(node.disks.is_empty());
    }
}
