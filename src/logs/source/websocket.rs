//! A job's log from Ray's WebSocket.
//!
//! Each connection sends the text of the log from its start. Ray also closes it normally if it could not
//! send the whole log, so the source compares the text with the whole log at the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::replay::Replay;
use super::{Dashboard, Delivered, FileServer, LogSource, ReadOutcome, TailError, TailResult};
use crate::ClientError;
use crate::logs::last_lines::LastLines;
use crate::logs::newlines::UniversalNewlines;
use crate::transport::{Event, Http, Register, Request, Stream, WebSocket, path};

/// How long a read waits, so that the loop can check the timeouts and the job's status in between.
const READ_TIMEOUT: Duration = Duration::from_millis(100);

/// A connection that has been open this long counts as a successful reconnect, even if the log is silent. Many
/// gateways close an idle one after a minute.
const SETTLED: Duration = Duration::from_secs(10);
/// After the job's end, Ray sends the rest and closes within a second or two. A peer that is silent for this
/// long has probably vanished.
const LAST_MESSAGES: Duration = Duration::from_secs(10);
/// After this many whole logs that end before the position, the connection counts as broken.
const MAX_SHORT_READINGS: u32 = 4;

/// The log to request.
#[derive(Clone)]
pub(crate) struct WebSocketLog {
    pub(crate) operation: String,
    pub(crate) id: String,
    pub(crate) http: Http,
    /// The log file, if this Ray serves it as plain bytes.
    pub(crate) file: Option<Dashboard>,
    /// Whether to deliver the parts that the WebSocket omits.
    pub(crate) completes: bool,
}

pub(crate) struct WebSocketSource {
    log: WebSocketLog,
    register: Arc<Register>,
    socket: Option<WebSocket>,
    connected_at: Instant,
    replay: Replay,
    closed_with: u16,
    is_over: bool,
    /// When the last message arrived, or later the job's end was noticed.
    quiet_since: Instant,
    whole: Option<WholeText>,
    /// The position at which a connection ended normally without the rest of the log.
    omitted_at: Option<u64>,
    /// The length of the last whole log that ended before the position.
    short_length: Option<u64>,
    short_readings: u32,
}

/// The whole log as text, read from another route.
struct WholeText {
    text: Text,
    newlines: UniversalNewlines,
    replay: Replay,
    /// How many bytes the WebSocket did not send.
    omitted: u64,
}

enum Text {
    File(Box<Stream>),
    /// The whole log in one piece. Empty after it was read.
    Whole(Vec<u8>),
}

impl WebSocketSource {
    pub(crate) fn open(
        log: WebSocketLog,
        register: Arc<Register>,
        delivered: &Delivered,
    ) -> TailResult<Self> {
        let mut source = Self {
            log,
            register,
            socket: None,
            connected_at: Instant::now(),
            replay: Replay::after(delivered.start(), delivered.text()),
            closed_with: 1005,
            is_over: false,
            quiet_since: Instant::now(),
            whole: None,
            omitted_at: None,
            short_length: None,
            short_readings: 0,
        };
        source.connect(delivered)?;
        Ok(source)
    }

    fn connect(&mut self, delivered: &Delivered) -> TailResult<()> {
        let log = &self.log;
        let request = Request::get(&log.operation, path(&["api", "jobs", &log.id, "logs", "tail"]));
        let socket = WebSocket::open(&log.http, &request, &*self.register);
        self.socket = Some(socket.map_err(TailError::classify)?);
        (self.connected_at, self.quiet_since) = (Instant::now(), Instant::now());
        self.replay = Replay::after(delivered.start(), delivered.text());
        Ok(())
    }

    fn read_socket(&mut self, mut socket: WebSocket) -> TailResult<ReadOutcome> {
        let outcome = match socket.read(READ_TIMEOUT).map_err(TailError::Broken)? {
            Event::Text(text) if !text.is_empty() => {
                self.quiet_since = Instant::now();
                match self.replay.rest(text.as_bytes()) {
                    [] => ReadOutcome::Continue,
                    new => ReadOutcome::Message(new.to_vec()),
                }
            }
            Event::Text(_) | Event::Idle => {
                if self.is_over && self.quiet_since.elapsed() > LAST_MESSAGES {
                    self.closed_with = 1000;
                    return Ok(ReadOutcome::Closed);
                }
                let is_settled =
                    self.replay.missing() == 0 && self.connected_at.elapsed() > SETTLED;
                ReadOutcome::Idle { is_settled }
            }
            Event::Closed(code) => {
                self.closed_with = code;
                return Ok(ReadOutcome::Closed);
            }
        };
        self.socket = Some(socket);
        Ok(outcome)
    }

    /// Compares the delivered text with the whole log: Ray also closes with 1000 if part of it is missing.
    fn compare(&mut self, delivered: &Delivered) -> TailResult<ReadOutcome> {
        let Some(mut whole) = self.whole.take() else {
            self.whole = Some(self.whole_text(delivered)?);
            return Ok(ReadOutcome::Continue);
        };
        let Some(bytes) = self.log.next_piece(&mut whole.text)? else {
            return self.end(&whole, delivered);
        };
        let text = whole.newlines.translate(&bytes);
        let new = whole.replay.rest(&text).to_vec();
        let outcome = if new.is_empty() || !self.log.completes {
            whole.omitted += new.len() as u64;
            ReadOutcome::Continue
        } else {
            ReadOutcome::Data { bytes: new, is_up_to_date: false }
        };
        self.whole = Some(whole);
        Ok(outcome)
    }

