//! A window over the last bytes of a stream. Pure.

pub(crate) struct Window {
    bytes: Vec<u8>,
    min_length: usize,
}

impl Window {
    /// Creates a window that keeps at least the last `min_length` bytes, and at most twice as many.
    pub(crate) fn new(min_length: usize) -> Self {
        Self { bytes: Vec::new(), min_length }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if bytes.len() >= self.min_length {
            self.bytes.clear();
            self.bytes.extend_from_slice(&bytes[bytes.len() - self.min_length..]);
            return;
        }
        // Twice the length, because each drain moves all kept bytes.
        if self.bytes.len() + bytes.len() > 2 * self.min_length {
            let keep = self.min_length - bytes.len();
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
    fn last_bytes_are_kept_for_any_piece_length() {
        const MIN: usize = 1000;
        let log: Vec<u8> = (0..=250).cycle().take(5 * MIN).collect();
        for piece in [1, 7, MIN - 1, MIN, 2 * MIN + 1] {
            let mut window = Window::new(MIN);
            for (count, bytes) in log.chunks(piece).enumerate() {
                window.push(bytes);
                let so_far = &log[..log.len().min((count + 1) * piece)];
                assert!(so_far.ends_with(window.as_slice()));
                let length = window.as_slice().len();
                assert!(length >= so_far.len().min(MIN) && length <= 2 * MIN);
            }
        }
    }
}
