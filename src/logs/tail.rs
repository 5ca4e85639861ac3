//! The caller's end of a tail: an iterator of lines, or a reader of bytes.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::iter::FusedIterator;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::line::LogLine;
use super::line_splitter::LineSplitter;
use super::tail_worker::{Cancel, ClosedBy, QueueItem};
use crate::ClientError;

/// A log as it is written: an iterator of its lines.
///
/// It waits for the next line. `None` comes only when the job is in a terminal state **and** every
/// byte of its log was delivered. Whatever else ends it is one `Err`, and `None` after that:
///
/// - 404: there is no such job
/// - 408: nothing came for the stream timeout, or the job was PENDING for the pending timeout
/// - 429: a limit of [`StreamLimits`](crate::StreamLimits) is reached
/// - 503: the connection broke off and could not be made again; the job is over, but the rest of its
///   log can no longer be read; the id is another job's now; the tail was closed by its
///   [handle](Self::handle); or the last clone of the client was dropped
/// - 500: the answer was not Ray's
/// - any other: the server's own, if it refused the last attempt
///
/// Dropping it closes its connection and frees its worker, whatever that is doing, without waiting.
#[must_use = "a tail is an iterator: it closes when dropped"]
pub struct LogTail {
    lines: LineSplitter,
    /// The offset at which the lines begin to be counted.
    start: u64,
    source: Incoming,
    end: Option<TailEnd>,
}

enum TailEnd {
    Complete,
    Broken(ClientError),
    Over,
}

/// What [`LogTail::next_within`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NextLine {
    /// The next line.
    Line(LogLine),
    /// None within that time. There may be one later.
    NotYet,
    /// The log is complete: there will be no other line.
    End,
}

/// Closes a [`LogTail`] from any thread, for example when the user presses Ctrl-C.
///
/// ```no_run
/// use ray_client::RayClient;
/// use std::thread;
/// use std::time::Duration;
///
/// let client = RayClient::new("http://127.0.0.1:8265")?;
/// let tail = client.follow_job_logs("raysubmit_1")?;
/// let handle = tail.handle();
/// thread::spawn(move || {
///     thread::sleep(Duration::from_secs(60));
///     handle.close();
/// });
/// for line in tail {
///     println!("{}", line?);
/// }
/// # Ok::<(), ray_client::ClientError>(())
/// ```
#[derive(Clone)]
pub struct TailHandle {
    cancel: Arc<Cancel>,
}

impl TailHandle {
    /// Ends the tail: its connection is closed and its worker is free within 100 ms, and its iterator
    /// yields one `Err` 503 and ends. Does nothing if the tail has ended.
    pub fn close(&self) {
        self.cancel.close(ClosedBy::Handle);
    }
}

impl fmt::Debug for TailHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TailHandle").finish_non_exhaustive()
    }
}

impl LogTail {
    pub(super) fn new(
        operation: String,
        max_piece: usize,
        start: u64,
        receiver: Receiver<QueueItem>,
        cancel: Arc<Cancel>,
    ) -> Self {
        let source = Incoming { operation, receiver, cancel };
        Self { lines: LineSplitter::new(max_piece), start, source, end: None }
    }

    /// The offset in the log, in bytes, right behind what was handed out so far:
    /// [`TailOptions::from_position`](crate::TailOptions::from_position) goes on there, with what an
    /// unbroken tail would have given. For a tail from the start of the log it is the number of bytes
    /// handed out.
    ///
    /// It counts the bytes of the file; over the WebSocket, where `\r` and `\r\n` arrive as `\n`, those
    /// of the text. So go on with the same protocol.
    pub fn position(&self) -> u64 {
        self.start + self.lines.consumed()
    }

    /// What closes this tail from any thread.
    pub fn handle(&self) -> TailHandle {
        TailHandle { cancel: Arc::clone(&self.source.cancel) }
    }

    /// Waits for the next line, at most this long, and can be called again.
    ///
    /// ```no_run
    /// use ray_client::{NextLine, RayClient};
    /// use std::time::Duration;
    ///
    /// let mut tail = RayClient::new("http://127.0.0.1:8265")?.follow_job_logs("raysubmit_1")?;
    /// loop {
    ///     match tail.next_within(Duration::from_secs(1))? {
    ///         NextLine::Line(line) => println!("{line}"),
    ///         NextLine::NotYet => println!("(still waiting)"),
    ///         _ => break,
    ///     }
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// What ends the tail, once; after that it returns [`NextLine::End`].
    pub fn next_within(&mut self, wait: Duration) -> Result<NextLine, ClientError> {
        // A time beyond what a clock can hold is no limit.
        self.next_until(Instant::now().checked_add(wait))
    }

    /// The same log as bytes, as they are in the file (over the WebSocket: with `\n` for `\r` and
    /// `\r\n`), with the same end and the same errors. It begins behind the last line that was handed
    /// out, and does not wait for the ends of lines.
    pub fn into_reader(self) -> LogReader {
        let position = self.position();
        let Self { lines, source, end, .. } = self;
        LogReader { block: lines.into_rest(), start: 0, position, source, end }
    }

