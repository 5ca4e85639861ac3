//! Constructors of `ClientError`. They shorten every message, and hide paths and passwords in URLs. They do
//! not know the client's token and headers: `transport/settings.rs` hides those in texts of the server.

use std::fmt;
use std::time::Duration;

use super::{BoxError, ClientError, StreamLimit, TimeoutKind};
use crate::rejection_kind::RejectionKind;
use crate::{JobStatus, redact};

impl ClientError {
    pub(crate) fn invalid(message: impl fmt::Display) -> Self {
        Self::InvalidParameter { message: line(message) }
    }

    pub(crate) fn not_found(message: impl fmt::Display) -> Self {
        let message = line(message);
        Self::NotFound { message, rejection: RejectionKind::Other }
    }

    pub(crate) fn rejected(status: u16, message: impl fmt::Display) -> Self {
        match status {
            404 => Self::not_found(message),
            status => Self::answered(status, message),
        }
    }

    /// Like `rejected`, but a 404 is not Ray's, so it does not mean that something does not exist.
    pub(crate) fn answered(status: u16, message: impl fmt::Display) -> Self {
        if !(300..=599).contains(&status) {
            return Self::unexpected(format_args!("{message} (the response has status {status})"));
        }
        let message = line(message);
        let (retry_after, job_status) = (None, None);
        Self::Rejected { status, message, retry_after, rejection: RejectionKind::Other, job_status }
    }

    pub(crate) fn timeout(message: impl fmt::Display) -> Self {
        let message = line(message);
        Self::Timeout { message, source: None, kind: TimeoutKind::Read, job_status: None }
    }

    pub(crate) fn limit_exceeded(message: impl fmt::Display) -> Self {
        Self::LimitExceeded { message: line(message), limit: None }
    }

    pub(crate) fn no_free_worker(message: impl fmt::Display) -> Self {
        Self::NoFreeWorker { message: line(message) }
    }

    pub(crate) fn unexpected(message: impl fmt::Display) -> Self {
        Self::Unexpected { message: line(message), source: None }
    }

    pub(crate) fn unreachable(message: impl fmt::Display) -> Self {
        Self::Unreachable { message: line(message), source: None }
    }

    pub(crate) fn misconfigured(message: impl fmt::Display) -> Self {
        Self::Misconfigured { message: line(message), source: None }
    }

    pub(crate) fn log_lost(message: impl fmt::Display) -> Self {
        Self::LogLost { message: line(message), job_status: None }
    }

    pub(crate) fn tail_closed(message: impl fmt::Display) -> Self {
        Self::TailClosed { message: line(message) }
    }

    /// Sets the error that `source()` returns, if the variant has one.
    pub(crate) fn caused_by(mut self, cause: impl Into<BoxError>) -> Self {
        if let Self::Timeout { source, .. }
        | Self::Unexpected { source, .. }
        | Self::Unreachable { source, .. }
        | Self::Misconfigured { source, .. } = &mut self
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

    /// Returns the meaning of a rejection beyond its status. Code in this library must use this and not
    /// parse messages.
    pub(crate) fn rejection_kind(&self) -> RejectionKind {
        match self {
            Self::Rejected { rejection, .. } | Self::NotFound { rejection, .. } => *rejection,
            _ => RejectionKind::Other,
        }
    }

    pub(crate) fn with_rejection_kind(mut self, found: RejectionKind) -> Self {
        if let Self::Rejected { rejection, .. } | Self::NotFound { rejection, .. } = &mut self {
            *rejection = found;
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

    /// Replaces the message.
    pub(crate) fn reworded(mut self, new: impl fmt::Display) -> Self {
        let (Self::InvalidParameter { message }
        | Self::Rejected { message, .. }
        | Self::NotFound { message, .. }
        | Self::Timeout { message, .. }
        | Self::LimitExceeded { message, .. }
        | Self::NoFreeWorker { message }
        | Self::Unexpected { message, .. }
        | Self::Unreachable { message, .. }
        | Self::Misconfigured { message, .. }
        | Self::LogLost { message, .. }
        | Self::TailClosed { message }) = &mut self;
        *message = line(new);
        self
    }
}

fn line(message: impl fmt::Display) -> String {
    redact::one_line(&message.to_string())
}
