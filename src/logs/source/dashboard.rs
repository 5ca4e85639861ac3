//! Requests to the dashboard for a log file. It serves the whole file or its last lines, but no offsets.

use std::time::{Duration, Instant};

use super::overlap::count_lines;
use super::{TailError, TailResult};
use crate::ClientError;
use crate::transport::{Http, Request, Response, Stream};

/// Maximum size of the last lines of a file, in bytes.
pub(super) const MAX_LAST_LINES: usize = 4 * 1024 * 1024;
/// Value of the query parameter `timeout`, in seconds. Ray ends a response after this time (30 s by
/// default), even if the client is still reading. The dashboard itself allows at most 300 s.
const SERVER_TIMEOUT: u64 = 300;

/// Serves a log file: all of it, or its last lines.
pub(crate) trait FileServer: Send {
    /// A full read of the file.
    type Reading: Send;

    /// Returns the operation, for error messages.
    fn operation(&self) -> &str;

    /// Starts a full read.
    fn open(&self) -> TailResult<Self::Reading>;

    /// Reads the next bytes. Returns 0 at the end of the response, which a proxy may have cut.
    fn read(&self, reading: &mut Self::Reading, piece: &mut [u8]) -> TailResult<usize>;

    /// Calls `read`, with retries if this server has any. A tail has its own reconnects instead.
    fn retrying<T>(
        &self,
        mut read: impl FnMut() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        read()
    }

    /// Returns the last lines of the file, or `None` if they are larger than 4 MiB.
    fn last_lines(&self, lines: u64) -> TailResult<Option<Vec<u8>>>;
}

/// A log file on the dashboard, read with `GET /api/v0/logs/file`.
///
/// The client does not use `/api/v0/logs/stream`. If a log is silent, that route does not notice that
/// its client has disconnected, and occupies one of the state API's 100 slots forever. After 100 such
/// requests every state call gets 429 (measured with Ray 2.60.0).
#[derive(Clone)]
pub(crate) struct Dashboard {
    pub(crate) http: Http,
    request: Request,
    /// Maximum silence within a response.
    stall_timeout: Duration,
    /// Whether each block of a response begins with a marker byte, as before Ray 2.45.
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

    /// Returns the same log file, requested with `http`.
    pub(crate) fn with(&self, http: Http) -> Self {
        Self { http, ..self.clone() }
    }

    /// Returns up to `max_bytes` from the start of the file. The cost does not depend on the length of
    /// the file.
    pub(super) fn head(&self, max_bytes: usize) -> TailResult<Vec<u8>> {
        let request = self.request.clone().query("lines", -1).first_bytes(max_bytes);
        let mut head = self.send(request)?.body;
        self.remove_markers(&mut head)?;
        Ok(head)
    }

    fn send(&self, request: Request) -> TailResult<Response> {
        let request = request.deadline(Some(Instant::now() + self.stall_timeout));
        self.http.send(&request).map_err(TailError::classify)
    }

    /// Removes the marker bytes that Ray sends before 2.45.
    ///
    /// Each block of a response begins with one, which says whether the log or an error follows.
    fn remove_markers(&self, bytes: &mut Vec<u8>) -> TailResult<()> {
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
                "{operation}: the server stopped in the middle of the log"
            )))
        })?;
        Ok(())
    }
}

impl FileServer for Dashboard {
    type Reading = Stream;

    fn operation(&self) -> &str {
        &self.request.operation
    }

    fn open(&self) -> TailResult<Stream> {
        let request = self.request.clone().query("lines", -1);
        self.http.stream(&request, self.stall_timeout).map_err(TailError::classify)
    }

    fn read(&self, stream: &mut Stream, piece: &mut [u8]) -> TailResult<usize> {
        let length = stream.read(piece).map_err(TailError::Broken)?;
        // Only an empty file is read without its markers.
        if self.has_markers && length > 0 {
            let operation = self.operation();
            return Err(TailError::Broken(ClientError::unreachable(format_args!(
                "{operation}: the log was empty before"
            ))));
        }
        Ok(length)
    }

