//! `ClientBuilder`: a client's settings, checked all at once in `build`.

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
/// Maximum total size of the caller's headers, in bytes. Most servers accept less.
const MAX_HEADERS: usize = 32 * 1024;

/// Creating a client.
impl RayClient {
    /// Creates a client with default settings for the dashboard at this `http://` or `https://` address.
    /// Sends nothing.
    ///
    /// ```no_run
    /// use ray_client::RayClient;
    ///
    /// let client = RayClient::new("http://127.0.0.1:8265")?;
    /// println!("Ray {}", client.version()?.ray_version);
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same errors as [`ClientBuilder::build`].
    pub fn new(address: impl Into<String>) -> Result<Self, ClientError> {
        Self::builder(address).build()
    }

    /// Returns a builder for a client of the dashboard at this address.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use ray_client::RayClient;
    ///
    /// let client = RayClient::builder("https://ray.example.com")
    ///     .bearer_token("secret")
    ///     .read_timeout(Duration::from_secs(60))
    ///     .build()?;
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    pub fn builder(address: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(address)
    }

    /// Creates a client from environment variables. All other settings have their defaults.
    ///
    /// [`ClientBuilder::from_env`] lists the variables, and allows other settings too.
    ///
    /// ```no_run
    /// use ray_client::RayClient;
    ///
    /// let client = RayClient::from_env()?;
    /// println!("{} jobs on {}", client.list_jobs()?.len(), client.address());
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 400 if a variable is invalid, for example an address that is not `http://` or `https://`.
    pub fn from_env() -> Result<Self, ClientError> {
        ClientBuilder::from_env()?.build()
    }
}

