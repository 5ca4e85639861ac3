//! What Ray's own parts reported.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ListOptions, Resource};
use crate::{ClientError, Listing, RayClient};

/// Something that one of Ray's own parts reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClusterEvent {
    /// Its id.
    pub event_id: String,
    /// How bad it is, for example `INFO` or `ERROR`.
    pub severity: Option<String>,
    /// When it was, for example `2026-01-31 23:59:59`, in the time zone of the head, which Ray does not name.
    pub time: Option<String>,
    /// Which part of Ray reported it, for example `AUTOSCALER`.
    pub source_type: Option<String>,
    /// What it was.
    pub message: Option<String>,
    /// What else was noted. With detail.
    pub custom_fields: Option<Map<String, Value>>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Cluster events.
impl RayClient {
    /// The events of the cluster, oldest first. Calls `GET /api/v0/cluster_events`. The dashboard
    /// remembers about 10,000 events a job and 10,000 of no job, and does not count what it forgot.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_cluster_events(&self) -> Result<Listing<ClusterEvent>, ClientError> {
        self.list_cluster_events_with(&ListOptions::default())
    }

    /// The events that match, oldest first. Calls `GET /api/v0/cluster_events`.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_cluster_events_with(
        &self,
        options: &ListOptions,
    ) -> Result<Listing<ClusterEvent>, ClientError> {
        self.list_state(Resource::ClusterEvents, options)
    }
}
