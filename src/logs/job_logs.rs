//! The calls that follow or read the log of a job.

use std::sync::Arc;
use std::time::Duration;

use super::followed_log::FollowedLog;
use super::job_file::{check_empty, explain_job_error, job_file_request, no_log};
use super::options::{Protocol, TailOptions};
use super::request_context::AgentLocation;
use super::source::{Dashboard, FileServer, TailError, WholeLog, is_no_route, whole_log_request};
use super::tail::LogTail;
use super::tail_worker::{Agents, Cancel, Follower, Queue};
use super::whole_file::{read_whole, text};
use crate::jobs::{Job, JobType};
use crate::rejection_kind::RejectionKind;
use crate::transport::Request;
use crate::{ClientError, RayClient, validate};

/// Logs of jobs.
impl RayClient {
    /// Follows the log of a job to its end, however long the job is pending or silent.
    ///
    /// Does the same as [`tail_job_logs_with`](Self::tail_job_logs_with) with
    /// [`TailOptions::until_done`].
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
    ///
    /// The same errors as [`tail_job_logs_with`](Self::tail_job_logs_with).
    pub fn follow_job_logs(&self, id: impl AsRef<str>) -> Result<LogTail, ClientError> {
        self.tail_job_logs_with(id, TailOptions::until_done())
    }

    /// Follows the log of a job until 10 s without output or a limit in
    /// [`StreamLimits`](crate::StreamLimits).
    ///
    /// Does the same as [`tail_job_logs_with`](Self::tail_job_logs_with) with the default options.
    ///
    /// ```no_run
    /// use ray_client::RayClient;
    ///
    /// let client = RayClient::new("http://127.0.0.1:8265")?;
    /// for line in client.tail_job_logs("raysubmit_1")? {
    ///     match line {
    ///         Ok(line) => println!("{line}"),
    ///         Err(error) if error.status() == 408 => println!("no output for 10 s"),
    ///         Err(error) => return Err(error),
    ///     }
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The same errors as [`tail_job_logs_with`](Self::tail_job_logs_with).
    pub fn tail_job_logs(&self, id: impl AsRef<str>) -> Result<LogTail, ClientError> {
        self.tail_job_logs_with(id, TailOptions::default())
    }

    /// Follows the log of a job with [`Protocol::WebSocket`].
    ///
    /// # Errors
    ///
    /// The same errors as [`tail_job_logs_with`](Self::tail_job_logs_with).
    pub fn websocket_tail_job_logs(
        &self,
        id: impl AsRef<str>,
        stream_timeout: Duration,
    ) -> Result<LogTail, ClientError> {
        let options = TailOptions::default().protocol(Protocol::WebSocket);
        self.tail_job_logs_with(id, options.stream_timeout(stream_timeout))
    }

    /// Follows the log of a job with [`Protocol::Stream`]. Needs Ray 2.45 or newer.
    ///
    /// # Errors
    ///
    /// The same errors as [`tail_job_logs_with`](Self::tail_job_logs_with).
    pub fn stream_tail_job_logs(
        &self,
        id: impl AsRef<str>,
        stream_timeout: Duration,
    ) -> Result<LogTail, ClientError> {
        let options = TailOptions::default().protocol(Protocol::Stream);
        self.tail_job_logs_with(id, options.stream_timeout(stream_timeout))
    }

    /// Follows the log of a job with these options.
    ///
    /// The tail ends when the job has a terminal status and its whole log was delivered, or with an error.
    ///
    /// Calls `GET /api/jobs/{id}` and `GET /api/version`, and then the routes of the [`Protocol`].
    ///
    /// The tail uses one of the client's [workers](crate::ClientBuilder::tail_workers) until it ends or
    /// you drop it. If all workers are busy, this call waits for one, up to the stream timeout (10 s if
    /// there is none).
    ///
    /// ```no_run
    /// use ray_client::{RayClient, TailOptions};
    /// use std::time::Duration;
    ///
    /// let client = RayClient::new("http://127.0.0.1:8265")?;
    /// let options = TailOptions::default().last_lines(100).stream_timeout(Duration::from_secs(60));
    /// for line in client.tail_job_logs_with("raysubmit_1", options)? {
    ///     println!("{}", line?);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - 400: the id or an option is invalid, or the protocol is [`Protocol::Agent`] and
    ///   [`ClientBuilder::agent_access`](crate::ClientBuilder::agent_access) allows no agent
    /// - 429: no worker became free, or no thread can be started
    ///
    /// This call does not wait for the cluster. The iterator yields the cluster's errors; see [`LogTail`].
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

