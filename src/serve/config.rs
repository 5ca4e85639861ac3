//! What Serve is to run: models that are sent, and what is refused before they are.

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
        /// None.
        Disabled = "Disabled",
        /// The head node.
        HeadOnly = "HeadOnly",
        /// Every node that has a replica. Ray's default.
        EveryNode = "EveryNode",
    }
}

/// The whole state that Serve should have. Declarative applications that are not in it are deleted.
///
/// Reads the files that `serve build` writes, with any YAML crate that supports serde; `docs/serve.md`
/// shows it. Members that this version of the library does not know are kept in `extra` and `options`.
/// JSON, and so `serde_json::Value`, has no `.nan` and `.inf`: they are read as `null`.
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
    /// Where to listen. Defaults to Ray's `EveryNode`. Takes effect only when Serve starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_location: Option<ServeProxyLocation>,
    /// Host, port, timeouts and certificates of HTTP. Defaults to Ray's: port 8000 on every interface.
    /// Takes effect only when Serve starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_options: Option<Map<String, Value>>,
    /// Port, servicer functions and timeouts of gRPC. Defaults to Ray's: no gRPC. Takes effect only when
    /// Serve starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_options: Option<Map<String, Value>>,
    /// Logging of Serve itself, and of every application that has none of its own. `None` leaves it
    /// unchanged. Ray does not show it: [`ServeDetails`](crate::serve::ServeDetails) does not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging_config: Option<Map<String, Value>>,
    /// Tracing of Serve. `None` leaves it unchanged. Ray does not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing_config: Option<Map<String, Value>>,
    /// Options of the controller's actor. Takes effect only when Serve starts. Ray does not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller_options: Option<Map<String, Value>>,
    /// How many of the replicas to run, in percent, from 0 to 100. Defaults to all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_capacity: Option<f64>,
    /// Options that this version of the library does not know. Ray ignores those that it does not know
    /// either.
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

/// An application that Serve should run, with its options as Ray documents them.
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
    /// Its name, unique in the cluster. Must be ASCII and have no `/`, because Ray fails otherwise.
    /// Defaults to `default` if it is read from a file that has none.
    #[serde(default = "default_name")]
    pub name: String,
    /// Where its code is: `module.submodule:application`.
    pub import_path: String,
    /// All other options. One that is missing has Ray's default, which for some of them, for example
    /// `route_prefix`, differs from `null`.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

/// Ray's own name for an application that was deployed without one.
fn default_name() -> String {
    "default".to_owned()
}

impl ServeApplicationConfig {
    /// Creates the configuration of an application with this name. `import_path` is
    /// `module:application`, or `module:function` if a function builds it from its
    /// [`args`](Self::args).
    pub fn new(name: impl Into<String>, import_path: impl Into<String>) -> Self {
        Self { name: name.into(), import_path: import_path.into(), options: Map::new() }
    }

    /// Sets the path prefix of its HTTP requests, which begins with `/` and does not end with one.
    /// Defaults to Ray's `/`.
    pub fn route_prefix(self, prefix: impl Into<String>) -> Self {
        self.option("route_prefix", prefix.into())
    }

    /// Makes it unreachable over HTTP; other applications can still call it.
    pub fn without_route(self) -> Self {
        self.option("route_prefix", Value::Null)
    }

    /// Sets the arguments of the function that builds it: a JSON object. Defaults to none.
    pub fn args(self, args: impl Into<Value>) -> Self {
        self.option("args", args)
    }

    /// Sets its runtime environment: a JSON object as Ray documents it. Its `working_dir` and each of
    /// its `py_modules` must be a URI: a remote one (for example `https://`, `s3://`), `gcs://` with an
    /// uploaded package, `file://` with an archive that every node has, or, on Ray 2.60 but not yet on
    /// 2.49, `local://` with a directory that every node has. Defaults to none.
    pub fn runtime_env(self, runtime_env: impl Into<Value>) -> Self {
        self.option("runtime_env", runtime_env)
    }

    /// Sets options of one of its deployments, which override those in the code. Replaces options that
    /// were given for the same deployment before.
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

    /// Sets the logging of its replicas: a JSON object. Defaults to that of Serve.
    pub fn logging_config(self, logging_config: impl Into<Value>) -> Self {
        self.option("logging_config", logging_config)
    }

    /// Sets whether its deployments are scaled by
    /// [`scale_serve_deployment`](crate::RayClient::scale_serve_deployment) instead of by Serve.
    /// Defaults to Ray's `false`. Needs Ray 2.52 or newer.
    pub fn external_scaler_enabled(self, enabled: bool) -> Self {
        self.option("external_scaler_enabled", enabled)
    }

    /// Sets the policy that scales all its deployments: a JSON object. Defaults to none.
    pub fn autoscaling_policy(self, policy: impl Into<Value>) -> Self {
        self.option("autoscaling_policy", policy)
    }

    /// Sets any other option of Ray's. Ray ignores options that it does not know, and refuses `host` and
    /// `port`, which belong in [`ServeConfig::http_options`].
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

/// Refuses what was copied from a page that shows no secrets.
fn check_secrets(
    operation: fmt::Arguments<'_>,
    options: &Map<String, Value>,
) -> Result<(), ClientError> {
    match redacted_env_var(options) {
        None => Ok(()),
        Some(variable) => Err(ClientError::invalid(format_args!(
            "{operation}: env_vars has `{variable}` as <redacted>, as Ray shows it to a browser; put its \
             value there"
        ))),
    }
}

/// Options of one deployment of an application. Missing ones are as in its code.
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
    /// `{"min_replicas": 1, "max_replicas": 4}`. Excludes [`num_replicas`](Self::num_replicas).
    pub fn autoscaling_config(self, autoscaling_config: impl Into<Value>) -> Self {
        self.option("autoscaling_config", autoscaling_config)
    }

    /// Sets how many requests a replica handles at the same time.
    pub fn max_ongoing_requests(self, requests: u32) -> Self {
        self.option("max_ongoing_requests", requests)
    }

    /// Sets what the deployment's `reconfigure` gets, without a restart: a JSON object.
    pub fn user_config(self, user_config: impl Into<Value>) -> Self {
        self.option("user_config", user_config)
    }

    /// Sets resources and runtime environment of each replica: a JSON object, for example
    /// `{"num_cpus": 0.5}`.
    pub fn ray_actor_options(self, options: impl Into<Value>) -> Self {
        self.option("ray_actor_options", options)
    }

    /// Sets any other option of Ray's. Ray ignores options that it does not know.
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
