//! One request, one answer, bounded in time and size; and the endless answers that logs are.

use std::error::Error as _;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{Method, Response, StatusCode, Version};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body, BodyReader, Error, Timeout};

use super::{HeaderMap, HeaderValue, Uri, connect};
use crate::config::RetryPolicy;
use crate::{ClientError, json, ray_fault};

/// The most of a JSON answer that is read, in bytes.
const MAX_ANSWER: usize = 256 * 1024 * 1024;
/// The most of an error answer that is read, in bytes.
const MAX_ERROR: usize = 1024 * 1024;
/// The most of an answer's headers that is read, in bytes: less than a buffer holds.
pub(super) const MAX_HEADERS: usize = 32 * 1024;

const MIN_WAIT: Duration = Duration::from_millis(1);

/// RFC 3986's unreserved characters stay, all others are encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The route of these segments, each percent-encoded: `/api/jobs/a%3Fb`.
pub(crate) fn path(segments: &[&str]) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        path.extend(utf8_percent_encode(segment, ENCODED));
    }
    path
}

/// What all connections of a client share.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Scheme, host, port and path prefix, without a slash at the end and without credentials.
    pub(crate) base: String,
    pub(crate) headers: HeaderMap,
    pub(crate) connect_timeout: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) proxy: Option<ureq::Proxy>,
    #[cfg(feature = "tls")]
    pub(crate) roots: Option<Vec<ureq::tls::Certificate<'static>>>,
    #[cfg(feature = "tls")]
    pub(crate) accept_invalid_certs: bool,
}

/// The certificates of a PEM file.
#[cfg(feature = "tls")]
pub(crate) fn certificates(
    pem: &[u8],
) -> Result<Vec<ureq::tls::Certificate<'static>>, ClientError> {
    let refuse =
        |why: &dyn fmt::Display| ClientError::invalid(format_args!("ca_certificate_pem: {why}"));
    let mut certificates = Vec::new();
    for item in ureq::tls::parse_pem(pem) {
        match item.map_err(|error| refuse(&error))? {
            ureq::tls::PemItem::Certificate(certificate) => certificates.push(certificate),
            _ => return Err(refuse(&"holds something other than certificates")),
        }
    }
    if certificates.is_empty() {
        return Err(refuse(&"holds no certificate"));
    }
    Ok(certificates)
}

/// One request. `what` names the operation and the resource in every error about it.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) what: String,
    method: Method,
    pub(crate) path: String,
    query: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    idempotent: bool,
    extra_time: Duration,
    unhurried: bool,
    deadline: Option<Instant>,
}

impl Request {
    fn new(method: Method, what: impl fmt::Display, path: String) -> Self {
        let idempotent = method != Method::POST;
        Self {
            what: what.to_string(),
            method,
            path,
            query: String::new(),
            headers: Vec::new(),
            body: None,
            idempotent,
            extra_time: Duration::ZERO,
            unhurried: false,
            deadline: None,
        }
    }

    pub(crate) fn get(what: impl fmt::Display, path: String) -> Self {
        Self::new(Method::GET, what, path)
    }

    pub(crate) fn post(what: impl fmt::Display, path: String) -> Self {
        Self::new(Method::POST, what, path)
    }

    pub(crate) fn put(what: impl fmt::Display, path: String) -> Self {
        Self::new(Method::PUT, what, path)
    }

    pub(crate) fn delete(what: impl fmt::Display, path: String) -> Self {
        Self::new(Method::DELETE, what, path)
    }

    pub(crate) fn query(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.query.push(if self.query.is_empty() { '?' } else { '&' });
        self.query.push_str(key);
        self.query.push('=');
        self.query.extend(utf8_percent_encode(&value.to_string(), ENCODED));
        self
    }

