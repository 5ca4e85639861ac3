//! HTTP exchanges without ureq, each over a connection of its own: through a proxy, for bodies that are read
//! as a stream, for calls with a deadline, and for tails over https. `Http::is_for_ureq` decides.
//!
//! ureq sends CONNECT to every proxy. Proxies refuse that for `http://` by default (measured with squid 6).
//! And a proxy that sends its response to CONNECT slowly would block ureq forever.
//!
//! ureq restarts its timeout of a read with every byte, even of a chunk size or a trailer: a server that
//! sends these slowly would block the reader of a stream forever. And a stream that is closed before its
//! end needs a reset (`Connection::shutdown`), which ureq cannot send.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Duration;

use ureq::http::header::{HeaderName, HeaderValue};
use ureq::http::{Method, Request, Response as HttpResponse, Version};
use ureq::{Error, Timeout};

use super::connect::Register;
use super::dial::{MaybeTlsStream, credentials, dial};
use super::error::{MAX_HEADERS, ProtocolError};
use super::settings::{Settings, Timeouts};

/// Maximum size of a chunk-size or trailer line, in bytes.
const MAX_LINE: usize = 4096;

/// Sends the request, and returns the head and the body of the response.
pub(super) fn exchange(
    settings: &Settings,
    request: &Request<()>,
    body: &mut dyn Read,
    timeouts: &Timeouts,
    register: &Register,
) -> Result<(HttpResponse<()>, ExchangeBody), Error> {
    let mut wire = dial(settings, settings.is_https(), timeouts.connect(), register)?;
    wire.wait_at_most(timeouts.send());
    let timed_out = |reason| move |error| in_time(error, reason);
    wire.write_all(&head_of(settings, request)).map_err(timed_out(Timeout::SendRequest))?;
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = body.read(&mut piece)?;
        if length == 0 {
            break;
        }
        wire.wait_at_most(timeouts.send());
        wire.write_all(&piece[..length]).map_err(timed_out(Timeout::SendBody))?;
    }
    wire.flush().map_err(timed_out(Timeout::SendBody))?;
    wire.wait_at_most(timeouts.response());
    let mut reader = BufReader::with_capacity(64 * 1024, wire);
    let head = loop {
        let head = read_head(&mut reader)?;
        if !head.status().is_informational() {
            break head;
        }
    };
    reader.get_mut().wait_at_most(timeouts.body());
    let framing = Framing::of(&head)?;
    Ok((head, ExchangeBody { reader, framing }))
}

fn head_of(settings: &Settings, request: &Request<()>) -> Vec<u8> {
    let uri = request.uri();
    // A proxy needs the whole URL, unless it only forwards an encrypted connection.
    let proxy = settings.proxy.as_ref().filter(|_| !settings.is_https());
    let target = match uri.path_and_query().filter(|_| proxy.is_none()) {
        Some(path) => path.to_string(),
        None => uri.to_string(),
    };
    let (method, host) = (request.method(), settings.host_header());
    let mut head =
        format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n").into_bytes();
    // The caller's own headers take precedence.
    for (name, value) in [("user-agent", super::USER_AGENT), ("accept", "*/*")] {
        if !request.headers().contains_key(name) {
            head.extend(format!("{name}: {value}\r\n").bytes());
        }
    }
    if let Some(credentials) = proxy.and_then(credentials) {
        head.extend(format!("proxy-authorization: {credentials}\r\n").bytes());
    }
    if request.method() == Method::POST && !request.headers().contains_key("content-length") {
        head.extend(b"content-length: 0\r\n");
    }
    for (name, value) in request.headers() {
        head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    head
}

fn read_head(reader: &mut BufReader<MaybeTlsStream>) -> Result<HttpResponse<()>, Error> {
    let mut left = MAX_HEADERS;
    let mut next_line = || {
        let mut line = Vec::new();
        let timed_out = |error| in_time(error, Timeout::RecvResponse);
        reader.take(left as u64).read_until(b'\n', &mut line).map_err(timed_out)?;
        left -= line.len();
        match line.ends_with(b"\n") {
            true => Ok(String::from_utf8_lossy(&line).trim_end().to_owned()),
            false if left == 0 => Err(Error::LargeResponseHeader(MAX_HEADERS, MAX_HEADERS)),
            false => Err(Error::Io(io::ErrorKind::UnexpectedEof.into())),
        }
    };
    let line = next_line()?;
    let mut head = HttpResponse::new(());
    let mut words = line.split(' ');
    *head.version_mut() = match words.next() {
        Some("HTTP/1.1") => Version::HTTP_11,
        Some("HTTP/1.0") => Version::HTTP_10,
        _ => return Err(ProtocolError::NotHttp("no HTTP version").into()),
    };
    let status = words.next().unwrap_or_default().parse();
    *head.status_mut() = status.map_err(|_| ProtocolError::NotHttp("no status"))?;
    loop {
        let line = next_line()?;
        if line.is_empty() {
            return Ok(head);
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err(ProtocolError::NotHttp("a header without a colon").into());
        };
        let (name, value) = (name.parse::<HeaderName>(), HeaderValue::from_str(value.trim()));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(ProtocolError::NotHttp("a header with an invalid name or value").into());
        };
        head.headers_mut().append(name, value);
    }
}

