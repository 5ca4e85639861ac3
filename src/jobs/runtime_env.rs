//! The runtime environment of a job, an actor or an application: code, packages, environment
//! variables.

mod check;
mod local_files;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::redact;

/// A runtime environment. Its members are those of Ray.
///
/// ```
/// use ray_client::{JobSubmission, RuntimeEnv};
///
/// let env = RuntimeEnv::new()
///     .working_dir("s3://bucket/app.zip")
///     .pip(["torch==2.5.1", "six"])
///     .env_var("HF_TOKEN", "hf_…");
/// let job = JobSubmission::new("python main.py").runtime_env(env);
/// ```
///
/// JSON is also accepted. Members unknown to this type are passed on unchanged, and known ones are
/// checked when the environment is used. The name of a requirements file
/// (`"pip": "requirements.txt"`) is replaced by the lines of that local file with the feature
/// `packages`, and refused with 400 without it. `Debug` hides the values of `env_vars` and
/// the passwords of URLs.
#[must_use]
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Value", into = "Value")]
pub struct RuntimeEnv(Value);

impl RuntimeEnv {
    /// Creates an environment without members, the default of the cluster.
    pub fn new() -> Self {
        Self(Value::Object(Map::new()))
    }

    /// Sets the directory that the code runs in: the URI of an archive (`s3://…/app.zip`,
    /// `gcs://…`), or a `local://` directory that every node has. With the feature `packages` it
    /// may also be a directory or an archive on this machine, which
    /// [`submit_job`](crate::RayClient::submit_job) uploads. Without the feature, a job with a
    /// local path is refused with 400.
    pub fn working_dir(self, path_or_uri: impl AsRef<Path>) -> Self {
        self.set("working_dir", path_or_uri.as_ref().to_string_lossy())
    }

    /// Adds a Python module: the URI of an archive or a wheel. With the feature `packages` it may
    /// also be a directory, `.py` file, wheel or archive on this machine.
    pub fn py_module(self, path_or_uri: impl AsRef<Path>) -> Self {
        self.add("py_modules", [path_or_uri.as_ref().to_string_lossy()])
    }

    /// Adds patterns, as in `.gitignore`, of local files not to upload.
    pub fn excludes(self, patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.add("excludes", patterns)
    }

    /// Adds requirements for pip to install, for example `torch==2.5.1` or the lines of a
    /// requirements file.
    pub fn pip(self, requirements: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.inside("pip", |pip| pip.add("packages", requirements))
    }

    /// Sets whether `pip check` must pass. Defaults to Ray's `false`.
    pub fn pip_check(self, check: bool) -> Self {
        self.inside("pip", |pip| pip.set("pip_check", check))
    }

    /// Sets the version of pip, including the operator, for example `==24.0`. Defaults to the
    /// version on the node.
    pub fn pip_version(self, version: impl Into<String>) -> Self {
        self.inside("pip", |pip| pip.set("pip_version", version.into()))
    }

    /// Adds options of `pip install`. Defaults to Ray's options.
    pub fn pip_install_options(self, options: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.inside("pip", |pip| pip.add("pip_install_options", options))
    }

    /// Adds requirements for uv to install, as [`pip`](Self::pip) does. Needs Ray 2.40 or newer; 2.9
    /// does not support it.
    pub fn uv(self, requirements: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.inside("uv", |uv| uv.add("packages", requirements))
    }

    /// Sets whether `uv pip check` must pass. Defaults to Ray's `false`.
    pub fn uv_check(self, check: bool) -> Self {
        self.inside("uv", |uv| uv.set("uv_check", check))
    }

    /// Sets the version of uv, including the operator, for example `==0.5.0`. Defaults to the
    /// newest.
    pub fn uv_version(self, version: impl Into<String>) -> Self {
        self.inside("uv", |uv| uv.set("uv_version", version.into()))
    }

    /// Adds options of `uv pip install`. Defaults to Ray's `--no-cache`.
    pub fn uv_pip_install_options(
        self,
        options: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.inside("uv", |uv| uv.add("uv_pip_install_options", options))
    }

    /// Sets the name or the absolute path of a conda environment that every node has. Replaces
    /// [`conda_config`](Self::conda_config).
    pub fn conda(self, name: impl Into<String>) -> Self {
        self.set("conda", name.into())
    }

    /// Sets the conda environment to create: the content of an `environment.yml`, read with any YAML
    /// crate that supports serde. Replaces [`conda`](Self::conda).
    pub fn conda_config(self, config: Map<String, Value>) -> Self {
        self.set("conda", config)
    }

    /// Sets an environment variable.
    pub fn env_var(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.inside("env_vars", |vars| vars.set(name, value.into()))
    }

    /// Sets several environment variables.
    pub fn env_vars<K: Into<String>, V: Into<String>>(
        self,
        vars: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        vars.into_iter().fold(self, |env, (name, value)| env.env_var(name, value))
    }

    /// Sets the command that starts a worker's Python, for example `uv run`. Defaults to the
    /// cluster's Python. Needs Ray 2.49 or newer; 2.40 does not support it.
    pub fn py_executable(self, command: impl Into<String>) -> Self {
        self.set("py_executable", command.into())
    }

    /// Sets the container image that workers run in. Can be combined only with `env_vars` and
    /// `config`. Needs Ray 2.40 or newer; 2.9 does not support it.
    pub fn image_uri(self, uri: impl Into<String>) -> Self {
        self.set("image_uri", uri.into())
    }

