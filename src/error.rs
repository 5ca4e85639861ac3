//! Why a call failed: `ClientError`, and what can be asked of it. How one is made is in `constructors`.

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
/// Every variant has a [`status`](Self::status) in HTTP's own terms, and displays as one line of at
/// most 300 characters that names the operation and the resource. That line holds no traceback, no
/// path of the server, no token and no URL password.
///
/// ```
/// use ray_client::RayClient;
///
/// let client = RayClient::new("http://127.0.0.1:8265")?;
/// let error = client.get_job("no/slash").unwrap_err();
/// assert_eq!(error.status(), 400);
/// assert!(!error.is_retryable());
/// // What a `main` that returns this error prints:
/// assert_eq!(
///     format!("{error:?}"),
///     r"job id: must not have / or \, which Ray cannot route (status 400)"
/// );
/// # Ok::<(), ray_client::ClientError>(())
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// 400: a parameter is not valid. Nothing was sent.
    #[error("{message}")]
    #[non_exhaustive]
    InvalidParameter {
        /// What is wrong, in one line.
        message: String,
    },

    /// The cluster, or a gateway before it, answered with an error. `status` is its own, or the 4xx
    /// that Ray wraps in a 500. A 404 is this variant only if a gateway answered it; one of Ray's own is
    /// [`NotFound`](Self::NotFound).
    #[error("{message}")]
    #[non_exhaustive]
    Rejected {
        /// The HTTP status code, 300 to 599.
        status: u16,
        /// The operation, the resource and Ray's own last error line.
        message: String,
        /// What the server's `Retry-After` says, if it has one.
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

    /// 408: nothing came within the connect, read or stream timeout, or a wait was over too soon.
    #[error("{message}")]
    #[non_exhaustive]
    Timeout {
        /// Which timeout, and how long it is.
        message: String,
        /// The error underneath, if there is one.
        source: Option<BoxError>,
        #[doc(hidden)]
        kind: TimeoutKind,
        #[doc(hidden)]
        job_status: Option<Box<JobStatus>>,
    },

    /// 429: a [`StreamLimits`](crate::StreamLimits) limit was reached. All that it allows was
    /// delivered.
    #[error("{message}")]
    #[non_exhaustive]
    LimitExceeded {
        /// Which limit, and its value.
        message: String,
        #[doc(hidden)]
        limit: Option<StreamLimit>,
    },

    /// 429: every worker of the client's pool follows another log.
    #[error("{message}")]
    #[non_exhaustive]
    NoFreeWorker {
        /// How long the call waited for one.
        message: String,
    },

    /// 500: an answer that is not what Ray sends: not JSON, not HTTP, or larger than the bound.
    #[error("{message}")]
    #[non_exhaustive]
    Unexpected {
        /// What was unexpected about it.
        message: String,
        /// The error underneath, if there is one.
        source: Option<BoxError>,
    },

    /// 503: the cluster cannot be reached, or the connection broke off.
    #[error("{message}")]
    #[non_exhaustive]
    Unreachable {
        /// What could not be reached, or what broke off.
        message: String,
        /// The error underneath, if there is one.
        source: Option<BoxError>,
    },

    /// 503: a setting of the client does not fit what it was connected to: a certificate that is not
    /// trusted, `https://` for an `http://` address, or a proxy that does not pass requests on. It does
    /// not pass by itself.
    #[error("{message}")]
    #[non_exhaustive]
    Misconfigured {
        /// What does not fit, and what to check.
        message: String,
        /// The error underneath, if there is one.
        source: Option<BoxError>,
    },

    /// 503: the rest of a log can no longer be read. The job is over, and its log is gone, for example
    /// because its node died; its file was replaced, for example because it was rotated; or the id is
    /// another job's now.
    #[error("{message}")]
    #[non_exhaustive]
    LogLost {
        /// The log, the job's status, and Ray's reason.
        message: String,
        #[doc(hidden)]
        job_status: Option<Box<JobStatus>>,
    },

    /// 503: the tail was closed by its handle, or the last clone of the client was dropped.
    #[error("{message}")]
    #[non_exhaustive]
    TailClosed {
        /// Which tail was closed, and by what.
        message: String,
    },
}

/// Which timeout a [`ClientError::Timeout`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeoutKind {
    /// [`ClientBuilder::connect_timeout`](crate::ClientBuilder::connect_timeout): no connection was
    /// made in time. The request was not sent.
    Connect,
    /// [`ClientBuilder::read_timeout`](crate::ClientBuilder::read_timeout): no answer, or not all of
    /// it, came in time. The request may have been carried out.
    Read,
    /// [`TailOptions::stream_timeout`](crate::TailOptions::stream_timeout): a log was silent for this
    /// long.
    Stream,
    /// The timeout that was given to a call that waits, for example
    /// [`RayClient::wait_for_job`](crate::RayClient::wait_for_job).
    Wait,
}

