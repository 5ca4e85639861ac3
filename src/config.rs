use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;

use crate::client::RayClient;
use crate::logs::StreamLimits;
use crate::transport::{HeaderMap, HeaderName, HeaderValue, Http, Settings, Uri};
use crate::{ClientError, validate};

const DEFAULT_ADDRESS: &str = "http://127.0.0.1:8265";
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_READ_TIMEOUT: Duration = Duration::from_secs(15);

/// How idempotent calls are tried again: on a connection that cannot be made or breaks off, and on
/// 429, 502, 503 and 504.
///
/// GET and DELETE are idempotent, and so is [`deploy_serve_applications`]. [`submit_job`] is, since its
/// submission id makes a second arrival of the same request harmless, and so is [`stop_job`]. The PUT
/// that changes one Serve application is not, since it holds the state of all. A timeout (408) is not
/// tried again: it has taken its time already.
///
/// [`deploy_serve_applications`]: RayClient::deploy_serve_applications
/// [`submit_job`]: RayClient::submit_job
/// [`stop_job`]: RayClient::stop_job
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    pub(crate) attempts: u32,
    pub(crate) backoff: Duration,
    pub(crate) cap: Duration,
    pub(crate) deadline: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Duration::from_millis(50),
            cap: Duration::from_secs(2),
            deadline: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// No second attempt.
    pub fn none() -> Self {
        Self::default().attempts(1)
    }

    /// How often a call is tried in all, from 1 (never again) to 100. Defaults to 3.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// The pause before the second attempt; it doubles with each further one, and a random half of
    /// it is left away. Defaults to 50 ms; zero means no pause.
    #[must_use]
    pub fn backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }

    /// The longest pause, but for a longer `Retry-After` of the server. Defaults to 2 s.
    #[must_use]
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// No attempt begins once this much time has passed since the call began. Defaults to 60 s; zero
    /// means no second attempt.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The pause after this many attempts: exponential, capped, with jitter.
    pub(crate) fn pause(&self, attempts: u32) -> Duration {
        let doubled = self.backoff.saturating_mul(1 << (attempts - 1).min(16));
        let half = doubled.min(self.cap) / 2;
        half + half.mul_f64(rand::random_range(0.0..1.0))
    }

    fn check(&self) -> Result<(), ClientError> {
        if (1..=100).contains(&self.attempts) {
            return Ok(());
        }
        Err(ClientError::invalid(format_args!(
            "retry attempts: must be 1 to 100, is {}",
            self.attempts
        )))
    }
}

