//! What all connections of a client share: where they go, what they send, and how long they wait.

use std::sync::Arc;
use std::time::Duration;

use ureq::Proxy;

use super::proxy::Proxies;
use super::request::Request;
use super::token::Token;
use super::{HeaderMap, Uri};
use crate::ClientError;
use crate::retry::RetryPolicy;

/// The longest time that a body without a total timeout may take, however slowly it is read. Ray's dashboard ends
/// such an answer after 300 s.
const MAX_BODY: Duration = Duration::from_secs(20 * 60);

#[derive(Clone)]
pub(crate) struct Settings {
    /// Scheme, host, port and path prefix, without a slash at the end and without credentials.
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
    /// For another address, which gets no header of the caller's but the token, and that only if
    /// `with_token`.
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

    /// Host and port of what a connection is made to.
    pub(super) fn first_hop(&self) -> (String, u16) {
        match &self.proxy {
            Some(proxy) => (proxy.host().to_owned(), proxy.port()),
            None => self.host_and_port(),
        }
    }

    /// Host and port of the cluster.
    pub(super) fn host_and_port(&self) -> (String, u16) {
        let uri = self.base.parse::<Uri>().unwrap_or_default();
        let default = if self.is_https() { 443 } else { 80 };
        (uri.host().unwrap_or_default().to_owned(), uri.port_u16().unwrap_or(default))
    }

    /// Whether the cluster's host is a name.
    pub(super) fn needs_look_up(&self) -> bool {
        let (host, _) = self.host_and_port();
        host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err()
    }

    /// What a connection is made to, as messages name it.
    pub(super) fn peer(&self) -> String {
        match &self.proxy {
            Some(proxy) => format!("the proxy {}:{}", proxy.host(), proxy.port()),
            None => self.base.clone(),
        }
    }

    /// The headers of every request.
    pub(super) fn request_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        if let Some(token) = &self.token {
            headers.insert(self.token_header, token.value());
        }
        headers
    }

    /// What no message may show: the values of headers and the words in them, and a proxy's password.
    /// A word of a few characters is no secret, and would be found in every other word.
    pub(super) fn secrets(&self) -> Vec<String> {
        const SHORTEST: usize = 6;
        let headers = self.request_headers();
        let values = headers.values().filter_map(|value| value.to_str().ok());
        let proxy = self.proxy.as_ref().and_then(|proxy| proxy.password());
        let words = values.flat_map(|value| std::iter::once(value).chain(value.split_whitespace()));
        // The scheme of a credential, for example `Bearer …`, is no secret.
        let is_secret = |word: &&str| word.len() >= SHORTEST && *word != "Bearer";
        words.chain(proxy).filter(is_secret).map(str::to_owned).collect()
    }
}

/// How long each step of one exchange may take, whatever comes until then.
pub(super) struct Timeouts {
    pub(super) connect: Duration,
    pub(super) send: Duration,
    pub(super) response: Duration,
    pub(super) body: Duration,
}

impl Timeouts {
    pub(super) fn of(settings: &Settings, request: &Request, idle_timeout_only: bool) -> Self {
        let read = settings.read_timeout;
        Self {
            connect: request.at_most(settings.connect_timeout),
            send: read,
            response: request.at_most(read + request.extra_time),
            body: if idle_timeout_only { MAX_BODY } else { request.at_most(read) },
        }
    }
}
