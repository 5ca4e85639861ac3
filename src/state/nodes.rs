//! Nodes: the model and the calls.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ListOptions, Resource};
use crate::numbers::time_from_ms;
use crate::string_enum::string_enum;
use crate::{ClientError, Listing, RayClient};
use crate::{json, numbers};

string_enum! {
    /// Whether a node is part of the cluster.
    NodeState {
        /// Is part of the cluster.
        Alive = "ALIVE",
        /// Left the cluster, was drained or failed.
        Dead = "DEAD",
    }
}

/// A node, alive or dead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Node {
    /// Its id, 56 hex digits.
    pub node_id: String,
    /// Its IP address.
    pub node_ip: Option<String>,
    /// Whether it is the head.
    pub is_head_node: Option<bool>,
    /// Whether it is part of the cluster.
    pub state: NodeState,
    /// Why it died.
    pub state_message: Option<String>,
    /// Its name, by default its IP address.
    pub node_name: Option<String>,
    /// Its resources by name: `CPU`, `GPU`, custom ones, and `memory` and `object_store_memory` in
    /// bytes. Empty for a dead node.
    #[serde(default, deserialize_with = "json::or_default")]
    pub resources_total: BTreeMap<String, f64>,
    /// Its labels.
    #[serde(default, deserialize_with = "json::or_default")]
    pub labels: BTreeMap<String, String>,
    /// When it started, in milliseconds since the epoch. With detail.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub start_time_ms: Option<u64>,
    /// When it died, in milliseconds since the epoch; `None` while it is alive. With detail.
    #[serde(default, deserialize_with = "numbers::time_ms")]
    pub end_time_ms: Option<u64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Node {
    /// Returns `true` if the node is part of the cluster.
    pub fn is_alive(&self) -> bool {
        self.state == NodeState::Alive
    }

    /// Returns when the node started. With detail.
    pub fn started_at(&self) -> Option<SystemTime> {
        self.start_time_ms.and_then(time_from_ms)
    }

    /// Returns when the node died. Ray may notice it up to 30 seconds late. With detail.
    pub fn ended_at(&self) -> Option<SystemTime> {
        self.end_time_ms.and_then(time_from_ms)
    }
}

/// Nodes.
impl RayClient {
    /// Returns up to 10,000 nodes, including dead ones. Calls `GET /api/v0/nodes`.
    /// [`truncated`](Listing::truncated) says whether there are more.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// for node in client.list_nodes()? {
    ///     println!("{} {} {:?}", node.node_id, node.state, node.resources_total);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_nodes(&self) -> Result<Listing<Node>, ClientError> {
        self.list_nodes_with(&ListOptions::default())
    }

    /// Returns the nodes that match `options`. Calls `GET /api/v0/nodes`.
    ///
    /// ```no_run
    /// use ray_client::{Filter, ListOptions};
    ///
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let alive = ListOptions::default().filter("state", Filter::Eq, "ALIVE");
    /// println!("{} nodes are alive", client.list_nodes_with(&alive)?.len());
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 400 if an option is invalid or Ray cannot filter by that column or value; 429 if the dashboard
    /// already handles 100 such requests; 500 if Ray's data source does not respond; otherwise the same
    /// errors as [`list_jobs`](Self::list_jobs).
    pub fn list_nodes_with(&self, options: &ListOptions) -> Result<Listing<Node>, ClientError> {
        self.list_state(Resource::Nodes, options)
    }

    /// Returns one node, with detail. Calls `GET /api/v0/nodes`, because `GET /nodes/{id}` responds
    /// with 200 even if the node does not exist (measured on Ray 2.60.0).
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let node = client.get_node("4b8f0e9e4c64c6a05e0e7f8a2c1b4c1f8a34d9b7f0f6a9d3c5e7b102")?;
    /// println!("{} since {:?}", node.state, node.started_at());
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 404 if the node does not exist; 400 if the id is not 56 hex digits (404 on Ray 2.9);
    /// otherwise the same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn get_node(&self, id: impl AsRef<str>) -> Result<Node, ClientError> {
        self.get_state(Resource::Nodes, id.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_of_an_old_ray_is_read() {
        let node: Node = serde_json::from_value(serde_json::json!({
            "node_id": "ab", "node_ip": "10.0.0.1", "is_head_node": false, "state": "DRAINED",
            "node_name": "10.0.0.1", "resources_total": {"CPU": 4.0}, "start_time_ms": "5",
            "end_time_ms": 0,
        }))
        .unwrap();
        assert!(!node.is_alive() && node.labels.is_empty());
        assert_eq!((node.start_time_ms, node.end_time_ms), (Some(5), None));
    }
}
