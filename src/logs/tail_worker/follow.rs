//! The loop that follows a log to its end.
//!
//! It reads bytes from a source and sends them to the queue. It decides about reconnects and the end of
//! the tail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cancel::{Cancel, ClosedBy};
use super::interval::{Interval, QUIET};
use super::queue::Queue;
use super::reconnect::Failures;
use crate::jobs::JobStatus;
use crate::logging::record;
use crate::logs::followed_log::{FollowedLog, LogState};
use crate::logs::job_file::check_empty;
use crate::logs::options::TailOptions;
use crate::logs::request_context::RequestContext;
use crate::logs::source::{
    AgentSearch, Delivered, LogSource, ReadOutcome, TailError, TailResult, UnusableAgents,
};
use crate::logs::source_kind::SourceKind;
use crate::transport::Http;
use crate::{AgentAccess, ClientError};

/// How many times to retry when Ray reports a log as lost: a freshly started dashboard does not know
/// its nodes yet.
const MAX_LOST_RETRIES: u32 = 4;

/// Whether agents may be used, and which of them are unusable.
pub(in crate::logs) struct Agents {
    pub(in crate::logs) access: AgentAccess,
    pub(in crate::logs) addresses: Arc<UnusableAgents>,
}

pub(in crate::logs) struct Follower {
    pub(super) operation: String,
    pub(super) log: FollowedLog,
    pub(super) http: Http,
    pub(super) options: TailOptions,
    pub(super) agents: Agents,
    pub(super) cancel: Arc<Cancel>,
    pub(super) queue: Queue,
    pub(super) delivered: Delivered,
    /// Whether the next byte is the one before the start position. The caller does not get it; it only
    /// shows whether the position is inside a `\r\n`.
    is_before: bool,
    /// Selected after the first response.
    pub(super) source_kind: Option<SourceKind>,
    pub(super) last_lines: Option<usize>,
    failures: Failures,
    lost: u32,
    /// When silence began: at the last new byte, or later while the end of the log is checked.
    pub(super) silent_since: Instant,
    /// Whether the caller was slow to take the last bytes, so that the job may have ended since they were read.
    was_blocked: bool,
    /// Since when the job has been PENDING. Reconnects do not reset it.
    pub(super) pending_since: Option<Instant>,
    pub(super) search: Option<AgentSearch>,
    pub(super) no_search_before: Instant,
}

/// The outcome of an attempt.
pub(super) enum AttemptOutcome {
    /// The whole log was delivered.
    Complete,
    /// The next attempt must start immediately.
    Retry,
}

/// A source that is being read.
pub(super) struct OpenSource {
    pub(super) source: Box<dyn LogSource>,
    /// The agent's address, if the source is an agent.
    pub(super) agent: Option<String>,
    pub(super) is_over: bool,
}

impl OpenSource {
    pub(super) fn nothing_more_is_written(&mut self) {
        self.is_over = true;
        self.source.nothing_more_is_written();
    }
}

impl Follower {
    pub(in crate::logs) fn new(
        operation: String,
        log: FollowedLog,
        http: Http,
        options: TailOptions,
        agents: Agents,
        cancel: Arc<Cancel>,
        queue: Queue,
    ) -> Self {
        // Start one byte earlier: a `\n` at the position ends no line of its own after a `\r`.
        let position = options.from_position.unwrap_or(0);
        Self {
            operation,
            log,
            http,
            agents,
            cancel,
            queue,
            delivered: Delivered::from(position.saturating_sub(1)),
            is_before: position > 0,
            source_kind: None,
            last_lines: options.last_lines,
            failures: Failures::new(options.reconnects),
            lost: 0,
            silent_since: Instant::now(),
            was_blocked: false,
            pending_since: None,
            search: None,
            no_search_before: Instant::now(),
            options,
        }
    }

