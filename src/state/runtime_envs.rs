//! The runtime environments on the nodes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ListOptions, Resource};
use crate::{ClientError, Listing, RayClient};
use crate::{json, numbers};

/// A runtime environment on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RuntimeEnvState {
    /// The environment, as Ray documents it. It may hold secrets, for example in `env_vars`.
    #[serde(default, deserialize_with = "json::or_default")]
    pub runtime_env: Map<String, Value>,
    /// Whether it could be made; `None` while it is being made.
    pub success: Option<bool>,
    /// How long it took to make it, in milliseconds.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub creation_time_ms: Option<u64>,
    /// The node.
    pub node_id: Option<String>,
    /// How many actors and tasks use it. With detail.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub ref_cnt: Option<u64>,
    /// Why it could not be made. With detail.
    pub error: Option<String>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Runtime environments.
impl RayClient {
    /// The runtime environments of the cluster. Calls `GET /api/v0/runtime_envs`, for which Ray asks
    /// every node that is alive; those that did not answer are in the warnings.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_runtime_envs(&self) -> Result<Listing<RuntimeEnvState>, ClientError> {
        self.list_runtime_envs_with(&ListOptions::default())
    }

    /// The runtime environments that match. Calls `GET /api/v0/runtime_envs`.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_runtime_envs_with(
        &self,
        options: &ListOptions,
    ) -> Result<Listing<RuntimeEnvState>, ClientError> {
        self.list_state(Resource::RuntimeEnvs, options)
    }
}
