//! `ClientError`, the error of every call, and its accessors. Constructors are in `error/constructors.rs`.
//!
//! A new variant needs its `status`, and `is_retryable` if it is transient, here; a constructor and
//! `reworded` in `error/constructors.rs`; an `io::ErrorKind` in `error/convert.rs`; and a row in
//! `docs/errors.md`.

mod constructors;
mod convert;

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::JobStatus;
use crate::rejection_kind::RejectionKind;

type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// Why a call failed.
///
/// Match on [`status`](Self::status), which uses HTTP's numbers even for errors that did not come from a
/// server:
///
/// ```no_run
/// use ray_client::{ClientError, RayClient};
///
/// let client = RayClient::new("http://127.0.0.1:8265")?;
/// match client.get_job("raysubmit_1") {
///     Ok(job) => println!("{}", job.status),
///     Err(error) if error.status() == 404 => println!("no such job"),
///     Err(error) if error.is_retryable() => println!("try again later: {error}"),
///     Err(error) => return Err(error),
/// }
/// # Ok::<(), ClientError>(())
/// ```
///
/// `Display` writes one line of at most 300 characters that names the operation and the resource.
/// `Debug` adds the status; a `main` that returns the error prints that line. Neither shows tracebacks,
/// server paths, tokens or URL passwords:
///
/// ```
/// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
/// let error = client.get_job("no/slash").unwrap_err();
/// assert_eq!(
///     format!("{error:?}"),
///     r"job id: must not have / or \, which Ray cannot route (status 400)"
/// );
/// # Ok::<(), ray_client::ClientError>(())
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// 400: a parameter is invalid.
    ///
    /// Most are refused before anything is sent. Some show only later, for example that a start position is
    /// past the end of the log, that [`Protocol::Stream`](crate::Protocol::Stream) needs a newer Ray, or that
    /// a file changed while it was packed.
    #[error("{message}")]
    #[non_exhaustive]
    InvalidParameter {
        /// What is wrong, in one line.
        message: String,
    },

    /// Ray refused the request, or a gateway did, or this client because of what Ray reported.
    ///
    /// The status is the server's, unless Ray's own misleads: [all statuses](crate::guide::errors#statuses)
    /// names these. A 404 from Ray is [`NotFound`](Self::NotFound); a 404 from a gateway is this variant.
    #[error("{message}")]
    #[non_exhaustive]
    Rejected {
        /// The HTTP status code, 300 to 599.
        status: u16,
        /// The operation, the resource and Ray's own last error line.
        message: String,
        /// How long the server asks to wait (`Retry-After`).
        retry_after: Option<Duration>,
        #[doc(hidden)]
        rejection: RejectionKind,
        #[doc(hidden)]
        job_status: Option<Box<JobStatus>>,
    },

    /// 404: the job, node, task, application or route does not exist.
    #[error("{message}")]
    #[non_exhaustive]
    NotFound {
        /// What was not found, in one line.
        message: String,
        #[doc(hidden)]
        rejection: RejectionKind,
    },

    /// 408: the connect, read or stream timeout expired, or the timeout of a call that waits.
    #[error("{message}")]
    #[non_exhaustive]
    Timeout {
        /// Which timeout, and its value.
        message: String,
        /// The underlying error, if any.
        source: Option<BoxError>,
        #[doc(hidden)]
        kind: TimeoutKind,
        #[doc(hidden)]
        job_status: Option<Box<JobStatus>>,
    },

    /// 429: a limit in [`StreamLimits`](crate::StreamLimits) was reached. Everything up to the limit was
    /// delivered.
    #[error("{message}")]
    #[non_exhaustive]
    LimitExceeded {
        /// Which limit, and its value.
        message: String,
        #[doc(hidden)]
        limit: Option<StreamLimit>,
    },

    /// 429: every worker of the client is following another log.
    #[error("{message}")]
    #[non_exhaustive]
    NoFreeWorker {
        /// How long the tail waited for a worker.
        message: String,
    },

    /// 500: the response is not Ray's: not JSON, not HTTP, or larger than the limit.
    #[error("{message}")]
    #[non_exhaustive]
    Unexpected {
        /// What was unexpected.
        message: String,
        /// The underlying error, if any.
        source: Option<BoxError>,
    },

    /// 503: the cluster is unreachable, or the connection broke.
    #[error("{message}")]
    #[non_exhaustive]
    Unreachable {
        /// What is unreachable, or which connection broke.
        message: String,
        /// The underlying error, if any.
        source: Option<BoxError>,
    },

    /// 503: a setting of the client does not fit the server. Not retryable.
    ///
    /// For example a certificate that is not trusted, `https://` for an `http://` address, or a proxy
    /// that does not forward requests.
    #[error("{message}")]
    #[non_exhaustive]
    Misconfigured {
        /// What does not fit, and what to check.
        message: String,
        /// The underlying error, if any.
        source: Option<BoxError>,
    },

    /// 503: the rest of a log is gone.
    ///
    /// For example because the job has finished and its node died, because the log file was rotated, or
    /// because the id now belongs to another job.
    #[error("{message}")]
    #[non_exhaustive]
    LogLost {
        /// The log, the job's status, and Ray's reason.
        message: String,
        #[doc(hidden)]
        job_status: Option<Box<JobStatus>>,
    },

    /// 503: a handle closed the tail, or the last clone of the client was dropped.
    #[error("{message}")]
    #[non_exhaustive]
    TailClosed {
        /// Which tail was closed, and why.
        message: String,
    },
}

