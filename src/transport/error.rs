//! Converts ureq's errors into `ClientError`. No other file interprets them.

use std::error::Error as _;
use std::io;

use ureq::{Error, Proxy, Timeout};

use super::request::Request;
use super::settings::Settings;
use crate::{ClientError, TimeoutKind};

/// Protocol errors of exchanges that do not use ureq.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProtocolError {
    #[error("{0}")]
    NotHttp(&'static str),
    #[error("its response to CONNECT is not a proxy's")]
    NotAProxy,
    #[error("it answered CONNECT with status {0}")]
    Refused(u16),
}

impl From<ProtocolError> for Error {
    fn from(odd: ProtocolError) -> Self {
        Self::Other(Box::new(odd))
    }
}

impl ProtocolError {
    pub(super) fn into_io(self) -> io::Error {
        Error::from(self).into_io()
    }

    fn of(error: &Error) -> Option<&Self> {
        if let Error::Other(other) = error { other.downcast_ref() } else { None }
    }
}

/// Maximum size of a response's headers in bytes. Less than a buffer holds.
pub(super) const MAX_HEADERS: usize = 32 * 1024;

pub(super) fn explain(request: &Request, settings: &Settings, error: Error) -> ClientError {
    // An upload's own error, for example an unreadable file.
    let error = match error {
        Error::Io(io) => match io.downcast::<ClientError>() {
            Ok(own) => return own,
            Err(io) => Error::Io(io),
        },
        error => error,
    };
    let (operation, base) = (&request.operation, &settings.base);
    let peer = settings.peer();
    let explained = match &error {
        Error::Timeout(_) if request.is_overdue() => {
            ClientError::timeout(format_args!("{operation}: no response from {base} in time"))
        }
        Error::Timeout(Timeout::Connect | Timeout::Resolve) => ClientError::timeout(format_args!(
            "{operation}: no connection to {peer} within {:?} (connect_timeout)",
            settings.connect_timeout
        ))
        .of_kind(TimeoutKind::Connect),
        Error::Timeout(_) => {
            let wait = settings.read_timeout + request.extra_time;
            ClientError::timeout(format_args!(
                "{operation}: no response from {base} within {wait:?} (read_timeout)"
            ))
        }
        Error::Protocol(protocol) => not_http(operation, protocol),
        Error::BodyStalled => not_http(operation, &"a chunk does not have its stated length"),
        Error::LargeResponseHeader(..) => ClientError::unexpected(format_args!(
            "{operation}: the headers of the response are larger than {MAX_HEADERS} bytes"
        )),
        Error::Http(http) => ClientError::invalid(format_args!("{operation}: {http}")),
        Error::BadUri(uri) => ClientError::invalid(format_args!("{operation}: {uri}")),
        other => unreachable(operation, &peer, other),
    };
    explained.caused_by(error)
}

fn not_http(operation: &str, why: &dyn std::fmt::Display) -> ClientError {
    ClientError::unexpected(format_args!("{operation}: the response is not valid HTTP: {why}"))
}

/// Distinguishes an unreachable cluster, which may recover, from settings that do not fit.
fn unreachable(operation: &str, peer: &str, error: &Error) -> ClientError {
    #[cfg(feature = "tls")]
    if let Some(error) = tls_error(error) {
        return unsafe_peer(operation, peer, error);
    }
    match (ProtocolError::of(error), error) {
        (Some(ProtocolError::NotHttp(why)), _) => not_http(operation, why),
        (Some(odd @ ProtocolError::Refused(502..=504)), _) => ClientError::unreachable(
            format_args!("{operation}: {peer} cannot reach the cluster: {odd}"),
        ),
        (Some(odd), _) => ClientError::misconfigured(format_args!(
            "{operation}: {peer} does not forward the request: {odd}; check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"
        )),
        (_, Error::Io(io)) if io.kind() == io::ErrorKind::UnexpectedEof => {
            ClientError::unreachable(format_args!("{operation}: the connection to {peer} broke"))
        }
        (_, Error::Io(io)) => {
            ClientError::unreachable(format_args!("{operation}: cannot reach {peer}: {io}"))
        }
        (_, Error::HostNotFound) => {
            ClientError::unreachable(format_args!("{operation}: cannot reach {peer}: no such host"))
        }
        (_, other) => {
            ClientError::unreachable(format_args!("{operation}: cannot reach {peer}: {other}"))
        }
    }
}

