//! `string_enum!`, for enums that are strings in Ray's JSON.

/// Defines an enum that is a string in JSON and keeps unknown values.
macro_rules! string_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)*
            /// A value that this version of the library does not know, exactly as Ray sent it.
            Unknown(String),
        }

        impl $name {
            /// Returns the value as Ray writes it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Unknown(value) => value,
                }
            }
        }

        impl From<String> for $name {
            fn from(value: String) -> Self {
                match value.as_str() {
                    $($text => Self::$variant,)*
                    _ => Self::Unknown(value),
                }
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                Self::from(value.to_owned())
            }
        }

        /// Never fails: unknown values are kept.
        impl ::std::str::FromStr for $name {
            type Err = ::std::convert::Infallible;

            fn from_str(value: &str) -> Result<Self, Self::Err> {
                Ok(Self::from(value))
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as ::serde::Deserialize>::deserialize(deserializer).map(Self::from)
            }
        }
    };
}
pub(crate) use string_enum;

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Map, Value, json};

    use crate::rng::TestRng;
    use crate::state::TaskState;
    use crate::{Job, JobStatus, Version};

    const KEYS: [&str; 12] = [
        "type",
        "status",
        "job_id",
        "submission_id",
        "driver_info",
        "start_time",
        "metadata",
        "runtime_env",
        "driver_exit_code",
        "version",
        "ray_version",
        "other",
    ];

    fn arbitrary(rng: &mut TestRng, depth: usize) -> Value {
        match rng.below(if depth == 0 { 7 } else { 9 }) {
            0 => Value::Null,
            1 => json!(rng.next() % 2 == 0),
            2 => json!(rng.next()),
            3 => json!(-1.5e300),
            4 => json!(i64::MIN),
            5 => json!(""),
            6 => json!(*rng.pick(&["SUBMISSION", "RUNNING", "2.60.0", "\u{0}\u{1F600}"])),
            7 => (0..rng.below(4)).map(|_| arbitrary(rng, depth - 1)).collect(),
            _ => {
                let count = rng.below(KEYS.len());
                let entry =
                    |rng: &mut TestRng| (rng.pick(&KEYS).to_string(), arbitrary(rng, depth - 1));
                Value::Object((0..count).map(|_| entry(rng)).collect::<Map<_, _>>())
            }
        }
    }

    fn read<T: DeserializeOwned + serde::Serialize>(value: &Value) -> Option<T> {
        let model: T = serde_json::from_value(value.clone()).ok()?;
        serde_json::to_value(&model).unwrap();
        Some(model)
    }

    #[test]
    fn a_status_is_parsed_and_padded() {
        assert_eq!(JobStatus::from("RUNNING"), JobStatus::Running);
        assert_eq!("STOPPED".parse(), Ok(JobStatus::Stopped));
        assert_eq!("PAUSED".parse(), Ok(JobStatus::Unknown("PAUSED".to_owned())));
        assert_eq!(
            format!("{:<9}|{:>9}|", JobStatus::Running, TaskState::Nil),
            "RUNNING  |      NIL|"
        );
    }

    #[test]
    fn random_json_is_read_or_refused_without_a_panic() {
        let mut jobs = 0;
        for seed in 0..20_000 {
            let mut value = arbitrary(&mut TestRng(seed), 4);
            if let (Value::Object(fields), true) = (&mut value, seed % 2 == 0) {
                fields.insert("type".to_owned(), json!("SUBMISSION"));
                fields.insert("status".to_owned(), json!("odd"));
            }
            if let Some(job) = read::<Job>(&value) {
                jobs += 1;
                let _ = (job.id(), job.started_at(), job.ended_at(), job.duration());
            }
            read::<Version>(&value);
        }
        assert!(jobs > 100, "{jobs}");
    }
}
