//! What an error answer means. This is the one place that decides by Ray's words, and it does so on the
//! whole body, before anything is shortened. Ray's words are looked for at the beginning or the end of
//! what Ray says, never in the middle, since that may be the caller's own text.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::{ClientError, JobStatus, gateway, redact};

/// What a rejection means beyond its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing beyond it.
    #[default]
    Other,
    /// Something between the client and Ray answered, such as a reverse proxy.
    Gateway,
    /// Ray has no such route.
    NoRoute,
    /// The job is not over.
    NotTerminal,
    /// A Python `ValueError`: what an old Ray answers to a filter that it cannot use.
    BadValue,
    /// The log has bytes that are not UTF-8.
    NotUtf8,
    /// The log file does not exist, or its node, actor, task or worker does not.
    NoSuchLog,
    /// The job has no node yet, and so no log.
    NoDriverYet,
    /// Serve does not run.
    NoServeController,
}

/// The error that an answer other than 2xx is. `secrets` are header values that must not be shown.
pub(crate) fn rejection(
    what: &str,
    status: u16,
    content_type: &str,
    body: &[u8],
    secrets: &[&str],
) -> ClientError {
    let text = String::from_utf8_lossy(body);
    let said = Said::of(&text);
    let (status, fault, reason) = if gateway::is_page(content_type, &text) {
        (status, Fault::Gateway, gateway::page(status, &text))
    } else if matches!(status, 403 | 404) && !said.is_rays_own(status) {
        (status, Fault::Gateway, gateway::text(status, &said.line().unwrap_or_default()))
    } else {
        let (status, fault) = said.meaning(status);
        let no_reason =
            || format!("the server answered {} without a reason", gateway::status_line(status));
        (status, fault, said.line().unwrap_or_else(no_reason))
    };
    let message = redact::one_line_without(secrets, &format!("{what}: {reason}"));
    let error = match fault {
        Fault::Gateway => ClientError::answered(status, message),
        _ => ClientError::rejected(status, message),
    };
    error.with_fault(fault).with_job_status(said.job_status())
}

/// What of a Python error is worth showing, in one line: the last error of a traceback, or else the first
/// line.
pub(crate) fn reason(text: &str) -> String {
    let line = Said::of(text).line();
    redact::one_line(line.as_deref().unwrap_or("no reason given"))
}

/// The last error of a Python traceback, with the further lines of its message: a `RayActorError` ends
/// with the cause of an actor's death, after lines such as `\tnamespace: serve`.
pub(crate) fn last_error(traceback: &str) -> Option<String> {
    let lines: Vec<&str> = traceback.lines().collect();
    let first = lines.iter().rposition(|line| is_python_error(line))?;
    let message = lines[first..].iter().filter(|line| line.contains(char::is_alphanumeric));
    Some(message.copied().collect::<Vec<_>>().join(" "))
}

const TRACEBACK: &str = "Traceback (most recent call last):";
const NO_DRIVER: &str = " has no driver node id info. This is likely a bug. Please file an issue.";
const NOT_OVER: &str = "', but it is in a non-terminal state ";

/// What Ray says in an error answer.
struct Said<'t> {
    /// Its words, without the JSON around them.
    words: Cow<'t, str>,
    is_json: bool,
    /// The last error, if the words are a Python traceback.
    error: Option<String>,
    is_traceback: bool,
}

impl<'t> Said<'t> {
    fn of(text: &'t str) -> Self {
        let (words, is_json) = match unwrap_json(text) {
            Some(words) => (Cow::Owned(words), true),
            None => (Cow::Borrowed(text), false),
        };
        let is_traceback = words.lines().any(|line| line.ends_with(TRACEBACK));
        let error = if is_traceback { last_error(&words) } else { None };
        Self { words, is_json, error, is_traceback }
    }

    /// The last error of a traceback, or else all the words.
    fn last(&self) -> &str {
        self.error.as_deref().unwrap_or(&self.words).trim()
    }

