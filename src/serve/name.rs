//! Validates the names of applications and deployments.

use crate::ClientError;

const MAX_BYTES: usize = 255;

/// Checks the name of an application to deploy. Ray accepts more names, but one that is not ASCII
/// stops its controller, which then neither deploys nor deletes anything, and one with `/` fails to
/// deploy, because Ray cannot open a log file of that name (measured on 2.9.3, 2.40.0 and 2.60.0).
pub(super) fn to_deploy(name: &str) -> Result<&str, ClientError> {
    let name = existing("application name", name)?;
    let refuse =
        |why: String| Err(ClientError::invalid(format_args!("application name `{name}`: {why}")));
    if let Some(other) = name.chars().find(|c| !c.is_ascii()) {
        refuse(format!("must be ASCII, has `{other}`, which stops Serve's controller"))
    } else if name.contains('/') {
        refuse("must not have /, because Ray uses the name in names of log files".to_owned())
    } else if name.chars().any(char::is_control) {
        refuse("must not have control characters".to_owned())
    } else if name.len() > MAX_BYTES {
        refuse(format!("must have at most {MAX_BYTES} bytes, has {}", name.len()))
    } else {
        Ok(name)
    }
}

/// Checks a name to look up. Whatever its name, an existing application can be read and deleted.
pub(super) fn existing<'a>(subject: &str, name: &'a str) -> Result<&'a str, ClientError> {
    if name.is_empty() {
        return Err(ClientError::invalid(format_args!("{subject}: must not be empty")));
    }
    Ok(name)
}

/// Checks a name that becomes a path segment.
pub(super) fn in_path<'a>(subject: &str, name: &'a str) -> Result<&'a str, ClientError> {
    if matches!(name, "." | "..") {
        return Err(ClientError::invalid(format_args!("{subject}: must not be . or ..")));
    }
    existing(subject, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_break_serve_are_refused() {
        for good in ["default", "a b", "x.y:z", "a?b#c", ".", "a%2Fb", "a\\b"] {
            assert_eq!(to_deploy(good).unwrap(), good);
        }
        for bad in ["", "a/b", "täst", "日本", "a\u{200b}", "a\nb", &"x".repeat(256)] {
            let error = to_deploy(bad).unwrap_err();
            assert_eq!(error.status(), 400, "{bad:?}");
            assert!(error.to_string().contains(": must "), "{error}");
        }
        let error = to_deploy("täst").unwrap_err().to_string();
        assert!(error.contains("must be ASCII, has `ä`"), "{error}");
    }

    #[test]
    fn existing_names_may_contain_any_characters() {
        for odd in ["täst", "a/b", "a\nb", "..", &*"x".repeat(1000)] {
            assert_eq!(existing("application name", odd).unwrap(), odd);
        }
        assert!(existing("application name", "").is_err());
        assert!(in_path("application name", "..").is_err() && in_path("x", ".").is_err());
        assert!(in_path("application name", "a/b").is_ok());
    }
}
