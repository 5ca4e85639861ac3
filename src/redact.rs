//! Makes texts of the server safe to show: one line of at most 300 characters without server paths,
//! secrets and control characters. No I/O, and linear in time.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::percent_decode_str;

const MAX_CHARS: usize = 300;
/// Only this many bytes of a text are examined. The part to show begins well before that.
const MAX_BYTES: usize = 16 * 1024;
/// How many times a text is unescaped to find a secret in it.
const ROUNDS: usize = 3;

/// Returns one line of at most 300 characters without control characters, server paths and credentials
/// in URLs.
pub(crate) fn one_line(text: &str) -> String {
    join_words(text, |word| hide_path(&hide_userinfo(word)))
}

/// Like [`one_line`], but keeps paths, for a job's own messages.
pub(crate) fn shorten(text: &str) -> String {
    join_words(text, hide_userinfo)
}

fn join_words(text: &str, show: impl Fn(&str) -> String) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_CHARS));
    let mut chars = 0;
    for word in beginning(text, MAX_BYTES).split(is_separator).filter(|word| !word.is_empty()) {
        let word = show(word);
        let separator = usize::from(!line.is_empty());
        let length = word.chars().count();
        if chars + separator + length > MAX_CHARS {
            let room = (MAX_CHARS - chars).saturating_sub(separator + 1);
            if room > 0 {
                line.extend(std::iter::repeat_n(' ', separator));
                line.extend(word.chars().take(room));
            }
            if chars < MAX_CHARS {
                line.push('…');
            }
            break;
        }
        line.extend(std::iter::repeat_n(' ', separator));
        line.push_str(&word);
        chars += separator + length;
    }
    line
}

/// Like [`one_line`], and hides these secrets, even if JSON or URL escapes are used in them.
pub(crate) fn one_line_without(secrets: &[&str], text: &str) -> String {
    one_line(&without(secrets, text))
}

/// Returns a route with only the keys of its query: `/a?token=…`.
pub(crate) fn hide_query_values(route: &str) -> Cow<'_, str> {
    let Some((path, query)) = route.split_once('?') else { return Cow::Borrowed(route) };
    let hide = |part: &str| part.find('=').map_or("", |at| &part[..=at]).to_owned() + "…";
    let query: Vec<String> = query.split('&').map(hide).collect();
    Cow::Owned(format!("{path}?{}", query.join("&")))
}

/// Returns the values in the query of a route, raw and decoded.
pub(crate) fn query_values(route: &str) -> Vec<String> {
    let query = route.split_once('?').map_or("", |(_, query)| query);
    let parts = query.split('&').map(|part| part.split_once('=').map_or(part, |(_, value)| value));
    parts
        .flat_map(|value| [value.into(), percent_decode_str(value).decode_utf8_lossy()])
        .map(Cow::into_owned)
        .collect()
}

/// Whether a character separates words: whitespace, and all characters that a terminal does not show as
/// they are.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || is_control(c)
}

/// Whether a character is a control character, has no width, or changes the direction of text. The last
/// two can make a line look like a different one.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Returns the first characters of a text that fit in `most` bytes.
pub(crate) fn beginning(text: &str, most: usize) -> &str {
    &text[..floor_char_boundary(text, most)]
}

/// Replaces `str::floor_char_boundary`, which the minimum supported Rust version lacks.
fn floor_char_boundary(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Returns the beginning of a text with each secret replaced by `…`, even a secret that is only partly
/// in the beginning.
pub(crate) fn without<'t>(secrets: &[&str], text: &'t str) -> Cow<'t, str> {
    // Base64 may be repeated without its padding.
    let secrets = secrets.iter().map(|secret| secret.trim_end_matches('='));
    let secrets: Vec<&str> = secrets.filter(|secret| !secret.is_empty()).collect();
    let longest = secrets.iter().map(|secret| secret.len()).max().unwrap_or(0);
    // An escaped byte has at most six bytes, for example `\u002f`.
    let text = beginning(text, MAX_BYTES + longest * 6);
    let mut hidden = find_secrets(&secrets, text);
    if hidden.is_empty() {
        return Cow::Borrowed(beginning(text, MAX_BYTES));
    }
    hidden.sort_unstable_by_key(|range| range.start);
    let mut shown = String::with_capacity(MAX_BYTES);
    let mut at = 0;
    for range in hidden.into_iter().take_while(|range| range.start < MAX_BYTES) {
        if range.start > at {
            shown.push_str(&text[at..range.start]);
        }
        if range.end > at {
            shown.push('…');
            at = range.end;
        }
    }
    if at < MAX_BYTES {
        shown.push_str(&text[at..floor_char_boundary(text, MAX_BYTES)]);
    }
    Cow::Owned(shown)
}

