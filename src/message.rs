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
    let Some((before, rest)) = word.split_once("://") else { return word.to_owned() };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority_end].rfind('@') {
        Some(at) => format!("{before}://{}", &rest[at + 1..]),
        None => word.to_owned(),
    }
}

/// A path of the server, as in `'/tmp/ray/session_x/runtime_resources'`, becomes `<path>`. What the
/// API itself names (`/api/…`) stays.
fn hide_path(word: &str) -> String {
    let Some(start) = word.find('/') else { return word.to_owned() };
    let opens = word[..start].chars().all(|c| !c.is_alphanumeric());
    let path_end =
        word[start..].find(['\'', '"', ',', ')', ']', ';', '`']).map_or(word.len(), |n| start + n);
    let path = &word[start..path_end];
    if !opens || path.starts_with("/api/") || path.matches('/').count() < 2 {
        return word.to_owned();
    }
    format!("{}<path>{}", &word[..start], &word[path_end..])
}

/// The line of an error answer worth showing: the last `SomeError: message` of a Python traceback,
/// the `msg` of a state API envelope, else the first line.
pub(crate) fn reason(body: &str) -> String {
    if let Ok(serde_json::Value::Object(object)) = serde_json::from_str(body) {
        for key in ["msg", "error", "message", "detail"] {
            if let Some(text) = object.get(key).and_then(|v| v.as_str()).filter(|t| !t.is_empty()) {
                return reason(text);
            }
        }
    }
    let is_traceback = body.contains("Traceback (most recent call last)");
    let mut lines = body.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = if let Some(first) = first_invalid_field(body) {
        return one_line(&first);
    } else if is_traceback {
        lines.rfind(|line| is_python_error(line)).unwrap_or("the server gave a traceback only")
    } else if body.trim_start().starts_with('<') {
        "the answer is an HTML page, not Ray's"
    } else {
        lines.next().unwrap_or("no reason given")
    };
    one_line(line)
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
        !message.starts_with("Traceback")
            && !message.contains("Traceback (most recent call last)")
            && !name.is_empty()
            && name.split('.').all(|part| {
                part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            })
    })
}

/// The status that Ray means: a 500 that wraps another agent's `Request failed with status code
/// 400` is that 400.
pub(crate) fn wrapped_status(status: u16, body: &str) -> u16 {
    const MARK: &str = "Request failed with status code ";
    let inner = body.rfind(MARK).and_then(|at| {
        let digits: String =
            body[at + MARK.len()..].chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    match inner {
        Some(inner) if status == 500 && (400..500).contains(&inner) => inner,
        _ => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUPLICATE: &str = "Traceback (most recent call last):\n  File \"/x/job_head.py\", line 134, in _raise_error\n    raise RuntimeError(f\"Request failed with status code {status}: {error_text}.\")\nRuntimeError: Request failed with status code 400: Traceback (most recent call last):\n  File \"/x/job_agent.py\", line 45, in submit_job\n    raise ValueError(\nValueError: Job with submission_id a1 already exists. Please use a different submission_id.\n.\n";

    #[test]
    fn the_last_error_line_of_a_traceback_is_what_is_shown() {
        assert_eq!(
            reason(DUPLICATE),
            "ValueError: Job with submission_id a1 already exists. Please use a different submission_id."
        );
    }

    #[test]
    fn a_400_wrapped_in_a_500_is_a_400() {
        assert_eq!(wrapped_status(500, DUPLICATE), 400);
        assert_eq!(wrapped_status(500, "RuntimeError: x"), 500);
        assert_eq!(wrapped_status(404, DUPLICATE), 404);
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
