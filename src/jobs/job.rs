//! What Ray tells of a job.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::JobStatus;
use super::failure_reason;
use crate::numbers::time_from_ms;
use crate::string_enum::string_enum;
use crate::{json, numbers};

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
    pub id: Option<String>,
    /// The IP address of its node.
    pub node_ip_address: Option<String>,
    /// Its process id.
    #[serde(default, deserialize_with = "numbers::text")]
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
    pub job_id: Option<String>,
    /// The id that it was submitted with; `None` for a [`JobType::Driver`].
    pub submission_id: Option<String>,
    /// Its driver process, once there is one.
    pub driver_info: Option<DriverInfo>,
    /// Its status.
    pub status: JobStatus,
    /// Its shell command.
    #[serde(default, deserialize_with = "json::or_default")]
    pub entrypoint: String,
    /// Ray's explanation of the status.
    pub message: Option<String>,
    /// The kind of failure, for example `RUNTIME_ENV_SETUP_FAILURE`.
    pub error_type: Option<String>,
    /// When it was submitted, in milliseconds since the epoch.
    #[serde(default, rename = "start_time", deserialize_with = "numbers::time_ms")]
    pub start_time_ms: Option<u64>,
    /// When it ended, in milliseconds since the epoch; `None` while it is not over.
    #[serde(default, rename = "end_time", deserialize_with = "numbers::time_ms")]
    pub end_time_ms: Option<u64>,
    /// What the submitter noted about it.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Its runtime environment. A number that JSON does not have is the string `NaN`, `Infinity` or
    /// `-Infinity`.
    pub runtime_env: Option<Map<String, Value>>,
    /// The address of the dashboard agent on its node.
    pub driver_agent_http_address: Option<String>,
    /// The id of the node its entrypoint runs on; `None` until it was placed.
    pub driver_node_id: Option<String>,
    /// The exit code of its entrypoint, as [`std::process::ExitStatus::code`] gives it: the code
    /// 3221225786 of Windows is -1073741510. A signal is negative: -9 for SIGKILL.
    #[serde(default, deserialize_with = "numbers::exit_code")]
    pub driver_exit_code: Option<i32>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Job {
    /// What every other call takes: the submission id, or the job id of a job that was started
    /// outside the job API. Empty if Ray gives neither.
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

    /// Why it failed or was stopped, in one line of at most 300 characters: the exit code and the last
    /// error of its log, what went wrong with its runtime environment, or how its process died. `None` for
    /// every other status, and if Ray gives no [`message`](Self::message), which holds all of it.
    ///
    /// ```
    /// # fn main() -> Result<(), serde_json::Error> {
    /// let job: ray_client::Job = serde_json::from_str(
    ///     r#"{"type": "SUBMISSION", "submission_id": "a", "status": "FAILED", "message":
    ///     "Job entrypoint command failed with exit code 1, last available logs (truncated to 20,000 chars):\nTraceback (most recent call last):\n  File \"x.py\", line 1, in <module>\nValueError: no data\n"}"#,
    /// )?;
    /// let reason = job.reason().unwrap_or_default();
    /// assert_eq!(reason, "Job entrypoint command failed with exit code 1: ValueError: no data");
    /// # Ok(())
    /// # }
    /// ```
    pub fn reason(&self) -> Option<String> {
        let is_wanted = matches!(self.status, JobStatus::Failed | JobStatus::Stopped);
        let message = self.message.as_deref().filter(|message| is_wanted && !message.is_empty())?;
        Some(failure_reason::find(message))
    }

    /// From submission to end; `None` while it is not over.
    pub fn duration(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.end_time_ms?.saturating_sub(self.start_time_ms?)))
    }
}

/// The answer to a call to stop a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StopOutcome {
    /// The job that was told to stop.
    pub job_id: String,
    /// Its status right after that: mostly still `Running`, and `Stopped` about a second later.
    pub status: JobStatus,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_keeps_what_it_does_not_know() {
        let json = serde_json::json!({
            "type": "SUBMISSION", "submission_id": "a", "status": "PAUSED", "entrypoint": "x",
            "job_id": null, "mood": {"good": true},
        });
        let job: Job = serde_json::from_value(json).unwrap();
        assert_eq!(job.id(), "a");
        assert_eq!(job.status, JobStatus::Unknown("PAUSED".to_owned()));
        assert_eq!(serde_json::to_value(&job).unwrap()["mood"]["good"], true);
    }

    #[test]
    fn a_driver_that_runs_has_no_end() {
        let json = serde_json::json!({
            "type": "DRIVER", "job_id": "01000000", "status": "RUNNING", "start_time": 5,
            "end_time": 0,
        });
        let job: Job = serde_json::from_value(json).unwrap();
        assert!(job.started_at().is_some() && job.ended_at().is_none() && job.duration().is_none());
    }
}
