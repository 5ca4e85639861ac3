//! A WebSocket over the same connector as HTTP, so that proxies, TLS and timeouts are alike.

use std::io::{self, Read, Write};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tungstenite::error::{Error, ProtocolError};
use tungstenite::handshake::HandshakeError;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, Utf8Bytes};
use ureq::Timeout;
use ureq::unversioned::resolver::{DefaultResolver, Resolver};
use ureq::unversioned::transport::time::Instant;
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, NextTimeout, ShutdownHandle, Transport, TransportAdapter,
};

use super::http::MAX_HEADERS;
use super::{Http, Request, Uri, connect};
use crate::ClientError;

/// The largest message that is taken, in bytes. Ray's own are at most 20,000 characters or one line
/// of 4 MB.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Remembers a socket weakly, or refuses it where the tail has been dropped meanwhile.
pub(crate) type Register = dyn Fn(Weak<dyn ShutdownHandle>) -> io::Result<()> + Send + Sync;

/// An open WebSocket.
pub(crate) struct WebSocket {
    socket: tungstenite::WebSocket<Wire>,
    what: String,
}

/// What a read of a [`WebSocket`] gave.
pub(crate) enum Event {
    Text(Utf8Bytes),
    /// No message; the socket is intact.
    Idle,
    /// A close frame: its code, 1005 where it has none.
    Closed(u16),
}

impl WebSocket {
    /// Opens the WebSocket of this request.
    pub(crate) fn open(
        http: &Http,
        request: &Request,
        register: Arc<Register>,
    ) -> Result<Self, ClientError> {
        let what = &request.what;
        let mut wire =
            dial(http, request, register).map_err(|error| http.explain(request, error))?;
        let limit = request.at_most(http.settings.read_timeout);
        wire.wait_at_most(limit);
        let config = WebSocketConfig::default()
            .read_buffer_size(64 * 1024)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let upgrade = upgrade(http, request)?;
        let socket =
            connect::read_within(limit, || {
                match tungstenite::client::client_with_config(upgrade, wire, Some(config)) {
                    Ok((socket, _)) => Ok(socket),
                    Err(HandshakeError::Interrupted(_)) => {
                        Err(http.explain(request, ureq::Error::Timeout(Timeout::RecvResponse)))
                    }
                    Err(HandshakeError::Failure(error)) => Err(refusal(http, request, error)),
                }
            })?;
        Ok(Self { socket, what: what.clone() })
    }

    /// The next message, or that none was complete within `idle`.
    pub(crate) fn read(&mut self, idle: Duration) -> Result<Event, ClientError> {
        self.socket.get_mut().wait_at_most(idle);
        match connect::read_within(idle, || self.socket.read()) {
            Ok(Message::Text(text)) => Ok(Event::Text(text)),
            Ok(Message::Close(frame)) => {
                Ok(Event::Closed(frame.map_or(1005, |frame| frame.code.into())))
            }
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Ok(Event::Idle),
            Ok(Message::Binary(_)) => Err(ClientError::unexpected(format_args!(
                "{}: a binary WebSocket message, where Ray sends text",
                self.what
            ))),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(Event::Idle),
            Err(error) => Err(broken(&self.what, error)),
        }
    }
}

fn upgrade(http: &Http, request: &Request) -> Result<ureq::http::Request<()>, ClientError> {
    let base = &http.settings.base;
    let url = format!("ws{}{}", base.trim_start_matches("http"), request.path_and_query());
    let invalid = |error: &dyn std::fmt::Display| {
        ClientError::invalid(format_args!("{}: {error}", request.what))
    };
    let uri = url.parse::<Uri>().map_err(|error| invalid(&error))?;
    let host = uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
    let mut builder = ureq::http::Request::builder()
        .uri(uri)
        .header("host", host)
        .header("user-agent", concat!("ray-client/", env!("CARGO_PKG_VERSION")))
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", tungstenite::handshake::client::generate_key());
    if let Some(headers) = builder.headers_mut() {
        headers.extend(http.settings.headers.clone());
    }
    builder.body(()).map_err(|error| invalid(&error))
}

fn refusal(http: &Http, request: &Request, error: Error) -> ClientError {
    let what = &request.what;
    match error {
        Error::Http(response) if response.status().is_success() => {
            ClientError::unexpected(format_args!(
                "{what}: the answer is not a WebSocket handshake: status {}",
                response.status().as_u16()
            ))
        }
        Error::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            http.rejection(what, response.status(), "", body)
        }
        Error::Io(io) => http.explain(request, ureq::Error::from(io)),
        Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            http.explain(request, ureq::Error::Io(io::ErrorKind::UnexpectedEof.into()))
        }
        other => ClientError::unexpected(format_args!(
            "{what}: the answer is not a WebSocket handshake: {other}"
        ))
        .caused_by(other),
    }
}

