//! What an error answer of Ray means: the one place that decides by Ray's words.

use crate::{ClientError, message};

/// The error that an answer other than 2xx is. Decided on the whole body, before anything of it is
/// shortened; `secrets` are header values that must not be shown.
pub(crate) fn rejection(
    what: &str,
    status: u16,
    _content_type: &str,
    body: &[u8],
    _secrets: &[&str],
) -> ClientError {
    let body = String::from_utf8_lossy(body);
    let status = message::meant_status(status, &body);
    ClientError::rejected(status, format_args!("{what}: {}", message::reason(&body)))
}
