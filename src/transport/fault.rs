//! What a failed exchange means to a user: the one place that reads ureq's errors.

use std::error::Error as _;
use std::io;

use ureq::{Error, Timeout};

use super::request::Request;
use super::settings::Settings;
use crate::ClientError;

/// The most of an answer's headers that is read, in bytes: less than a buffer holds.
pub(super) const MAX_HEADERS: usize = 32 * 1024;

pub(super) fn explain(request: &Request, settings: &Settings, error: Error) -> ClientError {
    let (what, base) = (&request.what, &settings.base);
    let peer = settings.peer();
    let explained = match &error {
        Error::Timeout(_) if request.is_overdue() => {
            ClientError::timeout(format_args!("{what}: no answer from {base} in time"))
        }
        Error::Timeout(Timeout::Connect | Timeout::Resolve) => ClientError::timeout(format_args!(
            "{what}: no connection to {peer} within {:?}",
            settings.connect_timeout
        )),
        Error::Timeout(_) => {
            let wait = settings.read_timeout + request.extra_time;
            ClientError::timeout(format_args!("{what}: no answer from {base} within {wait:?}"))
        }
        Error::Io(io) if io.kind() == io::ErrorKind::UnexpectedEof => {
            ClientError::unreachable(format_args!("{what}: the connection to {base} broke off"))
        }
        Error::Io(io) => {
            ClientError::unreachable(format_args!("{what}: cannot reach {peer}: {io}"))
        }
        Error::HostNotFound => {
            ClientError::unreachable(format_args!("{what}: cannot reach {peer}: no such host"))
        }
        Error::Protocol(protocol) => ClientError::unexpected(format_args!(
            "{what}: the answer is not valid HTTP: {protocol}"
        )),
        Error::BodyStalled => ClientError::unexpected(format_args!(
            "{what}: the answer is not valid HTTP: a chunk is not as long as it says"
        )),
        Error::LargeResponseHeader(..) => ClientError::unexpected(format_args!(
            "{what}: the headers of the answer are larger than {MAX_HEADERS} bytes"
        )),
        Error::Http(http) => ClientError::invalid(format_args!("{what}: {http}")),
        Error::BadUri(uri) => ClientError::invalid(format_args!("{what}: {uri}")),
        other => ClientError::unreachable(format_args!("{what}: cannot reach {peer}: {other}")),
    };
    explained.caused_by(error)
}

/// An error of a socket or of TLS in ureq's terms.
pub(super) fn of_connect(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Error::Timeout(Timeout::Connect),
        _ => Error::from(error),
    }
}

/// Whether there was no connection that a request could have gone over.
pub(super) fn never_arrived(error: &ClientError) -> bool {
    match error.source().and_then(|source| source.downcast_ref::<Error>()) {
        Some(Error::Io(io)) => io.kind() == io::ErrorKind::ConnectionRefused,
        Some(Error::HostNotFound | Error::ConnectionFailed) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_was_not_made_cannot_have_carried_a_request() {
        for (kind, refused) in [
            (io::ErrorKind::ConnectionRefused, true),
            (io::ErrorKind::ConnectionReset, false),
            (io::ErrorKind::UnexpectedEof, false),
        ] {
            let error = ClientError::unreachable("x").caused_by(Error::Io(kind.into()));
            assert_eq!(never_arrived(&error), refused, "{kind}");
        }
        assert!(never_arrived(&ClientError::unreachable("x").caused_by(Error::HostNotFound)));
        assert!(!never_arrived(&ClientError::rejected(503, "x")));
    }
}