/// Returns the ranges of a text that contain a secret, plain or escaped up to three times.
fn find_secrets(secrets: &[&str], text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if secrets.is_empty() {
        return found;
    }
    let mut plain = Unescaped::of(text);
    let mut plain_secrets: Vec<String> = secrets.iter().map(|&secret| secret.to_owned()).collect();
    for round in 0..=ROUNDS {
        for secret in &plain_secrets {
            let found_here = plain.text.match_indices(&**secret);
            found.extend(found_here.map(|(start, _)| plain.origin(start, start + secret.len())));
        }
        if round == ROUNDS || !plain.text.contains(['\\', '%']) {
            break;
        }
        plain = plain.unescape();
        // A secret may itself look escaped, so it is unescaped as well.
        for secret in &mut plain_secrets {
            *secret = Unescaped::of(secret).unescape().text;
        }
    }
    found
}

/// A text with resolved escapes, and the position of each byte in the original.
struct Unescaped {
    text: String,
    /// The position of each byte in the original, and the end of the original.
    starts: Vec<usize>,
}

impl Unescaped {
    fn of(text: &str) -> Self {
        Self { text: text.to_owned(), starts: (0..=text.len()).collect() }
    }

    fn origin(&self, start: usize, end: usize) -> Range<usize> {
        self.starts[start]..self.starts[end]
    }

    /// Resolves `\/`, `\"`, `\\`, `\u002b`, `\x2b` and `%2b`. ASCII only: a header value has nothing else.
    fn unescape(&self) -> Self {
        let bytes = self.text.as_bytes();
        let mut text = String::with_capacity(bytes.len());
        let mut starts = Vec::with_capacity(self.starts.len());
        let mut rest = &*self.text;
        while let Some(first) = rest.chars().next() {
            let at = self.text.len() - rest.len();
            let (c, length) = match escape(&rest.as_bytes()[..rest.len().min(6)]) {
                Some((byte, length)) => (char::from(byte), length),
                None => (first, first.len_utf8()),
            };
            text.push(c);
            starts.extend((0..c.len_utf8()).map(|within| self.starts[at + within]));
            rest = &rest[length..];
        }
        starts.push(self.starts[self.text.len()]);
        Self { text, starts }
    }
}

/// Returns the ASCII character of an escape at the beginning, and the escape's length.
fn escape(bytes: &[u8]) -> Option<(u8, usize)> {
    let hex = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).ok()?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        u8::from_str_radix(digits, 16).ok().filter(|byte| is_hex && byte.is_ascii())
    };
    match bytes {
        [b'\\', c @ (b'/' | b'"' | b'\\' | b'\''), ..] => Some((*c, 2)),
        [b'\\', b'u', b'0', b'0', digits @ ..] if digits.len() >= 2 => {
            Some((hex(&digits[..2])?, 6))
        }
        [b'\\', b'x', digits @ ..] if digits.len() >= 2 => Some((hex(&digits[..2])?, 4)),
        [b'%', digits @ ..] if digits.len() >= 2 => Some((hex(&digits[..2])?, 3)),
        _ => None,
    }
}

/// Replaces `scheme://user:password@host` by `scheme://host`.
pub(crate) fn hide_userinfo(word: &str) -> String {
    let mut shown = String::with_capacity(word.len());
    let mut left = word;
    while let Some((before, rest)) = left.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        left = rest[..authority_end].rfind('@').map_or(rest, |at| &rest[at + 1..]);
    }
    shown + left
}

/// Replaces server paths by `<path>`, for example in `PosixPath('/tmp/ray/session_x')`. Keeps URLs and
/// routes of the API (`/api/…`).
fn hide_path(word: &str) -> String {
    let mut shown = String::with_capacity(word.len());
    let mut left = word;
    while let Some(slash) = left.find('/') {
        let (before, path) = left.split_at(slash);
        shown.push_str(before);
        let is_url = shown.ends_with(':') && path.starts_with("//");
        let is_api = path.starts_with("/api/");
        let opens = shown.ends_with("://")
            || !shown.ends_with(|c: char| c.is_alphanumeric() || "/._-~%]>".contains(c));
        if is_url {
            shown.push_str("//");
            left = &path[2..];
        } else if is_api || opens {
            // Only here: searching the rest of the word at each slash would take quadratic time.
            let end =
                path.find(['\'', '"', ',', ')', ']', '}', '>', ';', '`']).unwrap_or(path.len());
            let hidden = !is_api && path[..end].matches('/').count() >= 2;
            shown.push_str(if hidden { "<path>" } else { &path[..end] });
            left = &path[end..];
        } else {
            shown.push('/');
            left = &path[1..];
        }
    }
    shown + left
}

#[cfg(test)]
mod tests;
