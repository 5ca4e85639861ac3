//! Asking again until something is so.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use crate::{ClientError, TimeoutKind};

/// Every poll gets at least this long, even if little of the timeout is left.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Polls, at first every 100 ms and later every second, until the answer is what was waited for. An error
/// that is retryable is a poll like any other; every other error ends the wait. `ask` says how it is
/// instead by the inner `Err`, and is given the time that no request should take longer than. 408 after
/// `timeout`, with `not_so` and how it was at last.
pub(crate) fn until<T>(
    timeout: Duration,
    not_so: impl fmt::Display,
    mut ask: impl FnMut(Option<Instant>) -> Result<Result<T, String>, ClientError>,
) -> Result<T, ClientError> {
    if timeout.is_zero() {
        return Err(ClientError::invalid("timeout: must be more than 0"));
    }
    // A timeout beyond what a clock can hold is no timeout.
    let end = Instant::now().checked_add(timeout);
    let mut pause = Duration::from_millis(100);
    loop {
        let deadline = end.map(|end| end.max(Instant::now() + LAST_WAIT));
        let how = match ask(deadline) {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(status)) => format!("it is {status}"),
            Err(error) if error.is_retryable() => error.to_string(),
            Err(error) => return Err(error),
        };
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(ClientError::timeout(format_args!(
                "{not_so} after the timeout of {timeout:?} that was given: {how}"
            ))
            .of_kind(TimeoutKind::Wait));
        }
        thread::sleep(left.map_or(pause, |left| pause.min(left)));
        pause = (pause * 3 / 2).min(Duration::from_secs(1));
    }
}
