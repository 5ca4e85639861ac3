//! `/api/serve/applications/`, the route for the whole state of Serve: its requests, and the text
//! of its response.

use std::fmt;
use std::time::Instant;

use super::deadline::EXTRA_TIME;
use super::raw_state::{RawState, not_from_ray};
use crate::transport::{Request, path};
use crate::{ClientError, RayClient};

fn applications_path() -> String {
    path(&["api", "serve", "applications", ""])
}

pub(super) fn get_request(operation: impl fmt::Display) -> Request {
    Request::get(operation, applications_path())
}

pub(super) fn put_request(operation: impl fmt::Display) -> Request {
    Request::put(operation, applications_path()).extra_time(EXTRA_TIME)
}

pub(super) fn delete_request(operation: impl fmt::Display) -> Request {
    Request::delete(operation, applications_path()).extra_time(EXTRA_TIME)
}

/// Returns the response as Ray wrote it, after checking that it is from Ray and reliably reports
/// whether Serve is running.
pub(super) fn read(client: &RayClient, request: &Request) -> Result<String, ClientError> {
    let operation = &request.operation;
    let start = Instant::now();
    let response = client.http().send(request)?;
    let body = String::from_utf8(response.body).map_err(|_| not_from_ray(operation))?;
    if RawState::parse(operation, &body)?.is_doubtful(start.elapsed()) {
        let why = "Ray could not determine whether Serve is running";
        return Err(ClientError::unreachable(format_args!("{operation}: {why}")));
    }
    Ok(body)
}
