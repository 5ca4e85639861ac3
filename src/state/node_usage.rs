//! What each node uses of its machine, as measured there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::NodeState;
use crate::json::{Rows, or_default};
use crate::transport::{Request, path};
use crate::{ClientError, Listing, RayClient, numbers};

/// How full a disk is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DiskUsage {
    /// What it holds in all.
    pub total: u64,
    /// What is in use.
    pub used: u64,
    /// What is free for Ray.
    pub free: u64,
}

/// A GPU of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GpuUsage {
    /// Its number on the node, from 0 on.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub index: Option<u32>,
    /// Its model.
    pub name: Option<String>,
    /// Its id.
    pub uuid: Option<String>,
    /// How busy it is, in percent; `None` if it does not tell.
    #[serde(default, rename = "utilizationGpu", deserialize_with = "numbers::float")]
    pub utilization_percent: Option<f64>,
    /// Its memory in use, in units of 1024 × 1024 bytes.
    #[serde(default, rename = "memoryUsed", deserialize_with = "numbers::float")]
    pub memory_used_mib: Option<f64>,
    /// Its memory, in units of 1024 × 1024 bytes.
    #[serde(default, rename = "memoryTotal", deserialize_with = "numbers::float")]
    pub memory_total_mib: Option<f64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What a node uses of its machine. Nodes that share a machine measure the same. A node that is dead or
/// starts has no measurements, which are `None` then.
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
    /// When this was measured, in milliseconds since the epoch.
    pub measured_ms: Option<u64>,
    /// How busy its CPUs are, in percent of all of them.
    pub cpu_percent: Option<f64>,
    /// How many CPUs the machine has, hyperthreads counted.
    pub cpus: Option<u64>,
    /// The processes that ran or waited, on average over the last 1, 5 and 15 minutes.
    pub load_average: Option<[f64; 3]>,
    /// Its memory, in bytes: that of the container if there is one.
    pub memory_total: Option<u64>,
    /// What is in use of that, in bytes.
    pub memory_used: Option<u64>,
    /// Its disks, by where they are mounted.
    pub disks: BTreeMap<String, DiskUsage>,
    /// What it reads from its disks, in bytes a second.
    pub disk_read_per_second: Option<f64>,
    /// What it writes to its disks, in bytes a second.
    pub disk_written_per_second: Option<f64>,
    /// What it sends, in bytes a second, loopback left out.
    pub network_sent_per_second: Option<f64>,
    /// What it receives, in bytes a second, loopback left out.
    pub network_received_per_second: Option<f64>,
    /// Its GPUs.
    pub gpus: Vec<GpuUsage>,
    /// The memory of its object store, in bytes.
    pub object_store_total: Option<u64>,
    /// What objects take of that, in bytes.
    pub object_store_used: Option<u64>,
    /// How many worker processes it runs, drivers among them.
    pub workers: Option<u64>,
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
    /// Logical and physical ones.
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
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "is saturating")]
fn whole(number: f64) -> u64 {
    number as u64
}

impl From<RawNode> for NodeUsage {
    fn from(raw: RawNode) -> Self {
        let RawNode { raylet, mem, disk_io_speed, network_speed, .. } = raw;
        let at = |numbers: &Option<Vec<f64>>, index: usize| numbers.as_ref()?.get(index).copied();
        // Ray gives a node without measurements an object store of 0 bytes.
        let store = raylet.object_store_used_memory.zip(raylet.object_store_available_memory);
        let store = store.filter(|(used, available)| used + available > 0);
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
            disks: raw.disk,
            disk_read_per_second: at(&disk_io_speed, 0),
            disk_written_per_second: at(&disk_io_speed, 1),
            network_sent_per_second: at(&network_speed, 0),
            network_received_per_second: at(&network_speed, 1),
            gpus: raw.gpus,
            object_store_total: store.map(|(used, available)| used + available),
            object_store_used: store.map(|(used, _)| used),
            workers: raylet.num_workers,
        }
    }
}

/// The usage of nodes.
impl RayClient {
    /// What each node uses of its machine: CPU, memory, disks, network and GPUs as its dashboard agent
    /// measures them every few seconds, dead nodes among them. Calls `GET /nodes?view=summary`.
    ///
    /// ```no_run
    /// let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// for node in client.list_node_usage()? {
    ///     println!("{} {:?}% CPU, {:?} bytes", node.node_id, node.cpu_percent, node.memory_used);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 408 or 503 if the cluster does not answer or cannot be reached, 500 if the answer is not Ray's.
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
    fn what_a_node_measures_is_read() {
        let node = read(json!({
            "now": 5000.25, "ip": "10.0.0.2", "hostname": "vm", "cpu": 42.5, "cpus": [8, 4],
            "loadAvg": [[15.1, 9.6, 6.1], [1.8, 1.2, 0.7]], "mem": [25, 22, 11.8, 3],
            "disk": {"/": {"total": 9, "used": 4, "free": 5, "percent": 44.4}},
            "diskIoSpeed": [1.5, 2.5, 3.0, 4.0], "networkSpeed": [6.0, 7.0],
            "gpus": [{"index": 0, "name": "A100", "uuid": "GPU-1", "utilizationGpu": null,
                "memoryUsed": 512, "memoryTotal": 40960, "processesPids": {}}],
            "raylet": {"nodeId": "ab", "state": "ALIVE", "isHeadNode": true, "numWorkers": 7,
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
}
