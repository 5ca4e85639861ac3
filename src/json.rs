//! Reads the JSON that Ray sends: accepts `NaN` and `Infinity`, skips unreadable rows, and limits memory.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Error, Map, Value};

use crate::redact;

/// Maximum memory for a response and the values read from it, in bytes.
const MAX_MEMORY: usize = 1024 * 1024 * 1024;
/// Upper bound of the memory of an object with one value, including temporary `serde_json` maps.
const OBJECT: usize = 1000;
/// Upper bound of the memory of any other value, without its text.
const OTHER: usize = 110;
/// How many copies of a response's text exist at once: the original, the one with resolved escapes, and
/// the values.
const COPIES: usize = 3;

/// Maximum size of a list's rows in bytes, without heap data. A growing vector needs twice as much.
const MAX_ROWS: usize = 128 * 1024 * 1024;

/// Reads a response. Python writes `NaN`, `Infinity` and `-Infinity`, which JSON does not have; they are
/// read as these strings. A response that would need more than 1 GiB of memory is an error.
pub(crate) fn from_slice<T: DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    check_memory(json)?;
    match serde_json::from_slice(json) {
        Err(error) if error.is_syntax() => match without_nan(json) {
            Cow::Owned(readable) => serde_json::from_slice(&readable),
            Cow::Borrowed(_) => Err(error),
        },
        result => result,
    }
}

/// Puts quotes around `NaN`, `Infinity` and `-Infinity`. Borrowed if there are none.
pub(crate) fn without_nan(json: &[u8]) -> Cow<'_, [u8]> {
    const NAMES: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
    let mut readable = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        let name = match byte {
            b'"' => {
                at = string_end(json, at);
                continue;
            }
            b'N' | b'I' | b'-' => NAMES.iter().find(|name| json[at..].starts_with(name)),
            _ => None,
        };
        let Some(name) = name else {
            at += 1;
            continue;
        };
        readable.extend_from_slice(&json[copied..at]);
        readable.push(b'"');
        readable.extend_from_slice(name);
        readable.push(b'"');
        at += name.len();
        copied = at;
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    readable.extend_from_slice(&json[copied..]);
    Cow::Owned(readable)
}

/// Returns the offset after the string that begins at `start`.
fn string_end(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

/// Small objects need up to 140 times the size of their text: 8 MiB of them would need more than 1 GiB.
fn check_memory(json: &[u8]) -> Result<(), Error> {
    // The densest JSON has an object every five bytes.
    if json.len() < MAX_MEMORY / (OBJECT / 5 + COPIES) {
        return Ok(());
    }
    let (mut objects, mut others) = (0_usize, 0_usize);
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => {
                at = string_end(json, at);
                continue;
            }
            b'{' if json.get(at + 1) != Some(&b'}') => objects += 1,
            b'{' | b'[' | b',' => others += 1,
            _ => {}
        }
        at += 1;
    }
    let memory = json.len() * COPIES + objects * OBJECT + others * OTHER;
    if memory <= MAX_MEMORY {
        return Ok(());
    }
    Err(Error::custom(format_args!(
        "{} bytes with {objects} objects and {others} other values would need more than {MAX_MEMORY} bytes of memory",
        json.len()
    )))
}

/// The rows of a list. Unreadable rows are skipped.
pub(crate) struct Rows<T> {
    pub(crate) read: Vec<T>,
    /// How many rows were skipped.
    pub(crate) unreadable: usize,
    /// For the first skipped rows: which, and why.
    pub(crate) reasons: Vec<String>,
}

impl<T> Rows<T> {
    /// Takes the warnings about skipped rows.
    pub(crate) fn warnings(&mut self) -> Vec<String> {
        let more = self.unreadable - self.reasons.len();
        let more = (more > 0).then(|| format!("{more} more rows are skipped"));
        std::mem::take(&mut self.reasons).into_iter().chain(more).collect()
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Rows<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowsVisitor(PhantomData))
    }
}

struct RowsVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for RowsVisitor<T> {
    type Value = Rows<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Rows<T>, A::Error> {
        const REASONS: usize = 10;
        let (mut read, mut unreadable, mut reasons) = (Vec::new(), 0, Vec::new());
        while let Some(row) = rows.next_element::<Value>()? {
            let name = row_name(read.len() + unreadable, &row);
            match serde_json::from_value(row) {
                Ok(_) if read.len() >= MAX_ROWS / size_of::<T>().max(1) => {
                    return Err(A::Error::custom(format_args!("more than {} rows", read.len())));
                }
                Ok(row) => read.push(row),
                Err(error) => {
                    unreadable += 1;
                    if reasons.len() < REASONS {
                        let reason = format!("{name} is skipped: {error}");
                        reasons.push(redact::one_line(&reason));
                    }
                }
            }
        }
        Ok(Rows { read, unreadable, reasons })
    }
}

