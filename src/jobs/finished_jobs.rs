//! Waiting for several jobs. Waiting for one is in `mod.rs`.

use std::collections::{BTreeSet, VecDeque};
use std::iter::FusedIterator;
use std::time::{Duration, Instant};

use super::{Job, job_request, jobs_request};
use crate::json::Rows;
use crate::wait::Wait;
use crate::{ClientError, RayClient, validate};

/// An iterator over jobs in the order in which they finish. Returned by
/// [`RayClient::wait_for_jobs`].
///
/// [`next`](Iterator::next) blocks until a job finishes. It returns `None` after all jobs were
/// yielded, or after an `Err` that ended the wait. Dropping the iterator ends the wait.
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct FinishedJobs {
    client: RayClient,
    wait: Wait,
    waiting: BTreeSet<String>,
    ready: VecDeque<Result<Job, ClientError>>,
}

impl std::fmt::Debug for FinishedJobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FinishedJobs").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

/// Several jobs at once.
impl RayClient {
    /// Waits for several jobs and yields each when it finishes. Calls `GET /api/jobs/`, one request
    /// for all of them, first every 100 ms, later every second. Calls `GET /api/jobs/{id}` for a
    /// job that the list does not contain. A [retryable](ClientError::is_retryable) error does not
    /// end the wait. `timeout` is for all jobs together, and begins with this call.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// for job in client.wait_for_jobs(["first", "second"], Duration::from_secs(3600))? {
    ///     let job = job?;
    ///     println!("{} {} {}", job.id(), job.status, job.reason().unwrap_or_default());
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 400 if an id is invalid or `timeout` is zero.
    ///
    /// The iterator yields the error of a single job, for example 404 if it does not exist, and
    /// continues with the others. It ends with 408 after `timeout`, naming the unfinished jobs, or
    /// with the first error of the job list that is not retryable.
    pub fn wait_for_jobs<I>(&self, ids: I, timeout: Duration) -> Result<FinishedJobs, ClientError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let wait = Wait::new(timeout)?;
        let mut waiting = BTreeSet::new();
        for id in ids {
            waiting.insert(validate::job_id(id.as_ref())?.to_owned());
        }
        Ok(FinishedJobs { client: self.clone(), wait, waiting, ready: VecDeque::new() })
    }
}

impl FinishedJobs {
    /// Requests the status of all jobs once. The inner `Err` names the unfinished jobs if no job
    /// has finished.
    fn poll(&mut self, deadline: Option<Instant>) -> Result<Result<(), String>, ClientError> {
        let request = jobs_request("wait for jobs").deadline(deadline);
        let rows: Rows<Job> = self.client.http().send(&request)?.json()?;
        let mut unfinished = Vec::new();
        let mut missing = self.waiting.clone();
        for job in rows.read {
            let names = [&job.submission_id, &job.job_id];
            let id = names.into_iter().flatten().find(|id| self.waiting.contains(*id)).cloned();
            let Some(id) = id else { continue };
            missing.remove(&id);
            if job.status.is_terminal() {
                self.waiting.remove(&id);
                self.ready.push_back(Ok(job));
            } else {
                unfinished.push(format!("`{id}` is {}", job.status));
            }
        }
        for id in missing {
            // The job was submitted after the list was made, its row is unreadable, or it does not
            // exist.
            let request = job_request(&id).deadline(deadline);
            match self.client.http().send(&request).and_then(|response| response.json::<Job>()) {
                Ok(job) if !job.status.is_terminal() => {
                    unfinished.push(format!("`{id}` is {}", job.status));
                }
                Err(error) if error.is_retryable() => unfinished.push(error.to_string()),
                result => {
                    self.waiting.remove(&id);
                    self.ready.push_back(result);
                }
            }
        }
        Ok(if self.ready.is_empty() { Err(unfinished.join(", ")) } else { Ok(()) })
    }
}

impl Iterator for FinishedJobs {
    type Item = Result<Job, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty() && !self.waiting.is_empty() {
            let not_over = format!("wait for jobs: {} not finished", self.waiting.len());
            let wait = self.wait;
            if let Err(error) = wait.until(not_over, |deadline| self.poll(deadline)) {
                self.waiting.clear();
                return Some(Err(error));
            }
        }
        self.ready.pop_front()
    }
}

impl FusedIterator for FinishedJobs {}
