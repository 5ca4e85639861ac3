//! Polling until something is so.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use crate::{ClientError, TimeoutKind};

/// Every poll gets at least this long, even if little of the timeout is left.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// A wait that may be gone on with after what it found.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    timeout: Duration,
    /// `None` for a timeout beyond what a clock can hold.
    end: Option<Instant>,
}

impl Wait {
    pub(crate) fn new(timeout: Duration) -> Result<Self, ClientError> {
        if timeout.is_zero() {
            return Err(ClientError::invalid("timeout: must be more than 0"));
        }
        Ok(Self { timeout, end: Instant::now().checked_add(timeout) })
    }

    /// Polls, at first every 100 ms and later every second, until the answer is what was waited for. An
    /// error that is retryable is a poll like any other; every other error ends the wait. `ask` tells by
    /// the inner `Err` how it is instead, and is given the time that no request should take longer than.
    /// 408 after the timeout, with `timeout_message` and how it was at last.
    pub(crate) fn until<T>(
        &self,
        timeout_message: impl fmt::Display,
        mut ask: impl FnMut(Option<Instant>) -> Result<Result<T, String>, ClientError>,
    ) -> Result<T, ClientError> {
        let mut pause = Duration::from_millis(100);
        loop {
            let deadline = self.end.map(|end| end.max(Instant::now() + LAST_WAIT));
            let status = match ask(deadline) {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(status)) => status,
                Err(error) if error.is_retryable() => error.to_string(),
                Err(error) => return Err(error),
            };
            let left = self.end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(ClientError::timeout(format_args!(
                    "{timeout_message} after the timeout of {:?} that was given: {status}",
                    self.timeout
                ))
                .of_kind(TimeoutKind::Wait));
            }
            thread::sleep(left.map_or(pause, |left| pause.min(left)));
            pause = (pause * 3 / 2).min(Duration::from_secs(1));
        }
    }
}

/// Waits for one thing, of which `ask` tells the status.
pub(crate) fn until<T>(
    timeout: Duration,
    timeout_message: impl fmt::Display,
    mut ask: impl FnMut(Option<Instant>) -> Result<Result<T, String>, ClientError>,
) -> Result<T, ClientError> {
    Wait::new(timeout)?.until(timeout_message, |deadline| {
        Ok(ask(deadline)?.map_err(|status| format!("it is {status}")))
    })
}
