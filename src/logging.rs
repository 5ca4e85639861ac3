//! Records for the `log` crate. Without the feature `log` there are none, and their arguments are only
//! type-checked.

/// A record of this level, for the target `ray_client::http` or `ray_client::tail`. Its arguments are
/// evaluated only if a logger wants it.
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
