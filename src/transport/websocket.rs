//! `WebSocket`: the handshake, and reading messages.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use tungstenite::error::{Error, ProtocolError};
use tungstenite::handshake::HandshakeError;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, Utf8Bytes};
use ureq::Timeout;

use super::connect::Register;
use super::dial::{MaybeTlsStream, dial};
use super::error::{MAX_HEADERS, explain};
use super::http::{Http, is_denied};
use super::request::Request;
use super::response_check::{redirect, rejection};
use super::{USER_AGENT, Uri};
use crate::ClientError;
use crate::logging::record;

/// Maximum size of a message in bytes. Ray's messages have at most 20,000 characters, or one line of
/// 4 MB.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// An open WebSocket.
pub(crate) struct WebSocket {
    socket: tungstenite::WebSocket<Socket>,
    operation: String,
}

/// The result of reading a [`WebSocket`].
pub(crate) enum Event {
    Text(Utf8Bytes),
    /// No message arrived in time. The WebSocket is intact.
    Idle,
    /// A close frame with its code, or 1005 if it has none.
    Closed(u16),
}

impl WebSocket {
    /// Connects and performs the handshake.
    pub(crate) fn open(
        http: &Http,
        request: &Request,
        register: &Register,
    ) -> Result<Self, ClientError> {
        let sent = http.settings.token.as_ref().map(|token| token.value());
        match Self::open_once(http, request, register) {
            Err(error) if is_denied(error.status()) && http.has_new_token(sent.as_ref()) => {
                Self::open_once(http, request, register)
            }
            other => other,
        }
    }

    fn open_once(http: &Http, request: &Request, register: &Register) -> Result<Self, ClientError> {
        let begun = Instant::now();
        let socket = Self::handshake(http, request, register);
        match &socket {
            Ok(_) => record!(
                Debug,
                "http",
                "{}: a WebSocket in {} ms",
                http.settings.show(request),
                begun.elapsed().as_millis()
            ),
            Err(error) => http.record_failure(request, None, begun, error),
        }
        socket
    }

    fn handshake(http: &Http, request: &Request, register: &Register) -> Result<Self, ClientError> {
        let operation = &request.operation;
        let failed = |error| explain(request, &http.settings, error);
        let limit = request.at_most(http.settings.connect_timeout);
        let mut stream = dial(&http.settings, true, limit, register).map_err(failed)?;
        stream.wait_at_most(request.at_most(http.settings.read_timeout));
        let socket = Socket { stream, head: HandshakeHead::Coming(Vec::new()) };
        let config = WebSocketConfig::default()
            .read_buffer_size(64 * 1024)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let upgrade = upgrade(http, request)?;
        match tungstenite::client::client_with_config(upgrade, socket, Some(config)) {
            Ok((socket, _)) => Ok(Self { socket, operation: operation.clone() }),
            Err(HandshakeError::Interrupted(_)) => {
                Err(failed(ureq::Error::Timeout(Timeout::RecvResponse)))
            }
            Err(HandshakeError::Failure(error)) => Err(refusal(http, request, error)),
        }
    }

    /// Returns the next message, or [`Event::Idle`] if none was complete within `idle`.
    pub(crate) fn read(&mut self, idle: Duration) -> Result<Event, ClientError> {
        self.socket.get_mut().stream.wait_at_most(idle);
        match self.socket.read() {
            Ok(Message::Text(text)) => Ok(Event::Text(text)),
            Ok(Message::Close(frame)) => {
                Ok(Event::Closed(frame.map_or(1005, |frame| frame.code.into())))
            }
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Ok(Event::Idle),
            Ok(Message::Binary(_)) => Err(ClientError::unexpected(format_args!(
                "{}: a binary WebSocket message, but Ray sends only text",
                self.operation
            ))),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(Event::Idle),
            Err(error) => Err(broken(&self.operation, error)),
        }
    }
}

fn upgrade(http: &Http, request: &Request) -> Result<ureq::http::Request<()>, ClientError> {
    let base = &http.settings.base;
    let url = format!("ws{}{}", base.trim_start_matches("http"), request.path_and_query());
    let invalid = |error: &dyn std::fmt::Display| {
        ClientError::invalid(format_args!("{}: {error}", request.operation))
    };
    let uri = url.parse::<Uri>().map_err(|error| invalid(&error))?;
    let mut builder = ureq::http::Request::builder()
        .uri(uri)
        .header("host", http.settings.host_header())
        .header("user-agent", USER_AGENT)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", tungstenite::handshake::client::generate_key());
    if let Some(headers) = builder.headers_mut() {
        headers.extend(http.settings.request_headers());
    }
    builder.body(()).map_err(|error| invalid(&error))
}

fn refusal(http: &Http, request: &Request, error: Error) -> ClientError {
    let operation = &request.operation;
    match error {
        Error::Http(response) if response.status().is_success() => {
            ClientError::unexpected(format_args!(
                "{operation}: the response is not a WebSocket handshake: status {}",
                response.status().as_u16()
            ))
        }
        Error::Http(response) if response.status().is_redirection() => {
            redirect(operation, &response)
        }
        Error::Http(response) => {
            let page = response.body().as_deref().unwrap_or_default();
            rejection(request, &http.settings, &response, page)
        }
        Error::Io(io) => explain(request, &http.settings, ureq::Error::from(io)),
        Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
            explain(request, &http.settings, ureq::Error::Io(cut))
        }
        other => ClientError::unexpected(format_args!(
            "{operation}: the response is not a WebSocket handshake: {other}"
        ))
        .caused_by(other),
    }
}

fn broken(operation: &str, error: Error) -> ClientError {
    let said = match &error {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            "the connection broke".to_owned()
        }
        Error::Io(io) => format!("the connection broke: {io}"),
        Error::Capacity(_) => format!("a message of more than {MAX_MESSAGE} bytes"),
        other => other.to_string(),
    };
    ClientError::unreachable(format_args!("{operation}: {said}")).caused_by(error)
}

/// A connection that gives tungstenite the headers of the handshake's response in one piece.
struct Socket {
    stream: MaybeTlsStream,
    head: HandshakeHead,
}

/// The headers of the handshake's response, which are collected first, because tungstenite treats a
/// handshake in many small pieces as an attack.
enum HandshakeHead {
    Coming(Vec<u8>),
    /// Complete. tungstenite has read the bytes before this offset.
    Whole(Vec<u8>, usize),
    Over,
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.head {
                HandshakeHead::Over => return self.stream.read(buf),
                HandshakeHead::Whole(head, start) if *start == head.len() => {
                    self.head = HandshakeHead::Over;
                }
                HandshakeHead::Whole(head, start) => {
                    let length = buf.len().min(head.len() - *start);
                    buf[..length].copy_from_slice(&head[*start..*start + length]);
                    *start += length;
                    return Ok(length);
                }
                HandshakeHead::Coming(head) => {
                    let so_far = head.len();
                    let mut piece = [0; 4096];
                    let length = self.stream.read(&mut piece)?;
                    head.extend_from_slice(&piece[..length]);
                    let border = so_far.saturating_sub(3);
                    let is_whole = head[border..].windows(4).any(|bytes| bytes == b"\r\n\r\n");
                    if is_whole || length == 0 || head.len() > MAX_HEADERS {
                        self.head = HandshakeHead::Whole(std::mem::take(head), 0);
                    }
                }
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
