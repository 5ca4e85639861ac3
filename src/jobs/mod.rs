//! Jobs: submit them, look at them, wait for them, stop and delete them.
//!
//! [`RayClient`] has the calls. A [`JobSubmission`] says what to run, in which [`RuntimeEnv`]; a [`Job`] is
//! what Ray knows of one, with its [`JobStatus`]. Jobs that were started outside the job API are listed as
//! well.
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
//! The guide's chapter on [sending code](crate::guide::packages) tells how local files get to the cluster, and
//! the one on [errors](crate::guide::errors) when a submit may be repeated.

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

/// How long a message about a job that waits may take to learn what for.
const UNMET_DEMANDS_TIMEOUT: Duration = Duration::from_secs(1);

/// Jobs.
impl RayClient {
    /// All jobs that the cluster knows, those started outside the job API among them. Calls
    /// `GET /api/jobs/`. A job that cannot be read is left out, which
    /// [`warnings`](Listing::warnings) tells.
    ///
    /// # Errors
    /// 408 or 503 if the cluster does not answer or cannot be reached, 500 if the answer is not Ray's.
    pub fn list_jobs(&self) -> Result<Listing<Job>, ClientError> {
        let rows: Rows<Job> = self.http().send(&jobs_request("list jobs"))?.json()?;
        Ok(Listing::of_rows(rows))
    }

    /// The jobs that match, as Ray's state API knows them, those started outside the job API among them.
    /// Calls `GET /api/v0/jobs`, which gives start, end, metadata, runtime environment, node and exit code
    /// with [detail](ListOptions::detail) only. Ray filters by `job_id`, `submission_id`, `type` and
    /// `status`. [`list_jobs`](Self::list_jobs) gives every job whole.
    ///
    /// # Errors
    /// 400 if a filter is by another column, otherwise the same errors as
    /// [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_jobs_state(&self, options: &ListOptions) -> Result<Listing<Job>, ClientError> {
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
    /// 404 if there is no such job, 400 if the id is not valid, otherwise the same errors as
    /// [`list_jobs`](Self::list_jobs).
    pub fn get_job(&self, id: impl AsRef<str>) -> Result<Job, ClientError> {
        let id = validate::job_id(id.as_ref())?;
        self.http().send(&job_request(id))?.json()
    }

    /// Submits a job and returns its submission id. Calls `POST /api/jobs/`.
    ///
    /// With the feature `packages`, directories and archives on this machine that the runtime environment
    /// names are uploaded first, with the routes and errors of `upload_package`. Requirements files that it
    /// names are read.
    ///
    /// A submit whose answer is lost is tried again under the same id, which Ray takes once only, and
    /// looked for with `GET /api/jobs/{id}`: the job runs once. After 400, 401, 403 and 404 it does not
    /// run; after other errors there was none when it was looked for, and the error names the id, for
    /// the case that the request still arrives. Whether an id of the caller's own is free is asked
    /// before, so that an older job is not taken for this one.
    ///
    /// # Errors
    /// 400 if a parameter is not valid, the submission id is already used, or the runtime environment
    /// names something on this machine and the library is without the feature `packages`; 500 if the
    /// answer is about another job; otherwise the same errors as [`list_jobs`](Self::list_jobs).
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
        let is_free = is_new || !self.has_job(&operation, &id)?;
        let request = Request::post(&operation, path(&["api", "jobs", ""]))
            .json(&submission)?
            .idempotent(true);
        let (result, arrived) = self.http().send_tracking_arrival(&request);
        let error = match result.and_then(|response| response.json::<Submitted>()) {
            Ok(Submitted { submission_id: other }) if other != id => {
                return Err(ClientError::unexpected(format_args!(
                    "{operation}: the answer is about another job, `{other}`"
                )));
            }
            Ok(_) => return Ok(id),
            Err(error) => error,
        };
        // A gateway may put its own page in the place of any answer.
        let is_refused = matches!(error.status(), 400 | 401 | 403 | 404)
            && error.rejection_kind() != RejectionKind::Gateway;
        let may_have_arrived = arrived || !is_refused;
        if is_free
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

