//! Reads numbers and times, which Ray sends as `5`, `5.0` or `"5"`, depending on the field and the version.

use std::time::{Duration, SystemTime};

use serde::de::Error;
use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum RawNumber {
    Whole(u64),
    Float(f64),
    Text(String),
}

/// Reads a whole number. `None` for `null` and for -1, signed or unsigned, which means unknown.
pub(crate) fn whole<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let Some(raw) = Option::<RawNumber>::deserialize(deserializer)? else { return Ok(None) };
    let number = match &raw {
        RawNumber::Whole(number) => *number,
        RawNumber::Float(number) if *number < 0.0 => return Ok(None),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
        RawNumber::Float(number) => *number as u64,
        // NaN also means unknown.
        RawNumber::Text(text) if text.starts_with('-') || text == "NaN" => return Ok(None),
        RawNumber::Text(text) => text.parse().map_err(D::Error::custom)?,
    };
    if number == u64::MAX {
        return Ok(None);
    }
    T::try_from(number).map(Some).map_err(|_| D::Error::custom(format!("{number} is too large")))
}

/// Reads a whole number. 0 if Ray does not know it.
pub(crate) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(whole(deserializer)?.unwrap_or(0))
}

/// Reads a floating-point number. `NaN` and the infinities arrive as text.
pub(crate) fn float<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum RawNumber {
        Number(f64),
        Text(String),
    }
    match Option::<RawNumber>::deserialize(deserializer)? {
        None => Ok(None),
        Some(RawNumber::Number(number)) => Ok(Some(number)),
        Some(RawNumber::Text(text)) => text.parse().map(Some).map_err(D::Error::custom),
    }
}

/// Reads an exit code as [`std::process::ExitStatus::code`] returns it. Ray writes the codes of Windows
/// as unsigned 32-bit numbers; they become negative. `None` if no process can return the number.
pub(crate) fn exit_code<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<i32>, D::Error> {
    let Some(code) = float(deserializer)? else { return Ok(None) };
    #[allow(clippy::cast_possible_truncation, reason = "a saturating cast is intended")]
    let code = code as i64;
    let unsigned = u32::try_from(code).map(|code| i32::from_ne_bytes(code.to_ne_bytes()));
    Ok(i32::try_from(code).or(unsigned).ok())
}

/// Reads text, even if Ray sends a number.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum RawNumber {
        Text(String),
        Number(serde_json::Number),
    }
    Ok(Option::<RawNumber>::deserialize(deserializer)?.map(|raw| match raw {
        RawNumber::Text(text) => text,
        RawNumber::Number(number) => number.to_string(),
    }))
}

/// Reads a time in milliseconds since the epoch. `None` also for 0, which means "not yet".
pub(crate) fn time_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(whole(deserializer)?.filter(|ms| *ms > 0))
}

/// Converts milliseconds since the epoch to a time. `None` if the system cannot represent it.
pub(crate) fn time_from_ms(ms: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Row {
        #[serde(default, deserialize_with = "whole")]
        count: Option<u32>,
        #[serde(default, deserialize_with = "time_ms")]
        time: Option<u64>,
    }

    fn row(json: &str) -> Result<Row, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn all_number_formats_are_read() {
        for five in ["5", "5.0", "\"5\""] {
            let row = row(&format!("{{\"count\": {five}, \"time\": {five}}}")).unwrap();
            assert_eq!((row.count, row.time), (Some(5), Some(5)), "{five}");
        }
    }

    #[test]
    fn unknown_numbers_are_none() {
        for none in ["null", "-1", "-1.0", "\"-1\"", "18446744073709551615"] {
            let row = row(&format!("{{\"count\": {none}, \"time\": {none}}}")).unwrap();
            assert_eq!((row.count, row.time), (None, None), "{none}");
        }
        let row = row(r#"{"count": 0, "time": 0}"#).unwrap();
        assert_eq!((row.count, row.time), (Some(0), None));
    }

    #[test]
    fn windows_exit_codes_become_negative() {
        #[derive(Deserialize)]
        struct Ended {
            #[serde(default, deserialize_with = "exit_code")]
            code: Option<i32>,
        }
        for (json, code) in [
            ("0", Some(0)),
            ("-9", Some(-9)),
            ("3.0", Some(3)),
            ("\"3\"", Some(3)),
            ("3221225786", Some(-1_073_741_510)),
            ("4294967295", Some(-1)),
            ("4294967296", None),
            ("-2147483649", None),
            ("1e300", None),
            ("null", None),
        ] {
            let ended: Ended = serde_json::from_str(&format!("{{\"code\": {json}}}")).unwrap();
            assert_eq!(ended.code, code, "{json}");
        }
    }

    #[test]
    fn other_values_are_errors() {
        for bad in ["\"five\"", "5000000000", "[]"] {
            assert!(row(&format!("{{\"count\": {bad}}}")).is_err(), "{bad}");
        }
    }
}