    fn end(&mut self, whole: &WholeText, delivered: &Delivered) -> TailResult<ReadOutcome> {
        let operation = &self.log.operation;
        if whole.replay.missing() > 0 {
            let position = delivered.position();
            return self.read_again(position - whole.replay.missing().min(position), delivered);
        }
        if whole.omitted == 0 {
            return Ok(ReadOutcome::Complete);
        }
        let at = Some(delivered.position());
        if std::mem::replace(&mut self.omitted_at, at) != at {
            // The first time, the connection may be the cause. The second time, Ray is.
            self.connect(delivered)?;
            return Ok(ReadOutcome::Continue);
        }
        let others = if self.log.file.is_some() {
            "Protocol::Stream or Protocol::Auto"
        } else {
            "Protocol::Auto"
        };
        Err(TailError::Fatal(ClientError::unexpected(format_args!(
            "{operation}: Ray's WebSocket omitted {} bytes, as it does if a line is longer than 4 MB or bytes are not UTF-8: use {others}",
            whole.omitted
        ))))
    }

    /// Reads the whole log again, which was shorter than what was delivered. A proxy may have cut it: only
    /// two reads of the same length prove the opposite.
    fn read_again(&mut self, length: u64, delivered: &Delivered) -> TailResult<ReadOutcome> {
        let operation = &self.log.operation;
        if self.short_length.replace(length) == Some(length) {
            return Err(super::became_shorter(operation, delivered, length));
        }
        self.short_readings += 1;
        if self.short_readings == MAX_SHORT_READINGS {
            return Err(TailError::Broken(ClientError::unreachable(format_args!(
                "{operation}: the log arrived {MAX_SHORT_READINGS} times shorter than what was delivered: a proxy probably cuts it off"
            ))));
        }
        Ok(ReadOutcome::Continue)
    }

    fn whole_text(&self, delivered: &Delivered) -> TailResult<WholeText> {
        Ok(WholeText {
            text: self.log.open()?,
            newlines: UniversalNewlines::default(),
            replay: Replay::after(delivered.start(), delivered.text()),
            omitted: 0,
        })
    }
}

impl WebSocketLog {
    /// Requests the whole log: the file if the cluster serves it, otherwise `GET /api/jobs/{id}/logs`.
    fn open(&self) -> TailResult<Text> {
        if let Some(file) = &self.file {
            match file.open() {
                Err(TailError::Broken(error) | TailError::Fatal(error)) if is_no_route(&error) => {}
                stream => return stream.map(|stream| Text::File(Box::new(stream))),
            }
        }
        let response = self
            .http
            .send(&whole_log_request(&self.operation, &self.id))
            .map_err(TailError::classify)?;
        let log = response.json::<WholeLog>().map_err(TailError::classify)?.logs;
        Ok(Text::Whole(log.into_bytes()))
    }

    fn next_piece(&self, text: &mut Text) -> TailResult<Option<Vec<u8>>> {
        match text {
            Text::Whole(bytes) => Ok(Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty())),
            Text::File(stream) => {
                let mut piece = vec![0; 64 * 1024];
                let length = match &self.file {
                    Some(file) => file.read(stream, &mut piece)?,
                    None => 0,
                };
                piece.truncate(length);
                Ok(Some(piece).filter(|piece| !piece.is_empty()))
            }
        }
    }
}

impl LogSource for WebSocketSource {
    fn read(&mut self, delivered: &Delivered) -> TailResult<ReadOutcome> {
        if let Some(socket) = self.socket.take() {
            return self.read_socket(socket);
        }
        if !self.is_over {
            return Ok(ReadOutcome::Closed);
        }
        if self.closed_with != 1000 && !self.log.completes {
            return Err(TailError::Broken(ClientError::unreachable(format_args!(
                "{}: the server closed the WebSocket (code {})",
                self.log.operation, self.closed_with
            ))));
        }
        self.compare(delivered)
    }

    fn nothing_more_is_written(&mut self) {
        if !self.is_over {
            (self.is_over, self.quiet_since) = (true, Instant::now());
        }
    }

    fn start_of_last_lines(&mut self, lines: usize) -> TailResult<u64> {
        let mut last = LastLines::new(lines);
        let mut newlines = UniversalNewlines::default();
        let mut text = self.log.open()?;
        while let Some(bytes) = self.log.next_piece(&mut text)? {
            last.push(&newlines.translate(&bytes));
        }
        self.replay = Replay::after(last.position(), super::delivered::TextPosition::default());
        Ok(last.position())
    }
}

/// The response of `GET /api/jobs/{id}/logs`.
#[derive(Deserialize)]
pub(crate) struct WholeLog {
    pub(crate) logs: String,
}

/// Requests the whole log as one JSON string. Any Ray has this route.
pub(crate) fn whole_log_request(operation: &str, id: &str) -> Request {
    Request::get(operation, path(&["api", "jobs", id, "logs"])).idle_timeout_only()
}

/// Returns whether the server, or a gateway in front of it, does not have this route.
pub(crate) fn is_no_route(error: &ClientError) -> bool {
    matches!(error.status(), 400 | 403 | 404 | 405 | 426 | 501)
        && !matches!(error, ClientError::InvalidParameter { .. })
}
