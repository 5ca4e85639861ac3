use std::fmt;
use std::io::{self, Read};
use std::iter::FusedIterator;
use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::feed::Message;
use super::lines::{Lines, LogLine};
use super::pool::{ClosedBy, Control};
use crate::ClientError;

/// A log as it is written: an iterator of its lines.
///
/// It waits for the next line. `None` comes only where the job is in a terminal state **and** every
/// byte of its log was delivered. Whatever else ends it is one `Err`, and `None` after that:
///
/// - 404: there is no such job
/// - 408: nothing came for the stream timeout
/// - 429: a limit of [`StreamLimits`](crate::StreamLimits) is reached
/// - 503: the connection broke off and could not be made again; the job is over, but the rest of its
///   log can no longer be had; or the last clone of the client was dropped
/// - 500: Ray's answer was not one
/// - any other: the server's own, where it refused the last attempt
///
/// Dropping it closes its connection and frees its worker, whatever that is doing, without waiting.
#[must_use = "a tail is an iterator: it closes when dropped"]
pub struct LogTail {
    lines: Lines,
    position: u64,
    source: Source,
    ending: Option<Ending>,
}

enum Ending {
    Complete,
    Broken(ClientError),
    Over,
}

impl LogTail {
    pub(super) fn new(
        what: String,
        max_piece: usize,
        receiver: Receiver<Message>,
        control: Arc<Control>,
    ) -> Self {
        Self {
            lines: Lines::new(max_piece),
            position: 0,
            source: Source { what, receiver, control },
            ending: None,
        }
    }

    pub(super) fn starting_at(mut self, position: u64) -> Self {
        self.position = position;
        self
    }

    /// The offset in the log, in bytes, right behind what was handed out so far: where
    /// [`TailOptions::from_position`](crate::TailOptions::from_position) goes on. For a tail from the
    /// start of the log it is the number of bytes handed out.
    ///
    /// It counts the bytes of the file, but over the WebSocket, where `\r` and `\r\n` arrive as `\n`,
    /// those of the text: go on with the same protocol.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The same log as bytes, as they are in the file (over the WebSocket: with `\n` for `\r` and
    /// `\r\n`), with the same end and the same errors. It begins where the iterator is now, and does
    /// not wait for the ends of lines.
    pub fn into_reader(self) -> LogReader {
        let Self { lines, position, source, ending } = self;
        LogReader { block: lines.into_rest(), start: 0, position, source, ending }
    }

    fn take(&mut self, found: Option<(LogLine, usize)>) -> Option<LogLine> {
        let (line, bytes) = found?;
        self.position += bytes as u64;
        Some(line)
    }
}

impl Iterator for LogTail {
    type Item = Result<LogLine, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let found = self.lines.next();
            if let Some(line) = self.take(found) {
                return Some(Ok(line));
            }
            if let Some(ending) = &self.ending {
                let rest = self.lines.rest(matches!(ending, Ending::Complete));
                if let Some(line) = self.take(rest) {
                    return Some(Ok(line));
                }
                return self.ending.replace(Ending::Over)?.into_error().map(Err);
            }
            match self.source.next(&mut self.position) {
                Ok(block) => self.lines.push(block),
                Err(ending) => self.ending = Some(ending),
            }
        }
    }
}

impl FusedIterator for LogTail {}

impl fmt::Debug for LogTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogTail")
            .field("log", &self.source.what)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Ending {
    fn into_error(self) -> Option<ClientError> {
        match self {
            Self::Broken(error) => Some(error),
            Self::Complete | Self::Over => None,
        }
    }
}

/// A log as raw bytes; see [`LogTail::into_reader`]. An error is an [`io::Error`] around the
/// [`ClientError`], once; after it, as after the end, `read` returns 0.
pub struct LogReader {
    block: Vec<u8>,
    start: usize,
    position: u64,
    source: Source,
    ending: Option<Ending>,
}

impl LogReader {
    /// As [`LogTail::position`].
    pub fn position(&self) -> u64 {
        self.position
    }
}

impl Read for LogReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        while self.start == self.block.len() {
            if self.ending.is_some() {
                let ending = self.ending.replace(Ending::Over);
                let error = ending.and_then(Ending::into_error);
                return error.map_or(Ok(0), |error| Err(io::Error::other(error)));
            }
            match self.source.next(&mut self.position) {
                Ok(block) => (self.block, self.start) = (block, 0),
                Err(ending) => self.ending = Some(ending),
            }
        }
        let length = buf.len().min(self.block.len() - self.start);
        buf[..length].copy_from_slice(&self.block[self.start..self.start + length]);
        self.start += length;
        self.position += length as u64;
        Ok(length)
    }
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader")
            .field("log", &self.source.what)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// The receiving end. Closes the tail when dropped.
struct Source {
    what: String,
    receiver: Receiver<Message>,
    control: Arc<Control>,
}

impl Source {
    fn next(&self, position: &mut u64) -> Result<Vec<u8>, Ending> {
        match self.receiver.recv() {
            Ok(Message::Start(start)) => {
                *position = start;
                Ok(Vec::new())
            }
            Ok(Message::Block(block)) => Ok(block),
            Ok(Message::End) => Err(Ending::Complete),
            Ok(Message::Failed(error)) => Err(Ending::Broken(error)),
            Err(_) => Err(Ending::Broken(self.abandoned())),
        }
    }

    /// The worker went away without a word.
    fn abandoned(&self) -> ClientError {
        match self.control.closed_by() {
            Some(ClosedBy::Client) => ClientError::client_dropped(format_args!(
                "{}: the last clone of the client was dropped",
                self.what
            )),
            _ => ClientError::unexpected(format_args!("{}: its worker panicked", self.what)),
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // First the flag and the sockets; the receiver, whose end frees a worker that waits to hand
        // something over, goes right after.
        self.control.close(ClosedBy::Tail);
    }
}

const _: fn() = || {
    fn crosses_threads<T: Send + 'static>() {}
    crosses_threads::<LogTail>();
    crosses_threads::<LogReader>();
};
