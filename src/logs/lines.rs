//! Bytes to lines, however the bytes were cut on the way.

use std::fmt;
use std::ops::Deref;

/// One line of a log, without its line ending (`\n` or `\r\n`). Bytes that are not UTF-8 became
/// U+FFFD.
///
/// ```no_run
/// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
/// for line in client.tail_job_logs("raysubmit_1")? {
///     let line = line?;
///     if line.starts_with("ERROR") || line == "done" {
///         println!("{line}");
///     }
/// }
/// # Ok::<(), ray_client::ClientError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogLine {
    text: String,
    partial: bool,
}

impl LogLine {
    /// Whether the next item goes on with the same line, as for a line longer than
    /// [`StreamLimits::max_message_size`](crate::StreamLimits::max_message_size). Also true of what
    /// came of a line before the `Err` that ends the iterator.
    pub fn is_partial(&self) -> bool {
        self.partial
    }
}

impl Deref for LogLine {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl AsRef<str> for LogLine {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl From<LogLine> for String {
    fn from(line: LogLine) -> Self {
        line.text
    }
}

impl PartialEq<str> for LogLine {
    fn eq(&self, other: &str) -> bool {
        self.text == other
    }
}

impl PartialEq<&str> for LogLine {
    fn eq(&self, other: &&str) -> bool {
        self.text == *other
    }
}

impl PartialEq<String> for LogLine {
    fn eq(&self, other: &String) -> bool {
        &self.text == other
    }
}

/// Splits bytes into lines, and long lines into pieces.
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Where the next line begins in the buffer.
    start: usize,
    /// Up to where the buffer is known to hold no newline.
    scanned: usize,
    max_piece: usize,
}

impl Lines {
    pub(super) fn new(max_piece: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, scanned: 0, max_piece }
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

    /// The next line or piece, and how many bytes of log it is.
    pub(super) fn next(&mut self) -> Option<(LogLine, usize)> {
        // A piece is cut only where two more bytes are there: they may be the line's ending.
        let long = self.max_piece + 2;
        let end = self.buffer.len().min(self.start + long);
        let found = self.buffer[self.scanned..end].iter().position(|byte| *byte == b'\n');
        if let Some(at) = found {
            let newline = self.scanned + at;
            return Some(self.take_line(newline, newline + 1));
        }
        self.scanned = end;
        (end - self.start == long).then(|| self.take_piece(end))
    }

    /// What is left when the log is over (`whole`), or has broken off.
    pub(super) fn rest(&mut self, whole: bool) -> Option<(LogLine, usize)> {
        let end = self.buffer.len();
        if self.start == end {
            return None;
        }
        if whole { Some(self.take_line(end, end)) } else { Some(self.take_piece(end)) }
    }

    /// The bytes that were not taken as lines.
    pub(super) fn into_rest(mut self) -> Vec<u8> {
        self.buffer.split_off(self.start)
    }

