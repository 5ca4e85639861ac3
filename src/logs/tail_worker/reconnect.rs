//! Decides whether and when a broken tail reconnects. Pure, except that it reads the clock.

use std::time::{Duration, Instant};

use crate::logs::options::Reconnects;
use crate::retry::RetryPolicy;

/// The pause before the first reconnect. It doubles each time; three pauses outlast a restart of the
/// dashboard (2 to 3 s, measured with Ray 2.60.0).
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The failures since the last successful read.
pub(super) struct Failures {
    allowed: Reconnects,
    backoff: RetryPolicy,
    count: u32,
    since: Option<Instant>,
}

impl Failures {
    pub(super) fn new(allowed: Reconnects) -> Self {
        let backoff = RetryPolicy::default().backoff(FIRST_PAUSE).cap(FIRST_PAUSE * 8);
        Self { allowed, backoff, count: 0, since: None }
    }

    pub(super) fn reset(&mut self) {
        (self.count, self.since) = (0, None);
    }

    /// Returns the number of reconnects since the last successful read.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Returns the pause before the next attempt, at least `retry_after`, but not beyond the time in which
    /// attempts are allowed. Returns `None` if no attempt is left.
    pub(super) fn next_pause(&mut self, retry_after: Option<Duration>) -> Option<Duration> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let is_allowed = match self.allowed {
            Reconnects::InARow(most) => self.count < most,
            Reconnects::For(most) => since.elapsed() < most,
        };
        self.count += u32::from(is_allowed);
        let pause = self.backoff.pause(self.count.max(1)).max(retry_after.unwrap_or_default());
        let pause = match self.allowed {
            Reconnects::InARow(_) => pause,
            Reconnects::For(most) => pause.min(most.saturating_sub(since.elapsed())),
        };
        is_allowed.then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successful_read_resets_the_count() {
        let mut failures = Failures::new(Reconnects::InARow(2));
        for _ in 0..3 {
            assert!(failures.next_pause(None).is_some());
            assert!(failures.next_pause(None).is_some());
            assert!(failures.next_pause(None).is_none());
            assert_eq!(failures.count(), 2);
            failures.reset();
        }
    }

    #[test]
    fn pauses_grow_and_obey_retry_after() {
        let mut failures = Failures::new(Reconnects::For(Duration::from_secs(600)));
        let pauses: Vec<_> = (0..6).map(|_| failures.next_pause(None).unwrap()).collect();
        assert!(pauses[0] >= FIRST_PAUSE / 2 && pauses[0] <= FIRST_PAUSE);
        assert!(pauses[5] >= FIRST_PAUSE * 4 && pauses[5] <= FIRST_PAUSE * 8);
        let after = Duration::from_secs(30);
        assert_eq!(failures.next_pause(Some(after)), Some(after));
    }

    #[test]
    fn reconnects_end_after_the_time() {
        let mut failures = Failures::new(Reconnects::For(Duration::ZERO));
        assert!(failures.next_pause(None).is_none());
    }
}