/// Builds a [`RayClient`].
///
/// [`build`](Self::build) checks all settings at once. Invalid values are refused, never adjusted.
///
/// ```no_run
/// use std::time::Duration;
///
/// use ray_client::{RayClient, RetryPolicy};
///
/// let client = RayClient::builder("http://ray-head:8265")
///     .connect_timeout(Duration::from_secs(2))
///     .retry(RetryPolicy::default().attempts(5))
///     .header("X-Team", "search")
///     .build()?;
/// # Ok::<(), ray_client::ClientError>(())
/// ```
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

    /// Reads settings from environment variables, as Ray's own client does (measured with Ray 2.60.0).
    /// Setters called afterwards take precedence.
    ///
    /// - Address: `RAY_API_SERVER_ADDRESS`, otherwise `RAY_ADDRESS`, otherwise `http://127.0.0.1:8265`.
    /// - Headers: the JSON object in `RAY_JOB_HEADERS`.
    /// - Token, if `RAY_AUTH_MODE` is `token` and the headers have no `Authorization`. The first of:
    ///   `RAY_AUTH_TOKEN`; the file named by `RAY_AUTH_TOKEN_PATH`; the pod's file
    ///   `/var/run/secrets/ray.io/serviceaccount/token`, if `RAY_ENABLE_K8S_TOKEN_AUTH` is `1` or `true`;
    ///   `~/.ray/auth_token`. Pods get a new token from time to time, so the client reads the file again
    ///   if Ray answers 401 or 403.
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
    /// 400 if:
    /// - a variable is invalid, for example an address that is not `http://` or `https://`;
    /// - a value is not UTF-8;
    /// - `RAY_AUTH_MODE` is `token`, but there is no token.
    pub fn from_env() -> Result<Self, ClientError> {
        let environment = Environment::read(variable)?;
        let mut builder = Self::new(environment.address);
        builder.headers.extend(environment.headers);
        builder.token = environment.token;
        Ok(builder)
    }

    /// Sets the timeout for resolving the host name, and again for connecting, including TLS.
    ///
    /// Must be more than 0 and at most 24 hours. Defaults to 5 seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the timeout for the start of a response, and again for the rest of a JSON response.
    ///
    /// For a call that reads a whole log, the second part limits only the time without new bytes. Tails
    /// have their own [`stream_timeout`](crate::TailOptions::stream_timeout).
    ///
    /// Must be more than 0 and at most 24 hours. Defaults to 15 seconds.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// Sets the limits of tails whose [`TailOptions`](crate::TailOptions) set none.
    /// [`TailOptions::until_done`](crate::TailOptions::until_done) and
    /// [`follow_job_logs`](RayClient::follow_job_logs) set their own: no limits.
    ///
    /// Defaults to [`StreamLimits::default`]: 50,000 lines, 50 MiB, 10,000 WebSocket messages.
    pub fn stream_limits(mut self, limits: StreamLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how idempotent calls are retried.
    ///
    /// Defaults to [`RetryPolicy::default`], which makes up to three attempts. [`RetryPolicy::none`]
    /// turns retries off.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sends `Authorization: Bearer <token>` with every request, as a cluster with
    /// `RAY_AUTH_MODE=token` requires.
    ///
    /// If the address contains a user name and a password, for example for an ingress, `Authorization`
    /// carries these. The token is then sent in `X-Ray-Authorization`, which Ray reads if the ingress
    /// removes `Authorization`. An `Authorization`, or an `X-Ray-Authorization: Bearer`, set with
    /// [`header`](Self::header) takes precedence over the token. The token never follows a redirect.
    ///
    /// Must be 1 to 16,384 visible ASCII characters. Defaults to no token.
    pub fn bearer_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(FoundToken { value: token.into(), file: None });
        self
    }

    /// Sets whether tails read logs from the dashboard agents of the nodes, and whether agents get the
    /// token.
    ///
    /// Defaults to [`AgentAccess::WithoutToken`].
    pub fn agent_access(mut self, access: AgentAccess) -> Self {
        self.agent_access = access;
        self
    }

    /// Sets how many tails of this client and its clones can run at the same time.
    ///
    /// Each tail uses one worker thread. The first tail starts all of them. If all are busy, a new tail
    /// waits for its stream timeout (10 seconds if it has none) and then fails with 429.
    ///
    /// Must be 1 to 64. Defaults to 5.
    pub fn tail_workers(mut self, workers: usize) -> Self {
        self.tail_workers = workers;
        self
    }

    /// Sends this header with every request to the dashboard. Can be called several times.
    ///
    /// Headers that the client sets itself are refused, for example `Host`. So are `Origin`, `Referer`,
    /// `Sec-Fetch-…`, and a `User-Agent` that begins with `Mozilla`: Ray would treat the client as a
    /// browser, refuse writes and mask values in responses.
    ///
    /// All headers together can have 32 KiB. Defaults to no headers.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Trusts the certificates in this PEM text instead of the built-in roots.
    ///
    /// Must contain at least one certificate and nothing else. Defaults to Mozilla's root certificates.
    #[cfg(feature = "tls")]
    pub fn ca_certificate_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// Sets whether to accept any certificate, even an expired one or one of another host.
    ///
    /// **`true` makes TLS insecure**: anyone between you and the cluster can read and change requests.
    /// Defaults to `false`.
    #[cfg(feature = "tls")]
    pub fn accept_invalid_certs(mut self, accept: bool) -> Self {
        self.accept_invalid_certs = accept;
        self
    }

    /// Builds the client. Sends nothing: the first call shows whether the cluster is reachable.
    ///
    /// Reads the proxy variables of the environment (`http_proxy`, `https_proxy`, `all_proxy` and
    /// `no_proxy`). If a proxy should not be used for a host, add the host to `no_proxy`.
    ///
    /// # Errors
    /// 400 if:
    /// - the address is not `http://` or `https://` (feature `tls`), has no host, or has a query or a
    ///   fragment;
    /// - a timeout, limit, header, token, certificate or number of workers is invalid;
    /// - the environment names a proxy for the address that is neither `http://` nor `https://`.
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

    /// Separates the token from the headers, because agents may get the token but no header.
    fn credentials(&self, basic: Option<&str>) -> Result<Credentials, ClientError> {
        let mut headers = self.own_headers()?;
        let has_own = headers.contains_key(AUTHORIZATION);
        if !has_own {
            let basic = basic.and_then(secret);
            headers.extend(basic.map(|basic| (HeaderName::from_static(AUTHORIZATION), basic)));
        }
        let token = self.token.as_ref().map(|token| {
            Token::new(&token.value, token.file.clone()).ok_or_else(|| {
                ClientError::invalid("bearer_token: must be 1 to 16384 visible ASCII characters")
            })
        });
        let token = token.transpose()?;
        for name in [AUTHORIZATION, RAY_AUTHORIZATION] {
            let own = headers.get(name).and_then(|value| value.to_str().ok());
            let own = own.and_then(|value| value.strip_prefix("Bearer "));
            if let Some(token) = own.and_then(|token| Token::new(token, None)) {
                headers.remove(name);
                return Ok(Credentials { headers, token: Some(token), token_header: name });
            }
        }
        if has_own {
            return Ok(Credentials { headers, token: None, token_header: AUTHORIZATION });
        }
        let token_header = if basic.is_some() { RAY_AUTHORIZATION } else { AUTHORIZATION };
        Ok(Credentials { headers, token, token_header })
    }

    fn own_headers(&self) -> Result<HeaderMap, ClientError> {
        let size: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > MAX_HEADERS {
            return Err(ClientError::invalid(format_args!(
                "headers: must have at most {MAX_HEADERS} bytes in total, have {size}"
            )));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let refuse = |why: &str| ClientError::invalid(format_args!("header {name}: {why}"));
            let name: HeaderName =
                name.parse().map_err(|_| refuse("is not a valid header name"))?;
            let lower = name.as_str();
            let browser = matches!(lower, "origin" | "referer")
                || lower.starts_with("sec-fetch-")
                || (lower == "user-agent" && value.starts_with("Mozilla"));
            if browser {
                return Err(refuse("would make Ray treat this client as a browser"));
            }
            if is_reserved(lower) {
                return Err(refuse("is set by the client itself"));
            }
            headers.append(name, secret(value).ok_or_else(|| refuse("has an invalid value"))?);
        }
        Ok(headers)
    }
}

