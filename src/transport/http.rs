//! `Http`: sends one request and opens its response, without retries.

use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::{Method, Response as HttpResponse, Version};
use ureq::{Error, SendBody};

use super::body::{Body, Response, Stream};
use super::connections::{Connections, config};
use super::error::{MAX_HEADERS, explain, of_connect};
use super::exchange::exchange;
use super::request::{Request, Upload};
use super::response_check::refusal;
use super::settings::{Settings, Timeouts};
use super::{HeaderMap, HeaderValue};
use crate::ClientError;
use crate::logging::record;
use crate::retry::RetryPolicy;

/// A client's settings and connections. Clones share them.
#[derive(Clone)]
pub(crate) struct Http {
    pub(super) connections: Connections,
    pub(super) settings: Arc<Settings>,
}

type HttpRequest = ureq::http::Request<()>;

impl Http {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { connections: Connections::shared(&config(&settings)), settings: Arc::new(settings) }
    }

    /// Returns a copy for a tail. It has its own connections, because closing them must not end other
    /// calls, and no retries, because their pauses cannot be interrupted. Its timeouts are at most `most`.
    pub(crate) fn for_tail(&self, most: Duration) -> Self {
        let settings = Settings {
            connect_timeout: self.settings.connect_timeout.min(most),
            read_timeout: self.settings.read_timeout.min(most),
            retry: RetryPolicy::none(),
            ..(*self.settings).clone()
        };
        Self {
            connections: self.connections.of_tail(&config(&settings)),
            settings: Arc::new(settings),
        }
    }

    /// Returns a copy for another address, which gets none of the caller's headers, and the token only
    /// if `with_token`. `shutdown` of either closes both.
    ///
    /// # Errors
    /// 400 if the environment names an unsupported proxy for this address.
    pub(crate) fn at(&self, base: String, with_token: bool) -> Result<Self, ClientError> {
        let settings = self.settings.at(base, with_token)?;
        Ok(Self {
            connections: self.connections.of_tail(&config(&settings)),
            settings: Arc::new(settings),
        })
    }

    /// Returns the address without credentials.
    pub(crate) fn address(&self) -> &str {
        &self.settings.base
    }

    pub(crate) fn read_timeout(&self) -> Duration {
        self.settings.read_timeout
    }

    /// Ends the current and all future requests of this tail, from any thread: within 10 ms while it
    /// connects, immediately while it reads or writes. `connections` lists the exceptions.
    pub(crate) fn shutdown(&self) {
        self.connections.shutdown();
    }

    /// Sends the request once and reads the whole response.
    pub(super) fn send_once(
        &self,
        request: &Request,
        upload: Option<&Upload>,
    ) -> Result<Response, ClientError> {
        let begun = Instant::now();
        let idle = request.idle_timeout_only.then_some(self.settings.read_timeout);
        let stream = self.open(request, upload, idle)?;
        let status = stream.status;
        let response = stream.read_whole();
        match &response {
            Ok(response) => record!(
                Debug,
                "http",
                "{}: {status}, {} bytes in {} ms",
                self.settings.show(request),
                response.body.len(),
                begun.elapsed().as_millis()
            ),
            Err(error) => self.record_failure(request, Some(status), begun, error),
        }
        response
    }

    /// Sends the request once and returns its response as a stream without a total timeout. A read that
    /// gets nothing for `idle` fails with 408.
    pub(crate) fn stream(&self, request: &Request, idle: Duration) -> Result<Stream, ClientError> {
        let begun = Instant::now();
        let stream = self.open(request, None, Some(idle))?;
        record!(
            Debug,
            "http",
            "{}: {} in {} ms, its body is read as it comes",
            self.settings.show(request),
            stream.status,
            begun.elapsed().as_millis()
        );
        Ok(stream)
    }

    fn open(
        &self,
        request: &Request,
        upload: Option<&Upload>,
        idle: Option<Duration>,
    ) -> Result<Stream, ClientError> {
        let begun = Instant::now();
        let failed = |error| {
            self.connections.note(false);
            let error = explain(request, &self.settings, error);
            self.record_failure(request, None, begun, &error);
            error
        };
        let sent = self.settings.token.as_ref().map(|token| token.value());
        let (mut head, mut body) = self.run(request, upload, idle).map_err(failed)?;
        if is_denied(head.status().as_u16()) && self.has_new_token(sent.as_ref()) {
            drop(body);
            self.connections.note(false);
            record!(
                Debug,
                "http",
                "{}: {}, sent again with the new token of the token file",
                self.settings.show(request),
                head.status().as_u16()
            );
            (head, body) = self.run(request, upload, idle).map_err(failed)?;
        }
        let length = body.length();
        let status = head.status().as_u16();
        let mut stream = Stream {
            status,
            request: request.clone(),
            settings: Arc::clone(&self.settings),
            connections: self.connections.clone(),
            length,
            body,
            content_range: None,
            late: Duration::ZERO,
            taken: Duration::ZERO,
        };
        match refusal(&head, &mut stream) {
            Some(error) => {
                // Its body may not have been read to the end.
                self.connections.note(false);
                self.record_failure(request, Some(status), begun, &error);
                Err(error)
            }
            None => Ok(stream),
        }
    }

    /// Logs a failed exchange, with its status if there was a response.
    pub(super) fn record_failure(
        &self,
        request: &Request,
        status: Option<u16>,
        begun: Instant,
        error: &ClientError,
    ) {
        record!(
            Debug,
            "http",
            "{}: {} in {} ms: {error}",
            self.settings.show(request),
            status.map_or("failed".to_owned(), |status| status.to_string()),
            begun.elapsed().as_millis()
        );
    }

    /// Reads the token's file again. Returns whether the token now differs from `sent`, which the server
    /// refused.
    pub(super) fn has_new_token(&self, sent: Option<&HeaderValue>) -> bool {
        let token = self.settings.token.as_ref();
        sent.zip(token).is_some_and(|(sent, token)| token.read_again(sent))
    }

    fn run(
        &self,
        request: &Request,
        upload: Option<&Upload>,
        idle: Option<Duration>,
    ) -> Result<(HttpResponse<()>, Body), Error> {
        let timeouts = Timeouts { settings: &self.settings, request };
        let http = self.http_request(request, upload)?;
        if self.is_for_ureq(request, idle) {
            return self.run_by_ureq(request, upload, &http, &timeouts);
        }
        let mut body: Box<dyn Read + '_> = match (upload, &request.body) {
            (Some(upload), _) => (upload.open)()?,
            (None, Some(body)) => Box::new(body.as_slice()),
            (None, None) => Box::new(io::empty()),
        };
        let register = self.connections.register();
        let (head, body) = exchange(&self.settings, &http, &mut *body, &timeouts, &register)?;
        Ok((head, Body::Exchange { body, idle }))
    }

    /// Whether ureq can do everything that the request needs. It does not forward to a proxy, has no timeout
    /// of each read, and ends all steps by a deadline only with a thread for each request. And over https it
    /// keeps no connection (`connections::config`), so a tail would connect twice.
    fn is_for_ureq(&self, request: &Request, idle: Option<Duration>) -> bool {
        let is_tail = self.connections.are_of_tail();
        let is_plain = self.settings.proxy.is_none() && idle.is_none();
        is_plain && if is_tail { !self.settings.is_https() } else { request.deadline.is_none() }
    }

    fn run_by_ureq(
        &self,
        request: &Request,
        upload: Option<&Upload>,
        http: &HttpRequest,
        timeouts: &Timeouts,
    ) -> Result<(HttpResponse<()>, Body), Error> {
        self.connections.check_listener(&self.settings, timeouts.connect()).map_err(of_connect)?;
        let run = |max_headers| {
            let http = http.clone();
            if let Some(upload) = upload {
                let mut body = (upload.open)()?;
                let http = http.map(|()| SendBody::from_reader(&mut *body));
                return self.run_agent(http, timeouts, max_headers);
            }
            match &request.body {
                Some(body) => self.run_agent(http.map(|()| body.as_slice()), timeouts, max_headers),
                // Otherwise ureq sends an empty chunked body, which not every server accepts.
                None if request.method == Method::POST => {
                    self.run_agent(http.map(|()| &[][..]), timeouts, max_headers)
                }
                None => self.run_agent(http, timeouts, max_headers),
            }
        };
        let response = match run(MAX_HEADERS) {
            // ureq also counts bytes that arrived after a 1xx. The second time, its buffer is the limit.
            Err(too_large @ Error::LargeResponseHeader(..)) if request.is_idempotent => {
                run(usize::MAX).map_err(|_| too_large)?
            }
            other => other?,
        };
        let (parts, body) = response.into_parts();
        let head = HttpResponse::from_parts(parts, ());
        let length = body.content_length();
        let body = body.into_with_config().limit(u64::MAX).reader();
        let is_kept = !closes(http.headers()) && keeps_connection(&head);
        Ok((head, Body::Ureq { body, length, is_kept }))
    }

    fn run_agent<B: ureq::AsSendBody>(
        &self,
        http: ureq::http::Request<B>,
        timeouts: &Timeouts,
        max_headers: usize,
    ) -> Result<HttpResponse<ureq::Body>, Error> {
        let agent = self.connections.agent();
        let http = agent
            .configure_request(http)
            .max_response_header_size(max_headers)
            // A lookup with a timeout needs a thread, so only names get one.
            .timeout_resolve(self.settings.needs_look_up().then_some(timeouts.connect()))
            .timeout_connect(Some(timeouts.connect()))
            .timeout_send_request(Some(timeouts.send()))
            .timeout_per_write(Some(timeouts.send()))
            .timeout_recv_response(Some(timeouts.response()))
            .timeout_recv_body(Some(timeouts.body()))
            .build();
        if !self.settings.needs_look_up() {
            return agent.run(http);
        }
        // ureq panics if the system cannot create the thread.
        catch_unwind(AssertUnwindSafe(|| agent.run(http))).unwrap_or_else(|_| {
            Err(Error::Io(io::Error::other("no thread can be started to look up the host name")))
        })
    }

    fn http_request(
        &self,
        request: &Request,
        upload: Option<&Upload>,
    ) -> Result<HttpRequest, Error> {
        let url = format!("{}{}", self.settings.base, request.path_and_query());
        let mut http = ureq::http::Request::builder().method(&request.method).uri(url).body(())?;
        let headers = http.headers_mut();
        *headers = self.settings.request_headers();
        if let Some(range) = request.range {
            let value = HeaderValue::from_str(&range.to_string());
            headers.insert("range", value.map_err(ureq::http::Error::from)?);
        }
        if let Some(upload) = upload {
            headers.insert("content-type", HeaderValue::from_static("application/octet-stream"));
            // Otherwise ureq sends the body in chunks.
            headers.insert("content-length", HeaderValue::from(upload.length));
        } else if let Some(body) = &request.body {
            headers.insert("content-type", HeaderValue::from_static("application/json"));
            headers.insert("content-length", HeaderValue::from(body.len()));
        }
        Ok(http)
    }
}

/// Whether ureq keeps the connection after this response.
fn keeps_connection(head: &HttpResponse<()>) -> bool {
    let headers = head.headers();
    // Otherwise, the end of the connection is the end of the body.
    let has_end = headers.contains_key("content-length")
        || headers.contains_key("transfer-encoding")
        || matches!(head.status().as_u16(), 204 | 304);
    head.version() == Version::HTTP_11 && has_end && !closes(headers)
}

fn closes(headers: &HeaderMap) -> bool {
    let values = headers.get_all("connection").iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case("close"))
}

/// Whether another token may help. Ray answers 401 if the token is missing, and 403 if it is invalid.
pub(super) fn is_denied(status: u16) -> bool {
    matches!(status, 401 | 403)
}

#[cfg(test)]
mod tests;
