//! A log file from the dashboard: one whole reading, then its last lines again and again, joined to what
//! is known of it. If they cannot be joined for sure, the file is read whole.

use std::hash::Hasher;
use std::time::Instant;

use twox_hash::XxHash64;

use super::dashboard::{FileServer, is_cut, lines_to_compare};
use super::overlap::{Join, count_lines, join};
use super::window::Window;
use super::{Certainty, Delivered, LogSource, ReadOutcome, TailError, TailResult, became_shorter};
use crate::ClientError;
use crate::logs::last_lines::LastLines;

/// Whole readings after the first, and polls that are large, take at most one part of the time in this
/// many.
const TIME_SHARE: u32 = 20;
/// A poll of up to this many bytes is small.
const SMALL_READ: usize = 256 * 1024;
/// How many known bytes the last lines are asked to overlap.
const OVERLAP: usize = 2048;
/// How many bytes of a whole reading are compared with the last lines, to see whether it was cut off.
const END_BYTES: usize = 64 * 1024;
/// How many of the file's last known bytes are kept, to join its last lines to them.
const KNOWN_BYTES: usize = 1024 * 1024;
/// The most of the last lines that is kept while their beginning is looked for.
const READ_AHEAD: usize = 8 * 1024 * 1024;
/// How often in a row a whole reading may come cut before it counts as a break.
const MAX_CUT_READINGS: u32 = 4;

pub(crate) struct FileSource<S: FileServer> {
    dashboard: S,
    /// The bytes of the file before the position.
    known: Window,
    reading: Option<WholeReading<S::Reading>>,
    /// The last whole reading, if all that was handed out has been compared with it.
    verified: Option<Verified>,
    is_over: bool,
    /// How many lines the last poll found to be new.
    new_lines: u64,
    /// Whether the last poll could not be joined.
    is_unsure: bool,
    /// Before this, no whole reading and no poll.
    no_reading_before: Instant,
    no_poll_before: Instant,
    cut_readings: u32,
    /// What a search for the last lines read already.
    read_ahead: Vec<u8>,
}

/// A reading of the whole file, as far as it came.
struct WholeReading<R> {
    reading: R,
    begun: Instant,
    offset: u64,
    known: Window,
    /// Of what was handed out before, as it comes once more.
    hash: XxHash64,
    is_compared: bool,
}

/// What a whole reading found.
struct Verified {
    total: u64,
    /// Whether another whole reading before it found as much.
    is_confirmed: bool,
}

impl<S: FileServer> FileSource<S> {
    /// A file of which these bytes were handed out.
    pub(crate) fn new(dashboard: S, delivered: &Delivered) -> Self {
        let mut known = Window::of(KNOWN_BYTES);
        known.push(delivered.window());
        Self {
            dashboard,
            known,
            reading: None,
            verified: None,
            is_over: false,
            new_lines: 0,
            is_unsure: false,
            no_reading_before: Instant::now(),
            no_poll_before: Instant::now(),
            cut_readings: 0,
            read_ahead: Vec::new(),
        }
    }

    fn read_whole(&mut self) -> TailResult<ReadOutcome> {
        self.reading = Some(WholeReading {
            reading: self.dashboard.whole()?,
            begun: Instant::now(),
            offset: 0,
            known: Window::of(KNOWN_BYTES),
            hash: XxHash64::with_seed(0),
            is_compared: false,
        });
        Ok(ReadOutcome::Continue)
    }

    /// The next piece of a whole reading.
    fn read_on(
        &mut self,
        mut reading: WholeReading<S::Reading>,
        delivered: &Delivered,
    ) -> TailResult<ReadOutcome> {
        let mut piece = vec![0; 64 * 1024];
        let length = self.dashboard.read(&mut reading.reading, &mut piece)?;
        if length == 0 {
            return self.end_reading(reading, delivered);
        }
        piece.truncate(length);
        let begin = reading.offset;
        reading.push(&piece, delivered);
        if reading.offset > delivered.position() {
            reading.compare(delivered, self.dashboard.operation())?;
        }
        self.reading = Some(reading);
        let before = delivered.position().saturating_sub(begin).min(length as u64);
        piece.drain(..usize::try_from(before).unwrap_or(length));
        if piece.is_empty() {
            return Ok(ReadOutcome::Continue);
        }
        Ok(ReadOutcome::Data { bytes: piece, is_all: false })
    }

