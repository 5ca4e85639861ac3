//! How a client is made: its settings, checked all at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::address::{Address, without_credentials};
use crate::agent_access::AgentAccess;
use crate::client::RayClient;
use crate::environment::{Environment, FoundToken, variable};
use crate::logs::StreamLimits;
use crate::retry::RetryPolicy;
use crate::transport::{HeaderMap, HeaderName, HeaderValue, Http, Proxies, Settings, Token};
use crate::{ClientError, validate};

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_READ_TIMEOUT: Duration = Duration::from_secs(15);
const DEFAULT_TAIL_WORKERS: usize = 5;
const MAX_TAIL_WORKERS: usize = 64;
/// The most that all headers together may have, in bytes. Servers take less.
const MAX_HEADERS: usize = 32 * 1024;

/// Making a client.
impl RayClient {
    /// A client of the dashboard at this `http://` or `https://` address, with default settings.
    /// Sends nothing.
    ///
    /// # Errors
    /// 400 if the address is not valid.
    pub fn new(address: impl Into<String>) -> Result<Self, ClientError> {
        Self::builder(address).build()
    }

    /// Settings for a client of the dashboard at this address.
    pub fn builder(address: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(address)
    }

    /// Builds a client from environment variables, with the default of every other setting:
    /// [`ClientBuilder::from_env`], and [`build`](ClientBuilder::build).
    ///
    /// # Errors
    /// 400 if a variable is not valid, for example an address that is not `http://` or `https://`.
    pub fn from_env() -> Result<Self, ClientError> {
        ClientBuilder::from_env()?.build()
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
    token: Option<FoundToken>,
    agent_access: AgentAccess,
    tail_workers: usize,
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
            .field("agent_access", &self.agent_access)
            .field("tail_workers", &self.tail_workers)
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
            agent_access: AgentAccess::default(),
            tail_workers: DEFAULT_TAIL_WORKERS,
            #[cfg(feature = "tls")]
            ca: None,
            #[cfg(feature = "tls")]
            accept_invalid_certs: false,
        }
    }

    /// Settings from environment variables, as Ray's own client reads them (measured on Ray 2.60.0).
    /// What is set afterwards wins.
    ///
    /// - The address: `RAY_API_SERVER_ADDRESS`, or `RAY_ADDRESS`, or `http://127.0.0.1:8265`.
    /// - Headers: the JSON object `RAY_JOB_HEADERS`.
    /// - The token, if `RAY_AUTH_MODE` is `token` and the headers have no `Authorization`:
    ///   `RAY_AUTH_TOKEN`, or the file `RAY_AUTH_TOKEN_PATH`, or with `RAY_ENABLE_K8S_TOKEN_AUTH` that
    ///   of the pod (`/var/run/secrets/ray.io/serviceaccount/token`), or `~/.ray/auth_token`. A file is
    ///   read again if Ray answers 401, since a pod's token is replaced from time to time.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use ray_client::ClientBuilder;
    ///
    /// let client = ClientBuilder::from_env()?.read_timeout(Duration::from_secs(60)).build()?;
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 400 if a variable is not valid, for example an address that is not `http://` or `https://`, or
    /// is not UTF-8.
    pub fn from_env() -> Result<Self, ClientError> {
        let environment = Environment::read(variable)?;
        let mut builder = Self::new(environment.address);
        builder.headers.extend(environment.headers);
        builder.token = environment.token;
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
    /// `RAY_AUTH_MODE=token` wants it. If the address has a user name and a password, for example for
    /// an ingress, they stay in `Authorization`, and the token goes in `X-Ray-Authorization`, which Ray
    /// reads if the ingress keeps `Authorization` for itself. A header `Authorization` set with
    /// [`header`](Self::header) wins. No token is sent by default, and none ever follows a redirect.
    pub fn bearer_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(FoundToken { value: token.into(), file: None });
        self
    }

    /// Whether live logs are read from the dashboard agents of the nodes. Defaults to
    /// [`AgentAccess::WithoutToken`].
    pub fn agent_access(mut self, access: AgentAccess) -> Self {
        self.agent_access = access;
        self
    }

    /// How many tails of this client and its clones run at the same time, from 1 to 64; a tail too
    /// many waits. Each is a thread, made at the first tail. Defaults to 5.
    pub fn tail_workers(mut self, workers: usize) -> Self {
        self.tail_workers = workers;
        self
    }

    /// Sends this header with every request. Headers that make Ray take the client for a browser
    /// (`Origin`, `Referer`, `Sec-Fetch-…`, a `User-Agent` that begins with `Mozilla`) are refused,
    /// since Ray then refuses writes and masks values in what it answers. All headers together may have
    /// 32 KiB.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
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
    /// 400 if the address is not `http://` or `https://` (the latter with feature `tls`) with a host
    /// and without query and fragment; if a timeout, limit, header, token, certificate or number of
    /// workers is not valid; or if the environment names a proxy for the address that is neither
    /// `http://` nor `https://`.
    pub fn build(self) -> Result<RayClient, ClientError> {
        let address = Address::parse(&self.address)?;
        self.retry.check()?;
        self.limits.check()?;
        if !(1..=MAX_TAIL_WORKERS).contains(&self.tail_workers) {
            return Err(ClientError::invalid(format_args!(
                "tail_workers: must be 1 to {MAX_TAIL_WORKERS}, is {}",
                self.tail_workers
            )));
        }
        let Credentials { headers, token, token_header } =
            self.credentials(address.credentials.as_deref())?;
        let proxies = Proxies::from_vars(variable)?;
        let settings = Settings {
            proxy: proxies.of(&address.base)?,
            proxies,
            base: address.base,
            headers,
            token: token.map(Arc::new),
            token_header,
            connect_timeout: validate::timeout("connect_timeout", self.connect_timeout)?,
            read_timeout: validate::timeout("read_timeout", self.read_timeout)?,
            retry: self.retry,
            #[cfg(feature = "tls")]
            roots: self.ca.as_deref().map(crate::transport::certificates).transpose()?,
            #[cfg(feature = "tls")]
            accept_invalid_certs: self.accept_invalid_certs,
        };
        let http = Http::new(settings);
        Ok(RayClient::from_parts(http, self.limits, self.tail_workers, self.agent_access))
    }

    /// The headers, and the token apart from them, because agents get the token alone.
    fn credentials(&self, basic: Option<&str>) -> Result<Credentials, ClientError> {
        let mut headers = self.own_headers()?;
        for name in [AUTHORIZATION, RAY_AUTHORIZATION] {
            let own = headers.get(name).and_then(|value| value.to_str().ok());
            let own = own.and_then(|value| value.strip_prefix("Bearer "));
            if let Some(token) = own.and_then(|token| Token::new(token, None)) {
                headers.remove(name);
                return Ok(Credentials { headers, token: Some(token), token_header: name });
            }
        }
        if headers.contains_key(AUTHORIZATION) {
            return Ok(Credentials { headers, token: None, token_header: AUTHORIZATION });
        }
        let token_header = if basic.is_some() { RAY_AUTHORIZATION } else { AUTHORIZATION };
        let basic = basic.and_then(secret);
        headers.extend(basic.map(|basic| (HeaderName::from_static(AUTHORIZATION), basic)));
        let token = self.token.as_ref().map(|token| {
            Token::new(&token.value, token.file.clone()).ok_or_else(|| {
                ClientError::invalid(
                    "bearer_token: must be visible ASCII characters, at least 1 and at most 16384",
                )
            })
        });
        Ok(Credentials { headers, token: token.transpose()?, token_header })
    }

    fn own_headers(&self) -> Result<HeaderMap, ClientError> {
        let size: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > MAX_HEADERS {
            return Err(ClientError::invalid(format_args!(
                "headers: must have at most {MAX_HEADERS} bytes together, have {size}"
            )));
        }
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
        Ok(headers)
    }
}

