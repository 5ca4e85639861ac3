//! Numbers as Ray sends them: `5`, `5.0` or `"5"`, depending on the field and the version.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Wire {
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
    let Some(wire) = Option::<Wire>::deserialize(deserializer)? else { return Ok(None) };
    let number = match &wire {
        Wire::Whole(number) => *number,
        Wire::Float(number) if *number < 0.0 => return Ok(None),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
        Wire::Float(number) => *number as u64,
        Wire::Text(text) if text.starts_with('-') => return Ok(None),
        Wire::Text(text) => text.parse().map_err(D::Error::custom)?,
    };
    if number == u64::MAX {
        return Ok(None);
    }
    T::try_from(number).map(Some).map_err(|_| D::Error::custom(format!("{number} is too large")))
}

/// A time in milliseconds since the epoch; `None` also for 0, by which Ray says "not yet".
pub(crate) fn time_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(whole(deserializer)?.filter(|ms| *ms > 0))
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
    fn what_is_no_number_is_an_error() {
        for bad in ["\"five\"", "5000000000", "[]"] {
            assert!(row(&format!("{{\"count\": {bad}}}")).is_err(), "{bad}");
        }
    }
}
