//! What Serve is told to run.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::wire::string_enum;
use crate::{ClientError, validate};

string_enum! {
    /// On which nodes Serve listens for requests.
    ServeProxyLocation {
        /// On none.
        Disabled = "Disabled",
        /// On the head node.
        HeadOnly = "HeadOnly",
        /// On every node that has a replica: Ray's default.
        EveryNode = "EveryNode",
    }
}

/// The whole state that Serve should have. Every declarative application that is not in it is deleted.
///
/// ```
/// use ray_client::{ServeApplicationConfig, ServeConfig};
/// use serde_json::json;
///
/// let config = ServeConfig {
///     applications: vec![ServeApplicationConfig::new("text", "models:text").route_prefix("/text")],
///     http_options: json!({"host": "127.0.0.1", "port": 8000}).as_object().cloned(),
///     ..ServeConfig::default()
/// };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServeConfig {
    /// The applications to run.
    pub applications: Vec<ServeApplicationConfig>,
    /// Where to listen. `None` is Ray's `EveryNode`. Only the start of Serve looks at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_location: Option<ServeProxyLocation>,
    /// Host, port, timeouts and certificates of HTTP. `None` is Ray's default: port 8000 of every
    /// interface. Only the start of Serve looks at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_options: Option<Map<String, Value>>,
    /// Port, servicer functions and timeouts of gRPC. `None` is Ray's default: no gRPC. Only the
    /// start of Serve looks at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_options: Option<Map<String, Value>>,
    /// Logging of Serve itself, and of every application that has none of its own. `None` leaves it
    /// as it is. Ray does not tell it again: [`ServeDetails`](crate::ServeDetails) is without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging_config: Option<Map<String, Value>>,
    /// Tracing of Serve. `None` leaves it as it is. Ray does not tell it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing_config: Option<Map<String, Value>>,
    /// Options of the controller's actor. Only the start of Serve looks at it, and Ray does not tell
    /// it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller_options: Option<Map<String, Value>>,
    /// How much of the replicas to run, in percent, from 0 to 100. `None` is all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_capacity: Option<f64>,
    /// Options that this version of the library does not know. Ray ignores those it does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One application that Serve should run, and its options as Ray documents them.
///
/// ```
/// use ray_client::{ServeApplicationConfig, ServeDeploymentConfig};
/// use serde_json::json;
///
/// let application = ServeApplicationConfig::new("text", "models:text")
///     .route_prefix("/text")
///     .args(json!({"model": "small"}))
///     .runtime_env(json!({"env_vars": {"HF_TOKEN": "…"}}))
///     .deployment(ServeDeploymentConfig::new("Translator").num_replicas(2));
/// ```
#[must_use]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServeApplicationConfig {
    /// Its name, which no other application of the cluster has.
    #[serde(default = "default_name")]
    pub name: String,
    /// Where its code is, as `module.submodule:application`.
    pub import_path: String,
    /// All other options. One that is not there has Ray's default, which for some of them, as
    /// `route_prefix`, is not the same as one that is `null`.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

/// Ray's own name for an application that was deployed without one.
fn default_name() -> String {
    "default".to_owned()
}

impl ServeApplicationConfig {
    /// An application of this name, built by this import path: `module:application`, or the function
    /// that makes it of its [`args`](Self::args).
    pub fn new(name: impl Into<String>, import_path: impl Into<String>) -> Self {
        Self { name: name.into(), import_path: import_path.into(), options: Map::new() }
    }

    /// The path below which it answers HTTP requests. Begins with `/`, and does not end with one.
    /// Defaults to Ray's `/`.
    pub fn route_prefix(self, prefix: impl Into<String>) -> Self {
        self.option("route_prefix", prefix.into())
    }

    /// Not to be reached over HTTP: only by other applications.
    pub fn without_route(self) -> Self {
        self.option("route_prefix", Value::Null)
    }

    /// The arguments of the function that builds it: a JSON object. Defaults to none.
    pub fn args(self, args: impl Into<Value>) -> Self {
        self.option("args", args)
    }

    /// Its runtime environment: a JSON object as Ray documents it. A `working_dir` or one of its
    /// `py_modules` is a remote URI, or a `local://` one. Defaults to none.
    pub fn runtime_env(self, runtime_env: impl Into<Value>) -> Self {
        self.option("runtime_env", runtime_env)
    }

    /// Options of one of its deployments, which go before those in the code. Takes the place of
    /// those given for the same deployment before.
    pub fn deployment(mut self, deployment: ServeDeploymentConfig) -> Self {
        let ServeDeploymentConfig { name, mut options } = deployment;
        options.insert("name".to_owned(), name.clone().into());
        let all = self.options.entry("deployments").or_insert_with(|| Value::Array(Vec::new()));
        if !all.is_array() {
            *all = Value::Array(Vec::new());
        }
        if let Value::Array(all) = all {
            all.retain(|other| other["name"] != *name);
            all.push(options.into());
        }
        self
    }