    /// Follows the log to its end, and sends the result to the iterator.
    pub(in crate::logs) fn run(mut self) {
        record!(
            Debug,
            "tail",
            "{}: opened, {:?}, agents {:?}",
            self.operation,
            self.options.protocol,
            self.agents.access
        );
        let result = match self.follow_to_the_end() {
            // The error is only a result of the closing.
            Err(_) if self.is_closed() => Err(TailError::Cancelled),
            result => result,
        };
        let position = self.delivered.position();
        match (&result, self.cancel.closed_by()) {
            (_, Some(by)) => {
                record!(Debug, "tail", "{}: closed at byte {position} ({by:?})", self.operation);
            }
            (
                Err(TailError::Agent(error) | TailError::Broken(error) | TailError::Fatal(error)),
                _,
            ) => {
                record!(
                    Debug,
                    "tail",
                    "{}: ended at byte {position}: {}",
                    self.operation,
                    self.cause(error)
                );
            }
            _ => record!(Debug, "tail", "{}: complete, {position} bytes", self.operation),
        }
        // Close the connections first: `finish` waits if the caller is slow to read the last lines.
        self.cancel.close_connections();
        self.queue.finish(result);
        self.cancel.close(ClosedBy::Worker);
    }

    /// Makes attempts until the log is complete. Pauses after each attempt that breaks.
    fn follow_to_the_end(&mut self) -> TailResult<()> {
        loop {
            let error = match self.attempt() {
                Ok(AttemptOutcome::Complete) => return Ok(()),
                Ok(AttemptOutcome::Retry) => continue,
                Err(TailError::Agent(error) | TailError::Broken(error)) => error,
                Err(error) => return Err(error),
            };
            self.lost =
                if matches!(error, ClientError::LogLost { .. }) { self.lost + 1 } else { 0 };
            let pending = self.time_to_pending_timeout();
            if pending.is_some_and(|left| left.is_zero()) {
                let cause = self.cause(&error);
                let why = format!("; the last request failed: {cause}");
                let error = self.pending_timeout("is not known to have left PENDING", &why);
                return Err(TailError::Fatal(error));
            }
            let left = self.time_to_silence();
            let may_go_on =
                self.lost <= MAX_LOST_RETRIES && left.is_none_or(|left| !left.is_zero());
            let pause =
                if may_go_on { self.failures.next_pause(error.retry_after()) } else { None };
            let Some(pause) = pause else {
                return Err(TailError::Fatal(self.gave_up(error)));
            };
            let pause = left.into_iter().chain(pending).fold(pause, Duration::min);
            if !self.is_closed() {
                record!(
                    Warn,
                    "tail",
                    "{}: reconnect {} in {} ms, from byte {}: {}",
                    self.operation,
                    self.failures.count(),
                    pause.as_millis(),
                    self.delivered.position(),
                    self.cause(&error)
                );
            }
            self.queue.pause(pause)?;
        }
    }

    /// Opens a source and reads it until the log is complete, the source changes, or an error occurs.
    fn attempt(&mut self) -> TailResult<AttemptOutcome> {
        let state = self.wait_until_started()?;
        if !state.has_log {
            return self.ended(None);
        }
        let Some(mut open) = self.open(&state)? else { return Ok(AttemptOutcome::Retry) };
        if let Err(cause) = self.go_to_last_lines(&mut open) {
            return self.give_up_source(&state, &open, cause);
        }
        self.record_source(&open);
        let mut interval = Interval::new(self.options.poll_interval);
        let mut asked = Instant::now();
        loop {
            let begun = Instant::now();
            let is_last = self.time_to_silence().is_some_and(|left| left.is_zero());
            let outcome = match open.source.read(&self.delivered) {
                Ok(outcome) => outcome,
                Err(cause) => return self.give_up_source(&state, &open, cause),
            };
            // Must come before the delivery: after a pause, the bytes may be those of another job that
            // reuses the id.
            self.ask_if_quiet(&mut asked, &mut open)?;
            if let ReadOutcome::Complete = outcome {
                return self.ended(Some(&state));
            }
            let is_blocked = matches!(outcome, ReadOutcome::NotBefore(_));
            let wait = self.handle_outcome(outcome, begun, is_last, &mut open, &mut interval)?;
            let wait = wait.saturating_sub(begun.elapsed());
            // A source that must not be read yet cannot tell whether the log is silent.
            let silence = self.time_to_silence().filter(|_| !is_blocked);
            let wait = silence.map_or(wait, |left| wait.min(left));
            if !wait.is_zero() && !open.is_over {
                self.queue.pause(wait)?;
            }
            self.switch_to_agent(&state, &mut open);
        }
    }

