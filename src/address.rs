//! Splits an address into the base of every URL and the credentials. No I/O.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;

use crate::ClientError;
use crate::transport::Uri;

/// A parsed dashboard address.
#[derive(Debug)]
pub(crate) struct Address {
    /// Scheme, host, port and path prefix, without trailing slash and credentials.
    pub(crate) base: String,
    /// The value of `Authorization`: `Basic …`.
    pub(crate) credentials: Option<String>,
}

impl Address {
    pub(crate) fn parse(address: &str) -> Result<Self, ClientError> {
        let address = address.trim();
        let refuse = |why: &str| Err(ClientError::invalid(format_args!("address: {why}")));
        // For a URL parser the host ends at the first of these: it would connect to a part of the password.
        let (_, rest) = address.split_once("://").unwrap_or(("", address));
        if rest.find(['/', '?', '#']).is_some_and(|end| rest[end..].contains('@')) {
            return refuse(
                "has an @ after a /, ? or #: in a password, write these as %2F, %3F and %23",
            );
        }
        if address.contains('#') {
            return refuse("must not have a fragment (#)");
        }
        let Ok(uri) = address.parse::<Uri>() else { return refuse("is not a URL") };
        let scheme = match uri.scheme_str() {
            Some("http") => "http",
            Some("https") if cfg!(feature = "tls") => "https",
            Some("https") => return refuse("https:// requires the feature `tls`"),
            Some("ray") => {
                return refuse(
                    "ray:// is the Ray Client protocol; use the dashboard's http:// address",
                );
            }
            _ => return refuse("must begin with http:// or https://"),
        };
        if uri.query().is_some() {
            return refuse("must not have a query");
        }
        let Some(authority) = uri.authority().filter(|_| uri.host().is_some_and(|h| !h.is_empty()))
        else {
            return refuse("has no host");
        };
        let (userinfo, host) = match authority.as_str().rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, authority.as_str()),
        };
        let port = host.rsplit_once(':').map(|(_, port)| port).filter(|it| !it.ends_with(']'));
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return refuse("has no valid port");
        }
        let base = format!("{scheme}://{host}{}", uri.path().trim_end_matches('/'));
        Ok(Self { base, credentials: userinfo.map(basic) })
    }
}

fn basic(userinfo: &str) -> String {
    let mut decoded: Vec<u8> = percent_decode_str(userinfo).collect();
    if !userinfo.contains(':') {
        decoded.push(b':');
    }
    format!("Basic {}", BASE64_STANDARD.encode(decoded))
}

/// Hides the credentials of an address, even of an invalid one.
pub(crate) fn without_credentials(address: &str) -> String {
    let scheme = address.split_once("://").map_or("", |(scheme, _)| scheme);
    match address.rsplit_once('@') {
        Some((_, host)) if scheme.contains('@') || scheme.is_empty() => format!("…@{host}"),
        Some((_, host)) => format!("{scheme}://…@{host}"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_trailing_slashes_are_removed_from_the_base() {
        let address = Address::parse("http://me:p%40ss@h:1/ray/").unwrap();
        assert_eq!(address.base, "http://h:1/ray");
        assert_eq!(address.credentials.unwrap(), "Basic bWU6cEBzcw==");
        assert_eq!(Address::parse(" http://[::1]:8265 ").unwrap().base, "http://[::1]:8265");
    }

    #[test]
    fn invalid_addresses_are_refused_without_showing_the_password() {
        for bad in [
            "",
            "h:1",
            "ftp://me:pw@h",
            "http://",
            "ray://h",
            "http://h?x=1",
            "http://:80",
            "http://h#x",
            "http://h:99999",
            "http://pw#x@h",
            "http://pw?x@h",
            "http://pw/x@h",
            "http://me:pw#@h:1/x",
            "pw#x@h",
        ] {
            let error = Address::parse(bad).unwrap_err();
            assert_eq!(error.status(), 400, "{bad}");
            assert!(!error.to_string().contains("pw"), "{error}");
        }
    }
}
