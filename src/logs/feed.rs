//! The worker's end of the channel: limits, blocks, and waits that end when the tail is closed.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded, select};

use super::limits::{Meter, StreamLimits};
use crate::ClientError;

/// What goes from the worker to the iterator.
pub(super) enum Message {
    /// The log is delivered from this offset on.
    Start(u64),
    /// The next bytes of the log.
    Block(Vec<u8>),
    /// The log is complete.
    End,
    /// The tail ends here.
    Failed(ClientError),
}

/// Why a worker leaves what it was doing.
pub(super) enum Interrupt {
    /// The tail was closed; nobody listens.
    Cancelled,
    /// The connection broke off; another attempt may go on.
    Broken(ClientError),
    /// Nothing to try again.
    Fatal(ClientError),
}

impl Interrupt {
    /// What may pass by itself is a break; what is about the caller's parameters is not.
    pub(super) fn of(error: ClientError) -> Self {
        match error.status() {
            400 | 401 | 403 | 404 => Self::Fatal(error),
            _ => Self::Broken(error),
        }
    }

    /// The same, with another error where it is a break.
    pub(super) fn map_broken(self, map: impl FnOnce(ClientError) -> ClientError) -> Self {
        match self {
            Self::Broken(error) => Self::Broken(map(error)),
            other => other,
        }
    }
}

pub(super) type Step<T> = Result<T, Interrupt>;

/// A block is sent as soon as it is there; a larger one would only wait longer in memory.
const MAX_BLOCK: usize = 64 * 1024;

pub(super) struct Feed {
    sender: Sender<Message>,
    cancelled: Receiver<Infallible>,
    meter: Meter,
    lines_per_block: usize,
    bytes_per_block: usize,
    /// Offset in the log of the first byte to deliver, and of the next one.
    start: u64,
    position: u64,
    last_sign_of_life: Instant,
}

impl Feed {
    /// Both ends of a channel that holds at most as many lines as the limits say.
    pub(super) fn new(
        limits: StreamLimits,
        position: u64,
        cancelled: Receiver<Infallible>,
    ) -> (Self, Receiver<Message>) {
        let lines_per_block = (limits.queue / 16).clamp(1, 64);
        let (sender, receiver) = bounded(limits.queue / lines_per_block);
        let feed = Self {
            sender,
            cancelled,
            lines_per_block,
            bytes_per_block: (lines_per_block * limits.max_message_size).min(MAX_BLOCK),
            meter: Meter::new(limits),
            start: position,
            position,
            last_sign_of_life: Instant::now(),
        };
        (feed, receiver)
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn has_delivered(&self) -> bool {
        self.position > self.start
    }

    /// Goes to where the tail is to begin.
    pub(super) fn begin_at(&mut self, position: u64) -> Step<()> {
        (self.start, self.position) = (position, position);
        self.send(Message::Start(position))
    }

    /// Counts one WebSocket message.
    pub(super) fn message(&mut self) -> Step<()> {
        self.meter.message().map_err(Interrupt::Fatal)
    }

    /// Hands over the next bytes of the log, as far as the limits allow; waits while the queue is
    /// full.
    pub(super) fn deliver(&mut self, bytes: &[u8]) -> Step<()> {
        let (allowed, hit) = self.meter.admit(bytes);
        let mut left = &bytes[..allowed];
        while !left.is_empty() {
            let (block, rest) = left.split_at(self.block_length(left));
            self.send(Message::Block(block.to_vec()))?;
            self.position += block.len() as u64;
            left = rest;
        }
        self.sign_of_life();
        hit.map_or(Ok(()), |error| Err(Interrupt::Fatal(error)))
    }

    fn block_length(&self, bytes: &[u8]) -> usize {
        let bytes = &bytes[..bytes.len().min(self.bytes_per_block)];
        let newlines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        newlines.map(|(at, _)| at + 1).nth(self.lines_per_block - 1).unwrap_or(bytes.len())
    }

    /// Tells the iterator how the tail ended.
    pub(super) fn finish(&self, result: Step<()>) {
        let last = match result {
            Ok(()) => Message::End,
            Err(Interrupt::Fatal(error) | Interrupt::Broken(error)) => Message::Failed(error),
            Err(Interrupt::Cancelled) => return,
        };
        // Where the tail was closed meanwhile, nobody is to be told.
        let _ = self.send(last);
    }

    fn send(&self, message: Message) -> Step<()> {
        let message = match self.sender.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(_)) => return Err(Interrupt::Cancelled),
            Err(TrySendError::Full(message)) => message,
        };
        select! {
            send(self.sender, message) -> sent => sent.map_err(|_| Interrupt::Cancelled),
            recv(self.cancelled) -> _ => Err(Interrupt::Cancelled),
        }
    }

    /// Waits, but not beyond the close of the tail.
    pub(super) fn pause(&self, duration: Duration) -> Step<()> {
        match self.cancelled.recv_timeout(duration) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(Interrupt::Cancelled),
        }
    }

    pub(super) fn sign_of_life(&mut self) {
        self.last_sign_of_life = Instant::now();
    }

    /// How long the log has been silent.
    pub(super) fn silence(&self) -> Duration {
        self.last_sign_of_life.elapsed()
    }
}
