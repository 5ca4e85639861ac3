//! One tail in its worker: attempts, the waits between them, and when to give up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::feed::{Feed, Interrupt, Step};
use super::pool::Control;
use crate::ClientError;
use crate::config::RetryPolicy;
use crate::transport::{Answer, Http, Register, Request, StreamError};

/// How long a read waits before the worker looks at the clock and at the job.
pub(super) const SLICE: Duration = Duration::from_millis(100);
/// The pause before the first reconnect. With two more, doubled each, they outlast a dashboard that
/// restarts (2 to 3 s, measured on Ray 2.60.0).
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How often a log that is lost is asked for again: right after its start, a dashboard does not know
/// the nodes yet.
const LOST_AGAIN: u32 = 4;
/// How long an answer, and the first byte of its body, is waited for at least.
const LAST_WAIT: Duration = Duration::from_secs(1);
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
        let backoff = RetryPolicy::default().backoff(FIRST_PAUSE).cap(FIRST_PAUSE * 8);
        let mut failures = 0;
        let mut lost = 0;
        let mut position = self.feed.position();
        loop {
            let error = match attempt(self) {
                Ok(Progress::Complete) => return Ok(()),
                Ok(Progress::Again) => continue,
                Err(Interrupt::Broken(error)) => error,
                Err(interrupt) => return Err(interrupt),
            };
            if self.feed.position() > position {
                failures = 0;
                position = self.feed.position();
            }
            let left = self.time_to_silence();
            lost = if matches!(error, ClientError::LogLost { .. }) { lost + 1 } else { 0 };
            if failures >= self.reconnects || lost > LOST_AGAIN || left.is_zero() {
                return Err(Interrupt::Fatal(self.gave_up(error, failures)));
            }
            failures += 1;
            self.feed.pause(backoff.pause(failures).min(left))?;
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
        let message = format!(
            "{}: broke off at byte {} after {reconnects} reconnects: {reason}",
            self.what,
            self.feed.position(),
        );
        match &error {
            ClientError::Rejected { .. } => error.reworded(message),
            ClientError::Unexpected { .. } => ClientError::unexpected(message).caused_by(error),
            _ => ClientError::unreachable(message).caused_by(error),
        }
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

    /// The answer to a request, waited for as long as the log may stay silent. What decides whether
    /// the log is over is asked for in any case.
    pub(super) fn send(&self, request: Request) -> Step<Answer> {
        self.http.send(&self.hurried(request)).map_err(Interrupt::of)
    }

    /// The request with what is left of the stream timeout as its deadline.
    pub(super) fn hurried(&self, request: Request) -> Request {
        request.deadline(Some(Instant::now() + self.time_to_silence().max(LAST_WAIT)))
    }

    /// What is left of the stream timeout.
    pub(super) fn time_to_silence(&self) -> Duration {
        self.stream_timeout.saturating_sub(self.feed.silence())
    }

    /// The log is complete, unless it ends `beyond` bytes before the position: the caller began there,
    /// or the log became shorter.
    pub(super) fn ended(&self, beyond: u64) -> Step<Progress> {
        if beyond == 0 {
            return Ok(Progress::Complete);
        }
        if self.feed.has_delivered() {
            return Err(Interrupt::Fatal(ClientError::log_lost(format_args!(
                "{}: the log became shorter than what was delivered, by {beyond} bytes",
                self.what
            ))));
        }
        Err(Interrupt::Fatal(ClientError::invalid(format_args!(
            "{}: position {} is beyond the end of the log by {beyond} bytes",
            self.what,
            self.feed.position()
        ))))
    }

    /// The end of a connection where nothing tells that it is the end of the log.
    pub(super) fn broke_off(&self) -> Interrupt {
        let what = &self.what;
        Interrupt::Broken(ClientError::unreachable(format_args!(
            "{what}: the connection broke off"
        )))
    }

    /// Refuses to dial where the tail was closed meanwhile, and tracks the connection where not.
    pub(super) fn register(&self) -> Arc<Register> {
        let control = Arc::clone(&self.control);
        Arc::new(move |handle| control.register(handle))
    }

    /// Reads the answer to its end, giving every piece to `take`. Whether that is the end that the
    /// server meant.
    pub(super) fn read(
        &mut self,
        request: Request,
        mut take: impl FnMut(&mut Self, &[u8]) -> Step<()>,
    ) -> Step<bool> {
        let request = self.hurried(request);
        let mut stream = self.http.stream(&request, SLICE).map_err(Interrupt::of)?;
        let mut buffer = vec![0; READ_SIZE];
        let begun = Instant::now();
        let mut last_piece = None;
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(stream.has_end),
                Ok(length) => {
                    take(self, &buffer[..length])?;
                    last_piece = Some(Instant::now());
                }
                // What comes once more is nothing new, but it is no silence.
                Err(StreamError::Idle) => {
                    let is_late = last_piece.map_or(begun.elapsed() >= LAST_WAIT, |at: Instant| {
                        at.elapsed() >= self.stream_timeout
                    });
                    if is_late {
                        self.check_silence("the log does not come")?;
                    }
                }
                Err(StreamError::Broken(error)) => return Err(Interrupt::Broken(error)),
            }
        }
    }
}
