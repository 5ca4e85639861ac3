//! What a user reads of an error: one line of at most 300 characters without the server's insides.
//! Pure, linear in time, and only on the beginning of what is long. What an answer means is not decided
//! here.

use std::borrow::Cow;
use std::ops::Range;

const MAX_CHARS: usize = 300;
/// How much of a text is looked at, in bytes: what is shown of it begins well before that.
const MAX_BYTES: usize = 16 * 1024;
/// How often a text is unescaped to find a secret in it.
const ROUNDS: usize = 3;

/// One line of at most 300 characters, without control characters, paths of the server or
/// credentials in URLs.
pub(crate) fn one_line(text: &str) -> String {
    join_words(text, |word| hide_path(&hide_userinfo(word)))
}

/// The same with paths, for what a job says itself.
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

/// The same, and without these secrets, also where they are escaped as JSON or a URL escapes them.
pub(crate) fn one_line_without(secrets: &[&str], text: &str) -> String {
    one_line(&without(secrets, text))
}

/// What separates words: spaces, and whatever a terminal would not show as it is. Invisible characters
/// and those that turn the direction of text are among them, since they make a line read as another.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || is_control(c)
}

/// Whether a character is a control character, one without width, or one for the direction of text.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

fn beginning(text: &str, most: usize) -> &str {
    &text[..floor_char_boundary(text, most)]
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The beginning of a text with `…` where a secret was. A secret that reaches beyond the beginning is
/// left out whole.
fn without<'t>(secrets: &[&str], text: &'t str) -> Cow<'t, str> {
    // Base64 may come without its padding.
    let secrets = secrets.iter().map(|secret| secret.trim_end_matches('='));
    let secrets: Vec<&str> = secrets.filter(|secret| !secret.is_empty()).collect();
    let longest = secrets.iter().map(|secret| secret.len()).max().unwrap_or(0);
    // An escaped byte takes six at most, as in `\u002f`.
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

/// Where a text has one of these secrets, as it is or escaped up to three times over.
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
        // A secret may itself look escaped, and is then found as it reads unescaped.
        for secret in &mut plain_secrets {
            *secret = Unescaped::of(secret).unescape().text;
        }
    }
    found
}

/// A text whose escapes were resolved, and where in the original each of its bytes comes from.
struct Unescaped {
    text: String,
    /// The start of each byte's origin, and the end of the whole.
    starts: Vec<usize>,
}

impl Unescaped {
    fn of(text: &str) -> Self {
        Self { text: text.to_owned(), starts: (0..=text.len()).collect() }
    }

    fn origin(&self, start: usize, end: usize) -> Range<usize> {
        self.starts[start]..self.starts[end]
    }