const AUTHORIZATION: &str = "authorization";
/// Ray looks here for a token if there is no `Authorization` (seen on Ray 2.60.0).
const RAY_AUTHORIZATION: &str = "x-ray-authorization";

struct Credentials {
    headers: HeaderMap,
    token: Option<Token>,
    token_header: &'static str,
}

fn is_reserved(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "content-length"
            | "content-type"
            | "transfer-encoding"
            | "connection"
            | "upgrade"
            | "range"
            | "accept-encoding"
            | "proxy-authorization"
    ) || name.starts_with("sec-websocket-")
}

fn secret(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_settings_are_refused_by_build() {
        let builder = || ClientBuilder::new("http://h");
        let many = (0..100_000).fold(builder(), |builder, n| builder.header(format!("x-{n}"), ""));
        for bad in [
            builder().connect_timeout(Duration::ZERO),
            builder().read_timeout(Duration::MAX),
            builder().retry(RetryPolicy::default().attempts(0)),
            builder().header("a b", "x"),
            builder().header("X-Team", "a\r\nX-Other: b"),
            builder().header("X-Team", "a".repeat(1_000_000)),
            many,
            builder().header("Origin", "http://h"),
            builder().header("User-Agent", "Mozilla/5.0"),
            builder().header("Host", "x"),
            builder().header("Accept-Encoding", "gzip"),
            builder().bearer_token(""),
            builder().bearer_token("a\nb"),
            builder().bearer_token("a".repeat(1_000_000)),
            builder().tail_workers(0),
            builder().tail_workers(65),
            builder().stream_limits(StreamLimits::default().max_message_size(0)),
        ] {
            assert_eq!(bad.build().unwrap_err().status(), 400);
        }
        assert!(builder().tail_workers(1).build().is_ok());
        assert!(builder().tail_workers(64).build().is_ok());
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
        let builder = ClientBuilder::new("http://h").bearer_token("t");
        let credentials = builder.credentials(None).unwrap();
        assert!(credentials.token.is_some() && credentials.token_header == AUTHORIZATION);
        let own = builder.clone().header("Authorization", "Custom x").credentials(None).unwrap();
        assert!(own.token.is_none() && own.headers[AUTHORIZATION] == "Custom x");
    }

    #[test]
    fn a_token_beside_a_password_has_a_header_of_its_own() {
        let builder = ClientBuilder::new("http://h").bearer_token("t");
        let both = builder.credentials(Some("Basic x")).unwrap();
        assert_eq!(both.headers[AUTHORIZATION], "Basic x");
        assert!(both.token.is_some() && both.token_header == RAY_AUTHORIZATION);
    }
}
