//! Which way a log is read.

/// How a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
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

impl Way {
    pub(super) fn has_markers(self) -> bool {
        matches!(self, Self::Agent { has_markers: true } | Self::AgentOrWebSocket)
    }
}
