//! Which source a log is read from.

/// Which source a log is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SourceKind {
    /// By the dashboard, which serves the plain bytes.
    File,
    /// By the agent, and by nothing else.
    Agent {
        has_markers: bool,
    },
    WebSocket {
        has_file: bool,
    },
    /// By the agent, otherwise by the WebSocket: the dashboard of this Ray does not serve plain bytes.
    AgentOrWebSocket,
}

impl SourceKind {
    pub(super) fn has_markers(self) -> bool {
        matches!(self, Self::Agent { has_markers: true } | Self::AgentOrWebSocket)
    }
}
