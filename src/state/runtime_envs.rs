//! Runtime environments of nodes: the model and the calls.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ListOptions, Resource};
use crate::{ClientError, Listing, RayClient};
use crate::{json, numbers};

/// A runtime environment on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RuntimeEnvState {
    /// The environment, in the format that Ray documents. It can contain secrets, for example in
    /// `env_vars`.
    #[serde(default, deserialize_with = "json::or_default")]
    pub runtime_env: Map<String, Value>,
    /// Whether its setup succeeded; `None` while it is being set up.
    pub success: Option<bool>,
    /// How long its setup took, in milliseconds.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub creation_time_ms: Option<u64>,
    /// Its node.
    pub node_id: Option<String>,
    /// The number of actors and tasks that use it. With detail.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub ref_cnt: Option<u64>,
    /// Why its setup failed. With detail.
    pub error: Option<String>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Runtime environments.
impl RayClient {
    /// Returns up to 10,000 runtime environments, of all nodes. Calls `GET /api/v0/runtime_envs`.
    /// [`truncated`](Listing::truncated) says whether there are more. Ray queries every alive
    /// node; [`warnings`](Listing::warnings) reports nodes that did not respond.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// for env in client.list_runtime_envs()? {
    ///     println!("{:?} {:?}: {:?}", env.node_id, env.success, env.runtime_env);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_runtime_envs(&self) -> Result<Listing<RuntimeEnvState>, ClientError> {
        self.list_runtime_envs_with(&ListOptions::default())
    }

    /// Returns the runtime environments that match `options`. Calls `GET /api/v0/runtime_envs`.
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
