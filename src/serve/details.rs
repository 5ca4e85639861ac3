//! What Serve shows of itself: models only, no calls.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::config::{
    ServeApplicationConfig, ServeConfig, ServeDeploymentConfig, ServeProxyLocation,
};
use crate::string_enum::string_enum;
use crate::{ray_error, redact};

string_enum! {
    /// The status of an application.
    ServeApplicationStatus {
        /// Not deployed yet.
        NotStarted = "NOT_STARTED",
        /// Being built, or its replicas are starting. A running application has this status for a moment
        /// after every deployment of another one, and goes on answering.
        Deploying = "DEPLOYING",
        /// It could not be built, or its replicas could not be started; [`ServeApplication::reason`]
        /// says why.
        DeployFailed = "DEPLOY_FAILED",
        /// All its deployments are healthy.
        Running = "RUNNING",
        /// It was running, and now one of its deployments is not healthy.
        Unhealthy = "UNHEALTHY",
        /// Its replicas are ending.
        Deleting = "DELETING",
    }
}

string_enum! {
    /// How an application was deployed.
    ServeSource {
        /// By a Python program that called `serve.run`.
        Imperative = "imperative",
        /// From a configuration, for example by this library.
        Declarative = "declarative",
    }
}

string_enum! {
    /// The status of a deployment.
    ServeDeploymentStatus {
        /// Its replicas are starting or being replaced.
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
    /// The state of a replica.
    ServeReplicaState {
        /// Its actor is starting.
        Starting = "STARTING",
        /// It is applying a new configuration.
        Updating = "UPDATING",
        /// The controller was restarted and is checking it.
        Recovering = "RECOVERING",
        /// It answers requests.
        Running = "RUNNING",
        /// It is ending.
        Stopping = "STOPPING",
        /// It has ended, as those of [`ServeDeployment::recent_dead_replicas`] have.
        Stopped = "STOPPED",
        /// It runs on a node that is being drained, and will be replaced.
        PendingMigration = "PENDING_MIGRATION",
    }
}

string_enum! {
    /// The status of a proxy.
    ServeProxyStatus {
        /// It is starting.
        Starting = "STARTING",
        /// It accepts requests.
        Healthy = "HEALTHY",
        /// It does not answer the controller.
        Unhealthy = "UNHEALTHY",
        /// It accepts no new requests.
        Draining = "DRAINING",
        /// It is about to be removed.
        Drained = "DRAINED",
    }
}

/// What Serve shows of itself: its options, proxies and applications.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServeDetails {
    /// The controller's actor; every field is `None` if Serve does not run.
    #[serde(default)]
    pub controller_info: ServeActor,
    /// On which nodes it listens; `None` if Serve does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_location: Option<ServeProxyLocation>,
    /// Host, port, timeouts and certificates of HTTP; `None` if Serve does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_options: Option<Map<String, Value>>,
    /// Port, servicer functions and timeouts of gRPC; `None` if Serve does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_options: Option<Map<String, Value>>,
    /// The proxies by the id of their node.
    #[serde(default)]
    pub proxies: BTreeMap<String, ServeProxy>,
    /// The applications by name, including imperative ones and those that are being deleted.
    #[serde(default)]
    pub applications: BTreeMap<String, ServeApplication>,
    /// How many of the replicas run, in percent; `None` means all of them.
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

    /// Returns a configuration that deploys the same again: the options, and the declarative
    /// applications without those that are being deleted. Options that Ray does not show (see
    /// [`ServeConfig`]) are missing.
    ///
    /// Two kinds of numbers do not survive: integers of more than 64 bits are read as floats, and
    /// `NaN`, `Infinity` and `-Infinity` (which are not JSON, but which Ray takes and shows) as strings.
    /// An application that has one of them changes if it is deployed from here. Deploying or deleting
    /// *one* application keeps them, in every other, exactly as they are.
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

/// An application of Serve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServeApplication {
    /// Its name.
    pub name: String,
    /// The path prefix of its HTTP requests; `None` if it has none, and while it is being built.
    pub route_prefix: Option<String>,
    /// The path of its own documentation, for example with `FastAPI`.
    pub docs_path: Option<String>,
    /// Its status.
    pub status: ServeApplicationStatus,
    /// Ray's explanation of the status, often a whole Python traceback, or only the names of the
    /// deployments that failed: [`reason`](Self::reason) is the short form.
    #[serde(default)]
    pub message: String,
    /// When it was deployed, in seconds since the epoch. All declarative applications have the time of
    /// the last deployment of any of them.
    #[serde(default)]
    pub last_deployed_time_s: f64,
    /// What it was deployed with: the options that were given, and no others. `None` if it was made by
    /// `serve.run`, and in most cases while it is being deleted.
    pub deployed_app_config: Option<ServeApplicationConfig>,
    /// How it was deployed; `None` before Ray 2.32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<ServeSource>,
    /// Its deployments by name; empty while it is being built, and if that failed.
    #[serde(default)]
    pub deployments: BTreeMap<String, ServeDeployment>,
    /// Whether its deployments are scaled from outside; `None` before Ray 2.52.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_scaler_enabled: Option<bool>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ServeApplication {
    /// When it was deployed; `None` if Ray shows no such time.
    pub fn deployed_at(&self) -> Option<SystemTime> {
        time_from_s(self.last_deployed_time_s)
    }

    /// Why it does not run, in one line of at most 300 characters: the last error line of a deployment
    /// that is not healthy (of a failed one, if there is one), otherwise that of the application
    /// itself. `None` if Ray gives no reason.
    pub fn reason(&self) -> Option<String> {
        let has_failed = |it: &&ServeDeployment| it.status == ServeDeploymentStatus::DeployFailed;
        let explained = || {
            self.deployments.values().filter(|it| {
                it.status != ServeDeploymentStatus::Healthy && !it.message.trim().is_empty()
            })
        };
        if let Some(deployment) = explained().find(has_failed).or_else(|| explained().next()) {
            let why = ray_error::reason(&deployment.message);
            return Some(redact::one_line(&format!("deployment `{}`: {why}", deployment.name)));
        }
        (!self.message.trim().is_empty()).then(|| ray_error::reason(&self.message))
    }

    pub(super) fn status_and_reason(&self) -> String {
        let status = &self.status;
        self.reason().map_or_else(|| status.to_string(), |why| format!("{status}: {why}"))
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
    /// Its status.
    pub status: ServeDeploymentStatus,
    /// What led to the status, for example `CONFIG_UPDATE_COMPLETED`.
    pub status_trigger: Option<String>,
    /// Ray's explanation of the status, often a whole Python traceback.
    #[serde(default)]
    pub message: String,
    /// The options in effect, from the configuration, its code and Ray's defaults.
    pub deployment_config: ServeDeploymentConfig,
    /// How many replicas it should have now.
    pub target_num_replicas: Option<u64>,
    /// What each replica needs, by resource.
    #[serde(default)]
    pub required_resources: Map<String, Value>,
    /// Its replicas.
    #[serde(default)]
    pub replicas: Vec<ServeReplica>,
    /// Replicas that ended recently.
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
    /// Its id; a replica that replaces it has another one.
    pub replica_id: String,
    /// Its state.
    pub state: ServeReplicaState,
    /// The id of its process; `None` until it is started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When it was started, in seconds since the epoch.
    #[serde(default)]
    pub start_time_s: f64,
    /// Its actor, and everything else that Ray sends.
    #[serde(flatten)]
    pub actor: ServeActor,
}

impl ServeReplica {
    /// When it was started; `None` if Ray shows no such time.
    pub fn started_at(&self) -> Option<SystemTime> {
        time_from_s(self.start_time_s)
    }
}

/// A process that accepts requests on a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServeProxy {
    /// Its status.
    pub status: ServeProxyStatus,
    /// Its actor, and everything else that Ray sends.
    #[serde(flatten)]
    pub actor: ServeActor,
}

/// The actor of a controller, proxy or replica. Every field is `None` until it is placed on a node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServeActor {
    /// The id of its node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// The IP address of its node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_ip: Option<String>,
    /// The id of its node at the cloud provider; empty if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_instance_id: Option<String>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_name: Option<String>,
    /// The id of its worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<String>,
    /// Its log file, relative to the log folder of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_file_path: Option<String>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn time_from_s(seconds: f64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}
