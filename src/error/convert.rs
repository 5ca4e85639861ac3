//! A `ClientError` as an `std::io::Error`.

use std::error::Error as _;
use std::io;

use super::ClientError;

/// The kind is `NotFound`, `TimedOut`, `InvalidInput` for 400, `PermissionDenied` for 401 and 403,
/// `ResourceBusy` for 429, `QuotaExceeded` for a limit of a tail, `InvalidData` for an answer that is not
/// Ray's, for a cluster that cannot be reached that of the connection's own error, and else `Other`. The
/// `ClientError` is inside: `get_ref()` and `into_inner()` give it back.
impl From<ClientError> for io::Error {
    fn from(error: ClientError) -> Self {
        Self::new(error.io_kind(), error)
    }
}

impl ClientError {
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
            Self::Misconfigured { .. } => io::ErrorKind::InvalidInput,
            Self::LogLost { .. } => io::ErrorKind::UnexpectedEof,
            Self::TailClosed { .. } => io::ErrorKind::ConnectionAborted,
        }
    }

    /// The kind of the `io::Error` underneath.
    fn source_kind(&self) -> Option<io::ErrorKind> {
        let mut cause = self.source();
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return Some(error.kind());
            }
            cause = error.source();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
