//! `AgentAccess`: whether tails use the dashboard agents of the nodes.

/// Whether tails may read logs from the dashboard agent of a job's node, and whether it gets the token.
///
/// An agent speaks plain `http://`, and only the cluster says at which address it listens. Agents never
/// get a header set with [`ClientBuilder::header`](crate::ClientBuilder::header).
///
/// If your cluster requires a token, and your network to the nodes is trusted:
///
/// ```no_run
/// use ray_client::{AgentAccess, RayClient};
///
/// let client = RayClient::builder("http://ray-head:8265")
///     .bearer_token("secret")
///     .agent_access(AgentAccess::WithToken)
///     .build()?;
/// # Ok::<(), ray_client::ClientError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum AgentAccess {
    /// No agent is used.
    Never,
    /// Agents do not get the token. An agent that requires it (401) is not used. If the dashboard's address
    /// is `https://`, no agent is used. This is the default.
    #[default]
    WithoutToken,
    /// Agents get the bearer token over plain `http://`, even if the dashboard's address is `https://`.
    WithToken,
}

impl AgentAccess {
    /// Whether tails may use agents of the cluster at this address.
    pub(crate) fn is_allowed(self, address: &str) -> bool {
        match self {
            Self::Never => false,
            // Agents speak plain http.
            Self::WithoutToken => !address.starts_with("https://"),
            Self::WithToken => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_an_https_address_agents_are_used_only_with_token() {
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
