//! Which log is followed, and what the cluster says of it.

use super::job_file::{job_file_request, lost, no_log};
use super::log_file::{LogFile, explain};
use super::requests::{AgentLocation, Requests};
use super::source::{Interrupt, Step};
use super::way::Way;
use crate::ClientError;
use crate::jobs::{Job, JobStatus, JobType, job_request};
use crate::transport::Request;

/// A log that is followed.
pub(super) enum Log {
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

impl Log {
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

    pub(super) fn state(&mut self, requests: &Requests) -> Step<LogState> {
        match self {
            Self::Job { id, start_time_ms } => {
                let job: Job = requests.send(job_request(id))?.json().map_err(Interrupt::of)?;
                check_identity(&requests.what, &job, start_time_ms)?;
                job_state(&requests.what, job)
            }
            Self::File { file, is_known, agent } => {
                if !*is_known {
                    file.check_exists(&requests.http, &requests.what).map_err(Interrupt::of)?;
                    *agent = file.find_agent(requests)?;
                    *is_known = true;
                }
                Ok(LogState {
                    is_pending: false,
                    has_log: true,
                    is_over: false,
                    job: None,
                    agent: agent.clone(),
                    request: file.request(&requests.what),
                })
            }
        }
    }

    /// The way, if this log can be read by it: files are not carried by the WebSocket.
    pub(super) fn possible_way(&self, what: &str, way: Way) -> Step<Way> {
        match (self, way) {
            (Self::File { .. }, Way::AgentOrWebSocket) => Ok(Way::Agent { has_markers: true }),
            (Self::File { .. }, Way::WebSocket { has_file: true }) => Ok(Way::File),
            (Self::File { .. }, Way::WebSocket { has_file: false }) => {
                Err(Interrupt::Fatal(ClientError::invalid(format_args!(
                    "{what}: needs Ray 2.45 or newer, or the node's agent: use Protocol::Auto"
                ))))
            }
            (_, way) => Ok(way),
        }
    }

    /// What an error of the log's route means.
    pub(super) fn explain(&self, what: &str, state: &LogState, cause: Interrupt) -> Interrupt {
        match (&state.job, self) {
            (Some(job), _) => cause.map_broken(|error| lost(what, job, error)),
            (None, Self::File { .. }) => explain(cause),
            (None, Self::Job { .. }) => cause,
        }
    }
}

/// An id may be used again after a delete, or by another cluster at the same address.
fn check_identity(what: &str, job: &Job, start_time_ms: &mut Option<u64>) -> Step<()> {
    let Some(started) = job.start_time_ms else { return Ok(()) };
    if *start_time_ms.get_or_insert(started) == started {
        return Ok(());
    }
    Err(Interrupt::Fatal(ClientError::log_lost(format_args!(
        "{what}: this id is another job's now, which is {}: the rest of the log can no longer be read",
        job.status
    ))))
}

fn job_state(what: &str, job: Job) -> Step<LogState> {
    if job.job_type == JobType::Driver {
        return Err(Interrupt::Fatal(no_log(what)));
    }
    let is_over = job.status.is_terminal();
    let has_node = job.driver_node_id.is_some();
    Ok(LogState {
        is_pending: !is_over && (!has_node || job.status == JobStatus::Pending),
        // It never got to a node, so that there is no log.
        has_log: has_node,
        is_over,
        agent: AgentLocation::of_job(&job),
        request: job_file_request(what, &job),
        job: Some(job),
    })
}
