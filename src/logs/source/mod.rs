//! The three sources that a log can be read from, and what a read returns.
//!
//! The loop in `tail_worker/follow.rs` opens a source at the end of what was delivered and reads it
//! repeatedly. A source does not know the queue or the caller.

mod agent;
mod agent_search;
mod dashboard;
mod delivered;
mod file;
#[cfg(test)]
mod file_tests;
mod overlap;
mod replay;
mod websocket;
mod window;

pub(super) use agent::AgentSource;
pub(super) use agent_search::{AgentFile, AgentSearch, SearchResult, UnusableAgents};
pub(super) use dashboard::{Dashboard, FileServer, lines_to_compare};
pub(super) use delivered::Delivered;
pub(super) use file::FileSource;
pub(super) use overlap::{Join, count_lines, join};
pub(super) use websocket::{
    WebSocketLog, WebSocketSource, WholeLog, is_no_route, whole_log_request,
};

use crate::ClientError;

/// A log, read with one protocol.
pub(super) trait LogSource: Send {
    /// Reads the bytes after `delivered`.
    fn read(&mut self, delivered: &Delivered) -> TailResult<ReadOutcome>;

    /// Reports that nothing more will be written. From then on, `read` continues to
    /// `Complete` or an error.
    fn nothing_more_is_written(&mut self);

    /// Returns the position at which the last `lines` lines written so far begin.
    fn start_of_last_lines(&mut self, lines: usize) -> TailResult<u64>;
}

/// The result of one read.
#[derive(Debug)]
pub(super) enum ReadOutcome {
    /// The next bytes of the log.
    Data {
        bytes: Vec<u8>,
        /// Whether these bytes reach the current end of the log.
        is_up_to_date: bool,
    },
    /// The next bytes of the log, from one WebSocket message.
    Message(Vec<u8>),
    /// No new bytes yet, but the response continues: read again immediately.
    Continue,
    /// The log has no new bytes.
    UpToDate,
    /// The source waited, and no new bytes arrived.
    Idle {
        /// Whether the connection has worked for a while, and everything before was received.
        is_settled: bool,
    },
    /// The source must not be read again before this time.
    NotBefore(std::time::Instant),
    /// The server ended the connection, which proves nothing.
    Closed,
    /// Nothing more will be written, and the whole log was delivered.
    Complete,
}

/// Why a worker stopped an attempt.
#[derive(Debug)]
pub(super) enum TailError {
    /// The tail was closed, so nobody receives an error.
    Cancelled,
    /// The agent failed. Another source may continue, for example the dashboard.
    Agent(ClientError),
    /// The connection broke. Another attempt may continue.
    Broken(ClientError),
    /// Another attempt would fail too.
    Fatal(ClientError),
}

impl TailError {
    /// Returns `Fatal` for an error in the caller's parameters or settings, otherwise `Broken`.
    pub(super) fn classify(error: ClientError) -> Self {
        let is_callers = matches!(error, ClientError::Misconfigured { .. })
            || matches!(error.status(), 400 | 401 | 403 | 404);
        if is_callers && !error.is_retryable() { Self::Fatal(error) } else { Self::Broken(error) }
    }

    /// Returns the error, in a call that cannot be cancelled.
    pub(super) fn into_error(self) -> ClientError {
        match self {
            Self::Agent(error) | Self::Broken(error) | Self::Fatal(error) => error,
            Self::Cancelled => ClientError::unexpected("cancelled"),
        }
    }

    /// Replaces the error if this is `Broken`.
    pub(super) fn map_broken(self, map: impl FnOnce(ClientError) -> ClientError) -> Self {
        match self {
            Self::Broken(error) => Self::Broken(map(error)),
            other => other,
        }
    }
}

pub(super) type TailResult<T> = Result<T, TailError>;

/// Returns the error for a log that is only `total` bytes long, which is less than the position.
fn became_shorter(operation: &str, delivered: &Delivered, total: u64) -> TailError {
    let position = delivered.position();
    let beyond = position - total;
    TailError::Fatal(if delivered.is_empty() {
        ClientError::invalid(format_args!(
            "{operation}: position {position} is beyond the end of the log by {beyond} bytes"
        ))
    } else {
        ClientError::log_lost(format_args!(
            "{operation}: the log became shorter than what was delivered, by {beyond} bytes"
        ))
    })
}