    /// The logging of its replicas: a JSON object. Defaults to that of Serve.
    pub fn logging_config(self, logging_config: impl Into<Value>) -> Self {
        self.option("logging_config", logging_config)
    }

    /// Whether its deployments are scaled by
    /// [`scale_serve_deployment`](crate::RayClient::scale_serve_deployment) and not by Serve.
    /// Defaults to Ray's `false`. Needs Ray 2.52 or newer.
    pub fn external_scaler_enabled(self, enabled: bool) -> Self {
        self.option("external_scaler_enabled", enabled)
    }

    /// The policy that scales all its deployments: a JSON object. Defaults to none.
    pub fn autoscaling_policy(self, policy: impl Into<Value>) -> Self {
        self.option("autoscaling_policy", policy)
    }

    /// Any other of Ray's options, or one that this version of the library does not know. Ray ignores
    /// those that it does not know, and refuses `host` and `port`, which belong into
    /// [`ServeConfig::http_options`].
    pub fn option(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.options.insert(name.into(), value.into());
        self
    }

    pub(super) fn check(&self) -> Result<(), ClientError> {
        let name = validate::id("application name", &self.name)?;
        if self.import_path.trim().is_empty() {
            return Err(ClientError::invalid(format_args!(
                "import_path of `{name}`: must not be empty"
            )));
        }
        for option in ["args", "runtime_env"] {
            if self.options.get(option).is_some_and(|value| !value.is_object()) {
                return Err(ClientError::invalid(format_args!(
                    "{option} of `{name}`: must be a JSON object"
                )));
            }
        }
        Ok(())
    }
}

/// Options of one deployment of an application. Those that are not there are as in its code.
#[must_use]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServeDeploymentConfig {
    /// The name that the deployment has in the code.
    pub name: String,
    /// All other options.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

impl ServeDeploymentConfig {
    /// Options of the deployment of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), options: Map::new() }
    }

    /// How many replicas run. Ray wants at least 1.
    pub fn num_replicas(self, replicas: u32) -> Self {
        self.option("num_replicas", replicas)
    }

    /// Lets Serve choose the number of replicas by their load: a JSON object, as
    /// `{"min_replicas": 1, "max_replicas": 4}`. Not beside [`num_replicas`](Self::num_replicas).
    pub fn autoscaling_config(self, autoscaling_config: impl Into<Value>) -> Self {
        self.option("autoscaling_config", autoscaling_config)
    }

    /// How many requests a replica works on at a time.
    pub fn max_ongoing_requests(self, requests: u32) -> Self {
        self.option("max_ongoing_requests", requests)
    }

    /// What the deployment's `reconfigure` gets, without a restart: a JSON object.
    pub fn user_config(self, user_config: impl Into<Value>) -> Self {
        self.option("user_config", user_config)
    }

    /// Resources and runtime environment of each replica: a JSON object, as `{"num_cpus": 0.5}`.
    pub fn ray_actor_options(self, options: impl Into<Value>) -> Self {
        self.option("ray_actor_options", options)
    }

    /// Any other of Ray's options. Ray ignores those that it does not know.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.options.insert(name.into(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_is_sent_as_it_was_built() {
        let config = ServeConfig {
            applications: vec![
                ServeApplicationConfig::new("a", "m:a")
                    .route_prefix("/a")
                    .deployment(ServeDeploymentConfig::new("D").num_replicas(1))
                    .deployment(ServeDeploymentConfig::new("E"))
                    .deployment(ServeDeploymentConfig::new("D").num_replicas(2)),
                ServeApplicationConfig::new("b", "m:b").without_route(),
            ],
            target_capacity: Some(50.0),
            ..ServeConfig::default()
        };
        let sent = json!({
            "applications": [
                {"name": "a", "import_path": "m:a", "route_prefix": "/a",
                 "deployments": [{"name": "E"}, {"name": "D", "num_replicas": 2}]},
                {"name": "b", "import_path": "m:b", "route_prefix": null},
            ],
            "target_capacity": 50.0,
        });
        assert_eq!(serde_json::to_value(&config).unwrap(), sent);
        assert_eq!(serde_json::from_value::<ServeConfig>(sent).unwrap(), config);
    }

    #[test]
    fn an_application_without_a_name_has_rays_default() {
        let config: ServeApplicationConfig =
            serde_json::from_value(json!({"import_path": "m:a"})).unwrap();
        assert_eq!(config, ServeApplicationConfig::new("default", "m:a"));
    }

    #[test]
    fn what_cannot_be_right_is_refused() {
        let config = ServeApplicationConfig::new("a", "m:a");
        assert!(config.clone().args(json!({})).check().is_ok());
        for (config, why) in [
            (ServeApplicationConfig::new("a/b", "m:a"), "application name: must not have /"),
            (ServeApplicationConfig::new("a", " "), "import_path of `a`: must not be empty"),
            (config.clone().args(json!([1])), "args of `a`: must be a JSON object"),
            (config.runtime_env("x"), "runtime_env of `a`: must be a JSON object"),
        ] {
            let error = config.check().unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(error.to_string().starts_with(why), "{error}");
        }
    }
}