    /// Asks for these bytes only: the answer may be 206, or 416 if there are none.
    pub(crate) fn range(mut self, range: ByteRange) -> Self {
        self.headers.push(("range", range.to_string()));
        self
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self, ClientError> {
        let bytes = serde_json::to_vec(body)
            .map_err(|error| ClientError::invalid(format_args!("{}: {error}", self.what)))?;
        self.body = Some(bytes);
        Ok(self)
    }

    /// The same, of a body that is JSON already.
    pub(crate) fn json_text(mut self, body: String) -> Self {
        self.body = Some(body.into_bytes());
        self
    }

    /// Whether sending it twice does what sending it once does. Only such requests are retried.
    pub(crate) fn idempotent(mut self, yes: bool) -> Self {
        self.idempotent = yes;
        self
    }

    /// Gives the server this much more than the read timeout to begin its answer.
    pub(crate) fn extra_time(mut self, time: Duration) -> Self {
        self.extra_time = time;
        self
    }

    /// Bounds the silence within the answer only, not the time of the whole: for logs.
    pub(crate) fn unhurried(mut self) -> Self {
        self.unhurried = true;
        self
    }

    /// No attempt begins after this, and none waits longer than that; `None` where there is no such
    /// time.
    pub(crate) fn deadline(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// This limit, or less where the deadline is nearer.
    pub(super) fn at_most(&self, limit: Duration) -> Duration {
        // Zero would be no limit.
        let left = |end: Instant| end.saturating_duration_since(Instant::now()).max(MIN_WAIT);
        self.deadline.map_or(limit, |end| limit.min(left(end)))
    }

    fn is_overdue(&self) -> bool {
        self.deadline.is_some_and(|end| Instant::now() >= end)
    }

    pub(crate) fn path_and_query(&self) -> String {
        format!("{}{}", self.path, self.query)
    }
}

/// Which bytes of a file are asked for.
#[derive(Clone, Copy)]
pub(crate) enum ByteRange {
    /// From this offset up to, and without, that one.
    Between(u64, u64),
    /// The last bytes, as many as this.
    Last(u64),
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between(start, end) => write!(f, "bytes={start}-{}", end - 1),
            Self::Last(count) => write!(f, "bytes=-{count}"),
        }
    }
}

/// Which bytes of how many a partial answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentRange {
    pub(crate) start: u64,
    /// The offset right behind the last byte.
    pub(crate) end: u64,
    pub(crate) total: u64,
}

impl ContentRange {
    /// Of 206 `bytes 5-9/10`, of 416 `bytes */10`.
    fn parse(value: &str) -> Option<Self> {
        let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
        let total = total.parse().ok()?;
        if range == "*" {
            return Some(Self { start: total, end: total, total });
        }
        let (start, last) = range.split_once('-')?;
        let (start, end) = (start.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?);
        (start < end && end <= total).then_some(Self { start, end, total })
    }
}

/// A 2xx answer, or 416 to a request for a range, read whole.
pub(crate) struct Answer {
    what: String,
    pub(crate) content_range: Option<ContentRange>,
    pub(crate) body: Vec<u8>,
    /// Whether the server says where it ends. Else it may have been cut.
    pub(crate) has_end: bool,
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        json::from_slice(&self.body).map_err(|error| {
            ClientError::unexpected(format_args!(
                "{}: the answer is not the JSON that Ray sends: {error}",
                self.what
            ))
            .caused_by(error)
        })
    }
}

/// A keep-alive agent and where it sends. A clone shares the agent.
#[derive(Clone)]
pub(crate) struct Http {
    pub(super) agent: Agent,
    pub(super) settings: Arc<Settings>,
}

