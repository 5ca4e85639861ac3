//! Proxies and `NO_PROXY` from environment variables.

use std::net::IpAddr;

use ureq::{Proxy, ProxyProtocol};

use super::Uri;
use crate::ClientError;

/// The proxy variables, each with its name for messages. Lowercase names take precedence, as in curl and
/// Python's `requests`.
#[derive(Clone, Default)]
pub(crate) struct Proxies {
    http: Option<(&'static str, String)>,
    https: Option<(&'static str, String)>,
    exceptions: String,
}

impl Proxies {
    pub(crate) fn from_vars(
        var: impl Fn(&str) -> Result<Option<String>, ClientError>,
    ) -> Result<Self, ClientError> {
        let first = |names: &[&'static str]| {
            for name in names {
                if let Some(value) = var(name)?.filter(|value| !value.trim().is_empty()) {
                    return Ok(Some((*name, value)));
                }
            }
            Ok(None)
        };
        let exceptions = first(&["no_proxy", "NO_PROXY"])?;
        Ok(Self {
            http: first(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])?,
            https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            exceptions: exceptions.map(|(_, list)| list).unwrap_or_default(),
        })
    }

    /// Returns the proxy for this address, or `None` if there is none or `no_proxy` lists the host.
    pub(crate) fn of(&self, base: &str) -> Result<Option<Proxy>, ClientError> {
        let is_https = base.starts_with("https://");
        let Some((name, value)) = (if is_https { &self.https } else { &self.http }) else {
            return Ok(None);
        };
        let uri = base.parse::<Uri>().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        if is_excepted(&self.exceptions, uri.host().unwrap_or_default(), port) {
            return Ok(None);
        }
        // The message omits the value, which may contain a password.
        let proxy = Proxy::new(value.trim())
            .map_err(|_| ClientError::invalid(format_args!("{name}: is not a valid proxy URL")))?;
        match proxy.protocol() {
            ProxyProtocol::Http => Ok(Some(proxy)),
            ProxyProtocol::Https if cfg!(feature = "tls") => Ok(Some(proxy)),
            _ => Err(ClientError::invalid(format_args!(
                "{name}: only http:// and https:// proxies are supported (https:// requires the feature `tls`); to connect without a proxy, add the cluster's host to NO_PROXY"
            ))),
        }
    }
}

/// Whether a list like `localhost, example.org, .internal, ray:8265, 10.0.0.0/8, ::1` contains this host,
/// its domain or its network.
fn is_excepted(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let ip = host.parse::<IpAddr>().ok();
    list.split([',', ' ']).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.to_ascii_lowercase();
        if entry == "*" {
            return true;
        }
        if let Some((network, bits)) = entry.split_once('/') {
            return ip.is_some_and(|ip| is_in_network(ip, network, bits));
        }
        let (name, entry_port) = split_port(&entry);
        if entry_port.is_some_and(|entry_port| entry_port != port) {
            return false;
        }
        if let Some(ip) = ip {
            return name.parse() == Ok(ip);
        }
        let name = name.trim_start_matches('*').trim_start_matches('.');
        let before = host.strip_suffix(name).filter(|_| !name.is_empty());
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

/// Splits `host:1` and `[::1]:1`, but not `::1`, which has no port.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if entry.parse::<IpAddr>().is_ok() {
        return (entry, None);
    }
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => (name, port.parse().ok()),
        _ => (entry, None),
    };
    (name.trim_start_matches('[').trim_end_matches(']'), port)
}

