//! The body of a response: read as a whole, or as a stream.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use ureq::{BodyReader, Error, Timeout};

use super::connections::Connections;
use super::error::explain;
use super::exchange::ExchangeBody;
use super::request::Request;
use super::settings::Settings;
use crate::{ClientError, json};

/// Maximum size of a response in bytes.
const MAX_RESPONSE: usize = 256 * 1024 * 1024;
/// Maximum number of bytes read of an error response.
const MAX_ERROR: usize = 1024 * 1024;
const PIECE: usize = 64 * 1024;
/// A stream may be this late, or four times its idle timeout if that is longer. Each KiB makes up for a second.
/// Otherwise a server that sends a byte now and then would occupy the reader forever.
const MAX_LATE: Duration = Duration::from_secs(60);
const BYTES_PER_SECOND: u32 = 1024;
/// Maximum time to wait for the bytes of a stream in total. Ray ends a response after 300 s; a server that
/// sends without end would occupy the reader forever if it skips what it reads.
const MAX_STREAM: Duration = Duration::from_secs(600);

/// The bytes that a partial response contains, and the total size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentRange {
    pub(crate) start: u64,
    /// The offset after the last byte.
    pub(crate) end: u64,
    pub(crate) total: u64,
}

impl ContentRange {
    /// Parses `bytes 5-9/10`, which a 206 has, and `bytes */10`, which a 416 has.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
        let total = total.parse().ok()?;
        if range == "*" {
            return Some(Self { start: total, end: total, total });
        }
        let (start, last) = range.split_once('-')?;
        let (start, end) = (start.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?);
        (start < end && end <= total).then_some(Self { start, end, total })
    }
}

/// A complete response: 200, or for a range request also 206 or 416.
pub(crate) struct Response {
    operation: String,
    pub(crate) content_range: Option<ContentRange>,
    pub(crate) body: Vec<u8>,
    /// Whether the body is longer than the requested `first_bytes`.
    pub(crate) is_truncated: bool,
}

impl Response {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        json::from_slice(&self.body).map_err(|error| {
            ClientError::unexpected(format_args!(
                "{}: the response is not the JSON that Ray sends: {error}",
                self.operation
            ))
            .caused_by(error)
        })
    }
}

/// A body that is read as a stream.
pub(crate) struct Stream {
    pub(super) status: u16,
    pub(super) request: Request,
    pub(super) settings: Arc<Settings>,
    pub(super) connections: Connections,
    pub(super) body: Body,
    pub(crate) content_range: Option<ContentRange>,
    pub(super) length: Option<u64>,
    /// How much longer the reads took than [`BYTES_PER_SECOND`] allows. The time between them is the caller's.
    pub(super) late: Duration,
    /// How long the reads took.
    pub(super) taken: Duration,
}

/// The source of a body's bytes.
pub(super) enum Body {
    /// Read by ureq, with an absolute timeout.
    Ureq {
        body: BodyReader<'static>,
        length: Option<u64>,
        /// Whether ureq keeps the connection after the body.
        is_kept: bool,
    },
    Exchange {
        body: ExchangeBody,
        /// Maximum time without new bytes. `None` means an absolute timeout.
        idle: Option<Duration>,
    },
}

impl Body {
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Ureq { length, .. } => *length,
            Self::Exchange { body, .. } => body.length(),
        }
    }
}

impl Stream {
    /// Reads available bytes. Returns 0 at the end; for a chunked body, that is its proper end.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> Result<usize, ClientError> {
        let read = match &mut self.body {
            Body::Ureq { body, is_kept, .. } => {
                let read = body.read(buf);
                if let Err(_) | Ok(0) = read {
                    self.connections.note(*is_kept && read.is_ok());
                }
                read
            }
            Body::Exchange { body, idle: None } => body.read(buf),
            Body::Exchange { body, idle: Some(idle) } => {
                if self.late > MAX_LATE.max(*idle * 4) {
                    return Err(too_slow(&self.request));
                }
                if self.taken > MAX_STREAM {
                    return Err(too_long(&self.request));
                }
                body.wait_at_most(*idle);
                let begun = Instant::now();
                let read = body.read(buf);
                let length =
                    read.as_ref().map_or(0, |length| u32::try_from(*length).unwrap_or(u32::MAX));
                let allowed = Duration::from_secs(1) * length / BYTES_PER_SECOND;
                let taken = begun.elapsed();
                self.late = (self.late + taken).saturating_sub(allowed);
                self.taken += taken;
                if read.as_ref().is_err_and(is_timeout) {
                    return Err(ClientError::timeout(format_args!(
                        "{}: nothing arrived for {idle:?}",
                        self.request.operation
                    )));
                }
                read
            }
        };
        let read = match read {
            Ok(0) => self.connections.check_open().map(|()| 0),
            other => other,
        };
        read.map_err(|error| {
            let error = if is_timeout(&error) {
                Error::Timeout(Timeout::RecvBody)
            } else {
                Error::from(error)
            };
            explain(&self.request, &self.settings, error)
        })
    }

    /// Reads the whole body, up to `MAX_RESPONSE`.
    pub(super) fn read_whole(mut self) -> Result<Response, ClientError> {
        let mut body = Vec::new();
        let mut buffer = vec![0; PIECE];
        let mut is_truncated = false;
        let first = self.request.first_bytes;
        loop {
            if first.is_some_and(|most| body.len() > most) {
                body.truncate(first.unwrap_or_default());
                self.connections.note(false);
                is_truncated = true;
                break;
            }
            let is_too_large = self.length > Some(MAX_RESPONSE as u64) && first.is_none();
            if is_too_large || body.len() > MAX_RESPONSE {
                return Err(ClientError::unexpected(format_args!(
                    "{}: the response is larger than {MAX_RESPONSE} bytes",
                    self.request.operation
                )));
            }
            match self.read(&mut buffer)? {
                0 => break,
                length => body.extend_from_slice(&buffer[..length]),
            }
        }
        Ok(Response {
            operation: self.request.operation.clone(),
            content_range: self.content_range,
            body,
            is_truncated,
        })
    }

    /// Reads as much of an error response as arrives within the read timeout. A connection that breaks
    /// is no error here: the bytes before it still contain the reason.
    pub(super) fn read_error_page(&mut self) -> Vec<u8> {
        let mut page = Vec::new();
        let mut buffer = vec![0; PIECE];
        let end = Instant::now() + self.settings.read_timeout;
        while page.len() < MAX_ERROR && Instant::now() < end {
            match self.read(&mut buffer) {
                Ok(length) if length > 0 => page.extend_from_slice(&buffer[..length]),
                _ => break,
            }
        }
        page
    }
}

fn too_slow(request: &Request) -> ClientError {
    ClientError::timeout(format_args!(
        "{}: the response arrives at less than {BYTES_PER_SECOND} bytes per second",
        request.operation
    ))
}

fn too_long(request: &Request) -> ClientError {
    ClientError::timeout(format_args!(
        "{}: the response has not ended after {MAX_STREAM:?}",
        request.operation
    ))
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
