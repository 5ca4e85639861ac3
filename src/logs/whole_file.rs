//! Reads a whole log file, and verifies that it is complete.

use std::time::Duration;

use super::source::{
    AgentFile, Dashboard, FileServer, Join, SearchResult, TailError, count_lines, join,
    lines_to_compare,
};
use crate::ClientError;

/// Maximum size of a file, in bytes.
const MAX_FILE: usize = 256 * 1024 * 1024;

/// How many bytes at the end to compare with the last lines.
const COMPARED: usize = 64 * 1024;

/// Reads the whole file.
///
/// The end of a response proves nothing, because a proxy may have cut it. Therefore this also requests
/// the last lines and joins them to the file, which may have grown meanwhile. If the file repeats itself,
/// the join is uncertain, and two reads must have the same length instead.
pub(super) fn read_whole(dashboard: &impl FileServer) -> Result<Vec<u8>, ClientError> {
    const READINGS: u64 = 4;
    let mut before = None;
    for reading in 1..=READINGS {
        let mut file = dashboard.retrying(|| read_to_end(dashboard))?;
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
        "{}: it arrived {READINGS} times without its last lines: a proxy cuts it off, or it repeats itself and grows: tail it instead",
        dashboard.operation()
    )))
}

/// Reads the whole file from the node's agent, after verifying that the agent serves it.
pub(super) fn read_whole_by_agent(
    file: Option<AgentFile>,
    dashboard: &Dashboard,
    stall_timeout: Duration,
) -> Result<Vec<u8>, ClientError> {
    let Some(file) = file else {
        return Err(ClientError::unreachable(format_args!(
            "{}: there is no usable agent on its node",
            dashboard.operation()
        )));
    };
    match file.find(dashboard, stall_timeout) {
        SearchResult::Agent(agent) => read_whole(&*agent),
        SearchResult::NotYet => Ok(Vec::new()),
        SearchResult::Unknown(error) | SearchResult::Unusable(error) => Err(error),
    }
}

/// Returns whether the file has more lines than `file`. False if its lines are too large to request.
fn has_more_lines(dashboard: &impl FileServer, file: &[u8]) -> Result<bool, ClientError> {
    let last = dashboard.last_lines(count_lines(file) + 1).map_err(TailError::into_error)?;
    Ok(last.is_some_and(|last| last != file))
}

fn read_to_end(dashboard: &impl FileServer) -> Result<Vec<u8>, ClientError> {
    let mut reading = dashboard.open().map_err(TailError::into_error)?;
    let mut file = Vec::new();
    // Each piece is a request to an agent.
    let mut piece = vec![0; 1024 * 1024];
    loop {
        let length = dashboard.read(&mut reading, &mut piece).map_err(TailError::into_error)?;
        if length == 0 {
            return Ok(file);
        }
        file.extend_from_slice(&piece[..length]);
        if file.len() > MAX_FILE {
            return Err(ClientError::unexpected(format_args!(
                "{}: it is larger than {MAX_FILE} bytes: tail it instead",
                dashboard.operation()
            )));
        }
    }
}

/// Converts bytes to text. Bytes that are not UTF-8 become U+FFFD.
pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
