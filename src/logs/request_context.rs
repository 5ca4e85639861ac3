//! How something about a log is asked for, and where an agent should serve it.

use std::time::{Duration, Instant};

use super::source::{AgentFile, TailError, TailResult};
use crate::AgentAccess;
use crate::jobs::Job;
use crate::transport::{Http, Request, Response, path};

/// Where an agent should serve a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AgentLocation {
    pub(super) address: String,
    pub(super) path: String,
}

/// How to ask for something about a log.
pub(super) struct RequestContext {
    pub(super) operation: String,
    pub(super) http: Http,
    /// The longest that an answer is waited for.
    pub(super) stall_timeout: Duration,
}

impl RequestContext {
    pub(super) fn send(&self, request: Request) -> TailResult<Response> {
        let request = request.deadline(Some(Instant::now() + self.stall_timeout));
        self.http.send(&request).map_err(TailError::classify)
    }
}

impl AgentLocation {
    /// Where the agent of a job's node should serve its log.
    pub(super) fn of_job(job: &Job) -> Option<Self> {
        let address = job.driver_agent_http_address.as_deref()?;
        Self::new(address, &format!("job-driver-{}.log", job.id()))
    }

    /// The file there, asked for as the access allows. `None` if no agent may be asked.
    pub(super) fn file(&self, http: &Http, access: AgentAccess) -> Option<AgentFile> {
        AgentFile::at(http, access, &self.address, &self.path)
    }

    /// A file of the log folder of the agent at this address. `None` if that is no address of one.
    pub(super) fn new(address: &str, name: &str) -> Option<Self> {
        let host = address.strip_prefix("http://")?.trim_end_matches('/');
        if host.is_empty() || host.contains(['/', '@', '?', '#']) {
            return None;
        }
        let segments: Vec<_> = std::iter::once("logs").chain(name.split('/')).collect();
        Some(Self { address: format!("http://{host}"), path: path(&segments) })
    }
}
