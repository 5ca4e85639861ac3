//! The job API: list, get, submit, stop, delete, wait.

mod model;
mod runtime_env;
mod submission;

use std::time::Duration;

use serde::Deserialize;

pub use model::{DriverInfo, Job, JobStatus, JobType, StopOutcome};
pub use runtime_env::RuntimeEnv;
pub use submission::JobSubmission;

use crate::state::Resource;
use crate::transport::{Request, path};
use crate::{ClientError, ListOptions, Listing, RayClient, validate, wait};
use submission::new_submission_id;

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
    /// With the feature `packages`, directories and archives on this machine that the runtime environment
    /// names are uploaded first, with the routes and errors of `upload_package`.
    ///
    /// A submit whose answer is lost is tried again under the same id, which Ray takes once only, and
    /// looked for with `GET /api/jobs/{id}`: the job runs once. After 400, 401, 403 and 404 it does not
    /// run; after other errors there was none when it was looked for, and the error names the id, for
    /// the case that the request still arrives. Whether an id of the caller's own is free is asked
    /// before, so that an older job is not taken for this one.
    ///
    /// # Errors
    /// 400 where a parameter is not valid, the submission id is already used, or the runtime environment
    /// names something on this machine and the library is without the feature `packages`; else as
    /// [`list_jobs`](Self::list_jobs).
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
            submission_id: Option<String>,
        }
        submission.check()?;
        let mut submission = submission.clone();
        let is_new = submission.submission_id.is_none();
        let id = submission.submission_id.get_or_insert_with(new_submission_id).clone();
        validate::id("submission_id", &id)?;
        submission.runtime_env = self.with_uploads(submission.runtime_env, progress)?;
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
            (Err(ClientError::Rejected { status: 500, message, .. }), _)
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
