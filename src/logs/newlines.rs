//! Translates line endings as Ray's WebSocket does.
//!
//! Ray reads logs as Python text, so `\r` and `\r\n` arrive as `\n`. Doing the same to the bytes of the
//! file makes positions in both comparable. Lines are split in `line_splitter.rs`.

use std::borrow::Cow;

#[derive(Default)]
pub(super) struct UniversalNewlines {
    after_cr: bool,
}

impl UniversalNewlines {
    /// Translates every line ending in the next bytes of the file to `\n`.
    pub(super) fn translate<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.after_cr && !bytes.contains(&b'\r') {
            return Cow::Borrowed(bytes);
        }
        let mut text = Vec::with_capacity(bytes.len());
        for byte in bytes {
            match byte {
                b'\n' if self.after_cr => {}
                b'\r' => text.push(b'\n'),
                byte => text.push(*byte),
            }
            self.after_cr = *byte == b'\r';
        }
        Cow::Owned(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_ending_becomes_a_newline_wherever_it_is_split() {
        let file = b"a\rb\r\nc\n\r\r\n\nd\r";
        for cut in 0..=file.len() {
            let mut newlines = UniversalNewlines::default();
            let (head, tail) = file.split_at(cut);
            let mut text = newlines.translate(head).into_owned();
            text.extend_from_slice(&newlines.translate(tail));
            assert_eq!(text, b"a\nb\nc\n\n\n\nd\n");
        }
    }
}
