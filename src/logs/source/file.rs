//! A log file from the dashboard, which serves no offsets.
//!
//! The source reads the whole file once, and then polls its last lines and joins them to the known bytes.
//! If a join is uncertain, it reads the whole file again.

use std::hash::Hasher;
use std::time::{Duration, Instant};

use twox_hash::XxHash64;

use super::dashboard::{FileServer, is_cut, lines_to_compare};
use super::overlap::{Join, count_lines, join};
use super::window::Window;
use super::{Delivered, LogSource, ReadOutcome, TailError, TailResult, became_shorter};
use crate::ClientError;
use crate::logs::last_lines::LastLines;

/// Full reads of a log that repeats itself, and polls of long lines, take at most 1/20 of the time.
const TIME_SHARE: u32 = 20;
/// At most this many bytes of long lines arrive per second although they are known: a line without an end, for
/// example a progress bar, arrives whole each time.
const KNOWN_BYTES_PER_SECOND: u32 = 1024 * 1024;
/// Polls of more than this many bytes count as large.
const SMALL_READ: usize = 256 * 1024;
/// After a poll that could not be joined, the next one requests this many times as many lines.
const FACTOR: u64 = 4;
/// But only if these probably have at most this many bytes.
const MAX_POLL: usize = 3 * 1024 * 1024;
/// A poll requests enough lines to overlap this many known bytes.
const OVERLAP: usize = 2048;
/// How many bytes at the end of a full read to compare with the last lines, to detect a cut response.
const END_BYTES: usize = 64 * 1024;
/// How many of the last known bytes to keep at least, to join the last lines to them.
const KNOWN_BYTES: usize = 1024 * 1024;
/// Maximum number of bytes to keep while searching for the start of the last lines.
const READ_AHEAD: usize = 8 * 1024 * 1024;
/// After more cut full reads than this at the end of a log, the connection counts as broken.
const MAX_CUT_READINGS: u32 = 4;

pub(crate) struct FileSource<S: FileServer> {
    dashboard: S,
    /// The bytes of the file before the position.
    known: Window,
    /// The current full read, if any.
    reading: Option<WholeReading<S::Reading>>,
    /// The last full read. `None` after a poll has found new bytes.
    verified: Option<Verified>,
    is_over: bool,
    /// How many new lines the last poll found, or how many more the next one must request.
    new_lines: u64,
    /// Why the last poll could not be joined.
    unjoined: Option<Unjoined>,
    /// When the last full read ended, and how long it took.
    last_reading: (Instant, Duration),
    no_poll_before: Instant,
    /// How many full reads at the end of the log lacked its last lines.
    cut_readings: u32,
    /// How many full reads in a row ended before the position.
    short_readings: u32,
    /// Last lines that the search for their start has already read.
    read_ahead: Vec<u8>,
}

/// Why a poll could not be joined to the known bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unjoined {
    /// It did not reach back to them.
    NoOverlap,
    /// It fits in more than one place, or was cut.
    Uncertain,
}

/// A full read of the file that has not ended yet.
struct WholeReading<R> {
    reading: R,
    /// How long the reads took. The time between them is the caller's.
    taken: Duration,
    offset: u64,
    known: Window,
    /// Hash of the bytes that were delivered before.
    hash: XxHash64,
    is_compared: bool,
}

/// The result of a full read.
struct Verified {
    total: u64,
    /// Whether the full read before it found the same length.
    is_confirmed: bool,
}

impl<S: FileServer> FileSource<S> {
    /// Creates a source that continues after `delivered`.
    pub(crate) fn new(dashboard: S, delivered: &Delivered) -> Self {
        let mut known = Window::new(KNOWN_BYTES);
        known.push(delivered.window());
        Self {
            dashboard,
            known,
            reading: None,
            verified: None,
            is_over: false,
            new_lines: 0,
            unjoined: None,
            last_reading: (Instant::now(), Duration::ZERO),
            no_poll_before: Instant::now(),
            cut_readings: 0,
            short_readings: 0,
            read_ahead: Vec::new(),
        }
    }

