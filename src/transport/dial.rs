//! Connections made without ureq, for WebSockets, streams and proxies: TCP, CONNECT and TLS.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::{Error, Proxy, ProxyProtocol};

use super::USER_AGENT;
use super::connect::{Connection, Register, connect};
use super::error::{ProtocolError, of_connect};
use super::settings::Settings;

/// Maximum size of a proxy's response to CONNECT, in bytes.
const MAX_PROXY_HEAD: usize = 16 * 1024;

/// A connection as tungstenite expects it: a timeout is a `WouldBlock`, after which reading can continue.
pub(super) enum MaybeTlsStream {
    Tcp(Tcp),
    #[cfg(feature = "tls")]
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, MaybeTlsStream>>),
}

pub(super) struct Tcp {
    connection: Arc<Connection>,
    /// No read or write waits beyond this.
    deadline: Instant,
}

/// Connects to the cluster. If there is a proxy, connects through it with `through_proxy`, otherwise only
/// to the proxy. `limit` applies to all steps together.
pub(super) fn dial(
    settings: &Settings,
    through_proxy: bool,
    limit: Duration,
    register: &Register,
) -> Result<MaybeTlsStream, Error> {
    let deadline = Instant::now() + limit;
    let (host, port) = settings.first_hop();
    let connection = connect(&host, port, deadline, register).map_err(of_connect)?;
    let mut stream = MaybeTlsStream::Tcp(Tcp { connection, deadline });
    if let Some(proxy) = &settings.proxy {
        if proxy.protocol() == ProxyProtocol::Https {
            stream = secure(stream, settings, proxy.host())?;
        }
        if through_proxy {
            ask_proxy(&mut stream, proxy, settings)?;
        }
    }
    if settings.is_https() {
        stream = secure(stream, settings, &settings.host_and_port().0)?;
    }
    Ok(stream)
}

/// Makes the proxy connect to the cluster.
fn ask_proxy(stream: &mut MaybeTlsStream, proxy: &Proxy, settings: &Settings) -> Result<(), Error> {
    let (host, port) = settings.host_and_port();
    let mut request = vec![
        format!("CONNECT {host}:{port} HTTP/1.1"),
        format!("Host: {host}:{port}"),
        format!("User-Agent: {USER_AGENT}"),
    ];
    request.extend(credentials(proxy).map(|it| format!("Proxy-Authorization: {it}")));
    let request = request.join("\r\n") + "\r\n\r\n";
    stream.write_all(request.as_bytes()).map_err(of_connect)?;
    let mut head = Vec::new();
    // One byte at a time, because the bytes after the head belong to the server.
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        let length = stream.read(&mut byte).map_err(of_connect)?;
        if length == 0 || head.len() > MAX_PROXY_HEAD {
            return Err(ProtocolError::NotAProxy.into());
        }
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head);
    match head.split(' ').nth(1).and_then(|status| status.parse().ok()) {
        Some(200) if head.starts_with("HTTP/1.") => Ok(()),
        Some(status) if head.starts_with("HTTP/1.") => Err(ProtocolError::Refused(status).into()),
        _ => Err(ProtocolError::NotAProxy.into()),
    }
}

/// Returns the value of `Proxy-Authorization`.
pub(super) fn credentials(proxy: &Proxy) -> Option<String> {
    let (user, password) = (proxy.username(), proxy.password());
    user.or(password)?;
    let pair = format!("{}:{}", user.unwrap_or_default(), password.unwrap_or_default());
    Some(format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

impl MaybeTlsStream {
    pub(super) fn wait_at_most(&mut self, limit: Duration) {
        match self {
            Self::Tcp(tcp) => tcp.deadline = Instant::now() + limit,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.sock.wait_at_most(limit),
        }
    }
}

#[cfg(feature = "tls")]
fn secure(
    stream: MaybeTlsStream,
    settings: &Settings,
    host: &str,
) -> Result<MaybeTlsStream, Error> {
    let config = super::tls::of_dial(settings).map_err(Error::Rustls)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = host.try_into().map_err(|_| Error::Tls("the host is not a valid name"))?;
    let session = rustls::ClientConnection::new(config, name).map_err(Error::Rustls)?;
    let mut tls = rustls::StreamOwned::new(session, stream);
    tls.conn.complete_io(&mut tls.sock).map_err(of_connect)?;
    // After a part of the handshake, `complete_io` reports a timeout as success.
    if tls.conn.is_handshaking() {
        return Err(of_connect(io::ErrorKind::WouldBlock.into()));
    }
    Ok(MaybeTlsStream::Tls(Box::new(tls)))
}

/// Unreachable: addresses and proxies that require TLS are refused earlier.
#[cfg(not(feature = "tls"))]
fn secure(_: MaybeTlsStream, _: &Settings, _: &str) -> Result<MaybeTlsStream, Error> {
    Err(Error::TlsRequired)
}

impl Tcp {
    /// Repeats an attempt that a signal interrupted, without extending the deadline.
    fn try_until_deadline<T>(
        &self,
        set_timeout: impl Fn(Duration) -> io::Result<()>,
        mut attempt: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            set_timeout(left)?;
            let result = attempt();
            self.connection.check_open()?;
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                other => return other,
            }
        }
    }
}

impl Read for MaybeTlsStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => {
                let mut stream = &tcp.connection.stream;
                tcp.try_until_deadline(
                    |left| stream.set_read_timeout(Some(left)),
                    || stream.read(buf),
                )
            }
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.read(buf),
        }
    }
}

impl Write for MaybeTlsStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => {
                let mut stream = &tcp.connection.stream;
                tcp.try_until_deadline(
                    |left| stream.set_write_timeout(Some(left)),
                    || stream.write(buf),
                )
            }
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(_) => Ok(()),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.flush(),
        }
    }
}
