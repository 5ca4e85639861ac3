//! What Serve says of itself.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::config::{
    ServeApplicationConfig, ServeConfig, ServeDeploymentConfig, ServeProxyLocation,
};
use crate::wire::string_enum;

string_enum! {
    /// Where an application is in its life.
    ServeApplicationStatus {
        /// Not deployed yet.
        NotStarted = "NOT_STARTED",
        /// Being built, or its replicas start. A running application is so for a moment after every
        /// deployment of another one, and goes on answering.
        Deploying = "DEPLOYING",
        /// Its code or its replicas could not be started; `message` says why.
        DeployFailed = "DEPLOY_FAILED",
        /// All its deployments are healthy.
        Running = "RUNNING",
        /// It ran, and now a deployment of it is not healthy.
        Unhealthy = "UNHEALTHY",
        /// On its way out.
        Deleting = "DELETING",
    }
}

string_enum! {
    /// How an application was deployed.
    ServeSource {
        /// By a Python program that called `serve.run`.
        Imperative = "imperative",
        /// By a configuration, as this library does.
        Declarative = "declarative",
    }
}

string_enum! {
    /// How a deployment does.
    ServeDeploymentStatus {
        /// Its replicas start, or are replaced.
        Updating = "UPDATING",
        /// All its replicas run.
        Healthy = "HEALTHY",
        /// It has too few healthy replicas.
        Unhealthy = "UNHEALTHY",
        /// Its replicas could not be started.
        DeployFailed = "DEPLOY_FAILED",
        /// Replicas are being added.
        Upscaling = "UPSCALING",
        /// Replicas are being removed.
        Downscaling = "DOWNSCALING",
    }
}

string_enum! {
    /// Where a replica is in its life.
    ServeReplicaState {
        /// Its actor starts.
        Starting = "STARTING",
        /// It takes over a new configuration.
        Updating = "UPDATING",
        /// The controller was restarted, and asks it how it is.
        Recovering = "RECOVERING",
        /// It answers requests.
        Running = "RUNNING",
        /// It ends.
        Stopping = "STOPPING",
        /// It runs on a node that goes away.
        PendingMigration = "PENDING_MIGRATION",
    }
}

string_enum! {
    /// How a proxy does.
    ServeProxyStatus {
        /// It starts.
        Starting = "STARTING",
        /// It takes requests.
        Healthy = "HEALTHY",
        /// It does not answer the controller.
        Unhealthy = "UNHEALTHY",
        /// It takes no new requests.
        Draining = "DRAINING",
        /// It is about to be removed.
        Drained = "DRAINED",
    }
}

/// All that Serve says of itself: its options, its proxies and its applications.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServeDetails {
    /// The controller's actor; all `None` where Serve does not run.
    #[serde(default)]
    pub controller_info: ServeActor,
    /// Where it listens; `None` where Serve does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_location: Option<ServeProxyLocation>,
    /// Host, port, timeouts and certificates of HTTP; `None` where Serve does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_options: Option<Map<String, Value>>,
    /// Port, servicer functions and timeouts of gRPC; `None` where Serve does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_options: Option<Map<String, Value>>,
    /// The proxies by the id of their node.
    #[serde(default)]
    pub proxies: BTreeMap<String, ServeProxy>,
    /// The applications by name, imperative ones and those on their way out among them.
    #[serde(default)]
    pub applications: BTreeMap<String, ServeApplication>,
    /// How much of the replicas runs, in percent; `None` is all of them.
    #[serde(default)]
    pub target_capacity: Option<f64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ServeDetails {
    /// Whether Serve runs on the cluster, with or without applications.
    pub fn is_running(&self) -> bool {
        self.controller_info.actor_id.is_some()
    }

    /// What deploys the same again: the options, and the declarative applications but for those on
    /// their way out. Options that Ray does not tell (see [`ServeConfig`]) are not in it.
    ///
    /// Integers of more than 64 bits are read as floats. Deployed like that, an application that has
    /// one among its arguments gets new replicas. A change of one application does not go this way, and
    /// changes no number.
    pub fn config(&self) -> ServeConfig {
        let living = self.applications.values().filter(|application| application.is_declarative());
        ServeConfig {
            applications: living.filter_map(|it| it.deployed_app_config.clone()).collect(),
            proxy_location: self.proxy_location.clone(),
            http_options: self.http_options.clone(),
            grpc_options: self.grpc_options.clone(),
            target_capacity: self.target_capacity,
            ..ServeConfig::default()
        }
    }
}

