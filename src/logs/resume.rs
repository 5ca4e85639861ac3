//! Arithmetic of going on in the middle of a log that can only be had from its start.

use std::collections::VecDeque;

/// Leaves out what was delivered before.
pub(super) struct Skip {
    left: u64,
}

impl Skip {
    pub(super) fn to(position: u64) -> Self {
        Self { left: position }
    }

    /// What is new of these bytes, the next from the start of the log on.
    pub(super) fn rest<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let skipped = usize::try_from(self.left).map_or(bytes.len(), |n| n.min(bytes.len()));
        self.left -= skipped as u64;
        &bytes[skipped..]
    }

    /// How many bytes the log would have to go on before something is new.
    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

/// Finds where the last n lines of a log begin.
pub(super) struct LastLines {
    starts: VecDeque<u64>,
    most: usize,
    length: u64,
    at_line_start: bool,
}

impl LastLines {
    pub(super) fn new(lines: usize) -> Self {
        Self { starts: VecDeque::new(), most: lines, length: 0, at_line_start: true }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.at_line_start {
                if self.starts.len() == self.most {
                    self.starts.pop_front();
                }
                self.starts.push_back(self.length);
            }
            self.at_line_start = *byte == b'\n';
            self.length += 1;
        }
    }

    /// The position at which the last lines begin; the end of the log for none.
    pub(super) fn position(&self) -> u64 {
        self.starts.front().copied().unwrap_or(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    #[test]
    fn skipping_gives_the_rest_however_the_log_is_cut() {
        let log = b"0123456789";
        for position in 0..=log.len() {
            for cut in 0..=log.len() {
                let mut skip = Skip::to(position as u64);
                let (head, tail) = log.split_at(cut);
                let mut rest = skip.rest(head).to_vec();
                rest.extend_from_slice(skip.rest(tail));
                assert_eq!(rest, &log[position..]);
                assert_eq!(skip.left(), 0);
            }
        }
        let mut skip = Skip::to(12);
        assert_eq!((skip.rest(log), skip.left()), (&b""[..], 2));
    }

    #[test]
    fn a_log_that_breaks_anywhere_any_number_of_times_is_delivered_once() {
        for seed in 0..500 {
            let mut chance = Chance(seed);
            let length = chance.below(300);
            let log: Vec<u8> = (0..length).map(|_| b"0123456789"[chance.below(10)]).collect();
            let mut delivered = Vec::new();
            while delivered.len() < log.len() {
                // Each attempt begins at the start, and breaks off somewhere.
                let mut skip = Skip::to(delivered.len() as u64);
                let mut left = &log[..=chance.below(log.len())];
                while !left.is_empty() {
                    let (block, rest) = left.split_at(1 + chance.below(left.len()));
                    delivered.extend_from_slice(skip.rest(block));
                    left = rest;
                }
            }
            assert_eq!(delivered, log, "seed {seed}");
        }
    }

    #[test]
    fn the_last_lines_are_found() {
        let position = |lines, log: &[u8]| {
            let mut last = LastLines::new(lines);
            last.push(log);
            last.position()
        };
        assert_eq!(position(1, b"a\nbb\nccc\n"), 5);
        assert_eq!(position(2, b"a\nbb\nccc"), 2);
        assert_eq!(position(9, b"a\nbb\n"), 0);
        assert_eq!(position(1, b""), 0);
        assert_eq!(position(1, b"\n\n"), 1);
    }
}
