//! What a user reads of an error: one line, Ray's own words, nothing of the server's insides.

const MAX_CHARS: usize = 300;

/// One line of at most 300 characters, without control characters, paths of the server or
/// credentials in URLs.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_CHARS));
    let mut chars = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty())
    {
        let word = hide_path(&hide_userinfo(word));
        let separator = usize::from(!line.is_empty());
        let length = word.chars().count();
        if chars + separator + length > MAX_CHARS {
            let room = (MAX_CHARS - chars).saturating_sub(separator + 1);
            if room > 0 {
                line.extend(std::iter::repeat_n(' ', separator));
                line.extend(word.chars().take(room));
            }
            if chars < MAX_CHARS {
                line.push('…');
            }
            break;
        }
        line.extend(std::iter::repeat_n(' ', separator));
        line.push_str(&word);
        chars += separator + length;
    }
    line
}

/// `scheme://user:password@host` becomes `scheme://host`.
fn hide_userinfo(word: &str) -> String {
    let mut shown = String::with_capacity(word.len());
    let mut left = word;
    while let Some((before, rest)) = left.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        left = rest[..authority_end].rfind('@').map_or(rest, |at| &rest[at + 1..]);
    }
    shown + left
}

/// A path of the server, as in `PosixPath('/tmp/ray/session_x')`, becomes `<path>`. What the API
/// itself names (`/api/…`) stays, and so do URLs.
fn hide_path(word: &str) -> String {
    let mut shown = String::with_capacity(word.len());
    let mut left = word;
    while let Some(slash) = left.find('/') {
        let (before, path) = left.split_at(slash);
        shown.push_str(before);
        let path_end =
            path.find(['\'', '"', ',', ')', ']', '}', '>', ';', '`']).unwrap_or(path.len());
        let is_url = shown.ends_with(':') && path.starts_with("//");
        let opens = shown.ends_with("://")
            || !shown.ends_with(|c: char| c.is_alphanumeric() || "/._-~%]>".contains(c));
        let hidden = opens
            && !is_url
            && !path.starts_with("/api/")
            && path[..path_end].matches('/').count() >= 2;
        if hidden {
            shown.push_str("<path>");
            left = &path[path_end..];
        } else if is_url {
            shown.push_str("//");
            left = &path[2..];
        } else if path.starts_with("/api/") {
            shown.push_str(&path[..path_end]);
            left = &path[path_end..];
        } else {
            shown.push('/');
            left = &path[1..];
        }
    }
    shown + left
}