/// Returns `row 3`, with its id if it has one. The order matters: a row may also name others.
fn row_name(index: usize, row: &Value) -> String {
    const IDS: [&str; 8] = [
        "submission_id",
        "task_id",
        "actor_id",
        "placement_group_id",
        "worker_id",
        "object_id",
        "node_id",
        "job_id",
    ];
    match IDS.iter().find_map(|id| row.get(id)?.as_str()) {
        Some(id) => format!("row {index} (`{id}`)"),
        None => format!("row {index}"),
    }
}

/// Keeps the unread fields of an object in those of the object that contains it.
pub(crate) fn keep_unread(extra: &mut Map<String, Value>, name: &str, fields: Map<String, Value>) {
    if !fields.is_empty() {
        extra.insert(name.to_owned(), fields.into());
    }
}

/// Reads `null` as the default, like a missing field.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: &str) -> Result<Value, Error> {
        from_slice(json.as_bytes())
    }

    #[test]
    fn nan_and_infinity_are_read_as_strings() {
        for (text, value) in [
            ("NaN", json!("NaN")),
            ("[NaN, -Infinity,Infinity]", json!(["NaN", "-Infinity", "Infinity"])),
            (r#"{"a":NaN,"b":{"c":[-Infinity]}}"#, json!({"a": "NaN", "b": {"c": ["-Infinity"]}})),
            (r#"{"NaN": "NaN, Infinity", "a": NaN}"#, json!({"NaN": "NaN, Infinity", "a": "NaN"})),
            (r#"["\"NaN", "\\", NaN]"#, json!(["\"NaN", "\\", "NaN"])),
        ] {
            assert_eq!(read(text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn valid_json_is_not_changed() {
        for text in [r#"{"a": "NaN"}"#, "[-1, -0.5]", r#""Infinity \" NaN""#, "", "\"", "\"\\"] {
            assert!(matches!(without_nan(text.as_bytes()), Cow::Borrowed(_)), "{text}");
        }
        for bad in ["[NaNa]", "[Na]", "NaN NaN", "{NaN: 1}x", "[+Infinity]", "nan", "\"NaN"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_response_that_would_need_more_than_a_gibibyte_is_an_error() {
        let list = |row: &str, bytes: usize| {
            let rows = vec![row; bytes / (row.len() + 1)].join(",");
            format!("[{rows}]")
        };
        let small = list(r#"{"a":1}"#, 4 << 20);
        assert!(check_memory(small.as_bytes()).is_ok());
        let large = list(r#"{"a":1}"#, 16 << 20);
        let error = from_slice::<Value>(large.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("more than 1073741824 bytes of memory"), "{error}");
        assert!(check_memory(list("1", 32 << 20).as_bytes()).is_err());
        // Text and ordinary rows need little more than their size.
        assert!(check_memory(format!("\"{}\"", "{".repeat(64 << 20)).as_bytes()).is_ok());
        let task = format!(
            r#"{{"task_id": "ab", "events": [{{"a": 1}}], "text": "{}"}}"#,
            "x".repeat(2000)
        );
        assert!(check_memory(list(&task, 24 << 20).as_bytes()).is_ok());
    }

    #[test]
    fn only_unreadable_rows_are_skipped() {
        #[derive(Deserialize)]
        struct Row {
            count: u8,
        }
        let text =
            r#"[{"count": 1}, {"count": -1, "job_id": "j"}, 5, {"count": NaN}, {"count": 2}]"#;
        let mut rows: Rows<Row> = from_slice(text.as_bytes()).unwrap();
        assert_eq!(rows.read.iter().map(|row| row.count).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(rows.unreadable, 3);
        let warnings = rows.warnings();
        assert_eq!(warnings.len(), 3);
        assert!(warnings[0].starts_with("row 1 (`j`) is skipped: invalid value: integer `-1`"));
        assert!(warnings[1].starts_with("row 2 is skipped: "), "{}", warnings[1]);
        assert!(from_slice::<Rows<Row>>(b"{}").is_err());
    }

    #[test]
    fn a_list_of_millions_of_rows_is_an_error() {
        #[derive(Deserialize)]
        #[allow(dead_code, reason = "its size is what counts")]
        struct Wide {
            #[serde(default)]
            columns: [[Option<u64>; 32]; 32],
        }
        let most = MAX_ROWS / size_of::<Wide>();
        let rows = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
        let read: Rows<Wide> = from_slice(rows(most).as_bytes()).unwrap();
        assert_eq!(read.read.len(), most);
        let Err(error) = from_slice::<Rows<Wide>>(rows(most + 1).as_bytes()) else { panic!() };
        assert!(error.to_string().contains(&format!("more than {most} rows")), "{error}");
    }

    #[test]
    fn thousands_of_unreadable_rows_cause_few_warnings() {
        let text = format!("[{}]", vec!["1"; 5000].join(","));
        let mut rows: Rows<String> = from_slice(text.as_bytes()).unwrap();
        let warnings = rows.warnings();
        assert_eq!(warnings.len(), 11);
        assert_eq!(warnings[10], "4990 more rows are skipped");
    }
}