fn is_in_network(ip: IpAddr, network: &str, bits: &str) -> bool {
    let shares = |ip: u128, network: u128, width: u32| {
        bits.parse().is_ok_and(|bits: u32| {
            let rest = width.saturating_sub(bits);
            bits <= width && (rest == 128 || ip >> rest == network >> rest)
        })
    };
    match (ip, network.parse()) {
        (IpAddr::V4(ip), Ok(IpAddr::V4(network))) => {
            shares(ip.to_bits().into(), network.to_bits().into(), 32)
        }
        (IpAddr::V6(ip), Ok(IpAddr::V6(network))) => shares(ip.to_bits(), network.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(base: &str, vars: &[(&str, &str)]) -> Result<Option<String>, ClientError> {
        let var = |name: &str| {
            let found = vars.iter().find(|(n, _)| *n == name);
            Ok(found.map(|(_, value)| (*value).to_owned()))
        };
        Ok(Proxies::from_vars(var)?.of(base)?.map(|proxy| proxy.host().to_owned()))
    }

    #[test]
    fn the_schemes_own_proxy_takes_precedence_over_all_proxy() {
        let http = ("HTTP_PROXY", "http://one:3128");
        let https = ("HTTPS_PROXY", "http://two:3128");
        let all = ("ALL_PROXY", "three:3128");
        for (base, vars, expected) in [
            ("http://ray:8265", &[https, all, http][..], Some("one")),
            ("https://ray:8265", &[http, all, https], Some("two")),
            ("http://ray:8265", &[https], None),
            ("https://ray:8265", &[http], None),
            ("http://ray:8265", &[https, all], Some("three")),
            ("http://ray:8265", &[("HTTP_PROXY", " "), all], Some("three")),
            ("http://ray:8265", &[http, ("http_proxy", "http://four")], Some("four")),
        ] {
            assert_eq!(host(base, vars).unwrap().as_deref(), expected, "{base} {vars:?}");
        }
    }

    #[test]
    fn no_proxy_lists_hosts_domains_ports_and_networks() {
        let name = "http://ray.example.org:8265";
        let v4 = "http://10.1.2.3:8265";
        let v6 = "http://[::1]:8265";
        for (base, list, excepted) in [
            (name, "localhost, ray.example.org", true),
            (name, "example.org", true),
            (name, ".example.org", true),
            (name, "*.example.org", true),
            (name, "RAY.example.org", true),
            (name, "ray.example.org:8265", true),
            (name, "ray.example.org:80", false),
            ("http://ray.example.org", "ray.example.org:80", true),
            (name, "*", true),
            (name, "ple.org", false),
            (name, "example.com", false),
            (name, ",,", false),
            (name, ".", false),
            (name, "10.0.0.0/8", false),
            (v4, "10.0.0.0/8", true),
            (v4, "10.1.2.0/24", true),
            (v4, "10.1.3.0/24", false),
            (v4, "0.0.0.0/0", true),
            (v4, "10.0.0.0/99", false),
            (v4, "10.1.2.3", true),
            (v4, "10.1.2.3:8265", true),
            (v4, "10.1.2.3:80", false),
            (v4, "1.2.3", false),
            (v6, "::1", true),
            (v6, "[::1]", true),
            (v6, "[::1]:8265", true),
            (v6, "[::1]:80", false),
            (v6, "::/0", true),
            (v6, "fe80::/10", false),
            (v6, "*", true),
        ] {
            let found = host(base, &[("ALL_PROXY", "http://proxy"), ("NO_PROXY", list)]).unwrap();
            assert_eq!(found.is_none(), excepted, "{base} {list}");
        }
    }

    #[test]
    fn an_unsupported_proxy_is_refused_without_showing_its_password() {
        for bad in ["socks5://me:s3cret@h:1080", "socks4://h", "ftp://me:s3cret@h", "http://"] {
            let error = host("http://ray:8265", &[("ALL_PROXY", bad)]).unwrap_err();
            assert_eq!(error.status(), 400, "{bad}");
            let message = error.to_string();
            assert!(message.contains("ALL_PROXY") && !message.contains("s3cret"), "{message}");
        }
        let excepted = [("ALL_PROXY", "socks5://h"), ("NO_PROXY", "ray")];
        assert_eq!(host("http://ray:8265", &excepted).unwrap(), None);
    }
}
