//! Checks the known members of a runtime environment before anything is sent.

use serde_json::{Map, Value};

use super::RuntimeEnv;
use super::local_files::file_name;
use crate::ClientError;

impl RuntimeEnv {
    /// # Errors
    /// 400 for values that Ray would refuse only after the job has started, or with a traceback.
    pub(in crate::jobs) fn check(&self) -> Result<(), ClientError> {
        let Some(members) = self.0.as_object() else {
            return Err(ClientError::invalid("runtime_env: must be a JSON object"));
        };
        for (name, value) in members {
            if let Some(wanted) = wrong_kind(name, value) {
                return Err(ClientError::invalid(format_args!(
                    "runtime_env: {name} must be {wanted}"
                )));
            }
        }
        for outer in ["config", "pip", "uv"] {
            for (name, value) in members.get(outer).and_then(Value::as_object).into_iter().flatten()
            {
                if let Some(wanted) = wrong_kind_inside(outer, name, value) {
                    return Err(ClientError::invalid(format_args!(
                        "runtime_env: {name} of {outer} must be {wanted}"
                    )));
                }
            }
        }
        check_installers(members)
    }
}

fn are_strings(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(Value::is_string))
}

/// Ray accepts only one of pip, uv and conda, and options of pip and uv only beside packages.
fn check_installers(members: &Map<String, Value>) -> Result<(), ClientError> {
    let given = |name: &&str| members.get(*name).is_some_and(|value| !value.is_null());
    let installers: Vec<_> = ["pip", "uv", "conda"].into_iter().filter(given).collect();
    if installers.len() > 1 {
        return Err(ClientError::invalid(format_args!(
            "runtime_env: {} cannot be given together",
            installers.join(" and ")
        )));
    }
    for name in ["pip", "uv"] {
        if members
            .get(name)
            .and_then(Value::as_object)
            .is_some_and(|it| !it.contains_key("packages"))
        {
            return Err(ClientError::invalid(format_args!("runtime_env: {name} has no packages")));
        }
    }
    match members.get("conda").and_then(Value::as_str) {
        Some(file) if [".yml", ".yaml"].iter().any(|end| file.ends_with(end)) => {
            Err(ClientError::invalid(format_args!(
                "runtime_env: conda names the file `{}`, but ray-client does not read YAML; pass its content as an object (`RuntimeEnv::conda_config`), or the name of an environment that every node has",
                file_name(file)
            )))
        }
        _ => Ok(()),
    }
}

/// What this member of a runtime environment must be, if it is something else.
fn wrong_kind(name: &str, value: &Value) -> Option<&'static str> {
    let (right, wanted) = match name {
        "working_dir" | "py_executable" | "image_uri" | "worker_process_setup_hook" => {
            (value.is_string(), "a string")
        }
        "py_modules" | "excludes" | "java_jars" => (are_strings(value), "a list of strings"),
        "pip" | "uv" => (
            are_strings(value) || value.is_string() || value.is_object(),
            "a list of strings, a string or an object",
        ),
        "conda" | "nsight" | "_nsight" | "rocprof_sys" | "_rocprof_sys" => {
            (value.is_string() || value.is_object(), "a string or an object")
        }
        "env_vars" => (
            value.as_object().is_some_and(|vars| vars.values().all(Value::is_string)),
            "an object whose values are strings",
        ),
        "container" | "config" => (value.is_object(), "an object"),
        _ => return None,
    };
    (!right && !value.is_null()).then_some(wanted)
}

/// The same for a member of `config`, `pip` or `uv`.
fn wrong_kind_inside(outer: &str, name: &str, value: &Value) -> Option<&'static str> {
    let (right, wanted) = match (outer, name) {
        ("config", "setup_timeout_seconds") => (
            value.as_i64().is_some_and(|seconds| seconds > 0 || seconds == -1),
            "a whole number above 0, or -1",
        ),
        ("config", "eager_install") | ("pip", "pip_check") | ("uv", "uv_check") => {
            (value.is_boolean(), "true or false")
        }
        ("pip" | "uv", "packages") => {
            (are_strings(value) || value.is_string(), "a list of strings or a string")
        }
        ("pip", "pip_version") | ("uv", "uv_version") => (value.is_string(), "a string"),
        ("pip", "pip_install_options") | ("uv", "uv_pip_install_options") => {
            (are_strings(value), "a list of strings")
        }
        _ => return None,
    };
    (!right).then_some(wanted)
}
