//! Random numbers for tests, from a seed.

/// The `SplitMix64` generator.
#[derive(Debug, Clone)]
pub(crate) struct TestRng(pub(crate) u64);

impl TestRng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn between(&mut self, start: u64, end: u64) -> u64 {
        start + self.next() % (end - start)
    }

    /// Returns an index below this length.
    pub(crate) fn below(&mut self, length: usize) -> usize {
        usize::try_from(self.next() % length as u64).unwrap_or(0)
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Returns these bytes with a few changes: some lost, duplicated, cut off, moved or replaced.
    pub(crate) fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let start = self.below(bytes.len() + 1);
            let end = start + self.below((bytes.len() - start).min(64) + 1);
            let piece = bytes[start..end].to_vec();
            match self.below(6) {
                0 => bytes.truncate(start),
                1 => drop(bytes.drain(start..end)),
                2 => drop(bytes.splice(end..end, piece)),
                3 => {
                    let to = self.below(bytes.len() + 1);
                    bytes.splice(to..to, piece);
                }
                4 => bytes[start..end].iter_mut().for_each(|byte| *byte ^= 1 << self.below(8)),
                _ => {
                    let others: [&[u8]; 8] =
                        [b"\"", b"\\", b"\n", b"\0", b"{", b"]", b"-1e999", b"\xf0\x9f"];
                    bytes.splice(start..start, self.pick(&others).to_vec());
                }
            }
        }
        bytes
    }
}
