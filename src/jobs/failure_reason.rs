//! Shortens Ray's message about a failed job to one line, the reason (measured on Ray 2.9.3 and
//! 2.60.0).

use crate::ray_error::{self, TRACEBACK};
use crate::redact;

/// Ray writes this between the exit code and the end of the entrypoint's log.
const LOG_MARKER: &str = ", last available logs (truncated to 20,000 chars):";

pub(super) fn find(message: &str) -> String {
    let reason = if let Some((failure, log)) = message.split_once(LOG_MARKER) {
        match last_of_log(log) {
            Some(last) => format!("{failure}: {last}"),
            None => failure.to_owned(),
        }
    } else if let Some((first, _)) = message.split_once(". Full traceback:") {
        first.to_owned()
    } else if message.contains(TRACEBACK) {
        let first = message.lines().next().unwrap_or_default();
        let last = last_error_of_pip(message).or_else(|| ray_error::last_error(message));
        let stage = first.split(": ").next().unwrap_or(first);
        last.map_or_else(|| first.to_owned(), |last| format!("{stage}: {last}"))
    } else {
        // Lines like `\tactor_id: …` say less than the cause after them.
        let lines: Vec<&str> = message.lines().filter(|line| !line.starts_with('\t')).collect();
        lines.join(" ")
    };
    redact::shorten(&reason)
}

/// Returns the error at the end of a log, otherwise the last line that Ray did not write itself.
fn last_of_log(log: &str) -> Option<String> {
    if let Some(exception) = last_exception(log) {
        return Some(exception.to_owned());
    }
    let is_from_ray = |line: &str| {
        line.starts_with("Running entrypoint for job ")
            || line.contains("\tINFO job_manager.py:")
            || line.trim().is_empty()
    };
    log.lines().rev().find(|line| !is_from_ray(line)).map(|line| line.trim().to_owned())
}

/// Returns the exception that the last traceback in a log ends with. Later output of the program
/// may look like one, for example `INFO: bye`.
fn last_exception(log: &str) -> Option<&str> {
    let lines: Vec<&str> = log.lines().collect();
    let traceback = lines.iter().rposition(|line| line.contains(TRACEBACK))?;
    lines[traceback..].iter().skip(1).copied().find(|line| ray_error::is_python_error(line))
}

/// Returns pip's last `ERROR: ` line. It says more than the exception, which only names the failed
/// command.
fn last_error_of_pip(message: &str) -> Option<String> {
    let lines = message.lines().rev().map(str::trim);
    lines.filter(|line| line.starts_with("ERROR: ")).map(str::to_owned).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(log: &str) -> String {
        find(&format!("Job entrypoint command failed with exit code 1{LOG_MARKER}\n{log}"))
    }

    #[test]
    fn the_error_of_the_last_traceback_is_the_reason() {
        let raised = "Traceback (most recent call last):\n  File \"/data/x.py\", line 1, in <module>\nray.exceptions.RayTaskError(OSError): ray::f() (pid=1)\n  File \"/data/x.py\", line 2, in f\nOSError: '/data/a/b.csv' is gone\nINFO: bye\n";
        let expected =
            "Job entrypoint command failed with exit code 1: OSError: '/data/a/b.csv' is gone";
        assert_eq!(failed(raised), expected);
        assert_eq!(
            failed(&format!("Traceback (most recent call last):\nKeyError: 1\n{raised}")),
            expected
        );
    }

    #[test]
    fn without_a_traceback_the_last_line_is_the_reason() {
        let rays = "2026-11-25 12:58:09,563\tINFO job_manager.py:581 -- Runtime env is setting up.\nRunning entrypoint for job a: x\n";
        assert_eq!(failed(rays), "Job entrypoint command failed with exit code 1");
        let said = failed(&format!("{rays}epoch 1\n disk full \n\n"));
        assert_eq!(said, "Job entrypoint command failed with exit code 1: disk full");
    }

    #[test]
    fn the_last_error_of_pip_is_the_reason() {
        let pip = "runtime_env setup failed: Failed to set up runtime environment.\n[Node 10.0.0.2] Traceback (most recent call last):\n  File \"/x/pip.py\", line 252, in f\nray._private.runtime_env.utils.SubprocessCalledProcessError: Run cmd[9] failed with the following details.\nLast 50 lines of stdout:\n    ERROR: Could not find it\n    ERROR: No matching distribution found for zzzz\n";
        assert_eq!(
            find(pip),
            "runtime_env setup failed: ERROR: No matching distribution found for zzzz"
        );
    }

    #[test]
    fn the_reason_of_a_dead_process_omits_its_ids() {
        let died = "Job supervisor actor died: The actor died unexpectedly before finishing this task.\n\tclass_name: JobSupervisor\n\tpid: 13705\nThe actor is dead because its node has died.";
        assert_eq!(
            find(died),
            "Job supervisor actor died: The actor died unexpectedly before finishing this task. The actor is dead because its node has died."
        );
    }
}
