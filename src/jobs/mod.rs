//! Jobs: submit, inspect, stop and delete them, and wait for them to finish.
//!
//! [`RayClient`] has the calls. A [`JobSubmission`] describes a job to run and its [`RuntimeEnv`].
//! A [`Job`] is a job as Ray reports it, with its [`JobStatus`].
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use ray_client::{JobStatus, JobSubmission, RayClient, RuntimeEnv};
//!
//! let client = RayClient::new("http://127.0.0.1:8265")?;
//! let env = RuntimeEnv::new().pip(["six"]);
//! let id = client.submit_job(&JobSubmission::new("python -c 'import six'").runtime_env(env))?;
//! let job = client.wait_for_job(&id, Duration::from_secs(600))?;
//! if job.status != JobStatus::Succeeded {
//!     eprintln!("{}: {}", job.status, job.reason().unwrap_or_default());
//! }
//! # Ok::<(), ray_client::ClientError>(())
//! ```
//!
//! The guide explains how [local files](crate::guide::packages) get to the cluster, and which calls
//! are [retried](crate::guide::errors).

mod failure_reason;
mod finished_jobs;
mod job;
mod runtime_env;
mod status;
mod submission;

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::IgnoredAny;

pub use finished_jobs::FinishedJobs;
pub use job::{DriverInfo, Job, JobType, StopOutcome};
pub use runtime_env::RuntimeEnv;
pub use status::JobStatus;
pub use submission::JobSubmission;

use crate::json::Rows;
use crate::rejection_kind::RejectionKind;
use crate::state::{Resource, unmet_demands};
use crate::transport::{Request, path};
use crate::{ClientError, ListOptions, Listing, RayClient, validate, wait};
use submission::new_submission_id;

/// Limits the request for the resources that a PENDING job waits for. It only completes an error
/// message.
const UNMET_DEMANDS_TIMEOUT: Duration = Duration::from_secs(1);

/// Jobs.
impl RayClient {
    /// Returns all jobs that the cluster knows, including those started outside the job API. Calls
    /// `GET /api/jobs/`. Unreadable jobs are skipped and named in [`warnings`](Listing::warnings).
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// for job in client.list_jobs()? {
    ///     println!("{} {}: {}", job.id(), job.status, job.entrypoint);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 401 or 403 if the token is missing or invalid; 408 or 503 if the cluster does not respond or
    /// is unreachable; 500 if the response is not from Ray; otherwise the server's own status.
    pub fn list_jobs(&self) -> Result<Listing<Job>, ClientError> {
        let rows: Rows<Job> = self.http().send(&jobs_request("list jobs"))?.json()?;
        Ok(Listing::of_rows(rows))
    }

