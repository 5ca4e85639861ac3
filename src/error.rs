//! Why a call failed: `ClientError`, and what can be asked of it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::ray_fault::Fault;
use crate::{JobStatus, redact};

type Source = Box<dyn StdError + Send + Sync + 'static>;

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
        fault: Fault,
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
        fault: Fault,
    },

    /// 408: nothing came within the connect, read or stream timeout, or a wait was over too soon.
    #[error("{message}")]
    #[non_exhaustive]
    Timeout {
        /// Which timeout, and how long it is.
        message: String,
        /// The error underneath, if there is one.
        source: Option<Source>,
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
        source: Option<Source>,
    },

    /// 503: the cluster cannot be reached, or the connection broke off.
    #[error("{message}")]
    #[non_exhaustive]
    Unreachable {
        /// What could not be reached, or what broke off.
        message: String,
        /// The error underneath, if there is one.
        source: Option<Source>,
    },

    /// 503: the rest of a log can no longer be had. The job is over, and its log is gone, for example
    /// because its node died; or the file became shorter than what was delivered of it, for example
    /// because it was rotated.
    #[error("{message}")]
    #[non_exhaustive]
    LogLost {
        /// The log, the job's status, and Ray's reason.
        message: String,
        #[doc(hidden)]
        job_status: Option<Box<JobStatus>>,
    },

    /// 503: the last clone of the client was dropped while this tail was open.
    #[error("{message}")]
    #[non_exhaustive]
    ClientDropped {
        /// Which tail ended.
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
            Self::Unreachable { .. } | Self::LogLost { .. } | Self::ClientDropped { .. } => 503,
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
            Self::Rejected { status: 403 | 404, fault, .. } => *fault == Fault::Gateway,
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

    pub(crate) fn invalid(message: impl fmt::Display) -> Self {
        Self::InvalidParameter { message: redact::one_line(&message.to_string()) }
    }

    pub(crate) fn not_found(message: impl fmt::Display) -> Self {
        let message = redact::one_line(&message.to_string());
        Self::NotFound { message, fault: Fault::Other }
    }

    pub(crate) fn rejected(status: u16, message: impl fmt::Display) -> Self {
        match status {
            404 => Self::not_found(message),
            status => Self::answered(status, message),
        }
    }

    /// The same, and a 404 says nothing about what Ray has.
    pub(crate) fn answered(status: u16, message: impl fmt::Display) -> Self {
        if !(300..=599).contains(&status) {
            return Self::unexpected(format_args!("{message} (the answer has status {status})"));
        }
        let message = redact::one_line(&message.to_string());
        let (retry_after, job_status) = (None, None);
        Self::Rejected { status, message, retry_after, fault: Fault::Other, job_status }
    }

    pub(crate) fn timeout(message: impl fmt::Display) -> Self {
        let message = redact::one_line(&message.to_string());
        Self::Timeout { message, source: None, kind: TimeoutKind::Read, job_status: None }
    }

    pub(crate) fn limit_exceeded(message: impl fmt::Display) -> Self {
        Self::LimitExceeded { message: redact::one_line(&message.to_string()), limit: None }
    }

    pub(crate) fn no_free_worker(message: impl fmt::Display) -> Self {
        Self::NoFreeWorker { message: redact::one_line(&message.to_string()) }
    }

    pub(crate) fn unexpected(message: impl fmt::Display) -> Self {
        Self::Unexpected { message: redact::one_line(&message.to_string()), source: None }
    }

    pub(crate) fn unreachable(message: impl fmt::Display) -> Self {
        Self::Unreachable { message: redact::one_line(&message.to_string()), source: None }
    }

    pub(crate) fn log_lost(message: impl fmt::Display) -> Self {
        Self::LogLost { message: redact::one_line(&message.to_string()), job_status: None }
    }

    pub(crate) fn client_dropped(message: impl fmt::Display) -> Self {
        Self::ClientDropped { message: redact::one_line(&message.to_string()) }
    }

    /// Keeps the error underneath behind `source()`, if the variant has a place for it.
    pub(crate) fn caused_by(mut self, cause: impl Into<Source>) -> Self {
        if let Self::Timeout { source, .. }
        | Self::Unexpected { source, .. }
        | Self::Unreachable { source, .. } = &mut self
        {
            *source = Some(cause.into());
        }
        self
    }

    pub(crate) fn with_retry_after(mut self, after: Option<Duration>) -> Self {
        if let Self::Rejected { retry_after, .. } = &mut self {
            *retry_after = after;
        }
        self
    }

    /// What an answer means beyond its status. It is for callers within this library, which must not
    /// read messages.
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::Rejected { fault, .. } | Self::NotFound { fault, .. } => *fault,
            _ => Fault::Other,
        }
    }

    pub(crate) fn with_fault(mut self, found: Fault) -> Self {
        if let Self::Rejected { fault, .. } | Self::NotFound { fault, .. } = &mut self {
            *fault = found;
        }
        self
    }

    pub(crate) fn of_kind(mut self, timeout: TimeoutKind) -> Self {
        if let Self::Timeout { kind, .. } = &mut self {
            *kind = timeout;
        }
        self
    }

    pub(crate) fn with_limit(mut self, reached: StreamLimit) -> Self {
        if let Self::LimitExceeded { limit, .. } = &mut self {
            *limit = Some(reached);
        }
        self
    }

    pub(crate) fn with_job_status(mut self, status: Option<JobStatus>) -> Self {
        if let Self::Rejected { job_status, .. }
        | Self::Timeout { job_status, .. }
        | Self::LogLost { job_status, .. } = &mut self
        {
            *job_status = status.map(Box::new);
        }
        self
    }

    /// The same error with another message.
    pub(crate) fn reworded(mut self, new: impl fmt::Display) -> Self {
        let (Self::InvalidParameter { message }
        | Self::Rejected { message, .. }
        | Self::NotFound { message, .. }
        | Self::Timeout { message, .. }
        | Self::LimitExceeded { message, .. }
        | Self::NoFreeWorker { message }
        | Self::Unexpected { message, .. }
        | Self::Unreachable { message, .. }
        | Self::LogLost { message, .. }
        | Self::ClientDropped { message }) = &mut self;
        *message = redact::one_line(&new.to_string());
        self
    }

    fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::InvalidParameter { .. } | Self::Rejected { status: 400, .. } => {
                io::ErrorKind::InvalidInput
            }
            Self::Rejected { status: 401 | 403, .. } => io::ErrorKind::PermissionDenied,
            Self::Rejected { status: 429, .. } | Self::NoFreeWorker { .. } => {
                io::ErrorKind::ResourceBusy
            }
            Self::Rejected { .. } => io::ErrorKind::Other,
            Self::NotFound { .. } => io::ErrorKind::NotFound,
            Self::Timeout { .. } => io::ErrorKind::TimedOut,
            Self::LimitExceeded { .. } => io::ErrorKind::QuotaExceeded,
            Self::Unexpected { .. } => io::ErrorKind::InvalidData,
            Self::Unreachable { .. } => {
                self.source_kind().unwrap_or(io::ErrorKind::ConnectionReset)
            }
            Self::LogLost { .. } => io::ErrorKind::UnexpectedEof,
            Self::ClientDropped { .. } => io::ErrorKind::ConnectionAborted,
        }
    }

    /// The kind of the `io::Error` underneath.
    fn source_kind(&self) -> Option<io::ErrorKind> {
        let mut cause = StdError::source(self);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return Some(error.kind());
            }
            cause = error.source();
        }
        None
    }
}

