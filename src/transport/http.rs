//! One exchange: a request is sent, and the head of its answer is judged.

use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Method, Response, StatusCode, Version};
use ureq::{Agent, Error};

use super::agent::{Line, config};
use super::body::{Answer, Body, ContentRange, Pieces, Stream};
use super::fault::{MAX_HEADERS, explain, of_connect};
use super::request::Request;
use super::settings::Settings;
use super::{HeaderMap, HeaderValue, Uri};
use crate::config::RetryPolicy;
use crate::{ClientError, ray_fault};

/// The longest time that an unhurried body may take, however slowly it is read. Ray's dashboard ends
/// such an answer after 300 s.
const MAX_BODY: Duration = Duration::from_secs(20 * 60);

/// Where a client sends, and its connections. A clone shares them.
#[derive(Clone)]
pub(crate) struct Http {
    pub(super) line: Line,
    pub(super) settings: Arc<Settings>,
}

impl Http {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { line: Line::shared(config(&settings)), settings: Arc::new(settings) }
    }

    /// The same with connections of its own, so that closing them ends no other call, and without
    /// retries, because their pauses cannot be interrupted. No wait is longer than `most`.
    pub(crate) fn for_tail(&self, most: Duration) -> Self {
        let settings = Settings {
            connect_timeout: self.settings.connect_timeout.min(most),
            read_timeout: self.settings.read_timeout.min(most),
            retry: RetryPolicy::none(),
            ..(*self.settings).clone()
        };
        Self { line: self.line.of_tail(self.line.config()), settings: Arc::new(settings) }
    }

    /// The same for another address, which gets no header of the caller's but the token, and that
    /// only if `with_token`. `shutdown` of either closes both.
    pub(crate) fn at(&self, base: String, with_token: bool) -> Self {
        let mut headers = HeaderMap::new();
        if let Some(token) = self.settings.headers.get("authorization").filter(|_| with_token) {
            headers.insert("authorization", token.clone());
        }
        let settings = Settings { base, headers, ..(*self.settings).clone() };
        let line = self.line.of_tail(config(&settings));
        Self { line, settings: Arc::new(settings) }
    }

    /// Where it sends, without credentials.
    pub(crate) fn address(&self) -> &str {
        &self.settings.base
    }

    pub(crate) fn read_timeout(&self) -> Duration {
        self.settings.read_timeout
    }

    /// Ends every request of this tail from another thread, now and from now on: within 10 ms while
    /// it connects, at once while it reads or writes. Only a DNS look-up takes as long as it takes.
    pub(crate) fn shutdown(&self) {
        self.line.shutdown();
    }

    /// Sends once, and reads the whole answer.
    pub(super) fn send_once(&self, request: &Request) -> Result<Answer, ClientError> {
        self.open(request, request.is_unhurried, self.settings.read_timeout)?.read_whole()
    }

    /// Opens an answer that is read as it comes, for as long as it comes. A read that is silent for
    /// `idle` says so, and can be tried again.
    pub(crate) fn stream(&self, request: &Request, idle: Duration) -> Result<Stream, ClientError> {
        self.open(request, true, idle)
    }

    fn open(
        &self,
        request: &Request,
        is_unhurried: bool,
        idle: Duration,
    ) -> Result<Stream, ClientError> {
        let failed = |error| {
            self.line.note(false);
            explain(request, &self.settings, error)
        };
        let (response, agent) = self.run(request, is_unhurried).map_err(failed)?;
        let (head, body) = response.into_parts();
        let head = Response::from_parts(head, ());
        let length = body.content_length();
        let body = body.into_with_config().limit(u64::MAX).reader();
        let body = if is_unhurried {
            Body::Unhurried(Pieces::of(body, agent).map_err(|error| failed(Error::from(error)))?)
        } else {
            Body::Bounded(body)
        };
        let mut stream = Stream {
            request: request.clone(),
            settings: Arc::clone(&self.settings),
            line: self.line.clone(),
            body,
            content_range: header(&head, "content-range").and_then(ContentRange::parse),
            length,
            has_end: length.is_some() || is_chunked(&head),
            idle,
        };
        match self.refusal(&head, &mut stream) {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }

    /// Why this is not the answer that was asked for.
    fn refusal(&self, head: &Response<()>, stream: &mut Stream) -> Option<ClientError> {
        let what = stream.request.what.clone();
        let status = head.status();
        let is_empty_range =
            status == StatusCode::RANGE_NOT_SATISFIABLE && stream.request.range.is_some();
        if status.is_success() || is_empty_range {
            return None;
        }
        if status.is_redirection() {
            let target = redirect_target(head);
            return Some(ClientError::rejected(
                status.as_u16(),
                format_args!(
                    "{what}: the server redirects to {target}, and redirects are not followed; give that address to the client"
                ),
            ));
        }
        let content_type = header(head, "content-type").unwrap_or_default();
        let page = stream.read_error_page();
        let error = self.rejection(&what, status, content_type, &page);
        Some(error.with_retry_after(retry_after(head)))
    }

    pub(super) fn rejection(
        &self,
        what: &str,
        status: StatusCode,
        content_type: &str,
        page: &[u8],
    ) -> ClientError {
        let secrets = self.settings.secrets();
        ray_fault::rejection(what, status.as_u16(), content_type, page, &secrets)
    }

    fn run(
        &self,
        request: &Request,
        is_unhurried: bool,
    ) -> Result<(Response<ureq::Body>, Agent), Error> {
        self.line.check_listener(&self.settings, request).map_err(of_connect)?;
        let agent = if is_unhurried { self.line.agent_to_leave() } else { self.line.agent() };
        let response = match self.run_with(&agent, request, is_unhurried, MAX_HEADERS) {
            // ureq also counts what came behind a 1xx. Without its limit, the buffer is the limit.
            Err(too_large @ Error::LargeResponseHeader(..)) if request.is_idempotent => {
                self.run_with(&agent, request, is_unhurried, usize::MAX).map_err(|_| too_large)
            }
            other => other,
        };
        response.map(|response| (response, agent))
    }

    fn run_with(
        &self,
        agent: &Agent,
        request: &Request,
        is_unhurried: bool,
        max_headers: usize,
    ) -> Result<Response<ureq::Body>, Error> {
        let url = format!("{}{}", self.settings.base, request.path_and_query());
        let mut builder = ureq::http::Request::builder().method(&request.method).uri(url);
        if let Some(headers) = builder.headers_mut() {
            headers.extend(self.settings.headers.clone());
            if let Some(range) = request.range {
                let range = HeaderValue::from_str(&range.to_string());
                headers.insert("range", range.map_err(ureq::http::Error::from)?);
            }
            if request.body.is_some() {
                headers.insert("content-type", HeaderValue::from_static("application/json"));
            }
        }
        // Every wait ends at a fixed time, whatever comes until then.
        let Settings { connect_timeout, read_timeout, .. } = *self.settings;
        let connect = request.at_most(connect_timeout);
        let response = request.at_most(read_timeout + request.extra_time);
        let whole_body = if is_unhurried { MAX_BODY } else { request.at_most(read_timeout) };
        macro_rules! run {
            ($body:expr) => {{
                let http = agent
                    .configure_request(builder.body($body)?)
                    .max_response_header_size(max_headers)
                    .timeout_resolve(self.settings.needs_look_up().then_some(connect))
                    .timeout_connect(Some(connect))
                    .timeout_send_request(Some(read_timeout))
                    .timeout_per_write(Some(read_timeout))
                    .timeout_recv_response(Some(response))
                    .timeout_recv_body(Some(whole_body))
                    .build();
                agent.run(http)
            }};
        }
        match &request.body {
            Some(body) => run!(body),
            // Without this, ureq sends an empty body in chunks, which not every server takes.
            None if request.method == Method::POST => run!(&[][..]),
            None => run!(()),
        }
    }
}