impl Http {
    pub(crate) fn new(settings: Settings) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_response_header_size(MAX_HEADERS)
            .input_buffer_size(64 * 1024)
            .user_agent(concat!("ray-client/", env!("CARGO_PKG_VERSION")))
            .accept("*/*")
            .proxy(settings.proxy.clone())
            .timeout_resolve(Some(settings.connect_timeout))
            .timeout_connect(Some(settings.connect_timeout))
            .timeout_send_request(Some(settings.read_timeout))
            .timeout_per_write(Some(settings.read_timeout));
        #[cfg(feature = "tls")]
        let config = config.tls_config(tls(&settings));
        Self { agent: agent(config.build()), settings: Arc::new(settings) }
    }

    /// The same with connections of its own, so that closing them ends no other call, and without
    /// retries, whose pauses could not be ended: a tail has its own. No wait is longer than `most`.
    pub(crate) fn for_tail(&self, most: Duration) -> Self {
        let settings = Settings {
            connect_timeout: self.settings.connect_timeout.min(most),
            read_timeout: self.settings.read_timeout.min(most),
            retry: RetryPolicy::none(),
            ..(*self.settings).clone()
        };
        Self { agent: agent(self.agent.config().clone()), settings: Arc::new(settings) }
    }

    /// The same for another address, which gets no header of the caller's but the token, and that
    /// only if `with_token`.
    pub(crate) fn at(&self, base: String, with_token: bool) -> Self {
        let mut headers = HeaderMap::new();
        if let Some(token) = self.settings.headers.get("authorization").filter(|_| with_token) {
            headers.insert("authorization", token.clone());
        }
        let settings = Settings { base, headers, ..(*self.settings).clone() };
        Self { agent: agent(self.agent.config().clone()), settings: Arc::new(settings) }
    }

    /// Where it sends, without credentials.
    pub(crate) fn address(&self) -> &str {
        &self.settings.base
    }

    pub(crate) fn read_timeout(&self) -> Duration {
        self.settings.read_timeout
    }

    /// Ends every request of this agent, now and from now on.
    pub(crate) fn shutdown(&self) {
        self.agent.clone().shutdown();
    }

    /// Sends and reads the whole answer, again as the retry policy says.
    pub(crate) fn send(&self, request: &Request) -> Result<Answer, ClientError> {
        self.send_again(request).0
    }

    /// The same, and whether an attempt before the last may have reached the server.
    pub(crate) fn send_again(&self, request: &Request) -> (Result<Answer, ClientError>, bool) {
        let policy = &self.settings.retry;
        let start = Instant::now();
        let mut attempt = 1;
        let mut arrived = false;
        loop {
            let (error, retry_after) = match self.send_once(request) {
                Ok(answer) => return (Ok(answer), arrived),
                Err(failure) => failure,
            };
            let pause = policy.pause(attempt).max(retry_after.unwrap_or_default());
            // A pause beyond what a clock can hold is longer than any deadline.
            let in_time = Instant::now().checked_add(pause).is_some_and(|resume| {
                resume.duration_since(start) <= policy.deadline
                    && request.deadline.is_none_or(|deadline| resume < deadline)
            });
            let worth_it = error.is_retryable() && !matches!(error, ClientError::Timeout { .. });
            if !(request.idempotent && worth_it && attempt < policy.attempts && in_time) {
                return (Err(error), arrived);
            }
            arrived |= !is_refused(&error);
            std::thread::sleep(pause);
            attempt += 1;
        }
    }

    fn send_once(&self, request: &Request) -> Result<Answer, (ClientError, Option<Duration>)> {
        let idle = self.settings.read_timeout;
        let whole_body = (!request.unhurried).then_some(idle);
        self.open(request, whole_body, idle)?.read_whole().map_err(|error| (error, None))
    }

    /// Opens an answer that is read as it comes. A read that is silent for `idle` says so, and can
    /// be tried again.
    pub(crate) fn stream<'r>(
        &self,
        request: &'r Request,
        idle: Duration,
    ) -> Result<Stream<'r>, ClientError> {
        self.open(request, None, idle).map_err(|(error, _)| error)
    }

    /// A 2xx answer; or why there is none, and after which time the server wants to be asked again.
    fn open<'r>(
        &self,
        request: &'r Request,
        whole_body: Option<Duration>,
        idle: Duration,
    ) -> Result<Stream<'r>, (ClientError, Option<Duration>)> {
        let mut response = self
            .run(request, whole_body, idle)
            .map_err(|error| (self.explain(request, error), None))?;
        let range = response.headers().get("content-range").and_then(|v| v.to_str().ok());
        let content_range = range.and_then(ContentRange::parse);
        let is_empty_range = response.status() == StatusCode::RANGE_NOT_SATISFIABLE
            && request.headers.iter().any(|(name, _)| *name == "range");
        if !response.status().is_success() && !is_empty_range {
            let retry_after = retry_after(&response);
            let error = self.refusal(&request.what, &mut response).with_retry_after(retry_after);
            return Err((error, retry_after));
        }
        let is_chunked = is_chunked(&response);
        let length = response.body().content_length();
        let body = response.into_body().into_with_config().limit(u64::MAX).reader();
        let has_end = is_chunked || length.is_some();
        Ok(Stream { request, body, content_range, length, has_end, idle, http: self.clone() })
    }

    fn run(
        &self,
        request: &Request,
        whole_body: Option<Duration>,
        idle: Duration,
    ) -> Result<Response<Body>, Error> {
        let url = format!("{}{}{}", self.settings.base, request.path, request.query);
        let mut builder = ureq::http::Request::builder().method(&request.method).uri(url);
        if let Some(headers) = builder.headers_mut() {
            headers.extend(self.settings.headers.clone());
            for (name, value) in &request.headers {
                headers
                    .insert(*name, HeaderValue::from_str(value).map_err(ureq::http::Error::from)?);
            }
            if request.body.is_some() {
                let json = ureq::http::HeaderValue::from_static("application/json");
                headers.insert("content-type", json);
            }
        }
        let wait = request.at_most(self.settings.read_timeout + request.extra_time);
        let connect = request.at_most(self.settings.connect_timeout);
        let whole_body = whole_body.map(|limit| request.at_most(limit));
        macro_rules! run {
            ($body:expr) => {{
                let request = self
                    .agent
                    .configure_request(builder.body($body)?)
                    .timeout_resolve(Some(connect))
                    .timeout_connect(Some(connect))
                    .timeout_recv_response(Some(wait))
                    .timeout_recv_body(whole_body)
                    .timeout_per_read(Some(idle))
                    .build();
                self.agent.run(request)
            }};
        }
        match &request.body {
            Some(body) => run!(body),
            // Else ureq sends an empty body in chunks, which not every server and proxy takes.
            None if request.method == Method::POST => run!(&[][..]),
            None => run!(()),
        }
    }

    /// What a failed exchange means to a user.
    pub(super) fn explain(&self, request: &Request, error: Error) -> ClientError {
        let (what, base) = (&request.what, &self.settings.base);
        let wait = self.settings.read_timeout + request.extra_time;
        let explained = match &error {
            Error::Timeout(_) if request.is_overdue() => {
                ClientError::timeout(format_args!("{what}: no answer from {base} in time"))
            }
            Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                ClientError::timeout(format_args!(
                    "{what}: no connection to {base} within {:?}",
                    self.settings.connect_timeout
                ))
            }
            Error::Timeout(_) => {
                ClientError::timeout(format_args!("{what}: no answer from {base} within {wait:?}"))
            }
            Error::Io(io) if io.kind() == io::ErrorKind::UnexpectedEof => {
                ClientError::unreachable(format_args!("{what}: the connection to {base} broke off"))
            }
            Error::Io(io) => {
                ClientError::unreachable(format_args!("{what}: cannot reach {base}: {io}"))
            }
            Error::HostNotFound => {
                ClientError::unreachable(format_args!("{what}: cannot reach {base}: no such host"))
            }
            Error::Protocol(protocol) => ClientError::unexpected(format_args!(
                "{what}: the answer is not valid HTTP: {protocol}"
            )),
            Error::BodyStalled => ClientError::unexpected(format_args!(
                "{what}: the answer is not valid HTTP: a chunk is not as long as it says"
            )),
            Error::LargeResponseHeader(..) => ClientError::unexpected(format_args!(
                "{what}: the headers of the answer are larger than {MAX_HEADERS} bytes"
            )),
            Error::Http(http) => ClientError::invalid(format_args!("{what}: {http}")),
            Error::BadUri(uri) => ClientError::invalid(format_args!("{what}: {uri}")),
            other => ClientError::unreachable(format_args!("{what}: cannot reach {base}: {other}")),
        };
        explained.caused_by(error)
    }

    /// The error that an answer other than 2xx is.
    fn refusal(&self, what: &str, response: &mut Response<Body>) -> ClientError {
        let status = response.status();
        if status.is_redirection() {
            let target = redirect_target(response);
            return ClientError::rejected(
                status.as_u16(),
                format_args!(
                    "{what}: the server redirects to {target}, and redirects are not followed; give that address to the client"
                ),
            );
        }
        let content_type = response.headers().get("content-type");
        let content_type =
            content_type.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let body = self.error_body(response);
        self.rejection(what, status, &content_type, &body)
    }

    /// What comes of an error's body within the read timeout; what came before a broken end still holds
    /// the reason.
    fn error_body(&self, response: &mut Response<Body>) -> Vec<u8> {
        let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut body = Vec::new();
        let mut piece = [0; 16 * 1024];
        let end = Instant::now() + self.settings.read_timeout;
        while body.len() < MAX_ERROR {
            let left = end.saturating_duration_since(Instant::now());
            match connect::read_within(left, || reader.read(&mut piece)).map_err(Error::from) {
                Ok(length) if length > 0 => body.extend_from_slice(&piece[..length]),
                // In a tail, a read is given up soon.
                Err(Error::Timeout(Timeout::PerRead)) if !left.is_zero() => {}
                _ => break,
            }
        }
        body
    }

    pub(super) fn rejection(
        &self,
        what: &str,
        status: StatusCode,
        content_type: &str,
        body: &[u8],
    ) -> ClientError {
        let body = self.without_secrets(String::from_utf8_lossy(body).into_owned());
        ray_fault::rejection(what, status.as_u16(), content_type, body.as_bytes(), &[])
    }

    /// A proxy may repeat what it was sent. A value of a few characters is no secret, and would be
    /// found in every other word.
    fn without_secrets(&self, mut text: String) -> String {
        const SHORTEST: usize = 6;
        let values = self.settings.headers.values().filter_map(|value| value.to_str().ok());
        for secret in values.flat_map(str::split_whitespace).filter(|s| s.len() >= SHORTEST) {
            // The scheme of a credential, as in `Bearer …`, is none.
            if !matches!(secret, "Bearer") && text.contains(secret) {
                text = text.replace(secret, "…");
            }
        }
        text
    }
}