/// One readable line with the status, which is what a `main` that returns this error prints. The error
/// underneath is left out: it is behind `source()`.
impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} (status {})", self.status())
    }
}

/// The kind is `NotFound`, `TimedOut`, `InvalidInput` for 400, `PermissionDenied` for 401 and 403,
/// `ResourceBusy` for 429, `QuotaExceeded` for a limit of a tail, `InvalidData` for an answer that is not
/// Ray's, for a cluster that cannot be reached that of the connection's own error, and else `Other`. The
/// `ClientError` is inside: `get_ref()` and `into_inner()` give it back.
impl From<ClientError> for io::Error {
    fn from(error: ClientError) -> Self {
        Self::new(error.io_kind(), error)
    }
}

#[cfg(test)]
mod tests {
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
            (ClientError::answered(404, "x").with_fault(Fault::Gateway), 404, true),
            (ClientError::answered(403, "x").with_fault(Fault::Gateway), 403, true),
            (ClientError::answered(401, "x").with_fault(Fault::Gateway), 401, false),
            (ClientError::unexpected("x"), 500, false),
            (ClientError::rejected(500, "x"), 500, false),
            (ClientError::rejected(502, "x"), 502, true),
            (ClientError::unreachable("x"), 503, true),
            (ClientError::log_lost("x"), 503, false),
            (ClientError::client_dropped("x"), 503, false),
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
        let error = ClientError::answered(404, "x").with_fault(Fault::Gateway).reworded("y: x");
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
    fn an_io_error_has_a_fitting_kind_and_the_client_error_inside() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        for (error, kind) in [
            (ClientError::invalid("x"), io::ErrorKind::InvalidInput),
            (ClientError::rejected(400, "x"), io::ErrorKind::InvalidInput),
            (ClientError::rejected(401, "x"), io::ErrorKind::PermissionDenied),
            (ClientError::rejected(404, "x"), io::ErrorKind::NotFound),
            (ClientError::answered(404, "x"), io::ErrorKind::Other),
            (ClientError::rejected(500, "x"), io::ErrorKind::Other),
            (ClientError::timeout("x"), io::ErrorKind::TimedOut),
            (ClientError::limit_exceeded("x"), io::ErrorKind::QuotaExceeded),
            (ClientError::unexpected("x"), io::ErrorKind::InvalidData),
            (ClientError::unreachable("x"), io::ErrorKind::ConnectionReset),
            (ClientError::unreachable("x").caused_by(refused), io::ErrorKind::ConnectionRefused),
            (ClientError::log_lost("x"), io::ErrorKind::UnexpectedEof),
        ] {
            let status = error.status();
            let converted = io::Error::from(error);
            assert_eq!(converted.kind(), kind);
            let inner = converted.get_ref().unwrap().downcast_ref::<ClientError>().unwrap();
            assert_eq!(inner.status(), status);
        }
    }

    #[test]
    fn what_a_main_prints_is_one_line_without_the_error_underneath() {
        let error = ClientError::unreachable("list jobs: cannot reach http://h")
            .caused_by(io::Error::other("s3cret"));
        assert_eq!(format!("{error:?}"), "list jobs: cannot reach http://h (status 503)");
    }
}
