//! Conversion of `ClientError` into `std::io::Error`.

use std::error::Error as _;
use std::io;

use super::ClientError;

/// Converts into an `io::Error` of a matching kind. `get_ref()` and `into_inner()` return the
/// `ClientError`.
///
/// | error | kind |
/// |---|---|
/// | 400, and `Misconfigured` | `InvalidInput` |
/// | 401, 403 | `PermissionDenied` |
/// | `NotFound` | `NotFound` |
/// | `Timeout` | `TimedOut` |
/// | `LimitExceeded` | `QuotaExceeded` |
/// | any other 429 | `ResourceBusy` |
/// | `Unexpected` | `InvalidData` |
/// | `Unreachable` | the kind of the underlying error, otherwise `ConnectionReset` |
/// | `LogLost` | `UnexpectedEof` |
/// | `TailClosed` | `ConnectionAborted` |
/// | any other `Rejected` | `Other` |
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

    /// Returns the kind of the underlying `io::Error`.
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
    fn the_io_error_has_a_matching_kind_and_contains_the_client_error() {
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
