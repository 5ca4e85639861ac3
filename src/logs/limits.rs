//! The limits of a tail.

use memchr::memchr2_iter;

use crate::{ClientError, StreamLimit};

const MEGABYTE: u64 = 1024 * 1024;

/// Limits how much a tail delivers, and how much of it waits in memory.
///
/// A tail delivers exactly up to the limit. If the log has more, it yields an `Err` with status 429 that
/// names the limit, also as [`ClientError::limit`].
///
/// ```no_run
/// use ray_client::{RayClient, StreamLimits, TailOptions};
///
/// let client = RayClient::new("http://127.0.0.1:8265")?;
/// let limits = StreamLimits::default().max_lines(1000).max_bytes(1024 * 1024);
/// for line in client.tail_job_logs_with("raysubmit_1", TailOptions::default().limits(limits))? {
///     println!("{}", line?);
/// }
/// # Ok::<(), ray_client::ClientError>(())
/// ```
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
    /// Returns the default limits: 10,000 messages, 50,000 lines, 50 MiB, 10,240 bytes per
    /// [`LogLine`](crate::LogLine), and a queue of 1,000 lines.
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
    /// Returns limits without a maximum number of messages, lines and bytes. The queue still limits
    /// memory.
    pub fn unlimited() -> Self {
        Self { messages: None, lines: None, bytes: None, ..Self::default() }
    }

    /// Sets the maximum number of WebSocket messages, at least 1. Applies to no other protocol. Defaults
    /// to 10,000.
    pub fn max_messages(mut self, messages: u64) -> Self {
        self.messages = Some(messages);
        self
    }

    /// Sets the maximum number of lines, at least 1. Defaults to 50,000.
    pub fn max_lines(mut self, lines: u64) -> Self {
        self.lines = Some(lines);
        self
    }

    /// Sets the maximum number of bytes, at least 1. Defaults to 50 MiB.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Sets the maximum size of one [`LogLine`](crate::LogLine) in bytes. Longer lines arrive in pieces.
    /// At least 4, which is enough for any character, and at most 64 MiB. Defaults to 10,240.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// Sets how many lines can wait between the worker and the iterator, from 1 to 1,000,000. When the
    /// queue is full, the worker waits and TCP slows down the server. Defaults to 1,000.
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

/// Counts what a tail has delivered, and applies its limits.
pub(super) struct LimitCounter {
    limits: StreamLimits,
    /// For error messages.
    operation: String,
    messages: u64,
    lines: u64,
    bytes: u64,
    /// Whether the last counted byte is a `\r`. A following `\n` belongs to the same line ending.
    after_cr: bool,
}

impl LimitCounter {
    pub(super) fn new(operation: &str, limits: StreamLimits) -> Self {
        Self {
            limits,
            operation: operation.to_owned(),
            messages: 0,
            lines: 0,
            bytes: 0,
            after_cr: false,
        }
    }

    /// Begins at another position. `after_cr` tells whether the byte before it is a `\r`.
    pub(super) fn begin(&mut self, after_cr: bool) {
        self.after_cr = after_cr;
    }

    /// Counts one message. Fails if the limit is reached.
    pub(super) fn message(&mut self) -> Result<(), ClientError> {
        match self.limits.messages {
            Some(limit) if self.messages >= limit => {
                Err(self.exceeded(StreamLimit::Messages(limit)))
            }
            _ => {
                self.messages += 1;
                Ok(())
            }
        }
    }

    /// Counts as many of these bytes as the limits allow. Returns their number, and the error if the
    /// limits do not allow all.
    pub(super) fn admit(&mut self, bytes: &[u8]) -> (usize, Option<ClientError>) {
        let by_bytes = self.limits.bytes.map_or(u64::MAX, |limit| limit - self.bytes);
        let mut allowed = usize::try_from(by_bytes).map_or(bytes.len(), |n| n.min(bytes.len()));
        let mut hit = self
            .limits
            .bytes
            .filter(|_| allowed < bytes.len())
            .map(|n| self.exceeded(StreamLimit::Bytes(n)));
        if let Some(limit) = self.limits.lines {
            let (end, found) = self.up_to_line(&bytes[..allowed], limit - self.lines);
            if end < allowed || (end < bytes.len() && self.lines + found == limit) {
                hit = Some(self.exceeded(StreamLimit::Lines(limit)));
            }
            allowed = end;
            self.lines += found;
        }
        self.bytes += allowed as u64;
        self.after_cr = bytes[..allowed].last().map_or(self.after_cr, |last| *last == b'\r');
        (allowed, hit)
    }

