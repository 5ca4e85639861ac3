//! Decides by its head whether a successful response is Ray's and fits the request. Whether an error
//! response is Ray's is decided in `ray_error.rs`.

use std::time::Duration;

use ureq::http::{Response as HttpResponse, StatusCode};

use super::Uri;
use super::body::{ContentRange, Stream};
use super::error::proxy_wants_credentials;
use super::request::Request;
use super::settings::Settings;
use crate::{ClientError, gateway, ray_error};

/// Returns the error if a response is not Ray's or does not fit the request. Otherwise stores its content
/// range in the stream.
pub(super) fn refusal(head: &HttpResponse<()>, stream: &mut Stream) -> Option<ClientError> {
    let request = stream.request.clone();
    let operation = &request.operation;
    let status = head.status();
    let has_range = request.range.is_some();
    let content_range = header(head, "content-range").and_then(ContentRange::parse);
    let content_type = header(head, "content-type").unwrap_or_default().to_owned();
    let is_empty_range = status == StatusCode::RANGE_NOT_SATISFIABLE && has_range;
    if status.is_redirection() {
        return Some(redirect(operation, head));
    }
    if !status.is_success() && !is_empty_range {
        let page = stream.read_error_page();
        return Some(rejection(&request, &stream.settings, head, &page));
    }
    let settings = stream.settings.clone();
    let refuse = |why: &str| {
        let message = format!("{operation}: the response is not Ray's: {why}");
        Some(ClientError::unexpected(settings.hide_secrets(&request, &message)))
    };
    if is_kind(&content_type, "text/html") || is_kind(&content_type, "application/xhtml+xml") {
        let page = stream.read_error_page();
        return refuse(&gateway::page(status.as_u16(), &String::from_utf8_lossy(&page)));
    }
    let is_partial = status == StatusCode::PARTIAL_CONTENT;
    if let Some(encoding) = header(head, "content-encoding").filter(|it| *it != "identity") {
        return refuse(&format!("it is encoded ({encoding}), which was not requested"));
    }
    if !(status == StatusCode::OK || is_empty_range || (is_partial && has_range)) {
        return refuse(&format!("it has status {}", status.as_u16()));
    }
    if content_range.is_some() != (is_partial || is_empty_range) {
        return refuse("its Content-Range does not match its status");
    }
    let (kinds, wanted): (&[&str], _) = if request.wants_bytes {
        (&["application/octet-stream", "text/plain"], "a file")
    } else {
        (&["application/json"], "JSON")
    };
    // A response without a body, for example to a PUT, has no content type, or with aiohttp before 3.10.1
    // this one.
    let is_empty = header(head, "content-length") == Some("0")
        && is_kind(&content_type, "application/octet-stream");
    let is_wanted =
        content_type.is_empty() || is_empty || kinds.iter().any(|it| is_kind(&content_type, it));
    if !is_wanted {
        return refuse(&format!("it is {content_type}, not {wanted}"));
    }
    stream.content_range = content_range;
    None
}

/// Converts a response with an error status into an error.
pub(super) fn rejection<B>(
    request: &Request,
    settings: &Settings,
    head: &HttpResponse<B>,
    page: &[u8],
) -> ClientError {
    let status = head.status().as_u16();
    if let Some(proxy) = settings.proxy.as_ref().filter(|_| status == 407) {
        return proxy_wants_credentials(&request.operation, proxy);
    }
    let secrets = settings.secrets(request);
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let content_type = header(head, "content-type").unwrap_or_default();
    ray_error::rejection(&request.operation, status, content_type, page, &secrets)
        .with_retry_after(retry_after(head))
}

/// Converts a redirect into an error.
pub(super) fn redirect<B>(operation: &str, head: &HttpResponse<B>) -> ClientError {
    let target = redirect_target(head);
    ClientError::rejected(
        head.status().as_u16(),
        format_args!(
            "{operation}: the server redirects to {target}, but redirects are not followed; use that address for the client"
        ),
    )
}

/// Returns only scheme, host and port, because the rest of a redirect may contain secrets.
fn redirect_target<B>(head: &HttpResponse<B>) -> String {
    let uri = header(head, "location").and_then(|location| location.parse::<Uri>().ok());
    match uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.host()?, uri.port_u16()))) {
        Some((scheme, host, Some(port))) => format!("{scheme}://{host}:{port}"),
        Some((scheme, host, None)) => format!("{scheme}://{host}"),
        None => "another address".to_owned(),
    }
}

/// Reads `Retry-After` in seconds. Ray and common proxies do not use its other form, a date.
fn retry_after<B>(head: &HttpResponse<B>) -> Option<Duration> {
    Some(Duration::from_secs(header(head, "retry-after")?.trim().parse().ok()?))
}

fn header<'h, B>(head: &'h HttpResponse<B>, name: &str) -> Option<&'h str> {
    head.headers().get(name).and_then(|value| value.to_str().ok())
}

/// Compares a content type without its parameters.
fn is_kind(content_type: &str, kind: &str) -> bool {
    let own = content_type.split(';').next().unwrap_or_default();
    own.trim().eq_ignore_ascii_case(kind)
}