/// The body of a response.
pub(super) struct ExchangeBody {
    reader: BufReader<MaybeTlsStream>,
    framing: Framing,
}

enum Framing {
    /// Remaining bytes.
    Length(u64),
    ToTheEnd,
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    Over,
}

impl Framing {
    fn of(head: &HttpResponse<()>) -> Result<Self, Error> {
        if is_chunked(head)? {
            return Ok(Self::ChunkSize);
        }
        match content_length(head)? {
            Some(length) => Ok(Self::Length(length)),
            None if matches!(head.status().as_u16(), 204 | 304) => Ok(Self::Over),
            None => Ok(Self::ToTheEnd),
        }
    }
}

impl ExchangeBody {
    pub(super) fn length(&self) -> Option<u64> {
        if let Framing::Length(length) = self.framing { Some(length) } else { None }
    }

    pub(super) fn wait_at_most(&mut self, limit: Duration) {
        self.reader.get_mut().wait_at_most(limit);
    }

    /// Reads a line without its ending.
    fn read_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        (&mut self.reader).take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Err(if line.len() == MAX_LINE {
                ProtocolError::NotHttp("a chunk size or trailer that is too long").into_io()
            } else {
                io::ErrorKind::UnexpectedEof.into()
            });
        }
        Ok(String::from_utf8_lossy(&line).trim().to_owned())
    }

    fn read_up_to(&mut self, left: u64, buf: &mut [u8]) -> io::Result<u64> {
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        match self.reader.read(&mut buf[..room])? {
            0 if room > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => Ok(length as u64),
        }
    }
}

impl Read for ExchangeBody {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self.framing {
                Framing::Over | Framing::Length(0) => return Ok(0),
                Framing::ToTheEnd => {
                    return match self.reader.read(buf) {
                        // TLS was not ended properly, which ureq ignores as well. The end of such a body
                        // proves nothing anyway.
                        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                        other => other,
                    };
                }
                Framing::Length(left) => {
                    let read = self.read_up_to(left, buf)?;
                    self.framing = Framing::Length(left - read);
                    read
                }
                Framing::Chunk(left) => {
                    let read = self.read_up_to(left, buf)?;
                    let left = left - read;
                    self.framing = if left == 0 { Framing::ChunkEnd } else { Framing::Chunk(left) };
                    read
                }
                Framing::ChunkSize => {
                    let line = self.read_line()?;
                    let size = line.split(';').next().unwrap_or_default().trim();
                    self.framing = match u64::from_str_radix(size, 16) {
                        Ok(0) => Framing::Trailer,
                        Ok(size) => Framing::Chunk(size),
                        Err(_) => {
                            return Err(ProtocolError::NotHttp(
                                "a chunk size that is not a number",
                            )
                            .into_io());
                        }
                    };
                    continue;
                }
                Framing::ChunkEnd => {
                    if !self.read_line()?.is_empty() {
                        return Err(
                            ProtocolError::NotHttp("a chunk is longer than its size").into_io()
                        );
                    }
                    self.framing = Framing::ChunkSize;
                    continue;
                }
                Framing::Trailer => {
                    if self.read_line()?.is_empty() {
                        self.framing = Framing::Over;
                    }
                    continue;
                }
            };
            return Ok(usize::try_from(read).unwrap_or(buf.len()));
        }
    }
}

