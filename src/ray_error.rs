//! Classifies error responses. No other file decides by Ray's error texts.
//!
//! It examines the whole body, before anything is shortened. It searches for Ray's phrases only at the
//! beginning and at the end of a text, because the middle may contain the caller's own text.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::rejection_kind::RejectionKind;
use crate::{ClientError, JobStatus, gateway, redact};

/// Converts a response with an error status into an error. `secrets` are header values to hide.
pub(crate) fn rejection(
    operation: &str,
    status: u16,
    content_type: &str,
    body: &[u8],
    secrets: &[&str],
) -> ClientError {
    let text = String::from_utf8_lossy(body);
    let said = ErrorText::of(&text);
    let (status, kind, reason) = if gateway::is_page(content_type, &text) {
        (status, RejectionKind::Gateway, gateway::page(status, &text))
    } else if matches!(status, 403 | 404) && !said.is_rays_own(status) {
        (status, RejectionKind::Gateway, gateway::text(status, &said.line().unwrap_or_default()))
    } else {
        let (status, kind) = said.meaning(status);
        let no_reason =
            || format!("the server answered {} without a reason", gateway::status_line(status));
        (status, kind, said.line().unwrap_or_else(no_reason))
    };
    let message = redact::one_line_without(secrets, &format!("{operation}: {reason}"));
    let error = match kind {
        RejectionKind::Gateway => ClientError::answered(status, message),
        _ => ClientError::rejected(status, message),
    };
    error.with_rejection_kind(kind).with_job_status(said.job_status())
}

/// Shortens a Python error to one line: the last error of a traceback, otherwise the first line.
pub(crate) fn reason(text: &str) -> String {
    let line = ErrorText::of(text).line();
    redact::one_line(line.as_deref().unwrap_or("no reason given"))
}

/// Returns the last error of a Python traceback with all lines of its message. A `RayActorError` names
/// the cause of an actor's death last, after lines like `\tnamespace: serve`.
pub(crate) fn last_error(traceback: &str) -> Option<String> {
    let lines: Vec<&str> = traceback.lines().collect();
    let first = lines.iter().rposition(|line| is_python_error(line))?;
    let message = lines[first..].iter().filter(|line| line.contains(char::is_alphanumeric));
    Some(message.copied().collect::<Vec<_>>().join(" "))
}

pub(crate) const TRACEBACK: &str = "Traceback (most recent call last):";
const NO_DRIVER: &str = " has no driver node id info. This is likely a bug. Please file an issue.";
const NOT_OVER: &str = "', but it is in a non-terminal state ";

/// The text of an error response.
struct ErrorText<'t> {
    /// The text without the JSON around it.
    words: Cow<'t, str>,
    is_json: bool,
    /// The last error, if the text is a Python traceback.
    error: Option<String>,
    is_traceback: bool,
}

impl<'t> ErrorText<'t> {
    fn of(text: &'t str) -> Self {
        let (words, is_json) = match unwrap_json(text) {
            Some(words) => (Cow::Owned(words), true),
            None => (Cow::Borrowed(text), false),
        };
        let is_traceback = words.lines().any(|line| line.ends_with(TRACEBACK));
        let error = if is_traceback { last_error(&words) } else { None };
        Self { words, is_json, error, is_traceback }
    }

    /// Returns the last error of a traceback, otherwise the whole text.
    fn last(&self) -> &str {
        self.error.as_deref().unwrap_or(&self.words).trim()
    }

    /// Whether Ray itself sends this text with status 403 or 404 (measured with Ray 2.9.3 to 2.60.0).
    fn is_rays_own(&self, status: u16) -> bool {
        const NOT_ALLOWED: [&str; 4] = [
            "403: Forbidden",
            "Forbidden: Invalid authentication token",
            "Browser requests not allowed.",
            "Profiling is disabled by default",
        ];
        let words = self.words.trim();
        if status == 403 {
            return NOT_ALLOWED.iter().any(|start| words.starts_with(start));
        }
        let names_it = words.starts_with("Job ") || words.starts_with("Package ");
        is_unknown_route(words)
            || names_it && words.ends_with(" does not exist")
            || self.is_json && words.starts_with("Cannot find matching node_id for")
            || self.is_json && words == "Application or Deployment not found"
    }

    /// Returns the status that Ray means, and its meaning beyond the status.
    fn meaning(&self, status: u16) -> (u16, RejectionKind) {
        let (words, last) = (self.words.trim(), self.last());
        match status {
            404 if is_unknown_route(words) => (404, RejectionKind::NoRoute),
            503 if self.is_json && words == "Serve controller is not available" => {
                (503, RejectionKind::NoServeController)
            }
            500 if self.job_status().is_some() => (400, RejectionKind::NotTerminal),
            500 if is_without_agent(words, last) => (503, RejectionKind::Other),
            500 if self.error.as_deref().is_some_and(is_killed_serve) => {
                (503, RejectionKind::NoServeController)
            }
            500 => match wrapped_status(words) {
                Some(wrapped) => (wrapped, RejectionKind::Other),
                None => (500, self.kind_of_500()),
            },
            status => (status, RejectionKind::Other),
        }
    }

