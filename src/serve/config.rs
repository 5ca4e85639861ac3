//! The desired state of Serve: the models that are sent, and the checks before that. The state that
//! Ray reports is in `details.rs`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::name;
use super::redacted::redacted_env_var;
use crate::ClientError;
use crate::string_enum::string_enum;

string_enum! {
    /// The nodes on which Serve listens for requests.
    ServeProxyLocation {
        /// No node.
        Disabled = "Disabled",
        /// The head node.
        HeadOnly = "HeadOnly",
        /// Every node that has a replica. Ray's default.
        EveryNode = "EveryNode",
    }
}

/// The desired state of Serve. Deploying it deletes the declarative applications that it does not
/// contain.
///
/// Reads the files that `serve build` writes, with any YAML crate that supports serde; see the
/// guide's chapter on [Serve](crate::guide::serve). Unknown members are kept in `extra` and
/// `options`. YAML's `.nan` and `.inf` are read as `null`, because JSON does not have them.
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
    /// The nodes that listen for requests. Defaults to Ray's `EveryNode`. Takes effect only when
    /// Serve starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_location: Option<ServeProxyLocation>,
    /// Host, port, timeouts and certificates of HTTP. Defaults to port 8000 on every interface.
    /// Takes effect only when Serve starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_options: Option<Map<String, Value>>,
    /// Port, servicer functions and timeouts of gRPC. Defaults to no gRPC. Takes effect only when
    /// Serve starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_options: Option<Map<String, Value>>,
    /// Logging of Serve, and of the applications in this configuration that have none of their own.
    /// `None` leaves it unchanged. Applications that are deployed later do not inherit it. Ray does not
    /// report it, so [`ServeDetails`](crate::serve::ServeDetails) does not contain it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging_config: Option<Map<String, Value>>,
    /// Tracing of Serve. `None` leaves it unchanged. Ray does not report it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing_config: Option<Map<String, Value>>,
    /// Options of the controller's actor. Takes effect only when Serve starts. Ray does not report
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller_options: Option<Map<String, Value>>,
    /// The percentage of the replicas to run, from 0 to 100. Defaults to all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_capacity: Option<f64>,
    /// Options that this version of the library does not know. Ray ignores unknown options.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ServeConfig {
    pub(super) fn check(&self) -> Result<(), ClientError> {
        self.applications.iter().try_for_each(ServeApplicationConfig::check)?;
        let controller = self.controller_options.iter();
        controller
            .chain([&self.extra])
            .try_for_each(|options| check_secrets(format_args!("Serve's own options"), options))
    }
}

/// The desired state of one application, with its options in Ray's format.
///
/// ```
/// use ray_client::ServeApplicationConfig;
/// use ray_client::serve::ServeDeploymentConfig;
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
    /// The name, unique in the cluster. Must be ASCII without `/` and control characters, and at
    /// most 255 bytes, because Ray fails otherwise. If a file does not contain it, it is `default`.
    #[serde(default = "default_name")]
    pub name: String,
    /// The import path of the code: `module.submodule:application`.
    pub import_path: String,
    /// All other options. A missing one has Ray's default, which may differ from `null`, for
    /// example for `route_prefix`.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

/// Ray's own name for an application without one.
fn default_name() -> String {
    "default".to_owned()
}

impl ServeApplicationConfig {
    /// Creates the configuration of an application. `import_path` is `module:application`, or
    /// `module:function` if a function builds the application from its [`args`](Self::args).
    pub fn new(name: impl Into<String>, import_path: impl Into<String>) -> Self {
        Self { name: name.into(), import_path: import_path.into(), options: Map::new() }
    }

    /// Sets the path prefix of the application's HTTP requests. It must begin with `/` and must not
    /// end with another one. Defaults to Ray's `/`.
    pub fn route_prefix(self, prefix: impl Into<String>) -> Self {
        self.option("route_prefix", prefix.into())
    }

    /// Makes the application unreachable over HTTP. Other applications can still call it.
    pub fn without_route(self) -> Self {
        self.option("route_prefix", Value::Null)
    }

    /// Sets the arguments of the function that builds the application: a JSON object. Defaults to
    /// none.
    pub fn args(self, args: impl Into<Value>) -> Self {
        self.option("args", args)
    }

    /// Sets the runtime environment: a [`RuntimeEnv`](crate::RuntimeEnv), or a JSON object in Ray's
    /// format. Defaults to none.
    ///
    /// Its `working_dir` and `py_modules` must be URIs:
    ///
    /// - a remote one, for example `https://` or `s3://`
    /// - `gcs://`, a package uploaded to the cluster
    /// - `file://`, an archive that every node has
    /// - `local://`, a directory that every node has; Ray 2.60 supports this, Ray 2.49 does not
    pub fn runtime_env(self, runtime_env: impl Into<Value>) -> Self {
        self.option("runtime_env", runtime_env)
    }

