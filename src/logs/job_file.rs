//! The log file of a job: how it is asked for, and what its absence means.

use super::log_file::check_exists;
use crate::ClientError;
use crate::fault::Fault;
use crate::jobs::Job;
use crate::transport::{Http, Request, path};

/// The log file of a job.
pub(super) fn job_file_request(what: &str, job: &Job) -> Request {
    Request::get(what, path(&["api", "v0", "logs", "file"]))
        .bytes()
        // Ray wants a node id, and does not use it if a submission id is given.
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

/// Ray's refusal to send the log of a job that is over means that the log is gone, for example with its
/// node. While the job is not over, it may come back: Ray has yet to notice that the node died.
pub(super) fn lost(what: &str, job: &Job, error: ClientError) -> ClientError {
    if error.status() != 500 || !matches!(error, ClientError::Rejected { .. }) {
        return error;
    }
    let fault = error.fault();
    let message = error.to_string();
    let reason = message.strip_prefix(what).unwrap_or(&message);
    if fault == Fault::NotUtf8 {
        return ClientError::unexpected(format_args!(
            "{what}: the log has bytes that are not UTF-8, which this Ray's dashboard cannot send{reason}"
        ));
    }
    let status = &job.status;
    let error = if status.is_terminal() {
        ClientError::log_lost(format_args!(
            "{what}: the job is over ({status}), but its log can no longer be read{reason}"
        ))
    } else {
        ClientError::unreachable(format_args!(
            "{what}: the job is {status}, but its log cannot be read now{reason}"
        ))
    };
    error.with_job_status(Some(status.clone()))
}