const AUTHORIZATION: &str = "authorization";
/// Ray reads the token from here if there is no `Authorization` (measured with Ray 2.60.0).
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
    fn build_refuses_invalid_settings() {
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
    fn an_authorization_header_takes_precedence_over_the_token() {
        let builder = ClientBuilder::new("http://h").bearer_token("t");
        let credentials = builder.credentials(None).unwrap();
        assert!(credentials.token.is_some() && credentials.token_header == AUTHORIZATION);
        let own = builder.clone().header("Authorization", "Custom x").credentials(None).unwrap();
        assert!(own.token.is_none() && own.headers[AUTHORIZATION] == "Custom x");
        let invalid = builder.bearer_token("a\nb").header("Authorization", "Custom x");
        assert_eq!(invalid.credentials(None).err().unwrap().status(), 400);
    }

    #[test]
    fn a_token_in_its_own_header_does_not_replace_the_password_of_the_address() {
        let token = ClientBuilder::new("http://h").header("X-Ray-Authorization", "Bearer t");
        let credentials = token.credentials(Some("Basic x")).unwrap();
        assert!(credentials.token.is_some() && credentials.token_header == RAY_AUTHORIZATION);
        assert_eq!(credentials.headers[AUTHORIZATION], "Basic x");
        let own = token.header("Authorization", "Custom x").credentials(Some("Basic x")).unwrap();
        assert_eq!(own.headers[AUTHORIZATION], "Custom x");
        let own = ClientBuilder::new("http://h").header("Authorization", "Bearer t");
        let own = own.credentials(Some("Basic x")).unwrap();
        assert!(own.token_header == AUTHORIZATION && own.headers.is_empty());
    }

    #[test]
    fn a_token_next_to_a_password_is_sent_in_its_own_header() {
        let builder = ClientBuilder::new("http://h").bearer_token("t");
        let both = builder.credentials(Some("Basic x")).unwrap();
        assert_eq!(both.headers[AUTHORIZATION], "Basic x");
        assert!(both.token.is_some() && both.token_header == RAY_AUTHORIZATION);
    }
}
