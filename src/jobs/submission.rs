//! The description of a job to submit.

use std::collections::BTreeMap;
use std::path::Path;

use rand::RngExt;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};

use super::{Job, RuntimeEnv};
use crate::{ClientError, validate};

/// A job to submit: its entrypoint and all of Ray's parameters.
///
/// ```
/// use ray_client::JobSubmission;
///
/// let job = JobSubmission::new("python train.py")
///     .metadata("team", "ml")
///     .runtime_env(serde_json::json!({"env_vars": {"EPOCHS": "3"}}))
///     .entrypoint_num_cpus(0.5);
/// ```
#[must_use]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSubmission {
    entrypoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) submission_id: Option<String>,
    #[serde(default, skip_serializing_if = "RuntimeEnv::is_empty")]
    pub(super) runtime_env: RuntimeEnv,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint_num_cpus: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint_num_gpus: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint_memory: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    entrypoint_resources: BTreeMap<String, f64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    entrypoint_label_selector: BTreeMap<String, String>,
}

impl JobSubmission {
    /// Creates a job that runs this shell command.
    pub fn new(entrypoint: impl Into<String>) -> Self {
        Self {
            entrypoint: entrypoint.into(),
            submission_id: None,
            runtime_env: RuntimeEnv::new(),
            metadata: BTreeMap::new(),
            entrypoint_num_cpus: None,
            entrypoint_num_gpus: None,
            entrypoint_memory: None,
            entrypoint_resources: BTreeMap::new(),
            entrypoint_label_selector: BTreeMap::new(),
        }
    }

    /// Sets the submission id, which no other job of the cluster may have. Defaults to `raysubmit_`
    /// and 16 random letters and digits.
    pub fn submission_id(mut self, id: impl Into<String>) -> Self {
        self.submission_id = Some(id.into());
        self
    }

    /// Adds a runtime environment: a [`RuntimeEnv`], or a JSON object in Ray's format. Its members
    /// replace earlier ones of the same name; other members stay. Defaults to none.
    pub fn runtime_env(mut self, runtime_env: impl Into<RuntimeEnv>) -> Self {
        self.runtime_env = self.runtime_env.merge(runtime_env.into());
        self
    }

    /// Sets the directory that the job runs in. See [`RuntimeEnv::working_dir`].
    pub fn working_dir(mut self, path_or_uri: impl AsRef<Path>) -> Self {
        self.runtime_env = self.runtime_env.working_dir(path_or_uri);
        self
    }

    /// Adds a Python module. See [`RuntimeEnv::py_module`].
    pub fn py_module(mut self, path_or_uri: impl AsRef<Path>) -> Self {
        self.runtime_env = self.runtime_env.py_module(path_or_uri);
        self
    }

    /// Adds patterns, as in `.gitignore`, of local files not to upload.
    pub fn excludes(mut self, patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.runtime_env = self.runtime_env.excludes(patterns);
        self
    }

    /// Attaches a metadata entry to the job.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Sets the number of CPUs to reserve for the entrypoint, 0 or more. Defaults to Ray's 0.
    pub fn entrypoint_num_cpus(mut self, cpus: f64) -> Self {
        self.entrypoint_num_cpus = Some(cpus);
        self
    }

    /// Sets the number of GPUs to reserve for the entrypoint, 0 or more. Defaults to Ray's 0.
    pub fn entrypoint_num_gpus(mut self, gpus: f64) -> Self {
        self.entrypoint_num_gpus = Some(gpus);
        self
    }

    /// Sets the memory to reserve for the entrypoint, in bytes. Defaults to Ray's 0.
    pub fn entrypoint_memory(mut self, bytes: u64) -> Self {
        self.entrypoint_memory = Some(bytes);
        self
    }

    /// Sets the amount of a custom resource to reserve for the entrypoint, 0 or more.
    pub fn entrypoint_resource(mut self, name: impl Into<String>, amount: f64) -> Self {
        self.entrypoint_resources.insert(name.into(), amount);
        self
    }