    fn end_reading(
        &mut self,
        mut reading: WholeReading<S::Reading>,
        delivered: &Delivered,
    ) -> TailResult<ReadOutcome> {
        self.no_reading_before = Instant::now() + reading.begun.elapsed() * (TIME_SHARE - 1);
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
            // It may have been cut on the way.
            return self.read_whole();
        }
        reading.compare(delivered, self.dashboard.operation())?;
        self.known = reading.known;
        (self.is_unsure, self.new_lines) = (false, 0);
        Ok(if self.is_over { ReadOutcome::Continue } else { ReadOutcome::UpToDate })
    }

    /// Whether the file ends where a whole reading ended that began after the last byte was written. Last
    /// lines alone cannot tell: a log that repeats itself may have done so once more.
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
            // A small file can be asked for one line more than came.
            let lines = count_lines(known) + 1;
            let last = self.dashboard.last_lines(lines)?;
            cut = last.and_then(|last| is_cut(verified.total, known, &last, lines));
        }
        if cut == Some(false) || (cut.is_none() && verified.is_confirmed) {
            return Ok(ReadOutcome::End(Certainty::Sure));
        }
        self.cut_readings += u32::from(cut == Some(true));
        if self.cut_readings > MAX_CUT_READINGS {
            return Err(TailError::Broken(ClientError::unreachable(format_args!(
                "{}: the log came {MAX_CUT_READINGS} times without its last lines: something on the way cuts it off",
                self.dashboard.operation()
            ))));
        }
        self.read_whole()
    }

    /// Reads the last lines.
    fn poll(&mut self, delivered: &Delivered) -> TailResult<ReadOutcome> {
        let begun = Instant::now();
        let known = self.known.as_slice();
        let lines = lines_to_compare(known, OVERLAP) + self.new_lines + self.new_lines / 4;
        let last = self.dashboard.last_lines(lines)?;
        let is_all = known.len() as u64 == delivered.position();
        let joined = last.as_deref().map_or(Join::Unsure, |last| join(known, is_all, last, lines));
        let is_part = |last: &Vec<u8>| last.len() <= SMALL_READ && count_lines(last) >= lines;
        let may_ask_for_more = last.as_ref().is_some_and(is_part);
        let (Join::NewFrom(at), Some(mut last)) = (joined, last) else {
            return Ok(self.cannot_join(lines, may_ask_for_more));
        };
        if at > SMALL_READ {
            self.no_poll_before = Instant::now() + begun.elapsed() * (TIME_SHARE - 1);
        }
        last.drain(..at);
        self.is_unsure = false;
        self.new_lines = count_lines(&last);
        if last.is_empty() {
            return Ok(ReadOutcome::UpToDate);
        }
        self.verified = None;
        self.known.push(&last);
        Ok(ReadOutcome::Data { bytes: last, is_all: true })
    }

    /// More may have come than was asked for: asks for much more, until the answer is large or the whole
    /// file. Then that is to be read whole, which costs more and may have to wait.
    fn cannot_join(&mut self, lines: u64, may_ask_for_more: bool) -> ReadOutcome {
        const MANY: u64 = 16;
        self.is_unsure = true;
        self.new_lines = if may_ask_for_more { lines * MANY } else { 0 };
        ReadOutcome::Continue
    }
}

impl<S: FileServer> LogSource for FileSource<S> {
    fn read(&mut self, delivered: &Delivered) -> TailResult<ReadOutcome> {
        if !self.read_ahead.is_empty() {
            let bytes = std::mem::take(&mut self.read_ahead);
            return Ok(ReadOutcome::Data { bytes, is_all: false });
        }
        if let Some(reading) = self.reading.take() {
            return self.read_on(reading, delivered);
        }
        if self.is_over {
            return self.check_end(delivered);
        }
        let is_first = self.known.as_slice().is_empty() && self.verified.is_none();
        let is_behind = self.verified.as_ref().is_some_and(|v| v.total < delivered.position());
        if is_first || is_behind || (self.is_unsure && self.new_lines == 0) {
            if Instant::now() < self.no_reading_before {
                return Ok(ReadOutcome::NotBefore(self.no_reading_before));
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
        let mut stream = self.dashboard.whole()?;
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
        }
        Ok(last.position())
    }
}

impl<R> WholeReading<R> {
    fn push(&mut self, piece: &[u8], delivered: &Delivered) {
        if !self.is_compared {
            // Of this piece, what was handed out before.
            let index = |position: u64| {
                let index = position.saturating_sub(self.offset).min(piece.len() as u64);
                usize::try_from(index).unwrap_or(piece.len())
            };
            self.hash.write(&piece[index(delivered.start())..index(delivered.position())]);
        }
        self.offset += piece.len() as u64;
        self.known.push(piece);
    }

    /// Once all that was handed out has come again: whether it is the same.
    fn compare(&mut self, delivered: &Delivered, operation: &str) -> TailResult<()> {
        if self.is_compared || delivered.is_hash(&self.hash) {
            self.is_compared = true;
            return Ok(());
        }
        Err(TailError::Fatal(ClientError::log_lost(format_args!(
            "{operation}: the log is not the one that was delivered up to byte {}: its file was replaced, or it repeats itself so that a part of it was missed",
            delivered.position()
        ))))
    }
}
