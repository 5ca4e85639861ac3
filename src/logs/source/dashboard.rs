//! A log file as the dashboard serves it: from its start, or its last lines. It has no offsets.

use std::time::{Duration, Instant};

use super::overlap::count_lines;
use super::{TailError, TailResult};
use crate::ClientError;
use crate::transport::{Http, Request, Response, Stream, StreamError};

/// The most of a file's last lines that is taken.
pub(super) const MAX_LAST_LINES: usize = 4 * 1024 * 1024;
/// Ray ends an answer after `timeout` seconds, 30 if not told, however slow its reader is. Its
/// dashboard has a bound of 300 seconds of its own.
const SERVER_TIMEOUT: u64 = 300;

/// What serves a log file from its start, and its last lines.
pub(crate) trait FileServer: Send {
    /// A reading of the whole file.
    type Reading: Send;

    /// The log, for messages.
    fn operation(&self) -> &str;

    /// Begins to read the whole file.
    fn whole(&self) -> TailResult<Self::Reading>;

    /// The next bytes of a reading; 0 at its end, which something on the way may have made.
    fn read(&self, reading: &mut Self::Reading, piece: &mut [u8]) -> TailResult<usize>;

    /// The last lines of the file; `None` if they are too large to be taken.
    fn last_lines(&self, lines: u64) -> TailResult<Option<Vec<u8>>>;
}

/// How to ask the dashboard for a log file. `/api/v0/logs/stream` is not used: it does not notice that
/// a client left a silent log, keeps one of its 100 places for that client for ever, and after 100 such
/// tails answers every state call with 429 (measured on Ray 2.60.0).
#[derive(Clone)]
pub(crate) struct Dashboard {
    pub(crate) http: Http,
    request: Request,
    /// The longest silence within an answer.
    stall_timeout: Duration,
    /// Whether each piece of an answer begins with a marker byte, as before Ray 2.45.
    has_markers: bool,
}

impl Dashboard {
    pub(crate) fn new(
        http: Http,
        request: Request,
        stall_timeout: Duration,
        has_markers: bool,
    ) -> Self {
        let request = request.query("timeout", SERVER_TIMEOUT);
        Self { http, request, stall_timeout, has_markers }
    }

    /// The same by connections of its own.
    pub(crate) fn with(&self, http: Http) -> Self {
        Self { http, ..self.clone() }
    }

    /// The first bytes of the file, at most this many. What they cost does not grow with the file.
    pub(super) fn head(&self, most: usize) -> TailResult<Vec<u8>> {
        let request = self.request.clone().query("lines", -1).first_bytes(most);
        let mut head = self.send(request)?.body;
        self.remove_marker(&mut head)?;
        Ok(head)
    }

    fn send(&self, request: Request) -> TailResult<Response> {
        let request = request.deadline(Some(Instant::now() + self.stall_timeout));
        self.http.send(&request).map_err(TailError::classify)
    }

    /// Before Ray 2.45 each block of the answer begins with a marker, which says whether what follows is
    /// the log or an error.
    fn remove_marker(&self, bytes: &mut Vec<u8>) -> TailResult<()> {
        if !self.has_markers || bytes.is_empty() {
            return Ok(());
        }
        let operation = self.operation();
        if bytes[0] != b'1' {
            return Err(TailError::Fatal(ClientError::not_found(format_args!(
                "{operation}: Ray finds no such log"
            ))));
        }
        *bytes = without_markers(bytes).ok_or_else(|| {
            TailError::Broken(ClientError::unreachable(format_args!(
                "{operation}: the server broke off in the middle of the log"
            )))
        })?;
        Ok(())
    }

    fn stalled(&self) -> TailError {
        TailError::Broken(ClientError::timeout(format_args!(
            "{}: the answer stalled for {:?}",
            self.request.operation, self.stall_timeout
        )))
    }
}

impl FileServer for Dashboard {
    type Reading = Stream;

    fn operation(&self) -> &str {
        &self.request.operation
    }