    /// Sets the container image that workers run in, and options of the `run` command. For older
    /// Rays; newer ones have [`image_uri`](Self::image_uri). Can be combined only with `env_vars`
    /// and `config`.
    pub fn container(
        self,
        image: impl Into<String>,
        run_options: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let image = image.into();
        self.inside("container", |container| {
            container.set("image", image).add("run_options", run_options)
        })
    }

    /// Sets the function that a worker calls when it starts, for example `my_module.set_up`.
    pub fn worker_process_setup_hook(self, function: impl Into<String>) -> Self {
        self.set("worker_process_setup_hook", function.into())
    }

    /// Sets how long the creation of the environment may take. Rounded down to whole seconds; less than
    /// one counts as one. `None` means no limit. Defaults to Ray's 10 minutes.
    pub fn setup_timeout(self, timeout: Option<Duration>) -> Self {
        let seconds = timeout.map_or(json!(-1), |timeout| json!(timeout.as_secs().max(1)));
        self.inside("config", |config| config.set("setup_timeout_seconds", seconds))
    }

    /// Sets whether the environment is created when the job starts, before a worker needs it.
    /// Defaults to Ray's `true`.
    pub fn eager_install(self, eager: bool) -> Self {
        self.inside("config", |config| config.set("eager_install", eager))
    }

    /// Adds log files of this environment that the dashboard shows. Needs Ray 2.40 or newer; 2.9
    /// does not support it.
    pub fn log_files(self, files: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.inside("config", |config| config.add("log_files", files))
    }

    /// Profiles workers with Nsight, with Ray's default options.
    pub fn nsight_default(self) -> Self {
        self.set("nsight", "default")
    }

    /// Profiles workers with Nsight and these options of `nsys profile`, for example
    /// `("t", "cuda,nvtx")`.
    pub fn nsight<K: Into<String>, V: Into<String>>(
        self,
        options: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.set("nsight", texts(options))
    }

    /// Profiles workers with rocprof-sys, with Ray's default options. Needs Ray 2.49 or newer; 2.40
    /// does not support it.
    pub fn rocprof_sys_default(self) -> Self {
        self.set("rocprof_sys", "default")
    }

    /// Profiles workers with rocprof-sys and these options and environment variables.
    pub fn rocprof_sys<K: Into<String>, V: Into<String>>(
        self,
        args: impl IntoIterator<Item = (K, V)>,
        env: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.set("rocprof_sys", json!({"args": texts(args), "env": texts(env)}))
    }

    /// Sets any other member, unchanged.
    pub fn field(self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.set(name, value)
    }

    /// Returns the members as a JSON object.
    pub fn as_json(&self) -> &Value {
        &self.0
    }

    fn set(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        // JSON that is not an object stays unchanged, and is refused when it is used.
        if let Value::Object(members) = &mut self.0 {
            members.insert(name.into(), value.into());
        }
        self
    }

    /// Adds items to a list.
    fn add<T: Into<String>>(mut self, name: &str, items: impl IntoIterator<Item = T>) -> Self {
        let items = items.into_iter().map(|item| Value::String(item.into()));
        if let Value::Object(members) = &mut self.0 {
            let list = members.entry(name).or_insert_with(|| json!([]));
            match list {
                Value::Array(list) => list.extend(items),
                other => *other = items.collect(),
            }
        }
        self
    }

    /// Changes an object inside. Requirements become Ray's longer form of them.
    fn inside(self, name: &str, change: impl FnOnce(Self) -> Self) -> Self {
        let object = match self.0.get(name) {
            Some(Value::Object(members)) => Value::Object(members.clone()),
            Some(packages @ (Value::Array(_) | Value::String(_))) => json!({"packages": packages}),
            _ => json!({}),
        };
        let Self(changed) = change(Self(object));
        self.set(name, changed)
    }

    /// Adds the members of `other`, which replace those of the same name.
    pub(super) fn merge(self, other: Self) -> Self {
        match other.0 {
            Value::Object(members) => {
                members.into_iter().fold(self, |env, (name, value)| env.set(name, value))
            }
            no_object => Self(no_object),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.as_object().is_some_and(Map::is_empty)
    }
}

impl Default for RuntimeEnv {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Value> for RuntimeEnv {
    fn from(json: Value) -> Self {
        if json.is_null() { Self::new() } else { Self(json) }
    }
}

impl From<Map<String, Value>> for RuntimeEnv {
    fn from(members: Map<String, Value>) -> Self {
        Self(Value::Object(members))
    }
}

impl From<RuntimeEnv> for Value {
    fn from(env: RuntimeEnv) -> Self {
        env.0
    }
}

impl fmt::Debug for RuntimeEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RuntimeEnv ")?;
        let Some(members) = self.0.as_object() else {
            return f.write_str("(no JSON object)");
        };
        let mut map = f.debug_map();
        for (name, value) in members {
            match value {
                Value::Object(vars) if name == "env_vars" => {
                    let hidden: Map<_, _> =
                        vars.keys().map(|name| (name.clone(), "…".into())).collect();
                    map.entry(name, &hidden);
                }
                _ if name == "env_vars" => {
                    map.entry(name, &"…");
                }
                value => {
                    map.entry(name, &without_url_passwords(value));
                }
            }
        }
        map.finish()
    }
}

fn without_url_passwords(value: &Value) -> Value {
    match value {
        Value::String(text) => redact::hide_userinfo(text).into(),
        Value::Array(items) => items.iter().map(without_url_passwords).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), without_url_passwords(value)))
            .collect(),
        other => other.clone(),
    }
}

fn texts<K: Into<String>, V: Into<String>>(
    pairs: impl IntoIterator<Item = (K, V)>,
) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.into(), value.into().into())).collect()
}

#[cfg(test)]
mod tests;