    /// The next line, the end, or that there is no line at this time.
    fn next_until(&mut self, deadline: Option<Instant>) -> Result<NextLine, ClientError> {
        loop {
            if let Some(line) = self.lines.next() {
                return Ok(NextLine::Line(line));
            }
            if let Some(end) = &self.end {
                let rest = match end {
                    TailEnd::Complete => self.lines.rest(),
                    TailEnd::Broken(_) => self.lines.torn(),
                    TailEnd::Over => None,
                };
                if let Some(line) = rest {
                    return Ok(NextLine::Line(line));
                }
                let error = self.end.replace(TailEnd::Over).and_then(TailEnd::into_error);
                return error.map_or(Ok(NextLine::End), Err);
            }
            match self.source.next_until(deadline) {
                None => return Ok(NextLine::NotYet),
                Some(Ok(QueueItem::Start { position, after_cr })) => {
                    self.start = position;
                    if after_cr {
                        self.lines.begin_after_cr();
                    }
                }
                Some(Ok(QueueItem::Block(block))) => self.lines.push(block),
                Some(Ok(QueueItem::End)) => self.end = Some(TailEnd::Complete),
                Some(Ok(QueueItem::Failed(error)) | Err(error)) => {
                    self.end = Some(TailEnd::Broken(error));
                }
            }
        }
    }
}

impl Iterator for LogTail {
    type Item = Result<LogLine, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_until(None) {
            Ok(NextLine::Line(line)) => Some(Ok(line)),
            // Without a deadline there is always a line, or the end.
            Ok(NextLine::NotYet | NextLine::End) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl FusedIterator for LogTail {}

impl fmt::Debug for LogTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogTail")
            .field("log", &self.source.operation)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

impl TailEnd {
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
    source: Incoming,
    end: Option<TailEnd>,
}

impl LogReader {
    /// The same as [`LogTail::position`].
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The same as [`LogTail::handle`].
    pub fn handle(&self) -> TailHandle {
        TailHandle { cancel: Arc::clone(&self.source.cancel) }
    }
}

impl BufRead for LogReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.start == self.block.len() {
            if self.end.is_some() {
                let end = self.end.replace(TailEnd::Over);
                return match end.and_then(TailEnd::into_error) {
                    Some(error) => Err(error.into()),
                    None => Ok(&[]),
                };
            }
            match self.source.next_until(None) {
                Some(Ok(QueueItem::Start { position, .. })) => self.position = position,
                Some(Ok(QueueItem::Block(block))) => (self.block, self.start) = (block, 0),
                Some(Ok(QueueItem::End)) | None => self.end = Some(TailEnd::Complete),
                Some(Ok(QueueItem::Failed(error)) | Err(error)) => {
                    self.end = Some(TailEnd::Broken(error));
                }
            }
        }
        Ok(&self.block[self.start..])
    }

    fn consume(&mut self, amount: usize) {
        let amount = amount.min(self.block.len() - self.start);
        self.start += amount;
        self.position += amount as u64;
    }
}

impl Read for LogReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let block = self.fill_buf()?;
        let length = buf.len().min(block.len());
        buf[..length].copy_from_slice(&block[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogReader")
            .field("log", &self.source.operation)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// The receiving end of the queue. Closes the tail when dropped.
struct Incoming {
    operation: String,
    receiver: Receiver<QueueItem>,
    cancel: Arc<Cancel>,
}

impl Incoming {
    /// The next message; `None` if none came until then.
    fn next_until(&self, deadline: Option<Instant>) -> Option<Result<QueueItem, ClientError>> {
        // What a closed tail still holds is not handed out.
        let is_closed =
            matches!(self.cancel.closed_by(), Some(ClosedBy::Handle | ClosedBy::Client));
        if is_closed {
            return Some(Err(self.closed()));
        }
        let received = match deadline {
            Some(deadline) => self.receiver.recv_deadline(deadline),
            None => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(message) => Some(Ok(message)),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(self.closed())),
        }
    }

    /// The worker went away without a word.
    fn closed(&self) -> ClientError {
        let operation = &self.operation;
        match self.cancel.closed_by() {
            Some(ClosedBy::Client) => ClientError::tail_closed(format_args!(
                "{operation}: the last clone of the client was dropped"
            )),
            Some(ClosedBy::Handle) => {
                ClientError::tail_closed(format_args!("{operation}: closed by its handle"))
            }
            _ => ClientError::unexpected(format_args!("{operation}: its worker panicked")),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // First the flag and the sockets; the receiver, whose end frees a worker that waits to hand
        // something over, goes right after.
        self.cancel.close(ClosedBy::Drop);
    }
}

const _: fn() = || {
    fn crosses_threads<T: Send + 'static>() {}
    fn is_shared<T: Clone + Send + Sync + 'static>() {}
    crosses_threads::<LogTail>();
    crosses_threads::<LogReader>();
    is_shared::<TailHandle>();
};
