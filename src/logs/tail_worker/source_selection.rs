//! Which source a log is read from: the choice at the first contact, the search for an agent, and what happens
//! when one goes.

use std::time::{Duration, Instant};

use super::follow::{AttemptOutcome, Follower, OpenSource};
use crate::logs::followed_log::LogState;
use crate::logs::options::Protocol;
use crate::logs::source::{
    AgentSearch, AgentSource, Dashboard, Delivered, FileSource, SearchResult, TailError,
    TailResult, WebSocketLog, WebSocketSource, is_no_route,
};
use crate::logs::source_kind::SourceKind;
use crate::transport::{Request, path};
use crate::version::Version;
use crate::{ClientError, validate};

/// How long a search for an agent is waited for if nothing else can be read meanwhile.
const SEARCH: Duration = Duration::from_secs(2);
/// The same, if the dashboard could be read, but only from the log's start.
const SHORT_SEARCH: Duration = Duration::from_secs(1);
/// How often an agent is searched for again that served nothing to compare yet.
const SEARCH_AGAIN: Duration = Duration::from_secs(1);

impl Follower {
    /// Opens the log behind what was handed out. `None` if there is nothing in it yet.
    pub(super) fn open(&mut self, state: &LogState) -> TailResult<Option<OpenSource>> {
        let source_kind = self.source_kind()?;
        let dashboard = self.dashboard(state, source_kind);
        let open = match source_kind {
            SourceKind::File => Some(self.file(state, dashboard)),
            SourceKind::WebSocket { has_file } => {
                Some(self.websocket(has_file.then_some(dashboard))?)
            }
            SourceKind::Agent { .. } => self.agent(state, dashboard)?,
            SourceKind::AgentOrWebSocket => self.agent_or_websocket(state, dashboard)?,
        };
        Ok(open.map(|mut open| {
            if state.is_over {
                open.nothing_more_is_written();
            }
            open
        }))
    }

    fn agent(&mut self, state: &LogState, dashboard: Dashboard) -> TailResult<Option<OpenSource>> {
        match self.wait_for_agent(state, &dashboard, SEARCH) {
            SearchResult::Agent(agent) => Ok(Some(agent_source(agent))),
            SearchResult::NotYet => self.empty(state, dashboard),
            SearchResult::Unusable(error) if error.status() == 401 => {
                Err(TailError::Fatal(ClientError::rejected(
                    401,
                    format_args!("{error}: see ClientBuilder::agent_access"),
                )))
            }
            SearchResult::Unusable(error) => Err(TailError::Broken(error)),
            SearchResult::Unknown(error) => {
                Err(self.log.explain(&self.operation, state, TailError::Broken(error)))
            }
        }
    }

    fn agent_or_websocket(
        &mut self,
        state: &LogState,
        dashboard: Dashboard,
    ) -> TailResult<Option<OpenSource>> {
        match self.wait_for_agent(state, &dashboard, SEARCH) {
            SearchResult::Agent(agent) => Ok(Some(agent_source(agent))),
            SearchResult::NotYet => self.empty(state, dashboard),
            // Offsets in the file and in the WebSocket's text are not the same.
            SearchResult::Unusable(error) | SearchResult::Unknown(error)
                if self.delivered.start() > 0 =>
            {
                Err(TailError::Broken(error))
            }
            SearchResult::Unusable(_) | SearchResult::Unknown(_) => {
                let open = self.websocket(None)?;
                self.source_kind = Some(SourceKind::WebSocket { has_file: false });
                Ok(Some(open))
            }
        }
    }

    /// Waits for a log that is empty, unless it stays so: the dashboard of any Ray can send that.
    fn empty(&mut self, state: &LogState, dashboard: Dashboard) -> TailResult<Option<OpenSource>> {
        if state.is_over {
            return Ok(Some(file_source(dashboard, &self.delivered)));
        }
        self.wait_for_first_bytes()?;
        Ok(None)
    }