/// Which timeout expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeoutKind {
    /// [`ClientBuilder::connect_timeout`](crate::ClientBuilder::connect_timeout): there was no connection
    /// in time. The request was not sent.
    Connect,
    /// [`ClientBuilder::read_timeout`](crate::ClientBuilder::read_timeout): the response did not arrive
    /// completely in time. The request may have been carried out. Also the time limit of a Serve change.
    Read,
    /// [`TailOptions::stream_timeout`](crate::TailOptions::stream_timeout): the log had no new output for
    /// this long. Or [`TailOptions::pending_timeout`](crate::TailOptions::pending_timeout).
    Stream,
    /// The timeout passed to a call that waits, for example
    /// [`RayClient::wait_for_job`](crate::RayClient::wait_for_job).
    Wait,
}

/// Which limit in [`StreamLimits`](crate::StreamLimits) a tail reached, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamLimit {
    /// Number of WebSocket messages.
    Messages(u64),
    /// Number of lines.
    Lines(u64),
    /// Number of bytes.
    Bytes(u64),
}

impl fmt::Display for StreamLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Messages(limit) => write!(f, "{limit} messages"),
            Self::Lines(limit) => write!(f, "{limit} lines"),
            Self::Bytes(limit) => write!(f, "{limit} bytes"),
        }
    }
}

impl ClientError {
    /// Creates an error with this status, for tests of programs that use this library.
    ///
    /// 404 creates [`NotFound`](Self::NotFound), 408 [`Timeout`](Self::Timeout), 503
    /// [`Unreachable`](Self::Unreachable), and any other status from 300 to 599
    /// [`Rejected`](Self::Rejected). All other numbers create [`Unexpected`](Self::Unexpected), whose
    /// status is 500.
    ///
    /// ```
    /// let error = ray_client::ClientError::from_status(503, "cannot reach the cluster");
    /// assert_eq!(error.status(), 503);
    /// assert!(error.is_retryable());
    /// ```
    #[must_use]
    pub fn from_status(status: u16, message: impl fmt::Display) -> Self {
        match status {
            408 => Self::timeout(message),
            503 => Self::unreachable(message),
            status => Self::rejected(status, message),
        }
    }

    /// Returns the HTTP status that fits this error.
    ///
    /// 400 for an invalid parameter, 401 and 403 for a token, 404 for a resource that does not exist, 408
    /// for a timeout, 429 for a limit, 500 for a response that is not Ray's, 503 for an unreachable
    /// cluster. Any other status is the server's own. [All statuses](crate::guide::errors#statuses).
    pub fn status(&self) -> u16 {
        match self {
            Self::InvalidParameter { .. } => 400,
            Self::Rejected { status, .. } => *status,
            Self::NotFound { .. } => 404,
            Self::Timeout { .. } => 408,
            Self::LimitExceeded { .. } | Self::NoFreeWorker { .. } => 429,
            Self::Unexpected { .. } => 500,
            Self::Unreachable { .. }
            | Self::Misconfigured { .. }
            | Self::LogLost { .. }
            | Self::TailClosed { .. } => 503,
        }
    }

    /// Returns whether the same call may succeed a little later.
    ///
    /// True for timeouts, an unreachable cluster, no free worker, and the server's own 429, 502, 503 and
    /// 504. Also true for a 403 or 404 from a gateway, which says nothing about Ray.
    ///
    /// It does not say that a retry is safe: a call that timed out may have been carried out.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Unreachable { .. } | Self::NoFreeWorker { .. } => true,
            Self::Rejected { status: 403 | 404, rejection, .. } => {
                *rejection == RejectionKind::Gateway
            }
            Self::Rejected { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            Self::InvalidParameter { .. }
            | Self::NotFound { .. }
            | Self::LimitExceeded { .. }
            | Self::Unexpected { .. }
            | Self::Misconfigured { .. }
            | Self::LogLost { .. }
            | Self::TailClosed { .. } => false,
        }
    }

    /// Returns how long the server asks to wait (`Retry-After`), or `None` if it does not ask.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Returns which timeout expired, or `None` for any other error.
    pub fn timeout_kind(&self) -> Option<TimeoutKind> {
        match self {
            Self::Timeout { kind, .. } => Some(*kind),
            _ => None,
        }
    }

    /// Returns which limit in [`StreamLimits`](crate::StreamLimits) was reached, and its value, or `None`
    /// for any other error.
    pub fn limit(&self) -> Option<StreamLimit> {
        match self {
            Self::LimitExceeded { limit, .. } => *limit,
            _ => None,
        }
    }

    /// Returns the job's status if the job could not be stopped or deleted, did not finish in time, or
    /// lost its log; otherwise `None`.
    pub fn job_status(&self) -> Option<&JobStatus> {
        match self {
            Self::Rejected { job_status, .. }
            | Self::Timeout { job_status, .. }
            | Self::LogLost { job_status, .. } => job_status.as_deref(),
            _ => None,
        }
    }
}

