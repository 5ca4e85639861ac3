//! Splits blocks of bytes into lines at `\n`, `\r\n` and `\r`. Pure: no socket, no clock.

use memchr::memchr2;

use super::line::{LineEnding, LogLine};
use crate::redact::beginning;

/// Splits bytes into lines at `\n`, `\r\n` and `\r`, and long lines into pieces.
pub(super) struct LineSplitter {
    buffer: Vec<u8>,
    /// Index of the next line in the buffer.
    start: usize,
    /// The buffer has no line ending between `start` and this index.
    scanned: usize,
    max_piece: usize,
    /// Whether the last consumed byte is a `\r`. A following `\n` belongs to the same line ending.
    after_cr: bool,
    consumed: u64,
}

impl LineSplitter {
    pub(super) fn new(max_piece: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, scanned: 0, max_piece, after_cr: false, consumed: 0 }
    }

    /// Records that the byte before the first one is a `\r`.
    pub(super) fn begin_after_cr(&mut self) {
        self.after_cr = true;
    }

    pub(super) fn push(&mut self, block: Vec<u8>) {
        if self.start == self.buffer.len() {
            self.buffer = block;
        } else {
            self.buffer.drain(..self.start);
            self.buffer.extend_from_slice(&block);
        }
        self.scanned -= self.start;
        self.start = 0;
    }

    /// Returns how many bytes the lines so far had, including their endings.
    pub(super) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Returns the next line or piece, or `None` if more bytes are needed.
    pub(super) fn next(&mut self) -> Option<LogLine> {
        self.skip_rest_of_ending();
        // Wait for two more bytes before cutting a piece: they may be the line's ending.
        let long = self.max_piece + 2;
        let end = self.buffer.len().min(self.start + long);
        match memchr2(b'\n', b'\r', &self.buffer[self.scanned..end]) {
            Some(at) => Some(self.take_line(self.scanned + at)),
            None if end - self.start == long => Some(self.take_piece(end)),
            None => {
                self.scanned = end;
                None
            }
        }
    }

    /// Returns the last line of a complete log, if it has no line ending.
    pub(super) fn rest(&mut self) -> Option<LogLine> {
        let end = self.buffer.len();
        (self.start < end).then(|| self.take(end, end, LineEnding::None))
    }

    /// Returns the received part of an unfinished line, for a tail that ends with an error.
    ///
    /// Keeps an incomplete character at its end, so a tail that resumes there gets the whole character.
    pub(super) fn unfinished(&mut self) -> Option<LogLine> {
        let end = self.buffer.len() - incomplete_character(&self.buffer[self.start..]);
        (self.start < end).then(|| self.take_piece(end))
    }

    /// Skips the `\n` of a `\r\n` that was split between blocks: its line was yielded at the `\r`.
    fn skip_rest_of_ending(&mut self) {
        if self.after_cr && self.start < self.buffer.len() {
            self.after_cr = false;
            if self.buffer[self.start] == b'\n' {
                self.advance(self.start + 1);
            }
        }
    }

    /// Returns the bytes that are not consumed yet.
    pub(super) fn into_rest(mut self) -> Vec<u8> {
        self.buffer.split_off(self.start)
    }

    /// Consumes the line whose ending begins at index `end`.
    fn take_line(&mut self, end: usize) -> LogLine {
        let (ending, length) = match (self.buffer[end], self.buffer.get(end + 1)) {
            (b'\n', _) => (LineEnding::Lf, 1),
            (_, Some(b'\n')) => (LineEnding::CrLf, 2),
            _ => (LineEnding::Cr, 1),
        };
        self.take(end, end + length, ending)
    }

    /// Consumes the line up to `end`, or a piece if it is too long. The line's ending is `end..next`.
    fn take(&mut self, end: usize, next: usize, ending: LineEnding) -> LogLine {
        let line = &self.buffer[self.start..end];
        let text = match std::str::from_utf8(line) {
            Ok(text) if text.len() <= self.max_piece => text.to_owned(),
            _ => {
                let (text, taken) = lossy_prefix(line, self.max_piece);
                if taken < line.len() {
                    self.advance(self.start + taken);
                    return LogLine { text, ending: LineEnding::None, partial: true };
                }
                text
            }
        };
        self.after_cr = ending == LineEnding::Cr && next == self.buffer.len();
        self.advance(next);
        LogLine { text, ending, partial: false }
    }

    fn take_piece(&mut self, end: usize) -> LogLine {
        let (text, taken) = lossy_prefix(&self.buffer[self.start..end], self.max_piece);
        self.advance(self.start + taken);
        LogLine { text, ending: LineEnding::None, partial: true }
    }

    fn advance(&mut self, next: usize) {
        self.consumed += (next - self.start) as u64;
        self.start = next;
        self.scanned = next;
    }
}

