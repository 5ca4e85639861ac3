//! JSON that is handed on as it was written.
//!
//! An application's configuration that is read and sent back must not change on the way: Ray restarts
//! the replicas where so much as one digit of an argument differs, and `serde_json::Value` keeps
//! neither integers of more than 64 bits nor the order of keys.

use serde::de::IgnoredAny;

/// The members of a JSON object, each value as it was written; `None` where the text is no object.
pub(super) fn members(object: &str) -> Option<Vec<(String, &str)>> {
    let mut rest = object.trim_start().strip_prefix('{')?.trim_start();
    let mut members = Vec::new();
    while !rest.starts_with('}') {
        let key = first_value(rest)?;
        rest = rest[key.len()..].trim_start().strip_prefix(':')?.trim_start();
        let value = first_value(rest)?;
        rest = rest[value.len()..].trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        members.push((serde_json::from_str(key).ok()?, value));
    }
    Some(members)
}

fn first_value(text: &str) -> Option<&str> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    Some(&text[..values.byte_offset()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_they_were_written() {
        let object = r#" {"n": 123456789012345678901234 , "f":0.9073038322028689,
            "o":{"z":1,"a":[{}, "}\""]},"é":null, "e":{}} "#;
        let members = members(object).unwrap();
        let as_written = [
            ("n", "123456789012345678901234"),
            ("f", "0.9073038322028689"),
            ("o", r#"{"z":1,"a":[{}, "}\""]}"#),
            ("é", "null"),
            ("e", "{}"),
        ];
        assert_eq!(members, as_written.map(|(key, value)| (key.to_owned(), value)));
        assert_eq!(super::members("{}"), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for text in ["", "{", "[]", "null", r#"{"a""#, r#"{"a":"#, r#"{"a":1"#, "{1:2", "{\"a\":x}"]
        {
            assert_eq!(members(text), None, "{text}");
        }
    }
}
