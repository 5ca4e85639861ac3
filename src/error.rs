use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::message;

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
/// # Ok::<(), ray_client::ClientError>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// 400: a parameter is not valid. Nothing was sent.
    #[error("{message}")]
    #[non_exhaustive]
    InvalidParameter {
        /// What is wrong, in one line.
        message: String,
    },

    /// The cluster, or a proxy before it, answered with an error: `status` is its own, or 400 where
    /// Ray wraps a 400 in a 500.
    #[error("{message}")]
    #[non_exhaustive]
    Rejected {
        /// The HTTP status code, 300 to 599.
        status: u16,
        /// The operation, the resource and Ray's own last error line.
        message: String,
        /// What the server's `Retry-After` says, if it has one.
        retry_after: Option<Duration>,
    },

    /// 404: the job, node, task, application or route does not exist.
    #[error("{message}")]
    #[non_exhaustive]
    NotFound {
        /// What was not found, in one line.
        message: String,
    },

    /// 408: nothing came within the connect, read or stream timeout.
    #[error("{message}")]
    #[non_exhaustive]
    Timeout {
        /// Which timeout, and how long it is.
        message: String,
        /// The error underneath, if there is one.
        source: Option<Source>,
    },

    /// 429: a [`StreamLimits`](crate::StreamLimits) limit was reached. All that it allows was
    /// delivered.
    #[error("{message}")]
    #[non_exhaustive]
    LimitExceeded {
        /// Which limit, and its value.
        message: String,
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

    /// 503: the rest of a log can no longer be had. The job is over, and its log is gone, as when its
    /// node died; or the file became shorter than what was delivered of it, as when it was rotated.
    #[error("{message}")]
    #[non_exhaustive]
    LogLost {
        /// The log, the job's status, and Ray's reason.
        message: String,
    },

    /// 503: the last clone of the client was dropped while this tail was open.
    #[error("{message}")]
    #[non_exhaustive]
    ClientDropped {
        /// Which tail ended.
        message: String,
    },
}

impl ClientError {
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
    /// no free worker, and the server's own 429, 502, 503 and 504.
    ///
    /// It says nothing about whether calling again is safe: a call that timed out may have been
    /// carried out.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Unreachable { .. } | Self::NoFreeWorker { .. } => true,
            Self::Rejected { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            _ => false,
        }
    }

    pub(crate) fn invalid(message: impl fmt::Display) -> Self {
        Self::InvalidParameter { message: message::one_line(&message.to_string()) }
    }

    pub(crate) fn not_found(message: impl fmt::Display) -> Self {
        Self::NotFound { message: message::one_line(&message.to_string()) }
    }

    pub(crate) fn rejected(status: u16, message: impl fmt::Display) -> Self {
        let message = message::one_line(&message.to_string());
        match status {
            404 => Self::NotFound { message },
            status => Self::Rejected { status, message, retry_after: None },
        }
    }

    /// How long the server asks to be left alone (`Retry-After`), if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(crate) fn with_retry_after(mut self, after: Option<Duration>) -> Self {
        if let Self::Rejected { retry_after, .. } = &mut self {
            *retry_after = after;
        }
        self
    }

    pub(crate) fn timeout(message: impl fmt::Display) -> Self {
        Self::Timeout { message: message::one_line(&message.to_string()), source: None }
    }

    pub(crate) fn limit(message: impl fmt::Display) -> Self {
        Self::LimitExceeded { message: message::one_line(&message.to_string()) }
    }

    pub(crate) fn no_free_worker(message: impl fmt::Display) -> Self {
        Self::NoFreeWorker { message: message::one_line(&message.to_string()) }
    }

    pub(crate) fn unexpected(message: impl fmt::Display) -> Self {
        Self::Unexpected { message: message::one_line(&message.to_string()), source: None }
    }

    pub(crate) fn unreachable(message: impl fmt::Display) -> Self {
        Self::Unreachable { message: message::one_line(&message.to_string()), source: None }
    }

    pub(crate) fn log_lost(message: impl fmt::Display) -> Self {
        Self::LogLost { message: message::one_line(&message.to_string()) }
    }

    pub(crate) fn client_dropped(message: impl fmt::Display) -> Self {
        Self::ClientDropped { message: message::one_line(&message.to_string()) }
    }

    /// Keeps the error underneath behind `source()`, where the variant has a place for it.
    pub(crate) fn caused_by(mut self, cause: impl Into<Source>) -> Self {
        if let Self::Timeout { source, .. }
        | Self::Unexpected { source, .. }
        | Self::Unreachable { source, .. } = &mut self
        {
            *source = Some(cause.into());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_by_itself_is_retryable() {
        for (error, status, retryable) in [
            (ClientError::invalid("x"), 400, false),
            (ClientError::rejected(401, "x"), 401, false),
            (ClientError::rejected(404, "x"), 404, false),
            (ClientError::timeout("x"), 408, true),
            (ClientError::limit("x"), 429, false),
            (ClientError::no_free_worker("x"), 429, true),
            (ClientError::rejected(429, "x"), 429, true),
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
        assert!(size_of::<ClientError>() <= 48);
    }
}
