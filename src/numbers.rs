//! Numbers and times as Ray sends them: `5`, `5.0` or `"5"`, depending on the field and the version.

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

/// A whole number; `None` for null and for -1, also as an unsigned number, by which Ray says that
/// it does not know.
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
        // Not a number is unknown, too.
        RawNumber::Text(text) if text.starts_with('-') || text == "NaN" => return Ok(None),
        RawNumber::Text(text) => text.parse().map_err(D::Error::custom)?,
    };
    if number == u64::MAX {
        return Ok(None);
    }
    T::try_from(number).map(Some).map_err(|_| D::Error::custom(format!("{number} is too large")))
}

/// A whole number, 0 if Ray does not know it.
pub(crate) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(whole(deserializer)?.unwrap_or(0))
}

/// A number with fractions. `NaN` and the infinities come as text.
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

/// The exit code of a process as [`std::process::ExitStatus::code`] gives it: Windows has codes of 32
/// bits without a sign, which Ray writes so, and which are negative there. `None` for what no process can
/// return.
pub(crate) fn exit_code<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<i32>, D::Error> {
    let Some(code) = float(deserializer)? else { return Ok(None) };
    #[allow(clippy::cast_possible_truncation, reason = "the saturating cast of a float is meant")]
    let code = code as i64;
    let unsigned = u32::try_from(code).map(|code| i32::from_ne_bytes(code.to_ne_bytes()));
    Ok(i32::try_from(code).or(unsigned).ok())
}

/// Text, also if Ray sends a number.
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

/// A time in milliseconds since the epoch; `None` also for 0, by which Ray says "not yet".
pub(crate) fn time_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(whole(deserializer)?.filter(|ms| *ms > 0))
}

/// The time that is this many milliseconds after the epoch; `None` if no such time exists.
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
    fn numbers_of_every_form_are_read() {
        for five in ["5", "5.0", "\"5\""] {
            let row = row(&format!("{{\"count\": {five}, \"time\": {five}}}")).unwrap();
            assert_eq!((row.count, row.time), (Some(5), Some(5)), "{five}");
        }
    }

    #[test]
    fn what_ray_does_not_know_is_none() {
        for none in ["null", "-1", "-1.0", "\"-1\"", "18446744073709551615"] {
            let row = row(&format!("{{\"count\": {none}, \"time\": {none}}}")).unwrap();
            assert_eq!((row.count, row.time), (None, None), "{none}");
        }
        let row = row(r#"{"count": 0, "time": 0}"#).unwrap();
        assert_eq!((row.count, row.time), (Some(0), None));
    }

    #[test]
    fn exit_codes_of_every_system_are_read() {
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
    fn what_is_no_number_is_an_error() {
        for bad in ["\"five\"", "5000000000", "[]"] {
            assert!(row(&format!("{{\"count\": {bad}}}")).is_err(), "{bad}");
        }
    }
}
