//! Why a job failed, in one line of what Ray says of it in many (measured on Ray 2.9.3 and 2.60.0).

use crate::{ray_fault, redact};

/// What Ray puts before the end of a failed entrypoint's log.
const LOG: &str = ", last available logs (truncated to 20,000 chars):";

pub(super) fn of(message: &str) -> String {
    let reason = if let Some((how, log)) = message.split_once(LOG) {
        match last_of_log(log) {
            Some(last) => format!("{how}: {last}"),
            None => how.to_owned(),
        }
    } else if let Some((first, _)) = message.split_once(". Full traceback:") {
        first.to_owned()
    } else if message.contains("Traceback (most recent call last):") {
        let first = message.lines().next().unwrap_or_default();
        let last = last_error_of_pip(message).or_else(|| ray_fault::last_error(message));
        let stage = first.split(": ").next().unwrap_or(first);
        last.map_or_else(|| first.to_owned(), |last| format!("{stage}: {last}"))
    } else {
        // Lines such as `\tactor_id: …` say less than the cause that follows them.
        let lines: Vec<&str> = message.lines().filter(|line| !line.starts_with('\t')).collect();
        lines.join(" ")
    };
    redact::shorten(&reason)
}

/// The error that a log ends with, or else its last line that is not Ray's own.
fn last_of_log(log: &str) -> Option<String> {
    if log.contains("Traceback (most recent call last):") {
        return ray_fault::last_error(log);
    }
    let is_rays = |line: &str| {
        line.starts_with("Running entrypoint for job ")
            || line.contains("\tINFO job_manager.py:")
            || line.trim().is_empty()
    };
    log.lines().rev().find(|line| !is_rays(line)).map(|line| line.trim().to_owned())
}

/// What pip says at its end: it says more than that its command failed.
fn last_error_of_pip(message: &str) -> Option<String> {
    let lines = message.lines().rev().map(str::trim);
    lines.filter(|line| line.starts_with("ERROR: ")).map(str::to_owned).next()
}