    /// Resolves `\/`, `\"`, `\\`, `\u002b` and `%2b`, of ASCII alone: a header's value has no other.
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

/// The ASCII character that an escape at the beginning stands for, and how long the escape is.
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

/// `scheme://user:password@host` becomes `scheme://host`.
fn hide_userinfo(word: &str) -> String {
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

/// A path of the server, as in `PosixPath('/tmp/ray/session_x')`, becomes `<path>`. What the API
/// itself names (`/api/…`) stays, and so do URLs.
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
            // Only here, since each of these looks at the rest of a path once.
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
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::chance::Chance;
    use crate::ray_fault::reason;

    #[test]
    fn paths_of_the_server_and_passwords_are_hidden() {
        assert_eq!(
            one_line("FileNotFoundError: '/tmp/ray/session/x.py' at http://me:pw@h:1/a"),
            "FileNotFoundError: '<path>' at http://h:1/a"
        );
        assert_eq!(
            one_line("and/or module:app 1/2 /api/jobs/"),
            "and/or module:app 1/2 /api/jobs/"
        );
    }

    #[test]
    fn a_message_is_one_line_of_at_most_300_characters() {
        for text in ["a\r\nb\u{7}c", &"ä".repeat(1000), &"ab ".repeat(500), "", &"x ".repeat(150)]
        {
            let line = one_line(text);
            assert!(line.chars().count() <= 300, "{}", line.chars().count());
            assert!(!line.chars().any(char::is_control));
        }
        assert_eq!(one_line("a\r\nb\u{7}c"), "a b c");
    }

    #[test]
    fn characters_that_hide_or_turn_text_are_left_out() {
        assert_eq!(one_line("a\u{202e}b\u{2066}c\u{200b}d\u{feff}e\u{ad}f"), "a b c d e f");
        assert_eq!(one_line("täst \u{1F600} \u{5d0}"), "täst \u{1F600} \u{5d0}");
    }

    #[test]
    fn a_secret_is_hidden_however_it_is_escaped() {
        let secret = "ab/c+d%20=e\\f==";
        for escaped in [
            r"ab/c+d%20=e\f==",
            r"ab\/c+d%20=e\\f==",
            r"ab\/c\u002Bd%20\u003de\u005cf\u003D\u003d",
            r"ab\\/c\\u002bd%20=e\\\\f",
            "ab%2Fc%2bd%2520%3De%5Cf%3d%3D",
            "ab%252Fc%252bd%252520%253De%255Cf",
            r"\u0061b%2fc+d%20=e\u005Cf",
            r"ab\x2fc+d%20=e\x5cf",
        ] {
            for text in [escaped.to_owned(), format!("<{escaped}>"), format!("x\"{escaped} y")] {
                let line = one_line_without(&[secret], &text);
                assert_eq!(line.matches('…').count(), 1, "{text}: {line}");
                for piece in ["ab", "c+d", "d%20", "20=e"] {
                    assert!(!line.contains(piece), "{text}: {line}");
                }
            }
        }
        assert_eq!(one_line_without(&["", "="], "a = b"), "a = b");
    }

    #[test]
    fn no_part_of_a_secret_is_shown_where_a_text_is_cut() {
        let secret = "S3CRET/".repeat(10);
        for before in [0, 290, 299, MAX_BYTES - 400, MAX_BYTES - 1, MAX_BYTES, MAX_BYTES + 1] {
            for filler in ["x", "/a"] {
                let filled: String = filler.chars().cycle().take(before).collect();
                for text in [format!("{filled}'{secret}"), format!("{filled} {secret}")] {
                    let line = one_line_without(&[&secret], &text);
                    assert!(!line.contains("S3C"), "{before} {filler}: {line}");
                }
            }
        }
    }

    /// Texts that took seconds when a word was looked through again at each of its slashes.
    #[test]
    fn a_mebibyte_takes_no_longer_than_its_beginning() {
        let secrets =
            ["abcdef/".repeat(100), "aaaaaaaaaaaaaaaaaaaaaaaa".to_owned(), "%%%%%%".to_owned()];
        let secrets: Vec<&str> = secrets.iter().map(|secret| &**secret).collect();
        for piece in
            ["a/", "/", "/a", "://", "a://", "'/", "x@", "%2f", "\\u002f", "\\", "a", "\u{200b}"]
        {
            let text = piece.repeat(1024 * 1024 / piece.len());
            let start = Instant::now();
            let lines = [one_line(&text), one_line_without(&secrets, &text), shorten(&text)];
            assert!(lines.iter().all(|line| line.chars().count() <= 300));
            // A few milliseconds, however busy the machine is and without optimization.
            assert!(start.elapsed() < Duration::from_secs(2), "{piece}: {:?}", start.elapsed());
        }
    }

    #[test]
    fn whatever_a_server_says_becomes_one_line_without_its_insides() {
        let pieces = [
            "/tmp/s3cret/x.py",
            "'/tmp/s3cret'",
            "PosixPath('/tmp/s3cret/a')",
            "path=/tmp/s3cret/b",
            "file:///tmp/s3cret/c",
            "[/tmp/s3cret/d]",
            "http://me:s3cret@h/a",
            "x,https://s3cret@h",
            "http://h,http://s3cret:s3cret@h",
            "\r\n",
            "\u{0}",
            "\u{85}",
            "\u{2028}",
            "\u{202e}",
            "\u{200d}",
            " ",
            "Traceback (most recent call last):\n",
            "\nValueError: no\n",
            "{\"msg\":\"/tmp/s3cret/e\"}",
            "\u{e4}\u{f6}",
            "words and words ",
            "<html>",
            "\u{1F600}",
        ];
        for seed in 0..5000 {
            let mut chance = Chance(seed);
            let length = chance.below(40);
            let words = (0..length).map(|_| *chance.pick(&pieces));
            let text = words.collect::<Vec<_>>().join(if seed % 2 == 0 { " " } else { "\n" });
            for line in [one_line(&text), reason(&text)] {
                assert!(line.chars().count() <= 300, "seed {seed}: {line}");
                assert!(!line.contains(is_control), "{line:?}");
                assert!(!line.contains("s3cret"), "seed {seed}: {line}");
            }
        }
    }

    #[test]
    fn a_secret_in_any_text_is_hidden() {
        let secrets = ["tok/en+1=", "aaaaaa", "%2541", "\\u0041b", "äöü/äöü"];
        let pieces = [
            "a", "/", "\\", "\\/", "%", "%25", "%2F", "\\u002f", "ä", " ", "\n", "'", "x",
            "\u{200b}",
        ];
        for seed in 0..20_000 {
            let mut chance = Chance(seed);
            let mut text = String::new();
            for _ in 0..chance.below(60) {
                text += *chance.pick(&pieces);
            }
            let secret = *chance.pick(&secrets);
            let at = (0..=text.len()).rev().find(|at| text.is_char_boundary(*at));
            text.insert_str(at.unwrap(), secret);
            let line = one_line_without(&secrets, &text);
            for secret in secrets {
                assert!(
                    !line.contains(secret.trim_end_matches('=')),
                    "seed {seed}: {text:?} {line:?}"
                );
            }
        }
    }
}
