//! Log records. Without the feature `log`, their arguments are only type-checked.

/// Logs a record with the target `ray_client::http` or `ray_client::tail`. The arguments are evaluated only
/// if a logger accepts the record.
macro_rules! record {
    ($level:ident, $target:literal, $($message:tt)+) => {{
        #[cfg(feature = "log")]
        ::log::log!(
            target: concat!("ray_client::", $target),
            ::log::Level::$level,
            $($message)+
        );
        #[cfg(not(feature = "log"))]
        if false {
            let _ = format_args!($($message)+);
        }
    }};
}

pub(crate) use record;
