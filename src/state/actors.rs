//! The actors of the cluster.

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
        /// Waits for its arguments to be made.
        DependenciesUnready = "DEPENDENCIES_UNREADY",
        /// Waits for resources, a worker or its runtime environment.
        PendingCreation = "PENDING_CREATION",
        /// Takes calls.
        Alive = "ALIVE",
        /// Died, and is being restarted.
        Restarting = "RESTARTING",
        /// Died for good.
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
    /// The job that made it.
    pub job_id: Option<String>,
    /// The name it was given; empty if none.
    pub name: Option<String>,
    /// The node it is or was on; `None` until it was placed.
    pub node_id: Option<String>,
    /// The process id of its worker; 0 until it was made.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub pid: Option<u32>,
    /// The namespace of its name.
    pub ray_namespace: Option<String>,
    /// Its runtime environment, as JSON text. With detail.
    pub serialized_runtime_env: Option<String>,
    /// The resources it asked for, by name. With detail.
    pub required_resources: Option<BTreeMap<String, f64>>,
    /// Why it died, as one object named after the kind of cause. With detail.
    pub death_cause: Option<Map<String, Value>>,
    /// Whether it outlives its job. With detail.
    pub is_detached: Option<bool>,
    /// The placement group it was placed in. With detail.
    pub placement_group_id: Option<String>,
    /// What its own `__repr__` returns; empty if it has none. With detail.
    pub repr_name: Option<String>,
    /// How often it was restarted. With detail.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub num_restarts: Option<u64>,
    /// How many of those restarts were to rebuild lost objects. With detail.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub num_restarts_due_to_lineage_reconstruction: Option<u64>,
    /// How many of those restarts were because its node was preempted. With detail.
    #[serde(default, deserialize_with = "numbers::whole")]
    pub num_restarts_due_to_node_preemption: Option<u64>,
    /// The line of the program that made it, if Ray records call sites. With detail.
    pub call_site: Option<String>,
    /// The labels its node must have. With detail.
    pub label_selector: Option<BTreeMap<String, String>>,
    /// What to try if no node has the labels. With detail.
    pub fallback_strategy: Option<Map<String, Value>>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Actor {
    /// Ray's explanation of why it died; `None` while it lives. With detail.
    pub fn death_message(&self) -> Option<&str> {
        self.death_cause.as_ref()?.values().find_map(|cause| cause.get("error_message")?.as_str())
    }
}

/// Actors.
impl RayClient {
    /// The actors of the cluster, dead ones among them. Calls `GET /api/v0/actors`.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_actors(&self) -> Result<Listing<Actor>, ClientError> {
        self.list_actors_with(&ListOptions::default())
    }

    /// The actors that match. Calls `GET /api/v0/actors`.
    ///
    /// # Errors
    /// The same errors as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_actors_with(&self, options: &ListOptions) -> Result<Listing<Actor>, ClientError> {
        self.list_state(Resource::Actors, options)
    }

    /// One actor, with detail. Calls `GET /api/v0/actors`.
    ///
    /// # Errors
    /// 404 if there is no such actor, 400 if the id is not 32 hex digits, otherwise the same errors as
    /// [`list_nodes_with`](Self::list_nodes_with).
    pub fn get_actor(&self, id: impl AsRef<str>) -> Result<Actor, ClientError> {
        self.get_state(Resource::Actors, id.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_come_as_text_and_the_cause_of_death_are_read() {
        let actor: Actor = serde_json::from_value(serde_json::json!({
            "actor_id": "ab", "class_name": "A", "state": "DEAD", "num_restarts": "3",
            "death_cause": {"actor_died_error_context": {"error_message": "killed", "pid": 7}},
        }))
        .unwrap();
        assert_eq!((actor.num_restarts, actor.death_message()), (Some(3), Some("killed")));
    }
}
