//! How long a change of Serve may take in all.

use std::time::{Duration, Instant};

use crate::deadline_lock::DeadlineLockGuard;
use crate::transport::Request;
use crate::{ClientError, RayClient};

/// What a change may take beyond the read timeout: the first deployment starts Serve, and a shutdown
/// waits until all replicas have ended.
pub(super) const EXTRA_TIME: Duration = Duration::from_secs(60);

const LAST_WAIT: Duration = Duration::from_secs(1);

/// The time by which a change has been made or fails, the wait for the lock included.
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

    /// The request, which ends by then. It gets at least a second, so that the last one can still tell
    /// why the change does not hold.
    pub(super) fn limit(&self, request: Request) -> Request {
        request.deadline(Some(self.end.max(Instant::now() + LAST_WAIT)))
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

    /// 408.
    pub(super) fn error(&self, operation: &str, why: &str) -> ClientError {
        ClientError::timeout(format_args!("{operation}: not done within {:?}: {why}", self.allowed))
    }
}