/// What of an error answer is worth showing: the last `SomeError: message` of a Python traceback, the
/// `msg` of a state API envelope, else the first line.
pub(crate) fn reason(body: &str) -> String {
    if let Ok(serde_json::Value::Object(object)) = serde_json::from_str(body) {
        for key in ["msg", "error", "message", "detail"] {
            if let Some(text) = object.get(key).and_then(|v| v.as_str()).filter(|t| !t.is_empty()) {
                return reason(text);
            }
        }
    }
    let text = if let Some(first) = first_invalid_field(body) {
        first
    } else if body.contains("Traceback (most recent call last)") {
        last_error(body).unwrap_or_else(|| "the server gave a traceback only".to_owned())
    } else if body.trim_start().starts_with('<') {
        "the answer is an HTML page, not Ray's".to_owned()
    } else {
        let line = body.lines().find(|line| !line.trim().is_empty());
        line.unwrap_or("no reason given").to_owned()
    };
    one_line(&text)
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

/// The last exception of a traceback, with the further lines of its message: `RayActorError` gives the
/// cause of an actor's death at its end, after lines such as `\tnamespace: serve`.
fn last_error(traceback: &str) -> Option<String> {
    let lines: Vec<&str> = traceback.lines().collect();
    let first = lines.iter().rposition(|line| is_python_error(line))?;
    let message = lines[first..].iter().filter(|line| line.contains(char::is_alphanumeric));
    Some(message.copied().collect::<Vec<_>>().join(" "))
}

/// `ValueError: …`, `ray.exceptions.RuntimeEnvSetupError: …`: a dotted name, a colon, a message.
fn is_python_error(line: &str) -> bool {
    line.split_once(": ").is_some_and(|(name, message)| {
        !message.starts_with("Traceback")
            && !message.contains("Traceback (most recent call last)")
            && !name.is_empty()
            && name.split('.').all(|part| {
                part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            })
    })
}

/// The status that Ray means. Its 500 may wrap another agent's `Request failed with status code 400`,
/// and is a 503 where no agent is there yet to start a job, as right after the start of a head; Ray
/// then says "try again later", after 10 seconds of waiting.
pub(crate) fn meant_status(status: u16, body: &str) -> u16 {
    const MARK: &str = "Request failed with status code ";
    const NO_AGENT: [&str; 2] = ["No available agent to", "Failed to get head node agent within"];
    if status != 500 {
        return status;
    }
    if NO_AGENT.iter().any(|mark| body.contains(mark)) {
        return 503;
    }
    let inner = body.rfind(MARK).and_then(|at| {
        let digits: String =
            body[at + MARK.len()..].chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    inner.filter(|inner| (400..500).contains(inner)).unwrap_or(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    const DUPLICATE: &str = "Traceback (most recent call last):\n  File \"/x/job_head.py\", line 134, in _raise_error\n    raise RuntimeError(f\"Request failed with status code {status}: {error_text}.\")\nRuntimeError: Request failed with status code 400: Traceback (most recent call last):\n  File \"/x/job_agent.py\", line 45, in submit_job\n    raise ValueError(\nValueError: Job with submission_id a1 already exists. Please use a different submission_id.\n.\n";

    #[test]
    fn the_last_error_line_of_a_traceback_is_what_is_shown() {
        assert_eq!(
            reason(DUPLICATE),
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
    fn a_400_wrapped_in_a_500_is_a_400() {
        assert_eq!(meant_status(500, DUPLICATE), 400);
        assert_eq!(meant_status(500, "RuntimeError: x"), 500);
        assert_eq!(meant_status(404, DUPLICATE), 404);
    }

    #[test]
    fn a_head_without_agents_is_503() {
        let submit = "No available agent to submit job, please try again later.";
        let stop = "Traceback (most recent call last):\n  File \"/x/job_head.py\", line 1, in f\nTimeoutError: Failed to get head node agent within 10 seconds. The last exception is x\n";
        assert_eq!(meant_status(500, submit), 503);
        assert_eq!(meant_status(500, stop), 503);
        assert_eq!(meant_status(404, submit), 404);
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
    fn paths_of_the_server_and_passwords_are_hidden() {
        assert_eq!(
            one_line("FileNotFoundError: '/tmp/ray/session/x.py' at http://me:pw@h:1/a"),
            "FileNotFoundError: '<path>' at http://h:1/a"
        );
        assert_eq!(
            one_line("and/or module:app 1/2 /api/jobs/"),
            "and/or module:app 1/2 /api/jobs/"
        );
    }

    #[test]
    fn whatever_a_server_says_becomes_one_line_without_its_insides() {
        let pieces = [
            "/tmp/s3cret/x.py",
            "'/tmp/s3cret'",
            "PosixPath('/tmp/s3cret/a')",
            "path=/tmp/s3cret/b",
            "file:///tmp/s3cret/c",
            "[/tmp/s3cret/d]",
            "http://me:s3cret@h/a",
            "x,https://s3cret@h",
            "http://h,http://s3cret:s3cret@h",
            "\r\n",
            "\u{0}",
            "\u{85}",
            "\u{2028}",
            " ",
            "Traceback (most recent call last):\n",
            "\nValueError: no\n",
            "{\"msg\":\"/tmp/s3cret/e\"}",
            "\u{e4}\u{f6}",
            "words and words ",
            "<html>",
            "\u{1F600}",
        ];
        for seed in 0..5000 {
            let mut chance = Chance(seed);
            let length = chance.below(40);
            let words = (0..length).map(|_| *chance.pick(&pieces));
            let text = words.collect::<Vec<_>>().join(if seed % 2 == 0 { " " } else { "\n" });
            for line in [one_line(&text), reason(&text)] {
                assert!(line.chars().count() <= 300, "seed {seed}: {line}");
                assert!(!line.contains(|c: char| c.is_control() || c == '\u{2028}'), "{line:?}");
                assert!(!line.contains("s3cret"), "seed {seed}: {line}");
            }
        }
    }

    #[test]
    fn a_message_is_one_line_of_at_most_300_characters() {
        for text in ["a\r\nb\u{7}c", &"ä".repeat(1000), &"ab ".repeat(500), "", &"x ".repeat(150)]
        {
            let line = one_line(text);
            assert!(line.chars().count() <= 300, "{}", line.chars().count());
            assert!(!line.chars().any(char::is_control));
        }
        assert_eq!(one_line("a\r\nb\u{7}c"), "a b c");
    }
}
