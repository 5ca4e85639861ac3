//! Waiting for many jobs at once.

use std::collections::{BTreeSet, VecDeque};
use std::iter::FusedIterator;
use std::time::{Duration, Instant};

use super::{Job, job_request, jobs_request};
use crate::json::Rows;
use crate::wait::Wait;
use crate::{ClientError, RayClient, validate};

/// Jobs as they end, made by [`RayClient::wait_for_jobs`].
///
/// `None` means that each job ended or does not exist, or that an `Err` before it said why no more is waited
/// for. Dropping it ends the wait.
#[must_use = "an iterator does nothing until it is asked for the next job"]
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

/// Jobs: many at once.
impl RayClient {
    /// Waits for many jobs, and gives each as it ends. Calls `GET /api/jobs/`, one list for all of them, at
    /// first every 100 ms, later every second. An error that is
    /// [retryable](ClientError::is_retryable) does not end the wait. A job that is in no list is looked for
    /// with `GET /api/jobs/{id}`.
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
    /// 400 if an id is not valid or `timeout` is zero. The iterator gives 404 for a job that does not exist,
    /// and goes on with the others. It ends with 408 after `timeout`, naming those that are not over, or with
    /// any other error that the list of jobs fails with and that is not retryable.
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
    /// Asks for all jobs once. Tells how those are that are not over if none is.
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
            // It was submitted since the list was made, its row could not be read, or it does not exist.
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
            let not_over = format!("wait for jobs: {} not over", self.waiting.len());
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
