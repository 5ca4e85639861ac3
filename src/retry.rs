//! `RetryPolicy`: how often idempotent calls are retried, and the pauses between attempts.

use std::time::Duration;

use crate::ClientError;

/// How often idempotent calls are retried, and the pauses between attempts.
///
/// The client retries if it cannot connect, if the connection breaks, if the server answers 429, 502, 503
/// or 504, or if a gateway answers 403 or 404. It does not retry a timeout (408), because that has already
/// used its time.
///
/// All calls are idempotent except `deploy_serve_application` and `delete_serve_application`: their PUT
/// contains all applications, and sent again later it could undo changes of others. [`submit_job`] is
/// idempotent because Ray accepts a submission id only once.
///
/// Tails do not use this policy; they [reconnect](crate::TailOptions::reconnects).
///
/// ```no_run
/// use std::time::Duration;
///
/// use ray_client::{RayClient, RetryPolicy};
///
/// let policy = RetryPolicy::default().attempts(6).backoff(Duration::from_millis(200));
/// let client = RayClient::builder("http://ray-head:8265").retry(policy).build()?;
/// # Ok::<(), ray_client::ClientError>(())
/// ```
///
/// [`submit_job`]: crate::RayClient::submit_job
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
    /// Returns a policy without retries.
    pub fn none() -> Self {
        Self::default().attempts(1)
    }

    /// Sets the total number of attempts. 1 means no retries.
    ///
    /// Must be 1 to 100. Defaults to 3.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the pause before the second attempt. It doubles with each further attempt.
    ///
    /// Up to half of each pause is subtracted at random (jitter). A longer `Retry-After` of the server
    /// takes precedence. Zero means no pause. Defaults to 50 milliseconds.
    #[must_use]
    pub fn backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets the maximum pause, except for a longer `Retry-After` of the server.
    ///
    /// Zero means no pause. Defaults to 2 seconds.
    #[must_use]
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// Sets the time after the start of the call beyond which no new attempt starts.
    ///
    /// It does not interrupt an attempt, and the duration of package uploads does not count towards
    /// it. Zero means no retries. Defaults to 60 seconds.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Returns the pause after this many attempts.
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
