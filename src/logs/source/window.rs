//! The last bytes of what went by. Pure.

pub(crate) struct Window {
    bytes: Vec<u8>,
    most: usize,
}

impl Window {
    /// Keeps at least this many of the last bytes, and at most twice as many.
    pub(crate) fn of(most: usize) -> Self {
        Self { bytes: Vec::new(), most }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if bytes.len() >= self.most {
            self.bytes.clear();
            self.bytes.extend_from_slice(&bytes[bytes.len() - self.most..]);
            return;
        }
        // Only when twice as much is there, so that bytes are moved seldom.
        if self.bytes.len() + bytes.len() > 2 * self.most {
            let keep = self.most - bytes.len();
            self.bytes.drain(..self.bytes.len().saturating_sub(keep));
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept_whatever_the_pieces() {
        const MOST: usize = 1000;
        let log: Vec<u8> = (0..=250).cycle().take(5 * MOST).collect();
        for piece in [1, 7, MOST - 1, MOST, 2 * MOST + 1] {
            let mut window = Window::of(MOST);
            for (count, bytes) in log.chunks(piece).enumerate() {
                window.push(bytes);
                let so_far = &log[..log.len().min((count + 1) * piece)];
                assert!(so_far.ends_with(window.as_slice()));
                let length = window.as_slice().len();
                assert!(length >= so_far.len().min(MOST) && length <= 2 * MOST);
            }
        }
    }
}
