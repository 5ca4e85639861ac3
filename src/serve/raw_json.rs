//! Splits JSON without changing it, including Python's numbers that are not JSON.
//!
//! Ray restarts replicas if a single digit of an application's configuration changes.
//! `serde_json::Value` cannot send it back unchanged: it keeps neither integers of more than 64
//! bits, nor the order of keys, nor `NaN`.

use serde::de::IgnoredAny;

use crate::json;

/// Returns the members of a JSON object, each value as it was written. `None` if the text is not an
/// object.
pub(super) fn members(object: &str) -> Option<Vec<(String, &str)>> {
    let mut rest = object.trim_ascii().strip_prefix('{')?.trim_ascii_start();
    let mut members = Vec::new();
    if rest == "}" {
        return Some(members);
    }
    loop {
        let key = first_value(rest)?;
        rest = rest[key.len()..].trim_ascii_start().strip_prefix(':')?.trim_ascii_start();
        let value = first_value(rest)?;
        rest = rest[value.len()..].trim_ascii_start();
        json::from_slice::<IgnoredAny>(value.as_bytes()).ok()?;
        members.push((serde_json::from_str(key).ok()?, value));
        if rest == "}" {
            return Some(members);
        }
        rest = rest.strip_prefix(',')?.trim_ascii_start();
    }
}

/// Returns the text of the first value. Finds its end, but does not validate it.
fn first_value(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match bytes.get(at)? {
            b'"' => at += string_length(&text[at..])?,
            b'{' | b'[' => (at, depth) = (at + 1, depth + 1),
            b'}' | b']' if depth > 0 => (at, depth) = (at + 1, depth - 1),
            _ => {
                let ends = |byte: &u8| b"\"{}[],:".contains(byte) || byte.is_ascii_whitespace();
                let length = bytes[at..].iter().position(ends).unwrap_or(bytes.len() - at);
                if depth == 0 && length == 0 {
                    return None;
                }
                at += length.max(1);
            }
        }
        if depth == 0 {
            return Some(&text[..at]);
        }
    }
}

/// Returns the length of the string at the start of the text, including the quotes.
fn string_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_returned_as_written() {
        let object = r#" {"n": 123456789012345678901234 , "f":0.9073038322028689,
            "o":{"z":1,"a":[{}, "}\""]},"é":null, "e":{}, "p":[NaN, {"x":-Infinity}],"q": Infinity
            } "#;
        let as_written = [
            ("n", "123456789012345678901234"),
            ("f", "0.9073038322028689"),
            ("o", r#"{"z":1,"a":[{}, "}\""]}"#),
            ("é", "null"),
            ("e", "{}"),
            ("p", r#"[NaN, {"x":-Infinity}]"#),
            ("q", "Infinity"),
        ];
        let as_written = as_written.map(|(key, value)| (key.to_owned(), value));
        assert_eq!(members(object).unwrap(), as_written);
        assert_eq!(members("{}"), Some(Vec::new()));
        assert_eq!(members(" { } \n"), Some(Vec::new()));
    }

    #[test]
    fn a_text_that_is_not_an_object_has_no_members() {
        for text in [
            "",
            "{",
            "[]",
            "null",
            r#"{"a""#,
            r#"{"a":"#,
            r#"{"a":1"#,
            r#"{"a":1,"#,
            r#"{"a":1,}"#,
            r#"{"a":1 "b":2}"#,
            r#"{"a":1}}"#,
            r#"{"a":1} x"#,
            r#"{"a":[}]}"#,
            r#"{"a":[1}"#,
            r#"{"a":{"b":1]}"#,
            "{1:2}",
            "{\"a\":x}",
            "{\"a\":}",
            "{\"a\":NaNa}",
            "{\"a",
            "{\"a\\",
        ] {
            assert_eq!(members(text), None, "{text}");
        }
    }
}
