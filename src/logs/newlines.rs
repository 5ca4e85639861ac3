//! Ray's WebSocket reads logs as Python text: `\r` and `\r\n` arrive as `\n`. This does the same to
//! the bytes of the file, so that positions in both mean the same.

use std::borrow::Cow;

#[derive(Default)]
pub(super) struct UniversalNewlines {
    after_cr: bool,
}

impl UniversalNewlines {
    /// These bytes, the next of the file, with every line ending as `\n`.
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
    fn every_line_ending_becomes_a_newline_however_it_is_cut() {
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