    /// Returns the length of the first `max_lines` lines with their endings, or of all bytes if there are
    /// fewer, and the number of line endings in it.
    fn up_to_line(&self, bytes: &[u8], max_lines: u64) -> (usize, u64) {
        let mut after_cr = self.after_cr;
        let mut found = 0;
        let mut end = 0;
        // A `\n` after a `\r` is part of the same ending.
        let is_rest = |at: usize, after_cr: bool| {
            bytes[at] == b'\n' && if at == 0 { after_cr } else { bytes[at - 1] == b'\r' }
        };
        for at in memchr2_iter(b'\n', b'\r', bytes) {
            if is_rest(at, after_cr) {
                end = at + 1;
                continue;
            }
            if found == max_lines {
                return (end, found);
            }
            found += 1;
            end = at + 1;
            after_cr = false;
        }
        (if found == max_lines { end } else { bytes.len() }, found)
    }

    fn exceeded(&self, limit: StreamLimit) -> ClientError {
        ClientError::limit_exceeded(format_args!(
            "{}: the log has more than the limit of {limit}: raise it, or use StreamLimits::unlimited()",
            self.operation
        ))
        .with_limit(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit_all(limits: StreamLimits, chunks: &[&[u8]]) -> (Vec<u8>, Option<String>) {
        let mut counter = LimitCounter::new("tail job `a`", limits);
        let mut delivered = Vec::new();
        for chunk in chunks {
            let (allowed, hit) = counter.admit(chunk);
            delivered.extend_from_slice(&chunk[..allowed]);
            if let Some(hit) = hit {
                assert_eq!(hit.status(), 429);
                return (delivered, Some(hit.to_string()));
            }
        }
        (delivered, None)
    }

    #[test]
    fn exactly_the_allowed_lines_are_delivered() {
        let log = b"a\nbb\n\nccc\nd";
        for cut in 0..log.len() {
            let (head, tail) = log.split_at(cut);
            let (delivered, hit) = admit_all(StreamLimits::default().max_lines(3), &[head, tail]);
            assert_eq!(delivered, b"a\nbb\n\n");
            assert!(hit.unwrap().contains("3 lines"));
        }
    }

    #[test]
    fn exactly_the_allowed_bytes_are_delivered() {
        let log = b"a\nbb\n\nccc\nd";
        for cut in 0..log.len() {
            let (head, tail) = log.split_at(cut);
            let (delivered, hit) = admit_all(StreamLimits::default().max_bytes(4), &[head, tail]);
            assert_eq!(delivered, b"a\nbb");
            assert!(hit.unwrap().contains("4 bytes"));
        }
    }

    #[test]
    fn log_of_exactly_the_allowed_size_is_no_error() {
        let limits = StreamLimits::default().max_lines(2).max_bytes(4);
        assert_eq!(admit_all(limits, &[b"a\nb\n"]), (b"a\nb\n".to_vec(), None));
    }

    #[test]
    fn error_names_the_first_limit_reached() {
        let limits = StreamLimits::default().max_lines(1).max_bytes(3);
        assert!(admit_all(limits, &[b"abcdef\n"]).1.unwrap().contains("3 bytes"));
        let limits = StreamLimits::default().max_lines(1).max_bytes(3);
        assert!(admit_all(limits, &[b"a\nbcdef"]).1.unwrap().contains("1 lines"));
    }

    #[test]
    fn unlimited_has_no_limits() {
        let log = vec![b'\n'; 100_000];
        assert_eq!(admit_all(StreamLimits::unlimited(), &[&log]).1, None);
    }

    #[test]
    fn messages_are_counted() {
        let mut counter =
            LimitCounter::new("tail job `a`", StreamLimits::default().max_messages(2));
        assert!(counter.message().is_ok() && counter.message().is_ok());
        assert_eq!(counter.message().unwrap_err().status(), 429);
    }

    #[test]
    fn limits_out_of_range_are_rejected() {
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
