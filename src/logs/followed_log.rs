//! The log that a tail follows, and its state in the cluster.

use super::job_file::{explain_job_error, job_file_request, no_log};
use super::log_file::{LogFile, explain_tail_error};
use super::request_context::{AgentLocation, RequestContext};
use super::source::{TailError, TailResult};
use super::source_kind::SourceKind;
use crate::ClientError;
use crate::jobs::{Job, JobStatus, JobType, job_request};
use crate::transport::Request;

/// The log that a tail follows.
pub(super) enum FollowedLog {
    Job {
        id: String,
        /// When the job was submitted. Known after the first request.
        start_time_ms: Option<u64>,
    },
    File {
        file: LogFile,
        /// Whether the first request has found the file and `agent`.
        is_known: bool,
        agent: Option<AgentLocation>,
    },
}

/// The state of a log, from the cluster.
pub(super) struct LogState {
    /// Whether the job has not started yet.
    pub(super) is_pending: bool,
    /// Whether the log exists, or may exist.
    pub(super) has_log: bool,
    /// Whether nothing more will be written.
    pub(super) is_over: bool,
    /// `None` if the log is not a job's.
    pub(super) job: Option<Job>,
    pub(super) agent: Option<AgentLocation>,
    /// Requests the log file from the dashboard.
    pub(super) request: Request,
}

impl LogState {
    pub(super) fn status(&self) -> Option<&JobStatus> {
        self.job.as_ref().map(|job| &job.status)
    }
}

impl FollowedLog {
    pub(super) fn of_job(id: &str) -> Self {
        Self::Job { id: id.to_owned(), start_time_ms: None }
    }

    pub(super) fn of_file(file: &LogFile) -> Self {
        Self::File { file: file.clone(), is_known: false, agent: None }
    }

    pub(super) fn job_id(&self) -> Option<&str> {
        match self {
            Self::Job { id, .. } => Some(id),
            Self::File { .. } => None,
        }
    }

    pub(super) fn state(&mut self, context: &RequestContext) -> TailResult<LogState> {
        match self {
            Self::Job { id, start_time_ms } => {
                let job: Job =
                    context.send(job_request(id))?.json().map_err(TailError::classify)?;
                check_identity(&context.operation, &job, start_time_ms)?;
                job_state(&context.operation, job)
            }
            Self::File { file, is_known, agent } => {
                if !*is_known {
                    file.check_exists(&context.http, &context.operation)
                        .map_err(TailError::classify)?;
                    *agent = file.find_agent(context)?;
                    *is_known = true;
                }
                Ok(LogState {
                    is_pending: false,
                    has_log: true,
                    is_over: false,
                    job: None,
                    agent: agent.clone(),
                    request: file.request(&context.operation),
                })
            }
        }
    }

    /// Returns the source to use for this log instead of `source_kind`. The WebSocket only serves job logs.
    pub(super) fn possible_source_kind(
        &self,
        operation: &str,
        source_kind: SourceKind,
    ) -> TailResult<SourceKind> {
        match (self, source_kind) {
            (Self::File { .. }, SourceKind::AgentOrWebSocket) => {
                Ok(SourceKind::Agent { has_markers: true })
            }
            (Self::File { .. }, SourceKind::WebSocket { has_file: true }) => Ok(SourceKind::File),
            (Self::File { .. }, SourceKind::WebSocket { has_file: false }) => {
                Err(TailError::Fatal(ClientError::invalid(format_args!(
                    "{operation}: needs Ray 2.45 or newer, or the node's agent: use Protocol::Auto"
                ))))
            }
            (_, source_kind) => Ok(source_kind),
        }
    }

    /// Explains an error of the log's route.
    pub(super) fn explain(&self, operation: &str, state: &LogState, cause: TailError) -> TailError {
        match (&state.job, self) {
            (Some(job), _) => cause.map_broken(|error| explain_job_error(operation, job, error)),
            (None, Self::File { .. }) => explain_tail_error(cause),
            (None, Self::Job { .. }) => cause,
        }
    }
}

/// Fails if the id now belongs to another job: an id can be reused after a delete, or by another
/// cluster at the same address.
fn check_identity(operation: &str, job: &Job, start_time_ms: &mut Option<u64>) -> TailResult<()> {
    let Some(started) = job.start_time_ms else { return Ok(()) };
    if *start_time_ms.get_or_insert(started) == started {
        return Ok(());
    }
    Err(TailError::Fatal(ClientError::log_lost(format_args!(
        "{operation}: this id now belongs to another job, which is {}: the rest of the log can no longer be read",
        job.status
    ))))
}

fn job_state(operation: &str, job: Job) -> TailResult<LogState> {
    if job.job_type == JobType::Driver {
        return Err(TailError::Fatal(no_log(operation)));
    }
    let is_over = job.status.is_terminal();
    let has_node = job.driver_node_id.is_some();
    Ok(LogState {
        is_pending: !is_over && (!has_node || job.status == JobStatus::Pending),
        // A job that never reached a node has no log.
        has_log: has_node,
        is_over,
        agent: AgentLocation::of_job(&job),
        request: job_file_request(operation, &job),
        job: Some(job),
    })
}