/// The limit of [`StreamLimits`](crate::StreamLimits) that a tail reached, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamLimit {
    /// The messages of a WebSocket.
    Messages(u64),
    /// The lines.
    Lines(u64),
    /// The bytes.
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
    /// An error of this status, for tests of programs that use this library: 404 is
    /// [`NotFound`](Self::NotFound), 408 [`Timeout`](Self::Timeout), 503
    /// [`Unreachable`](Self::Unreachable), any other from 300 to 599 [`Rejected`](Self::Rejected), and
    /// what is no such status [`Unexpected`](Self::Unexpected), whose status is 500.
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

    /// The status in HTTP's terms: 400 for what the caller gave, 401 and 403 for a token, 404 for
    /// what does not exist, 408 for a timeout, 429 for a limit, 500 for an answer that is not Ray's,
    /// 503 for a cluster that cannot be reached; any other is the server's own.
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

    /// Whether the same call may succeed a little later: timeouts, a cluster that cannot be reached,
    /// no free worker, the server's own 429, 502, 503 and 504, and the 403 or 404 of a gateway, which
    /// says nothing about what Ray has.
    ///
    /// It does not tell whether calling again is safe: a call that timed out may have been carried
    /// out.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Unreachable { .. } | Self::NoFreeWorker { .. } => true,
            Self::Rejected { status: 403 | 404, rejection, .. } => {
                *rejection == RejectionKind::Gateway
            }
            Self::Rejected { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// How long the server asks to be left alone (`Retry-After`), if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Which timeout it was, if it was one.
    pub fn timeout_kind(&self) -> Option<TimeoutKind> {
        match self {
            Self::Timeout { kind, .. } => Some(*kind),
            _ => None,
        }
    }

    /// Which limit of [`StreamLimits`](crate::StreamLimits) was reached, and its value.
    pub fn limit(&self) -> Option<StreamLimit> {
        match self {
            Self::LimitExceeded { limit, .. } => *limit,
            _ => None,
        }
    }

    /// The status of the job, if the error tells it: of a job that cannot be stopped or deleted, of one
    /// that was waited for, and of one whose log is lost.
    pub fn job_status(&self) -> Option<&JobStatus> {
        match self {
            Self::Rejected { job_status, .. }
            | Self::Timeout { job_status, .. }
            | Self::LogLost { job_status, .. } => job_status.as_deref(),
            _ => None,
        }
    }
}

/// One readable line with the status, which is what a `main` that returns this error prints. The error
/// underneath is left out: it is behind `source()`.
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
    fn the_cause_stays_behind_source() {
        let error = ClientError::unreachable("x").caused_by(std::io::Error::other("reset"));
        assert_eq!(error.source().unwrap().to_string(), "reset");
    }

    #[test]
    fn an_error_is_small_and_crosses_threads() {
        fn assert<T: Send + Sync + 'static>() {}
        assert::<ClientError>();
        assert!(size_of::<ClientError>() <= 64);
    }

    #[test]
    fn what_is_known_of_an_error_can_be_asked() {
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
    fn an_error_with_another_message_is_otherwise_the_same() {
        let error = ClientError::answered(404, "x")
            .with_rejection_kind(RejectionKind::Gateway)
            .reworded("y: x");
        assert_eq!((error.status(), error.is_retryable()), (404, true));
        assert_eq!(error.to_string(), "y: x");
    }

    #[test]
    fn a_rejection_has_a_status_of_an_error_only() {
        for status in [0, 100, 200, 204, 206, 299, 600, 999] {
            let error = ClientError::rejected(status, "get x: odd");
            assert!(matches!(error, ClientError::Unexpected { .. }), "{status}");
            assert_eq!(error.to_string(), format!("get x: odd (the answer has status {status})"));
        }
        for status in [300, 400, 599] {
            assert_eq!(ClientError::rejected(status, "x").status(), status);
        }
    }

    #[test]
    fn what_a_main_prints_is_one_line_without_the_error_underneath() {
        let error = ClientError::unreachable("list jobs: cannot reach http://h")
            .caused_by(io::Error::other("s3cret"));
        assert_eq!(format!("{error:?}"), "list jobs: cannot reach http://h (status 503)");
    }
}