    /// The source of this tail, decided at the first contact.
    fn source_kind(&mut self) -> TailResult<SourceKind> {
        if let Some(source_kind) = self.source_kind {
            return Ok(source_kind);
        }
        let source_kind = match self.version() {
            Ok(version) => self.source_kind_for(&version)?,
            // Behind a gateway that does not know the route. Ray's own way is the same on every Ray.
            Err(TailError::Broken(error) | TailError::Fatal(error))
                if is_no_route(&error) && self.options.protocol == Protocol::Auto =>
            {
                SourceKind::WebSocket { has_file: false }
            }
            Err(cause) => return Err(cause),
        };
        let source_kind = self.log.possible_source_kind(&self.operation, source_kind)?;
        Ok(*self.source_kind.insert(source_kind))
    }

    fn source_kind_for(&self, version: &Version) -> TailResult<SourceKind> {
        let is_plain = version.has_plain_log_streams();
        match self.options.protocol {
            Protocol::Agent => Ok(SourceKind::Agent { has_markers: !is_plain }),
            Protocol::WebSocket => Ok(SourceKind::WebSocket { has_file: is_plain }),
            Protocol::Auto | Protocol::Stream if is_plain => Ok(SourceKind::File),
            Protocol::Auto => Ok(SourceKind::AgentOrWebSocket),
            Protocol::Stream => Err(TailError::Fatal(ClientError::invalid(format_args!(
                "{}: Protocol::Stream needs Ray 2.45 or newer, whose log files come as plain bytes; this cluster runs {}: use Protocol::Agent or Protocol::Auto",
                self.operation, version.ray_version
            )))),
        }
    }

    fn version(&self) -> TailResult<Version> {
        let request = Request::get("version", path(&["api", "version"]));
        self.request_context().send(request)?.json().map_err(TailError::classify)
    }

    fn dashboard(&self, state: &LogState, source_kind: SourceKind) -> Dashboard {
        let request = state.request.clone();
        Dashboard::new(
            self.http.clone(),
            request,
            self.options.stall_timeout(),
            source_kind.has_markers(),
        )
    }

    fn file(&mut self, state: &LogState, dashboard: Dashboard) -> OpenSource {
        self.begin_search(state, &dashboard);
        // The agent finds the last lines without reading what stands before.
        let search = self.search.take_if(|_| self.last_lines.is_some());
        match search.map(|search| (search.wait(SHORT_SEARCH), search)) {
            Some((Some(SearchResult::Agent(agent)), _)) => return agent_source(agent),
            Some((Some(found), search)) => self.avoid_if_unusable(&search, &found),
            Some((None, search)) => self.search = Some(search),
            None => {}
        }
        file_source(dashboard, &self.delivered)
    }

    fn websocket(&mut self, file: Option<Dashboard>) -> TailResult<OpenSource> {
        let Some(id) = self.log.job_id() else {
            return Err(TailError::Fatal(ClientError::invalid(format_args!(
                "{}: the WebSocket carries logs of jobs only",
                self.operation
            ))));
        };
        let id = validate::pasted_id("job id", id).map_err(TailError::Fatal)?;
        let log = WebSocketLog {
            operation: self.operation.clone(),
            id: id.to_owned(),
            http: self.http.clone(),
            file,
            completes: self.options.protocol == Protocol::Auto,
        };
        let cancel = std::sync::Arc::clone(&self.cancel);
        let register = std::sync::Arc::new(move |handle| cancel.register(handle));
        let source = WebSocketSource::open(log, register, &self.delivered)?;
        Ok(OpenSource { source: Box::new(source), agent: None, is_over: false })
    }

    /// Begins to look for the agent, if there is one that may be used.
    fn begin_search(&mut self, state: &LogState, dashboard: &Dashboard) {
        let is_wanted = matches!(self.options.protocol, Protocol::Auto | Protocol::Agent);
        // By the dashboard a log that is over is there at once, unless most of it is to be left out.
        let is_at_once = state.is_over
            && self.source_kind == Some(SourceKind::File)
            && self.last_lines.is_none();
        if !is_wanted || is_at_once || self.search.is_some() {
            return;
        }
        let location = state.agent.as_ref();
        let file = location.and_then(|at| at.file(&self.http, self.agents.access));
        let Some(file) = file else { return };
        let is_avoided = self.agents.addresses.is_avoided(file.http.address());
        if is_avoided && self.options.protocol == Protocol::Auto {
            return;
        }
        let dashboard = dashboard.with(self.http.for_tail(self.options.stall_timeout()));
        let cancelled = self.queue.cancelled().clone();
        self.no_search_before = Instant::now() + SEARCH_AGAIN.max(self.options.poll_interval);
        self.search = AgentSearch::begin(file, &dashboard, self.options.stall_timeout(), cancelled);
    }

