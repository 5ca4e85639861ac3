//! `RejectionKind`, which `ray_error.rs` determines.

/// The meaning of a rejection beyond its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RejectionKind {
    /// No further meaning.
    #[default]
    Other,
    /// A gateway answered instead of Ray, for example a reverse proxy.
    Gateway,
    /// This Ray does not have the route.
    NoRoute,
    /// The job has not finished.
    NotTerminal,
    /// A Python `ValueError`. Old Rays answer an unsupported filter with it.
    BadValue,
    /// Ray failed without a reason.
    NoReason,
    /// The log contains bytes that are not UTF-8.
    NotUtf8,
    /// The log file does not exist, or its node, actor, task or worker does not.
    NoSuchLog,
    /// The job has no node yet, and therefore no log.
    NoDriverYet,
    /// Serve is not running, or was killed while it handled the request.
    NoServeController,
}
