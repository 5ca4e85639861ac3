//! What a rejection means beyond its status, as `ray_error.rs` finds it.

/// What a rejection means beyond its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RejectionKind {
    /// Nothing beyond it.
    #[default]
    Other,
    /// Something between the client and Ray answered, such as a reverse proxy.
    Gateway,
    /// Ray has no such route.
    NoRoute,
    /// The job is not over.
    NotTerminal,
    /// A Python `ValueError`: what an old Ray answers to a filter that it cannot use.
    BadValue,
    /// Ray failed and gives no reason.
    NoReason,
    /// The log has bytes that are not UTF-8.
    NotUtf8,
    /// The log file does not exist, or its node, actor, task or worker does not.
    NoSuchLog,
    /// The job has no node yet, and so no log.
    NoDriverYet,
    /// Serve does not run.
    NoServeController,
}
