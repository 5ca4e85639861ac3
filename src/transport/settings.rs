//! What all connections of a client share.

use std::time::Duration;

use super::{HeaderMap, HeaderValue, Uri};
use crate::config::RetryPolicy;

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

impl Settings {
    pub(super) fn is_https(&self) -> bool {
        self.base.starts_with("https://")
    }

    /// Host and port of what a connection is made to.
    pub(super) fn first_hop(&self) -> (String, u16) {
        if let Some(proxy) = &self.proxy {
            return (proxy.host().to_owned(), proxy.port());
        }
        self.host_and_port()
    }

    /// Host and port of the cluster.
    pub(super) fn host_and_port(&self) -> (String, u16) {
        let uri = self.base.parse::<Uri>().unwrap_or_default();
        let default = if self.is_https() { 443 } else { 80 };
        (uri.host().unwrap_or_default().to_owned(), uri.port_u16().unwrap_or(default))
    }

    /// Whether the host of the first hop is a name.
    pub(super) fn needs_look_up(&self) -> bool {
        let (host, _) = self.first_hop();
        host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err()
    }

    /// What a connection is made to, as messages name it.
    pub(super) fn peer(&self) -> String {
        match &self.proxy {
            Some(proxy) => format!("the proxy {}:{}", proxy.host(), proxy.port()),
            None => self.base.clone(),
        }
    }

    /// Header values that no message may show. A value of a few characters is no secret, and would
    /// be found in every other word.
    pub(super) fn secrets(&self) -> Vec<&str> {
        const SHORTEST: usize = 6;
        let values = self.headers.values().filter_map(|value: &HeaderValue| value.to_str().ok());
        let words = values.flat_map(|value| std::iter::once(value).chain(value.split_whitespace()));
        // The scheme of a credential, for example `Bearer …`, is no secret.
        words.filter(|word| word.len() >= SHORTEST && *word != "Bearer").collect()
    }
}
