//! Checks of parameters before anything is sent.

use std::time::Duration;

use crate::ClientError;

const MAX_ID_BYTES: usize = 255;
pub(crate) const MAX_STREAM_TIMEOUT: Duration = Duration::from_secs(300);
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Checks an id or the name of an application. Refuses what would change the route.
pub(crate) fn id<'a>(subject: &str, id: &'a str) -> Result<&'a str, ClientError> {
    let refuse = |why: &str| Err(ClientError::invalid(format_args!("{subject}: {why}")));
    if id.is_empty() {
        refuse("must not be empty")
    } else if id.len() > MAX_ID_BYTES {
        refuse(&format!("must have at most {MAX_ID_BYTES} bytes, has {}", id.len()))
    } else if id.chars().any(char::is_control) {
        refuse("must not have control characters")
    } else if id.contains(['/', '\\']) {
        refuse("must not have / or \\, which Ray cannot route")
    } else if matches!(id, "." | "..") {
        refuse("must not be . or ..")
    } else {
        Ok(id)
    }
}

/// Checks the id of a job. Ray's job routes do not match `{` and `}`: a job with such an id could be
/// submitted, but neither queried nor stopped (measured with Ray 2.9.3 and 2.60.0).
pub(crate) fn job_id(id: &str) -> Result<&str, ClientError> {
    const SUBJECT: &str = "job id";
    self::id(SUBJECT, id)?;
    if id.contains(['{', '}']) {
        return Err(ClientError::invalid(format_args!(
            "{SUBJECT}: must not have {{ or }}, which Ray cannot route"
        )));
    }
    Ok(id)
}

/// Checks an id that Ray's head inserts into the URL of a job's agent without encoding it.
///
/// Refuses an id that would then name another job: `#` and `?` end it, and `%32` is read as `2`. All
/// other characters arrive unchanged (measured with Ray 2.9.3 and 2.60.0).
pub(crate) fn pasted_id<'a>(subject: &str, id: &'a str) -> Result<&'a str, ClientError> {
    let found = id.char_indices().find_map(|(at, c)| match c {
        '#' | '?' => id.get(at..=at),
        '%' => id
            .get(at..at + 3)
            .filter(|escape| escape.bytes().skip(1).all(|digit| digit.is_ascii_hexdigit())),
        _ => None,
    });
    match found {
        Some(found) => Err(ClientError::invalid(format_args!(
            "{subject}: Ray would act on another job, because it does not encode `{found}`"
        ))),
        None => Ok(id),
    }
}

/// Checks an id that Ray generates: pairs of hex digits.
pub(crate) fn hex_id(subject: &str, id: &str) -> Result<(), ClientError> {
    let is_hex = !id.is_empty()
        && id.len() <= MAX_ID_BYTES
        && id.len() % 2 == 0
        && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex {
        return Ok(());
    }
    Err(ClientError::invalid(format_args!(
        "{subject}: must be an even number of hex digits, is {id:?}"
    )))
}

/// Checks the path of a log file, relative to its node's log folder.
pub(crate) fn file_name(name: &str) -> Result<(), ClientError> {
    below("log file name", name)
}

/// Checks a pattern for paths of log files.
pub(crate) fn glob(pattern: &str) -> Result<(), ClientError> {
    below("glob", pattern)
}

fn below(subject: &str, path: &str) -> Result<(), ClientError> {
    let refuse = |why: &str| Err(ClientError::invalid(format_args!("{subject}: {why}")));
    if path.is_empty() {
        refuse("must not be empty")
    } else if path.chars().any(char::is_control) {
        refuse("must not have control characters")
    } else if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        refuse("must stay below the log folder: no / at its start, and no ..")
    } else {
        Ok(())
    }
}

/// Checks that a timeout is more than zero and at most a day.
pub(crate) fn timeout(subject: &str, duration: Duration) -> Result<Duration, ClientError> {
    within(subject, duration, MAX_TIMEOUT)
}

/// Checks that a stream timeout is more than zero and at most 300 s.
pub(crate) fn stream_timeout(duration: Duration) -> Result<Duration, ClientError> {
    within("stream_timeout", duration, MAX_STREAM_TIMEOUT)
}

fn within(subject: &str, duration: Duration, most: Duration) -> Result<Duration, ClientError> {
    if duration.is_zero() || duration > most {
        return Err(ClientError::invalid(format_args!(
            "{subject}: must be more than 0 and at most {most:?}, is {duration:?}"
        )));
    }
    Ok(duration)
}

/// Checks that an amount of a resource is finite and not negative.
pub(crate) fn amount(subject: &str, value: f64) -> Result<f64, ClientError> {
    if value.is_finite() && value >= 0.0 {
        return Ok(value);
    }
    Err(ClientError::invalid(format_args!("{subject}: must be finite and at least 0, is {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_ray_accepts_are_valid() {
        for good in ["raysubmit_1", "x.y:z", "täst", "a?b#c", " ", "...", "a%2Fb"] {
            assert_eq!(id("job id", good).unwrap(), good);
        }
    }

    #[test]
    fn ids_that_would_change_the_route_are_refused() {
        for bad in ["", "a/b", "a\\b", ".", "..", "a\nb", "a\0", "a\u{7f}", &"x".repeat(256)] {
            let error = id("job id", bad).unwrap_err();
            assert_eq!(error.status(), 400, "{bad:?}");
            assert!(error.to_string().starts_with("job id: must "), "{error}");
        }
    }

    #[test]
    fn job_ids_that_ray_cannot_route_are_refused() {
        for bad in ["a{b", "}", "{job}", "a/b", ""] {
            assert_eq!(job_id(bad).unwrap_err().status(), 400, "{bad}");
        }
        assert_eq!(job_id("a[b]").unwrap(), "a[b]");
    }

    #[test]
    fn only_ids_that_would_name_another_job_are_refused() {
        for (bad, named) in [
            ("build#2", "`#`"),
            ("a?b", "`?`"),
            ("#", "`#`"),
            ("sbuild%32", "`%32`"),
            ("%4a", "`%4a`"),
            ("a%%20", "`%20`"),
            ("ä%C3%A4", "`%C3`"),
        ] {
            let error = pasted_id("stop job", bad).unwrap_err();
            assert_eq!(error.status(), 400, "{bad}");
            assert!(error.to_string().ends_with(&format!("it does not encode {named}")), "{error}");
        }
        for good in
            ["raysubmit_1", "x.y:z", "täst", "50%", "%zz", "%2", "%é1", "a;b&c+d e=f", "a.."]
        {
            assert_eq!(pasted_id("stop job", good).unwrap(), good);
        }
    }

    #[test]
    fn a_stream_timeout_is_more_than_zero_and_at_most_300_seconds() {
        assert!(stream_timeout(Duration::from_nanos(1)).is_ok());
        assert!(stream_timeout(MAX_STREAM_TIMEOUT).is_ok());
        assert_eq!(stream_timeout(Duration::ZERO).unwrap_err().status(), 400);
        assert_eq!(stream_timeout(Duration::from_millis(300_001)).unwrap_err().status(), 400);
    }

    #[test]
    fn amounts_are_finite_and_not_negative() {
        assert!(amount("x", 0.5).is_ok());
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(amount("x", bad).unwrap_err().status(), 400);
        }
    }
}
