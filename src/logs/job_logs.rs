//! The log of a job: followed, or read as it stands.

use std::sync::Arc;
use std::time::Duration;

use super::followed_log::FollowedLog;
use super::job_file::{check_empty, job_file_request, lost, no_log};
use super::options::{Protocol, TailOptions};
use super::request_context::AgentLocation;
use super::source::{Dashboard, FileServer, TailError, WholeLog, whole_log_request};
use super::tail::LogTail;
use super::tail_worker::{Agents, Cancel, Follower, Queue};
use super::whole_file::{read_whole, text};
use crate::jobs::{Job, JobType};
use crate::rejection_kind::RejectionKind;
use crate::transport::Request;
use crate::{ClientError, RayClient, validate};

/// Logs of jobs.
impl RayClient {
    /// Follows the log of a job to its end, however long the job waits, is silent, or writes:
    /// [`tail_job_logs_with`](Self::tail_job_logs_with) and [`TailOptions::until_done`].
    ///
    /// ```no_run
    /// let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// for line in client.follow_job_logs("raysubmit_1")? {
    ///     println!("{}", line?);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same as [`tail_job_logs_with`](Self::tail_job_logs_with).
    pub fn follow_job_logs(&self, id: impl AsRef<str>) -> Result<LogTail, ClientError> {
        self.tail_job_logs_with(id, TailOptions::until_done())
    }

    /// Tails the log of a job with default options: at most 10 s of silence, and the limits of
    /// [`StreamLimits`](crate::StreamLimits). See [`tail_job_logs_with`](Self::tail_job_logs_with).
    ///
    /// # Errors
    /// The same as [`tail_job_logs_with`](Self::tail_job_logs_with).
    pub fn tail_job_logs(&self, id: impl AsRef<str>) -> Result<LogTail, ClientError> {
        self.tail_job_logs_with(id, TailOptions::default())
    }

    /// Tails the log of a job by Ray's WebSocket.
    ///
    /// # Errors
    /// The same as [`tail_job_logs_with`](Self::tail_job_logs_with).
    pub fn websocket_tail_job_logs(
        &self,
        id: impl AsRef<str>,
        stream_timeout: Duration,
    ) -> Result<LogTail, ClientError> {
        let options = TailOptions::default().protocol(Protocol::WebSocket);
        self.tail_job_logs_with(id, options.stream_timeout(stream_timeout))
    }

    /// Tails the log of a job over HTTP from the dashboard. Needs Ray 2.45 or newer.
    ///
    /// # Errors
    /// The same as [`tail_job_logs_with`](Self::tail_job_logs_with).
    pub fn stream_tail_job_logs(
        &self,
        id: impl AsRef<str>,
        stream_timeout: Duration,
    ) -> Result<LogTail, ClientError> {
        let options = TailOptions::default().protocol(Protocol::Stream);
        self.tail_job_logs_with(id, options.stream_timeout(stream_timeout))
    }

    /// Tails the log of a job, from its start to its true end. Calls `GET /api/jobs/{id}` and
    /// `GET /api/version`, and then what the [`Protocol`] says.
    ///
    /// One of the client's [workers](crate::ClientBuilder::tail_workers) feeds the tail until it ends or
    /// is dropped. While all of them are busy, this call waits for one, up to the stream timeout (10 s
    /// if there is none).
    ///
    /// # Errors
    /// 400 if the id or an option is not valid, or with [`Protocol::Agent`] if
    /// [`ClientBuilder::agent_access`](crate::ClientBuilder::agent_access) allows none; 429 if no worker became free or no thread can be made.
    /// What the cluster says comes from the iterator; see [`LogTail`].
    pub fn tail_job_logs_with(
        &self,
        id: impl AsRef<str>,
        options: TailOptions,
    ) -> Result<LogTail, ClientError> {
        let id = validate::job_id(id.as_ref())?;
        if options.protocol == Protocol::WebSocket {
            validate::pasted_id("job id", id)?;
        }
        self.tail(format!("tail job `{id}`"), FollowedLog::of_job(id), options)
    }

    /// Starts a worker that feeds a tail.
    pub(super) fn tail(
        &self,
        operation: String,
        log: FollowedLog,
        options: TailOptions,
    ) -> Result<LogTail, ClientError> {
        options.check()?;
        if options.protocol == Protocol::Agent && !self.may_use_agents() {
            return Err(ClientError::invalid(format_args!(
                "{operation}: Protocol::Agent: this client may use no agent: see ClientBuilder::agent_access"
            )));
        }
        let limits = options.limits.clone().unwrap_or_else(|| self.stream_limits().clone());
        let max_piece = limits.max_message_size;
        let position = options.from_position.unwrap_or(0);
        let worker = self.tails().worker(&operation, options.worker_timeout())?;
        let (cancel, cancelled) = Cancel::new();
        let http = self.http().for_tail(options.stall_timeout());
        cancel.track(&http);
        self.tails().register(&cancel);
        let (queue, receiver) = Queue::new(&operation, limits, cancelled);
        let agents =
            Agents { access: self.agent_access(), addresses: Arc::clone(&self.tails().agents) };
        let follow = Follower::new(
            operation.clone(),
            log,
            http,
            options,
            agents,
            Arc::clone(&cancel),
            queue,
        );
        worker.run(move || follow.run());
        Ok(LogTail::new(operation, max_piece, position, receiver, cancel))
    }