    /// Whether Ray itself says this with that status, 403 or 404 (measured on Ray 2.9.3 to 2.60.0).
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

    /// The status that Ray means, and what it means beyond that.
    fn meaning(&self, status: u16) -> (u16, Fault) {
        let (words, last) = (self.words.trim(), self.last());
        match status {
            404 if is_unknown_route(words) => (404, Fault::NoRoute),
            503 if self.is_json && words == "Serve controller is not available" => {
                (503, Fault::NoServeController)
            }
            500 if self.job_status().is_some() => (400, Fault::NotTerminal),
            500 if is_without_agent(words, last) => (503, Fault::Other),
            500 => match wrapped_status(words) {
                Some(wrapped) => (wrapped, Fault::Other),
                None => (500, self.fault_of_500()),
            },
            status => (status, Fault::Other),
        }
    }

    fn fault_of_500(&self) -> Fault {
        let (words, last) = (self.words.trim(), self.last());
        let raised = |name: &str| self.error.is_some() && last.starts_with(name);
        if raised("UnicodeDecodeError: ") {
            Fault::NotUtf8
        } else if words.starts_with("Job ") && words.ends_with(NO_DRIVER) {
            Fault::NoDriverYet
        } else if is_absent_log(last) {
            Fault::NoSuchLog
        } else if raised("ValueError: ") || raised("binascii.Error: ") {
            Fault::BadValue
        } else {
            Fault::Other
        }
    }

    /// The status of the job that cannot be deleted, since it is not over.
    fn job_status(&self) -> Option<JobStatus> {
        let deleted =
            self.error.as_deref()?.strip_prefix("RuntimeError: Attempted to delete job '")?;
        let (_, status) = deleted.rsplit_once(NOT_OVER)?;
        Some(JobStatus::from(status.trim_end_matches(['.', ' '])))
    }

    /// The one line worth showing, of which nothing is hidden or cut yet.
    fn line(&self) -> Option<String> {
        if let Some(first) = first_invalid_field(&self.words) {
            return Some(first);
        }
        if self.is_traceback {
            let none = || "the server gave a traceback only".to_owned();
            return Some(self.error.clone().unwrap_or_else(none));
        }
        Some(first_line(&self.words).to_owned()).filter(|line| !line.is_empty())
    }
}

fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