pub(super) fn proxy_wants_credentials(operation: &str, proxy: &Proxy) -> ClientError {
    ClientError::misconfigured(format_args!(
        "{operation}: the proxy {}:{} requires a user name and a password (status 407): add them to the proxy's URL",
        proxy.host(),
        proxy.port()
    ))
}

#[cfg(feature = "tls")]
fn tls_error(error: &Error) -> Option<&rustls::Error> {
    match error {
        Error::Rustls(error) => Some(error),
        Error::Io(io) => io.get_ref()?.downcast_ref(),
        _ => None,
    }
}

#[cfg(feature = "tls")]
fn unsafe_peer(operation: &str, peer: &str, error: &rustls::Error) -> ClientError {
    match error {
        rustls::Error::InvalidCertificate(_) => ClientError::misconfigured(format_args!(
            "{operation}: the certificate of {peer} is not trusted: {error}; check the host name and ca_certificate_pem"
        )),
        rustls::Error::InvalidMessage(_) => ClientError::misconfigured(format_args!(
            "{operation}: {peer} does not speak TLS: check whether its address begins with http://"
        )),
        rustls::Error::PeerIncompatible(_) | rustls::Error::PeerMisbehaved(_) => {
            ClientError::misconfigured(format_args!("{operation}: no TLS with {peer}: {error}"))
        }
        _ => ClientError::unreachable(format_args!("{operation}: no TLS with {peer}: {error}")),
    }
}

/// Converts an error while connecting into ureq's error.
pub(super) fn of_connect(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Error::Timeout(Timeout::Connect),
        _ => Error::from(error),
    }
}

/// Whether there was no connection: then the server cannot have received the request.
pub(super) fn never_arrived(error: &ClientError) -> bool {
    let Some(error) = error.source().and_then(|source| source.downcast_ref::<Error>()) else {
        return false;
    };
    #[cfg(feature = "tls")]
    if tls_error(error).is_some() {
        return true;
    }
    match (ProtocolError::of(error), error) {
        (_, Error::Io(io)) => no_connection(io),
        (Some(ProtocolError::NotAProxy | ProtocolError::Refused(_)), _)
        | (
            _,
            Error::HostNotFound
            | Error::ConnectionFailed
            | Error::Timeout(Timeout::Connect | Timeout::Resolve),
        ) => true,
        _ => false,
    }
}

fn no_connection(io: &io::Error) -> bool {
    // Stable Rust has no `ErrorKind` for a failed lookup. This is the text that std uses.
    let is_look_up = || io.to_string().starts_with("failed to lookup address information");
    matches!(
        io.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable
    ) || is_look_up()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_never_arrived_only_if_there_was_no_connection() {
        use std::net::ToSocketAddrs;

        let look_up = ("no.such.host.invalid", 1).to_socket_addrs().unwrap_err();
        for (error, expected) in [
            (Error::Io(io::ErrorKind::ConnectionRefused.into()), true),
            (Error::Io(io::ErrorKind::ConnectionReset.into()), false),
            (Error::Io(io::ErrorKind::UnexpectedEof.into()), false),
            (Error::Io(look_up), true),
            (Error::HostNotFound, true),
            (Error::Timeout(Timeout::Connect), true),
            (Error::Timeout(Timeout::RecvResponse), false),
            (ProtocolError::Refused(403).into(), true),
            (ProtocolError::NotHttp("x").into(), false),
        ] {
            let name = format!("{error:?}");
            let error = ClientError::unreachable("x").caused_by(error);
            assert_eq!(never_arrived(&error), expected, "{name}");
        }
        assert!(!never_arrived(&ClientError::rejected(503, "x")));
    }
}
