//! A mutex whose `lock` has a deadline.

use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

/// A mutex without data.
pub(crate) struct DeadlineLock {
    lock: Sender<()>,
    unlock: Receiver<()>,
}

/// Unlocks when dropped.
pub(crate) struct DeadlineLockGuard<'a>(&'a DeadlineLock);

impl DeadlineLock {
    /// Waits for the lock. Returns `None` if it is still held at the deadline.
    pub(crate) fn lock_until(&self, deadline: Instant) -> Option<DeadlineLockGuard<'_>> {
        self.lock.send_deadline((), deadline).ok().map(|()| DeadlineLockGuard(self))
    }
}

impl Default for DeadlineLock {
    fn default() -> Self {
        let (lock, unlock) = bounded(1);
        Self { lock, unlock }
    }
}

impl Drop for DeadlineLockGuard<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock.try_recv();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn lock_until_returns_none_at_the_deadline() {
        let lock = DeadlineLock::default();
        let soon = || Instant::now() + Duration::from_millis(20);
        let first = lock.lock_until(soon());
        assert!(first.is_some());
        let deadline = soon();
        assert!(lock.lock_until(deadline).is_none());
        assert!(Instant::now() >= deadline);
        drop(first);
        assert!(lock.lock_until(soon()).is_some());
    }

    #[test]
    fn a_waiting_caller_gets_the_released_lock() {
        let lock = DeadlineLock::default();
        let first = lock.lock_until(Instant::now());
        let minute = Instant::now() + Duration::from_secs(60);
        thread::scope(|scope| {
            let second = scope.spawn(|| lock.lock_until(minute).is_some());
            drop(first);
            assert!(second.join().unwrap());
        });
    }
}
