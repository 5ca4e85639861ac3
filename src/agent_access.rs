//! Whether logs may be read from the dashboard agents of the nodes.

/// Whether tails may read logs from the dashboard agent of a job's node, and whether it gets the token.
///
/// An agent speaks plain `http://`, and its address is only what the cluster says of it. No header of
/// [`ClientBuilder::header`](crate::ClientBuilder::header) is ever sent to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum AgentAccess {
    /// No agent is asked.
    Never,
    /// Agents are asked without the token. One that wants it (401) is not used. Behind an `https://`
    /// address none is asked. The default.
    #[default]
    WithoutToken,
    /// Agents get the bearer token, also behind an `https://` address.
    WithToken,
}

impl AgentAccess {
    /// Whether agents of the cluster at this address may be asked at all.
    pub(crate) fn is_allowed(self, address: &str) -> bool {
        match self {
            Self::Never => false,
            // An agent speaks plain http.
            Self::WithoutToken => !address.starts_with("https://"),
            Self::WithToken => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_https_agents_are_asked_with_the_token_only() {
        for (access, plain, secure) in [
            (AgentAccess::Never, false, false),
            (AgentAccess::WithoutToken, true, false),
            (AgentAccess::WithToken, true, true),
        ] {
            assert_eq!(access.is_allowed("http://head:8265"), plain);
            assert_eq!(access.is_allowed("https://head"), secure);
        }
    }
}