    /// Starts a tail in a free worker.
    pub(super) fn tail(
        &self,
        operation: String,
        log: FollowedLog,
        options: TailOptions,
    ) -> Result<LogTail, ClientError> {
        options.check()?;
        if options.protocol == Protocol::Agent && !self.may_use_agents() {
            return Err(ClientError::invalid(format_args!(
                "{operation}: Protocol::Agent: this client must not use agents: see ClientBuilder::agent_access"
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

    /// Returns the whole log of a job so far. Empty if the job has not started. Bytes that are not UTF-8
    /// become U+FFFD.
    ///
    /// Calls `GET /api/jobs/{id}`, `GET /api/version` and `GET /api/v0/logs/file`. Before Ray 2.45, or if
    /// a gateway blocks `GET /api/version`, it calls `GET /api/jobs/{id}/logs` instead. That route cannot
    /// send bytes that are not UTF-8; before Ray 2.45, the client then reads from the node's agent.
    ///
    /// ```no_run
    /// let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let log = client.list_job_logs("raysubmit_1")?;
    /// println!("{} warnings", log.lines().filter(|line| line.contains("WARNING")).count());
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - 404: there is no such job
    /// - 400: the id is invalid, or the job was started outside the job API
    /// - 500: the log is larger than 256 MiB; [tail](Self::tail_job_logs) it instead
    /// - 503: the job has finished and its log is gone, for example because its node died; or the log was
    ///   cut off four times
    /// - otherwise the same errors as [`list_jobs`](Self::list_jobs)
    pub fn list_job_logs(&self, id: impl AsRef<str>) -> Result<String, ClientError> {
        let job = self.get_job(id)?;
        let operation = format!("list logs of job `{}`", job.id());
        if !has_log(&operation, &job)? {
            return Ok(String::new());
        }
        if !self.has_plain_log_streams()? {
            let id = validate::pasted_id("job id", job.id())?;
            let response = self.http().send(&whole_log_request(&operation, id));
            return match response {
                Ok(response) => Ok(response.json::<WholeLog>()?.logs),
                Err(error) if error.rejection_kind() == RejectionKind::NotUtf8 => {
                    let location = AgentLocation::of_job(&job);
                    let log =
                        self.read_by_agent(location.as_ref(), job_file_request(&operation, &job));
                    log.map(text).map_err(|_| explain_job_error(&operation, &job, error))
                }
                Err(error) => Err(explain_job_error(&operation, &job, error)),
            };
        }
        let log = read_whole(&self.dashboard(job_file_request(&operation, &job), false));
        let log = log.map_err(|error| explain_job_error(&operation, &job, error))?;
        self.checked_text(&operation, &job, log)
    }

    /// Returns the last `lines` lines of a job's log so far, from 1 to 10,000, with their line endings.
    ///
    /// Empty if the job has not started. Transfers only these lines. An unfinished last line counts as a
    /// line. A `\r` does not end a line here. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// Calls `GET /api/jobs/{id}`, `GET /api/version` and `GET /api/v0/logs/file`.
    ///
    /// ```no_run
    /// let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// print!("{}", client.list_last_job_log_lines("raysubmit_1", 20)?);
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The same errors as [`list_job_logs`](Self::list_job_logs), and:
    ///
    /// - 400: `lines` is out of range
    /// - 500: these lines are larger than 4 MiB
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
        let last = last.map_err(|error| explain_job_error(&operation, &job, error))?;
        let last = last.ok_or_else(|| {
            ClientError::unexpected(format_args!(
                "{operation}: the lines are larger than 4 MiB: tail the log instead"
            ))
        })?;
        self.checked_text(&operation, &job, last)
    }

    /// Returns whether the cluster is known to serve log files as plain bytes. A gateway may block the
    /// version.
    fn has_plain_log_streams(&self) -> Result<bool, ClientError> {
        match self.version() {
            Ok(version) => Ok(version.has_plain_log_streams()),
            Err(error) if is_no_route(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns the text of a log. If it is empty, verifies that the log of a finished job exists.
    fn checked_text(
        &self,
        operation: &str,
        job: &Job,
        log: Vec<u8>,
    ) -> Result<String, ClientError> {
        if log.is_empty() && job.status.is_terminal() {
            check_empty(self.http(), operation, job)?;
        }
        Ok(text(log))
    }

    pub(super) fn dashboard(&self, request: Request, has_markers: bool) -> Dashboard {
        Dashboard::new(self.http().clone(), request, self.http().read_timeout(), has_markers)
    }
}

/// Returns whether a job has a log. Fails for a job that was started outside the job API.
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
    fn invalid_ids_are_rejected_by_the_call() {
        let client = RayClient::new("http://127.0.0.1:9").unwrap();
        assert_eq!(client.tail_job_logs("a/b").unwrap_err().status(), 400);
        for id in ["a#b", "a?b", "a%32"] {
            let timeout = Duration::from_secs(1);
            assert_eq!(client.websocket_tail_job_logs(id, timeout).unwrap_err().status(), 400);
            assert!(client.tail_job_logs(id).is_ok(), "other protocols encode this id correctly");
        }
        assert_eq!(client.list_last_job_log_lines("a", 0).unwrap_err().status(), 400);
    }
}