    /// Handles the outcome of a read. Returns the interval from the start of this read to the next one.
    fn handle_outcome(
        &mut self,
        outcome: ReadOutcome,
        begun: Instant,
        is_last: bool,
        open: &mut OpenSource,
        interval: &mut Interval,
    ) -> TailResult<Duration> {
        if !matches!(outcome, ReadOutcome::Data { .. } | ReadOutcome::Continue) {
            self.queue.flush()?;
        }
        match outcome {
            ReadOutcome::Data { bytes, is_up_to_date } => {
                self.deliver(&bytes, !is_up_to_date)?;
                interval.reset();
                return Ok(if is_up_to_date { interval.next() } else { Duration::ZERO });
            }
            ReadOutcome::Message(bytes) => {
                self.queue.count_message()?;
                self.deliver(&bytes, false)?;
            }
            ReadOutcome::UpToDate => {
                self.note_success();
                self.check_silence(is_last, open, "nothing new was written")?;
                return Ok(interval.next());
            }
            ReadOutcome::Idle { is_settled } => {
                if is_settled {
                    self.note_success();
                }
                self.check_silence(is_last, open, "the WebSocket sent nothing")?;
            }
            ReadOutcome::NotBefore(time) => {
                return Ok(time.saturating_duration_since(Instant::now()).min(QUIET));
            }
            ReadOutcome::Closed | ReadOutcome::Complete => {
                let now = self.log_state()?;
                if !now.is_over {
                    return Err(self.closed_early(&now));
                }
                self.note_end(open);
            }
            ReadOutcome::Continue => {
                // A long log is read again after a reconnect, which may take longer than the stream timeout.
                // If the connection then breaks, the tail must still reconnect. Before the job's end, only
                // the time of the read itself does not count: otherwise, a log that repeats itself and is
                // read again from time to time would never be silent.
                let now = Instant::now();
                self.silent_since =
                    if open.is_over { now } else { now.min(self.silent_since + begun.elapsed()) };
            }
        }
        Ok(Duration::ZERO)
    }

    /// Requests the job's status if the last bytes were read more than 500 ms ago, at most every 500 ms.
    fn ask_if_quiet(&mut self, asked: &mut Instant, open: &mut OpenSource) -> TailResult<()> {
        let is_quiet = self.silent_since.elapsed() >= QUIET && !open.is_over;
        let may_ask = asked.elapsed() >= QUIET.max(self.options.poll_interval);
        if !may_ask || !(is_quiet || self.was_blocked) {
            return Ok(());
        }
        *asked = Instant::now();
        self.was_blocked = false;
        match self.log_state() {
            Ok(state) if state.is_over => self.note_end(open),
            Ok(_) => {}
            // The job was deleted after its end, which does not delete its log.
            Err(TailError::Fatal(error)) if open.is_over && error.status() == 404 => {}
            Err(cause) => return Err(cause),
        }
        Ok(())
    }

    /// Tells the source that the job has finished. Now the end of the log is checked, so the time before it
    /// no longer counts as silence: it must not keep the tail from reconnecting. A source that is opened
    /// later knows the end already.
    pub(super) fn note_end(&mut self, open: &mut OpenSource) {
        if !open.is_over {
            open.nothing_more_is_written();
            self.silent_since = Instant::now();
        }
    }

    fn go_to_last_lines(&mut self, open: &mut OpenSource) -> TailResult<()> {
        let Some(lines) = self.last_lines else { return Ok(()) };
        let begun = Instant::now();
        let start = open.source.start_of_last_lines(lines);
        // The whole log may be read for them, which may take longer than the stream timeout. That is not
        // silence.
        self.silent_since = Instant::now().min(self.silent_since + begun.elapsed());
        let start = start?;
        self.delivered = Delivered::from(start);
        self.last_lines = None;
        self.queue.begin_at(start, false)
    }

