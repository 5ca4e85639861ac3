//! The context of requests about a log, and the location of a log on an agent.

use std::time::{Duration, Instant};

use super::source::{AgentFile, TailError, TailResult};
use crate::AgentAccess;
use crate::jobs::Job;
use crate::transport::{Http, Request, Response, path};

/// The address and path at which an agent should serve a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AgentLocation {
    pub(super) address: String,
    pub(super) path: String,
}

/// The operation, the connections and the timeout of requests about a log.
pub(super) struct RequestContext {
    pub(super) operation: String,
    pub(super) http: Http,
    /// Maximum duration of each step of a request, for example until its response begins.
    pub(super) stall_timeout: Duration,
}

impl RequestContext {
    pub(super) fn send(&self, request: Request) -> TailResult<Response> {
        let request = request.deadline(Some(Instant::now() + self.stall_timeout));
        self.http.send(&request).map_err(TailError::classify)
    }
}

impl AgentLocation {
    /// Returns the location of a job's log, or `None` if Ray does not report a valid agent address.
    pub(super) fn of_job(job: &Job) -> Option<Self> {
        let address = job.driver_agent_http_address.as_deref()?;
        Self::new(address, &format!("job-driver-{}.log", job.id()))
    }

    /// Returns the file at this location, or `None` if `access` allows no agent.
    pub(super) fn file(&self, http: &Http, access: AgentAccess) -> Option<AgentFile> {
        AgentFile::at(http, access, &self.address, &self.path)
    }

    /// Returns the location of the log file `name`, or `None` if `address` is not a valid agent address.
    pub(super) fn new(address: &str, name: &str) -> Option<Self> {
        let host = address.strip_prefix("http://")?.trim_end_matches('/');
        if host.is_empty() || host.contains(['/', '@', '?', '#']) {
            return None;
        }
        let segments: Vec<_> = std::iter::once("logs").chain(name.split('/')).collect();
        Some(Self { address: format!("http://{host}"), path: path(&segments) })
    }
}
