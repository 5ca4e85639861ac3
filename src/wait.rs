//! Polls until a condition is met or a timeout expires.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use crate::logging::record;
use crate::{ClientError, TimeoutKind};

/// Every poll gets at least this long, even if less of the timeout is left.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// A timeout that several waits can share.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    timeout: Duration,
    /// `None` if the timeout is longer than the clock can represent.
    end: Option<Instant>,
}

impl Wait {
    pub(crate) fn new(timeout: Duration) -> Result<Self, ClientError> {
        if timeout.is_zero() {
            return Err(ClientError::invalid("timeout: must be more than 0"));
        }
        Ok(Self { timeout, end: Instant::now().checked_add(timeout) })
    }

    /// Polls until `poll` returns `Ok(Ok(_))`, at first every 100 ms and later every second.
    ///
    /// `poll` receives a deadline for its requests. If the condition is not met yet, it returns the current
    /// status as the inner `Err`. A retryable error continues the wait, any other error ends it. After the
    /// timeout, the wait fails with 408, `timeout_message` and the last status.
    pub(crate) fn until<T>(
        &self,
        timeout_message: impl fmt::Display,
        mut poll: impl FnMut(Option<Instant>) -> Result<Result<T, String>, ClientError>,
    ) -> Result<T, ClientError> {
        let mut pause = Duration::from_millis(100);
        loop {
            let deadline = self.end.map(|end| end.max(Instant::now() + LAST_WAIT));
            let status = match poll(deadline) {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(status)) => status,
                Err(error) if error.is_retryable() => {
                    record!(Warn, "http", "{error} (the next poll is in {} ms)", pause.as_millis());
                    error.to_string()
                }
                Err(error) => return Err(error),
            };
            let left = self.end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(ClientError::timeout(format_args!(
                    "{timeout_message} after the timeout of {:?}: {status}",
                    self.timeout
                ))
                .of_kind(TimeoutKind::Wait));
            }
            thread::sleep(left.map_or(pause, |left| pause.min(left)));
            pause = (pause * 3 / 2).min(Duration::from_secs(1));
        }
    }
}

/// Like [`Wait::until`], for a single wait. The message says `it is` before the status.
pub(crate) fn until<T>(
    timeout: Duration,
    timeout_message: impl fmt::Display,
    mut poll: impl FnMut(Option<Instant>) -> Result<Result<T, String>, ClientError>,
) -> Result<T, ClientError> {
    Wait::new(timeout)?.until(timeout_message, |deadline| {
        Ok(poll(deadline)?.map_err(|status| format!("it is {status}")))
    })
}
