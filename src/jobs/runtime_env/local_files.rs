//! Replaces requirements files and local code in a runtime environment by their content and by the URIs of
//! uploaded packages.

use std::borrow::Cow;
use std::path::Path;

use serde_json::Value;

use super::RuntimeEnv;
use crate::{ClientError, RayClient};

impl RuntimeEnv {
    /// The same with the lines that `read` makes of each requirements file on this machine. It is given
    /// the member's name and the path.
    pub(super) fn replace_requirements_files(
        mut self,
        read: impl Fn(&str, &str) -> Result<Vec<String>, ClientError>,
    ) -> Result<Self, ClientError> {
        for name in ["pip", "uv"] {
            let packages = match self.0.get_mut(name) {
                Some(Value::Object(members)) => members.get_mut("packages"),
                packages => packages,
            };
            if let Some(packages) = packages {
                if let Value::String(path) = packages {
                    *packages = read(name, path)?.into();
                }
            }
        }
        Ok(self)
    }

    /// The same with what `upload` makes of each path on this machine. It is given the member's name, the
    /// path, and the excludes. Without the feature `packages` every such path is refused.
    pub(crate) fn replace_local_paths(
        mut self,
        mut upload: impl FnMut(&str, &str, Vec<String>) -> Result<String, ClientError>,
    ) -> Result<Self, ClientError> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let excludes: Vec<String> = match self.0.get("excludes") {
            Some(Value::Array(list)) => list.iter().filter_map(text).collect(),
            _ => Vec::new(),
        };
        for name in ["working_dir", "py_modules"] {
            let paths = match self.0.get_mut(name) {
                Some(Value::Array(paths)) => &mut paths[..],
                Some(path) => std::slice::from_mut(path),
                None => &mut [],
            };
            for path in paths {
                match path {
                    Value::String(path) if !is_uri(path) => {
                        *path = upload(name, path, excludes.clone())?;
                    }
                    _ => {}
                }
            }
        }
        Ok(self)
    }
}

impl RayClient {
    /// The same environment, with all that is local read or uploaded.
    #[cfg(feature = "packages")]
    pub(in crate::jobs) fn with_uploads(
        &self,
        env: RuntimeEnv,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<RuntimeEnv, ClientError> {
        self.upload_local_packages(env.replace_requirements_files(read_requirements)?, progress)
    }

    #[cfg(not(feature = "packages"))]
    #[allow(clippy::unused_self)]
    pub(in crate::jobs) fn with_uploads(
        &self,
        env: RuntimeEnv,
        _progress: &mut dyn FnMut(u64, u64),
    ) -> Result<RuntimeEnv, ClientError> {
        env.replace_requirements_files(|name, path| {
            Err(ClientError::invalid(format_args!(
                "runtime_env: {name} names the file `{}`, and must be a list of requirements; ray-client reads local files only with its feature `packages`",
                file_name(path)
            )))
        })?
        .replace_local_paths(|name, path, _| {
            Err(ClientError::invalid(format_args!(
                "runtime_env: {name} holds `{path}`, which is no URI; ray-client uploads local code only with its feature `packages`"
            )))
        })
    }
}

/// The lines of a requirements file, as Ray's own client sends them: comments and options among them.
#[cfg(feature = "packages")]
pub(super) fn read_requirements(name: &str, path: &str) -> Result<Vec<String>, ClientError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        ClientError::invalid(format_args!(
            "runtime_env: {name} names the file `{}`, which cannot be read: {error}",
            file_name(path)
        ))
    })?;
    Ok(text.trim().lines().map(str::to_owned).collect())
}

/// Messages show no more of a path.
pub(super) fn file_name(path: &str) -> Cow<'_, str> {
    Path::new(path).file_name().unwrap_or_default().to_string_lossy()
}

/// Returns whether this is a URI (`s3://…`, `gcs://…`, `local://…`), not a path on this machine.
pub(super) fn is_uri(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}