/// Settings of a [`RayClient`], checked all at once by [`build`](Self::build).
#[must_use]
#[derive(Clone)]
pub struct ClientBuilder {
    address: String,
    connect_timeout: Duration,
    read_timeout: Duration,
    limits: StreamLimits,
    retry: RetryPolicy,
    headers: Vec<(String, String)>,
    token: Option<String>,
    tail_workers: usize,
    agent_access: crate::AgentAccess,
    #[cfg(feature = "tls")]
    ca: Option<Vec<u8>>,
    #[cfg(feature = "tls")]
    accept_invalid_certs: bool,
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("ClientBuilder")
            .field("address", &without_credentials(&self.address))
            .field("connect_timeout", &self.connect_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("stream_limits", &self.limits)
            .field("retry", &self.retry)
            .field("headers", &names)
            .field("bearer_token", &self.token.as_ref().map(|_| "…"))
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    pub(crate) fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            read_timeout: DEFAULT_READ_TIMEOUT,
            limits: StreamLimits::default(),
            retry: RetryPolicy::default(),
            headers: Vec::new(),
            token: None,
            tail_workers: 5,
            agent_access: crate::AgentAccess::default(),
            #[cfg(feature = "tls")]
            ca: None,
            #[cfg(feature = "tls")]
            accept_invalid_certs: false,
        }
    }

    /// The address, headers and token that Ray's own client would take from these variables.
    pub(crate) fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self, ClientError> {
        let address = ["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"]
            .iter()
            .find_map(|name| Some((name, var(name).filter(|value| !value.is_empty())?)));
        let mut builder = Self::new(match address {
            None => DEFAULT_ADDRESS.to_owned(),
            Some((_, url)) if url.starts_with("http://") || url.starts_with("https://") => url,
            Some((name, _)) => {
                return Err(ClientError::invalid(format_args!(
                    "{name}: must begin with http:// or https://, as the dashboard's address does"
                )));
            }
        });
        if let Some(json) = var("RAY_JOB_HEADERS").filter(|json| !json.is_empty()) {
            let headers: std::collections::BTreeMap<String, String> = serde_json::from_str(&json)
                .map_err(|_| {
                ClientError::invalid("RAY_JOB_HEADERS: must be a JSON object of strings")
            })?;
            builder.headers.extend(headers);
        }
        let has_own =
            builder.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        builder.token = if has_own { None } else { token_from_vars(var)? };
        Ok(builder)
    }

    /// The longest time to resolve the host's name, and then to connect, TLS included. More than 0
    /// and at most 24 h; defaults to 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The longest wait for an answer to begin, and then for a JSON answer to be complete; for a
    /// whole log, the longest silence. More than 0 and at most 24 h; defaults to 15 s. Tails have
    /// their own [`stream_timeout`](crate::TailOptions::stream_timeout).
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// The limits of tails that bring none of their own. Defaults to [`StreamLimits::default`].
    pub fn stream_limits(mut self, limits: StreamLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How idempotent calls are tried again. Defaults to [`RetryPolicy::default`].
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sends `Authorization: Bearer <token>` with every request, as a cluster with
    /// `RAY_AUTH_MODE=token` wants it. A header `Authorization` set with [`header`](Self::header)
    /// wins. No token is sent by default, and none ever follows a redirect.
    pub fn bearer_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Sends this header with every request. Headers that make Ray take the client for a browser
    /// (`Origin`, `Referer`, `Sec-Fetch-…`, a `User-Agent` that begins with `Mozilla`) are refused,
    /// since Ray then refuses writes and masks values in what it answers.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// How many tails of this client run at the same time, each in a thread of its own: 1 to 64; defaults
    /// to 5. The threads are made at the first tail.
    pub fn tail_workers(mut self, workers: usize) -> Self {
        self.tail_workers = workers;
        self
    }

    /// Whether tails may read logs from the agents of the nodes. Defaults to
    /// [`AgentAccess::WithoutToken`](crate::AgentAccess::WithoutToken).
    pub fn agent_access(mut self, access: crate::AgentAccess) -> Self {
        self.agent_access = access;
        self
    }

    /// Trusts the certificates of this PEM text instead of the built-in roots (those of Mozilla).
    #[cfg(feature = "tls")]
    pub fn ca_certificate_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// Takes any certificate, also one of another host. Defaults to `false`.
    #[cfg(feature = "tls")]
    pub fn accept_invalid_certs(mut self, accept: bool) -> Self {
        self.accept_invalid_certs = accept;
        self
    }

    /// The client. Sends nothing: whether the cluster is there shows with the first call.
    ///
    /// # Errors
    /// 400 where the address is not `http://` or `https://` (the latter with feature `tls`) with a
    /// host and no query, or where a timeout, limit, header, token or certificate is not valid; or where
    /// the environment names a proxy for the address that is neither `http://` nor `https://`.
    pub fn build(self) -> Result<RayClient, ClientError> {
        let (base, basic) = split_address(&self.address)?;
        self.retry.check()?;
        self.limits.check()?;
        if !(1..=64).contains(&self.tail_workers) {
            return Err(ClientError::invalid(format_args!(
                "tail_workers: must be 1 to 64, is {}",
                self.tail_workers
            )));
        }
        let settings = Settings {
            proxy: crate::transport::proxy_from_vars(&base, |name| env::var(name).ok())?,
            base,
            headers: self.headers(basic)?,
            connect_timeout: validate::timeout("connect_timeout", self.connect_timeout)?,
            read_timeout: validate::timeout("read_timeout", self.read_timeout)?,
            retry: self.retry,
            #[cfg(feature = "tls")]
            roots: self.ca.as_deref().map(crate::transport::certificates).transpose()?,
            #[cfg(feature = "tls")]
            accept_invalid_certs: self.accept_invalid_certs,
        };
        Ok(RayClient::from_parts(
            Http::new(settings),
            self.limits,
            self.tail_workers,
            self.agent_access,
        ))
    }

    fn headers(&self, basic: Option<HeaderValue>) -> Result<HeaderMap, ClientError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let refuse = |why: &str| ClientError::invalid(format_args!("header {name}: {why}"));
            let name: HeaderName = name.parse().map_err(|_| refuse("is not a header name"))?;
            let lower = name.as_str();
            let browser = matches!(lower, "origin" | "referer")
                || lower.starts_with("sec-fetch-")
                || (lower == "user-agent" && value.starts_with("Mozilla"));
            if browser {
                return Err(refuse("makes Ray take this client for a browser"));
            }
            if is_reserved(lower) {
                return Err(refuse("is set by the client itself"));
            }
            headers.append(name, secret(value).ok_or_else(|| refuse("has no valid value"))?);
        }
        if !headers.contains_key("authorization") {
            let token = match &self.token {
                Some(token) => Some(bearer(token)?),
                None => basic,
            };
            headers.extend(token.map(|token| (HeaderName::from_static("authorization"), token)));
        }
        Ok(headers)
    }
}

