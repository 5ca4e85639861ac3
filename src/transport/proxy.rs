//! Which proxy the environment names for an address.

use ureq::{Proxy, ProxyProtocol};

use super::Uri;
use crate::ClientError;

/// The proxy of `http_proxy` or `https_proxy`, by the scheme of the address, else of `all_proxy`; none
/// where `no_proxy` excepts the host. In capitals, too, as curl and Python's `requests` read them.
pub(crate) fn from_vars(
    base: &str,
    var: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, ClientError> {
    let first = |names: &[&'static str]| {
        names.iter().find_map(|name| Some((*name, var(name).filter(|v| !v.trim().is_empty())?)))
    };
    let found = if base.starts_with("https://") {
        first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
    } else {
        first(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
    };
    let Some((name, value)) = found else { return Ok(None) };
    let (_, exceptions) = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
    if is_excepted(base, &exceptions) {
        return Ok(None);
    }
    // The value may hold a password.
    let proxy = Proxy::new(value.trim())
        .map_err(|_| ClientError::invalid(format_args!("{name}: is not the URL of a proxy")))?;
    if matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) {
        return Ok(Some(proxy));
    }
    Err(ClientError::invalid(format_args!(
        "{name}: only http:// and https:// proxies are supported; name the cluster's host in NO_PROXY to go without"
    )))
}

/// Whether a list such as `localhost, example.org, .internal` names the host, or a domain it is in.
fn is_excepted(base: &str, exceptions: &str) -> bool {
    let mut list = Proxy::builder(ProxyProtocol::Http).host("unused");
    for entry in exceptions.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        list = list.no_proxy(entry);
        if !entry.starts_with(['.', '*']) {
            list = list.no_proxy(&format!(".{entry}"));
        }
    }
    match (base.parse::<Uri>(), list.build()) {
        (Ok(uri), Ok(list)) => list.is_no_proxy(&uri),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::RetryPolicy;
    use crate::transport::{HeaderMap, Http, Request, Settings};

    fn host(base: &str, vars: &[(&str, &str)]) -> Result<Option<String>, ClientError> {
        let var = |name: &str| {
            vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        };
        Ok(from_vars(base, var)?.map(|proxy| proxy.host().to_owned()))
    }

    #[test]
    fn the_proxy_is_that_of_the_scheme_else_that_of_all() {
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
    fn hosts_and_their_domains_are_excepted() {
        let proxy = ("ALL_PROXY", "http://proxy");
        for (list, excepted) in [
            ("localhost, ray.example.org", true),
            ("example.org", true),
            (".example.org", true),
            ("*.example.org", true),
            ("*", true),
            ("RAY.example.org", true),
            ("ple.org", false),
            ("example.com", false),
            (",,", false),
        ] {
            let found = host("http://ray.example.org:8265", &[proxy, ("NO_PROXY", list)]).unwrap();
            assert_eq!(found.is_none(), excepted, "{list}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name_and_without_its_password() {
        for bad in ["socks5://me:s3cret@h:1080", "socks4://h", "ftp://me:s3cret@h", "http://"] {
            let error = host("http://ray:8265", &[("ALL_PROXY", bad)]).unwrap_err();
            assert_eq!(error.status(), 400, "{bad}");
            let message = error.to_string();
            assert!(message.contains("ALL_PROXY") && !message.contains("s3cret"), "{message}");
        }
        let excepted = [("ALL_PROXY", "socks5://h"), ("NO_PROXY", "ray")];
        assert_eq!(host("http://ray:8265", &excepted).unwrap(), None);
    }

    #[test]
    fn a_proxy_that_drips_is_given_up_after_the_connect_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(b"HTTP/1.1 200 x\r\nx: ");
                while stream.write_all(b"y").is_ok() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        });
        let settings = Settings {
            base: "http://ray.example:8265".to_owned(),
            headers: HeaderMap::new(),
            connect_timeout: Duration::from_millis(300),
            read_timeout: Duration::from_secs(60),
            retry: RetryPolicy::none(),
            proxy: Some(Proxy::new(&address).unwrap()),
            #[cfg(feature = "tls")]
            roots: None,
            #[cfg(feature = "tls")]
            accept_invalid_certs: false,
        };
        let start = Instant::now();
        let result = Http::new(settings).send(&Request::get("version", "/api/version".to_owned()));
        assert_eq!(result.err().unwrap().status(), 408);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}
