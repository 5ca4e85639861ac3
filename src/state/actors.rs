//! Actors: the model and the calls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ListOptions, Resource};
use crate::numbers;
use crate::string_enum::string_enum;
use crate::{ClientError, Listing, RayClient};

string_enum! {
    /// The state of an actor.
    ActorState {
        /// Waits until its arguments are created.
        DependenciesUnready = "DEPENDENCIES_UNREADY",
        /// Waits for resources, a worker or its runtime environment.
        PendingCreation = "PENDING_CREATION",
        /// Accepts calls.
        Alive = "ALIVE",
        /// Died and is being restarted.
        Restarting = "RESTARTING",
        /// Died and will not be restarted.
        Dead = "DEAD",
    }
}

/// An actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Actor {
    /// Its id, 32 hex digits.
    pub actor_id: String,
    /// Its class.
    pub class_name: Option<String>,
    /// Its state.
    pub state: ActorState,
    /// The job that created it.
    pub job_id: Option<String>,
    /// Its name; empty if it has none.
    pub name: Option<String>,
    /// Its node, or its last node if it died; `None` until it is placed.
    pub node_id: Option<String>,
    /// The process id of its worker; 0 until the worker starts.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub pid: Option<u32>,
    /// The namespace of its name.
    pub ray_namespace: Option<String>,
    /// Its runtime environment, as JSON text. With detail.
    pub serialized_runtime_env: Option<String>,
    /// The resources that it requires, by name. With detail.
    pub required_resources: Option<BTreeMap<String, f64>>,
    /// Why it died: one object, whose key is the kind of cause. With detail.
    pub death_cause: Option<Map<String, Value>>,
    /// Whether it outlives its job. With detail.
    pub is_detached: Option<bool>,
    /// Its placement group. With detail.
    pub placement_group_id: Option<String>,
    /// The return value of its own `__repr__`; empty if it has none. With detail.
    pub repr_name: Option<String>,
    /// The number of restarts. With detail.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub num_restarts: Option<u64>,
    /// The number of restarts that rebuilt lost objects. With detail.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub num_restarts_due_to_lineage_reconstruction: Option<u64>,
    /// The number of restarts after its node was preempted. With detail.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub num_restarts_due_to_node_preemption: Option<u64>,
    /// The line of the program that created it, if Ray records call sites. With detail.
    pub call_site: Option<String>,
    /// The labels that its node must have. With detail.
    pub label_selector: Option<BTreeMap<String, String>>,
    /// The alternatives if no node has the labels. With detail.
    pub fallback_strategy: Option<Map<String, Value>>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Actor {
    /// Returns Ray's explanation of its death; `None` while it is alive. With detail.
    pub fn death_message(&self) -> Option<&str> {
        self.death_cause.as_ref()?.values().find_map(|cause| cause.get("error_message")?.as_str())
    }
}

/// Actors.
impl RayClient {
    /// Returns up to 10,000 actors, including dead ones. Calls `GET /api/v0/actors`.
    /// [`truncated`](Listing::truncated) says whether there are more.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// for actor in client.list_actors()? {
    ///     println!("{} {:?} {}", actor.actor_id, actor.class_name, actor.state);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_actors(&self) -> Result<Listing<Actor>, ClientError> {
        self.list_actors_with(&ListOptions::default())
    }

    /// Returns the actors that match `options`. Calls `GET /api/v0/actors`.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_actors_with(&self, options: &ListOptions) -> Result<Listing<Actor>, ClientError> {
        self.list_state(Resource::Actors, options)
    }

    /// Returns one actor, with detail. Calls `GET /api/v0/actors`.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let actor = client.get_actor("4d6ff8b5e1f0b6b1c1a0f52a01000000")?;
    /// println!("{}: {}", actor.state, actor.death_message().unwrap_or_default());
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 404 if the actor does not exist; 400 if the id is not 32 hex digits; otherwise the same
    /// errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn get_actor(&self, id: impl AsRef<str>) -> Result<Actor, ClientError> {
        self.get_state(Resource::Actors, id.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_numbers_and_the_death_cause_are_read() {
        let actor: Actor = serde_json::from_value(serde_json::json!({
            "actor_id": "ab", "class_name": "A", "state": "DEAD", "num_restarts": "3",
            "death_cause": {"actor_died_error_context": {"error_message": "killed", "pid": 7}},
        }))
        .unwrap();
        assert_eq!((actor.num_restarts, actor.death_message()), (Some(3), Some("killed")));
    }
}