fn is_reserved(name: &str) -> bool {
    matches!(
        name,
        "host" | "content-length" | "content-type" | "transfer-encoding" | "connection" | "upgrade"
    ) || name.starts_with("sec-websocket-")
}

fn secret(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn bearer(token: &str) -> Result<HeaderValue, ClientError> {
    let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    secret(&format!("Bearer {token}")).filter(|_| visible).ok_or_else(|| {
        ClientError::invalid("bearer_token: must be visible ASCII characters, and not empty")
    })
}

/// An address as it may be shown, whether it is valid or not.
fn without_credentials(address: &str) -> String {
    let scheme = address.split_once("://").map_or("", |(scheme, _)| scheme);
    match address.rsplit_once('@') {
        Some((_, host)) if scheme.contains('@') || scheme.is_empty() => format!("…@{host}"),
        Some((_, host)) => format!("{scheme}://…@{host}"),
        None => address.to_owned(),
    }
}

/// The base of every URL, and the credentials that stood in it.
fn split_address(address: &str) -> Result<(String, Option<HeaderValue>), ClientError> {
    let refuse = |why: &str| Err(ClientError::invalid(format_args!("address: {why}")));
    let Ok(uri) = address.trim().parse::<Uri>() else { return refuse("is not a URL") };
    let scheme = match uri.scheme_str() {
        Some("http") => "http",
        Some("https") if cfg!(feature = "tls") => "https",
        Some("https") => return refuse("https:// needs the feature `tls`"),
        Some("ray") => {
            return refuse(
                "ray:// is the Ray Client protocol; give the dashboard's http:// address",
            );
        }
        _ => return refuse("must begin with http:// or https://"),
    };
    if uri.query().is_some() {
        return refuse("must not have a query");
    }
    let Some(authority) = uri.authority().filter(|_| uri.host().is_some_and(|h| !h.is_empty()))
    else {
        return refuse("has no host");
    };
    if uri.path().contains('@') {
        return refuse("has an @ behind a /: write a / in a password as %2F");
    }
    let (userinfo, host) = match authority.as_str().rsplit_once('@') {
        Some((userinfo, host)) => (Some(userinfo), host),
        None => (None, authority.as_str()),
    };
    if host
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.ends_with(']') && port.parse::<u16>().is_err())
    {
        return refuse("has no valid port");
    }
    let basic = userinfo.and_then(|userinfo| {
        let decoded: Vec<u8> = percent_decode_str(userinfo).collect();
        let decoded =
            if userinfo.contains(':') { decoded } else { [&decoded[..], &b":"[..]].concat() };
        secret(&format!("Basic {}", BASE64_STANDARD.encode(decoded)))
    });
    Ok((format!("{scheme}://{host}{}", uri.path().trim_end_matches('/')), basic))
}