    /// Ends the pauses before the next full read and the next poll.
    #[cfg(test)]
    pub(super) fn skip_pauses(&mut self) {
        (self.last_reading.1, self.no_poll_before) = (Duration::ZERO, Instant::now());
    }

    fn read_whole(&mut self) -> TailResult<ReadOutcome> {
        let begun = Instant::now();
        self.reading = Some(WholeReading {
            reading: self.dashboard.open()?,
            taken: begun.elapsed(),
            offset: 0,
            known: Window::new(KNOWN_BYTES),
            hash: XxHash64::with_seed(0),
            is_compared: false,
        });
        Ok(ReadOutcome::Continue)
    }

    /// Reads the next piece of a full read.
    fn read_on(
        &mut self,
        mut reading: WholeReading<S::Reading>,
        delivered: &Delivered,
    ) -> TailResult<ReadOutcome> {
        let mut piece = vec![0; 64 * 1024];
        let begun = Instant::now();
        let length = self.dashboard.read(&mut reading.reading, &mut piece)?;
        reading.taken += begun.elapsed();
        if length == 0 {
            return self.end_reading(reading, delivered);
        }
        piece.truncate(length);
        let start = reading.offset;
        reading.push(&piece, delivered);
        if reading.offset > delivered.position() {
            reading.compare(delivered, self.dashboard.operation())?;
        }
        self.reading = Some(reading);
        let before = delivered.position().saturating_sub(start).min(length as u64);
        piece.drain(..usize::try_from(before).unwrap_or(length));
        if piece.is_empty() {
            return Ok(ReadOutcome::Continue);
        }
        Ok(ReadOutcome::Data { bytes: piece, is_up_to_date: false })
    }

    fn end_reading(
        &mut self,
        mut reading: WholeReading<S::Reading>,
        delivered: &Delivered,
    ) -> TailResult<ReadOutcome> {
        self.last_reading = (Instant::now(), reading.taken);
        let total = reading.offset;
        let is_confirmed = self.verified.take().is_some_and(|before| before.total == total);
        self.verified = Some(Verified { total, is_confirmed });
        if total < delivered.position() {
            if delivered.is_empty() && !self.is_over {
                return Ok(ReadOutcome::UpToDate);
            }
            if is_confirmed {
                return Err(became_shorter(self.dashboard.operation(), delivered, total));
            }
            // The response may have been cut, or the file was replaced and grows.
            self.short_readings += 1;
            if self.short_readings > MAX_CUT_READINGS {
                return Err(self.always(
                    "shorter than what was delivered: it was replaced, or a proxy cuts it off",
                ));
            }
            return self.read_whole();
        }
        self.short_readings = 0;
        reading.compare(delivered, self.dashboard.operation())?;
        self.known = reading.known;
        (self.unjoined, self.new_lines) = (None, 0);
        Ok(if self.is_over { ReadOutcome::Continue } else { ReadOutcome::UpToDate })
    }

    /// Ends the log if its last lines confirm a full read that began after the last byte was written.
    ///
    /// Last lines alone prove nothing: a log that repeats itself may have repeated once more.
    fn check_end(&mut self, delivered: &Delivered) -> TailResult<ReadOutcome> {
        let Some(verified) = self.verified.as_ref() else { return self.read_whole() };
        if verified.total != delivered.position() {
            return self.read_whole();
        }
        let known = self.known.as_slice();
        let lines = lines_to_compare(known, END_BYTES);
        let last = self.dashboard.last_lines(lines)?;
        let mut cut = last.and_then(|last| is_cut(verified.total, known, &last, lines));
        if cut.is_none() && known.len() as u64 == verified.total {
            // For a small file, request one line more than the full read returned.
            let lines = count_lines(known) + 1;
            let last = self.dashboard.last_lines(lines)?;
            cut = last.and_then(|last| is_cut(verified.total, known, &last, lines));
        }
        if cut == Some(false) || (cut.is_none() && verified.is_confirmed) {
            return Ok(ReadOutcome::Complete);
        }
        self.cut_readings += u32::from(cut == Some(true));
        if self.cut_readings > MAX_CUT_READINGS {
            return Err(self.always("without its last lines: a proxy probably cuts it off"));
        }
        self.read_whole()
    }