    /// Returns the jobs that match `options`, as the state API reports them, including those
    /// started outside the job API. Calls `GET /api/v0/jobs`. Ray filters by `job_id`,
    /// `submission_id`, `type` and `status`. Times, metadata, runtime environment, node and exit
    /// code need [detail](ListOptions::detail); [`list_jobs`](Self::list_jobs) always returns them.
    ///
    /// ```no_run
    /// use ray_client::{Filter, ListOptions};
    ///
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let running = ListOptions::default().filter("status", Filter::Eq, "RUNNING").detail(true);
    /// for job in client.list_jobs_state(&running)? {
    ///     println!("{} {:?}", job.id(), job.started_at());
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 400 for a filter by any other column; otherwise the same errors as
    /// [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_jobs_state(&self, options: &ListOptions) -> Result<Listing<Job>, ClientError> {
        const COLUMNS: [&str; 4] = ["job_id", "submission_id", "type", "status"];
        // For any other column, Ray answers 500 without a reason (measured on Ray 2.60.0).
        if !options.filters_only_by(&COLUMNS) {
            return Err(ClientError::invalid(format_args!(
                "filter: jobs can be filtered by {} only",
                COLUMNS.join(", ")
            )));
        }
        self.list_state(Resource::Jobs, options)
    }

    /// Returns one job. Calls `GET /api/jobs/{id}`.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let job = client.get_job("raysubmit_1")?;
    /// println!("{} after {:?}", job.status, job.duration());
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 404 if the job does not exist; 400 if the id is invalid; otherwise the same errors as
    /// [`list_jobs`](Self::list_jobs).
    pub fn get_job(&self, id: impl AsRef<str>) -> Result<Job, ClientError> {
        let id = validate::job_id(id.as_ref())?;
        self.http().send(&job_request(id))?.json()
    }

    /// Submits a job and returns its submission id. Calls `POST /api/jobs/`.
    ///
    /// With the feature `packages`, local directories and archives of the runtime environment are
    /// uploaded first, with the routes and errors of `upload_package`, and local requirements files are
    /// read.
    ///
    /// If the response is lost, the client sends the request again under the same id, which Ray
    /// accepts only once, and checks with `GET /api/jobs/{id}` whether the job exists. The job
    /// therefore runs only once. If you set the submission id, the client first checks that it is
    /// unused, so an older job is not mistaken for this one.
    ///
    /// The job does not run if a parameter is invalid
    /// ([`InvalidParameter`](ClientError::InvalidParameter)), or if Ray refuses the first request (400,
    /// 401, 403 or 404). After any other error, including a gateway's 403 or 404, the job may run or
    /// still start. The error of the request names its id: check it with [`get_job`](Self::get_job).
    ///
    /// ```no_run
    /// use ray_client::JobSubmission;
    ///
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let id = client.submit_job(&JobSubmission::new("python train.py").metadata("team", "ml"))?;
    /// println!("submitted {id}");
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 400 if a parameter is invalid, the submission id is already used, or the runtime environment
    /// contains a local path and the feature `packages` is off; 500 if the response names another
    /// job; otherwise the same errors as [`list_jobs`](Self::list_jobs).
    pub fn submit_job(&self, submission: &JobSubmission) -> Result<String, ClientError> {
        self.submit(submission, &mut |_, _| {})
    }

    pub(crate) fn submit(
        &self,
        submission: &JobSubmission,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<String, ClientError> {
        #[derive(Deserialize)]
        struct Submitted {
            submission_id: String,
        }
        submission.check()?;
        let mut submission = submission.clone();
        let is_new = submission.submission_id.is_none();
        let id = submission.submission_id.get_or_insert_with(new_submission_id).clone();
        validate::job_id(&id)?;
        submission.runtime_env = self.with_uploads(submission.runtime_env, progress)?;
        let operation = format!("submit job `{id}`");
        let was_unused = is_new || !self.has_job(&operation, &id)?;
        let request = Request::post(&operation, path(&["api", "jobs", ""]))
            .json(&submission)?
            .idempotent(true);
        let (result, arrived) = self.http().send_tracking_arrival(&request);
        let error = match result.and_then(|response| response.json::<Submitted>()) {
            Ok(Submitted { submission_id: other }) if other != id => {
                return Err(ClientError::unexpected(format_args!(
                    "{operation}: the response names another job, `{other}`"
                )));
            }
            Ok(_) => return Ok(id),
            Err(error) => error,
        };
        // A gateway may replace any response with its own page.
        let is_refused = matches!(error.status(), 400 | 401 | 403 | 404)
            && error.rejection_kind() != RejectionKind::Gateway;
        let may_have_arrived = arrived || !is_refused;
        if was_unused
            && may_have_arrived
            && self.get_job(&id).is_ok_and(|job| submission.matches(&job))
        {
            return Ok(id);
        }
        Err(error)
    }

    fn has_job(&self, operation: &str, id: &str) -> Result<bool, ClientError> {
        let mut request = job_request(id);
        operation.clone_into(&mut request.operation);
        match self.http().send(&request).and_then(|response| response.json::<IgnoredAny>()) {
            Ok(_) => Ok(true),
            Err(error) if is_no_such_job(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Asks Ray to stop a job. Calls `GET /api/jobs/{id}`, `POST /api/jobs/{id}/stop`, and
    /// `GET /api/jobs/{id}` again. A job that stays PENDING, for example because resources are missing,
    /// keeps waiting even if Ray accepts the request (measured on Ray 2.60.0).
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// client.stop_job("raysubmit_1")?;
    /// client.wait_for_job("raysubmit_1", Duration::from_secs(30))?;
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 400 if the job has already finished ([`ClientError::job_status`] returns its status), if it
    /// was started outside the job API, or if the id contains `#`, `?`, or `%` with two hex digits,
    /// because Ray would stop another job; 404 if the job does not exist; otherwise the same errors
    /// as [`list_jobs`](Self::list_jobs). If the request had to be repeated and an earlier one may
    /// have arrived, a job that is now STOPPED counts as stopped by this call.
    pub fn stop_job(&self, id: impl AsRef<str>) -> Result<StopOutcome, ClientError> {
        #[derive(Deserialize)]
        struct Stopped {
            stopped: bool,
        }
        let id = validate::job_id(id.as_ref())?;
        let operation = format!("stop job `{id}`");
        validate::pasted_id(&operation, id)?;
        let already = |status: JobStatus| {
            let message = format!("{operation}: it is already {status}");
            Err(ClientError::rejected(400, message).with_job_status(Some(status)))
        };
        // Ray may still say for a moment that it stops a job that it has stopped.
        match self.get_job(id) {
            Ok(job) if job.status.is_terminal() => return already(job.status),
            Ok(_) | Err(ClientError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let request =
            Request::post(&operation, path(&["api", "jobs", id, "stop"])).idempotent(true);
        let (result, arrived) = self.http().send_tracking_arrival(&request);
        let stopped = result?.json::<Stopped>()?.stopped;
        let status = self.get_job(id)?.status;
        let by_an_earlier_attempt = arrived && status == JobStatus::Stopped;
        if stopped || by_an_earlier_attempt {
            return Ok(StopOutcome { job_id: id.to_owned(), status });
        }
        already(status)
    }

    /// Deletes the record of a finished job. Calls `DELETE /api/jobs/{id}`. Ray may write the
    /// record again if the job finished only a few seconds ago: of 24 jobs deleted right after they
    /// were stopped, 7 came back (measured on Ray 2.60.0).
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// for job in client.list_jobs()? {
    ///     if job.submission_id.is_some() && job.status.is_terminal() {
    ///         client.delete_job(job.id())?;
    ///     }
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 400 if the job has not finished ([`ClientError::job_status`] returns its status), if it was
    /// started outside the job API, or if the id contains `#`, `?`, or `%` with two hex digits,
    /// because Ray would delete another job; 404 if the job does not exist; otherwise the same
    /// errors as [`list_jobs`](Self::list_jobs). If the request had to be repeated and an earlier one
    /// may have arrived, a job that no longer exists counts as deleted by this call.
    pub fn delete_job(&self, id: impl AsRef<str>) -> Result<(), ClientError> {
        #[derive(Deserialize)]
        struct Deleted {
            deleted: bool,
        }
        let id = validate::job_id(id.as_ref())?;
        let operation = format!("delete job `{id}`");
        validate::pasted_id(&operation, id)?;
        let request = Request::delete(&operation, path(&["api", "jobs", id]));
        match self.http().send_tracking_arrival(&request) {
            (Err(error), true) if is_no_such_job(&error) => Ok(()),
            (result, _) => match result?.json::<Deleted>()? {
                Deleted { deleted: true } => Ok(()),
                _ => {
                    Err(ClientError::unexpected(format_args!("{operation}: Ray did not delete it")))
                }
            },
        }
    }

    /// Waits until a job finishes and returns it. Calls `GET /api/jobs/{id}`, first every 100 ms,
    /// later every second. A [retryable](ClientError::is_retryable) error, for example because the
    /// cluster is unreachable, does not end the wait.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let job = client.wait_for_job("raysubmit_1", Duration::from_secs(3600))?;
    /// println!("{}: {}", job.status, job.reason().unwrap_or_default());
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 408 after `timeout`, or a few seconds later if the cluster responds slowly; 404 if the job
    /// does not exist; 400 if `timeout` is zero; any other error that is not retryable,
    /// immediately.
    ///
    /// The 408 names the last status, which [`ClientError::job_status`] also returns, or the last
    /// error if the cluster did not respond. For a PENDING job it names the resources that no node
    /// has (`GET /api/cluster_status`).
    pub fn wait_for_job(&self, id: impl AsRef<str>, timeout: Duration) -> Result<Job, ClientError> {
        let id = validate::job_id(id.as_ref())?;
        let mut last = None;
        let not_over = format!("wait for job `{id}`: not finished");
        let result = wait::until(timeout, not_over, |deadline| {
            let request = job_request(id).deadline(deadline);
            let job: Job = self.http().send(&request)?.json()?;
            if job.status.is_terminal() {
                return Ok(Ok(job));
            }
            Ok(Err(last.insert(job.status).to_string()))
        });
        result.map_err(|error| match last {
            Some(JobStatus::Pending) if matches!(error, ClientError::Timeout { .. }) => {
                let unmet = unmet_demands(self.http(), Instant::now() + UNMET_DEMANDS_TIMEOUT);
                let message = format!("{error}{unmet}");
                error.reworded(message).with_job_status(last)
            }
            last => error.with_job_status(last),
        })
    }
}

/// Returns whether Ray reports that the job does not exist. A 404 from a gateway, or from a Ray
/// without the route, says nothing about the job.
fn is_no_such_job(error: &ClientError) -> bool {
    matches!(error, ClientError::NotFound { .. })
        && error.rejection_kind() != RejectionKind::NoRoute
}

fn jobs_request(operation: &str) -> Request {
    Request::get(operation, path(&["api", "jobs", ""]))
}

pub(crate) fn job_request(id: &str) -> Request {
    Request::get(format_args!("get job `{id}`"), path(&["api", "jobs", id]))
}
