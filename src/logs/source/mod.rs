//! Where the bytes of a log come from: three ways to read one, and what each read gives.
//!
//! A source is opened behind what was handed out and then read, again and again. It knows neither the
//! queue nor the caller; a byte goes from here down to the loop in `tail_worker/follow.rs`, never back.

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

/// A log that is read by one protocol.
pub(super) trait LogSource: Send {
    /// What is new behind `delivered`.
    fn read(&mut self, delivered: &Delivered) -> TailResult<ReadOutcome>;

    /// Says that nothing more is written. From now on `read` goes on until an end that is sure.
    fn nothing_more_is_written(&mut self);

    /// Where the last lines of the log, as it stands, begin.
    fn start_of_last_lines(&mut self, lines: usize) -> TailResult<u64>;
}

/// What came of a poll at a log.
#[derive(Debug)]
pub(super) enum ReadOutcome {
    /// The next bytes of the log.
    Data {
        bytes: Vec<u8>,
        /// Whether that is all that the log holds for now.
        is_all: bool,
    },
    /// The next bytes of the log, as one message of the WebSocket.
    Message(Vec<u8>),
    /// Nothing new yet, but the answer goes on: read on at once.
    Continue,
    /// The log holds nothing new.
    UpToDate,
    /// The source waited for something new, and nothing came.
    Idle,
    /// The source may not read again before this.
    NotBefore(std::time::Instant),
    /// The log ended.
    End(Certainty),
}

/// What an end is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    /// The server ended the connection, which proves nothing.
    Claimed,
    /// Nothing more is written, and what was handed out is what the log holds.
    Sure,
}

/// Why a worker leaves what it was doing.
#[derive(Debug)]
pub(super) enum TailError {
    /// The tail was closed; nobody listens.
    Cancelled,
    /// The connection broke off; another attempt may go on.
    Broken(ClientError),
    /// Nothing to try again.
    Fatal(ClientError),
}

impl TailError {
    /// What may pass by itself is a break; what is about the caller's parameters or settings is not.
    pub(super) fn classify(error: ClientError) -> Self {
        let is_callers = matches!(error, ClientError::Misconfigured { .. })
            || matches!(error.status(), 400 | 401 | 403 | 404);
        if is_callers && !error.is_retryable() { Self::Fatal(error) } else { Self::Broken(error) }
    }

    /// The error, for a call that no tail can cancel.
    pub(super) fn into_error(self) -> ClientError {
        match self {
            Self::Broken(error) | Self::Fatal(error) => error,
            Self::Cancelled => ClientError::unexpected("cancelled"),
        }
    }

    /// The same, with another error if it is a break.
    pub(super) fn map_broken(self, map: impl FnOnce(ClientError) -> ClientError) -> Self {
        match self {
            Self::Broken(error) => Self::Broken(map(error)),
            other => other,
        }
    }
}

pub(super) type TailResult<T> = Result<T, TailError>;

/// What it means that a log ends before the position.
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
