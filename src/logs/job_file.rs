//! The log file of a job: how it is asked for, and what its absence means.

use super::log_file::check_exists;
use crate::ClientError;
use crate::jobs::Job;
use crate::rejection_kind::RejectionKind;
use crate::transport::{Http, Request, path};

/// The log file of a job.
pub(super) fn job_file_request(operation: &str, job: &Job) -> Request {
    Request::get(operation, path(&["api", "v0", "logs", "file"]))
        .bytes()
        // Ray wants a node id, and does not use it if a submission id is given.
        .query("node_id", job.driver_node_id.as_deref().unwrap_or_default())
        .query("submission_id", job.id())
}

pub(super) fn no_log(operation: &str) -> ClientError {
    ClientError::rejected(
        400,
        format_args!("{operation}: it was not started by the job API, and Ray keeps no log of it"),
    )
}

/// Whether a log that came empty is there at all.
pub(super) fn check_empty(http: &Http, operation: &str, job: &Job) -> Result<(), ClientError> {
    let name = format!("job-driver-{}.log", job.id());
    let node_id = job.driver_node_id.as_deref().unwrap_or_default();
    check_exists(http, operation, node_id, &name).map_err(|error| match error {
        ClientError::NotFound { message, .. } => ClientError::log_lost(message),
        error => error,
    })
}

/// Ray's refusal to send the log of a job that is over means that the log is gone, for example with its
/// node. While the job is not over, it may come back: Ray has yet to notice that the node died.
pub(super) fn lost(operation: &str, job: &Job, error: ClientError) -> ClientError {
    if error.status() != 500 || !matches!(error, ClientError::Rejected { .. }) {
        return error;
    }
    let kind = error.rejection_kind();
    let message = error.to_string();
    let reason = message.strip_prefix(operation).unwrap_or(&message);
    if kind == RejectionKind::NotUtf8 {
        return ClientError::unexpected(format_args!(
            "{operation}: the log has bytes that are not UTF-8, which this Ray's dashboard cannot send{reason}"
        ));
    }
    let status = &job.status;
    let error = if status.is_terminal() {
        ClientError::log_lost(format_args!(
            "{operation}: the job is over ({status}), but its log can no longer be read{reason}"
        ))
    } else {
        ClientError::unreachable(format_args!(
            "{operation}: the job is {status}, but its log cannot be read now{reason}"
        ))
    };
    error.with_job_status(Some(status.clone()))
}
