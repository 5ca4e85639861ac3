//! The caller's end of a tail: an iterator over lines, or a reader of bytes. Dropping it closes the tail
//! (`Incoming`).

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

/// A blocking iterator over the lines of a log, while it is written.
///
/// Each call of `next` waits for the next line. The iterator returns `None` only when the job has a
/// terminal status **and** its whole log was delivered. Otherwise it ends with one `Err`, followed by
/// `None`:
///
/// - 400: the job was started outside the job API and has no log,
///   [`from_position`](crate::TailOptions::from_position) is past the end of a complete log, or
///   [`Protocol::Stream`](crate::Protocol::Stream) needs Ray 2.45 or newer
/// - 401 or 403: the token is missing or invalid, or with
///   [`Protocol::Agent`](crate::Protocol::Agent) the agent requires one
/// - 404: there is no such job
/// - 408: no output for the stream timeout, the job was PENDING for the pending timeout, or the server did
///   not respond and no reconnect succeeded
/// - 429: a limit in [`StreamLimits`](crate::StreamLimits) was reached
/// - 500: the response is not Ray's, or Ray's WebSocket omitted part of the log
/// - 503: the connection broke and no reconnect succeeded; the job has finished, but its log is gone; the
///   id now belongs to another job; a [handle](Self::handle) closed the tail; or the last clone of the
///   client was dropped
/// - any other status is the one with which the server rejected the last attempt
///
/// Dropping a tail closes its connections and frees its worker within 100 ms, without waiting for it. Only
/// a DNS lookup, or a host that stops responding just before the client connects, can keep the worker
/// longer: until the connect timeout.
///
/// ```no_run
/// let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
/// let mut tail = client.follow_job_logs("raysubmit_1")?;
/// for line in &mut tail {
///     println!("{}", line?);
/// }
/// println!("the job has finished and its log has {} bytes", tail.position());
/// # Ok::<(), ray_client::ClientError>(())
/// ```
#[must_use = "a tail is an iterator: it closes when dropped"]
pub struct LogTail {
    lines: LineSplitter,
    /// The position at which `lines` began to count.
    start: u64,
    source: Incoming,
    end: Option<TailEnd>,
}

enum TailEnd {
    Complete,
    Broken(ClientError),
    /// The end or the error was reported to the caller.
    Reported,
}

/// The result of [`LogTail::next_within`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NextLine {
    /// The next line.
    Line(LogLine),
    /// No line arrived in time. Another call may return one.
    NotYet,
    /// The log is complete.
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
    /// Closes the tail's connections and frees its worker, within 100 ms. The iterator yields one `Err`
    /// with status 503 and ends, after the lines of a block that it has already taken from the queue: at most
    /// 64. Does nothing if the iterator has ended.
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

    /// Returns the offset in the log, in bytes, just past the last line that the tail yielded.
    ///
    /// A tail that resumes there with
    /// [`TailOptions::from_position`](crate::TailOptions::from_position) and the same protocol yields
    /// exactly what an unbroken tail would have yielded next. The exception is a log that contains `\r\n` and
    /// was read from the [WebSocket](crate::Protocol::WebSocket): its positions count the text that Ray
    /// sends, in which `\r\n` may be one byte or two.
    pub fn position(&self) -> u64 {
        self.start + self.lines.consumed()
    }

    /// Returns a handle that closes this tail from any thread.
    pub fn handle(&self) -> TailHandle {
        TailHandle { cancel: Arc::clone(&self.source.cancel) }
    }

    /// Waits up to `wait` for the next line. Can be called again.
    ///
    /// ```no_run
    /// use ray_client::{NextLine, RayClient};
    /// use std::time::Duration;
    ///
    /// let client = RayClient::new("http://127.0.0.1:8265")?;
    /// let mut tail = client.follow_job_logs("raysubmit_1")?;
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
    ///
    /// The error that ends the tail, once. Later calls return [`NextLine::End`].
    pub fn next_within(&mut self, wait: Duration) -> Result<NextLine, ClientError> {
        // If the clock cannot represent the deadline, there is none.
        self.next_until(Instant::now().checked_add(wait))
    }

    /// Converts this tail into a reader of the log's bytes, with the same end and the same errors.
    ///
    /// The reader continues after the last line that the tail yielded, and does not wait for complete
    /// lines. The bytes are those of the file. Only [`Protocol::WebSocket`](crate::Protocol::WebSocket)
    /// turns `\r` and `\r\n` into `\n`.
    ///
    /// ```no_run
    /// use ray_client::RayClient;
    /// use std::io;
    ///
    /// let client = RayClient::new("http://127.0.0.1:8265")?;
    /// let mut reader = client.follow_job_logs("raysubmit_1")?.into_reader();
    /// io::copy(&mut reader, &mut io::stdout())?;
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn into_reader(self) -> LogReader {
        let position = self.position();
        let Self { lines, source, end, .. } = self;
        LogReader { block: lines.into_rest(), start: 0, position, source, end }
    }

    /// Returns the next line or the end, or `NotYet` at the deadline.
    fn next_until(&mut self, deadline: Option<Instant>) -> Result<NextLine, ClientError> {
        loop {
            if let Some(line) = self.lines.next() {
                return Ok(NextLine::Line(line));
            }
            if let Some(end) = &self.end {
                let rest = match end {
                    TailEnd::Complete => self.lines.rest(),
                    TailEnd::Broken(_) => self.lines.unfinished(),
                    TailEnd::Reported => None,
                };
                if let Some(line) = rest {
                    return Ok(NextLine::Line(line));
                }
                let error = self.end.replace(TailEnd::Reported).and_then(TailEnd::into_error);
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
            // `NotYet` cannot occur without a deadline.
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
            Self::Complete | Self::Reported => None,
        }
    }
}

/// A blocking reader of a log's raw bytes, while it is written.
///
/// [`LogTail::into_reader`] creates one. An error is returned once, as an [`io::Error`] that contains the
/// [`ClientError`]. After the error or the end, `read` returns 0.
pub struct LogReader {
    block: Vec<u8>,
    start: usize,
    position: u64,
    source: Incoming,
    end: Option<TailEnd>,
}

impl LogReader {
    /// Returns the offset in the log, in bytes, just past the last byte that was read. See
    /// [`LogTail::position`].
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Returns a handle that closes this reader from any thread.
    pub fn handle(&self) -> TailHandle {
        TailHandle { cancel: Arc::clone(&self.source.cancel) }
    }
}

impl BufRead for LogReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.start == self.block.len() {
            if self.end.is_some() {
                let end = self.end.replace(TailEnd::Reported);
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
    /// Returns the next message, or `None` at the deadline.
    fn next_until(&self, deadline: Option<Instant>) -> Option<Result<QueueItem, ClientError>> {
        // A closed tail does not yield what is still in the queue.
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

    /// Returns the error for a worker that ended without sending a result.
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
        // Close the sockets before `receiver` is dropped. That drop frees a worker that waits on a full
        // queue.
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
