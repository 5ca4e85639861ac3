//! Selects the source of a log: at the first attempt, when an agent was found, and when a source fails.

use std::time::{Duration, Instant};

use super::follow::{AttemptOutcome, Follower, OpenSource};
use crate::logging::record;
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

/// How long to wait for the search for an agent if nothing else can be read meanwhile.
const SEARCH: Duration = Duration::from_secs(2);
/// How long to wait for it if the dashboard can be read, but only from the start of the log.
const SHORT_SEARCH: Duration = Duration::from_secs(1);
/// Shortest interval between two searches for an agent.
const SEARCH_AGAIN: Duration = Duration::from_secs(1);

impl Follower {
    /// Opens a source at the end of the delivered bytes. Returns `None` if the log is still empty.
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
            SearchResult::Unusable(error) | SearchResult::Unknown(error)
                if !self.may_read_text() =>
            {
                Err(TailError::Broken(error))
            }
            SearchResult::Unusable(error) | SearchResult::Unknown(error) => {
                self.record_change("the WebSocket", &error);
                let open = self.websocket(None)?;
                self.source_kind = Some(SourceKind::WebSocket { has_file: false });
                Ok(Some(open))
            }
        }
    }

    /// Whether the WebSocket may replace the file. Not after a start position in the file: offsets in the
    /// WebSocket's text differ from those.
    fn may_read_text(&self) -> bool {
        self.delivered.start() == 0 && self.options.from_position.is_none_or(|start| start == 0)
    }

    /// Whether something else than the agent can be read.
    fn has_other_source(&self) -> bool {
        match self.source_kind {
            Some(SourceKind::Agent { .. }) => false,
            Some(SourceKind::AgentOrWebSocket) => self.may_read_text(),
            _ => true,
        }
    }

    /// Handles an empty log: waits for bytes. If the job has finished, reads the file from the dashboard,
    /// which works on any Ray, because an empty file has no marker bytes.
    fn empty(&mut self, state: &LogState, dashboard: Dashboard) -> TailResult<Option<OpenSource>> {
        if state.is_over {
            return Ok(Some(file_source(dashboard, &self.delivered)));
        }
        self.wait_for_first_bytes()?;
        Ok(None)
    }

    /// Returns the source of this tail, and selects it at the first call.
    fn source_kind(&mut self) -> TailResult<SourceKind> {
        if let Some(source_kind) = self.source_kind {
            return Ok(source_kind);
        }
        let source_kind = match self.version() {
            Ok(version) => self.source_kind_for(&version)?,
            // A gateway blocks the version route. The WebSocket works on any Ray.
            Err(TailError::Broken(error) | TailError::Fatal(error))
                if is_no_route(&error)
                    && self.options.protocol == Protocol::Auto
                    && self.log.job_id().is_some()
                    && self.may_read_text() =>
            {
                self.record_change("the WebSocket", &error);
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
                "{}: Protocol::Stream needs Ray 2.45 or newer, and this cluster runs {}: use Protocol::Agent or Protocol::Auto",
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
        // The agent finds the last lines without reading the whole log.
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
                "{}: the WebSocket serves only logs of jobs",
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

    /// Starts a search for the agent, unless it would be useless or is not allowed.
    fn begin_search(&mut self, state: &LogState, dashboard: &Dashboard) {
        self.no_search_before = Instant::now() + SEARCH_AGAIN.max(self.options.poll_interval);
        let is_wanted = matches!(self.options.protocol, Protocol::Auto | Protocol::Agent);
        // A search is not worthwhile: the dashboard serves a finished log in one response. Only for its
        // last lines is the agent faster.
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
        if is_avoided && self.has_other_source() {
            return;
        }
        let dashboard = dashboard.with(self.http.for_tail(self.options.stall_timeout()));
        let cancelled = self.queue.cancelled().clone();
        self.search = AgentSearch::begin(file, &dashboard, self.options.stall_timeout(), cancelled);
    }

    /// Searches for the agent, for up to `most`.
    fn wait_for_agent(
        &mut self,
        state: &LogState,
        dashboard: &Dashboard,
        most: Duration,
    ) -> SearchResult {
        self.begin_search(state, dashboard);
        let Some(search) = self.search.take() else {
            return SearchResult::Unusable(ClientError::unreachable(format_args!(
                "{}: there is no usable agent on its node",
                self.operation
            )));
        };
        let found = search.wait(most).unwrap_or_else(|| {
            SearchResult::Unusable(ClientError::timeout(format_args!(
                "{}: the agent at {} did not respond within {most:?}",
                self.operation,
                search.address()
            )))
        });
        self.avoid_if_unusable(&search, &found);
        found
    }

    /// Switches from the dashboard to the agent after the search has found it. Repeats the search from
    /// time to time.
    pub(super) fn switch_to_agent(&mut self, state: &LogState, open: &mut OpenSource) {
        if open.agent.is_some() || open.is_over || self.source_kind != Some(SourceKind::File) {
            return;
        }
        if let Some(search) = self.search.take() {
            match search.poll() {
                Some(SearchResult::Agent(agent)) => {
                    *open = agent_source(agent);
                    self.record_source(open);
                }
                Some(found) => self.avoid_if_unusable(&search, &found),
                None => self.search = Some(search),
            }
        } else if Instant::now() >= self.no_search_before {
            let dashboard = self.dashboard(state, SourceKind::File);
            self.begin_search(state, &dashboard);
        }
    }

    fn avoid_if_unusable(&self, search: &AgentSearch, found: &SearchResult) {
        if let SearchResult::Unusable(_) = found {
            self.avoid(search.address());
        }
    }

    fn avoid(&self, address: &str) {
        // Closing a tail shuts its connections down, which looks like a broken agent.
        if !self.is_closed() {
            self.agents.addresses.avoid(address);
        }
    }

    /// Logs a change to another source because of this error.
    fn record_change(&self, source: &str, error: &ClientError) {
        if !self.is_closed() {
            record!(
                Info,
                "tail",
                "{}: continues from {source}: {}",
                self.operation,
                self.cause(error)
            );
        }
    }

    /// Handles a failed source. Returns `Retry` if another source can be read immediately: the dashboard
    /// instead of the agent, or the WebSocket instead of the dashboard's file. Otherwise returns the error.
    pub(super) fn give_up_source(
        &mut self,
        state: &LogState,
        open: &OpenSource,
        cause: TailError,
    ) -> TailResult<AttemptOutcome> {
        let cause = match (cause, &open.agent) {
            (TailError::Agent(error), Some(address)) if self.has_other_source() => {
                self.avoid(address);
                self.record_change("the dashboard", &error);
                return Ok(AttemptOutcome::Retry);
            }
            (TailError::Agent(error), _) => return Err(TailError::Broken(error)),
            // The dashboard failed while the end was checked.
            (cause, Some(_)) => return Err(self.log.explain(&self.operation, state, cause)),
            (cause, None) => cause,
        };
        let (TailError::Broken(error) | TailError::Fatal(error)) = &cause else {
            return Err(cause);
        };
        let may_fall_back = self.options.protocol == Protocol::Auto
            && self.source_kind == Some(SourceKind::File)
            && self.delivered.is_empty()
            && self.may_read_text()
            && self.log.job_id().is_some();
        if is_no_route(error) && may_fall_back {
            self.record_change("the WebSocket", error);
            self.source_kind = Some(SourceKind::WebSocket { has_file: true });
            return Ok(AttemptOutcome::Retry);
        }
        let cause = match cause {
            // The route worked before, so it is down only temporarily.
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
