use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use rand::RngExt;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::state::Resource;
use crate::transport::{Request, path};
use crate::wire::{string_enum, time_from_ms};
use crate::{ClientError, ListOptions, Listing, RayClient, numbers, validate, wait};

string_enum! {
    /// Where a job is in its life.
    JobStatus {
        /// Accepted, but its entrypoint has not started.
        Pending = "PENDING",
        /// Its entrypoint runs.
        Running = "RUNNING",
        /// Stopped by a call to stop it.
        Stopped = "STOPPED",
        /// Its entrypoint ended with exit code 0.
        Succeeded = "SUCCEEDED",
        /// Its entrypoint failed, or could not be started.
        Failed = "FAILED",
    }
}

impl JobStatus {
    /// Whether the job is over: stopped, succeeded or failed. A status that is not known is not
    /// taken for an end.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Stopped | Self::Succeeded | Self::Failed)
    }
}

string_enum! {
    /// How a job was started.
    JobType {
        /// By the job API.
        Submission = "SUBMISSION",
        /// By a program that called `ray.init` itself.
        Driver = "DRIVER",
    }
}

/// The driver process of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DriverInfo {
    /// The job id of the driver.
    #[serde(default)]
    pub id: Option<String>,
    /// The IP address of its node.
    #[serde(default)]
    pub node_ip_address: Option<String>,
    /// Its process id.
    #[serde(default)]
    pub pid: Option<String>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A job as `GET /api/jobs/{id}` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Job {
    /// How it was started.
    #[serde(rename = "type")]
    pub job_type: JobType,
    /// The id of its driver in the cluster; `None` until the driver has called `ray.init`.
    #[serde(default)]
    pub job_id: Option<String>,
    /// The id that it was submitted with; `None` for a [`JobType::Driver`].
    #[serde(default)]
    pub submission_id: Option<String>,
    /// Its driver process, once there is one.
    #[serde(default)]
    pub driver_info: Option<DriverInfo>,
    /// Where it is in its life.
    pub status: JobStatus,
    /// Its shell command.
    #[serde(default)]
    pub entrypoint: String,
    /// Ray's explanation of the status.
    #[serde(default)]
    pub message: Option<String>,
    /// The kind of failure, as `RUNTIME_ENV_SETUP_FAILURE`.
    #[serde(default)]
    pub error_type: Option<String>,
    /// When it was submitted, in milliseconds since the epoch.
    #[serde(default, rename = "start_time", deserialize_with = "numbers::time_ms")]
    pub start_time_ms: Option<u64>,
    /// When it ended, in milliseconds since the epoch; `None` while it is not over.
    #[serde(default, rename = "end_time", deserialize_with = "numbers::time_ms")]
    pub end_time_ms: Option<u64>,
    /// What the submitter noted about it.
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Its runtime environment.
    #[serde(default)]
    pub runtime_env: Option<Map<String, Value>>,
    /// The address of the dashboard agent on its node.
    #[serde(default)]
    pub driver_agent_http_address: Option<String>,
    /// The id of the node its entrypoint runs on; `None` until it was placed.
    #[serde(default)]
    pub driver_node_id: Option<String>,
    /// The exit code of its entrypoint.
    #[serde(default)]
    pub driver_exit_code: Option<i32>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Job {
    /// What every other call takes: the submission id, or the job id of a job that was started
    /// outside the job API. Empty where Ray gives neither.
    pub fn id(&self) -> &str {
        self.submission_id.as_deref().or(self.job_id.as_deref()).unwrap_or_default()
    }

    /// When it was submitted.
    pub fn started_at(&self) -> Option<SystemTime> {
        self.start_time_ms.and_then(time_from_ms)
    }

    /// When it ended.
    pub fn ended_at(&self) -> Option<SystemTime> {
        self.end_time_ms.and_then(time_from_ms)
    }

    /// From submission to end; `None` while it is not over.
    pub fn duration(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.end_time_ms?.saturating_sub(self.start_time_ms?)))
    }
}

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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobSubmission {
    entrypoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    submission_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime_env: Option<Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint_num_cpus: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint_num_gpus: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint_memory: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    entrypoint_resources: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    entrypoint_label_selector: BTreeMap<String, String>,
}

