//! The interval between two polls of a log. Pure.

use std::time::Duration;

/// Longest interval between polls of a silent log, unless the poll interval is longer. Also how long a
/// log must be silent before the job's status is requested.
pub(super) const QUIET: Duration = Duration::from_millis(500);

/// After more polls in a row without new bytes than this, the interval grows.
const GROWING: u32 = 8;

pub(super) struct Interval {
    poll: Duration,
    /// How many polls in a row found no new bytes.
    quiet: u32,
}

impl Interval {
    pub(super) fn new(poll: Duration) -> Self {
        Self { poll, quiet: 0 }
    }

    /// Resets the interval, because the log has grown.
    pub(super) fn reset(&mut self) {
        self.quiet = 0;
    }

    /// Returns the interval to the next poll: at first the poll interval, then growing by a quarter each
    /// time.
    pub(super) fn next(&mut self) -> Duration {
        let slower = self.quiet.saturating_sub(GROWING);
        self.quiet = (self.quiet + 1).min(GROWING + 20);
        let wait = self.poll.mul_f64(1.25_f64.powf(f64::from(slower)));
        wait.min(QUIET.max(self.poll))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn interval_grows_until_the_log_grows() {
        let mut interval = Interval::new(50 * MS);
        let waits: Vec<_> = (0..30).map(|_| interval.next()).collect();
        assert!(waits.is_sorted() && waits[8] == 50 * MS && waits[9] > 50 * MS);
        assert_eq!(*waits.last().unwrap(), QUIET);
        interval.reset();
        assert_eq!(interval.next(), 50 * MS);
    }

    #[test]
    fn long_interval_does_not_grow() {
        assert_eq!(Interval::new(2000 * MS).next(), 2000 * MS);
    }
}