fn header<'h>(head: &'h Response<()>, name: &str) -> Option<&'h str> {
    head.headers().get(name).and_then(|value| value.to_str().ok())
}

/// As ureq sees it: a body of any other coding, and any of HTTP/1.0, ends with the connection.
fn is_chunked(head: &Response<()>) -> bool {
    let codings = head.headers().get_all("transfer-encoding");
    let mut codings = codings.iter().filter_map(|value| value.to_str().ok());
    head.version() == Version::HTTP_11
        && codings.any(|value| value.trim().eq_ignore_ascii_case("chunked"))
}

/// Scheme and host alone: the rest of a redirect may hold secrets.
fn redirect_target(head: &Response<()>) -> String {
    let uri = header(head, "location").and_then(|location| location.parse::<Uri>().ok());
    match uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.host()?, uri.port_u16()))) {
        Some((scheme, host, Some(port))) => format!("{scheme}://{host}:{port}"),
        Some((scheme, host, None)) => format!("{scheme}://{host}"),
        None => "another place".to_owned(),
    }
}

/// `Retry-After` in seconds; its other form, a date, is not used by Ray or by common proxies.
fn retry_after(head: &Response<()>) -> Option<Duration> {
    Some(Duration::from_secs(header(head, "retry-after")?.trim().parse().ok()?))
}