impl JobSubmission {
    /// A job that runs this shell command.
    pub fn new(entrypoint: impl Into<String>) -> Self {
        Self {
            entrypoint: entrypoint.into(),
            submission_id: None,
            runtime_env: None,
            metadata: BTreeMap::new(),
            entrypoint_num_cpus: None,
            entrypoint_num_gpus: None,
            entrypoint_memory: None,
            entrypoint_resources: BTreeMap::new(),
            entrypoint_label_selector: BTreeMap::new(),
        }
    }

    /// The id of the job, which no other job of the cluster may have. Defaults to `raysubmit_` and 16
    /// random letters and digits.
    pub fn submission_id(mut self, id: impl Into<String>) -> Self {
        self.submission_id = Some(id.into());
        self
    }

    /// The runtime environment: a JSON object as Ray documents it. Defaults to none.
    pub fn runtime_env(mut self, runtime_env: impl Into<Value>) -> Self {
        self.runtime_env = Some(runtime_env.into());
        self
    }

    /// Notes this key and value about the job.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// The CPUs to reserve for the entrypoint, from 0 on. Defaults to Ray's 0.
    pub fn entrypoint_num_cpus(mut self, cpus: f64) -> Self {
        self.entrypoint_num_cpus = Some(cpus);
        self
    }

    /// The GPUs to reserve for the entrypoint, from 0 on. Defaults to Ray's 0.
    pub fn entrypoint_num_gpus(mut self, gpus: f64) -> Self {
        self.entrypoint_num_gpus = Some(gpus);
        self
    }

    /// The memory to reserve for the entrypoint, in bytes. Defaults to Ray's 0.
    pub fn entrypoint_memory(mut self, bytes: u64) -> Self {
        self.entrypoint_memory = Some(bytes);
        self
    }

    /// The amount of a custom resource to reserve for the entrypoint, from 0 on.
    pub fn entrypoint_resource(mut self, name: impl Into<String>, amount: f64) -> Self {
        self.entrypoint_resources.insert(name.into(), amount);
        self
    }

    /// A label that the entrypoint's node must have, as `("ray.io/market-type", "spot")`; Ray's
    /// operators (`!spot`, `in(a,b)`) pass as they are. Needs Ray 2.49 or newer.
    pub fn entrypoint_label_selector(
        mut self,
        label: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        self.entrypoint_label_selector.insert(label.into(), value.into());
        self
    }

    fn check(&self) -> Result<(), ClientError> {
        if self.entrypoint.trim().is_empty() {
            return Err(ClientError::invalid("entrypoint: must not be empty"));
        }
        if self.runtime_env.as_ref().is_some_and(|env| !env.is_object()) {
            return Err(ClientError::invalid("runtime_env: must be a JSON object"));
        }
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

    /// Whether this is the job that was submitted here: what Ray keeps of it is the same.
    fn is(&self, job: &Job) -> bool {
        job.entrypoint == self.entrypoint
            && job.metadata.as_ref().is_none_or(|metadata| {
                self.metadata.iter().all(|(key, value)| metadata.get(key) == Some(value))
            })
    }
}

/// As Ray's own client makes them: without characters that are easily taken for another.
fn new_submission_id() -> String {
    let letters = rand::rng().sample_iter(Alphanumeric).map(char::from);
    let letters: String = letters.filter(|c| !"0OIl1".contains(*c)).take(16).collect();
    format!("raysubmit_{letters}")
}

/// The answer to a call to stop a job.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopOutcome {
    /// The job that was told to stop.
    pub job_id: String,
    /// Its status right after that: mostly still `Running`, and `Stopped` about a second later.
    pub status: JobStatus,
}

impl RayClient {
    /// All jobs that the cluster knows, those started outside the job API among them. Calls
    /// `GET /api/jobs/`.
    ///
    /// # Errors
    /// 408 or 503 where the cluster does not answer or cannot be reached, 500 where the answer is
    /// not Ray's.
    pub fn list_jobs(&self) -> Result<Listing<Job>, ClientError> {
        self.get("list jobs", &["api", "jobs", ""]).map(Listing::complete)
    }

