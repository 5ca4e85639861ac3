//! Whether the agent of a node can be reached, and serves the file that the dashboard serves.
//!
//! The address is only a claim: another cluster's agent may stand there as seen from here. It is
//! believed once it has shown bytes of this file that the dashboard has shown: the first ones, which
//! hold the time at which the job started on newer Rays, and the last ones.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError, bounded};
use memchr::memmem;

use super::TailError;
use super::agent::AgentSource;
use super::dashboard::{Dashboard, FileServer, MAX_LAST_LINES};
use crate::transport::{ByteRange, Http};
use crate::{AgentAccess, ClientError};

/// The bytes at the file's beginning that are compared.
const HEAD: usize = 4096;
/// The lines at its end that are compared.
const LAST_LINES: u64 = 5;
/// How often a comparison is made again: the file may have grown in between, or may not be there yet.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);
/// How long an agent that could not be used is left alone.
const AVOID_FOR: Duration = Duration::from_secs(60);

/// A file of an agent.
#[derive(Clone)]
pub(crate) struct AgentFile {
    pub(crate) http: Http,
    path: String,
}

impl AgentFile {
    /// The file at this path of this address, asked for as the access allows. `None` if no agent may be
    /// asked.
    pub(crate) fn at(http: &Http, access: AgentAccess, address: &str, path: &str) -> Option<Self> {
        if !access.is_allowed(http.address()) {
            return None;
        }
        let with_token = access == AgentAccess::WithToken;
        // An agent that only a proxy of an unknown kind leads to is not used.
        let http = http.at(address.to_owned(), with_token).ok()?;
        Some(Self { http, path: path.to_owned() })
    }

    /// The agent, if it is proved to serve this file.
    pub(crate) fn find(self, dashboard: &Dashboard, stall_timeout: Duration) -> SearchResult {
        let agent = AgentSource::new(self.http, self.path, dashboard.clone(), stall_timeout);
        prove(agent, dashboard, &crossbeam_channel::never())
    }
}

/// The agents that could not be used, and since when.
#[derive(Default)]
pub(crate) struct UnusableAgents {
    unusable: Mutex<HashMap<String, Instant>>,
}

impl UnusableAgents {
    pub(crate) fn is_avoided(&self, address: &str) -> bool {
        let mut unusable = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        unusable.retain(|_, since| since.elapsed() < AVOID_FOR);
        unusable.contains_key(address)
    }

    pub(crate) fn avoid(&self, address: &str) {
        let mut unusable = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        unusable.insert(address.to_owned(), Instant::now());
    }
}

/// A search for an agent, in a thread of its own, so that no line waits for it.
pub(crate) struct AgentSearch {
    response: Receiver<SearchResult>,
    address: String,
}

/// What a search came to.
pub(crate) enum SearchResult {
    Agent(Box<AgentSource>),
    /// There is nothing in the file yet that could be compared.
    NotYet,
    /// The dashboard could not be asked what is in the file, and why.
    Unknown(ClientError),
    /// It cannot be used, and why.
    Unusable(ClientError),
}

impl AgentSearch {
    /// Begins to look for the file. `None` if no thread can be made for it.
    pub(crate) fn begin(
        file: AgentFile,
        dashboard: &Dashboard,
        stall_timeout: Duration,
        cancelled: Receiver<Infallible>,
    ) -> Option<Self> {
        let (sender, response) = bounded(1);
        let address = file.http.address().to_owned();
        let dashboard = dashboard.clone();
        let search = move || {
            let agent = AgentSource::new(file.http, file.path, dashboard.clone(), stall_timeout);
            let found = prove(agent, &dashboard, &cancelled);
            // Whoever asked may be gone.
            let _ = sender.send(found);
        };
        thread::Builder::new().name("ray-client-agent".to_owned()).spawn(search).ok()?;
        Some(Self { response, address })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What it came to, if it is over.
    pub(crate) fn poll(&self) -> Option<SearchResult> {
        match self.response.try_recv() {
            Ok(found) => Some(found),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(ended_early()),
        }
    }

    /// Waits for what it comes to, at most this long.
    pub(crate) fn wait(&self, most: Duration) -> Option<SearchResult> {
        match self.response.recv_timeout(most) {
            Ok(found) => Some(found),
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => None,
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => Some(ended_early()),
        }
    }
}

fn ended_early() -> SearchResult {
    SearchResult::Unusable(ClientError::unexpected("the search for the agent ended early"))
}

fn prove(
    agent: AgentSource,
    dashboard: &Dashboard,
    cancelled: &Receiver<Infallible>,
) -> SearchResult {
    let mut result = SearchResult::NotYet;
    for attempt in 0..ATTEMPTS {
        let is_cancelled = attempt > 0
            && cancelled.recv_timeout(PAUSE) != Err(crossbeam_channel::RecvTimeoutError::Timeout);
        if is_cancelled {
            return SearchResult::NotYet;
        }
        result = match is_same_file(&agent, dashboard) {
            Ok(true) => return SearchResult::Agent(Box::new(agent)),
            Ok(false) => SearchResult::Unusable(agent.is_another()),
            Err(SearchResult::Unusable(error)) if error.status() == 404 => {
                SearchResult::Unusable(error)
            }
            Err(SearchResult::Unknown(error)) => SearchResult::Unknown(error),
            Err(found) => return found,
        };
    }
    result
}

/// Whether the agent's file begins and ends as the dashboard's does. What it costs does not grow with
/// the file.
fn is_same_file(agent: &AgentSource, dashboard: &Dashboard) -> Result<bool, SearchResult> {
    let of_agent = |error: TailError| SearchResult::Unusable(error.into_error());
    let of_dashboard = |error: TailError| SearchResult::Unknown(error.into_error());
    let head = dashboard.head(HEAD).map_err(of_dashboard)?;
    if head.is_empty() {
        return Err(SearchResult::NotYet);
    }
    // First the length at the agent, then what the dashboard has: that cannot be shorter.
    let (_, before) = agent.get(ByteRange::Last(1)).map_err(of_agent)?;
    let (response, _) = agent.get(ByteRange::Between(0, head.len() as u64)).map_err(of_agent)?;
    if response.body.is_empty() || !head.starts_with(&response.body) {
        return Ok(false);
    }
    let last = dashboard.last_lines(LAST_LINES).map_err(of_dashboard)?;
    let Some(last) = last else { return Ok(true) };
    let from = before.total.saturating_sub(last.len() as u64);
    let range = ByteRange::Between(from, from + 2 * MAX_LAST_LINES as u64);
    let (response, _) = agent.get(range).map_err(of_agent)?;
    Ok(memmem::find(&response.body, &last).is_some())
}