/// A body that is read as it comes.
pub(crate) struct Stream<'r> {
    request: &'r Request,
    body: BodyReader<'static>,
    content_range: Option<ContentRange>,
    length: Option<u64>,
    /// Whether the server says where the body ends. Else a broken connection looks like its end.
    pub(crate) has_end: bool,
    idle: Duration,
    http: Http,
}

/// Why a read of a [`Stream`] gave nothing.
pub(crate) enum StreamError {
    /// Silence; the stream is intact.
    Idle,
    Broken(ClientError),
}

impl Stream<'_> {
    /// The bytes that came; 0 at the end, which for a chunked body is the end that the server means.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        connect::read_within(self.idle, || self.body.read(buf)).map_err(|error| {
            match Error::from(error) {
                Error::Timeout(Timeout::PerRead) => StreamError::Idle,
                error => StreamError::Broken(self.http.explain(self.request, error)),
            }
        })
    }

    /// All of it, up to a bound.
    fn read_whole(mut self) -> Result<Answer, ClientError> {
        let mut body = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if self.length > Some(MAX_ANSWER as u64) || body.len() > MAX_ANSWER {
                return Err(ClientError::unexpected(format_args!(
                    "{}: the answer is larger than {MAX_ANSWER} bytes",
                    self.request.what
                )));
            }
            match self.read(&mut buffer) {
                Ok(0) => {
                    let what = self.request.what.clone();
                    let (content_range, has_end) = (self.content_range, self.has_end);
                    return Ok(Answer { what, content_range, body, has_end });
                }
                Ok(length) => body.extend_from_slice(&buffer[..length]),
                Err(StreamError::Broken(error)) => return Err(error),
                Err(StreamError::Idle) => {
                    let error = Error::Timeout(Timeout::PerRead);
                    return Err(self.http.explain(self.request, error));
                }
            }
        }
    }
}