    /// The jobs that match, those started outside the job API among them. Calls `GET /api/v0/jobs`,
    /// which gives start, end, metadata, runtime environment, node and exit code with detail only.
    /// Ray filters by `job_id`, `submission_id`, `type` and `status`.
    ///
    /// # Errors
    /// 400 where a filter is by another column, else as
    /// [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_jobs_with(&self, options: &ListOptions) -> Result<Listing<Job>, ClientError> {
        const COLUMNS: [&str; 4] = ["job_id", "submission_id", "type", "status"];
        // To another column Ray answers 500 without a word (measured on Ray 2.60.0).
        if !options.filters_only_by(&COLUMNS) {
            return Err(ClientError::invalid(format_args!(
                "filter: jobs can be filtered by {} only",
                COLUMNS.join(", ")
            )));
        }
        self.list_state(Resource::Jobs, options)
    }

    /// One job. Calls `GET /api/jobs/{id}`.
    ///
    /// # Errors
    /// 404 where there is no such job, 400 where the id is not valid, else as [`list_jobs`].
    ///
    /// [`list_jobs`]: Self::list_jobs
    pub fn get_job(&self, id: impl AsRef<str>) -> Result<Job, ClientError> {
        let id = validate::id("job id", id.as_ref())?;
        self.http().send(&job_request(id))?.json()
    }

    /// Submits a job and returns its submission id. Calls `POST /api/jobs/`.
    ///
    /// A submit whose answer is lost is tried again under the same id, which Ray takes once only, and
    /// looked for with `GET /api/jobs/{id}`: the job runs once. After 400, 401, 403 and 404 it does not
    /// run; after other errors there was none when it was looked for, and the error names the id, for
    /// the case that the request still arrives. Whether an id of the caller's own is free is asked
    /// before, so that an older job is not taken for this one.
    ///
    /// # Errors
    /// 400 where a parameter is not valid or the submission id is already used, else as
    /// [`list_jobs`](Self::list_jobs).
    pub fn submit_job(&self, submission: &JobSubmission) -> Result<String, ClientError> {
        #[derive(Deserialize)]
        struct Submitted {
            submission_id: Option<String>,
        }
        submission.check()?;
        let mut submission = submission.clone();
        let is_new = submission.submission_id.is_none();
        let id = submission.submission_id.get_or_insert_with(new_submission_id).clone();
        validate::id("submission_id", &id)?;
        let what = format!("submit job `{id}`");
        let is_free = is_new || !self.has_job(&what, &id)?;
        let request =
            Request::post(&what, path(&["api", "jobs", ""])).json(&submission)?.idempotent(true);
        let (result, arrived) = self.http().send_again(&request);
        let error = match result.and_then(|answer| answer.json::<Submitted>()) {
            Ok(submitted) => return Ok(submitted.submission_id.unwrap_or(id)),
            Err(error) => error,
        };
        let may_have_arrived = arrived || !matches!(error.status(), 400 | 401 | 403 | 404);
        if is_free && may_have_arrived && self.get_job(&id).is_ok_and(|job| submission.is(&job)) {
            return Ok(id);
        }
        Err(error)
    }

    fn has_job(&self, what: &str, id: &str) -> Result<bool, ClientError> {
        let mut request = job_request(id);
        what.clone_into(&mut request.what);
        match self.http().send(&request) {
            Ok(_) => Ok(true),
            Err(ClientError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Tells a job to stop. Calls `POST /api/jobs/{id}/stop`. A job that stays PENDING, as for want
    /// of resources, takes the call but goes on waiting (measured on Ray 2.60.0).
    ///
    /// # Errors
    /// 400 where the job is over already, naming its status, or was started outside the job API; 404
    /// where there is no such job; else as [`list_jobs`](Self::list_jobs).
    pub fn stop_job(&self, id: impl AsRef<str>) -> Result<StopOutcome, ClientError> {
        #[derive(Deserialize)]
        struct Stopped {
            stopped: bool,
        }
        let id = validate::id("job id", id.as_ref())?;
        let request =
            Request::post(format_args!("stop job `{id}`"), path(&["api", "jobs", id, "stop"]))
                .idempotent(true);
        let (result, arrived) = self.http().send_again(&request);
        let stopped = result?.json::<Stopped>()?.stopped;
        let status = self.get_job(id)?.status;
        let by_an_earlier_attempt = arrived && status == JobStatus::Stopped;
        if stopped || by_an_earlier_attempt {
            return Ok(StopOutcome { job_id: id.to_owned(), status });
        }
        Err(ClientError::rejected(400, format_args!("stop job `{id}`: it is already {status}")))
    }

    /// Deletes the record of a job that is over. Calls `DELETE /api/jobs/{id}`. Ray may write the record
    /// of a job that was over for less than a few seconds once more: of 24 that were deleted right after
    /// they were stopped, 7 came back (measured on Ray 2.60.0).
    ///
    /// # Errors
    /// 400 where the job is not over, or was started outside the job API; 404 where there is no such
    /// job; else as [`list_jobs`](Self::list_jobs).
    pub fn delete_job(&self, id: impl AsRef<str>) -> Result<(), ClientError> {
        let id = validate::id("job id", id.as_ref())?;
        let what = format!("delete job `{id}`");
        let request = Request::delete(&what, path(&["api", "jobs", id]));
        match self.http().send_again(&request) {
            (Err(ClientError::NotFound { .. }), true) => Ok(()),
            (Err(ClientError::Rejected { status: 500, message }), _)
                if message.contains("non-terminal state") =>
            {
                Err(ClientError::rejected(400, message))
            }
            (result, _) => result.map(drop),
        }
    }

    /// Waits until a job is over, and returns it as it is then. Calls `GET /api/jobs/{id}`, at first
    /// every 100 ms, later every second. A cluster that cannot be reached meanwhile is asked again.
    ///
    /// # Errors
    /// 408 after `timeout` (up to a second later where the cluster is slow to answer), naming the last
    /// status, or the last error where the cluster did not answer; 400 where `timeout` is zero; 404
    /// where there is no such job.
    pub fn wait_for_job(&self, id: impl AsRef<str>, timeout: Duration) -> Result<Job, ClientError> {
        let id = validate::id("job id", id.as_ref())?;
        wait::until(timeout, format_args!("wait for job `{id}`: not over"), |deadline| {
            let request = job_request(id).deadline(deadline);
            let job: Job = self.http().send(&request)?.json()?;
            Ok(if job.status.is_terminal() { Ok(job) } else { Err(job.status.to_string()) })
        })
    }
}

pub(crate) fn job_request(id: &str) -> Request {
    Request::get(format_args!("get job `{id}`"), path(&["api", "jobs", id]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_id_is_made_as_ray_makes_it() {
        let id = new_submission_id();
        let letters = id.strip_prefix("raysubmit_").unwrap();
        assert!(letters.len() == 16 && letters.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
        assert_ne!(id, new_submission_id());
    }

    #[test]
    fn only_stopped_succeeded_and_failed_are_terminal() {
        for (wire, terminal) in [
            ("PENDING", false),
            ("RUNNING", false),
            ("STOPPED", true),
            ("SUCCEEDED", true),
            ("FAILED", true),
            ("PAUSED", false),
        ] {
            let status = JobStatus::from(wire.to_owned());
            assert_eq!((status.as_str(), status.is_terminal()), (wire, terminal));
        }
    }

    #[test]
    fn a_job_keeps_what_it_does_not_know() {
        let wire = serde_json::json!({
            "type": "SUBMISSION", "submission_id": "a", "status": "PAUSED", "entrypoint": "x",
            "job_id": null, "mood": {"good": true},
        });
        let job: Job = serde_json::from_value(wire).unwrap();
        assert_eq!(job.id(), "a");
        assert_eq!(job.status, JobStatus::Unknown("PAUSED".to_owned()));
        assert_eq!(serde_json::to_value(&job).unwrap()["mood"]["good"], true);
    }

    #[test]
    fn a_driver_that_runs_has_no_end() {
        let wire = serde_json::json!({
            "type": "DRIVER", "job_id": "01000000", "status": "RUNNING", "start_time": 5,
            "end_time": 0,
        });
        let job: Job = serde_json::from_value(wire).unwrap();
        assert!(job.started_at().is_some() && job.ended_at().is_none() && job.duration().is_none());
    }

    #[test]
    fn bad_submissions_are_refused() {
        for bad in [
            JobSubmission::new(" "),
            JobSubmission::new("x").runtime_env("text"),
            JobSubmission::new("x").entrypoint_num_cpus(-1.0),
            JobSubmission::new("x").entrypoint_num_gpus(f64::NAN),
            JobSubmission::new("x").entrypoint_resource("a", f64::INFINITY),
        ] {
            assert_eq!(bad.check().unwrap_err().status(), 400, "{bad:?}");
        }
    }
}
