//! Requests for the log file of a job, and the meaning of their errors.

use super::log_file::check_exists;
use crate::ClientError;
use crate::jobs::Job;
use crate::rejection_kind::RejectionKind;
use crate::transport::{Http, Request, path};

/// Returns the request for the log file of a job.
pub(super) fn job_file_request(operation: &str, job: &Job) -> Request {
    Request::get(operation, path(&["api", "v0", "logs", "file"]))
        .bytes()
        // Ray requires a node id, but ignores it if there is a submission id.
        .query("node_id", job.driver_node_id.as_deref().unwrap_or_default())
        .query("submission_id", job.id())
}

pub(super) fn no_log(operation: &str) -> ClientError {
    ClientError::rejected(
        400,
        format_args!("{operation}: it was not started with the job API, so Ray keeps no log of it"),
    )
}

/// Fails if the log file does not exist. Ray may respond with an empty body for a missing file.
pub(super) fn check_empty(http: &Http, operation: &str, job: &Job) -> Result<(), ClientError> {
    let name = format!("job-driver-{}.log", job.id());
    let node_id = job.driver_node_id.as_deref().unwrap_or_default();
    check_exists(http, operation, node_id, &name).map_err(|error| match error {
        ClientError::NotFound { .. } => {
            let status = &job.status;
            let message = format!("{error}: the job has finished ({status}), but its log is gone");
            ClientError::log_lost(message).with_job_status(Some(status.clone()))
        }
        error => error,
    })
}

/// Explains a 500 for the log of a job.
///
/// If the job has finished, its log is gone, for example because its node died. Otherwise the log may
/// become readable again: Ray may not have noticed yet that the node died.
pub(super) fn explain_job_error(operation: &str, job: &Job, error: ClientError) -> ClientError {
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
            "{operation}: the job has finished ({status}), but its log can no longer be read{reason}"
        ))
    } else {
        ClientError::unreachable(format_args!(
            "{operation}: the job is {status}, but its log cannot be read at the moment{reason}"
        ))
    };
    error.with_job_status(Some(status.clone()))
}