fn agent(config: ureq::config::Config) -> Agent {
    Agent::with_parts(config, connect::connector(), DefaultResolver::default())
}

#[cfg(feature = "tls")]
fn tls(settings: &Settings) -> ureq::tls::TlsConfig {
    let config =
        ureq::tls::TlsConfig::builder().disable_verification(settings.accept_invalid_certs);
    match &settings.roots {
        Some(roots) => config.root_certs(ureq::tls::RootCerts::new_with_certs(roots)),
        None => config,
    }
    .build()
}

/// As ureq sees it: a body of any other coding, and any of HTTP/1.0, ends with the connection.
fn is_chunked(response: &Response<Body>) -> bool {
    let codings = response.headers().get_all("transfer-encoding");
    let mut codings = codings.iter().filter_map(|value| value.to_str().ok());
    response.version() == Version::HTTP_11
        && codings.any(|value| value.trim().eq_ignore_ascii_case("chunked"))
}

/// Scheme and host alone: the rest of a redirect may hold secrets.
fn redirect_target(response: &Response<Body>) -> String {
    let location = response.headers().get("location").and_then(|v| v.to_str().ok());
    let uri = location.and_then(|location| location.parse::<Uri>().ok());
    match uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.host()?, uri.port_u16()))) {
        Some((scheme, host, Some(port))) => format!("{scheme}://{host}:{port}"),
        Some((scheme, host, None)) => format!("{scheme}://{host}"),
        None => "another place".to_owned(),
    }
}

