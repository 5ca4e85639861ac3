//! When an idempotent call is tried again.

use std::time::Duration;

use crate::ClientError;

/// How idempotent calls are tried again: on a connection that cannot be made or breaks off, and on
/// 429, 502, 503 and 504.
///
/// GET and DELETE are idempotent, and so is [`deploy_serve_applications`]. [`submit_job`] is, since its
/// submission id makes a second arrival of the same request harmless, and so is [`stop_job`]. The PUT
/// that changes one Serve application is not, since it holds the state of all. A timeout (408) is not
/// tried again: it has taken its time already.
///
/// [`deploy_serve_applications`]: crate::RayClient::deploy_serve_applications
/// [`submit_job`]: crate::RayClient::submit_job
/// [`stop_job`]: crate::RayClient::stop_job
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    pub(crate) attempts: u32,
    pub(crate) backoff: Duration,
    pub(crate) cap: Duration,
    pub(crate) deadline: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Duration::from_millis(50),
            cap: Duration::from_secs(2),
            deadline: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// No second attempt.
    pub fn none() -> Self {
        Self::default().attempts(1)
    }

    /// How often a call is tried in all, from 1 (never again) to 100. Defaults to 3.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// The pause before the second attempt; it doubles with each further one, and up to half of it
    /// is subtracted at random (jitter). Defaults to 50 ms; zero means no pause.
    #[must_use]
    pub fn backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }

    /// The longest pause, but for a longer `Retry-After` of the server. Defaults to 2 s.
    #[must_use]
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// No attempt begins once this much time has passed since the call began, without the time that
    /// uploads of packages took. Defaults to 60 s; zero means no second attempt.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The pause after this many attempts: exponential, capped, with jitter.
    pub(crate) fn pause(&self, attempts: u32) -> Duration {
        let doubled = self.backoff.saturating_mul(1 << (attempts - 1).min(16));
        let half = doubled.min(self.cap) / 2;
        half + half.mul_f64(rand::random_range(0.0..1.0))
    }

    pub(crate) fn check(&self) -> Result<(), ClientError> {
        if (1..=100).contains(&self.attempts) {
            return Ok(());
        }
        Err(ClientError::invalid(format_args!(
            "retry attempts: must be 1 to 100, is {}",
            self.attempts
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap() {
        let policy = RetryPolicy::default();
        for (attempts, most) in [(1, 50), (2, 100), (3, 200), (7, 2000), (99, 2000)] {
            let pause = policy.pause(attempts);
            assert!(
                pause <= Duration::from_millis(most) && pause * 2 >= Duration::from_millis(most)
            );
        }
    }
}