    fn whole(&self) -> TailResult<Stream> {
        let request = self.request.clone().query("lines", -1).idle_timeout_only();
        self.http.stream(&request, self.stall_timeout).map_err(TailError::classify)
    }

    fn read(&self, stream: &mut Stream, piece: &mut [u8]) -> TailResult<usize> {
        stream.read(piece).map_err(|error| match error {
            StreamError::Broken(error) => TailError::Broken(error),
            StreamError::Idle => self.stalled(),
        })
    }

    fn last_lines(&self, lines: u64) -> TailResult<Option<Vec<u8>>> {
        let request = self.request.clone().query("lines", lines).first_bytes(MAX_LAST_LINES);
        let mut response = self.send(request)?;
        self.remove_marker(&mut response.body)?;
        Ok((!response.goes_on).then_some(response.body))
    }
}

/// How many last lines of a file that ends with these bytes have so many bytes in all, or more.
pub(crate) fn lines_to_compare(end: &[u8], bytes: usize) -> u64 {
    count_lines(&end[end.len().saturating_sub(bytes)..]).max(1) + 1
}

/// An answer of a Ray before 2.45 without the marker `1` before each block of 64 KiB. `None` if there is
/// another one, since an error follows it (read in the sources of Ray 2.9.3 and 2.40.0).
fn without_markers(response: &[u8]) -> Option<Vec<u8>> {
    const BLOCK: usize = 64 * 1024;
    let blocks = response.chunks(1 + BLOCK).map(|block| block.strip_prefix(b"1"));
    Some(blocks.collect::<Option<Vec<_>>>()?.concat())
}

/// Whether a file was cut off on the way: `whole` came as all of it, and `last` as the last `lines`
/// lines of it. `None` if that cannot be told, since the file repeats itself.
pub(crate) fn is_cut(whole_length: u64, end: &[u8], last: &[u8], lines: u64) -> Option<bool> {
    const MIN_OVERLAP: usize = 1024;
    let count = count_lines(last);
    if count > lines || last.is_empty() != (whole_length == 0) {
        return Some(true);
    }
    if count < lines && last.len() as u64 == whole_length && end.len() as u64 <= whole_length {
        return Some(!last.ends_with(end));
    }
    // A line may be longer than the end that is known.
    let (shorter, longer) = if last.len() <= end.len() { (last, end) } else { (end, last) };
    if !longer.ends_with(shorter) || last.len() as u64 > whole_length {
        return Some(true);
    }
    let is_unique = memchr::memmem::find(&longer[..longer.len() - 1], shorter).is_none();
    (is_unique && shorter.len() >= MIN_OVERLAP).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_file_is_compared_with_its_last_lines() {
        let lines = |from: usize, to: usize| -> Vec<u8> {
            (from..to).flat_map(|n| format!("line number {n}\n").into_bytes()).collect()
        };
        let file = lines(0, 1000);
        let length = file.len() as u64;
        let end = &file[file.len() - 10_000..];
        for (last, asked, expected) in [
            (lines(900, 1000), 100, Some(false)),
            (lines(900, 1001), 101, Some(true)),
            (lines(900, 999), 99, Some(true)),
            // Fewer lines than were asked for are the whole file.
            (file.clone(), 2000, Some(false)),
            // Longer than the end that is known.
            (lines(100, 1000), 900, Some(false)),
            (lines(100, 1001), 901, Some(true)),
            // Not what was asked for.
            (lines(900, 1000), 50, Some(true)),
            (Vec::new(), 50, Some(true)),
        ] {
            assert_eq!(is_cut(length, end, &last, asked), expected, "{} lines", last.len());
        }
    }

    #[test]
    fn the_end_of_a_file_that_repeats_itself_cannot_be_told() {
        let file = b"the same line\n".repeat(1000);
        let last = b"the same line\n".repeat(100);
        assert_eq!(is_cut(file.len() as u64, &file, &last, 100), None);
    }

    #[test]
    fn an_empty_file_is_whole() {
        assert_eq!(is_cut(0, b"", b"", 2), Some(false));
    }
}