    fn always(&self, how: &str) -> TailError {
        TailError::Broken(ClientError::unreachable(format_args!(
            "{}: the log arrived {MAX_CUT_READINGS} times {how}",
            self.dashboard.operation()
        )))
    }

    /// Reads the last lines and joins them to the known bytes.
    fn poll(&mut self, delivered: &Delivered) -> TailResult<ReadOutcome> {
        let begun = Instant::now();
        let known = self.known.as_slice();
        let fewest = lines_to_compare(known, OVERLAP);
        let reserve = if self.unjoined.is_none() { self.new_lines / 2 } else { 0 };
        let lines = fewest + self.new_lines + reserve;
        let last = match self.dashboard.last_lines(lines) {
            // So many lines may take longer than a poll may. A full read takes any time, if bytes arrive.
            Err(TailError::Broken(error)) if error.status() == 408 && self.new_lines > 0 => None,
            last => last?,
        };
        let Some(mut last) = last else {
            return Ok(self.cannot_join(self.unjoined.unwrap_or(Unjoined::Uncertain), 0));
        };
        let is_from_start = known.len() as u64 == delivered.position();
        let at = match join(known, is_from_start, &last, lines) {
            Join::NewFrom(at) => at,
            Join::NoOverlap => {
                let factor = ((MAX_POLL / last.len()) as u64).min(FACTOR);
                let is_cheaper = factor > 1 && last.len() as u64 * factor < delivered.position();
                let more = if is_cheaper { lines * factor } else { 0 };
                return Ok(self.cannot_join(Unjoined::NoOverlap, more));
            }
            Join::Uncertain => {
                let is_part = last.len() <= SMALL_READ && count_lines(&last) >= lines;
                let more = if is_part { lines * FACTOR } else { 0 };
                return Ok(self.cannot_join(Unjoined::Uncertain, more));
            }
        };
        // Not all known bytes: how many more lines a poll requests depends on what is written.
        let again = at.min(length_of_last_lines(known, fewest));
        self.no_poll_before = Instant::now() + pause_after(again, begun.elapsed());
        last.drain(..at);
        self.unjoined = None;
        self.new_lines = count_lines(&last);
        if last.is_empty() {
            return Ok(ReadOutcome::UpToDate);
        }
        self.verified = None;
        self.known.push(&last);
        Ok(ReadOutcome::Data { bytes: last, is_up_to_date: true })
    }

    /// Prepares the next poll to request `more` lines, or a full read if that is 0.
    fn cannot_join(&mut self, why: Unjoined, more: u64) -> ReadOutcome {
        (self.unjoined, self.new_lines) = (Some(why), more);
        ReadOutcome::Continue
    }
}

impl<S: FileServer> LogSource for FileSource<S> {
    fn read(&mut self, delivered: &Delivered) -> TailResult<ReadOutcome> {
        if !self.read_ahead.is_empty() {
            let bytes = std::mem::take(&mut self.read_ahead);
            return Ok(ReadOutcome::Data { bytes, is_up_to_date: false });
        }
        if let Some(reading) = self.reading.take() {
            return self.read_on(reading, delivered);
        }
        if self.is_over {
            return self.check_end(delivered);
        }
        let is_first = self.known.as_slice().is_empty() && self.verified.is_none();
        let is_behind = self.verified.as_ref().is_some_and(|v| v.total < delivered.position());
        if is_first || is_behind || (self.unjoined.is_some() && self.new_lines == 0) {
            // Without an overlap, a full read almost certainly finds new bytes.
            let is_useful = self.unjoined == Some(Unjoined::NoOverlap);
            let (end, taken) = self.last_reading;
            let time = end + if is_useful { taken } else { taken * (TIME_SHARE - 1) };
            if Instant::now() < time {
                return Ok(ReadOutcome::NotBefore(time));
            }
            return self.read_whole();
        }
        if Instant::now() < self.no_poll_before {
            return Ok(ReadOutcome::NotBefore(self.no_poll_before));
        }
        self.poll(delivered)
    }

