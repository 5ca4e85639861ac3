//! A log file by ranges of bytes, from the dashboard agent of its node.

use std::time::{Duration, Instant};

use super::dashboard::{Dashboard, FileServer, lines_to_compare};
use super::{Certainty, Delivered, Interrupt, Look, Source, Step, became_shorter};
use crate::ClientError;
use crate::logs::last_lines::starts_of_lines;
use crate::transport::{Answer, ByteRange, ContentRange, Http, Request};

/// The most bytes that one look takes.
const PIECE: u64 = 1024 * 1024;
/// How many bytes that were handed out are asked for once more at each look: if they differ, the file is
/// not the one that it was.
const OVERLAP: usize = 32;

/// How many of the last bytes are compared with what the dashboard says, at the end.
const COMPARED: usize = 2048;

pub(crate) struct AgentSource {
    http: Http,
    path: String,
    dashboard: Dashboard,
    /// The longest time that one look may take.
    stall: Duration,
    is_over: bool,
}

impl AgentSource {
    /// The file at this path of an agent that was proved to serve it.
    pub(crate) fn new(http: Http, path: String, dashboard: Dashboard, stall: Duration) -> Self {
        Self { http, path, dashboard, stall, is_over: false }
    }

    pub(crate) fn address(&self) -> &str {
        self.http.address()
    }

    /// These bytes of the file, and which of how many they are. Fewer if the file ends before.
    pub(super) fn get(&self, range: ByteRange) -> Step<(Answer, ContentRange)> {
        let what = format!("{}: the agent", self.dashboard.what());
        let request = Request::get(what, self.path.clone()).bytes().range(range);
        // An agent that knows no ranges may send all of a large file.
        let request = request.first_bytes(range.length());
        let request = request.deadline(Some(Instant::now() + self.stall));
        let answer = self.http.send(&request).map_err(Interrupt::Broken)?;
        let Some(found) = answer.content_range else {
            return Err(self.no_longer("it does not answer with ranges of bytes"));
        };
        if answer.goes_on || answer.body.len() as u64 != found.end - found.start {
            return Err(self.no_longer("its answer is not as long as it says"));
        }
        Ok((answer, found))
    }

    fn no_longer(&self, why: &str) -> Interrupt {
        Interrupt::Broken(self.unusable(why))
    }

    pub(super) fn is_another(&self) -> ClientError {
        self.unusable("what it serves is not what the dashboard serves")
    }

    fn unusable(&self, why: &str) -> ClientError {
        let (what, address) = (self.dashboard.what(), self.http.address());
        ClientError::unreachable(format_args!(
            "{what}: the agent at {address} cannot be used: {why}"
        ))
    }

    /// Whether the dashboard, too, says that the file ends with what was handed out.
    fn check_end(&self, delivered: &Delivered) -> Step<()> {
        let window = delivered.window();
        let Some(last) = self.dashboard.last_lines(lines_to_compare(window, COMPARED))? else {
            return Ok(());
        };
        let common = last.len().min(window.len());
        if last[last.len() - common..] == window[window.len() - common..] {
            return Ok(());
        }
        Err(self.no_longer("the end of its file is not the end of the log"))
    }
}

/// The file at once. Where it ends is the dashboard's to say.
impl FileServer for AgentSource {
    /// The next offset.
    type Reading = u64;

    fn what(&self) -> &str {
        self.dashboard.what()
    }

    fn whole(&self) -> Step<u64> {
        Ok(0)
    }

    fn read(&self, offset: &mut u64, piece: &mut [u8]) -> Step<usize> {
        let (answer, found) =
            self.get(ByteRange::Between(*offset, *offset + piece.len() as u64))?;
        if found.start != *offset {
            return Err(self.no_longer("its file became shorter"));
        }
        piece[..answer.body.len()].copy_from_slice(&answer.body);
        *offset = found.end;
        Ok(answer.body.len())
    }

    fn last_lines(&self, lines: u64) -> Step<Option<Vec<u8>>> {
        self.dashboard.last_lines(lines)
    }
}

impl Source for AgentSource {
    fn read(&mut self, delivered: &Delivered) -> Step<Look> {
        let window = delivered.window();
        let known = &window[window.len().saturating_sub(OVERLAP)..];
        let position = delivered.position();
        let from = position - known.len() as u64;
        let (answer, found) = self.get(ByteRange::Between(from, position + PIECE))?;
        if found.total < position {
            return match (delivered.is_empty(), self.is_over) {
                (true, false) => Ok(Look::Nothing),
                (true, true) => Err(became_shorter(self.dashboard.what(), delivered, found.total)),
                (false, _) => Err(self.no_longer("its file became shorter")),
            };
        }
        let is_expected = found.start == from || (found.total == from && answer.body.is_empty());
        if !is_expected || !answer.body.starts_with(known) {
            return Err(self.no_longer("its file is another one"));
        }
        let new = &answer.body[known.len()..];
        if !new.is_empty() {
            let is_all = found.end == found.total;
            return Ok(Look::Data { bytes: new.to_vec(), is_all });
        }
        if !self.is_over {
            return Ok(Look::Nothing);
        }
        self.check_end(delivered)?;
        Ok(Look::End(Certainty::Sure))
    }

    fn nothing_more_is_written(&mut self) {
        self.is_over = true;
    }

    /// Reads backwards, in steps that grow, so that what stands before the lines is hardly read.
    fn start_of_last_lines(&mut self, lines: usize) -> Step<u64> {
        const FIRST_STEP: u64 = 16 * 1024;
        let (_, found) = self.get(ByteRange::Last(1))?;
        let end = found.total;
        let mut step = FIRST_STEP;
        let mut start = end;
        let mut starts_found = 0;
        let mut next_byte = None;
        while start > 0 {
            let from = start.saturating_sub(step);
            let (answer, found) = self.get(ByteRange::Between(from, start))?;
            if found.start != from || found.end != start {
                return Err(self.no_longer("its file became shorter"));
            }
            let starts = starts_of_lines(&answer.body, next_byte);
            let wanted = lines - starts_found;
            if starts.len() >= wanted {
                return Ok(from + starts[starts.len() - wanted] as u64);
            }
            starts_found += starts.len();
            next_byte = answer.body.first().copied();
            start = from;
            step = (step * 2).min(PIECE);
        }
        Ok(0)
    }
}
