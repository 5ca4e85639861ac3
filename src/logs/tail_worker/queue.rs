//! The worker's end of the channel to the iterator: limits, blocks, and waits that end when the tail is
//! closed.

use std::convert::Infallible;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded, select};

use crate::ClientError;
use crate::logs::limits::{LimitCounter, StreamLimits};
use crate::logs::source::{TailError, TailResult};

/// What goes from the worker to the iterator.
pub(in crate::logs) enum QueueItem {
    /// The log is delivered from this offset on.
    Start {
        position: u64,
        /// Whether the byte before is a `\r`.
        after_cr: bool,
    },
    /// The next bytes of the log.
    Block(Vec<u8>),
    /// The log is complete.
    End,
    /// The tail ends here.
    Failed(ClientError),
}

/// A block is sent as soon as it is there; a larger one would only wait longer in memory.
const MAX_BLOCK: usize = 64 * 1024;

pub(in crate::logs) struct Queue {
    sender: Sender<QueueItem>,
    cancelled: Receiver<Infallible>,
    counter: LimitCounter,
    lines_per_block: usize,
    bytes_per_block: usize,
}

impl Queue {
    /// Both ends of a channel that holds at most as many lines as the limits say.
    pub(in crate::logs) fn new(
        operation: &str,
        limits: StreamLimits,
        cancelled: Receiver<Infallible>,
    ) -> (Self, Receiver<QueueItem>) {
        let lines_per_block = (limits.queue / 16).clamp(1, 64);
        let (sender, receiver) = bounded(limits.queue / lines_per_block);
        let queue = Self {
            sender,
            cancelled,
            lines_per_block,
            bytes_per_block: (lines_per_block * limits.max_message_size).min(MAX_BLOCK),
            counter: LimitCounter::new(operation, limits),
        };
        (queue, receiver)
    }

    /// What disconnects when the tail is closed.
    pub(super) fn cancelled(&self) -> &Receiver<Infallible> {
        &self.cancelled
    }

    /// Goes to where the tail is to begin.
    pub(super) fn begin_at(&self, position: u64, after_cr: bool) -> TailResult<()> {
        self.send(QueueItem::Start { position, after_cr })
    }

    /// Counts one WebSocket message.
    pub(super) fn count_message(&mut self) -> TailResult<()> {
        self.counter.message().map_err(TailError::Fatal)
    }

    /// Hands over the next bytes of the log, as far as the limits allow; waits while the queue is
    /// full.
    pub(in crate::logs) fn deliver(&mut self, bytes: &[u8]) -> TailResult<()> {
        let (allowed, hit) = self.counter.admit(bytes);
        let mut left = &bytes[..allowed];
        while !left.is_empty() {
            let (block, rest) = left.split_at(self.block_length(left));
            self.send(QueueItem::Block(block.to_vec()))?;
            left = rest;
        }
        hit.map_or(Ok(()), |error| Err(TailError::Fatal(error)))
    }

    fn block_length(&self, bytes: &[u8]) -> usize {
        let bytes = &bytes[..bytes.len().min(self.bytes_per_block)];
        let mut endings = memchr::memchr2_iter(b'\n', b'\r', bytes);
        endings.nth(self.lines_per_block - 1).map_or(bytes.len(), |at| at + 1)
    }

    /// Tells the iterator how the tail ended.
    pub(in crate::logs) fn finish(&self, result: TailResult<()>) {
        let last = match result {
            Ok(()) => QueueItem::End,
            Err(TailError::Fatal(error) | TailError::Broken(error)) => QueueItem::Failed(error),
            Err(TailError::Cancelled) => return,
        };
        // If the tail was closed meanwhile, nobody is to be told.
        let _ = self.send(last);
    }

    fn send(&self, message: QueueItem) -> TailResult<()> {
        let message = match self.sender.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(_)) => return Err(TailError::Cancelled),
            Err(TrySendError::Full(message)) => message,
        };
        select! {
            send(self.sender, message) -> sent => sent.map_err(|_| TailError::Cancelled),
            recv(self.cancelled) -> _ => Err(TailError::Cancelled),
        }
    }

    /// Waits, but not beyond the close of the tail.
    pub(super) fn pause(&self, duration: Duration) -> TailResult<()> {
        match self.cancelled.recv_timeout(duration) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(TailError::Cancelled),
        }
    }
}