    fn retrying<T>(&self, read: impl FnMut() -> Result<T, ClientError>) -> Result<T, ClientError> {
        self.http.retrying(&self.request, read)
    }

    fn last_lines(&self, lines: u64) -> TailResult<Option<Vec<u8>>> {
        let request = self.request.clone().query("lines", lines).first_bytes(MAX_LAST_LINES);
        let mut response = self.send(request)?;
        self.remove_markers(&mut response.body)?;
        Ok((!response.is_truncated).then_some(response.body))
    }
}

/// Returns how many last lines to request of a file that ends with `end`, to get at least `bytes` bytes.
pub(crate) fn lines_to_compare(end: &[u8], bytes: usize) -> u64 {
    count_lines(&end[end.len().saturating_sub(bytes)..]).max(1) + 1
}

/// Removes the marker `1` before each block of 64 KiB of a response. Returns `None` if there is another
/// marker, which announces an error (from the sources of Ray 2.9.3 and 2.40.0).
fn without_markers(response: &[u8]) -> Option<Vec<u8>> {
    const BLOCK: usize = 64 * 1024;
    let blocks = response.chunks(1 + BLOCK).map(|block| block.strip_prefix(b"1"));
    Some(blocks.collect::<Option<Vec<_>>>()?.concat())
}

/// Returns whether a full read was cut, or `None` if this is uncertain because the file repeats itself or
/// `last` was cut too.
///
/// The full read was `whole_length` bytes long and ended with `end`. `last` is the response to a request
/// for the last `lines` lines.
pub(crate) fn is_cut(whole_length: u64, end: &[u8], last: &[u8], lines: u64) -> Option<bool> {
    const MIN_OVERLAP: usize = 1024;
    let count = count_lines(last);
    if count > lines || last.is_empty() != (whole_length == 0) {
        return Some(true);
    }
    if count < lines && last.len() as u64 == whole_length && end.len() as u64 <= whole_length {
        return Some(!last.ends_with(end));
    }
    // A single line may be longer than `end`.
    let (shorter, longer) = if last.len() <= end.len() { (last, end) } else { (end, last) };
    if !longer.ends_with(shorter) || last.len() as u64 > whole_length {
        return Some(true);
    }
    // Fewer lines than requested, but not the whole file: this response may have been cut itself.
    let has_all_lines = count == lines;
    let is_unique = memchr::memmem::find(&longer[..longer.len() - 1], shorter).is_none();
    (has_all_lines && is_unique && shorter.len() >= MIN_OVERLAP).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_file_is_detected_by_its_last_lines() {
        let lines = |from: usize, to: usize| -> Vec<u8> {
            (from..to).flat_map(|n| format!("line number {n}\n").into_bytes()).collect()
        };
        let file = lines(0, 1000);
        let length = file.len() as u64;
        let end = &file[file.len() - 10_000..];
        for (last, requested, expected) in [
            (lines(900, 1000), 100, Some(false)),
            (lines(900, 1001), 101, Some(true)),
            (lines(900, 999), 99, Some(true)),
            // Fewer lines than requested: the whole file.
            (file.clone(), 2000, Some(false)),
            // Longer than `end`.
            (lines(100, 1000), 900, Some(false)),
            (lines(100, 1001), 901, Some(true)),
            // Fewer lines than requested, but not the whole file: the response itself may be cut.
            (lines(900, 990), 100, Some(true)),
            (lines(900, 1000), 110, None),
            // More lines than requested, or none.
            (lines(900, 1000), 50, Some(true)),
            (Vec::new(), 50, Some(true)),
        ] {
            assert_eq!(is_cut(length, end, &last, requested), expected, "{} bytes", last.len());
        }
    }

    #[test]
    fn end_of_a_repeating_file_is_uncertain() {
        let file = b"the same line\n".repeat(1000);
        let last = b"the same line\n".repeat(100);
        assert_eq!(is_cut(file.len() as u64, &file, &last, 100), None);
    }

    #[test]
    fn empty_file_is_complete() {
        assert_eq!(is_cut(0, b"", b"", 2), Some(false));
    }
}