/// Where `KubeRay` puts the token of a pod's service account.
const POD_TOKEN: &str = "/var/run/secrets/ray.io/serviceaccount/token";

/// The token as Ray's own client finds it (`ray/_private/authentication`): only where
/// `RAY_AUTH_MODE` is `token`, from `RAY_AUTH_TOKEN`, the file of `RAY_AUTH_TOKEN_PATH`, with
/// `RAY_ENABLE_K8S_TOKEN_AUTH` the pod's own file (seen on Ray 2.60.0), or `~/.ray/auth_token`.
fn token_from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Option<String>, ClientError> {
    if !var("RAY_AUTH_MODE").is_some_and(|mode| mode.eq_ignore_ascii_case("token")) {
        return Ok(None);
    }
    if let Some(token) = var("RAY_AUTH_TOKEN").filter(|token| !token.is_empty()) {
        return not_blank("RAY_AUTH_TOKEN", &token).map(Some);
    }
    let read = |source: &str, path: PathBuf| {
        let text = fs::read_to_string(path).map_err(|error| {
            ClientError::invalid(format_args!("{source}: cannot be read: {}", error.kind()))
        })?;
        not_blank(source, &text).map(Some)
    };
    if let Some(path) = var("RAY_AUTH_TOKEN_PATH").filter(|path| !path.is_empty()) {
        return read("the file of RAY_AUTH_TOKEN_PATH", path.into());
    }
    let kubernetes = var("RAY_ENABLE_K8S_TOKEN_AUTH")
        .is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"));
    if kubernetes && Path::new(POD_TOKEN).exists() {
        return read(POD_TOKEN, POD_TOKEN.into());
    }
    let home = var("HOME").map(PathBuf::from).or_else(env::home_dir).unwrap_or_default();
    let default = home.join(".ray").join("auth_token");
    if default.exists() {
        return read("~/.ray/auth_token", default);
    }
    Err(ClientError::invalid(
        "RAY_AUTH_MODE is token, but neither RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH nor ~/.ray/auth_token gives one",
    ))
}