    fn nothing_more_is_written(&mut self) {
        self.is_over = true;
        (self.reading, self.verified) = (None, None);
    }

    fn start_of_last_lines(&mut self, lines: usize) -> TailResult<u64> {
        let mut stream = self.dashboard.open()?;
        let mut last = LastLines::new(lines);
        let mut kept = Vec::new();
        let mut piece = vec![0; 64 * 1024];
        let mut total = 0;
        let needed = |total: u64, last: &LastLines| {
            usize::try_from(total - last.position()).unwrap_or(usize::MAX)
        };
        loop {
            let length = self.dashboard.read(&mut stream, &mut piece)?;
            if length == 0 {
                break;
            }
            last.push(&piece[..length]);
            self.known.push(&piece[..length]);
            total += length as u64;
            kept.extend_from_slice(&piece[..length]);
            match needed(total, &last) {
                READ_AHEAD.. => kept.clear(),
                needed if kept.len() > 2 * needed.max(SMALL_READ) => {
                    drop(kept.drain(..kept.len() - needed));
                }
                _ => {}
            }
        }
        let needed = needed(total, &last);
        if kept.len() >= needed {
            self.read_ahead = kept.split_off(kept.len() - needed);
            self.verified = Some(Verified { total, is_confirmed: false });
        } else {
            // Nothing before the position counts as known, so that the file is read again from there.
            self.known = Window::new(KNOWN_BYTES);
        }
        Ok(last.position())
    }
}

/// Returns how many bytes the last lines have. Bytes after the last `\n` count as a line.
fn length_of_last_lines(bytes: &[u8], lines: u64) -> usize {
    let end = bytes.len() - usize::from(bytes.ends_with(b"\n"));
    let before = usize::try_from(lines).unwrap_or(usize::MAX) - 1;
    let start = memchr::memrchr_iter(b'\n', &bytes[..end]).nth(before).map_or(0, |at| at + 1);
    bytes.len() - start
}

/// Returns how long to wait after a poll that took this time, if the shortest poll returns `known` known
/// bytes.
fn pause_after(known: usize, taken: Duration) -> Duration {
    let by_size = Duration::from_secs(known as u64) / KNOWN_BYTES_PER_SECOND;
    let by_time = if known > SMALL_READ { taken * (TIME_SHARE - 1) } else { Duration::ZERO };
    by_size.max(by_time)
}

impl<R> WholeReading<R> {
    fn push(&mut self, piece: &[u8], delivered: &Delivered) {
        if !self.is_compared {
            // Only the part of this piece that was delivered before.
            let index = |position: u64| {
                let index = position.saturating_sub(self.offset).min(piece.len() as u64);
                usize::try_from(index).unwrap_or(piece.len())
            };
            self.hash.write(&piece[index(delivered.start())..index(delivered.position())]);
        }
        self.offset += piece.len() as u64;
        self.known.push(piece);
    }

    /// Fails if the file, now read up to the position, differs from the delivered bytes.
    fn compare(&mut self, delivered: &Delivered, operation: &str) -> TailResult<()> {
        if self.is_compared || delivered.is_hash(&self.hash) {
            self.is_compared = true;
            return Ok(());
        }
        Err(TailError::Fatal(ClientError::log_lost(format_args!(
            "{operation}: the log differs from what was delivered up to byte {}: its file was replaced, or it repeats itself and part of it was missed",
            delivered.position()
        ))))
    }
}