    /// What a search for the agent comes to within this time.
    fn wait_for_agent(
        &mut self,
        state: &LogState,
        dashboard: &Dashboard,
        most: Duration,
    ) -> SearchResult {
        self.begin_search(state, dashboard);
        let Some(search) = self.search.take() else {
            return SearchResult::Unusable(ClientError::unreachable(format_args!(
                "{}: there is no agent of the job's node that may be used",
                self.operation
            )));
        };
        let found = search.wait(most).unwrap_or_else(|| {
            SearchResult::Unusable(ClientError::timeout(format_args!(
                "{}: the agent at {} did not answer within {most:?}",
                self.operation,
                search.address()
            )))
        });
        self.avoid_if_unusable(&search, &found);
        found
    }

    /// Goes on by the agent once it was found, and looks for it again from time to time.
    pub(super) fn switch_to_agent(&mut self, state: &LogState, open: &mut OpenSource) {
        if open.agent.is_some() || open.is_over || self.source_kind != Some(SourceKind::File) {
            return;
        }
        if let Some(search) = self.search.take() {
            match search.poll() {
                Some(SearchResult::Agent(agent)) => *open = agent_source(agent),
                Some(found) => self.avoid_if_unusable(&search, &found),
                None => self.search = Some(search),
            }
        } else if Instant::now() >= self.no_search_before {
            self.no_search_before = Instant::now() + SEARCH_AGAIN.max(self.options.poll_interval);
            let dashboard = self.dashboard(state, SourceKind::File);
            self.begin_search(state, &dashboard);
        }
    }

    fn avoid_if_unusable(&self, search: &AgentSearch, found: &SearchResult) {
        if let SearchResult::Unusable(_) = found {
            self.agents.addresses.avoid(search.address());
        }
    }

    /// Whether the reading that failed can be followed by another at once: without the agent that went,
    /// or by the WebSocket. Otherwise it broke off.
    pub(super) fn give_up_source(
        &mut self,
        state: &LogState,
        open: &OpenSource,
        cause: TailError,
    ) -> TailResult<AttemptOutcome> {
        let (TailError::Broken(error) | TailError::Fatal(error)) = &cause else {
            return Err(cause);
        };
        if let Some(address) = &open.agent {
            let is_own = matches!(cause, TailError::Broken(_));
            if is_own && self.options.protocol != Protocol::Agent {
                self.agents.addresses.avoid(address);
                return Ok(AttemptOutcome::Retry);
            }
            return Err(cause);
        }
        let may_fall_back = self.options.protocol == Protocol::Auto
            && self.source_kind == Some(SourceKind::File)
            && self.delivered.is_empty()
            && self.log.job_id().is_some();
        if is_no_route(error) && may_fall_back {
            self.source_kind = Some(SourceKind::WebSocket { has_file: true });
            return Ok(AttemptOutcome::Retry);
        }
        let cause = match cause {
            // What was there before is only away for a while.
            TailError::Fatal(error) if is_no_route(&error) && !self.delivered.is_empty() => {
                TailError::Broken(error)
            }
            cause => cause,
        };
        Err(self.log.explain(&self.operation, state, cause))
    }
}

fn file_source(dashboard: Dashboard, delivered: &Delivered) -> OpenSource {
    OpenSource {
        source: Box::new(FileSource::new(dashboard, delivered)),
        agent: None,
        is_over: false,
    }
}

fn agent_source(agent: Box<AgentSource>) -> OpenSource {
    let address = agent.address().to_owned();
    OpenSource { source: agent, agent: Some(address), is_over: false }
}
