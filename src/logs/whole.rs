//! The whole log of a job at once, and what its absence means.

use serde::Deserialize;

use super::files::check_exists;
use crate::jobs::{Job, JobType};
use crate::transport::{Http, Request, path};
use crate::{ClientError, RayClient};

impl RayClient {
    /// The whole log of a job as it stands; empty where the job has not started. Bytes that are not
    /// UTF-8 become U+FFFD. Calls `GET /api/jobs/{id}`, `GET /api/version` and
    /// `GET /api/v0/logs/file` (before Ray 2.45 `GET /api/jobs/{id}/logs`, which cannot carry bytes
    /// that are not UTF-8).
    ///
    /// # Errors
    /// 404 where there is no such job; 400 where the id is not valid or the job was started outside
    /// the job API; 500 where the log is larger than 256 MiB: [tail](Self::tail_job_logs) it; 503
    /// where the job is over and its log can no longer be had, as when its node died, or where a proxy
    /// leaves open where the answer ends, and it came differently each of four times; else as
    /// [`list_jobs`](Self::list_jobs).
    pub fn list_job_logs(&self, id: impl AsRef<str>) -> Result<String, ClientError> {
        let job = self.get_job(id)?;
        let what = format!("list logs of job `{}`", job.id());
        if job.job_type == JobType::Driver {
            return Err(no_log(&what));
        }
        if job.driver_node_id.is_none() {
            return Ok(String::new());
        }
        if !self.version()?.has_plain_log_streams() {
            let answer = self.http().send(&whole_log_request(&what, job.id()));
            let answer = answer.map_err(|error| lost(&what, &job, error))?;
            return Ok(answer.json::<WholeLog>()?.logs);
        }
        let request = file_request(&what, &job).query("lines", -1).unhurried();
        let log = read_whole(self.http(), &request).map_err(|error| lost(&what, &job, error))?;
        if log.is_empty() && job.status.is_terminal() {
            check_empty(self.http(), &what, &job)?;
        }
        Ok(text(log))
    }
}

/// A whole log file. Without a length or chunks, as from a proxy that speaks HTTP/1.0, the end of a
/// connection is all that tells where it ends. It is believed where the same comes twice.
pub(super) fn read_whole(http: &Http, request: &Request) -> Result<Vec<u8>, ClientError> {
    const LOOKS: u32 = 4;
    let mut last = None;
    for _ in 0..LOOKS {
        let answer = http.send(request)?;
        if answer.has_end || last.as_ref() == Some(&answer.body) {
            return Ok(answer.body);
        }
        last = Some(answer.body);
    }
    Err(ClientError::unreachable(format_args!(
        "{}: the answer has neither a length nor chunks, and came differently each of {LOOKS} times, so that it may have been cut: tail it instead",
        request.what
    )))
}

/// The answer of `GET /api/jobs/{id}/logs`.
#[derive(Deserialize)]
pub(super) struct WholeLog {
    pub(super) logs: String,
}

/// The whole log in one string, as old Rays send it as well.
pub(super) fn whole_log_request(what: &str, id: &str) -> Request {
    Request::get(what, path(&["api", "jobs", id, "logs"])).unhurried()
}

/// The log file of a job.
pub(super) fn file_request(what: &str, job: &Job) -> Request {
    Request::get(what, path(&["api", "v0", "logs", "file"]))
        // Ray wants a node id, and does not use it where a submission id is given.
        .query("node_id", job.driver_node_id.as_deref().unwrap_or_default())
        .query("submission_id", job.id())
}

pub(super) fn no_log(what: &str) -> ClientError {
    ClientError::rejected(
        400,
        format_args!("{what}: it was not started by the job API, and Ray keeps no log of it"),
    )
}

/// Whether a log that came empty is there at all.
pub(super) fn check_empty(http: &Http, what: &str, job: &Job) -> Result<(), ClientError> {
    let name = format!("job-driver-{}.log", job.id());
    let node_id = job.driver_node_id.as_deref().unwrap_or_default();
    check_exists(http, what, node_id, &name).map_err(|error| match error {
        ClientError::NotFound { message, .. } => ClientError::log_lost(message),
        error => error,
    })
}

/// Ray's refusal to send the log of a job that is over means that the log is gone, as with its node.
/// While the job is not over, as until Ray notices that the node died, it may come back.
pub(super) fn lost(what: &str, job: &Job, error: ClientError) -> ClientError {
    match error {
        ClientError::Rejected { status: 500, message, .. } => {
            let reason = message.strip_prefix(what).unwrap_or(&message);
            if message.contains("UnicodeDecodeError") {
                return ClientError::unexpected(format_args!(
                    "{what}: the log has bytes that are not UTF-8, which only Ray 2.45 and newer can send{reason}"
                ));
            }
            if !job.status.is_terminal() {
                return ClientError::unreachable(format_args!(
                    "{what}: the job is {}, but its log cannot be had now{reason}",
                    job.status
                ));
            }
            ClientError::log_lost(format_args!(
                "{what}: the job is over ({}), but its log can no longer be had{reason}",
                job.status
            ))
        }
        error => error,
    }
}

pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
