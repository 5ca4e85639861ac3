//! Recognizes web pages, and describes responses of a gateway: a reverse proxy, an ingress or a login portal
//! between the client and Ray. `ray_error.rs` decides which error responses are a gateway's.

use crate::redact::beginning;

/// The title is searched in the first bytes of a page, up to this many.
const HEAD: usize = 64 * 1024;

/// Whether a response is an HTML page. Ray's API never sends one.
pub(crate) fn is_page(content_type: &str, text: &str) -> bool {
    let content_type = content_type.trim_start();
    let is_type = |kind: &str| {
        content_type.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind))
    };
    is_type("text/html") || is_type("application/xhtml") || begins_as_page(text.trim_start())
}

/// A `<` alone is not enough: Ray's error text may begin with `<class …>`.
fn begins_as_page(text: &str) -> bool {
    const STARTS: [&str; 7] = ["<!", "<?xml", "<html", "<head", "<title", "<body", "<center"];
    STARTS
        .iter()
        .any(|start| text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start)))
}

/// Describes a page by its status, and by its title if that says more.
pub(crate) fn page(status: u16, page: &str) -> String {
    text(status, &title(page).unwrap_or_default())
}

/// Describes a gateway's response that is not a page.
pub(crate) fn text(status: u16, said: &str) -> String {
    let line = status_line(status);
    if said.is_empty() || said == line {
        return format!("a gateway answered {line}");
    }
    format!("a gateway answered {line}: '{said}'")
}

/// Returns the status with its reason phrase, for example `502 Bad Gateway`.
pub(crate) fn status_line(status: u16) -> String {
    let reason = match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => return status.to_string(),
    };
    format!("{status} {reason}")
}

fn title(page: &str) -> Option<String> {
    let page = beginning(page, HEAD);
    // Changes only ASCII letters, so offsets stay valid.
    let lower = page.to_ascii_lowercase();
    let start = lower.find("<title")?;
    let start = start + lower[start..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    let title = page[start..end].split_whitespace().collect::<Vec<_>>().join(" ");
    let plain = ENTITIES.iter().fold(title, |title, (entity, c)| title.replace(entity, c));
    Some(plain.trim().to_owned()).filter(|title| !title.is_empty())
}

const ENTITIES: [(&str, &str); 6] = [
    ("&nbsp;", " "),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&#39;", "'"),
    ("&amp;", "&"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_recognized_by_its_type_or_its_first_tag() {
        for (content_type, text, expected) in [
            ("text/html; charset=utf-8", "", true),
            ("TEXT/HTML", "Bad Gateway", true),
            ("", "\n <!DOCTYPE html>", true),
            ("text/plain; charset=utf-8", "404: Not Found", false),
            ("application/json", "{}", false),
            ("", "<Html>", true),
            ("", "<class 'int'> is no string", false),
            ("", "", false),
        ] {
            assert_eq!(is_page(content_type, text), expected, "{content_type} {text}");
        }
    }

    #[test]
    fn the_title_of_a_page_is_shown_if_it_says_more_than_the_status() {
        let nginx = "<html>\r\n<head><title>502 Bad Gateway</title></head>";
        assert_eq!(page(502, nginx), "a gateway answered 502 Bad Gateway");
        let portal = "<HTML><TITLE lang=en>\n Sign in\n &amp; go on </TITLE>";
        assert_eq!(page(401, portal), "a gateway answered 401 Unauthorized: 'Sign in & go on'");
        assert_eq!(page(599, "<title>never closed"), "a gateway answered 599");
    }
}
