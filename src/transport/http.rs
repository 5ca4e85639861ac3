//! `Http`: sends one request and opens its response, without retries.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::{Method, Response as HttpResponse, Version};
use ureq::{Error, SendBody};

use super::HeaderValue;
use super::body::{Body, Response, Stream};
use super::connections::{Connections, config};
use super::error::{MAX_HEADERS, explain, of_connect};
use super::exchange::exchange;
use super::request::{Request, Upload};
use super::response_check::refusal;
use super::settings::{Settings, Timeouts};
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
        let timeouts = Timeouts::of(&self.settings, request);
        let http = self.http_request(request, upload)?;
        if self.settings.proxy.is_none() && idle.is_none() {
            return self.run_by_ureq(request, upload, &http, &timeouts);
        }
        let mut body: Box<dyn Read + '_> = match (upload, &request.body) {
            (Some(upload), _) => (upload.open)()?,
            (None, Some(body)) => Box::new(body.as_slice()),
            (None, None) => Box::new(std::io::empty()),
        };
        let register = self.connections.register();
        let (head, body) = exchange(&self.settings, &http, &mut *body, &timeouts, &register)?;
        Ok((head, Body::Exchange { body, idle }))
    }

    fn run_by_ureq(
        &self,
        request: &Request,
        upload: Option<&Upload>,
        http: &HttpRequest,
        timeouts: &Timeouts,
    ) -> Result<(HttpResponse<()>, Body), Error> {
        self.connections.check_listener(&self.settings, timeouts.connect).map_err(of_connect)?;
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
        let connection = head.headers().get("connection").map(HeaderValue::as_bytes);
        let is_closed = connection.is_some_and(|value| value.eq_ignore_ascii_case(b"close"))
            || head.version() == Version::HTTP_10;
        let is_kept = !is_closed && !self.settings.is_https();
        Ok((head, Body::Ureq { body, length, is_kept }))
    }

    fn run_agent<B: ureq::AsSendBody>(
        &self,
        http: ureq::http::Request<B>,
        timeouts: &Timeouts,
        max_headers: usize,
    ) -> Result<HttpResponse<ureq::Body>, Error> {
        let agent = self.connections.agent();
        // For a deadline, ureq looks up even an IP address in a thread, which is too much for the polls of a
        // tail. Theirs applies to each step.
        let in_all = timeouts.deadline.filter(|_| !self.connections.are_of_tail());
        let http = agent
            .configure_request(http)
            .max_response_header_size(max_headers)
            // A lookup with a timeout needs a thread, so only names get one.
            .timeout_resolve(self.settings.needs_look_up().then_some(timeouts.connect))
            .timeout_connect(Some(timeouts.connect))
            .timeout_send_request(Some(timeouts.send))
            .timeout_per_write(Some(timeouts.send))
            .timeout_recv_response(Some(timeouts.at_most(timeouts.response)))
            .timeout_recv_body(Some(timeouts.at_most(timeouts.body)))
            .timeout_global(in_all.map(|_| timeouts.at_most(Duration::MAX)))
            .build();
        agent.run(http)
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

/// Whether another token may help. Ray answers 401 if the token is missing, and 403 if it is invalid.
pub(super) fn is_denied(status: u16) -> bool {
    matches!(status, 401 | 403)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::transport::{Proxies, Token};

    /// Starts a server, and returns its address and the lines of the requests that it receives.
    fn server() -> (String, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                while stream.read_line(&mut line).is_ok_and(|length| length > 2) {
                    let _ = sender.send(std::mem::take(&mut line).trim_end().to_lowercase());
                }
                let _ =
                    stream.get_mut().write_all(b"HTTP/1.1 200 x\r\ncontent-length: 2\r\n\r\n{}");
            }
        });
        (address, lines)
    }

    fn client(base: &str, vars: &[(&str, &str)]) -> Http {
        let var = |name: &str| {
            let found = vars.iter().find(|(n, _)| *n == name);
            Ok(found.map(|(_, value)| (*value).to_owned()))
        };
        let proxies = Proxies::from_vars(var).unwrap();
        let mut headers = super::super::HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Basic passw0rd"));
        headers.insert("x-team", HeaderValue::from_static("ml"));
        Http::new(Settings {
            proxy: proxies.of(base).unwrap(),
            proxies,
            base: base.to_owned(),
            headers,
            token: Token::new("t0ken", None).map(Arc::new),
            token_header: "x-ray-authorization",
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(5),
            retry: RetryPolicy::none(),
            #[cfg(feature = "tls")]
            roots: None,
            #[cfg(feature = "tls")]
            accept_invalid_certs: false,
        })
    }

    fn sent_to_agent(
        client: &Http,
        agent: &str,
        with_token: bool,
        lines: &Receiver<String>,
    ) -> String {
        let agent = client.at(agent.to_owned(), with_token).unwrap();
        agent.send(&Request::get("log", "/logs/a".to_owned()).bytes()).unwrap();
        lines.try_iter().collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_agent_gets_no_header_except_the_token() {
        let (agent, lines) = server();
        for base in ["http://ray.example:8265", "https://ray.example:8265"] {
            let client = client(base, &[]);
            let without = sent_to_agent(&client, &agent, false, &lines);
            assert!(without.starts_with("get /logs/a http/1.1"), "{without}");
            assert!(!without.contains("authorization") && !without.contains("x-team"), "{without}");
            let with = sent_to_agent(&client, &agent, true, &lines);
            assert!(with.contains("\nauthorization: bearer t0ken"), "{with}");
            assert!(!with.contains("passw0rd") && !with.contains("x-team"), "{with}");
        }
    }

    #[test]
    fn an_agent_uses_the_proxy_for_its_own_address() {
        let (proxy, lines) = server();
        let (direct, direct_lines) = server();
        let vars = [("HTTP_PROXY", &*proxy), ("NO_PROXY", "127.0.0.0/8")];
        let client = client("https://ray.example:8265", &vars);
        let by_proxy = sent_to_agent(&client, "http://10.0.0.5:52365", false, &lines);
        assert!(by_proxy.starts_with("get http://10.0.0.5:52365/logs/a http/1.1"), "{by_proxy}");
        assert!(!sent_to_agent(&client, &direct, false, &direct_lines).is_empty());
        assert!(lines.try_iter().next().is_none());
        let socks = client_with_socks();
        assert_eq!(
            socks.at("http://10.0.0.5:52365".to_owned(), false).err().unwrap().status(),
            400
        );
    }

    #[test]
    fn the_callers_user_agent_replaces_the_default() {
        for by_proxy in [false, true] {
            let (server, lines) = server();
            let base = if by_proxy { "http://ray.example:8265" } else { &server };
            let proxy = if by_proxy { &*server } else { "" };
            let http = client(base, &[("HTTP_PROXY", proxy)]);
            let mut settings = (*http.settings).clone();
            settings.headers.insert("user-agent", HeaderValue::from_static("me/1"));
            let request = Request::get("version", "/api/version".to_owned());
            Http::new(settings).send(&request).unwrap();
            let agents = lines.try_iter().filter(|line| line.starts_with("user-agent:"));
            assert_eq!(agents.collect::<Vec<_>>(), ["user-agent: me/1"], "{by_proxy}");
        }
    }

    #[test]
    fn the_host_header_has_no_default_port() {
        for (base, expected) in [
            ("http://h:80/x", "h"),
            ("https://h:443", "h"),
            ("https://h:80", "h:80"),
            ("http://h", "h"),
            ("http://h:8265/x", "h:8265"),
            ("http://[::1]:8265", "[::1]:8265"),
            ("http://[::1]:80", "[::1]"),
        ] {
            assert_eq!(client(base, &[]).settings.host_header(), expected);
        }
        let (proxy, lines) = server();
        let http = client("http://ray.example:80", &[("HTTP_PROXY", &proxy)]);
        http.send(&Request::get("version", "/api/version".to_owned())).unwrap();
        let hosts = lines.try_iter().filter(|line| line.starts_with("host:"));
        assert_eq!(hosts.collect::<Vec<_>>(), ["host: ray.example"]);
    }

    #[test]
    fn a_stream_below_the_minimum_rate_is_a_timeout() {
        let (address, _lines) = server();
        let request = Request::get("log", "/logs/a".to_owned());
        let mut stream = client(&address, &[]).stream(&request, Duration::from_secs(5)).unwrap();
        stream.late = Duration::from_secs(59);
        assert!(matches!(stream.read(&mut [0; 1]), Ok(1)));
        // The byte makes up for a millisecond.
        let late = stream.late;
        assert!(late > Duration::from_millis(58_999) && late < Duration::from_secs(60), "{late:?}");
        stream.late = Duration::from_secs(61);
        let error = stream.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.status(), 408, "{error}");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_tls_handshake_that_stops_midway_is_a_connect_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // The head of a record, and no more of it.
            let _ = stream.write_all(b"\x16\x03\x03\x00\x7a\x02");
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        let mut settings = (*client(&address, &[]).settings).clone();
        settings.connect_timeout = Duration::from_millis(300);
        let request = Request::get("log", "/logs/a".to_owned());
        let error = Http::new(settings).stream(&request, Duration::from_secs(5)).err().unwrap();
        assert_eq!(error.timeout_kind(), Some(crate::TimeoutKind::Connect), "{error}");
    }

    fn client_with_socks() -> Http {
        client("https://ray.example:8265", &[("HTTP_PROXY", "socks5://proxy.example")])
    }

    #[test]
    fn shutdown_is_final_and_includes_copies_for_other_addresses() {
        let (address, _lines) = server();
        let tail = client(&address, &[]).for_tail(Duration::from_secs(5));
        let agent = tail.at(address.clone(), false).unwrap();
        let request = Request::get("log", "/logs/a".to_owned());
        assert!(agent.send(&request).is_ok() && tail.send(&request).is_ok());
        tail.shutdown();
        for http in [&agent, &tail, &tail.at(address, false).unwrap()] {
            assert_eq!(http.send(&request).err().unwrap().status(), 503);
        }
    }
}
