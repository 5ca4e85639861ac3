//! Which names of applications and deployments a call takes.

use crate::ClientError;

const MAX_BYTES: usize = 255;

/// The name of an application that is to be deployed. Ray takes other names, too, but one that is not
/// ASCII stops its controller, which then neither deploys nor deletes anything, and one with `/` fails
/// to deploy, since Ray cannot open a log file of that name (measured on 2.9.3, 2.40.0 and 2.60.0).
pub(super) fn to_deploy(name: &str) -> Result<&str, ClientError> {
    let name = existing("application name", name)?;
    let refuse =
        |why: String| Err(ClientError::invalid(format_args!("application name `{name}`: {why}")));
    if let Some(other) = name.chars().find(|c| !c.is_ascii()) {
        refuse(format!("must be ASCII, has `{other}`, with which Ray's Serve stops working"))
    } else if name.contains('/') {
        refuse("must not have /, which Ray cannot have in the names of its log files".to_owned())
    } else if name.chars().any(char::is_control) {
        refuse("must not have control characters".to_owned())
    } else if name.len() > MAX_BYTES {
        refuse(format!("must have at most {MAX_BYTES} bytes, has {}", name.len()))
    } else {
        Ok(name)
    }
}

/// A name that is looked up only: what exists can be read and deleted, whatever its name is.
pub(super) fn existing<'a>(subject: &str, name: &'a str) -> Result<&'a str, ClientError> {
    if name.is_empty() {
        return Err(ClientError::invalid(format_args!("{subject}: must not be empty")));
    }
    Ok(name)
}

/// A name that becomes a segment of a path.
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
    fn names_that_serve_cannot_run_are_refused_before_they_are_deployed() {
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
    fn a_name_that_exists_is_looked_up_whatever_it_is() {
        for odd in ["täst", "a/b", "a\nb", "..", &*"x".repeat(1000)] {
            assert_eq!(existing("application name", odd).unwrap(), odd);
        }
        assert!(existing("application name", "").is_err());
        assert!(in_path("application name", "..").is_err() && in_path("x", ".").is_err());
        assert!(in_path("application name", "a/b").is_ok());
    }
}
