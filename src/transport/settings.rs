//! `Settings` of all connections of a client: addresses, headers, timeouts and certificates.

use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{CONTROLS, utf8_percent_encode};
use ureq::Proxy;

use super::proxy::Proxies;
use super::request::Request;
use super::token::Token;
use super::{HeaderMap, Uri};
use crate::retry::RetryPolicy;
use crate::{ClientError, redact};

#[derive(Clone)]
pub(crate) struct Settings {
    /// Scheme, host, port and path prefix, without trailing slash and credentials.
    pub(crate) base: String,
    pub(crate) headers: HeaderMap,
    pub(crate) token: Option<Arc<Token>>,
    /// The header that carries the token.
    pub(crate) token_header: &'static str,
    pub(crate) connect_timeout: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) proxies: Proxies,
    pub(crate) proxy: Option<Proxy>,
    #[cfg(feature = "tls")]
    pub(crate) roots: Option<Vec<ureq::tls::Certificate<'static>>>,
    #[cfg(feature = "tls")]
    pub(crate) accept_invalid_certs: bool,
}

impl Settings {
    /// Returns settings for another address, which gets none of the caller's headers, and the token only
    /// if `with_token`.
    pub(super) fn at(&self, base: String, with_token: bool) -> Result<Self, ClientError> {
        Ok(Self {
            proxy: self.proxies.of(&base)?,
            base,
            headers: HeaderMap::new(),
            token: self.token.clone().filter(|_| with_token),
            token_header: "authorization",
            ..self.clone()
        })
    }

    pub(super) fn is_https(&self) -> bool {
        self.base.starts_with("https://")
    }

    /// Returns host and port of the proxy, or of the cluster if there is none.
    pub(super) fn first_hop(&self) -> (String, u16) {
        match &self.proxy {
            Some(proxy) => (proxy.host().to_owned(), proxy.port()),
            None => self.host_and_port(),
        }
    }

    /// Returns host and port of the cluster.
    pub(super) fn host_and_port(&self) -> (String, u16) {
        let uri = self.base.parse::<Uri>().unwrap_or_default();
        (uri.host().unwrap_or_default().to_owned(), uri.port_u16().unwrap_or(self.default_port()))
    }

    /// Returns the value of the `Host` header. It has no default port, because ureq sends none and a gateway
    /// may compare the whole value.
    pub(super) fn host_header(&self) -> String {
        let (host, port) = self.host_and_port();
        if port == self.default_port() { host } else { format!("{host}:{port}") }
    }

    fn default_port(&self) -> u16 {
        if self.is_https() { 443 } else { 80 }
    }

    /// Whether the cluster's host is a name and not an IP address.
    pub(super) fn needs_look_up(&self) -> bool {
        let (host, _) = self.host_and_port();
        host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err()
    }

    /// Describes the proxy or the cluster for messages.
    pub(super) fn peer(&self) -> String {
        match &self.proxy {
            Some(proxy) => format!("the proxy {}:{}", proxy.host(), proxy.port()),
            None => self.base.clone(),
        }
    }

    /// Returns a request as log records show it.
    pub(super) fn show(&self, request: &Request) -> String {
        let path = redact::hide_query_values(&request.path);
        let url = format!("{} {}{path}{}", request.method, self.base, request.query);
        redact::shorten(&self.hide_secrets(request, &url))
    }

    /// Hides what no message about this request may show.
    pub(super) fn hide_secrets(&self, request: &Request, text: &str) -> String {
        let secrets = self.secrets(request);
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        redact::without(&secrets, text).into_owned()
    }

    /// Returns the headers of every request, including the token.
    pub(super) fn request_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        if let Some(token) = &self.token {
            headers.insert(self.token_header, token.value());
        }
        headers
    }

    /// Returns the texts that no message about this request may show: header values, the words in them, a
    /// proxy's password, and the values of a query in the path, which comes from the caller. Short words are
    /// not secret, and hiding them would make messages unreadable.
    pub(super) fn secrets(&self, request: &Request) -> Vec<String> {
        const SHORTEST: usize = 6;
        let headers = self.request_headers();
        let values: Vec<_> =
            headers.values().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let proxy = self.proxy.as_ref().and_then(|proxy| proxy.password());
        let query = redact::query_values(&request.path);
        let spellings: Vec<_> = values.iter().flat_map(|value| spellings(value)).collect();
        let words = spellings
            .iter()
            .flat_map(|value| std::iter::once(&**value).chain(value.split_whitespace()));
        // The scheme of a credential is no secret.
        let is_secret = |word: &&str| word.len() >= SHORTEST && *word != "Bearer";
        words
            .chain(proxy)
            .chain(query.iter().map(String::as_str))
            .filter(is_secret)
            .map(str::to_owned)
            .collect()
    }
}

/// Returns a header value, and how servers may show it if it is not ASCII: escaped in JSON or in a URL, or
/// read as Latin-1. `redact` knows the escapes of ASCII.
fn spellings(value: &str) -> Vec<String> {
    if value.is_ascii() {
        return vec![value.to_owned()];
    }
    let in_json = value.encode_utf16().map(|unit| match u8::try_from(unit) {
        Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
        _ => format!("\\u{unit:04x}"),
    });
    let in_url = utf8_percent_encode(value, CONTROLS).to_string();
    let as_latin1 = value.bytes().map(char::from).collect();
    vec![value.to_owned(), in_json.collect(), in_url, as_latin1]
}

/// The time limits of the steps of an exchange. Each method returns the limit of a step that begins now, which
/// does not exceed the deadline.
pub(super) struct Timeouts<'a> {
    pub(super) settings: &'a Settings,
    pub(super) request: &'a Request,
}

impl Timeouts<'_> {
    pub(super) fn connect(&self) -> Duration {
        self.request.at_most(self.settings.connect_timeout)
    }

    pub(super) fn send(&self) -> Duration {
        self.request.at_most(self.settings.read_timeout)
    }

    pub(super) fn response(&self) -> Duration {
        self.request.at_most(self.settings.read_timeout + self.request.extra_time)
    }

    pub(super) fn body(&self) -> Duration {
        self.request.at_most(self.settings.read_timeout)
    }
}
