//! One tail in its worker: attempts, the waits between them, and when to give up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::feed::{Feed, Interrupt, Step};
use super::pool::Control;
use crate::ClientError;
use crate::config::RetryPolicy;
use crate::transport::{Http, Register, Request, Stream, StreamError};

/// How long a read waits before the worker looks at the clock and at the job.
pub(super) const SLICE: Duration = Duration::from_millis(100);
const READ_SIZE: usize = 64 * 1024;

/// What an attempt came to.
pub(super) enum Progress {
    /// Every byte of the log was delivered.
    Complete,
    /// Look again: the job has started, or has ended.
    Again,
}

pub(super) struct Worker {
    pub(super) what: String,
    pub(super) http: Http,
    pub(super) feed: Feed,
    pub(super) stream_timeout: Duration,
    pub(super) reconnects: u32,
    pub(super) control: Arc<Control>,
}

impl Worker {
    /// Attempts until the log is complete. One that breaks off is followed by another, after a pause,
    /// as long as the log gets on or `reconnects` are left.
    pub(super) fn run(&mut self, mut attempt: impl FnMut(&mut Self) -> Step<Progress>) -> Step<()> {
        let backoff = RetryPolicy::default().backoff(Duration::from_millis(200));
        let mut failures = 0;
        loop {
            let before = self.feed.position();
            let error = match attempt(self) {
                Ok(Progress::Complete) => return Ok(()),
                Ok(Progress::Again) => continue,
                Err(Interrupt::Broken(error)) => error,
                Err(interrupt) => return Err(interrupt),
            };
            if self.feed.position() > before {
                failures = 0;
            }
            let silence = self.feed.silence();
            if failures >= self.reconnects || silence >= self.stream_timeout {
                return Err(Interrupt::Fatal(self.gave_up(error, failures)));
            }
            failures += 1;
            self.feed.pause(backoff.pause(failures).min(self.stream_timeout - silence))?;
        }
    }

    /// The error of the last attempt, as a timeout or as a break.
    fn gave_up(&self, error: ClientError, reconnects: u32) -> ClientError {
        if matches!(error, ClientError::Timeout { .. } | ClientError::LogLost { .. }) {
            return error;
        }
        let reason = error.to_string();
        let reason =
            reason.strip_prefix(&self.what).map_or(&*reason, |r| r.trim_start_matches(": "));
        ClientError::unreachable(format_args!(
            "{}: broke off at byte {} after {reconnects} reconnects: {reason}",
            self.what,
            self.feed.position(),
        ))
        .caused_by(error)
    }

    /// Fatal once the log has been silent for the stream timeout.
    pub(super) fn check_silence(&self, why: &str) -> Step<()> {
        if self.feed.silence() < self.stream_timeout {
            return Ok(());
        }
        Err(Interrupt::Fatal(ClientError::timeout(format_args!(
            "{}: silent for {:?}: {why}",
            self.what, self.stream_timeout
        ))))
    }

    /// Refuses to dial where the tail was closed meanwhile, and tracks the connection where not.
    pub(super) fn register(&self) -> Arc<Register> {
        let control = Arc::clone(&self.control);
        Arc::new(move |handle| control.register(handle))
    }

    pub(super) fn open(&self, request: &Request) -> Result<Stream, ClientError> {
        self.http.stream(request, SLICE)
    }

    /// Reads a stream to its end, giving every piece to `take`. In silence it calls `idle`, which ends
    /// the reading by returning `true`.
    pub(super) fn read(
        &mut self,
        mut stream: Stream,
        mut take: impl FnMut(&mut Self, &[u8]) -> Step<()>,
        mut idle: impl FnMut(&mut Self) -> Step<bool>,
    ) -> Step<()> {
        let mut buffer = vec![0; READ_SIZE];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => {
                    take(self, &buffer[..length])?;
                }
                Err(StreamError::Idle) => {
                    if idle(self)? {
                        return Ok(());
                    }
                }
                Err(StreamError::Broken(error)) => return Err(Interrupt::Broken(error)),
            }
        }
    }
}

/// Allows something once in a while.
pub(super) struct Every {
    interval: Duration,
    last: Instant,
}

impl Every {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, last: Instant::now() }
    }

    pub(super) fn is_due(&mut self) -> bool {
        let due = self.last.elapsed() >= self.interval;
        if due {
            self.last = Instant::now();
        }
        due
    }
}
