//! A log file from the dashboard agent of its node, read by byte ranges.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::dashboard::{Dashboard, FileServer, lines_to_compare};
use super::{Delivered, LogSource, ReadOutcome, TailError, TailResult, became_shorter};
use crate::ClientError;
use crate::logs::last_lines::starts_of_lines;
use crate::transport::{ByteRange, ContentRange, Http, Request, Response};

/// Maximum number of new bytes per request.
const MAX_PIECE: u64 = 1024 * 1024;
/// The same for the first request. A slow link must deliver this within the stall timeout.
const FIRST_PIECE: u64 = 16 * 1024;
/// How many delivered bytes each poll reads again. If they differ, the file was replaced.
const OVERLAP: usize = 32;

/// How many of the last delivered bytes are compared with the dashboard's last lines at the end.
const COMPARED: usize = 2048;

pub(crate) struct AgentSource {
    http: Http,
    path: String,
    dashboard: Dashboard,
    /// Maximum duration of each step of a request.
    stall_timeout: Duration,
    /// How many bytes to request at once: as many as arrive in a part of the stall timeout.
    piece_length: Cell<u64>,
    is_over: bool,
}

impl AgentSource {
    /// Creates a source for the file at `path`. It does not verify that the agent serves the right file:
    /// `agent_search.rs` does.
    pub(crate) fn new(
        http: Http,
        path: String,
        dashboard: Dashboard,
        stall_timeout: Duration,
    ) -> Self {
        let piece_length = Cell::new(FIRST_PIECE);
        Self { http, path, dashboard, stall_timeout, piece_length, is_over: false }
    }

    pub(crate) fn address(&self) -> &str {
        self.http.address()
    }

    /// Returns the bytes in `range`, or fewer if the file ends before, and the range that they have.
    pub(super) fn get(&self, range: ByteRange) -> TailResult<(Response, ContentRange)> {
        let operation = format!("{}: the agent", self.dashboard.operation());
        let request = Request::get(operation, self.path.clone()).bytes().range(range);
        // An agent without range support would send the whole file.
        let request = request.first_bytes(range.length());
        let begun = Instant::now();
        let request = request.deadline(Some(begun + self.stall_timeout));
        let response = self.http.send(&request).map_err(TailError::Agent)?;
        self.adapt_piece_length(response.body.len() as u64, begun.elapsed());
        let Some(found) = response.content_range else {
            return Err(self.failed("it does not support byte ranges"));
        };
        if response.is_truncated || response.body.len() as u64 != found.end - found.start {
            return Err(self.failed("its response does not have the declared length"));
        }
        Ok((response, found))
    }

    fn adapt_piece_length(&self, received: u64, taken: Duration) {
        let length = self.piece_length.get();
        if received >= length && taken < self.stall_timeout / 4 {
            self.piece_length.set((length * 2).min(MAX_PIECE));
        } else if taken > self.stall_timeout / 2 {
            self.piece_length.set((length / 2).max(FIRST_PIECE));
        }
    }

    fn failed(&self, why: &str) -> TailError {
        TailError::Agent(self.unusable(why))
    }

    pub(super) fn other_file(&self) -> ClientError {
        self.unusable("its file differs from the dashboard's")
    }

    fn unusable(&self, why: &str) -> ClientError {
        let (operation, address) = (self.dashboard.operation(), self.http.address());
        ClientError::unreachable(format_args!(
            "{operation}: the agent at {address} cannot be used: {why}"
        ))
    }

    /// Fails unless the dashboard's last lines end like the delivered bytes.
    fn check_end(&self, delivered: &Delivered) -> TailResult<()> {
        let window = delivered.window();
        let Some(last) = self.dashboard.last_lines(lines_to_compare(window, COMPARED))? else {
            return Ok(());
        };
        let common = last.len().min(window.len());
        if last[last.len() - common..] == window[window.len() - common..] {
            return Ok(());
        }
        Err(self.failed("the end of its file differs from the dashboard's"))
    }
}

/// Serves a full read of the file. The last lines come from the dashboard, to verify the end.
impl FileServer for AgentSource {
    /// The next offset.
    type Reading = u64;

    fn operation(&self) -> &str {
        self.dashboard.operation()
    }

    fn open(&self) -> TailResult<u64> {
        Ok(0)
    }

    fn read(&self, offset: &mut u64, piece: &mut [u8]) -> TailResult<usize> {
        let length = self.piece_length.get().min(piece.len() as u64);
        let (response, found) = self.get(ByteRange::Between(*offset, *offset + length))?;
        if found.start != *offset {
            return Err(self.failed("its file became shorter"));
        }
        piece[..response.body.len()].copy_from_slice(&response.body);
        *offset = found.end;
        Ok(response.body.len())
    }

    fn last_lines(&self, lines: u64) -> TailResult<Option<Vec<u8>>> {
        self.dashboard.last_lines(lines)
    }
}

impl LogSource for AgentSource {
    fn read(&mut self, delivered: &Delivered) -> TailResult<ReadOutcome> {
        let window = delivered.window();
        let known = &window[window.len().saturating_sub(OVERLAP)..];
        let position = delivered.position();
        let from = position - known.len() as u64;
        let (response, found) =
            self.get(ByteRange::Between(from, position.saturating_add(self.piece_length.get())))?;
        if found.total < position {
            return match (delivered.is_empty(), self.is_over) {
                (true, false) => Ok(ReadOutcome::UpToDate),
                (true, true) => {
                    Err(became_shorter(self.dashboard.operation(), delivered, found.total))
                }
                (false, _) => Err(self.failed("its file became shorter")),
            };
        }
        let is_expected = found.start == from || (found.total == from && response.body.is_empty());
        if !is_expected || !response.body.starts_with(known) {
            return Err(self.failed("its file was replaced"));
        }
        let new = &response.body[known.len()..];
        if !new.is_empty() {
            let is_up_to_date = found.end == found.total;
            return Ok(ReadOutcome::Data { bytes: new.to_vec(), is_up_to_date });
        }
        if !self.is_over {
            return Ok(ReadOutcome::UpToDate);
        }
        self.check_end(delivered)?;
        Ok(ReadOutcome::Complete)
    }

    fn nothing_more_is_written(&mut self) {
        self.is_over = true;
    }

    /// Reads backwards in growing pieces, to read little more than these lines.
    fn start_of_last_lines(&mut self, lines: usize) -> TailResult<u64> {
        let (_, found) = self.get(ByteRange::Last(1))?;
        let end = found.total;
        let mut start = end;
        let mut starts_found = 0;
        let mut next_byte = None;
        while start > 0 {
            let from = start.saturating_sub(self.piece_length.get());
            let (response, found) = self.get(ByteRange::Between(from, start))?;
            if found.start != from || found.end != start {
                return Err(self.failed("its file became shorter"));
            }
            let starts = starts_of_lines(&response.body, next_byte);
            let wanted = lines - starts_found;
            if starts.len() >= wanted {
                return Ok(from + starts[starts.len() - wanted] as u64);
            }
            starts_found += starts.len();
            next_byte = response.body.first().copied();
            start = from;
        }
        Ok(0)
    }
}
