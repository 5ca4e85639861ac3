//! The kinds of sources that a log can be read from.

/// The source that a tail reads its log from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SourceKind {
    /// The dashboard, which serves plain bytes. Switches to the agent after a search has found it.
    File,
    /// Only the agent.
    Agent { has_markers: bool },
    WebSocket {
        /// Whether the dashboard also serves the log file as plain bytes.
        has_file: bool,
    },
    /// The agent, otherwise the WebSocket: before Ray 2.45 the dashboard does not serve plain bytes.
    AgentOrWebSocket,
}

impl SourceKind {
    /// Returns whether log files from the dashboard contain marker bytes.
    pub(super) fn has_markers(self) -> bool {
        matches!(self, Self::Agent { has_markers: true } | Self::AgentOrWebSocket)
    }
}
