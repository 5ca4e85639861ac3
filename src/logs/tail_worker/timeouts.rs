//! The pending timeout and the stream timeout of a tail.

use std::time::{Duration, Instant};

use super::follow::{Follower, OpenSource};
use super::interval::Interval;
use crate::jobs::JobStatus;
use crate::logging::record;
use crate::logs::followed_log::LogState;
use crate::logs::source::{TailError, TailResult};
use crate::state::unmet_demands;
use crate::{ClientError, TimeoutKind};

/// Interval between polls of an empty log, unless the poll interval is longer.
const FIRST_BYTES: Duration = Duration::from_millis(200);

impl Follower {
    /// Waits until the job is no longer pending.
    pub(super) fn wait_until_started(&mut self) -> TailResult<LogState> {
        let mut interval = Interval::new(self.options.poll_interval);
        loop {
            let state = self.log_state()?;
            if !state.is_pending {
                self.pending_since = None;
                return Ok(state);
            }
            if self.pending_since.is_none() {
                record!(Debug, "tail", "{}: the job is PENDING", self.operation);
            }
            self.pending_since.get_or_insert_with(Instant::now);
            self.note_success();
            let left = self.time_to_pending_timeout();
            if left.is_some_and(|left| left.is_zero()) {
                let deadline = Instant::now() + self.options.stall_timeout();
                let why = unmet_demands(&self.http, deadline);
                let error = self.pending_timeout("is still PENDING", &why);
                return Err(TailError::Fatal(error.with_job_status(Some(JobStatus::Pending))));
            }
            let wait = interval.next();
            self.queue.pause(left.map_or(wait, |left| wait.min(left)))?;
            self.silent_since = Instant::now();
        }
    }

    /// Returns the rest of the pending timeout, or `None` if the job is not PENDING or there is no timeout.
    pub(super) fn time_to_pending_timeout(&self) -> Option<Duration> {
        let most = self.options.pending_timeout_or_default()?;
        Some(most.saturating_sub(self.pending_since?.elapsed()))
    }

    pub(super) fn pending_timeout(&self, status: &str, why: &str) -> ClientError {
        ClientError::timeout(format_args!(
            "{}: the job {status} after {:?}: raise TailOptions::pending_timeout{why}",
            self.operation,
            self.options.pending_timeout_or_default().unwrap_or_default()
        ))
        .of_kind(TimeoutKind::Stream)
    }

    /// Fails if the stream timeout had expired before the last read began, and the job has not finished.
    pub(super) fn check_silence(
        &mut self,
        is_last: bool,
        open: &mut OpenSource,
        why: &str,
    ) -> TailResult<()> {
        if !is_last || open.is_over {
            return Ok(());
        }
        if self.log_state()?.is_over {
            self.note_end(open);
            return Ok(());
        }
        Err(self.silent(why))
    }

    fn silent(&self, why: &str) -> TailError {
        let error = ClientError::timeout(format_args!(
            "{}: silent for {:?}: {why}: raise TailOptions::stream_timeout, or use TailOptions::until_done()",
            self.operation,
            self.options.stream_timeout.unwrap_or_default()
        ));
        TailError::Fatal(error.of_kind(TimeoutKind::Stream))
    }

    /// Pauses before the next poll of an empty log. Fails if the stream timeout has expired.
    pub(super) fn wait_for_first_bytes(&mut self) -> TailResult<()> {
        let left = self.time_to_silence();
        self.note_success();
        if left.is_some_and(|left| left.is_zero()) {
            return Err(self.silent("nothing was written"));
        }
        let pause = FIRST_BYTES.max(self.options.poll_interval);
        self.queue.pause(left.map_or(pause, |left| left.min(pause)))
    }

    /// Returns the rest of the stream timeout, or `None` if there is no timeout.
    pub(super) fn time_to_silence(&self) -> Option<Duration> {
        let timeout = self.options.stream_timeout?;
        Some(timeout.saturating_sub(self.silent_since.elapsed()))
    }
}
