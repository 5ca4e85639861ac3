//! A log file at once, from its start to its true end.

use std::time::Duration;

use super::source::{
    AgentFile, Dashboard, FileServer, Join, SearchResult, TailError, count_lines, join,
    lines_to_compare,
};
use crate::ClientError;

/// The most of a file that is read at once, in bytes.
const MAX_FILE: usize = 256 * 1024 * 1024;

/// How many of its last bytes are compared with its last lines.
const COMPARED: usize = 64 * 1024;

/// The whole file. The end of an answer proves nothing, since something on the way may have cut it off:
/// the file's last lines are joined to it, which may have grown. One that repeats itself has to come
/// twice.
pub(super) fn read_whole(dashboard: &impl FileServer) -> Result<Vec<u8>, ClientError> {
    const READINGS: u64 = 4;
    let mut before = None;
    for reading in 1..=READINGS {
        let mut file = read_to_end(dashboard)?;
        let lines = lines_to_compare(&file, COMPARED) * reading;
        let last = dashboard.last_lines(lines).map_err(TailError::into_error)?;
        let last = last.unwrap_or_default();
        if let Join::NewFrom(at) = join(&file, true, &last, lines) {
            file.extend_from_slice(&last[at..]);
            return Ok(file);
        }
        let repeats_itself = file.ends_with(&last);
        if repeats_itself && before == Some(file.len()) && !has_more_lines(dashboard, &file)? {
            return Ok(file);
        }
        before = Some(file.len());
    }
    Err(ClientError::unreachable(format_args!(
        "{}: it came {READINGS} times without its last lines, so that something on the way cuts it off: tail it instead",
        dashboard.operation()
    )))
}

/// The same from the node's agent, if that is proved to serve the file.
pub(super) fn read_whole_by_agent(
    file: Option<AgentFile>,
    dashboard: &Dashboard,
    stall_timeout: Duration,
) -> Result<Vec<u8>, ClientError> {
    let Some(file) = file else {
        return Err(ClientError::unreachable(format_args!(
            "{}: there is no agent of its node that may be used",
            dashboard.operation()
        )));
    };
    match file.find(dashboard, stall_timeout) {
        SearchResult::Agent(agent) => read_whole(&*agent),
        SearchResult::NotYet => Ok(Vec::new()),
        SearchResult::Unknown(error) | SearchResult::Unusable(error) => Err(error),
    }
}

/// Whether the file has more lines than came, if it is small enough to be asked for one more.
fn has_more_lines(dashboard: &impl FileServer, file: &[u8]) -> Result<bool, ClientError> {
    let last = dashboard.last_lines(count_lines(file) + 1).map_err(TailError::into_error)?;
    Ok(last.is_some_and(|last| last != file))
}

fn read_to_end(dashboard: &impl FileServer) -> Result<Vec<u8>, ClientError> {
    let mut reading = dashboard.whole().map_err(TailError::into_error)?;
    let mut file = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = dashboard.read(&mut reading, &mut piece).map_err(TailError::into_error)?;
        if length == 0 {
            return Ok(file);
        }
        file.extend_from_slice(&piece[..length]);
        if file.len() > MAX_FILE {
            return Err(ClientError::unexpected(format_args!(
                "{}: it is larger than {MAX_FILE} bytes: tail it",
                dashboard.operation()
            )));
        }
    }
}

/// Bytes that are not UTF-8 become U+FFFD.
pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
