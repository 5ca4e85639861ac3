//! The loop that follows a log to its end. It owns silence, reconnects, and what the end is; a source
//! below it gives the bytes, and the queue takes them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cancel::{Cancel, ClosedBy};
use super::interval::{Interval, QUIET};
use super::queue::Queue;
use super::reconnect::Failures;
use crate::jobs::JobStatus;
use crate::logs::followed_log::{FollowedLog, LogState};
use crate::logs::job_file::check_empty;
use crate::logs::options::TailOptions;
use crate::logs::request_context::RequestContext;
use crate::logs::source::{
    AgentSearch, Certainty, Delivered, LogSource, ReadOutcome, TailError, TailResult,
    UnusableAgents,
};
use crate::logs::source_kind::SourceKind;
use crate::state::unmet_demands;
use crate::transport::Http;
use crate::{AgentAccess, ClientError};

/// How often a log that is lost is asked for again: right after its start, a dashboard does not know
/// the nodes yet.
const MAX_LOST_RETRIES: u32 = 4;

/// How often a log is looked at that holds nothing yet, unless the poll interval is longer.
const FIRST_BYTES: Duration = Duration::from_millis(200);

/// Whether agents may be used, and which of them cannot.
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
    /// Whether the next byte stands before the position, and only tells whether a line goes on there.
    is_before: bool,
    /// Decided with the first contact.
    pub(super) source_kind: Option<SourceKind>,
    pub(super) last_lines: Option<usize>,
    failures: Failures,
    lost: u32,
    last_byte: Instant,
    /// Since when the job is PENDING, also over reconnects.
    pending_since: Option<Instant>,
    pub(super) search: Option<AgentSearch>,
    pub(super) no_search_before: Instant,
}

/// What came of an attempt.
pub(super) enum AttemptOutcome {
    /// Every byte of the log was delivered.
    Complete,
    /// Try again at once.
    Retry,
}

