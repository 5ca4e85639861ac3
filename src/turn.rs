//! A lock that a caller waits for until a deadline.

use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

/// At most one caller has the turn.
pub(crate) struct Turn {
    take: Sender<()>,
    give_back: Receiver<()>,
}

/// Gives the turn back when dropped.
pub(crate) struct TurnGuard<'a>(&'a Turn);

impl Turn {
    /// Waits for the turn; `None` if others still have it at the deadline.
    pub(crate) fn take_until(&self, deadline: Instant) -> Option<TurnGuard<'_>> {
        self.take.send_deadline((), deadline).ok().map(|()| TurnGuard(self))
    }
}

impl Default for Turn {
    fn default() -> Self {
        let (take, give_back) = bounded(1);
        Self { take, give_back }
    }
}

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        let _ = self.0.give_back.try_recv();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_caller_waits_for_its_turn_until_the_deadline() {
        let turn = Turn::default();
        let soon = || Instant::now() + Duration::from_millis(20);
        let first = turn.take_until(soon());
        assert!(first.is_some());
        let deadline = soon();
        assert!(turn.take_until(deadline).is_none());
        assert!(Instant::now() >= deadline);
        drop(first);
        assert!(turn.take_until(soon()).is_some());
    }

    #[test]
    fn a_waiting_caller_gets_the_turn_that_is_given_back() {
        let turn = Turn::default();
        let first = turn.take_until(Instant::now());
        let minute = Instant::now() + Duration::from_secs(60);
        thread::scope(|scope| {
            let second = scope.spawn(|| turn.take_until(minute).is_some());
            drop(first);
            assert!(second.join().unwrap());
        });
    }
}
