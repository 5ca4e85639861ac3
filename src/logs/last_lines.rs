//! Finds the start of the last lines of a log. Pure.

use std::collections::VecDeque;

/// Finds the start of the last `count` lines of a log that is pushed from its start.
pub(super) struct LastLines {
    starts: VecDeque<u64>,
    count: usize,
    length: u64,
    last: Option<u8>,
}

impl LastLines {
    pub(super) fn new(count: usize) -> Self {
        Self { starts: VecDeque::new(), count, length: 0, last: None }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let Some(first) = bytes.first() else { return };
        if begins_line(self.last, *first) {
            self.add(self.length);
        }
        for at in memchr::memchr2_iter(b'\n', b'\r', &bytes[..bytes.len() - 1]) {
            if begins_line(Some(bytes[at]), bytes[at + 1]) {
                self.add(self.length + at as u64 + 1);
            }
        }
        self.last = bytes.last().copied();
        self.length += bytes.len() as u64;
    }

    fn add(&mut self, start: u64) {
        if self.starts.len() == self.count {
            self.starts.pop_front();
        }
        self.starts.push_back(start);
    }

    /// Returns the position of the first of the last lines, or the end of the log if it has no lines.
    pub(super) fn position(&self) -> u64 {
        self.starts.front().copied().unwrap_or(self.length)
    }
}

/// Returns whether `byte` begins a line: it is the first byte of the log, or follows a line ending.
fn begins_line(before: Option<u8>, byte: u8) -> bool {
    match before {
        None | Some(b'\n') => true,
        Some(b'\r') => byte != b'\n',
        Some(_) => false,
    }
}

/// Returns the indices in `bytes` at which lines begin, except index 0, whose preceding byte is unknown.
///
/// `next` is the byte after `bytes`, or `None` at the end of the log. If `next` begins a line, the last
/// index is `bytes.len()`.
pub(super) fn starts_of_lines(bytes: &[u8], next: Option<u8>) -> Vec<usize> {
    let follower = |at: usize| bytes.get(at + 1).copied().or(next);
    memchr::memchr2_iter(b'\n', b'\r', bytes)
        .filter(|at| follower(*at).is_some_and(|byte| begins_line(Some(bytes[*at]), byte)))
        .map(|at| at + 1)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_lines_are_found_wherever_the_bytes_are_split() {
        for (lines, log, expected) in [
            (1, &b"a\nbb\nccc\n"[..], 5),
            (2, b"a\nbb\nccc", 2),
            (9, b"a\nbb\n", 0),
            (1, b"", 0),
            (1, b"\n\n", 1),
            (1, b"10%\r20%\r30%", 8),
            (2, b"a\r\nb\r\nc\r\n", 3),
            (2, b"a\r\r\nb", 2),
        ] {
            for cut in 0..=log.len() {
                let mut last = LastLines::new(lines);
                last.push(&log[..cut]);
                last.push(&log[cut..]);
                assert_eq!(last.position(), expected, "{lines} of {log:?}");
            }
        }
    }

    #[test]
    fn line_starts_are_found_wherever_the_bytes_are_split() {
        let log = b"a\r\nb\rc\n\nd\r\n";
        for cut in 0..=log.len() {
            let (head, tail) = log.split_at(cut);
            let mut starts = starts_of_lines(head, tail.first().copied());
            starts.extend(starts_of_lines(tail, None).iter().map(|start| cut + start));
            assert_eq!(starts, [3, 5, 7, 8], "{cut}");
        }
    }
}
