//! A job as Ray reports it. The calls are in `mod.rs`.

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
        /// Through the job API.
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
    /// The IP address of the node that runs it.
    pub node_ip_address: Option<String>,
    /// Its process id.
    #[serde(default, deserialize_with = "numbers::text")]
    pub pid: Option<String>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A job, as returned by [`RayClient::get_job`](crate::RayClient::get_job).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Job {
    /// How the job was started.
    #[serde(rename = "type")]
    pub job_type: JobType,
    /// The job id of the driver; `None` until the driver has called `ray.init`.
    pub job_id: Option<String>,
    /// The submission id; `None` for a [`JobType::Driver`].
    pub submission_id: Option<String>,
    /// The driver process; `None` if there is none yet.
    pub driver_info: Option<DriverInfo>,
    /// The status.
    pub status: JobStatus,
    /// The shell command.
    #[serde(default, deserialize_with = "json::or_default")]
    pub entrypoint: String,
    /// Ray's explanation of the status.
    pub message: Option<String>,
    /// The kind of failure, for example `RUNTIME_ENV_SETUP_FAILURE`.
    pub error_type: Option<String>,
    /// When the job was submitted, in milliseconds since the epoch.
    #[serde(default, rename = "start_time", deserialize_with = "numbers::time_ms")]
    pub start_time_ms: Option<u64>,
    /// When the job finished, in milliseconds since the epoch; `None` until then.
    #[serde(default, rename = "end_time", deserialize_with = "numbers::time_ms")]
    pub end_time_ms: Option<u64>,
    /// The metadata that the submitter attached.
    pub metadata: Option<BTreeMap<String, String>>,
    /// The runtime environment. Numbers that JSON does not have are the strings `NaN`, `Infinity`
    /// and `-Infinity`.
    pub runtime_env: Option<Map<String, Value>>,
    /// The address of the dashboard agent on the job's node.
    pub driver_agent_http_address: Option<String>,
    /// The id of the node that runs the entrypoint; `None` until the job is placed.
    pub driver_node_id: Option<String>,
    /// The exit code of the entrypoint, as returned by [`std::process::ExitStatus::code`]: the
    /// Windows code 3221225786 is -1073741510. A signal is negative, for example -9 for SIGKILL.
    #[serde(default, deserialize_with = "numbers::exit_code")]
    pub driver_exit_code: Option<i32>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Job {
    /// Returns the id that other calls accept: the submission id, or the job id if the job was
    /// started outside the job API. Empty if Ray reports neither.
    pub fn id(&self) -> &str {
        self.submission_id.as_deref().or(self.job_id.as_deref()).unwrap_or_default()
    }

    /// Returns when the job was submitted.
    pub fn started_at(&self) -> Option<SystemTime> {
        self.start_time_ms.and_then(time_from_ms)
    }

    /// Returns when the job finished; `None` until then.
    pub fn ended_at(&self) -> Option<SystemTime> {
        self.end_time_ms.and_then(time_from_ms)
    }

    /// Returns why the job failed or was stopped, in one line of at most 300 characters: the exit
    /// code and the last error in its log, why its runtime environment failed, or how its process
    /// died. `None` for any other status, or if Ray reports no [`message`](Self::message), which is
    /// the full text.
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

    /// Returns the time from submission to end; `None` until the job finishes.
    pub fn duration(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.end_time_ms?.saturating_sub(self.start_time_ms?)))
    }
}

/// The result of [`RayClient::stop_job`](crate::RayClient::stop_job).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StopOutcome {
    /// The id that was passed to the call.
    pub job_id: String,
    /// The status right after the request: usually still `Running`, and `Stopped` about a second
    /// later.
    pub status: JobStatus,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_of_a_job_are_kept() {
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
    fn a_running_driver_has_no_end_time() {
        let json = serde_json::json!({
            "type": "DRIVER", "job_id": "01000000", "status": "RUNNING", "start_time": 5,
            "end_time": 0,
        });
        let job: Job = serde_json::from_value(json).unwrap();
        assert!(job.started_at().is_some() && job.ended_at().is_none() && job.duration().is_none());
    }
}
