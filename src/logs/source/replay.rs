//! Going on, by its content, in a text that always begins at its start. Pure.

use super::delivered::TextPosition;

/// Skips, in a text that begins at the start of the log, what was handed out before. Line endings are
/// counted behind the last other byte only, since another connection may have had more or fewer of
/// them on the way there.
pub(crate) struct Replay {
    bytes: u64,
    others: u64,
    newlines: u64,
}

impl Replay {
    /// Goes on at this place, which is counted from an offset in the text.
    pub(crate) fn behind(start: u64, place: TextPosition) -> Self {
        Self { bytes: start, others: place.others, newlines: place.newlines }
    }

    /// What is new of this text, the next of the log, in which every line ending is `\n`.
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

    /// How many bytes that are no line endings the text would have to go on with before something is
    /// new.
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

    /// The text as a connection gives it that reads the file up to each of these cuts.
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
    fn a_progress_bar_that_was_cut_off_loses_no_byte() {
        let file = b"one 1\rone 2\rdone 1\ndone 2\n";
        for first in 0..=file.len() {
            for cut in 0..=first {
                // Live up to `first`, in two steps; then from the start again.
                let mut delivered = live_text(&file[..first], &[cut]);
                let mut place = TextPosition::default();
                place.push(&delivered);
                let mut replay = Replay::behind(0, place);
                delivered.extend_from_slice(replay.rest(&text_of(file)));
                assert_eq!(delivered, text_of(file), "{first} {cut}");
            }
        }
    }

    #[test]
    fn mixed_endings_lose_nothing_but_the_doubling_of_an_ending_that_came_apart() {
        let file = b"a\r\n\r\nb\r\rc\n\r\n\nd\r\n";
        for first in 0..=file.len() {
            for cut in 0..=first {
                let mut delivered = live_text(&file[..first], &[cut]);
                let mut place = TextPosition::default();
                place.push(&delivered);
                delivered.extend_from_slice(Replay::behind(0, place).rest(&text_of(file)));
                assert_eq!(without_newlines(&delivered), b"abcd", "{first} {cut}");
                let count = |text: &[u8]| memchr::memchr_iter(b'\n', text).count();
                let lines = count(&delivered);
                let expected = count(&text_of(file));
                let apart = usize::from(
                    file[..cut].ends_with(b"\r") && file[cut..first].starts_with(b"\n"),
                );
                assert!(
                    lines >= expected && lines <= expected + apart,
                    "{first} {cut}: {delivered:?}"
                );
            }
        }
    }

    #[test]
    fn a_text_that_comes_in_pieces_is_skipped_as_one() {
        let text = b"one\n\ntwo\nthree\n";
        for cut in 0..=text.len() {
            for first in 0..=text.len() {
                let mut place = TextPosition::default();
                place.push(&text[..first]);
                let mut replay = Replay::behind(0, place);
                let mut rest = replay.rest(&text[..cut]).to_vec();
                rest.extend_from_slice(replay.rest(&text[cut..]));
                assert_eq!(rest, &text[first..]);
                assert_eq!(replay.missing(), 0);
            }
        }
    }
}