    fn take_line(&mut self, end: usize, next: usize) -> (LogLine, usize) {
        let line = &self.buffer[self.start..end];
        let line = if next > end { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
        match std::str::from_utf8(line) {
            Ok(text) if text.len() <= self.max_piece => {
                let line = LogLine { text: text.to_owned(), partial: false };
                (line, self.advance(next))
            }
            _ => {
                let content = self.start + line.len();
                let (text, taken) = lossy_prefix(line, self.max_piece);
                let whole = self.start + taken == content;
                let next = if whole { next } else { self.start + taken };
                (LogLine { text, partial: !whole }, self.advance(next))
            }
        }
    }

    fn take_piece(&mut self, end: usize) -> (LogLine, usize) {
        let (text, taken) = lossy_prefix(&self.buffer[self.start..end], self.max_piece);
        (LogLine { text, partial: true }, self.advance(self.start + taken))
    }

    fn advance(&mut self, next: usize) -> usize {
        let consumed = next - self.start;
        self.start = next;
        self.scanned = next;
        consumed
    }
}

/// As much text as fits into `max` bytes, U+FFFD for what is not UTF-8, and how many bytes it took.
fn lossy_prefix(bytes: &[u8], max: usize) -> (String, usize) {
    let mut text = String::new();
    let mut taken = 0;
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        let fits = valid.floor_char_boundary_at(max - text.len());
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

trait FloorCharBoundary {
    fn floor_char_boundary_at(&self, index: usize) -> usize;
}

impl FloorCharBoundary for str {
    fn floor_char_boundary_at(&self, index: usize) -> usize {
        if index >= self.len() {
            return self.len();
        }
        (0..=index).rev().find(|at| self.is_char_boundary(*at)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    /// All lines of these blocks, with what each is of: (text, partial); and checks that the counts
    /// add up to the log.
    fn split(max_piece: usize, blocks: &[&[u8]]) -> Vec<(String, bool)> {
        let mut lines = Lines::new(max_piece);
        let mut all = Vec::new();
        let mut counted = 0;
        let mut take = |(line, bytes): (LogLine, usize)| {
            assert!(line.len() <= max_piece, "{} > {max_piece}", line.len());
            counted += bytes;
            all.push((line.text, line.partial));
        };
        for block in blocks {
            lines.push(block.to_vec());
            while let Some(item) = lines.next() {
                take(item);
            }
        }
        while let Some(item) = lines.rest(true) {
            take(item);
        }
        assert_eq!(counted, blocks.iter().map(|block| block.len()).sum::<usize>());
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
    fn line_endings_are_taken_away_and_a_lone_cr_is_not_one() {
        let lines = joined(split(100, &[b"a\r\nb\n\r\n\nc\rd\r\r\nlast"]));
        assert_eq!(lines, ["a", "b", "", "", "c\rd\r", "last"]);
    }

    #[test]
    fn any_cut_gives_the_same_lines() {
        let log = "one\r\ntwö\n\n€uro and \u{1F600} faces\r\nlast".as_bytes();
        let whole = joined(split(8, &[log]));
        assert_eq!(whole, ["one", "twö", "", "€uro and \u{1F600} faces", "last"]);
        for first in 0..log.len() {
            for second in first..log.len() {
                let cuts = [&log[..first], &log[first..second], &log[second..]];
                assert_eq!(joined(split(8, &cuts)), whole, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn any_cuts_of_any_bytes_give_the_same_lines() {
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
            let mut chance = Chance(seed);
            let log = if seed % 10 == 0 {
                let mut log = chance.pick(&corpus).clone();
                log.truncate(2000);
                chance.mutate(&log)
            } else {
                let length = chance.below(60);
                (0..length).flat_map(|_| chance.pick(&alphabet).to_vec()).collect()
            };
            let whole = joined(split(1000, &[&log]));
            let max_piece = 4 + chance.below(20);
            let mut blocks = Vec::new();
            let mut left = &log[..];
            while !left.is_empty() {
                let (block, rest) = left.split_at(1 + chance.below(left.len().min(12)));
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
    fn long_lines_come_in_pieces_cut_at_character_borders() {
        let log = "äääää\nx\n".as_bytes();
        let pieces = split(5, &[log]);
        let expected = [("ää", true), ("ää", true), ("ä", false), ("x", false)];
        assert_eq!(pieces, expected.map(|(text, partial)| (text.to_owned(), partial)));
    }

    #[test]
    fn a_line_of_exactly_the_piece_size_is_one_piece() {
        for ending in ["\n", "\r\n", ""] {
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
    fn what_came_of_a_line_before_a_break_is_partial() {
        let mut lines = Lines::new(100);
        lines.push(b"whole\ntorn".to_vec());
        assert_eq!(lines.next().unwrap().0, "whole");
        assert!(lines.next().is_none());
        let (torn, bytes) = lines.rest(false).unwrap();
        assert!(torn.is_partial() && torn == "torn" && bytes == 4);
        assert!(lines.rest(false).is_none());
    }
}
