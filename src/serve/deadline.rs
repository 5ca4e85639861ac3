//! The time limit of a change of Serve.

use std::time::{Duration, Instant};

use crate::deadline_lock::DeadlineLockGuard;
use crate::transport::Request;
use crate::{ClientError, RayClient};

/// Added to the read timeout: the first deployment starts Serve, and a shutdown waits until all
/// replicas have stopped.
pub(super) const EXTRA_TIME: Duration = Duration::from_secs(60);

/// Every request gets at least this long, so the last one can still report why the change failed.
const MIN_REQUEST_TIME: Duration = Duration::from_secs(1);

/// The time at which a change fails. Includes the wait for the lock.
pub(super) struct Deadline {
    allowed: Duration,
    end: Instant,
}

impl Deadline {
    pub(super) fn of(client: &RayClient) -> Self {
        Self::after(client.http().read_timeout() + EXTRA_TIME)
    }

    pub(super) fn after(allowed: Duration) -> Self {
        Self { allowed, end: Instant::now() + allowed }
    }

    /// Limits the time of a request to what is left.
    pub(super) fn limit(&self, request: Request) -> Request {
        request.deadline(Some(self.end.max(Instant::now() + MIN_REQUEST_TIME)))
    }

    pub(super) fn has_passed(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Waits until no other clone of this client changes Serve.
    pub(super) fn lock_serve<'a>(
        &self,
        client: &'a RayClient,
        operation: &str,
    ) -> Result<DeadlineLockGuard<'a>, ClientError> {
        client
            .serve_lock()
            .lock_until(self.end)
            .ok_or_else(|| self.error(operation, "clones of this client were still changing Serve"))
    }

    /// Returns a 408 that names the reason.
    pub(super) fn error(&self, operation: &str, why: &str) -> ClientError {
        ClientError::timeout(format_args!("{operation}: not done within {:?}: {why}", self.allowed))
    }
}