/// The text in a JSON object that says what went wrong: `msg` of the state API, `error` of Serve.
/// Gateways use the others.
fn unwrap_json(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Member {
        Text(String),
        Other(IgnoredAny),
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Object {
        msg: Option<Member>,
        error: Option<Member>,
        message: Option<Member>,
        detail: Option<Member>,
    }
    /// How deep one text is looked for in another.
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

/// Of pydantic's `2 validation errors for Model`, the first: its field and what is wrong with it. What
/// was given is left out, since it may be a secret.
fn first_invalid_field(body: &str) -> Option<String> {
    let (_, errors) = body.split_once(" for ").filter(|(head, _)| {
        head.ends_with("1 validation error") || head.ends_with(" validation errors")
    })?;
    let mut lines = errors.lines().skip(1).map(str::trim);
    let (field, error) = (lines.next()?, lines.next()?);
    let error = error.split(" [type=").next().unwrap_or(error);
    Some(format!("{field}: {error}"))
}

/// `ValueError: …`, `ray.exceptions.RuntimeEnvSetupError: …`: a dotted name, a colon, a message.
fn is_python_error(line: &str) -> bool {
    line.split_once(": ").is_some_and(|(name, message)| {
        !message.ends_with(TRACEBACK)
            && !name.is_empty()
            && name.split('.').all(|part| {
                part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            })
    })
}

/// What aiohttp says of a route that it does not have.
fn is_unknown_route(words: &str) -> bool {
    words == "404: Not Found"
}

/// Whether no agent is there yet to start or stop a job, as right after the start of a head. Ray says so
/// after 10 seconds of waiting.
fn is_without_agent(words: &str, last: &str) -> bool {
    words.starts_with("No available agent to")
        || last.starts_with("TimeoutError: Failed to get head node agent within")
}

/// The 4xx status of an agent's answer that the head wraps in a 500.
fn wrapped_status(words: &str) -> Option<u16> {
    const WRAPPED: &str = "RuntimeError: Request failed with status code ";
    let status = words.lines().rev().find_map(|line| line.strip_prefix(WRAPPED))?;
    let (digits, _) = status.split_once(':')?;
    digits.parse().ok().filter(|status| (400..500).contains(status))
}

/// Whether Ray did not find a log file, or what the file belongs to.
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
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::chance::Chance;

    const TEXT: &str = "text/plain; charset=utf-8";
    const DUPLICATE: &str = "Traceback (most recent call last):\n  File \"/x/job_head.py\", line 134, in _raise_error\n    raise RuntimeError(f\"Request failed with status code {status}: {error_text}.\")\nRuntimeError: Request failed with status code 400: Traceback (most recent call last):\n  File \"/x/job_agent.py\", line 45, in submit_job\n    raise ValueError(\nValueError: Job with submission_id NAME already exists. Please use a different submission_id.\n.\n";
    const NOT_TERMINAL: &str = "Traceback (most recent call last):\n  File \"/x/job_head.py\", line 500, in delete_job\n    await self._raise_error(resp)\nRuntimeError: Request failed with status code 500: Traceback (most recent call last):\n  File \"/x/job_agent.py\", line 129, in delete_job\n    raise RuntimeError(\nRuntimeError: Attempted to delete job 'NAME', but it is in a non-terminal state RUNNING.\n.\n";
    const NOT_UTF8: &str = "Traceback (most recent call last):\n  File \"/x/NAME.py\", line 1, in f\nUnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 5: invalid start byte\n";
    const ABSENT: &str = "Could not find a log file. Please make sure the given option exists in the cluster.\n\tnode_id: None\n\tfilename: NAME\n\tsubmission_id: NAME\n\tattempt_number: 0\n";
    const NO_DRIVER_YET: &str =
        "Job NAME has no driver node id info. This is likely a bug. Please file an issue.";
    const BAD_FILTER: &str = r#"{"result": false, "msg": "Traceback (most recent call last):\n  File \"/x/state_head.py\", line 94, in f\nValueError: The given filter column NAME is not supported. Supported filter columns: {'node_id'}\n", "data": {"result": null}}"#;
    const NO_CONTROLLER: &str = r#"{"error": "Serve controller is not available"}"#;

    /// What Ray 2.9.3 to 2.60.0 answers, and what it means.
    const ANSWERS: [(u16, &str, u16, Fault); 22] = [
        (404, "Job NAME does not exist", 404, Fault::Other),
        (404, "Package gcs://NAME.zip does not exist", 404, Fault::Other),
        (404, "404: Not Found", 404, Fault::NoRoute),
        (404, r#"{"error": "Application or Deployment not found"}"#, 404, Fault::Other),
        (403, "Forbidden: Invalid authentication token", 403, Fault::Other),
        (401, "Unauthorized: Missing authentication token", 401, Fault::Other),
        (405, "405: Method Not Allowed", 405, Fault::Other),
        (500, DUPLICATE, 400, Fault::Other),
        (500, NOT_TERMINAL, 400, Fault::NotTerminal),
        (500, NOT_UTF8, 500, Fault::NotUtf8),
        (500, ABSENT, 500, Fault::NoSuchLog),
        (500, "Agent for node id: NAME doesn't exist.", 500, Fault::NoSuchLog),
        (500, "Actor ID ActorID(NAME) not found.", 500, Fault::NoSuchLog),
        (
            500,
            "Could not find log file for task: NAME (attempt 0) with suffix: out",
            500,
            Fault::NoSuchLog,
        ),
        (500, "A file is not found at: /tmp/ray/session/logs/NAME", 500, Fault::NoSuchLog),
        (500, NO_DRIVER_YET, 500, Fault::NoDriverYet),
        (500, BAD_FILTER, 500, Fault::BadValue),
        (503, NO_CONTROLLER, 503, Fault::NoServeController),
        (500, "No available agent to submit job, please try again later.", 503, Fault::Other),
        (500, "500 Internal Server Error\n\nServer got itself in trouble", 500, Fault::Other),
        (500, "Failed to query data from GCS for NAME.", 500, Fault::Other),
        (501, "Serve dependencies are not installed.", 501, Fault::Other),
    ];

    fn meaning(status: u16, body: &str) -> ClientError {
        rejection("get x", status, TEXT, body.as_bytes(), &[])
    }

    /// Words by which an answer is told, as ids, names of files and of applications.
    fn names() -> Vec<String> {
        let mut words: Vec<String> = [
            "a",
            "non-terminal state",
            "', but it is in a non-terminal state STOPPED.",
            "not found.log",
            "does not exist",
            "Job x does not exist",
            "UnicodeDecodeError: x",
            "ValueError: x",
            "RuntimeError: Request failed with status code 404: x",
            "Request failed with status code 403",
            "Could not find a log file. ",
            "Serve controller is not available",
            "404: Not Found",
            "Traceback (most recent call last):",
            "No available agent to",
            "<html>",
            "{\"msg\": \"x\"}",
            "1 validation error for ",
        ]
        .map(str::to_owned)
        .into();
        words.extend(words.clone().iter().map(|word| format!(" {word} ")));
        words.push(" has no driver node id info.".to_owned());
        words
    }

    fn check(name: &str) {
        let in_json = serde_json::to_string(name).unwrap();
        for (status, body, meant, fault) in ANSWERS {
            let name = if body.starts_with('{') { in_json.trim_matches('"') } else { name };
            let error = meaning(status, &body.replace("NAME", name));
            assert_eq!((error.status(), error.fault()), (meant, fault), "{name:?}: {body}");
        }
    }

    #[test]
    fn no_name_of_the_callers_changes_what_an_answer_means() {
        names().iter().for_each(|name| check(name));
        for length in 1..=255 {
            let words: String = names().concat().chars().cycle().take(length).collect();
            check(&words);
            check(&"x".repeat(length));
        }
        for seed in 0..500 {
            let mut chance = Chance(seed);
            let names = names();
            let name: String = (0..=chance.below(6)).map(|_| chance.pick(&names).clone()).collect();
            check(&name);
        }
    }

    #[test]
    fn the_status_of_a_job_that_is_not_over_is_told() {
        let error = meaning(500, NOT_TERMINAL);
        assert_eq!(error.job_status(), Some(&JobStatus::Running));
        assert_eq!(meaning(500, DUPLICATE).job_status(), None);
    }

    #[test]
    fn a_gateways_error_is_not_rays() {
        let nginx = "<html>\r\n<head><title>404 Not Found</title></head></html>";
        for (status, content_type, body, said) in [
            (502, "text/html", "", "a gateway answered 502 Bad Gateway"),
            (502, "", "<html><title>Oops</title>", "a gateway answered 502 Bad Gateway: 'Oops'"),
            (404, "text/html", nginx, "a gateway answered 404 Not Found"),
            (
                404,
                TEXT,
                "404 page not found",
                "a gateway answered 404 Not Found: '404 page not found'",
            ),
            (
                404,
                TEXT,
                "default backend - 404",
                "a gateway answered 404 Not Found: 'default backend - 404'",
            ),
            (404, "", "", "a gateway answered 404 Not Found"),
            (
                404,
                "application/json",
                r#"{"message":"no Route matched"}"#,
                "a gateway answered 404 Not Found: 'no Route matched'",
            ),
            (
                403,
                "application/json",
                r#"{"detail":"RBAC"}"#,
                "a gateway answered 403 Forbidden: 'RBAC'",
            ),
            (
                401,
                "text/html",
                "<title>Sign in</title>",
                "a gateway answered 401 Unauthorized: 'Sign in'",
            ),
        ] {
            let error = rejection("get x", status, content_type, body.as_bytes(), &[]);
            assert_eq!(error.to_string(), format!("get x: {said}"));
            assert_eq!((error.status(), error.fault()), (status, Fault::Gateway));
            assert_eq!(error.is_retryable(), status != 401, "{error}");
            assert!(matches!(error, ClientError::Rejected { .. }), "{error}");
        }
        let error = rejection("get x", 503, TEXT, b"", &[]);
        assert_eq!(
            error.to_string(),
            "get x: the server answered 503 Service Unavailable without a reason"
        );
    }

    #[test]
    fn the_last_error_line_of_a_traceback_is_what_is_shown() {
        assert_eq!(
            reason(&DUPLICATE.replace("NAME", "a1")),
            "ValueError: Job with submission_id a1 already exists. Please use a different submission_id."
        );
    }

    #[test]
    fn all_of_the_last_error_is_shown() {
        let died = "Traceback (most recent call last):\n  File \"/x/worker.py\", line 7, in get\n    raise value\nray.exceptions.RayActorError: The actor died unexpectedly before finishing this task.\n\tclass_name: ServeController\n\tnamespace: serve\nThe actor is dead because its owner has died.\n";
        assert_eq!(
            reason(died),
            "ray.exceptions.RayActorError: The actor died unexpectedly before finishing this task. class_name: ServeController namespace: serve The actor is dead because its owner has died."
        );
    }

    #[test]
    fn of_invalid_fields_the_first_is_named_without_its_value() {
        let body = "2 validation errors for ServeDeploySchema\napplications.0.args\n  Input should be a valid dictionary [type=dict_type, input_value='pw', input_type=str]\n    For further information visit https://errors.pydantic.dev/2.14/v/dict_type\napplications.0.import_path\n  Field required [type=missing, input_value={}, input_type=dict]\n";
        assert_eq!(reason(body), "applications.0.args: Input should be a valid dictionary");
        let scale = "Invalid request body: 1 validation error for ScaleDeploymentRequest\ntarget_num_replicas\n  Input should be a valid integer [type=int_type]";
        assert_eq!(reason(scale), "target_num_replicas: Input should be a valid integer");
    }

    #[test]
    fn the_reason_of_a_state_api_envelope_is_its_msg() {
        assert_eq!(reason(r#"{"result":false,"msg":"Odd-length string"}"#), "Odd-length string");
    }

    #[test]
    fn nested_and_endless_answers_are_read_in_bounded_time() {
        let mut nested = "x".to_owned();
        while nested.len() < 1024 * 1024 {
            nested = serde_json::json!({ "msg": nested }).to_string();
        }
        let texts = [
            nested,
            "{\"msg\":".repeat(100_000),
            format!("{{\"msg\": [{}", "[".repeat(1 << 20)),
            "<title>".repeat(150_000),
            "ValueError: x\n".repeat(70_000),
            "Traceback (most recent call last):\n".repeat(30_000),
            "RuntimeError: Request failed with status code 4".repeat(20_000),
        ];
        for text in texts {
            let start = Instant::now();
            for status in [403, 404, 500, 503] {
                let error = meaning(status, &text);
                assert!(error.to_string().chars().count() <= 300);
            }
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "{:?}: {}",
                start.elapsed(),
                &text[..40]
            );
        }
    }

    #[test]
    fn secrets_that_a_page_repeats_are_not_shown() {
        let secret = "tok/en+1=";
        for body in [
            r#"{"message": "bad header Bearer tok\/en\u002B1\u003d"}"#,
            "bad header Bearer tok/en+1=",
            "<title>tok%2Fen%2B1%3D</title>",
            "Traceback (most recent call last):\nValueError: tok/en+1=\n",
        ] {
            let error = rejection("get x", 404, "", body.as_bytes(), &[secret]).to_string();
            assert!(error.contains('…') && !error.contains("en"), "{error}");
        }
    }
}