/// An application as Serve shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServeApplication {
    /// Its name.
    pub name: String,
    /// The path below which it answers; `None` where it has none, and while it is being built.
    #[serde(default)]
    pub route_prefix: Option<String>,
    /// Where its own documentation is, as for `FastAPI`.
    #[serde(default)]
    pub docs_path: Option<String>,
    /// Where it is in its life.
    pub status: ServeApplicationStatus,
    /// Ray's explanation of the status; for a failure mostly a whole Python traceback.
    #[serde(default)]
    pub message: String,
    /// When it was deployed, in seconds since the epoch. Every declarative application has the time
    /// of the last deployment of any of them.
    #[serde(default)]
    pub last_deployed_time_s: f64,
    /// What it was deployed with: the options that were given, and no others. `None` for one made by
    /// `serve.run`, and mostly for one on its way out.
    #[serde(default)]
    pub deployed_app_config: Option<ServeApplicationConfig>,
    /// How it was deployed; `None` before Ray 2.32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ServeSource>,
    /// Its deployments by name; empty while it is being built.
    #[serde(default)]
    pub deployments: BTreeMap<String, ServeDeployment>,
    /// Whether its deployments are scaled from outside; `None` before Ray 2.52.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_scaler_enabled: Option<bool>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ServeApplication {
    /// When it was deployed.
    pub fn deployed_at(&self) -> Option<SystemTime> {
        time_from_s(self.last_deployed_time_s)
    }

    fn is_declarative(&self) -> bool {
        self.source != Some(ServeSource::Imperative)
            && self.status != ServeApplicationStatus::Deleting
    }
}

/// A deployment of an application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServeDeployment {
    /// Its name.
    pub name: String,
    /// How it does.
    pub status: ServeDeploymentStatus,
    /// What led to the status, as `CONFIG_UPDATE_COMPLETED`.
    #[serde(default)]
    pub status_trigger: Option<String>,
    /// Ray's explanation of the status.
    #[serde(default)]
    pub message: String,
    /// The options that apply to it, from the configuration, its code and Ray's defaults.
    pub deployment_config: ServeDeploymentConfig,
    /// How many replicas it should have now.
    #[serde(default)]
    pub target_num_replicas: Option<u64>,
    /// What each replica needs, by resource.
    #[serde(default)]
    pub required_resources: Map<String, Value>,
    /// Its replicas.
    #[serde(default)]
    pub replicas: Vec<ServeReplica>,
    /// Replicas that ended lately.
    #[serde(default)]
    pub recent_dead_replicas: Vec<ServeReplica>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A replica of a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServeReplica {
    /// Its id, which a restarted replica does not keep.
    pub replica_id: String,
    /// Where it is in its life.
    pub state: ServeReplicaState,
    /// The id of its process, once it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When it was started, in seconds since the epoch.
    #[serde(default)]
    pub start_time_s: f64,
    /// Its actor, and what Ray sends beyond.
    #[serde(flatten)]
    pub actor: ServeActor,
}

impl ServeReplica {
    /// When it was started.
    pub fn started_at(&self) -> Option<SystemTime> {
        time_from_s(self.start_time_s)
    }
}

/// A process that takes requests on a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServeProxy {
    /// How it does.
    pub status: ServeProxyStatus,
    /// Its actor, and what Ray sends beyond.
    #[serde(flatten)]
    pub actor: ServeActor,
}

/// The actor of a controller, proxy or replica. All `None` until it is placed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServeActor {
    /// The id of its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// The IP address of its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_ip: Option<String>,
    /// The id of its node at the cloud provider; empty where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_instance_id: Option<String>,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<String>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_name: Option<String>,
    /// The id of its worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<String>,
    /// Its log file, below the folder of the node's logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_file_path: Option<String>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn time_from_s(seconds: f64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}
