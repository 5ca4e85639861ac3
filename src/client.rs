//! `RayClient`: the state that its clones share, and requests to any GET route.

use std::fmt;
use std::sync::Arc;

use crate::ClientError;
use crate::agent_access::AgentAccess;
use crate::deadline_lock::DeadlineLock;
use crate::logs::{StreamLimits, Tails};
use crate::transport::{Http, Request, path};

/// A blocking client for the dashboard of one Ray cluster.
///
/// Clones are cheap. They share connections, tail workers and open tails, and can be used from several
/// threads. Dropping the last clone closes all open tails.
///
/// Create a client with [`new`](Self::new), with [`from_env`](Self::from_env), or with
/// [`builder`](Self::builder) to change settings:
///
/// ```no_run
/// use ray_client::{JobSubmission, RayClient};
///
/// let client = RayClient::new("http://127.0.0.1:8265")?;
/// let id = client.submit_job(&JobSubmission::new("python -c 'print(1)'"))?;
/// for line in client.follow_job_logs(&id)? {
///     println!("{}", line?);
/// }
/// # Ok::<(), ray_client::ClientError>(())
/// ```
#[derive(Clone)]
pub struct RayClient {
    inner: Arc<Inner>,
}

struct Inner {
    http: Http,
    limits: StreamLimits,
    tails: Tails,
    agent_access: AgentAccess,
    serve_lock: DeadlineLock,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tails.close_all();
    }
}

/// The address, and any other route.
impl RayClient {
    /// Returns the dashboard's address, without user name and password.
    pub fn address(&self) -> &str {
        self.http().address()
    }

    /// Returns the JSON of any GET route of the dashboard.
    ///
    /// For routes that have no method here. Token, retries and timeouts are the same as for every call.
    /// The path begins with `/` and may have a query. It must be percent-encoded.
    ///
    /// ```no_run
    /// let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let mode = client.get_json("/api/authentication_mode")?;
    /// println!("{}", mode["authentication_mode"]);
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 400 if the path is invalid, 404 if the route does not exist, 500 if the response is not JSON.
    /// Otherwise the same errors as [`list_jobs`](Self::list_jobs).
    pub fn get_json(&self, path: impl AsRef<str>) -> Result<serde_json::Value, ClientError> {
        let path = path.as_ref();
        check_route(path)?;
        let route = path.split('?').next().unwrap_or_default();
        // An error hides what looks like a path on the server, which begins with `/`.
        let shown = if route.starts_with("/api/") { route } else { &route[1..] };
        self.http().send(&Request::get(format_args!("get `{shown}`"), path.to_owned()))?.json()
    }

    pub(crate) fn from_parts(
        http: Http,
        limits: StreamLimits,
        tail_workers: usize,
        agent_access: AgentAccess,
    ) -> Self {
        let (tails, serve_lock) = (Tails::new(tail_workers), DeadlineLock::default());
        let inner = Inner { http, limits, tails, agent_access, serve_lock };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn agent_access(&self) -> AgentAccess {
        self.inner.agent_access
    }

    pub(crate) fn http(&self) -> &Http {
        &self.inner.http
    }

    pub(crate) fn tails(&self) -> &Tails {
        &self.inner.tails
    }

    /// Returns the lock to hold while changing Serve, whose state is read and written as a whole. Clones
    /// share it.
    pub(crate) fn serve_lock(&self) -> &DeadlineLock {
        &self.inner.serve_lock
    }

    pub(crate) fn stream_limits(&self) -> &StreamLimits {
        &self.inner.limits
    }

    pub(crate) fn get<T: serde::de::DeserializeOwned>(
        &self,
        operation: impl fmt::Display,
        segments: &[&str],
    ) -> Result<T, ClientError> {
        self.http().send(&Request::get(operation, path(segments)))?.json()
    }
}

impl fmt::Debug for RayClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RayClient").field("address", &self.http().address()).finish_non_exhaustive()
    }
}

/// Checks that a path stays on this server. It is sent unchanged.
fn check_route(path: &str) -> Result<(), ClientError> {
    const MAX: usize = 8 * 1024;
    let refuse = |why: &str| Err(ClientError::invalid(format_args!("path: {why}")));
    let route = path.split('?').next().unwrap_or_default();
    if !path.starts_with('/') || path.len() > MAX {
        refuse(&format!("must begin with / and have at most {MAX} bytes"))
    } else if !path.bytes().all(|byte| byte.is_ascii_graphic()) || path.contains(['#', '\\']) {
        refuse("must be percent-encoded and must not contain # or \\")
    } else if route.split('/').any(|segment| matches!(segment, "." | "..")) {
        refuse("must not have . or .. as a segment")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_stays_on_the_server_and_in_the_request_line() {
        for good in ["/api/version", "/nodes?view=summary", "/a%20b?c=../d"] {
            assert!(check_route(good).is_ok(), "{good}");
        }
        let long = format!("/{}", "a".repeat(9000));
        for bad in [
            "",
            "api",
            "http://h/",
            "@h/",
            "/a b",
            "/a\r\nx: y",
            "/ä",
            "/a#b",
            "/a/../b",
            "/.",
            &long,
        ] {
            assert_eq!(check_route(bad).unwrap_err().status(), 400, "{bad}");
        }
    }
}