/// Returns the longest prefix whose text fits into `max` bytes, and the number of bytes it was made from.
/// Bytes that are not UTF-8 become U+FFFD.
fn lossy_prefix(bytes: &[u8], max: usize) -> (String, usize) {
    let mut text = String::new();
    let mut taken = 0;
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        let fits = beginning(valid, max - text.len()).len();
        text.push_str(&valid[..fits]);
        taken += fits;
        let replacement = char::REPLACEMENT_CHARACTER;
        if fits < valid.len() {
            break;
        }
        if !chunk.invalid().is_empty() {
            if text.len() + replacement.len_utf8() > max {
                break;
            }
            text.push(replacement);
            taken += chunk.invalid().len();
        }
    }
    (text, taken)
}

/// Returns how many bytes at the end may be the beginning of a character.
fn incomplete_character(bytes: &[u8]) -> usize {
    let last = bytes.utf8_chunks().last();
    let invalid = last.map_or(&[][..], |chunk| chunk.invalid());
    let full_length = match invalid.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 0,
    };
    if invalid.len() < full_length { invalid.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::TestRng;

    /// Returns (text, partial) of all lines. Checks that `consumed` is the length of all blocks.
    fn split(max_piece: usize, blocks: &[&[u8]]) -> Vec<(String, bool)> {
        let mut lines = LineSplitter::new(max_piece);
        let mut all = Vec::new();
        let mut take = |line: LogLine| {
            assert!(line.len() <= max_piece, "{} > {max_piece}", line.len());
            all.push((line.text, line.partial));
        };
        for block in blocks {
            lines.push(block.to_vec());
            while let Some(line) = lines.next() {
                take(line);
            }
        }
        while let Some(line) = lines.rest() {
            take(line);
        }
        assert_eq!(lines.consumed(), blocks.iter().map(|block| block.len() as u64).sum::<u64>());
        all
    }

    fn joined(pieces: Vec<(String, bool)>) -> Vec<String> {
        let mut lines = Vec::new();
        let mut open = false;
        for (text, partial) in pieces {
            if open {
                let last: &mut String = lines.last_mut().unwrap();
                last.push_str(&text);
            } else {
                lines.push(text);
            }
            open = partial;
        }
        assert!(!open, "the last piece of a line is not partial");
        lines
    }

    #[test]
    fn lf_crlf_and_cr_end_a_line() {
        let lines = joined(split(100, &[b"a\r\nb\n\r\n\nc\rd\r\r\nlast"]));
        assert_eq!(lines, ["a", "b", "", "", "c", "d", "", "last"]);
    }

    #[test]
    fn line_endings_are_reported() {
        let mut lines = LineSplitter::new(100);
        lines.push(b"a\r\nb\nc\rd".to_vec());
        let mut endings = Vec::new();
        while let Some(line) = lines.next() {
            endings.push(line.ending());
        }
        endings.push(lines.rest().unwrap().ending());
        assert_eq!(endings, [LineEnding::CrLf, LineEnding::Lf, LineEnding::Cr, LineEnding::None]);
    }

    #[test]
    fn cr_ends_a_line_before_the_next_byte_arrives() {
        let mut lines = LineSplitter::new(100);
        lines.push(b"50%\r".to_vec());
        assert_eq!(lines.next().unwrap(), "50%");
        assert_eq!(lines.consumed(), 4);
        lines.push(b"\n".to_vec());
        assert!(lines.next().is_none());
        assert_eq!(lines.consumed(), 5);
        lines.push(b"\nx\n".to_vec());
        assert_eq!(lines.next().unwrap(), "");
        assert_eq!(lines.next().unwrap(), "x");
    }

    #[test]
    fn lines_do_not_depend_on_where_the_bytes_are_split() {
        let log = "one\r\ntwö\n\n€uro and \u{1F600} faces\r\rlast".as_bytes();
        let whole = joined(split(8, &[log]));
        assert_eq!(whole, ["one", "twö", "", "€uro and \u{1F600} faces", "", "last"]);
        for first in 0..log.len() {
            for second in first..log.len() {
                let cuts = [&log[..first], &log[first..second], &log[second..]];
                assert_eq!(joined(split(8, &cuts)), whole, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn resuming_at_any_position_yields_the_same_lines() {
        let log = "one\r\ntwö\n\n€uro \u{1F600}\r\rx\n\r\nlast".as_bytes();
        let whole = joined(split(100, &[log]));
        for cut in 0..=log.len() {
            let mut broken = LineSplitter::new(100);
            broken.push(log[..cut].to_vec());
            let mut before = Vec::new();
            while let Some(line) = broken.next().or_else(|| broken.unfinished()) {
                before.push((line.text, line.partial));
            }
            let position = usize::try_from(broken.consumed()).unwrap();
            let mut resumed = LineSplitter::new(100);
            if position > 0 && log[position - 1] == b'\r' {
                resumed.begin_after_cr();
            }
            resumed.push(log[position..].to_vec());
            while let Some(line) = resumed.next().or_else(|| resumed.rest()) {
                before.push((line.text, line.partial));
            }
            if before.last().is_some_and(|(_, partial)| *partial) {
                before.push((String::new(), false));
            }
            assert_eq!(joined(before), whole, "cut at {cut}, position {position}");
        }
    }

    #[test]
    fn lines_of_random_bytes_do_not_depend_on_the_blocks() {
        let alphabet = [
            &b"\n"[..],
            b"\r",
            b"\r\n",
            b"a",
            "\u{e4}".as_bytes(),
            "\u{1F600}".as_bytes(),
            b"\xff",
            b"\xe2\x82",
            b"some words",
        ];
        let corpus = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/logs"));
        let corpus: Vec<_> =
            corpus.unwrap().map(|e| std::fs::read(e.unwrap().path()).unwrap()).collect();
        for seed in 0..2000 {
            let mut rng = TestRng(seed);
            let log = if seed % 10 == 0 {
                let mut log = rng.pick(&corpus).clone();
                log.truncate(2000);
                rng.mutate(&log)
            } else {
                let length = rng.below(60);
                (0..length).flat_map(|_| rng.pick(&alphabet).to_vec()).collect()
            };
            let whole = joined(split(1000, &[&log]));
            let max_piece = 4 + rng.below(20);
            let mut blocks = Vec::new();
            let mut left = &log[..];
            while !left.is_empty() {
                let (block, rest) = left.split_at(1 + rng.below(left.len().min(12)));
                blocks.push(block);
                left = rest;
            }
            assert_eq!(joined(split(1000, &blocks)), whole, "seed {seed}");
            if std::str::from_utf8(&log).is_ok() {
                assert_eq!(joined(split(max_piece, &blocks)), whole, "seed {seed}");
            }
            assert_eq!(split(max_piece, &blocks), split(max_piece, &[&log]), "seed {seed}");
        }
    }

    #[test]
    fn long_lines_are_split_at_character_boundaries() {
        let log = "äääää\nx\n".as_bytes();
        let pieces = split(5, &[log]);
        let expected = [("ää", true), ("ää", true), ("ä", false), ("x", false)];
        assert_eq!(pieces, expected.map(|(text, partial)| (text.to_owned(), partial)));
    }

    #[test]
    fn line_of_exactly_the_piece_size_is_one_piece() {
        for ending in ["\n", "\r\n", "\r", ""] {
            let log = format!("12345678{ending}");
            for cut in 0..log.len() {
                let (head, tail) = log.as_bytes().split_at(cut);
                assert_eq!(split(8, &[head, tail]), [("12345678".to_owned(), false)]);
            }
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced_and_counted() {
        let lines = joined(split(100, &[b"a\xff\xfeb\n\xe2\x82\nend\xf0\x9f"]));
        assert_eq!(lines, ["a\u{fffd}\u{fffd}b", "\u{fffd}", "end\u{fffd}"]);
        assert_eq!(joined(split(4, &[&[0xff; 9]])), ["\u{fffd}".repeat(9)]);
    }

    #[test]
    fn unfinished_line_is_partial() {
        let mut lines = LineSplitter::new(100);
        lines.push("whole\ntorn€".as_bytes()[..12].to_vec());
        assert_eq!(lines.next().unwrap(), "whole");
        assert!(lines.next().is_none());
        let line = lines.unfinished().unwrap();
        assert!(line.is_partial() && line == "torn", "{line:?}");
        assert_eq!(lines.consumed(), 10);
        assert!(lines.unfinished().is_none());
    }
}
