//! A log file of the cluster. Ray serves it from its start only, so that going on means reading what
//! was delivered once more, and leaving it out.

use std::time::{Duration, Instant};

use super::feed::Step;
use super::resume::{LastLines, Skip};
use super::worker::Worker;
use crate::transport::Request;

/// How often a log that does not grow is looked at, unless the poll interval is longer.
const QUIET_INTERVAL: Duration = Duration::from_millis(500);
/// Up to this many bytes, reading a log once more costs no more than asking whether it has grown.
const SMALL: u64 = 256 * 1024;

pub(super) struct FileReader {
    request: Request,
}

/// What a look at the file came to.
pub(super) struct Rest {
    /// By how many bytes the file ends before the position of the feed.
    pub(super) missing: u64,
    pub(super) grew: bool,
    /// Whether the server said where the file ends.
    pub(super) has_end: bool,
}

impl FileReader {
    /// The file that `request` says, as `GET /api/v0/logs/file` serves it: the bytes as they stand.
    ///
    /// `/api/v0/logs/stream` is not used: it does not notice that a client left a silent log, keeps one
    /// of its 100 places for that client for ever, and after 100 such tails answers every state call
    /// with 429 (measured on Ray 2.60.0).
    pub(super) fn new(request: Request) -> Self {
        // Ray ends an answer after `timeout` seconds, 30 unless told, however slow its reader is. Its
        // dashboard has a bound of 300 seconds of its own.
        Self { request: request.query("lines", -1).query("timeout", 300) }
    }

    /// The file as it stands, piece by piece.
    pub(super) fn read(
        &self,
        worker: &mut Worker,
        take: impl FnMut(&mut Worker, &[u8]) -> Step<()>,
    ) -> Step<bool> {
        worker.read(self.request.clone(), take)
    }

    /// Delivers what the file has behind the position of the feed.
    pub(super) fn deliver_rest(&self, worker: &mut Worker) -> Step<Rest> {
        let mut skip = Skip::to(worker.feed.position());
        let mut grew = false;
        let has_end = self.read(worker, |worker, bytes| match skip.rest(bytes) {
            [] => Ok(()),
            new => {
                grew = true;
                worker.feed.deliver(new)
            }
        })?;
        Ok(Rest { missing: skip.left(), grew, has_end })
    }

    /// Where the last lines of the file begin.
    pub(super) fn start_of_last_lines(&self, worker: &mut Worker, lines: usize) -> Step<u64> {
        let mut before = None;
        loop {
            let mut last = LastLines::new(lines);
            let has_end = self.read(worker, |_, bytes| {
                last.push(bytes);
                Ok(())
            })?;
            // As at the end of the log: what may have been cut is believed where it comes twice.
            let position = last.position();
            if has_end || before == Some(position) {
                return Ok(position);
            }
            worker.check_silence("its end is not certain")?;
            before = Some(position);
        }
    }

    /// Delivers what is new, again and again, until `is_over` says so. It is asked between the looks,
    /// at least every half second. The log is silent only once a look that began after the stream
    /// timeout found nothing.
    pub(super) fn follow(
        &self,
        worker: &mut Worker,
        poll_interval: Duration,
        mut is_over: impl FnMut(&mut Worker) -> Step<bool>,
    ) -> Step<()> {
        let mut pace = Pace::new(poll_interval);
        let mut asked = Instant::now();
        loop {
            let look = Instant::now();
            let is_last = worker.time_to_silence().is_zero();
            let before = worker.feed.position();
            let Rest { missing, has_end, .. } = self.deliver_rest(worker)?;
            if missing > 0 && has_end && worker.feed.has_delivered() {
                return worker.ended(missing).map(drop);
            }
            if is_last {
                worker.check_silence("nothing new was written")?;
            }
            let wait = pace.after(look.elapsed(), before, worker.feed.position());
            let mut wait = wait.min(worker.time_to_silence());
            loop {
                if asked.elapsed() >= QUIET_INTERVAL {
                    if is_over(worker)? {
                        return Ok(());
                    }
                    asked = Instant::now();
                }
                if wait.is_zero() {
                    break;
                }
                let slice = wait.min(QUIET_INTERVAL);
                worker.feed.pause(slice)?;
                wait = wait.saturating_sub(slice);
            }
        }
    }
}

/// How long to wait between two looks at a file.
struct Pace {
    interval: Duration,
    /// How many looks in a row found nothing.
    quiet: u32,
}

impl Pace {
    fn new(interval: Duration) -> Self {
        Self { interval, quiet: 0 }
    }

    /// The wait after a look that took so long and moved the position so far. A log that grows is looked
    /// at every interval, one that does not less and less often. A long one is being read for at most a
    /// fifth of the time, and less while it does not grow, so that the cluster has time for others.
    fn after(&mut self, took: Duration, before: u64, position: u64) -> Duration {
        self.quiet = if position > before { 0 } else { (self.quiet + 1).min(20) };
        let slower = self.interval.mul_f64(1.25_f64.powf(f64::from(self.quiet)));
        let interval = slower.min(QUIET_INTERVAL.max(self.interval)).saturating_sub(took);
        if position <= SMALL {
            return interval;
        }
        let share = took * 4 * (1 << self.quiet.min(4));
        interval.max(share.min(Duration::from_secs(5)).max(took * 4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_log_that_grows_is_looked_at_every_interval() {
        let mut pace = Pace::new(50 * MS);
        assert_eq!(pace.after(10 * MS, 0, 100), 40 * MS);
        assert_eq!(pace.after(60 * MS, 100, 200), Duration::ZERO);
    }

    #[test]
    fn a_log_that_does_not_grow_is_looked_at_less_and_less_often_until_it_does() {
        let mut pace = Pace::new(50 * MS);
        let waits: Vec<_> = (0..20).map(|_| pace.after(Duration::ZERO, 7, 7)).collect();
        assert!(waits.is_sorted() && waits[0] > 50 * MS);
        assert_eq!(*waits.last().unwrap(), QUIET_INTERVAL);
        assert_eq!(pace.after(Duration::ZERO, 7, 8), 50 * MS);
        assert_eq!(Pace::new(2000 * MS).after(Duration::ZERO, 7, 7), 2000 * MS);
    }

    #[test]
    fn a_long_log_is_read_for_a_fifth_of_the_time_at_most() {
        let mut pace = Pace::new(50 * MS);
        assert_eq!(pace.after(100 * MS, 0, SMALL + 1), 400 * MS);
        assert_eq!(pace.after(100 * MS, SMALL + 1, SMALL + 1), 800 * MS);
        assert_eq!(pace.after(2000 * MS, SMALL + 1, SMALL + 1), 8000 * MS);
    }
}