    pub(super) fn log_state(&mut self) -> TailResult<LogState> {
        self.log.state(&self.request_context())
    }

    pub(super) fn request_context(&self) -> RequestContext {
        RequestContext {
            operation: self.operation.clone(),
            http: self.http.clone(),
            stall_timeout: self.options.stall_timeout(),
        }
    }

    /// Sends the next bytes of the log to the queue.
    fn deliver(&mut self, bytes: &[u8], more_follow: bool) -> TailResult<()> {
        let mut new = bytes;
        if let (true, [before, rest @ ..]) = (self.is_before, bytes) {
            self.is_before = false;
            if *before == b'\r' {
                self.queue.begin_at(self.delivered.position() + 1, true)?;
            }
            new = rest;
        }
        self.delivered.push(bytes);
        let begun = Instant::now();
        let result = self.queue.deliver(new, more_follow);
        self.was_blocked |= begun.elapsed() >= QUIET;
        self.note_success();
        // Not earlier, because a slow caller may have kept the worker waiting.
        self.silent_since = Instant::now();
        result
    }

    /// Resets the count of failures after a successful poll.
    pub(super) fn note_success(&mut self) {
        if self.failures.count() > 0 {
            record!(
                Info,
                "tail",
                "{}: continues after {} reconnects, at byte {}",
                self.operation,
                self.failures.count(),
                self.delivered.position()
            );
        }
        self.failures.reset();
    }

    /// Whether the tail was closed. A failure is then only a result of that.
    pub(super) fn is_closed(&self) -> bool {
        self.cancel.closed_by().is_some()
    }

    /// Logs the source that is read from now on.
    pub(super) fn record_source(&self, open: &OpenSource) {
        let (source, address) = match (&open.agent, self.source_kind) {
            (Some(address), _) => ("agent", &**address),
            (None, Some(SourceKind::WebSocket { .. })) => ("WebSocket", self.http.address()),
            (None, _) => ("dashboard", self.http.address()),
        };
        let position = self.delivered.position();
        record!(
            Debug,
            "tail",
            "{}: reads from the {source} at {address}, from byte {position}",
            self.operation
        );
    }

    /// Returns `Complete`, or an error if the start position is past the end of the log or the log is gone.
    fn ended(&self, state: Option<&LogState>) -> TailResult<AttemptOutcome> {
        if self.is_before {
            return Err(TailError::Fatal(ClientError::invalid(format_args!(
                "{}: position {} is beyond the end of the log",
                self.operation,
                self.delivered.position() + 1
            ))));
        }
        let job = state.and_then(|state| state.job.as_ref());
        if let Some(job) = job.filter(|_| self.delivered.position() == 0) {
            check_empty(&self.http, &self.operation, job).map_err(TailError::classify)?;
        }
        Ok(AttemptOutcome::Complete)
    }

    /// Returns the final error: that of the last attempt, usually with the position and the reconnects.
    fn gave_up(&self, error: ClientError) -> ClientError {
        if matches!(error, ClientError::Timeout { .. } | ClientError::LogLost { .. }) {
            return error;
        }
        let message = format!(
            "{}: gave up at byte {} after {} reconnects: {}",
            self.operation,
            self.delivered.position(),
            self.failures.count(),
            self.cause(&error)
        );
        match &error {
            ClientError::Rejected { .. } => error.reworded(message),
            ClientError::Unexpected { .. } => ClientError::unexpected(message).caused_by(error),
            _ => ClientError::unreachable(message).caused_by(error),
        }
    }

    /// Returns an error's message without the name of this tail.
    pub(super) fn cause(&self, error: &ClientError) -> String {
        let cause = error.to_string();
        match cause.strip_prefix(&*self.operation) {
            Some(cause) => cause.trim_start_matches(": ").to_owned(),
            None => cause,
        }
    }

    fn closed_early(&self, state: &LogState) -> TailError {
        TailError::Broken(ClientError::unreachable(format_args!(
            "{}: the server closed the WebSocket while the job is {}",
            self.operation,
            state.status().map_or("not finished", JobStatus::as_str)
        )))
    }
}