/// Whether there was no connection that a request could have gone over.
fn is_refused(error: &ClientError) -> bool {
    match error.source().and_then(|source| source.downcast_ref::<Error>()) {
        Some(Error::Io(io)) => io.kind() == io::ErrorKind::ConnectionRefused,
        Some(Error::HostNotFound | Error::ConnectionFailed) => true,
        _ => false,
    }
}

/// `Retry-After` in seconds; its other form, a date, is not used by Ray or by common proxies.
fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_segment_of_a_path_is_encoded() {
        assert_eq!(path(&["api", "jobs", "a?b#c%ä", ""]), "/api/jobs/a%3Fb%23c%25%C3%A4/");
    }

    #[test]
    fn only_a_connection_that_was_not_made_cannot_have_carried_a_request() {
        for (kind, refused) in [
            (io::ErrorKind::ConnectionRefused, true),
            (io::ErrorKind::ConnectionReset, false),
            (io::ErrorKind::UnexpectedEof, false),
        ] {
            let error = ClientError::unreachable("x").caused_by(Error::Io(kind.into()));
            assert_eq!(is_refused(&error), refused, "{kind}");
        }
        assert!(is_refused(&ClientError::unreachable("x").caused_by(Error::HostNotFound)));
        assert!(!is_refused(&ClientError::rejected(503, "x")));
    }

    #[test]
    fn query_values_are_encoded() {
        let request = Request::get("x", "/p".to_owned()).query("a", "=").query("b", "x y&z");
        assert_eq!(request.path_and_query(), "/p?a=%3D&b=x%20y%26z");
    }
}
