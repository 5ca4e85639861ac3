//! Settings from environment variables, read as Ray's own client reads them. The only I/O is reading
//! token files. `transport/proxy.rs` interprets the proxy variables.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::ClientError;

const DEFAULT_ADDRESS: &str = "http://127.0.0.1:8265";

/// The file in which `KubeRay` stores the token of a pod's service account.
const POD_TOKEN: &str = "/var/run/secrets/ray.io/serviceaccount/token";

/// The settings found in the environment.
pub(crate) struct Environment {
    pub(crate) address: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) token: Option<FoundToken>,
}

/// A token, and the file that contained it.
#[derive(Clone)]
pub(crate) struct FoundToken {
    pub(crate) value: String,
    pub(crate) file: Option<PathBuf>,
}

/// Reads a variable of this process. 400 if it is not UTF-8.
pub(crate) fn variable(name: &str) -> Result<Option<String>, ClientError> {
    let Some(value) = env::var_os(name) else { return Ok(None) };
    match value.into_string() {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(ClientError::invalid(format_args!("{name}: is not valid UTF-8"))),
    }
}

impl Environment {
    pub(crate) fn read(
        var: impl Fn(&str) -> Result<Option<String>, ClientError>,
    ) -> Result<Self, ClientError> {
        let headers = headers(var("RAY_JOB_HEADERS")?)?;
        let has_own = headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
        Ok(Self {
            address: address(&var)?,
            headers,
            token: if has_own { None } else { token(&var)? },
        })
    }
}

fn address(
    var: impl Fn(&str) -> Result<Option<String>, ClientError>,
) -> Result<String, ClientError> {
    for name in ["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"] {
        let Some(url) = var(name)?.filter(|value| !value.is_empty()) else { continue };
        if url.starts_with("http://") || url.starts_with("https://") {
            return Ok(url);
        }
        let hint = if name == "RAY_ADDRESS" {
            "; if it is the cluster's own address, for example inside a Ray job, set RAY_API_SERVER_ADDRESS"
        } else {
            ""
        };
        return Err(ClientError::invalid(format_args!(
            "{name}: must be the dashboard's address, which begins with http:// or https://{hint}"
        )));
    }
    Ok(DEFAULT_ADDRESS.to_owned())
}

fn headers(json: Option<String>) -> Result<BTreeMap<String, String>, ClientError> {
    let Some(json) = json.filter(|json| !json.is_empty()) else { return Ok(BTreeMap::new()) };
    // `null` means no headers, as in Ray's own client.
    serde_json::from_str::<Option<_>>(&json)
        .map(Option::unwrap_or_default)
        .map_err(|_| ClientError::invalid("RAY_JOB_HEADERS: must be a JSON object of strings"))
}

/// Returns the token that Ray's own client would use (`ray/_private/authentication`, Ray 2.60.0).
/// [`ClientBuilder::from_env`](crate::ClientBuilder::from_env) lists the sources.
fn token(
    var: impl Fn(&str) -> Result<Option<String>, ClientError>,
) -> Result<Option<FoundToken>, ClientError> {
    if !var("RAY_AUTH_MODE")?.is_some_and(|mode| mode.eq_ignore_ascii_case("token")) {
        return Ok(None);
    }
    if let Some(token) = var("RAY_AUTH_TOKEN")?.filter(|token| !token.is_empty()) {
        let value = not_blank("RAY_AUTH_TOKEN", &token)?;
        return Ok(Some(FoundToken { value, file: None }));
    }
    let read = |source: &str, path: PathBuf| {
        let text = fs::read_to_string(&path).map_err(|error| {
            ClientError::invalid(format_args!("{source}: cannot be read: {}", error.kind()))
        })?;
        Ok(Some(FoundToken { value: not_blank(source, &text)?, file: Some(path) }))
    };
    if let Some(path) = var("RAY_AUTH_TOKEN_PATH")?.filter(|path| !path.is_empty()) {
        return read("the file of RAY_AUTH_TOKEN_PATH", path.into());
    }
    let kubernetes = var("RAY_ENABLE_K8S_TOKEN_AUTH")?
        .is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"));
    if kubernetes && Path::new(POD_TOKEN).exists() {
        return read(POD_TOKEN, POD_TOKEN.into());
    }
    let home = var("HOME")?.map(PathBuf::from).or_else(env::home_dir).unwrap_or_default();
    let default = home.join(".ray").join("auth_token");
    if default.exists() {
        return read("~/.ray/auth_token", default);
    }
    Err(ClientError::invalid(
        "RAY_AUTH_MODE is token, but there is none in RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token",
    ))
}

fn not_blank(source: &str, token: &str) -> Result<String, ClientError> {
    match token.trim() {
        "" => Err(ClientError::invalid(format_args!("{source}: contains no token"))),
        token => Ok(token.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(vars: &[(&str, &str)]) -> Result<Environment, ClientError> {
        Environment::read(|name| {
            let found = vars.iter().find(|(n, _)| *n == name);
            Ok(found.map(|(_, value)| (*value).to_owned()))
        })
    }

    fn token_from(vars: &[(&str, &str)]) -> Option<String> {
        from(vars).unwrap().token.map(|token| token.value)
    }

    fn refusal(vars: &[(&str, &str)]) -> String {
        let error = from(vars).err().unwrap();
        assert_eq!(error.status(), 400);
        error.to_string()
    }

    #[test]
    fn the_api_server_address_takes_precedence_over_ray_address() {
        let api = ("RAY_API_SERVER_ADDRESS", "http://a:1");
        let ray = ("RAY_ADDRESS", "https://b:2");
        assert_eq!(from(&[ray, api]).unwrap().address, "http://a:1");
        assert_eq!(from(&[ray]).unwrap().address, "https://b:2");
        assert_eq!(from(&[]).unwrap().address, DEFAULT_ADDRESS);
        for other in ["ray://h:10001", "auto", "10.0.0.1:6379"] {
            let message = refusal(&[("RAY_ADDRESS", other)]);
            assert!(message.contains("set RAY_API_SERVER_ADDRESS"), "{message}");
        }
    }

    #[test]
    fn an_authorization_header_replaces_the_token() {
        let mode = ("RAY_AUTH_MODE", "token");
        let home = ("HOME", "/nowhere");
        refusal(&[mode, home]);
        let headers = ("RAY_JOB_HEADERS", r#"{"authorization": "Bearer own"}"#);
        assert_eq!(token_from(&[mode, home, headers]), None);
        assert!(from(&[("RAY_JOB_HEADERS", "null")]).unwrap().headers.is_empty());
    }

    #[test]
    fn the_token_is_read_only_in_token_mode() {
        let token = ("RAY_AUTH_TOKEN", " t1 ");
        assert_eq!(token_from(&[token]), None);
        assert_eq!(token_from(&[token, ("RAY_AUTH_MODE", "other")]), None);
        let found = token_from(&[token, ("RAY_AUTH_MODE", "TOKEN")]);
        assert_eq!(found.as_deref(), Some("t1"));
    }

    #[test]
    fn token_mode_without_a_token_is_refused() {
        let mode = ("RAY_AUTH_MODE", "token");
        for vars in [
            &[mode, ("RAY_AUTH_TOKEN", "  ")][..],
            &[mode, ("RAY_AUTH_TOKEN_PATH", "/nonexistent/token")],
            &[mode, ("RAY_AUTH_TOKEN", ""), ("HOME", "/nonexistent")],
        ] {
            assert!(!refusal(vars).contains("nonexistent"));
        }
    }
}