    fn may_use_agents(&self) -> bool {
        self.agent_access().is_allowed(self.http().address())
    }

    /// The whole log of a job as it stands; empty if the job has not started. Bytes that are not UTF-8
    /// become U+FFFD. Calls `GET /api/jobs/{id}`, `GET /api/version` and `GET /api/v0/logs/file` (before
    /// Ray 2.45 `GET /api/jobs/{id}/logs`, and if that cannot carry the log, which has bytes that are not
    /// UTF-8, the node's agent).
    ///
    /// # Errors
    /// 404 if there is no such job; 400 if the id is not valid or the job was started outside the job
    /// API; 500 if the log is larger than 256 MiB: [tail](Self::tail_job_logs) it; 503 if the job is
    /// over and its log can no longer be read, for example because its node died, or if the log came
    /// cut off four times; otherwise the same errors as [`list_jobs`](Self::list_jobs).
    pub fn list_job_logs(&self, id: impl AsRef<str>) -> Result<String, ClientError> {
        let job = self.get_job(id)?;
        let operation = format!("list logs of job `{}`", job.id());
        if !has_log(&operation, &job)? {
            return Ok(String::new());
        }
        if !self.version()?.has_plain_log_streams() {
            let id = validate::pasted_id("job id", job.id())?;
            let response = self.http().send(&whole_log_request(&operation, id));
            return match response {
                Ok(response) => Ok(response.json::<WholeLog>()?.logs),
                Err(error) if error.rejection_kind() == RejectionKind::NotUtf8 => {
                    let location = AgentLocation::of_job(&job);
                    let log =
                        self.read_by_agent(location.as_ref(), job_file_request(&operation, &job));
                    log.map(text).map_err(|_| lost(&operation, &job, error))
                }
                Err(error) => Err(lost(&operation, &job, error)),
            };
        }
        let log = read_whole(&self.dashboard(job_file_request(&operation, &job), false));
        let log = log.map_err(|error| lost(&operation, &job, error))?;
        if log.is_empty() && job.status.is_terminal() {
            check_empty(self.http(), &operation, &job)?;
        }
        Ok(text(log))
    }

    /// The last `lines` lines of a job's log as it stands, from 1 to 10,000, with their line endings;
    /// empty if the job has not started. No more than that is read, whatever the length of the log. What
    /// follows the last `\n` is a line, too; a `\r` ends none here. Bytes that are not UTF-8 become
    /// U+FFFD. Calls `GET /api/jobs/{id}`, `GET /api/version` and `GET /api/v0/logs/file`.
    ///
    /// ```no_run
    /// let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// print!("{}", client.list_last_job_log_lines("raysubmit_1", 20)?);
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same as [`list_job_logs`](Self::list_job_logs); also 400 if `lines` is out of range, and 500
    /// if these lines have more than 4 MiB.
    pub fn list_last_job_log_lines(
        &self,
        id: impl AsRef<str>,
        lines: u32,
    ) -> Result<String, ClientError> {
        if !(1..=10_000).contains(&lines) {
            return Err(ClientError::invalid("lines: must be 1 to 10000"));
        }
        let job = self.get_job(id)?;
        let operation = format!("list last log lines of job `{}`", job.id());
        if !has_log(&operation, &job)? {
            return Ok(String::new());
        }
        let has_markers = !self.version()?.has_plain_log_streams();
        let dashboard = self.dashboard(job_file_request(&operation, &job), has_markers);
        let last = dashboard.last_lines(u64::from(lines)).map_err(TailError::into_error);
        let last = last.map_err(|error| lost(&operation, &job, error))?;
        let last = last.ok_or_else(|| {
            ClientError::unexpected(format_args!(
                "{operation}: they have more than 4 MiB: tail them"
            ))
        })?;
        Ok(text(last))
    }

    pub(super) fn dashboard(&self, request: Request, has_markers: bool) -> Dashboard {
        Dashboard::new(self.http().clone(), request, self.http().read_timeout(), has_markers)
    }
}

/// Whether a job got as far as to have a log.
fn has_log(operation: &str, job: &Job) -> Result<bool, ClientError> {
    if job.job_type == JobType::Driver {
        return Err(no_log(operation));
    }
    Ok(job.driver_node_id.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_id_is_refused_by_the_call_itself() {
        let client = RayClient::new("http://127.0.0.1:9").unwrap();
        assert_eq!(client.tail_job_logs("a/b").unwrap_err().status(), 400);
        for id in ["a#b", "a?b", "a%32"] {
            let timeout = Duration::from_secs(1);
            assert_eq!(client.websocket_tail_job_logs(id, timeout).unwrap_err().status(), 400);
            assert!(client.tail_job_logs(id).is_ok(), "by the other ways it is this job's");
        }
        assert_eq!(client.list_last_job_log_lines("a", 0).unwrap_err().status(), 400);
    }
}