fn broken(what: &str, error: Error) -> ClientError {
    let said = match &error {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            "the connection broke off".to_owned()
        }
        Error::Io(io) => format!("the connection broke off: {io}"),
        Error::Capacity(_) => format!("a message of more than {MAX_MESSAGE} bytes"),
        other => other.to_string(),
    };
    ClientError::unreachable(format_args!("{what}: {said}")).caused_by(error)
}

/// Connects as an agent does: the same proxy, TCP and TLS, with the same timeouts.
fn dial(http: &Http, request: &Request, register: Arc<Register>) -> Result<Wire, ureq::Error> {
    let uri: Uri = format!("{}/", http.settings.base)
        .parse()
        .map_err(|error| ureq::Error::Http(ureq::http::Error::from(error)))?;
    let connector = Arc::new(connect::connector());
    let run = {
        let connector = Arc::clone(&connector);
        move |details: &ConnectionDetails| run_connector(&*connector, details)
    };
    let resolver = DefaultResolver::default();
    let config = http.agent.config();
    let limit = |reason| NextTimeout {
        after: request.at_most(http.settings.connect_timeout).into(),
        reason,
        ..NextTimeout::default()
    };
    // As for HTTP, a proxy finds the host by itself.
    let by_proxy = config.proxy().is_some_and(|proxy| !proxy.resolve_target());
    let addrs = if by_proxy {
        resolver.empty()
    } else {
        resolver.resolve(&uri, config, limit(Timeout::Resolve))?
    };
    let details = ConnectionDetails {
        uri: &uri,
        addrs,
        config,
        request_level: false,
        resolver: &resolver,
        now: Instant::now(),
        timeout: limit(Timeout::Connect),
        current_time: Arc::new(Instant::now),
        run_connector: Arc::new(run),
        register_shutdown: Arc::new(move |handle| Ok(register(handle)?)),
    };
    let transport = run_connector(&*connector, &details)?;
    let transport = TransportAdapter::new(transport, Arc::new(Instant::now));
    Ok(Wire { transport, head: Head::Coming(Vec::new()) })
}

fn run_connector(
    connector: &impl Connector<(), Out = impl Transport>,
    details: &ConnectionDetails,
) -> Result<Box<dyn Transport>, ureq::Error> {
    match connector.connect(details, None)? {
        Some(transport) => Ok(Box::new(transport)),
        None => Err(ureq::Error::ConnectionFailed),
    }
}

/// A connection as tungstenite wants it: a timeout is a `WouldBlock`, after which it can go on.
struct Wire {
    transport: TransportAdapter<Box<dyn Transport>>,
    head: Head,
}

/// The headers of the handshake's answer. tungstenite gets them whole, since it takes a handshake
/// that comes in many small pieces for an attack.
enum Head {
    Coming(Vec<u8>),
    /// Complete, and handed over up to here.
    Whole(Vec<u8>, usize),
    Over,
}

impl Wire {
    fn wait_at_most(&mut self, limit: Duration) {
        self.transport.set_timeout(NextTimeout {
            after: limit.into(),
            reason: Timeout::RecvBody,
            ..NextTimeout::default()
        });
    }
}

fn would_block(error: io::Error) -> io::Error {
    match ureq::Error::from(error) {
        ureq::Error::Timeout(_) => io::ErrorKind::WouldBlock.into(),
        other => other.into_io(),
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.head {
                Head::Over => return self.transport.read(buf).map_err(would_block),
                Head::Whole(head, start) if *start == head.len() => self.head = Head::Over,
                Head::Whole(head, start) => {
                    let length = buf.len().min(head.len() - *start);
                    buf[..length].copy_from_slice(&head[*start..*start + length]);
                    *start += length;
                    return Ok(length);
                }
                Head::Coming(head) => {
                    let so_far = head.len();
                    let mut piece = [0; 4096];
                    let length = self.transport.read(&mut piece).map_err(would_block)?;
                    let Head::Coming(head) = &mut self.head else { continue };
                    head.extend_from_slice(&piece[..length]);
                    let border = so_far.saturating_sub(3);
                    let is_whole = head[border..].windows(4).any(|bytes| bytes == b"\r\n\r\n");
                    if is_whole || length == 0 || head.len() > MAX_HEADERS {
                        self.head = Head::Whole(std::mem::take(head), 0);
                    }
                }
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.transport.write(buf).map_err(would_block)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.transport.flush()
    }
}
