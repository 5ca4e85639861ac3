//! The version of the cluster, and what depends on it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ClientError, RayClient};

/// The Ray version of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Version {
    /// The version of the dashboard's API.
    pub version: String,
    /// The version of Ray, for example `2.60.0`.
    pub ray_version: String,
    /// The commit that this Ray was built from.
    pub ray_commit: Option<String>,
    /// The name of the cluster's session, which is new with every start.
    pub session_name: Option<String>,
    /// Everything else that Ray sends.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Version {
    /// Whether this Ray is at least that major and minor version. One that cannot be read as a
    /// version, for example that of a build from source, counts as newer than any.
    pub(crate) fn is_at_least(&self, major: u32, minor: u32) -> bool {
        let mut parts = self.ray_version.split('.').map(|part| part.parse::<u32>().ok());
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(found_major), Some(found_minor)) => (found_major, found_minor) >= (major, minor),
            _ => true,
        }
    }

    /// Whether log streams of this Ray are the plain bytes of the file. Before 2.45 every chunk
    /// begins with a marker byte, and chunk borders are lost on the way.
    pub(crate) fn has_plain_log_streams(&self) -> bool {
        self.is_at_least(2, 45)
    }
}

/// The version of Ray.
impl RayClient {
    /// The cluster's version. Calls `GET /api/version`.
    ///
    /// # Errors
    /// 408 or 503 if the cluster does not answer or cannot be reached, 401 or 403 if it wants another
    /// token, 500 if the answer is not Ray's.
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
