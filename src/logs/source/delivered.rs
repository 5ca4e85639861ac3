//! What a tail has delivered so far. A source needs no other state to continue. Pure.

use std::hash::Hasher;

use memchr::memchr2_iter;
use twox_hash::XxHash64;

use super::window::Window;

/// How many of the last bytes to keep: at least this many, at most twice as many.
const KEPT: usize = 1024 * 1024;

/// The delivered bytes: their position, their hash and the last of them.
pub(crate) struct Delivered {
    start: u64,
    position: u64,
    window: Window,
    hash: XxHash64,
    text: TextPosition,
}

impl Delivered {
    /// Nothing delivered yet, in a tail that starts at the offset `start`.
    pub(crate) fn from(start: u64) -> Self {
        Self {
            start,
            position: start,
            window: Window::new(KEPT),
            hash: XxHash64::with_seed(0),
            text: TextPosition::default(),
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.position += bytes.len() as u64;
        self.hash.write(bytes);
        self.text.push(bytes);
        self.window.push(bytes);
    }

    /// Returns the offset in the log of the first delivered byte.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Returns the offset in the log of the next byte to deliver.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.position == self.start
    }

    /// Returns the last delivered bytes: all of them, or at least 1 MiB.
    pub(crate) fn window(&self) -> &[u8] {
        self.window.as_slice()
    }

    /// Returns the position in the text that Ray's WebSocket sends.
    pub(crate) fn text(&self) -> TextPosition {
        self.text
    }

    /// Returns whether `hash` is the hash of all delivered bytes.
    pub(crate) fn is_hash(&self, hash: &XxHash64) -> bool {
        self.hash.finish() == hash.finish()
    }
}

/// A position in a log that does not depend on line endings.
///
/// Ray's WebSocket turns `\r` and `\r\n` into `\n`. It turns a `\r\n` that it reads in two steps into
/// two `\n`, so byte offsets differ between connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TextPosition {
    /// Number of bytes that are neither `\r` nor `\n`.
    pub(crate) others: u64,
    /// Number of line endings after the last of these bytes. A `\r\n` counts as one.
    pub(crate) newlines: u64,
    after_cr: bool,
}

impl TextPosition {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let mut counted = 0;
        for at in memchr2_iter(b'\n', b'\r', bytes) {
            if at > counted {
                self.others += (at - counted) as u64;
                (self.newlines, self.after_cr) = (0, false);
            }
            if !(bytes[at] == b'\n' && self.after_cr) {
                self.newlines += 1;
            }
            self.after_cr = bytes[at] == b'\r';
            counted = at + 1;
        }
        if counted < bytes.len() {
            self.others += (bytes.len() - counted) as u64;
            (self.newlines, self.after_cr) = (0, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_does_not_depend_on_piece_length() {
        let log: Vec<u8> = (0..=250).cycle().take(10_000).collect();
        let mut whole = XxHash64::with_seed(0);
        whole.write(&log);
        for piece in [1, 7, 32, 33, 4096] {
            let mut delivered = Delivered::from(0);
            log.chunks(piece).for_each(|bytes| delivered.push(bytes));
            assert!(delivered.is_hash(&whole), "{piece}");
        }
    }

    #[test]
    fn text_position_is_counted_wherever_the_bytes_are_split() {
        let log = b"a\rb\r\nc\n\r\r\n\nd\r\n\r";
        for cut in 0..=log.len() {
            let mut position = TextPosition::default();
            position.push(&log[..cut]);
            position.push(&log[cut..]);
            assert_eq!((position.others, position.newlines), (4, 2), "{cut}");
        }
    }
}
