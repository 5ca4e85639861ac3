//! How much of a log a tail delivers at most.

use crate::{ClientError, StreamLimit};

const MEGABYTE: u64 = 1024 * 1024;

/// How much a tail delivers at most, and how much waits in memory.
///
/// Exactly the allowed amount is delivered; where the log has more, an `Err` with status 429 follows
/// that names the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct StreamLimits {
    messages: Option<u64>,
    lines: Option<u64>,
    bytes: Option<u64>,
    pub(crate) max_message_size: usize,
    pub(crate) queue: usize,
}

impl Default for StreamLimits {
    /// 10,000 messages, 50,000 lines, 50 × 1024 × 1024 bytes, pieces of 10,240 bytes, a queue of
    /// 1,000 lines.
    fn default() -> Self {
        Self {
            messages: Some(10_000),
            lines: Some(50_000),
            bytes: Some(50 * MEGABYTE),
            max_message_size: 10 * 1024,
            queue: 1000,
        }
    }
}

impl StreamLimits {
    /// No limit of messages, lines and bytes. Memory stays bounded by the queue.
    pub fn unlimited() -> Self {
        Self { messages: None, lines: None, bytes: None, ..Self::default() }
    }

    /// The most WebSocket messages, at least 1; over HTTP there are none. Defaults to 10,000.
    pub fn max_messages(mut self, messages: u64) -> Self {
        self.messages = Some(messages);
        self
    }

    /// The most lines, at least 1. Defaults to 50,000.
    pub fn max_lines(mut self, lines: u64) -> Self {
        self.lines = Some(lines);
        self
    }

    /// The most bytes of log, at least 1. Defaults to 50 × 1024 × 1024.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// The most bytes of one [`LogLine`](crate::LogLine): a longer line comes in pieces. At least 4,
    /// to hold any character, and at most 64 × 1024 × 1024. Defaults to 10,240.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// The most lines that wait between the worker and the iterator, from 1 to 1,000,000. When they
    /// are there, the worker waits too, and TCP slows the server. Defaults to 1,000.
    pub fn queue(mut self, lines: usize) -> Self {
        self.queue = lines;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ClientError> {
        let refuse = |why: &str| Err(ClientError::invalid(format_args!("stream limits: {why}")));
        let counts = [self.messages, self.lines, self.bytes];
        if counts.contains(&Some(0)) {
            refuse("messages, lines and bytes must be at least 1")
        } else if !(4..=64 * 1024 * 1024).contains(&self.max_message_size) {
            refuse("max_message_size must be 4 to 67108864 bytes")
        } else if !(1..=1_000_000).contains(&self.queue) {
            refuse("queue must be 1 to 1000000 lines")
        } else {
            Ok(())
        }
    }
}

/// Counts what a tail delivers against its limits.
pub(super) struct Meter {
    limits: StreamLimits,
    messages: u64,
    lines: u64,
    bytes: u64,
}

impl Meter {
    pub(super) fn new(limits: StreamLimits) -> Self {
        Self { limits, messages: 0, lines: 0, bytes: 0 }
    }

    /// Counts one more message, where one more is allowed.
    pub(super) fn message(&mut self) -> Result<(), ClientError> {
        match self.limits.messages {
            Some(limit) if self.messages >= limit => Err(exceeded(StreamLimit::Messages(limit))),
            _ => {
                self.messages += 1;
                Ok(())
            }
        }
    }

