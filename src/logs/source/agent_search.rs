//! The search for an agent that is reachable and serves the same file as the dashboard.
//!
//! Ray only claims the agent's address: in the client's network, an agent of another cluster may listen
//! there. The client therefore compares the agent's file with the dashboard's: its first bytes, which in
//! newer Rays contain the job's start time, and its last bytes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError, bounded};
use memchr::memmem;

use super::TailError;
use super::agent::AgentSource;
use super::dashboard::{Dashboard, FileServer, MAX_LAST_LINES};
use crate::lock::lock;
use crate::logging::record;
use crate::transport::{ByteRange, Http};
use crate::{AgentAccess, ClientError};

/// Maximum number of bytes to compare at the start of the file.
const HEAD: usize = 4096;
/// Number of lines to compare at the end of the file.
const LAST_LINES: u64 = 5;
/// How many times to compare: the file may grow in between, or may not exist yet.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);
/// How long an unusable agent is ignored.
const AVOID_FOR: Duration = Duration::from_secs(60);

/// A file on an agent.
#[derive(Clone)]
pub(crate) struct AgentFile {
    pub(crate) http: Http,
    path: String,
}

impl AgentFile {
    /// Returns the file at `path` of the agent at `address`, or `None` if `access` allows no agent.
    pub(crate) fn at(http: &Http, access: AgentAccess, address: &str, path: &str) -> Option<Self> {
        if !access.is_allowed(http.address()) {
            return None;
        }
        let with_token = access == AgentAccess::WithToken;
        // Fails if the environment names a proxy for this address that cannot be used.
        let http = http.at(address.to_owned(), with_token).ok()?;
        Some(Self { http, path: path.to_owned() })
    }

    /// Verifies in this thread that the agent serves the file.
    pub(crate) fn find(self, dashboard: &Dashboard, stall_timeout: Duration) -> SearchResult {
        let agent = AgentSource::new(self.http, self.path, dashboard.clone(), stall_timeout);
        verify(agent, dashboard, &crossbeam_channel::never())
    }
}

/// The addresses of unusable agents, and since when each is unusable.
#[derive(Default)]
pub(crate) struct UnusableAgents {
    unusable: Mutex<HashMap<String, Instant>>,
}

impl UnusableAgents {
    pub(crate) fn is_avoided(&self, address: &str) -> bool {
        let mut unusable = lock(&self.unusable);
        unusable.retain(|_, since| since.elapsed() < AVOID_FOR);
        unusable.contains_key(address)
    }

    pub(crate) fn avoid(&self, address: &str) {
        let mut unusable = lock(&self.unusable);
        unusable.insert(address.to_owned(), Instant::now());
    }
}

/// A search for an agent in a thread of its own, so it delays no line.
pub(crate) struct AgentSearch {
    response: Receiver<SearchResult>,
    address: String,
}

/// The result of a search.
pub(crate) enum SearchResult {
    /// The agent serves the same file as the dashboard.
    Agent(Box<AgentSource>),
    /// The file is still empty, so there is nothing to compare.
    NotYet,
    /// The dashboard did not serve the file, so the agent could not be verified.
    Unknown(ClientError),
    /// The agent is unreachable, or serves another file.
    Unusable(ClientError),
}

impl AgentSearch {
    /// Starts a search. Returns `None` if no thread can be started.
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
            let found = verify(agent, &dashboard, &cancelled);
            // Fails if the tail has ended meanwhile.
            let _ = sender.send(found);
        };
        thread::Builder::new().name("ray-client-agent".to_owned()).spawn(search).ok()?;
        Some(Self { response, address })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Returns the result, or `None` if the search is still running.
    pub(crate) fn poll(&self) -> Option<SearchResult> {
        match self.response.try_recv() {
            Ok(found) => Some(found),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(ended_early()),
        }
    }

    /// Waits up to `timeout` for the result.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<SearchResult> {
        match self.response.recv_timeout(timeout) {
            Ok(found) => Some(found),
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => None,
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => Some(ended_early()),
        }
    }
}

fn ended_early() -> SearchResult {
    SearchResult::Unusable(ClientError::unexpected("the search for the agent ended early"))
}

/// Compares the files until they match, the attempts are used up, or the tail is closed.
fn verify(
    agent: AgentSource,
    dashboard: &Dashboard,
    cancelled: &Receiver<Infallible>,
) -> SearchResult {
    let address = agent.address().to_owned();
    let result = compare(agent, dashboard, cancelled);
    let operation = dashboard.operation();
    match &result {
        SearchResult::Agent(_) => {
            record!(Debug, "tail", "{operation}: the agent at {address} serves this log");
        }
        SearchResult::NotYet => record!(
            Debug,
            "tail",
            "{operation}: there is nothing yet to compare with the agent at {address}"
        ),
        SearchResult::Unknown(error) => {
            record!(Debug, "tail", "{error} (so the agent at {address} could not be checked)");
        }
        SearchResult::Unusable(error) => {
            record!(Debug, "tail", "{error} (so the agent at {address} is not used)");
        }
    }
    result
}

fn compare(
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
            Ok(false) => SearchResult::Unusable(agent.other_file()),
            Err(SearchResult::Unusable(error)) if error.status() == 404 => {
                SearchResult::Unusable(error)
            }
            Err(SearchResult::Unknown(error)) => SearchResult::Unknown(error),
            Err(found) => return found,
        };
    }
    result
}

/// Returns whether the agent's file begins and ends like the dashboard's. The cost does not depend on
/// the length of the file.
fn is_same_file(agent: &AgentSource, dashboard: &Dashboard) -> Result<bool, SearchResult> {
    let agent_error = |error: TailError| SearchResult::Unusable(error.into_error());
    let dashboard_error = |error: TailError| SearchResult::Unknown(error.into_error());
    let head = dashboard.head(HEAD).map_err(dashboard_error)?;
    if head.is_empty() {
        return Err(SearchResult::NotYet);
    }
    // The agent's length must be read before the dashboard's last lines, which then cannot end earlier.
    let (_, before) = agent.get(ByteRange::Last(1)).map_err(agent_error)?;
    let (response, _) = agent.get(ByteRange::Between(0, head.len() as u64)).map_err(agent_error)?;
    if response.body.is_empty() || !head.starts_with(&response.body) {
        return Ok(false);
    }
    let last = dashboard.last_lines(LAST_LINES).map_err(dashboard_error)?;
    let Some(last) = last else { return Ok(true) };
    let from = before.total.saturating_sub(last.len() as u64);
    let range = ByteRange::Between(from, from + 2 * MAX_LAST_LINES as u64);
    let (response, _) = agent.get(range).map_err(agent_error)?;
    Ok(memmem::find(&response.body, &last).is_some())
}