    /// Tells a job to stop. Calls `POST /api/jobs/{id}/stop`. A job that stays PENDING, as for want
    /// of resources, takes the call but goes on waiting (measured on Ray 2.60.0).
    ///
    /// # Errors
    /// 400 if the job is over already ([`ClientError::job_status`] tells its status), if it was started
    /// outside the job API, or if the id has `#`, `?` or `%` with two hex digits, since Ray would then act
    /// on another job; 404 if there is no such job; otherwise the same errors as
    /// [`list_jobs`](Self::list_jobs).
    pub fn stop_job(&self, id: impl AsRef<str>) -> Result<StopOutcome, ClientError> {
        #[derive(Deserialize)]
        struct Stopped {
            stopped: bool,
        }
        let id = validate::job_id(id.as_ref())?;
        let operation = format!("stop job `{id}`");
        validate::pasted_id(&operation, id)?;
        let request =
            Request::post(&operation, path(&["api", "jobs", id, "stop"])).idempotent(true);
        let (result, arrived) = self.http().send_tracking_arrival(&request);
        let stopped = result?.json::<Stopped>()?.stopped;
        let status = self.get_job(id)?.status;
        let by_an_earlier_attempt = arrived && status == JobStatus::Stopped;
        if stopped || by_an_earlier_attempt {
            return Ok(StopOutcome { job_id: id.to_owned(), status });
        }
        let error = ClientError::rejected(400, format_args!("{operation}: it is already {status}"));
        Err(error.with_job_status(Some(status)))
    }

    /// Deletes the record of a job that is over. Calls `DELETE /api/jobs/{id}`. Ray may write the record
    /// of a job that was over for less than a few seconds once more: of 24 that were deleted right after
    /// they were stopped, 7 came back (measured on Ray 2.60.0).
    ///
    /// # Errors
    /// 400 if the job is not over ([`ClientError::job_status`] tells its status), if it was started
    /// outside the job API, or if the id has `#`, `?` or `%` with two hex digits, since Ray would then
    /// delete another job; 404 if there is no such job; otherwise the same errors as
    /// [`list_jobs`](Self::list_jobs).
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

    /// Waits until a job is over, and returns it as it is then. Calls `GET /api/jobs/{id}`, at first
    /// every 100 ms, later every second. An error that is [retryable](ClientError::is_retryable), for
    /// example because the cluster cannot be reached, does not end the wait.
    ///
    /// # Errors
    /// 408 after `timeout` (up to a second later if the cluster is slow to answer), naming the last
    /// status, which [`ClientError::job_status`] tells, and of a PENDING job what the cluster has no node
    /// for (`GET /api/cluster_status`); or the last error if the cluster did not answer;
    /// 400 if `timeout` is zero; 404 if there is no such job; and at once every other error that is not
    /// retryable.
    pub fn wait_for_job(&self, id: impl AsRef<str>, timeout: Duration) -> Result<Job, ClientError> {
        let id = validate::job_id(id.as_ref())?;
        let mut last = None;
        let not_over = format!("wait for job `{id}`: not over");
        let result = wait::until(timeout, not_over, |deadline| {
            let request = job_request(id).deadline(deadline);
            let job: Job = self.http().send(&request)?.json()?;
            if job.status.is_terminal() {
                return Ok(Ok(job));
            }
            Ok(Err(last.insert(job.status).to_string()))
        });
        result.map_err(|error| match last {
            Some(JobStatus::Pending) => {
                let unmet = unmet_demands(self.http(), Instant::now() + UNMET_DEMANDS_TIMEOUT);
                let message = format!("{error}{unmet}");
                error.reworded(message).with_job_status(last)
            }
            last => error.with_job_status(last),
        })
    }
}

/// Whether Ray says that there is no such job. A 404 of a gateway, or of a Ray without the route, says
/// nothing about the job.
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
