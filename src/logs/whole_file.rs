//! A log file at once, from its start to its true end.

use super::source::{FileServer, Interrupt, Join, join, lines_to_compare};
use crate::ClientError;

/// The most of a file that is read at once, in bytes.
const MAX_FILE: usize = 256 * 1024 * 1024;

/// How many of its last bytes are compared with its last lines.
const COMPARED: usize = 64 * 1024;

/// The whole file. The end of an answer proves nothing, since something on the way may have cut it off:
/// it is compared with the file's last lines, which may have grown. A file that repeats itself has to
/// come twice.
pub(super) fn read_whole(dashboard: &impl FileServer) -> Result<Vec<u8>, ClientError> {
    const READINGS: u64 = 4;
    let mut before = None;
    for reading in 1..=READINGS {
        let file = read_to_end(dashboard)?;
        let lines = lines_to_compare(&file, COMPARED) * reading;
        let last = dashboard.last_lines(lines).map_err(Interrupt::into_error)?;
        let joined = last.as_ref().map(|last| join(&file, true, last, lines));
        let repeats_itself = last.is_none_or(|last| file.ends_with(&last));
        let is_whole = matches!(joined, Some(Join::NewFrom(_)))
            || (repeats_itself && before == Some(file.len()));
        if is_whole {
            return Ok(file);
        }
        before = Some(file.len());
    }
    Err(ClientError::unreachable(format_args!(
        "{}: it came {READINGS} times without its last lines, so that something on the way cuts it off: tail it instead",
        dashboard.what()
    )))
}

fn read_to_end(dashboard: &impl FileServer) -> Result<Vec<u8>, ClientError> {
    let mut reading = dashboard.whole().map_err(Interrupt::into_error)?;
    let mut file = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = dashboard.read(&mut reading, &mut piece).map_err(Interrupt::into_error)?;
        if length == 0 {
            return Ok(file);
        }
        file.extend_from_slice(&piece[..length]);
        if file.len() > MAX_FILE {
            return Err(ClientError::unexpected(format_args!(
                "{}: it is larger than {MAX_FILE} bytes: tail it",
                dashboard.what()
            )));
        }
    }
}
