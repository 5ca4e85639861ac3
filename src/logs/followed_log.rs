//! Which log is followed, and what the cluster says of it.

use super::job_file::{job_file_request, lost, no_log};
use super::log_file::{LogFile, explain};
use super::request_context::{AgentLocation, RequestContext};
use super::source::{TailError, TailResult};
use super::source_kind::SourceKind;
use crate::ClientError;
use crate::jobs::{Job, JobStatus, JobType, job_request};
use crate::transport::Request;

/// A log that is followed.
pub(super) enum FollowedLog {
    Job {
        id: String,
        /// When the job was submitted, since the first contact.
        start_time_ms: Option<u64>,
    },
    File {
        file: LogFile,
        /// Whether the file was looked for, and where its agent is. Asked for once.
        is_known: bool,
        agent: Option<AgentLocation>,
    },
}

/// What the cluster says of a log.
pub(super) struct LogState {
    /// Whether it may yet begin.
    pub(super) is_pending: bool,
    /// Whether there is one, or may be.
    pub(super) has_log: bool,
    /// Whether nothing more is written.
    pub(super) is_over: bool,
    /// Of the job, if it is the log of one.
    pub(super) job: Option<Job>,
    pub(super) agent: Option<AgentLocation>,
    /// What asks the dashboard for it.
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

    /// The source that this log can be read from: files are not carried by the WebSocket.
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

    /// What an error of the log's route means.
    pub(super) fn explain(&self, operation: &str, state: &LogState, cause: TailError) -> TailError {
        match (&state.job, self) {
            (Some(job), _) => cause.map_broken(|error| lost(operation, job, error)),
            (None, Self::File { .. }) => explain(cause),
            (None, Self::Job { .. }) => cause,
        }
    }
}

/// An id may be used again after a delete, or by another cluster at the same address.
fn check_identity(operation: &str, job: &Job, start_time_ms: &mut Option<u64>) -> TailResult<()> {
    let Some(started) = job.start_time_ms else { return Ok(()) };
    if *start_time_ms.get_or_insert(started) == started {
        return Ok(());
    }
    Err(TailError::Fatal(ClientError::log_lost(format_args!(
        "{operation}: this id is another job's now, which is {}: the rest of the log can no longer be read",
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
        // It never got to a node, so that there is no log.
        has_log: has_node,
        is_over,
        agent: AgentLocation::of_job(&job),
        request: job_file_request(operation, &job),
        job: Some(job),
    })
}
