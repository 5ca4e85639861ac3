//! Cluster events: the model and the calls.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ListOptions, Resource};
use crate::{ClientError, Listing, RayClient};

/// An event that a component of Ray reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClusterEvent {
    /// Its id.
    pub event_id: String,
    /// Its severity, for example `INFO` or `ERROR`.
    pub severity: Option<String>,
    /// When it happened, for example `2026-01-31 23:59:59`, in the time zone of the head. Ray does
    /// not report the time zone.
    pub time: Option<String>,
    /// The component that reported it, for example `AUTOSCALER`.
    pub source_type: Option<String>,
    /// The text of the event.
    pub message: Option<String>,
    /// Further fields of the event. With detail.
    pub custom_fields: Option<Map<String, Value>>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Cluster events.
impl RayClient {
    /// Returns up to 10,000 of the events that the dashboard still has, oldest first. Calls
    /// `GET /api/v0/cluster_events`. [`truncated`](Listing::truncated) says whether there are more.
    /// The dashboard keeps about 10,000 events per job and 10,000 without a job, and does not count
    /// the ones that it discarded.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// for event in client.list_cluster_events()? {
    ///     println!("{:?} {:?}: {:?}", event.time, event.source_type, event.message);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_cluster_events(&self) -> Result<Listing<ClusterEvent>, ClientError> {
        self.list_cluster_events_with(&ListOptions::default())
    }

    /// Returns the events that match `options`, oldest first. Calls `GET /api/v0/cluster_events`.
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
