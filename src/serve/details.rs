//! The state that Serve reports: models only, no calls.

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
        /// It is not deployed yet.
        NotStarted = "NOT_STARTED",
        /// It is being built, or its replicas are starting. A running application has this status
        /// for a moment after another one is deployed, and keeps serving requests.
        Deploying = "DEPLOYING",
        /// Its build failed, or its replicas could not be started. [`ServeApplication::reason`]
        /// returns the reason.
        DeployFailed = "DEPLOY_FAILED",
        /// All its deployments are healthy.
        Running = "RUNNING",
        /// It was running, but one of its deployments is now unhealthy.
        Unhealthy = "UNHEALTHY",
        /// Its replicas are stopping.
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
        /// All its replicas are running.
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
        /// The controller has restarted and is checking it.
        Recovering = "RECOVERING",
        /// It is serving requests.
        Running = "RUNNING",
        /// It is stopping.
        Stopping = "STOPPING",
        /// It has stopped; see [`ServeDeployment::recent_dead_replicas`].
        Stopped = "STOPPED",
        /// Its node is being drained. It is running and will be replaced.
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
        /// It does not respond to the controller.
        Unhealthy = "UNHEALTHY",
        /// It accepts no new requests.
        Draining = "DRAINING",
        /// It is about to be removed.
        Drained = "DRAINED",
    }
}

/// Serve's state: its options, proxies and applications. Returned by
/// [`get_serve_details`](crate::RayClient::get_serve_details).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServeDetails {
    /// The controller's actor; every field is `None` if Serve is not running.
    #[serde(default)]
    pub controller_info: ServeActor,
    /// The nodes that listen for requests; `None` if Serve is not running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_location: Option<ServeProxyLocation>,
    /// Host, port, timeouts and certificates of HTTP; `None` if Serve is not running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_options: Option<Map<String, Value>>,
    /// Port, servicer functions and timeouts of gRPC; `None` if Serve is not running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_options: Option<Map<String, Value>>,
    /// The proxies, by node id.
    #[serde(default)]
    pub proxies: BTreeMap<String, ServeProxy>,
    /// The applications by name, including imperative ones and those that are being deleted.
    #[serde(default)]
    pub applications: BTreeMap<String, ServeApplication>,
    /// The percentage of the replicas to run; `None` means all of them.
    pub target_capacity: Option<f64>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ServeDetails {
    /// Returns whether Serve is running on the cluster, with or without applications.
    pub fn is_running(&self) -> bool {
        self.controller_info.actor_id.is_some()
    }

    /// Returns a configuration that deploys this state again: the options, and the declarative
    /// applications that are not being deleted. Options that Ray does not report are missing (see
    /// [`ServeConfig`]).
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let mut config = client.get_serve_details()?.config();
    /// config.target_capacity = Some(50.0);
    /// client.deploy_serve_applications(&config)?;
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// Two kinds of numbers change: integers of more than 64 bits become floats, and `NaN`,
    /// `Infinity` and `-Infinity`, which Ray accepts although they are not JSON, become strings.
    /// Deploying the configuration changes an application that contains them. Deploying or deleting
    /// *one* application keeps them unchanged in all others.
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
    /// The name.
    pub name: String,
    /// The path prefix of its HTTP requests; `None` if it has none, or while it is being built.
    pub route_prefix: Option<String>,
    /// The path of its own documentation, for example generated by `FastAPI`.
    pub docs_path: Option<String>,
    /// The status.
    pub status: ServeApplicationStatus,
    /// Ray's explanation of the status. Often a whole Python traceback, or only the names of the
    /// failed deployments; [`reason`](Self::reason) is shorter.
    #[serde(default)]
    pub message: String,
    /// When it was deployed, in seconds since the epoch. Every deployment sets it for all
    /// declarative applications.
    #[serde(default)]
    pub last_deployed_time_s: f64,
    /// The configuration it was deployed with, without defaults. `None` if it was created by
    /// `serve.run`, and usually while it is being deleted.
    pub deployed_app_config: Option<ServeApplicationConfig>,
    /// How it was deployed; `None` before Ray 2.32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<ServeSource>,
    /// The deployments by name; empty while the application is being built, or if the build failed.
    #[serde(default)]
    pub deployments: BTreeMap<String, ServeDeployment>,
    /// Whether the deployments have an external scaler; `None` before Ray 2.52.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_scaler_enabled: Option<bool>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ServeApplication {
    /// Returns when the application was deployed; `None` if Ray reports no time.
    pub fn deployed_at(&self) -> Option<SystemTime> {
        time_from_s(self.last_deployed_time_s)
    }

    /// Returns why the application is not running, in one line of at most 300 characters: the last
    /// error line of an unhealthy deployment (of a failed one, if any), otherwise of the
    /// application. `None` if Ray reports no reason.
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
    /// The name.
    pub name: String,
    /// The status.
    pub status: ServeDeploymentStatus,
    /// The event that led to the status, for example `CONFIG_UPDATE_COMPLETED`.
    pub status_trigger: Option<String>,
    /// Ray's explanation of the status, often a whole Python traceback.
    #[serde(default)]
    pub message: String,
    /// The options in effect, from the configuration, the code and Ray's defaults.
    pub deployment_config: ServeDeploymentConfig,
    /// The number of replicas that it should have now.
    pub target_num_replicas: Option<u64>,
    /// The resources that each replica needs, by name.
    #[serde(default)]
    pub required_resources: Map<String, Value>,
    /// The replicas.
    #[serde(default)]
    pub replicas: Vec<ServeReplica>,
    /// The replicas that ended recently.
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
    /// The id. A replacement has a different one.
    pub replica_id: String,
    /// The state.
    pub state: ServeReplicaState,
    /// The process id; `None` until the process has started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When the replica was started, in seconds since the epoch.
    #[serde(default)]
    pub start_time_s: f64,
    /// The actor, and everything else that Ray sends.
    #[serde(flatten)]
    pub actor: ServeActor,
}

impl ServeReplica {
    /// Returns when the replica was started; `None` if Ray reports no time.
    pub fn started_at(&self) -> Option<SystemTime> {
        time_from_s(self.start_time_s)
    }
}

/// A process that accepts requests on a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServeProxy {
    /// The status.
    pub status: ServeProxyStatus,
    /// The actor, and everything else that Ray sends.
    #[serde(flatten)]
    pub actor: ServeActor,
}

/// The actor of a controller, proxy or replica. Every field is `None` until the actor is placed on
/// a node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServeActor {
    /// The id of its node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// The IP address of its node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_ip: Option<String>,
    /// The id of its node at the cloud provider; empty if none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_instance_id: Option<String>,
    /// The actor id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<String>,
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_name: Option<String>,
    /// The id of its worker process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<String>,
    /// The path of its log file, relative to the node's log directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_file_path: Option<String>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn time_from_s(seconds: f64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}
