//! `/api/serve/applications/`, the one route for the whole state of Serve: requests, and the text of the
//! answer.

use std::fmt;
use std::time::Instant;

use super::deadline::PATIENCE;
use super::state::{State, not_from_ray};
use crate::transport::{Request, path};
use crate::{ClientError, RayClient};

fn applications_path() -> String {
    path(&["api", "serve", "applications", ""])
}

pub(super) fn get_request(what: impl fmt::Display) -> Request {
    Request::get(what, applications_path())
}

pub(super) fn put_request(what: impl fmt::Display) -> Request {
    Request::put(what, applications_path()).extra_time(PATIENCE)
}

pub(super) fn delete_request(what: impl fmt::Display) -> Request {
    Request::delete(what, applications_path()).extra_time(PATIENCE)
}

/// The answer as Ray wrote it. It is one of Ray's, and says for sure whether Serve runs.
pub(super) fn read(client: &RayClient, request: &Request) -> Result<String, ClientError> {
    let what = &request.what;
    let start = Instant::now();
    let answer = client.http().send(request)?;
    let body = String::from_utf8(answer.body).map_err(|_| not_from_ray(what))?;
    if State::parse(what, &body)?.is_doubtful(start.elapsed()) {
        let why = "Ray could not find out whether Serve runs";
        return Err(ClientError::unreachable(format_args!("{what}: {why}")));
    }
    Ok(body)
}
