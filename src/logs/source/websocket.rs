//! A job's log by Ray's own WebSocket: text that always begins at the start of the log, and that Ray
//! ends politely also if it could not send all of it. So the end is compared with the whole log.

use std::sync::Arc;

use serde::Deserialize;

use super::replay::Replay;
use super::{
    Certainty, Dashboard, Delivered, FileServer, LogSource, ReadOutcome, TailError, TailResult,
};
use crate::ClientError;
use crate::logs::last_lines::LastLines;
use crate::logs::newlines::UniversalNewlines;
use crate::transport::{Event, Http, Register, Request, Stream, WebSocket, path};

/// How long a read waits before the worker looks at the clock and at the job.
const SLICE: std::time::Duration = std::time::Duration::from_millis(100);

/// What to ask for, and how.
#[derive(Clone)]
pub(crate) struct WebSocketLog {
    pub(crate) operation: String,
    pub(crate) id: String,
    pub(crate) http: Http,
    /// The log's file, if this Ray serves it byte by byte.
    pub(crate) file: Option<Dashboard>,
    /// Whether what the WebSocket leaves out is to be delivered.
    pub(crate) completes: bool,
}

pub(crate) struct WebSocketSource {
    log: WebSocketLog,
    register: Arc<Register>,
    socket: Option<WebSocket>,
    replay: Replay,
    closed_with: u16,
    is_over: bool,
    whole: Option<WholeText>,
    /// Where a connection ended well without the rest of the log.
    left_out_at: Option<u64>,
}

/// A reading of the whole log as text, by another route.
struct WholeText {
    text: Text,
    newlines: UniversalNewlines,
    replay: Replay,
    left_out: u64,
}

enum Text {
    File(Box<Stream>),
    /// All at once, until it is taken.
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
            replay: Replay::behind(delivered.start(), delivered.text()),
            closed_with: 1005,
            is_over: false,
            whole: None,
            left_out_at: None,
        };
        source.connect(delivered)?;
        Ok(source)
    }

    fn connect(&mut self, delivered: &Delivered) -> TailResult<()> {
        let log = &self.log;
        let request = Request::get(&log.operation, path(&["api", "jobs", &log.id, "logs", "tail"]));
        let socket = WebSocket::open(&log.http, &request, &*self.register);
        self.socket = Some(socket.map_err(TailError::classify)?);
        self.replay = Replay::behind(delivered.start(), delivered.text());
        Ok(())
    }

    fn read_socket(&mut self, mut socket: WebSocket) -> TailResult<ReadOutcome> {
        let outcome = match socket.read(SLICE).map_err(TailError::Broken)? {
            Event::Text(text) if text.is_empty() => ReadOutcome::Idle,
            Event::Text(text) => match self.replay.rest(text.as_bytes()) {
                [] => ReadOutcome::Continue,
                new => ReadOutcome::Message(new.to_vec()),
            },
            Event::Idle => ReadOutcome::Idle,
            Event::Closed(code) => {
                self.closed_with = code;
                return Ok(ReadOutcome::End(Certainty::Claimed));
            }
        };
        self.socket = Some(socket);
        Ok(outcome)
    }

    /// Whether the WebSocket carried the whole log: it closes with 1000, too, if it could not.
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
            whole.left_out += new.len() as u64;
            ReadOutcome::Continue
        } else {
            ReadOutcome::Data { bytes: new, is_all: false }
        };
        self.whole = Some(whole);
        Ok(outcome)
    }

    fn end(&mut self, whole: &WholeText, delivered: &Delivered) -> TailResult<ReadOutcome> {
        let operation = &self.log.operation;
        if whole.replay.missing() > 0 {
            let position = delivered.position();
            return Err(super::became_shorter(
                operation,
                delivered,
                position - whole.replay.missing().min(position),
            ));
        }
        if whole.left_out == 0 {
            return Ok(ReadOutcome::End(Certainty::Sure));
        }
        let at = Some(delivered.position());
        if std::mem::replace(&mut self.left_out_at, at) != at {
            // Once, it may have been something on the way; twice, it is Ray.
            self.connect(delivered)?;
            return Ok(ReadOutcome::Continue);
        }
        let others = if self.log.file.is_some() {
            "Protocol::Stream or Protocol::Auto"
        } else {
            "Protocol::Auto"
        };
        Err(TailError::Fatal(ClientError::unexpected(format_args!(
            "{operation}: Ray's WebSocket left out {} bytes, as it does with a line of more than 4 MB or bytes that are not UTF-8: use {others}",
            whole.left_out
        ))))
    }

    fn whole_text(&self, delivered: &Delivered) -> TailResult<WholeText> {
        Ok(WholeText {
            text: self.log.open()?,
            newlines: UniversalNewlines::default(),
            replay: Replay::behind(delivered.start(), delivered.text()),
            left_out: 0,
        })
    }
}

impl WebSocketLog {
    /// The whole log, by its file if the cluster serves it, otherwise by `GET /api/jobs/{id}/logs`.
    fn open(&self) -> TailResult<Text> {
        if let Some(file) = &self.file {
            match file.whole() {
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
            return Ok(ReadOutcome::End(Certainty::Claimed));
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
        self.is_over = true;
    }

    fn start_of_last_lines(&mut self, lines: usize) -> TailResult<u64> {
        let mut last = LastLines::new(lines);
        let mut newlines = UniversalNewlines::default();
        let mut text = self.log.open()?;
        while let Some(bytes) = self.log.next_piece(&mut text)? {
            last.push(&newlines.translate(&bytes));
        }
        self.replay = Replay::behind(last.position(), super::delivered::TextPosition::default());
        Ok(last.position())
    }
}

/// The answer of `GET /api/jobs/{id}/logs`.
#[derive(Deserialize)]
pub(crate) struct WholeLog {
    pub(crate) logs: String,
}

/// The whole log in one string, as old Rays send it as well.
pub(crate) fn whole_log_request(operation: &str, id: &str) -> Request {
    Request::get(operation, path(&["api", "jobs", id, "logs"])).idle_timeout_only()
}

/// Whether the server, or a gateway before it, does not have this route.
pub(crate) fn is_no_route(error: &ClientError) -> bool {
    matches!(error.status(), 400 | 403 | 404 | 405 | 426 | 501)
        && !matches!(error, ClientError::InvalidParameter { .. })
}