/// A source that is being read.
pub(super) struct OpenSource {
    pub(super) source: Box<dyn LogSource>,
    /// The agent's address, if it is one.
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
        // The byte before tells whether a `\n` at the position ends a line of its own.
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
            last_byte: Instant::now(),
            pending_since: None,
            search: None,
            no_search_before: Instant::now(),
            options,
        }
    }

    /// Follows the log, and tells the iterator how that ended.
    pub(in crate::logs) fn run(mut self) {
        let result = self.follow_to_the_end();
        // The iterator may be kept for long, and may be slow to take the last lines.
        self.cancel.close_connections();
        self.queue.finish(result);
        self.cancel.close(ClosedBy::Worker);
    }

    /// Attempts until the log is complete. One that breaks off is followed by another, after a pause.
    fn follow_to_the_end(&mut self) -> TailResult<()> {
        loop {
            let error = match self.attempt() {
                Ok(AttemptOutcome::Complete) => return Ok(()),
                Ok(AttemptOutcome::Retry) => continue,
                Err(TailError::Broken(error)) => error,
                Err(error) => return Err(error),
            };
            self.lost =
                if matches!(error, ClientError::LogLost { .. }) { self.lost + 1 } else { 0 };
            let left = self.time_to_silence();
            let may_go_on =
                self.lost <= MAX_LOST_RETRIES && left.is_none_or(|left| !left.is_zero());
            match self.failures.next_pause(error.retry_after()) {
                Some(pause) if may_go_on => {
                    self.queue.pause(left.map_or(pause, |left| left.min(pause)))?;
                }
                _ => return Err(TailError::Fatal(self.gave_up(error))),
            }
        }
    }

    fn attempt(&mut self) -> TailResult<AttemptOutcome> {
        let state = self.wait_until_started()?;
        if !state.has_log {
            return self.ended(None);
        }
        let Some(mut open) = self.open(&state)? else { return Ok(AttemptOutcome::Retry) };
        if let Err(cause) = self.go_to_last_lines(&mut open) {
            return self.give_up_source(&state, &open, cause);
        }
        let mut interval = Interval::new(self.options.poll_interval);
        let mut asked = Instant::now();
        loop {
            let begun = Instant::now();
            let is_last = self.time_to_silence().is_some_and(|left| left.is_zero());
            let outcome = match open.source.read(&self.delivered) {
                Ok(outcome) => outcome,
                Err(cause) => return self.give_up_source(&state, &open, cause),
            };
            // Before what came is handed over: after a pause it may be another job's, whose id is the same.
            self.ask_if_quiet(&mut asked, &mut open)?;
            if let ReadOutcome::End(Certainty::Sure) = outcome {
                return self.ended(Some(&state));
            }
            let wait = self.take(outcome, is_last, &mut open, &mut interval)?;
            let wait = wait.saturating_sub(begun.elapsed());
            let wait = self.time_to_silence().map_or(wait, |left| wait.min(left));
            if !wait.is_zero() && !open.is_over {
                self.queue.pause(wait)?;
            }
            self.switch_to_agent(&state, &mut open);
        }
    }

    /// Takes what came of a poll. How long after its beginning the next one is to be made.
    fn take(
        &mut self,
        outcome: ReadOutcome,
        is_last: bool,
        open: &mut OpenSource,
        interval: &mut Interval,
    ) -> TailResult<Duration> {
        match outcome {
            ReadOutcome::Data { bytes, is_all } => {
                self.deliver(&bytes)?;
                interval.reset();
                return Ok(if is_all { interval.next() } else { Duration::ZERO });
            }
            ReadOutcome::Message(bytes) => {
                self.queue.count_message()?;
                self.deliver(&bytes)?;
            }
            ReadOutcome::UpToDate => {
                self.failures.reset();
                self.check_silence(is_last, open, "nothing new was written")?;
                return Ok(interval.next());
            }
            ReadOutcome::Idle => {
                self.check_silence(is_last, open, "nothing came over the WebSocket")?;
            }
            ReadOutcome::NotBefore(time) => {
                return Ok(time.saturating_duration_since(Instant::now()).min(QUIET));
            }
            ReadOutcome::End(_) => {
                let now = self.log_state()?;
                if !now.is_over {
                    return Err(self.closed_early(&now));
                }
                open.nothing_more_is_written();
            }
            ReadOutcome::Continue => {}
        }
        Ok(Duration::ZERO)
    }

    /// Asks for the job's status, if the log has been quiet for long enough.
    fn ask_if_quiet(&mut self, asked: &mut Instant, open: &mut OpenSource) -> TailResult<()> {
        let is_quiet = self.last_byte.elapsed() >= QUIET;
        let may_ask = asked.elapsed() >= QUIET.max(self.options.poll_interval);
        if is_quiet && may_ask && !open.is_over {
            *asked = Instant::now();
            if self.log_state()?.is_over {
                open.nothing_more_is_written();
            }
        }
        Ok(())
    }

    fn go_to_last_lines(&mut self, open: &mut OpenSource) -> TailResult<()> {
        let Some(lines) = self.last_lines else { return Ok(()) };
        let start = open.source.start_of_last_lines(lines)?;
        self.delivered = Delivered::from(start);
        self.last_lines = None;
        self.queue.begin_at(start, false)
    }

    /// Waits until there may be a log.
    fn wait_until_started(&mut self) -> TailResult<LogState> {
        let mut interval = Interval::new(self.options.poll_interval);
        loop {
            let state = self.log_state()?;
            if !state.is_pending {
                self.pending_since = None;
                return Ok(state);
            }
            let begun = *self.pending_since.get_or_insert_with(Instant::now);
            self.failures.reset();
            let most = self.options.pending_timeout_or_default();
            if let Some(most) = most.filter(|most| begun.elapsed() >= *most) {
                let unmet =
                    unmet_demands(&self.http, Instant::now() + self.options.stall_timeout());
                let error = ClientError::timeout(format_args!(
                    "{}: the job is still PENDING after {most:?}: raise TailOptions::pending_timeout{unmet}",
                    self.operation,
                ));
                return Err(TailError::Fatal(error.with_job_status(Some(JobStatus::Pending))));
            }
            let left = most.map(|most| most.saturating_sub(begun.elapsed()));
            let wait = interval.next();
            self.queue.pause(left.map_or(wait, |left| wait.min(left)))?;
            self.last_byte = Instant::now();
        }
    }

    fn log_state(&mut self) -> TailResult<LogState> {
        self.log.state(&self.request_context())
    }

    pub(super) fn request_context(&self) -> RequestContext {
        RequestContext {
            operation: self.operation.clone(),
            http: self.http.clone(),
            stall_timeout: self.options.stall_timeout(),
        }
    }

    /// Hands over the next bytes of the log.
    fn deliver(&mut self, bytes: &[u8]) -> TailResult<()> {
        let mut new = bytes;
        if let (true, [before, rest @ ..]) = (self.is_before, bytes) {
            self.is_before = false;
            if *before == b'\r' {
                self.queue.begin_at(self.delivered.position() + 1, true)?;
            }
            new = rest;
        }
        self.delivered.push(bytes);
        let result = self.queue.deliver(new);
        self.failures.reset();
        // Only now: the iterator may have kept the worker waiting.
        self.last_byte = Instant::now();
        result
    }

    /// The log is complete, unless the caller asked for more than there is.
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

    /// Fatal once the log has been silent for the stream timeout, a poll that began after that found
    /// nothing, and the job is not over.
    fn check_silence(&mut self, is_last: bool, open: &mut OpenSource, why: &str) -> TailResult<()> {
        if !is_last || open.is_over {
            return Ok(());
        }
        if self.log_state()?.is_over {
            open.nothing_more_is_written();
            return Ok(());
        }
        Err(self.silent(why))
    }

    fn silent(&self, why: &str) -> TailError {
        TailError::Fatal(ClientError::timeout(format_args!(
            "{}: silent for {:?}: {why}: raise TailOptions::stream_timeout, or use TailOptions::until_done()",
            self.operation,
            self.options.stream_timeout.unwrap_or_default()
        )))
    }

    /// Waits for a log that holds nothing yet.
    pub(super) fn wait_for_first_bytes(&mut self) -> TailResult<()> {
        let left = self.time_to_silence();
        self.failures.reset();
        if left.is_some_and(|left| left.is_zero()) {
            return Err(self.silent("nothing was written"));
        }
        let pause = FIRST_BYTES.max(self.options.poll_interval);
        self.queue.pause(left.map_or(pause, |left| left.min(pause)))
    }

    /// What is left of the stream timeout, if there is one.
    fn time_to_silence(&self) -> Option<Duration> {
        let timeout = self.options.stream_timeout?;
        Some(timeout.saturating_sub(self.last_byte.elapsed()))
    }

    /// The error of the last attempt, as a timeout or as a break.
    fn gave_up(&self, error: ClientError) -> ClientError {
        if matches!(error, ClientError::Timeout { .. } | ClientError::LogLost { .. }) {
            return error;
        }
        let reason = error.to_string();
        let reason =
            reason.strip_prefix(&*self.operation).map_or(&*reason, |r| r.trim_start_matches(": "));
        let message = format!(
            "{}: broke off at byte {} after {} reconnects: {reason}",
            self.operation,
            self.delivered.position(),
            self.failures.count(),
        );
        match &error {
            ClientError::Rejected { .. } => error.reworded(message),
            ClientError::Unexpected { .. } => ClientError::unexpected(message).caused_by(error),
            _ => ClientError::unreachable(message).caused_by(error),
        }
    }

    fn closed_early(&self, state: &LogState) -> TailError {
        TailError::Broken(ClientError::unreachable(format_args!(
            "{}: the server closed the WebSocket while the job is {}",
            self.operation,
            state.status().map_or("not over", JobStatus::as_str)
        )))
    }
}