    /// How many of these bytes are allowed, counted as delivered; and the limit that the next one is
    /// beyond.
    pub(super) fn admit(&mut self, bytes: &[u8]) -> (usize, Option<ClientError>) {
        let by_bytes = self.limits.bytes.map_or(u64::MAX, |limit| limit - self.bytes);
        let mut allowed = usize::try_from(by_bytes).map_or(bytes.len(), |n| n.min(bytes.len()));
        let mut hit = self
            .limits
            .bytes
            .filter(|_| allowed < bytes.len())
            .map(|n| exceeded(StreamLimit::Bytes(n)));

        let found = count_newlines(&bytes[..allowed]);
        if let Some(limit) = self.limits.lines.filter(|limit| self.lines + found >= *limit) {
            let end = nth_newline(&bytes[..allowed], limit - self.lines);
            if end < bytes.len() {
                allowed = end;
                hit = Some(exceeded(StreamLimit::Lines(limit)));
            }
        }
        self.lines += if hit.is_some() { count_newlines(&bytes[..allowed]) } else { found };
        self.bytes += allowed as u64;
        (allowed, hit)
    }
}

fn exceeded(limit: StreamLimit) -> ClientError {
    ClientError::limit_exceeded(format_args!(
        "tail: the limit of {limit} is reached, and the log goes on"
    ))
    .with_limit(limit)
}

#[allow(
    clippy::naive_bytecount,
    reason = "compiles to vector instructions, and is far from the bottleneck"
)]
pub(super) fn count_newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The length of the bytes up to and with the n-th newline.
fn nth_newline(bytes: &[u8], n: u64) -> usize {
    if n == 0 {
        return 0;
    }
    let mut seen = 0;
    for (at, byte) in bytes.iter().enumerate() {
        seen += u64::from(*byte == b'\n');
        if seen == n {
            return at + 1;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit_all(limits: StreamLimits, chunks: &[&[u8]]) -> (Vec<u8>, Option<String>) {
        let mut meter = Meter::new(limits);
        let mut delivered = Vec::new();
        for chunk in chunks {
            let (allowed, hit) = meter.admit(chunk);
            delivered.extend_from_slice(&chunk[..allowed]);
            if let Some(hit) = hit {
                assert_eq!(hit.status(), 429);
                return (delivered, Some(hit.to_string()));
            }
        }
        (delivered, None)
    }

    #[test]
    fn exactly_the_allowed_lines_are_delivered_however_the_bytes_are_cut() {
        let log = b"a\nbb\n\nccc\nd";
        for cut in 0..log.len() {
            let (head, tail) = log.split_at(cut);
            let (delivered, hit) = admit_all(StreamLimits::default().max_lines(3), &[head, tail]);
            assert_eq!(delivered, b"a\nbb\n\n");
            assert!(hit.unwrap().contains("3 lines"));
        }
    }

    #[test]
    fn exactly_the_allowed_bytes_are_delivered_however_they_are_cut() {
        let log = b"a\nbb\n\nccc\nd";
        for cut in 0..log.len() {
            let (head, tail) = log.split_at(cut);
            let (delivered, hit) = admit_all(StreamLimits::default().max_bytes(4), &[head, tail]);
            assert_eq!(delivered, b"a\nbb");
            assert!(hit.unwrap().contains("4 bytes"));
        }
    }

    #[test]
    fn a_log_of_exactly_the_allowed_size_meets_no_limit() {
        let limits = StreamLimits::default().max_lines(2).max_bytes(4);
        assert_eq!(admit_all(limits, &[b"a\nb\n"]), (b"a\nb\n".to_vec(), None));
    }

    #[test]
    fn the_nearer_of_two_limits_is_named() {
        let limits = StreamLimits::default().max_lines(1).max_bytes(3);
        assert!(admit_all(limits, &[b"abcdef\n"]).1.unwrap().contains("3 bytes"));
        let limits = StreamLimits::default().max_lines(1).max_bytes(3);
        assert!(admit_all(limits, &[b"a\nbcdef"]).1.unwrap().contains("1 lines"));
    }

    #[test]
    fn unlimited_lets_everything_pass() {
        let log = vec![b'\n'; 100_000];
        assert_eq!(admit_all(StreamLimits::unlimited(), &[&log]).1, None);
    }

    #[test]
    fn messages_are_counted() {
        let mut meter = Meter::new(StreamLimits::default().max_messages(2));
        assert!(meter.message().is_ok() && meter.message().is_ok());
        assert_eq!(meter.message().unwrap_err().status(), 429);
    }

    #[test]
    fn limits_out_of_range_are_refused() {
        let limits = StreamLimits::default;
        for bad in [
            limits().max_lines(0),
            limits().max_bytes(0),
            limits().max_messages(0),
            limits().max_message_size(3),
            limits().queue(0),
            limits().queue(1_000_001),
        ] {
            assert_eq!(bad.check().unwrap_err().status(), 400);
        }
        assert!(StreamLimits::unlimited().check().is_ok());
    }
}
