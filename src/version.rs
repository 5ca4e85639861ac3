//! The Ray version of the cluster, and the one difference that is decided by it: the format of log
//! streams. All others are decided by responses: see `ray_error.rs`, `state/mod.rs` and `serve/raw_state.rs`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ClientError, RayClient};

/// The Ray version of the cluster.
///
/// ```no_run
/// use ray_client::RayClient;
///
/// let client = RayClient::new("http://127.0.0.1:8265")?;
/// let version = client.version()?;
/// println!("Ray {} ({})", version.ray_version, version.session_name.unwrap_or_default());
/// # Ok::<(), ray_client::ClientError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Version {
    /// The version of the dashboard's API.
    pub version: String,
    /// The version of Ray, for example `2.60.0`.
    pub ray_version: String,
    /// The commit that this Ray was built from.
    pub ray_commit: Option<String>,
    /// The name of the cluster's session. It changes with every start of the cluster.
    pub session_name: Option<String>,
    /// All other fields that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Version {
    /// Whether this Ray is at least that major and minor version. A version without numbers, for example
    /// of a build from source, counts as newer than any other.
    pub(crate) fn is_at_least(&self, major: u32, minor: u32) -> bool {
        let mut parts = self.ray_version.split('.').map(|part| part.parse::<u32>().ok());
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(found_major), Some(found_minor)) => (found_major, found_minor) >= (major, minor),
            _ => true,
        }
    }

    /// Whether log streams of this Ray are the plain bytes of the file. Before 2.45, every chunk begins
    /// with a marker byte, and HTTP does not preserve chunk borders.
    pub(crate) fn has_plain_log_streams(&self) -> bool {
        self.is_at_least(2, 45)
    }
}

/// The version of Ray.
impl RayClient {
    /// Returns the cluster's Ray version. Calls `GET /api/version`.
    ///
    /// # Errors
    /// - 401 or 403 if the token is missing or invalid.
    /// - 408 or 503 if the cluster does not respond or is unreachable.
    /// - 500 if the response is not Ray's.
    pub fn version(&self) -> Result<Version, ClientError> {
        self.get("version", &["api", "version"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        let version = |ray: &str| -> Version {
            serde_json::from_value(serde_json::json!({"version": "4", "ray_version": ray})).unwrap()
        };
        assert!(version("2.45.0").has_plain_log_streams());
        assert!(version("3.0.0.dev0").has_plain_log_streams());
        assert!(version("source").has_plain_log_streams());
        assert!(!version("2.9.3").has_plain_log_streams());
        assert!(!version("2.44.1").has_plain_log_streams());
    }
}