fn not_blank(source: &str, token: &str) -> Result<String, ClientError> {
    match token.trim() {
        "" => Err(ClientError::invalid(format_args!("{source}: holds no token"))),
        token => Ok(token.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(vars: &[(&str, &str)]) -> Result<ClientBuilder, ClientError> {
        ClientBuilder::from_vars(|name| {
            vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_gives_the_address_in_rays_order() {
        let api = ("RAY_API_SERVER_ADDRESS", "http://a:1");
        let ray = ("RAY_ADDRESS", "https://b:2");
        assert_eq!(from(&[ray, api]).unwrap().address, "http://a:1");
        assert_eq!(from(&[ray]).unwrap().address, "https://b:2");
        assert_eq!(from(&[]).unwrap().address, DEFAULT_ADDRESS);
        for other in ["ray://h:10001", "auto", "10.0.0.1:6379"] {
            assert_eq!(from(&[("RAY_ADDRESS", other)]).unwrap_err().status(), 400);
        }
    }

    #[test]
    fn a_header_of_the_callers_own_needs_no_token() {
        let mode = ("RAY_AUTH_MODE", "token");
        let home = ("HOME", "/nowhere");
        assert_eq!(from(&[mode, home]).unwrap_err().status(), 400);
        let headers = ("RAY_JOB_HEADERS", r#"{"authorization": "Bearer own"}"#);
        assert_eq!(from(&[mode, home, headers]).unwrap().token, None);
    }

    #[test]
    fn the_token_is_read_only_in_token_mode() {
        let token = ("RAY_AUTH_TOKEN", " t1 ");
        assert_eq!(from(&[token]).unwrap().token, None);
        assert_eq!(from(&[token, ("RAY_AUTH_MODE", "other")]).unwrap().token, None);
        let found = from(&[token, ("RAY_AUTH_MODE", "TOKEN")]).unwrap().token;
        assert_eq!(found.as_deref(), Some("t1"));
    }

    #[test]
    fn a_token_mode_without_a_token_is_refused() {
        let mode = ("RAY_AUTH_MODE", "token");
        for vars in [
            &[mode, ("RAY_AUTH_TOKEN", "  ")][..],
            &[mode, ("RAY_AUTH_TOKEN_PATH", "/nonexistent/token")],
            &[mode, ("RAY_AUTH_TOKEN", ""), ("HOME", "/nonexistent")],
        ] {
            let error = from(vars).unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(!error.to_string().contains("nonexistent"), "{error}");
        }
    }

    #[test]
    fn addresses_lose_their_credentials_and_their_last_slash() {
        let (base, basic) = split_address("http://me:p%40ss@h:1/ray/").unwrap();
        assert_eq!(base, "http://h:1/ray");
        assert_eq!(basic.unwrap(), "Basic bWU6cEBzcw==");
        assert_eq!(split_address("http://[::1]:8265").unwrap().0, "http://[::1]:8265");
    }

    #[test]
    fn bad_addresses_are_refused_without_their_password() {
        for bad in ["", "h:1", "ftp://me:pw@h", "http://", "ray://h", "http://h?x=1", "http://:80"]
        {
            let error = split_address(bad).unwrap_err();
            assert_eq!(error.status(), 400, "{bad}");
            assert!(!error.to_string().contains("pw"));
        }
    }

    #[test]
    fn bad_settings_are_refused_by_build() {
        let builder = || ClientBuilder::new("http://h");
        for bad in [
            builder().connect_timeout(Duration::ZERO),
            builder().read_timeout(Duration::MAX),
            builder().retry(RetryPolicy::default().attempts(0)),
            builder().header("a b", "x"),
            builder().header("X-Team", "a\r\nX-Other: b"),
            builder().header("Origin", "http://h"),
            builder().header("User-Agent", "Mozilla/5.0"),
            builder().header("Host", "x"),
            builder().bearer_token(""),
            builder().bearer_token("a\nb"),
            builder().stream_limits(StreamLimits::default().max_message_size(0)),
        ] {
            assert_eq!(bad.clone().build().unwrap_err().status(), 400, "{bad:?}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let builder = ClientBuilder::new("http://me:s3cret@h")
            .bearer_token("s3cret")
            .header("X-Key", "s3cret");
        assert!(!format!("{builder:?}").contains("s3cret"));
        assert!(!format!("{:?}", builder.build().unwrap()).contains("s3cret"));
    }

    #[test]
    fn a_header_authorization_wins_over_the_token() {
        let builder = ClientBuilder::new("http://a:b@h").bearer_token("t");
        assert_eq!(builder.headers(None).unwrap()["authorization"], "Bearer t");
        let builder = builder.header("Authorization", "Custom x");
        assert_eq!(builder.headers(None).unwrap()["authorization"], "Custom x");
    }

    #[test]
    fn pauses_double_up_to_the_cap() {
        let policy = RetryPolicy::default();
        for (attempts, most) in [(1, 50), (2, 100), (3, 200), (7, 2000), (99, 2000)] {
            let pause = policy.pause(attempts);
            assert!(
                pause <= Duration::from_millis(most) && pause * 2 >= Duration::from_millis(most)
            );
        }
    }
}
