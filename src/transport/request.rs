//! `Request`: method, route, query, body and time limits.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use ureq::http::Method;

use crate::ClientError;

const MIN_WAIT: Duration = Duration::from_millis(1);

/// All characters except RFC 3986's unreserved ones.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Joins percent-encoded segments to a route, for example `/api/jobs/a%3Fb`.
pub(crate) fn path(segments: &[&str]) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        path.extend(utf8_percent_encode(segment, ENCODED));
    }
    path
}

/// A request. `operation` names the operation and the resource in error messages.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) operation: String,
    pub(super) method: Method,
    pub(crate) path: String,
    pub(super) query: String,
    pub(super) range: Option<ByteRange>,
    /// Shared, because it may be large and the response keeps a copy of the request.
    pub(super) body: Option<Arc<Vec<u8>>>,
    pub(super) is_idempotent: bool,
    pub(super) extra_time: Duration,
    pub(super) idle_timeout_only: bool,
    pub(super) wants_bytes: bool,
    pub(super) first_bytes: Option<usize>,
    pub(super) deadline: Option<Instant>,
}

impl Request {
    fn new(method: Method, operation: impl fmt::Display, path: String) -> Self {
        let is_idempotent = method != Method::POST;
        Self {
            operation: operation.to_string(),
            method,
            path,
            query: String::new(),
            range: None,
            body: None,
            is_idempotent,
            extra_time: Duration::ZERO,
            idle_timeout_only: false,
            wants_bytes: false,
            first_bytes: None,
            deadline: None,
        }
    }

    pub(crate) fn get(operation: impl fmt::Display, path: String) -> Self {
        Self::new(Method::GET, operation, path)
    }

    pub(crate) fn post(operation: impl fmt::Display, path: String) -> Self {
        Self::new(Method::POST, operation, path)
    }

    pub(crate) fn put(operation: impl fmt::Display, path: String) -> Self {
        Self::new(Method::PUT, operation, path)
    }

    pub(crate) fn delete(operation: impl fmt::Display, path: String) -> Self {
        Self::new(Method::DELETE, operation, path)
    }

    pub(crate) fn query(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.query.push(if self.query.is_empty() { '?' } else { '&' });
        self.query.push_str(key);
        self.query.push('=');
        self.query.extend(utf8_percent_encode(&value.to_string(), ENCODED));
        self
    }

    /// Requests only these bytes. The response may be 206, or 416 if there are none.
    pub(crate) fn range(mut self, range: ByteRange) -> Self {
        self.range = Some(range);
        self
    }

    /// Expects a file instead of JSON. Any other content type is refused.
    pub(crate) fn bytes(mut self) -> Self {
        self.wants_bytes = true;
        self
    }

    /// Reads at most this many bytes of the response and drops the rest.
    pub(crate) fn first_bytes(mut self, most: usize) -> Self {
        self.first_bytes = Some(most);
        self
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self, ClientError> {
        let bytes = serde_json::to_vec(body)
            .map_err(|error| ClientError::invalid(format_args!("{}: {error}", self.operation)))?;
        self.body = Some(Arc::new(bytes));
        Ok(self)
    }

    /// Like [`json`](Self::json), for a body that is already JSON text.
    pub(crate) fn json_text(mut self, body: String) -> Self {
        self.body = Some(Arc::new(body.into_bytes()));
        self
    }

    /// Sets whether sending the request twice has the same effect as once. Only then it is retried.
    pub(crate) fn idempotent(mut self, yes: bool) -> Self {
        self.is_idempotent = yes;
        self
    }

    /// Adds this to the read timeout for the start of the response.
    pub(crate) fn extra_time(mut self, time: Duration) -> Self {
        self.extra_time = time;
        self
    }

    /// For large files: limits the time without new bytes instead of the total time. The deadline then
    /// applies only up to the end of the response's headers.
    pub(crate) fn idle_timeout_only(mut self) -> Self {
        self.idle_timeout_only = true;
        self
    }

    /// Absolute deadline: no attempt starts beyond it, and none of a call waits beyond it. A tail's polls limit
    /// each of their steps by it. `None` means no deadline.
    pub(crate) fn deadline(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// Shortens a limit that begins now, so that it does not exceed the deadline.
    pub(super) fn at_most(&self, limit: Duration) -> Duration {
        // Zero would mean no limit.
        let left = |end: Instant| end.saturating_duration_since(Instant::now()).max(MIN_WAIT);
        self.deadline.map_or(limit, |end| limit.min(left(end)))
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.deadline.is_some_and(|end| Instant::now() >= end)
    }

    pub(crate) fn path_and_query(&self) -> String {
        format!("{}{}", self.path, self.query)
    }
}

/// A body that is read while it is sent. `open` is called for each attempt.
pub(super) struct Upload<'f, 'b> {
    pub(super) length: u64,
    pub(super) open: &'f dyn Fn() -> io::Result<Box<dyn Read + 'b>>,
}

/// A range of a file's bytes.
#[derive(Clone, Copy)]
pub(crate) enum ByteRange {
    /// From the first offset (inclusive) to the second (exclusive).
    Between(u64, u64),
    /// This many bytes at the end.
    Last(u64),
}

impl ByteRange {
    /// Returns the number of bytes.
    pub(crate) fn length(self) -> usize {
        let length = match self {
            Self::Between(start, end) => end - start,
            Self::Last(count) => count,
        };
        usize::try_from(length).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between(start, end) => write!(f, "bytes={start}-{}", end - 1),
            Self::Last(count) => write!(f, "bytes=-{count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_segments_are_encoded() {
        assert_eq!(path(&["api", "jobs", "a?b#c%ä", ""]), "/api/jobs/a%3Fb%23c%25%C3%A4/");
    }

    #[test]
    fn query_values_are_encoded() {
        let request = Request::get("x", "/p".to_owned()).query("a", "=").query("b", "x y&z");
        assert_eq!(request.path_and_query(), "/p?a=%3D&b=x%20y%26z");
    }
}
