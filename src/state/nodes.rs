//! The nodes of the cluster.

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
        /// It is.
        Alive = "ALIVE",
        /// It was: it left, was drained, or failed.
        Dead = "DEAD",
    }
}

/// A node of the cluster, also one that died.
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
    /// Its name, which is its IP address unless another was given.
    pub node_name: Option<String>,
    /// Its resources by name: `CPU`, `GPU`, custom ones, and `memory` and `object_store_memory` in
    /// bytes. Empty for a node that died.
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
    /// Whether it is part of the cluster now.
    pub fn is_alive(&self) -> bool {
        self.state == NodeState::Alive
    }

    /// When it started. With detail.
    pub fn started_at(&self) -> Option<SystemTime> {
        self.start_time_ms.and_then(time_from_ms)
    }

    /// When it died, which Ray may notice up to 30 seconds late. With detail.
    pub fn ended_at(&self) -> Option<SystemTime> {
        self.end_time_ms.and_then(time_from_ms)
    }
}

/// Nodes.
impl RayClient {
    /// The nodes of the cluster, dead ones among them. Calls `GET /api/v0/nodes`.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_nodes(&self) -> Result<Listing<Node>, ClientError> {
        self.list_nodes_with(&ListOptions::default())
    }

    /// The nodes that match. Calls `GET /api/v0/nodes`.
    ///
    /// # Errors
    /// 400 if an option is not valid, or if Ray cannot filter by that column or value; 408 or 503 if the
    /// cluster does not answer or cannot be reached; 429 if the dashboard handles 100 such calls already;
    /// 500 if Ray's own data source does not answer, or if the answer is not Ray's.
    pub fn list_nodes_with(&self, options: &ListOptions) -> Result<Listing<Node>, ClientError> {
        self.list_state(Resource::Nodes, options)
    }

    /// One node, with detail. Calls `GET /api/v0/nodes`, since `GET /nodes/{id}` answers 200 for a
    /// node that does not exist, too (measured on Ray 2.60.0).
    ///
    /// # Errors
    /// 404 if there is no such node, 400 if the id is not 56 hex digits (Ray 2.9 does not tell the two
    /// apart: 404), otherwise the same errors as [`list_nodes_with`](Self::list_nodes_with).
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
