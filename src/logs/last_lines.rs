//! Where the last lines of a log begin. Pure.

use std::collections::VecDeque;

/// Finds where the last n lines of a log begin, of bytes that come from its start.
pub(super) struct LastLines {
    starts: VecDeque<u64>,
    most: usize,
    length: u64,
    last: Option<u8>,
}

impl LastLines {
    pub(super) fn new(lines: usize) -> Self {
        Self { starts: VecDeque::new(), most: lines, length: 0, last: None }
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
        if self.starts.len() == self.most {
            self.starts.pop_front();
        }
        self.starts.push_back(start);
    }

    /// The position at which the last lines begin; the end of the log if it has none.
    pub(super) fn position(&self) -> u64 {
        self.starts.front().copied().unwrap_or(self.length)
    }
}

/// Whether a line begins with this byte: the first of the log, and that behind a line ending.
fn begins_line(before: Option<u8>, byte: u8) -> bool {
    match before {
        None | Some(b'\n') => true,
        Some(b'\r') => byte != b'\n',
        Some(_) => false,
    }
}

/// The indices at which lines begin in these bytes, other than at their first byte, whose predecessor is
/// not known; `next` is what follows them, if anything does. That is a beginning, too, if the bytes end
/// with a line ending: it has the index behind the last.
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
    fn the_last_lines_are_found_however_the_bytes_are_cut() {
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
    fn beginnings_of_lines_are_found_in_any_cut() {
        let log = b"a\r\nb\rc\n\nd\r\n";
        for cut in 0..=log.len() {
            let (head, tail) = log.split_at(cut);
            let mut starts = starts_of_lines(head, tail.first().copied());
            starts.extend(starts_of_lines(tail, None).iter().map(|start| cut + start));
            assert_eq!(starts, [3, 5, 7, 8], "{cut}");
        }
    }
}