    /// Requires a label of the entrypoint's node, for example `("ray.io/market-type", "spot")`. The
    /// value may use Ray's operators (`!spot`, `in(a,b)`). Needs Ray 2.49 or newer.
    pub fn entrypoint_label_selector(
        mut self,
        label: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        self.entrypoint_label_selector.insert(label.into(), value.into());
        self
    }

    pub(super) fn check(&self) -> Result<(), ClientError> {
        if self.entrypoint.trim().is_empty() {
            return Err(ClientError::invalid("entrypoint: must not be empty"));
        }
        self.runtime_env.check()?;
        let amounts = [
            ("entrypoint_num_cpus", self.entrypoint_num_cpus),
            ("entrypoint_num_gpus", self.entrypoint_num_gpus),
        ];
        for (name, amount) in amounts {
            validate::amount(name, amount.unwrap_or_default())?;
        }
        for (name, amount) in &self.entrypoint_resources {
            validate::amount(&format!("entrypoint_resource {name}"), *amount)?;
        }
        Ok(())
    }

    /// Returns whether Ray's record of a job has the entrypoint and metadata of this submission.
    pub(super) fn matches(&self, job: &Job) -> bool {
        job.entrypoint == self.entrypoint
            && job.metadata.as_ref().is_none_or(|metadata| {
                self.metadata.iter().all(|(key, value)| metadata.get(key) == Some(value))
            })
    }
}

/// Generates an id as Ray's own client does, without characters that look like others.
pub(super) fn new_submission_id() -> String {
    let letters = rand::rng().sample_iter(Alphanumeric).map(char::from);
    let letters: String = letters.filter(|c| !"0OIl1".contains(*c)).take(16).collect();
    format!("raysubmit_{letters}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn submission_ids_look_like_those_of_ray() {
        let id = new_submission_id();
        let letters = id.strip_prefix("raysubmit_").unwrap();
        assert!(letters.len() == 16 && letters.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
        assert_ne!(id, new_submission_id());
    }

    #[test]
    fn runtime_env_and_working_dir_may_be_set_in_any_order() {
        let env = RuntimeEnv::new().env_var("A", "1").excludes(["b"]);
        let before = JobSubmission::new("x").working_dir("gcs://a").excludes(["a"]);
        let before = before.runtime_env(env.clone());
        assert_eq!(
            *before.runtime_env.as_json(),
            json!({"working_dir": "gcs://a", "env_vars": {"A": "1"}, "excludes": ["b"]})
        );
        let after = JobSubmission::new("x").runtime_env(env).working_dir("gcs://a");
        assert_eq!(after, before);
    }

    #[test]
    fn a_submission_survives_a_json_round_trip() {
        let job = JobSubmission::new("x")
            .submission_id("a")
            .working_dir(".")
            .metadata("k", "v")
            .entrypoint_num_cpus(0.5)
            .entrypoint_resource("r", 1.0);
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<JobSubmission>(&text).unwrap(), job);
        let least: JobSubmission = serde_json::from_value(json!({"entrypoint": "x"})).unwrap();
        assert_eq!(least, JobSubmission::new("x"));
    }

    #[test]
    fn invalid_submissions_are_refused() {
        for bad in [
            JobSubmission::new(" "),
            JobSubmission::new("x").runtime_env(json!("text")),
            JobSubmission::new("x").runtime_env(json!({"env_vars": {"A": 1}})),
            JobSubmission::new("x").entrypoint_num_cpus(-1.0),
            JobSubmission::new("x").entrypoint_num_gpus(f64::NAN),
            JobSubmission::new("x").entrypoint_resource("a", f64::INFINITY),
        ] {
            assert_eq!(bad.check().unwrap_err().status(), 400, "{bad:?}");
        }
    }
}
