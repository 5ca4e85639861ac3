//! Sends requests, and repeats idempotent ones if the error is retryable, for example 429. Obeys
//! `Retry-After`. Tails have no retries here: they reconnect in `logs/tail_worker/reconnect.rs`.

use std::time::Instant;

use super::body::Response;
use super::error::never_arrived;
use super::http::Http;
use super::request::Request;
#[cfg(feature = "packages")]
use super::request::Upload;
use crate::ClientError;
use crate::logging::record;

impl Http {
    /// Sends the request and reads the whole response, with retries.
    pub(crate) fn send(&self, request: &Request) -> Result<Response, ClientError> {
        self.send_tracking_arrival(request).0
    }

    /// Like [`send`](Self::send), and also returns whether an attempt before the last may have reached
    /// the server.
    pub(crate) fn send_tracking_arrival(
        &self,
        request: &Request,
    ) -> (Result<Response, ClientError>, bool) {
        self.attempts(request, false, || self.send_once(request, None))
    }

    /// Calls `read` until it succeeds, with the same retries as [`send`](Self::send). For responses that are
    /// read as streams.
    pub(crate) fn retrying<T>(
        &self,
        request: &Request,
        read: impl FnMut() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        self.attempts(request, false, read).0
    }

    /// Sends a body of `length` bytes while reading it, with retries. Each attempt calls `open`, which
    /// returns the body from its start. A `ClientError` inside the body's `io::Error` is returned as it is.
    #[cfg(feature = "packages")]
    pub(crate) fn upload<'b>(
        &self,
        request: &Request,
        length: u64,
        open: impl Fn() -> std::io::Result<Box<dyn std::io::Read + 'b>>,
    ) -> Result<Response, ClientError> {
        let upload = Upload { length, open: &open };
        self.attempts(request, true, || self.send_once(request, Some(&upload))).0
    }

    fn attempts<T>(
        &self,
        request: &Request,
        is_upload: bool,
        mut once: impl FnMut() -> Result<T, ClientError>,
    ) -> (Result<T, ClientError>, bool) {
        let policy = &self.settings.retry;
        let mut start = Instant::now();
        let mut attempt = 1;
        let mut arrived = false;
        loop {
            let began = Instant::now();
            let error = match once() {
                Ok(response) => return (Ok(response), arrived),
                Err(error) => error,
            };
            if is_upload {
                // A large one may take longer than the deadline, and would never be tried again.
                start += began.elapsed();
            }
            let pause = policy.pause(attempt).max(error.retry_after().unwrap_or_default());
            // A pause that the clock cannot represent is longer than any deadline.
            let in_time = Instant::now().checked_add(pause).is_some_and(|resume| {
                resume.duration_since(start) <= policy.deadline
                    && request.deadline.is_none_or(|deadline| resume < deadline)
            });
            let worth_it = error.is_retryable() && !matches!(error, ClientError::Timeout { .. });
            if !(request.is_idempotent && worth_it && attempt < policy.attempts && in_time) {
                return (Err(error), arrived);
            }
            arrived |= !never_arrived(&error);
            record!(
                Warn,
                "http",
                "{error} (attempt {attempt} of {}, the next in {} ms)",
                policy.attempts,
                pause.as_millis()
            );
            std::thread::sleep(pause);
            attempt += 1;
        }
    }
}