/// Writes the message and the status in one line. A `main` that returns this error prints it. The
/// underlying error is not included; `source()` returns it.
impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} (status {})", self.status())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn only_transient_errors_are_retryable() {
        for (error, status, retryable) in [
            (ClientError::invalid("x"), 400, false),
            (ClientError::rejected(401, "x"), 401, false),
            (ClientError::rejected(404, "x"), 404, false),
            (ClientError::timeout("x"), 408, true),
            (ClientError::limit_exceeded("x"), 429, false),
            (ClientError::no_free_worker("x"), 429, true),
            (ClientError::rejected(429, "x"), 429, true),
            (
                ClientError::answered(404, "x").with_rejection_kind(RejectionKind::Gateway),
                404,
                true,
            ),
            (
                ClientError::answered(403, "x").with_rejection_kind(RejectionKind::Gateway),
                403,
                true,
            ),
            (
                ClientError::answered(401, "x").with_rejection_kind(RejectionKind::Gateway),
                401,
                false,
            ),
            (ClientError::unexpected("x"), 500, false),
            (ClientError::rejected(500, "x"), 500, false),
            (ClientError::rejected(502, "x"), 502, true),
            (ClientError::unreachable("x"), 503, true),
            (ClientError::misconfigured("x"), 503, false),
            (ClientError::log_lost("x"), 503, false),
            (ClientError::tail_closed("x"), 503, false),
        ] {
            assert_eq!((error.status(), error.is_retryable()), (status, retryable), "{error:?}");
        }
    }

    #[test]
    fn source_returns_the_underlying_error() {
        let error = ClientError::unreachable("x").caused_by(std::io::Error::other("reset"));
        assert_eq!(error.source().unwrap().to_string(), "reset");
    }

    #[test]
    fn errors_are_small_and_send() {
        fn assert<T: Send + Sync + 'static>() {}
        assert::<ClientError>();
        assert!(size_of::<ClientError>() <= 64);
    }

    #[test]
    fn accessors_return_the_details_that_a_variant_has() {
        let running = || Some(JobStatus::Running);
        let timeout = ClientError::timeout("x").of_kind(TimeoutKind::Wait);
        assert_eq!(timeout.timeout_kind(), Some(TimeoutKind::Wait));
        let limit = ClientError::limit_exceeded("x").with_limit(StreamLimit::Lines(5));
        assert_eq!(limit.limit(), Some(StreamLimit::Lines(5)));
        for error in [timeout, ClientError::log_lost("x"), ClientError::rejected(400, "x")] {
            assert_eq!(error.job_status(), None);
            assert_eq!(error.with_job_status(running()).job_status(), running().as_ref());
        }
        assert_eq!(ClientError::invalid("x").timeout_kind(), None);
        assert_eq!(ClientError::invalid("x").with_job_status(running()).job_status(), None);
    }

    #[test]
    fn reworded_changes_only_the_message() {
        let error = ClientError::answered(404, "x")
            .with_rejection_kind(RejectionKind::Gateway)
            .reworded("y: x");
        assert_eq!((error.status(), error.is_retryable()), (404, true));
        assert_eq!(error.to_string(), "y: x");
    }

    #[test]
    fn a_status_that_is_no_error_is_unexpected() {
        for status in [0, 100, 200, 204, 206, 299, 600, 999] {
            let error = ClientError::rejected(status, "get x: odd");
            assert!(matches!(error, ClientError::Unexpected { .. }), "{status}");
            assert_eq!(error.to_string(), format!("get x: odd (the response has status {status})"));
        }
        for status in [300, 400, 599] {
            assert_eq!(ClientError::rejected(status, "x").status(), status);
        }
    }

    #[test]
    fn debug_is_one_line_without_the_underlying_error() {
        let error = ClientError::unreachable("list jobs: cannot reach http://h")
            .caused_by(io::Error::other("s3cret"));
        assert_eq!(format!("{error:?}"), "list jobs: cannot reach http://h (status 503)");
    }
}