    /// Sets options of one deployment, which override the options in the code. Replaces options set
    /// earlier for the same deployment.
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

    /// Sets the logging of the replicas: a JSON object. Defaults to the
    /// [`logging_config`](ServeConfig::logging_config) of the configuration that it is deployed with, or
    /// to Ray's default.
    pub fn logging_config(self, logging_config: impl Into<Value>) -> Self {
        self.option("logging_config", logging_config)
    }

    /// Sets whether [`scale_serve_deployment`](crate::RayClient::scale_serve_deployment) scales the
    /// deployments, instead of Serve. Defaults to Ray's `false`. Needs Ray 2.52 or newer.
    pub fn external_scaler_enabled(self, enabled: bool) -> Self {
        self.option("external_scaler_enabled", enabled)
    }

    /// Sets the policy that scales all deployments: a JSON object. Defaults to none.
    pub fn autoscaling_policy(self, policy: impl Into<Value>) -> Self {
        self.option("autoscaling_policy", policy)
    }

    /// Sets any other option. Ray ignores unknown options, and refuses `host` and `port`, which
    /// belong in [`ServeConfig::http_options`].
    pub fn option(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.options.insert(name.into(), value.into());
        self
    }

    pub(super) fn check(&self) -> Result<(), ClientError> {
        let name = name::to_deploy(&self.name)?;
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
        check_secrets(format_args!("application `{name}`"), &self.options)
    }
}

/// Refuses a configuration copied from a page that hides secrets.
fn check_secrets(
    subject: fmt::Arguments<'_>,
    options: &Map<String, Value>,
) -> Result<(), ClientError> {
    match redacted_env_var(options) {
        None => Ok(()),
        Some(variable) => Err(ClientError::invalid(format_args!(
            "{subject}: env_vars has `{variable}` as <redacted>, which Ray shows to browsers instead of \
             the value; set the value"
        ))),
    }
}

/// The options of one deployment. Missing options are taken from the application's code.
///
/// ```
/// use ray_client::serve::ServeDeploymentConfig;
/// use serde_json::json;
///
/// let deployment = ServeDeploymentConfig::new("Translator")
///     .autoscaling_config(json!({"min_replicas": 1, "max_replicas": 4}))
///     .ray_actor_options(json!({"num_cpus": 0.5}));
/// ```
#[must_use]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServeDeploymentConfig {
    /// The name of the deployment in the code.
    pub name: String,
    /// All other options.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

impl ServeDeploymentConfig {
    /// Creates options for the deployment with this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), options: Map::new() }
    }

    /// Sets the number of replicas. Ray requires at least 1.
    pub fn num_replicas(self, replicas: u32) -> Self {
        self.option("num_replicas", replicas)
    }

    /// Lets Serve choose the number of replicas by their load: a JSON object, for example
    /// `{"min_replicas": 1, "max_replicas": 4}`. Cannot be combined with
    /// [`num_replicas`](Self::num_replicas).
    pub fn autoscaling_config(self, autoscaling_config: impl Into<Value>) -> Self {
        self.option("autoscaling_config", autoscaling_config)
    }

    /// Sets the number of requests that a replica handles at the same time.
    pub fn max_ongoing_requests(self, requests: u32) -> Self {
        self.option("max_ongoing_requests", requests)
    }

    /// Sets the argument of the deployment's `reconfigure`: a JSON object. Changing it does not
    /// restart replicas.
    pub fn user_config(self, user_config: impl Into<Value>) -> Self {
        self.option("user_config", user_config)
    }

    /// Sets the resources and the runtime environment of each replica: a JSON object, for example
    /// `{"num_cpus": 0.5}`.
    pub fn ray_actor_options(self, options: impl Into<Value>) -> Self {
        self.option("ray_actor_options", options)
    }

    /// Sets any other option. Ray ignores unknown options.
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
    fn a_configuration_serializes_as_ray_expects() {
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
    fn an_application_without_a_name_is_called_default() {
        let config: ServeApplicationConfig =
            serde_json::from_value(json!({"import_path": "m:a"})).unwrap();
        assert_eq!(config, ServeApplicationConfig::new("default", "m:a"));
    }

    #[test]
    fn invalid_configurations_are_refused() {
        let config = ServeApplicationConfig::new("a", "m:a");
        assert!(config.clone().args(json!({})).check().is_ok());
        for (config, why) in [
            (ServeApplicationConfig::new("a/b", "m:a"), "application name `a/b`: must not have /"),
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
