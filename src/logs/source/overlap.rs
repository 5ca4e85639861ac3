//! Joins the last lines of a file to the bytes that are known already, if they fit in only one place.
//! Pure.

use memchr::memmem;

/// Shorter overlaps could be coincidence.
const MIN_OVERLAP: usize = 1024;

/// The result of a join.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// The new bytes of the file begin at this index of the last lines.
    NewFrom(usize),
    /// The last lines do not reach back to the known bytes: more was written since.
    NoOverlap,
    /// The last lines fit in more than one place, or the response was cut.
    Uncertain,
}

/// Joins `last`, the response to a request for the last `lines` lines of a file, to `known`, the bytes
/// before some position of the file.
///
/// `is_from_start` is true if `known` begins at the start of the file.
///
/// A join is certain if the overlap is long, fits in only one place, and occurs only once in `known`.
/// Otherwise the log repeats itself, and may have repeated once more since `known` was read.
pub(crate) fn join(known: &[u8], is_from_start: bool, last: &[u8], lines: u64) -> Join {
    if is_from_start && count_lines(last) < lines && last.starts_with(known) {
        // Fewer lines than requested: this is the whole file.
        return Join::NewFrom(known.len());
    }
    if known.is_empty() || last.is_empty() {
        return Join::Uncertain;
    }
    let found = overlaps(known, last);
    let overlap = found.first().copied().unwrap_or_default();
    let common = &last[overlap.saturating_sub(known.len())..overlap];
    let is_long = common.len() >= MIN_OVERLAP;
    if !is_long && common.len() < known.len().min(last.len()) && count_lines(last) >= lines {
        return Join::NoOverlap;
    }
    let is_elsewhere = || memmem::find(&known[..known.len() - 1], common).is_some();
    if is_long && found.len() == 1 && !is_elsewhere() {
        Join::NewFrom(overlap)
    } else {
        Join::Uncertain
    }
}

/// Counts lines as Ray does: bytes after the last `\n` count as a line.
pub(crate) fn count_lines(bytes: &[u8]) -> u64 {
    let newlines = memchr::memchr_iter(b'\n', bytes).count() as u64;
    newlines + u64::from(bytes.last().is_some_and(|last| *last != b'\n'))
}

/// Returns up to two lengths at which a prefix of `last` ends with `window` or is a suffix of `window`.
fn overlaps(window: &[u8], last: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    if window.is_empty() || last.is_empty() {
        return found;
    }
    // Prefixes that contain the whole window. `find` prepares the whole window first, even for a shorter text.
    let mut from = 0;
    let next = |from: usize| {
        (last.len() - from >= window.len()).then(|| memmem::find(&last[from..], window)).flatten()
    };
    while let Some(at) = next(from) {
        found.push(from + at + window.len());
        if found.len() == 2 {
            return found;
        }
        from += at + 1;
    }
    // Prefixes that are shorter than the window: Knuth–Morris–Pratt, in linear time.
    let longest = last.len().min(window.len() - 1);
    let table = border_table(&last[..longest]);
    let mut length = 0;
    for byte in &window[window.len() - longest..] {
        while length > 0 && (length == longest || last[length] != *byte) {
            length = table[length - 1] as usize;
        }
        if length < longest && last[length] == *byte {
            length += 1;
        }
    }
    while length > 0 && found.len() < 2 {
        found.push(length);
        length = table[length - 1] as usize;
    }
    found
}

/// Returns, for each prefix of `bytes`, the length of its longest proper prefix that is also a suffix.
fn border_table(bytes: &[u8]) -> Vec<u32> {
    let mut table = vec![0_u32; bytes.len()];
    let mut length = 0;
    for at in 1..bytes.len() {
        while length > 0 && bytes[length] != bytes[at] {
            length = table[length - 1] as usize;
        }
        if bytes[length] == bytes[at] {
            length += 1;
        }
        table[at] = u32::try_from(length).unwrap_or(0);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::TestRng;

    fn numbered(lines: std::ops::Range<usize>) -> Vec<u8> {
        lines.flat_map(|n| format!("this is line number {n}\n").into_bytes()).collect()
    }

    #[test]
    fn overlapping_lines_are_joined() {
        let known = numbered(0..500);
        let last = numbered(400..510);
        let new = numbered(500..510).len();
        assert_eq!(join(&known, true, &last, 110), Join::NewFrom(last.len() - new));
        assert_eq!(
            join(&known, true, &numbered(400..500), 100),
            Join::NewFrom(numbered(400..500).len())
        );
    }

    #[test]
    fn lines_without_overlap_are_not_joined() {
        let known = numbered(0..500);
        assert_eq!(join(&known, true, &numbered(500..600), 100), Join::NoOverlap);
        assert_eq!(join(&known, true, &numbered(501..600), 99), Join::NoOverlap);
    }

    #[test]
    fn short_overlap_may_be_coincidence() {
        let known = numbered(0..500);
        assert_eq!(join(&known, true, &numbered(499..600), 101), Join::NoOverlap);
    }

    #[test]
    fn cut_response_is_uncertain() {
        let known = numbered(0..500);
        assert_eq!(join(&known, true, &numbered(400..450), 100), Join::Uncertain);
        assert_eq!(join(&known, true, b"", 100), Join::Uncertain);
    }

    #[test]
    fn fewer_lines_than_requested_are_the_whole_file() {
        assert_eq!(join(b"a\na\n", true, b"a\na\na\n", 100), Join::NewFrom(4));
        assert_eq!(join(b"a\na\n", true, b"b\na\na\n", 100), Join::Uncertain);
        assert_eq!(join(b"a\n", false, b"a\na\na\n", 100), Join::Uncertain);
        assert_eq!(join(b"", true, b"a\n", 100), Join::NewFrom(0));
    }

    #[test]
    fn repeating_log_is_not_joined() {
        let line = b"the same line for ever\n";
        assert_eq!(join(&line.repeat(1000), true, &line.repeat(100), 100), Join::Uncertain);
        let block = numbered(0..200);
        let last = [&numbered(100..200)[..], &numbered(0..10)].concat();
        assert_eq!(join(&block.repeat(3), true, &last, 110), Join::Uncertain);
    }

    #[test]
    fn overlaps_match_brute_force_search() {
        for seed in 0..20_000_usize {
            let mut rng = TestRng(seed as u64);
            let letters = &b"abc"[..=rng.below(3)];
            let mut text =
                |length: usize| (0..length).map(|_| *rng.pick(letters)).collect::<Vec<u8>>();
            let (window, last) = (text(1 + seed % 9), text(1 + seed % 13));
            let fits = |k: &usize| {
                let common = &last[..*k];
                if *k < window.len() { window.ends_with(common) } else { common.ends_with(&window) }
            };
            let mut expected: Vec<_> = (1..=last.len()).filter(fits).collect();
            let mut found = overlaps(&window, &last);
            found.sort_unstable();
            assert!(found.iter().all(|k| expected.contains(k)), "seed {seed}");
            expected.truncate(2);
            assert_eq!(found.len(), expected.len(), "seed {seed}: {window:?} {last:?}");
        }
    }
}