    fn kind_of_500(&self) -> RejectionKind {
        let (words, last) = (self.words.trim(), self.last());
        let raised = |name: &str| self.error.is_some() && last.starts_with(name);
        if raised("UnicodeDecodeError: ") {
            RejectionKind::NotUtf8
        } else if words.starts_with("Job ") && words.ends_with(NO_DRIVER) {
            RejectionKind::NoDriverYet
        } else if is_absent_log(last) {
            RejectionKind::NoSuchLog
        } else if raised("ValueError: ") || raised("binascii.Error: ") {
            RejectionKind::BadValue
        } else if words.starts_with("500 Internal Server Error") {
            RejectionKind::NoReason
        } else {
            RejectionKind::Other
        }
    }

    /// Returns the status of a job that Ray did not delete because it has not finished.
    fn job_status(&self) -> Option<JobStatus> {
        let deleted =
            self.error.as_deref()?.strip_prefix("RuntimeError: Attempted to delete job '")?;
        let (_, status) = deleted.rsplit_once(NOT_OVER)?;
        Some(JobStatus::from(status.trim_end_matches(['.', ' '])))
    }

    /// Returns the line to show. It is not yet redacted or shortened.
    fn line(&self) -> Option<String> {
        if let Some(first) = first_invalid_field(&self.words) {
            return Some(first);
        }
        if self.is_traceback {
            let none = || "the server sent only a traceback".to_owned();
            return Some(self.error.clone().unwrap_or_else(none));
        }
        Some(first_line(&self.words).to_owned()).filter(|line| !line.is_empty())
    }
}

fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

/// Returns the error text in a JSON object: `msg` of the state API, `error` of Serve. Gateways use the
/// other members.
fn unwrap_json(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Member {
        Text(String),
        Other(IgnoredAny),
    }
    #[derive(Deserialize)]
    struct Object {
        msg: Option<Member>,
        error: Option<Member>,
        message: Option<Member>,
        detail: Option<Member>,
    }
    /// Maximum number of nested objects.
    const DEPTH: usize = 4;
    let mut words: Option<String> = None;
    for _ in 0..DEPTH {
        let text = words.as_deref().unwrap_or(text).trim_start();
        if !text.starts_with('{') {
            break;
        }
        let Ok(object) = serde_json::from_str::<Object>(text) else { break };
        let members = [object.msg, object.error, object.message, object.detail];
        let inner = members.into_iter().flatten().find_map(|member| match member {
            Member::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        });
        if inner.is_none() {
            break;
        }
        words = inner;
    }
    words
}

/// Returns the field and the reason of the first of pydantic's `2 validation errors for Model`. Omits
/// the value, which may be a secret.
fn first_invalid_field(body: &str) -> Option<String> {
    let (_, errors) = body.split_once(" for ").filter(|(head, _)| {
        head.ends_with("1 validation error") || head.ends_with(" validation errors")
    })?;
    let mut lines = errors.lines().skip(1).map(str::trim);
    let (field, error) = (lines.next()?, lines.next()?);
    let error = error.split(" [type=").next().unwrap_or(error);
    Some(format!("{field}: {error}"))
}

/// Whether a line is a dotted name, a colon and a message, for example `ValueError: …` or
/// `ray.exceptions.RuntimeEnvSetupError: …`.
pub(crate) fn is_python_error(line: &str) -> bool {
    line.split_once(": ").is_some_and(|(name, message)| {
        !message.ends_with(TRACEBACK)
            && !name.is_empty()
            && name.split('.').all(|part| {
                part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            })
    })
}

/// Whether this is aiohttp's text for a route that does not exist.
fn is_unknown_route(words: &str) -> bool {
    words == "404: Not Found"
}

/// Whether the cluster has no agent yet that can start or stop jobs, for example right after the head
/// started. Ray waits 10 seconds before it says so.
fn is_without_agent(words: &str, last: &str) -> bool {
    words.starts_with("No available agent to")
        || last.starts_with("TimeoutError: Failed to get head node agent within")
}

/// Whether Serve was killed while it handled a request, as a shutdown does at its end (measured with Ray
/// 2.60.0).
fn is_killed_serve(error: &str) -> bool {
    const ERRORS: [&str; 2] = ["ray.exceptions.ActorDiedError: ", "ray.exceptions.RayActorError: "];
    const ACTORS: [&str; 2] = ["\tname: SERVE_CONTROLLER_ACTOR", "\tname: SERVE_PROXY_ACTOR"];
    ERRORS.iter().any(|start| error.starts_with(start))
        && ACTORS.iter().any(|name| error.contains(name))
}

/// Returns the 4xx status of an agent's response that the head wraps in a 500.
fn wrapped_status(words: &str) -> Option<u16> {
    const WRAPPED: &str = "RuntimeError: Request failed with status code ";
    let status = words.lines().rev().find_map(|line| line.strip_prefix(WRAPPED))?;
    let (digits, _) = status.split_once(':')?;
    digits.parse().ok().filter(|status| (400..500).contains(status))
}

/// Whether Ray did not find a log file, or its node, actor, task or worker.
fn is_absent_log(words: &str) -> bool {
    const ABSENT: [(&str, &str); 8] = [
        ("Could not find a log file. ", ""),
        ("Could not find log file for task", ""),
        ("A file is not found at: ", ""),
        ("Agent for node id: ", " doesn't exist."),
        ("Given node id ", " Try again."),
        ("Actor ID ", " not found."),
        ("Worker ID for Actor ID ", ""),
        ("Suffix ", " is not supported."),
    ];
    ABSENT.iter().any(|(start, end)| words.starts_with(start) && words.ends_with(end))
}

#[cfg(test)]
mod tests;
