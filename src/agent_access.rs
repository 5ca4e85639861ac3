//! Whether tails use the dashboard agents of the nodes.

/// Whether live logs are read from the dashboard agent of a job's node, which serves a log file by
/// ranges of bytes, so that every new byte is read once.
///
/// An agent's address is only a claim of the dashboard's, and is used only after it has shown the same
/// bytes as the dashboard. No header of the caller's is sent to it, and the token only by
/// [`WithToken`](Self::WithToken). An agent speaks plain `http://`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum AgentAccess {
    /// Agents are not used. The log is read from the dashboard.
    Never,
    /// Agents are used if they want no token, and only behind an `http://` address. This is the
    /// default.
    #[default]
    WithoutToken,
    /// Agents are used, and get the bearer token, unencrypted. Only for networks in which nobody else
    /// can listen.
    WithToken,
}
