//! How long to wait between two polls at a log. Pure.

use std::time::Duration;

/// How often a log that does not grow is looked at, unless the poll interval is longer. Also how long a
/// log is silent before the job is asked for its status.
pub(super) const QUIET: Duration = Duration::from_millis(500);

/// A log counts as growing until so many polls in a row found nothing.
const GROWING: u32 = 8;

pub(super) struct Interval {
    poll: Duration,
    /// How many polls in a row found nothing.
    quiet: u32,
}

impl Interval {
    pub(super) fn new(poll: Duration) -> Self {
        Self { poll, quiet: 0 }
    }

    /// The log grew.
    pub(super) fn reset(&mut self) {
        self.quiet = 0;
    }

    /// The wait after a poll that found nothing: the poll interval at first, then more and more.
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
    fn a_log_that_does_not_grow_is_looked_at_less_and_less_often_until_it_does() {
        let mut interval = Interval::new(50 * MS);
        let waits: Vec<_> = (0..30).map(|_| interval.next()).collect();
        assert!(waits.is_sorted() && waits[8] == 50 * MS && waits[9] > 50 * MS);
        assert_eq!(*waits.last().unwrap(), QUIET);
        interval.reset();
        assert_eq!(interval.next(), 50 * MS);
    }

    #[test]
    fn an_interval_longer_than_that_stays() {
        assert_eq!(Interval::new(2000 * MS).next(), 2000 * MS);
    }
}
