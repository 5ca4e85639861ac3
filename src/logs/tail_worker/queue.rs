//! The worker's end of the channel to the iterator. Applies the limits; its waits end when the tail is
//! closed.

use std::convert::Infallible;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded, select};

use crate::ClientError;
use crate::logs::limits::{LimitCounter, StreamLimits};
use crate::logs::source::{TailError, TailResult};

/// A message from the worker to the iterator.
pub(in crate::logs) enum QueueItem {
    /// The next block begins at this offset of the log.
    Start {
        position: u64,
        /// Whether the byte before this offset is a `\r`.
        after_cr: bool,
    },
    /// The next bytes of the log.
    Block(Vec<u8>),
    /// The log is complete.
    End,
    /// The tail ends with this error.
    Failed(ClientError),
}

/// Maximum size of a block. Larger blocks would only use more memory.
const MAX_BLOCK: usize = 64 * 1024;

pub(in crate::logs) struct Queue {
    sender: Sender<QueueItem>,
    cancelled: Receiver<Infallible>,
    counter: LimitCounter,
    lines_per_block: usize,
    bytes_per_block: usize,
    /// Whether a `\r` was held back, because the bytes that follow may begin with its `\n`.
    has_cr: bool,
}

impl Queue {
    /// Returns both ends of a channel with room for `limits.queue` lines.
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
            has_cr: false,
        };
        (queue, receiver)
    }

    /// Returns the receiver that disconnects when the tail is closed.
    pub(super) fn cancelled(&self) -> &Receiver<Infallible> {
        &self.cancelled
    }

    /// Sends the position of the next block.
    pub(super) fn begin_at(&mut self, position: u64, after_cr: bool) -> TailResult<()> {
        self.counter.begin(after_cr);
        self.send(QueueItem::Start { position, after_cr })
    }

    /// Counts one WebSocket message.
    pub(super) fn count_message(&mut self) -> TailResult<()> {
        self.counter.message().map_err(TailError::Fatal)
    }

    /// Sends the next bytes of the log, up to the limits. Waits while the queue is full. If more bytes follow
    /// at once, a `\r` at the end is sent with them: so that a `\r\n` is not split without need.
    pub(in crate::logs) fn deliver(&mut self, bytes: &[u8], more_follow: bool) -> TailResult<()> {
        let joined;
        let bytes = if self.has_cr {
            joined = [b"\r", bytes].concat();
            &joined
        } else {
            bytes
        };
        self.has_cr = more_follow && bytes.ends_with(b"\r");
        let bytes = &bytes[..bytes.len() - usize::from(self.has_cr)];
        let (allowed, hit) = self.counter.admit(bytes);
        let mut left = &bytes[..allowed];
        while !left.is_empty() {
            let (block, rest) = left.split_at(self.block_length(left));
            self.send(QueueItem::Block(block.to_vec()))?;
            left = rest;
        }
        hit.map_or(Ok(()), |error| Err(TailError::Fatal(error)))
    }

    fn block_length(&self, all: &[u8]) -> usize {
        let bytes = &all[..all.len().min(self.bytes_per_block)];
        let mut endings = memchr::memchr2_iter(b'\n', b'\r', bytes);
        let length = endings.nth(self.lines_per_block - 1).map_or(bytes.len(), |at| at + 1);
        let is_split = bytes[length - 1] == b'\r' && all.get(length) == Some(&b'\n');
        length + usize::from(is_split)
    }

    /// Sends a `\r` that was held back.
    pub(super) fn flush(&mut self) -> TailResult<()> {
        if self.has_cr { self.deliver(b"", false) } else { Ok(()) }
    }

    /// Sends the result of the tail.
    pub(in crate::logs) fn finish(&mut self, result: TailResult<()>) {
        let last = match self.flush().and(result) {
            Ok(()) => QueueItem::End,
            Err(TailError::Agent(error) | TailError::Broken(error) | TailError::Fatal(error)) => {
                QueueItem::Failed(error)
            }
            Err(TailError::Cancelled) => return,
        };
        // Fails if the tail was closed meanwhile; then nobody receives the result.
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

    /// Waits for `duration`. Fails as soon as the tail is closed.
    pub(super) fn pause(&mut self, duration: Duration) -> TailResult<()> {
        self.flush()?;
        match self.cancelled.recv_timeout(duration) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(TailError::Cancelled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the blocks in which these pieces arrive; the `bool` tells whether more follow at once.
    fn blocks(pieces: &[(&[u8], bool)]) -> Vec<Vec<u8>> {
        let (_alive, cancelled) = bounded(0);
        let (mut queue, receiver) = Queue::new("tail", StreamLimits::unlimited(), cancelled);
        for (piece, more_follow) in pieces {
            queue.deliver(piece, *more_follow).unwrap();
        }
        queue.finish(Ok(()));
        let block = |item| if let QueueItem::Block(block) = item { Some(block) } else { None };
        receiver.try_iter().filter_map(block).collect()
    }

    #[test]
    fn a_line_ending_is_not_split_between_blocks() {
        for lines_before in 0..3 {
            let log = [&b"x\n".repeat(lines_before)[..], &b"line\r\n".repeat(200)].concat();
            let blocks = blocks(&[(&log, false)]);
            assert!(blocks.len() > 3 && blocks.concat() == log);
            assert!(blocks.iter().all(|block| block.ends_with(b"\n")), "{lines_before}");
        }
        assert_eq!(
            blocks(&[(b"a\r", true), (b"\nb\r", true), (b"c", false)]),
            [&b"a"[..], b"\r\nb", b"\rc"]
        );
    }

    #[test]
    fn a_carriage_return_is_not_held_back_if_nothing_follows() {
        assert_eq!(blocks(&[(b"50%\r", false), (b"51%\r", false)]), [&b"50%\r"[..], b"51%\r"]);
        assert_eq!(blocks(&[(b"50%\r", true)]), [&b"50%"[..], b"\r"]);
    }
}