/// Whether a body is chunked. Any other coding is refused, because its bytes are not those of the file.
fn is_chunked(head: &HttpResponse<()>) -> Result<bool, Error> {
    let values = head.headers().get_all("transfer-encoding").iter();
    let codings: Vec<_> =
        values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).collect();
    match codings[..] {
        [] => Ok(false),
        [one] if one.trim_ascii().eq_ignore_ascii_case(b"identity") => Ok(false),
        // HTTP/1.0 has no chunks.
        [one]
            if one.trim_ascii().eq_ignore_ascii_case(b"chunked")
                && head.version() == Version::HTTP_11 =>
        {
            Ok(true)
        }
        _ => Err(ProtocolError::NotHttp("its transfer-encoding is not just `chunked`").into()),
    }
}

/// Returns the length of the body. Different values are refused, because a gateway could choose another
/// one (request smuggling).
fn content_length(head: &HttpResponse<()>) -> Result<Option<u64>, Error> {
    let mut values = head.headers().get_all("content-length").iter();
    let Some(first) = values.next() else { return Ok(None) };
    let length = first.to_str().ok().and_then(|value| value.trim().parse().ok());
    match length.filter(|_| values.all(|other| other == first)) {
        Some(length) => Ok(Some(length)),
        None => Err(ProtocolError::NotHttp("its content-length is not one number").into()),
    }
}

fn in_time(error: io::Error, reason: Timeout) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(reason),
        _ => Error::from(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;
    use crate::RetryPolicy;
    use crate::transport::{HeaderMap, Http, Proxies, Request as Ask};

    /// Sends a request through a proxy that answers `response` in pieces, and then a byte every 10 ms.
    fn through_proxy(base: &str, response: &'static [u8], piece: usize) -> Result<Vec<u8>, u16> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 4096]);
                let _ = response.chunks(piece).try_for_each(|piece| stream.write_all(piece));
                while stream.write_all(b"y").is_ok() {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        });
        let proxies = Proxies::from_vars(|name| Ok((name == "ALL_PROXY").then(|| proxy.clone())));
        let proxies = proxies.unwrap();
        let settings = Settings {
            proxy: proxies.of(base).unwrap(),
            proxies,
            base: base.to_owned(),
            headers: HeaderMap::new(),
            token: None,
            token_header: "authorization",
            connect_timeout: Duration::from_millis(300),
            read_timeout: Duration::from_millis(300),
            retry: RetryPolicy::none(),
            #[cfg(feature = "tls")]
            roots: None,
            #[cfg(feature = "tls")]
            accept_invalid_certs: false,
        };
        let start = Instant::now();
        let result = Http::new(settings).send(&Ask::get("version", "/api/version".to_owned()));
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        result.map(|response| response.body).map_err(|error| error.status())
    }

    #[test]
    fn a_slowly_sending_proxy_hits_the_timeouts() {
        let heads: [&[u8]; 4] = [
            b"",
            b"HTTP/1.1 200 x\r\nx: ",
            b"HTTP/1.1 200 x\r\ncontent-length: 999\r\n\r\n",
            b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ",
        ];
        for head in heads {
            let result = through_proxy("http://ray.example:8265", head, 4096);
            assert_eq!(result, Err(408), "{}", head.escape_ascii());
        }
        for head in &heads[..2] {
            let result = through_proxy("https://ray.example:8265", head, 4096);
            assert_eq!(result, Err(408), "{}", head.escape_ascii());
        }
    }

    #[test]
    fn bodies_of_every_framing_are_read_from_pieces_of_any_size() {
        for response in [
            &b"HTTP/1.1 200 x\r\nContent-Length: 5\r\n\r\nhello"[..],
            b"HTTP/1.1 103 x\r\nlink: y\r\n\r\nHTTP/1.1 200 x\r\ncontent-length:5\r\n\r\nhello",
            b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nz: z\r\n\r\n",
        ] {
            for piece in [1, 2, 3, 7, 4096] {
                let result = through_proxy("http://ray.example:8265", response, piece);
                assert_eq!(result.as_deref(), Ok(&b"hello"[..]), "{} {piece}", response.escape_ascii());
            }
        }
    }

    #[test]
    fn a_response_that_is_not_http_is_500() {
        for response in [
            &b"SSH-2.0-x\r\n"[..],
            b"HTTP/1.1 abc x\r\n\r\n",
            b"HTTP/1.1 200 x\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
            b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 x\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 x\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.0 200 x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n",
        ] {
            let result = through_proxy("http://ray.example:8265", response, 4096);
            assert_eq!(result, Err(500), "{}", response.escape_ascii());
        }
    }
}
