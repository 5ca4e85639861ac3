//! Skips what was delivered before in a text that is always sent from the start. Pure.

use super::delivered::TextPosition;

/// Skips the part of the text up to a [`TextPosition`].
///
/// It counts line endings only after the last other byte, because each connection may send a different
/// number of line endings before it.
pub(crate) struct Replay {
    bytes: u64,
    others: u64,
    newlines: u64,
}

impl Replay {
    /// Skips `start` bytes of the text, and then everything up to `position`, counted from there.
    pub(crate) fn after(start: u64, position: TextPosition) -> Self {
        Self { bytes: start, others: position.others, newlines: position.newlines }
    }

    /// Returns the new part of the next piece of the text, in which every line ending is `\n`.
    pub(crate) fn rest<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        let mut at = usize::try_from(self.bytes).map_or(text.len(), |n| n.min(text.len()));
        self.bytes -= at as u64;
        while self.others > 0 && at < text.len() {
            self.others -= u64::from(text[at] != b'\n');
            at += 1;
        }
        while self.newlines > 0 && at < text.len() {
            if text[at] != b'\n' {
                self.newlines = 0;
                break;
            }
            self.newlines -= 1;
            at += 1;
        }
        &text[at..]
    }

    /// Returns how many bytes that are not line endings are still to be skipped.
    pub(crate) fn missing(&self) -> u64 {
        self.bytes + self.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::newlines::UniversalNewlines;

    fn text_of(file: &[u8]) -> Vec<u8> {
        UniversalNewlines::default().translate(file).into_owned()
    }

    /// Returns the text that a connection sends if it reads the file up to each of these cuts.
    fn live_text(file: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut text = Vec::new();
        let mut start = 0;
        for cut in cuts.iter().copied().chain([file.len()]) {
            text.extend(text_of(&file[start..cut]));
            start = cut;
        }
        text
    }

    fn without_newlines(text: &[u8]) -> Vec<u8> {
        text.iter().copied().filter(|byte| *byte != b'\n').collect()
    }

    #[test]
    fn interrupted_progress_bar_loses_no_byte() {
        let file = b"one 1\rone 2\rdone 1\ndone 2\n";
        for first in 0..=file.len() {
            for cut in 0..=first {
                // Live up to `first` in two steps, then replayed from the start.
                let mut delivered = live_text(&file[..first], &[cut]);
                let mut position = TextPosition::default();
                position.push(&delivered);
                let mut replay = Replay::after(0, position);
                delivered.extend_from_slice(replay.rest(&text_of(file)));
                assert_eq!(delivered, text_of(file), "{first} {cut}");
            }
        }
    }

    #[test]
    fn mixed_line_endings_add_at_most_one_newline_for_a_split_crlf() {
        let file = b"a\r\n\r\nb\r\rc\n\r\n\nd\r\n";
        for first in 0..=file.len() {
            for cut in 0..=first {
                let mut delivered = live_text(&file[..first], &[cut]);
                let mut position = TextPosition::default();
                position.push(&delivered);
                delivered.extend_from_slice(Replay::after(0, position).rest(&text_of(file)));
                assert_eq!(without_newlines(&delivered), b"abcd", "{first} {cut}");
                let count = |text: &[u8]| memchr::memchr_iter(b'\n', text).count();
                let lines = count(&delivered);
                let expected = count(&text_of(file));
                let split = usize::from(
                    file[..cut].ends_with(b"\r") && file[cut..first].starts_with(b"\n"),
                );
                assert!(
                    lines >= expected && lines <= expected + split,
                    "{first} {cut}: {delivered:?}"
                );
            }
        }
    }

    #[test]
    fn skipping_does_not_depend_on_piece_length() {
        let text = b"one\n\ntwo\nthree\n";
        for cut in 0..=text.len() {
            for first in 0..=text.len() {
                let mut position = TextPosition::default();
                position.push(&text[..first]);
                let mut replay = Replay::after(0, position);
                let mut rest = replay.rest(&text[..cut]).to_vec();
                rest.extend_from_slice(replay.rest(&text[cut..]));
                assert_eq!(rest, &text[first..]);
                assert_eq!(replay.missing(), 0);
            }
        }
    }
}
