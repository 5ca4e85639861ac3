//! Which way a log is read: the choice at the first contact, the search for an agent, and what happens
//! when one goes.

use std::time::{Duration, Instant};

use super::follow::{Follow, Outcome, Reading};
use crate::logging::record;
use crate::logs::log::LogState;
use crate::logs::options::Protocol;
use crate::logs::source::{
    AgentSearch, AgentSource, Dashboard, Delivered, FileSource, Found, Interrupt, Step, TextLog,
    WebSocketSource, is_no_route,
};
use crate::logs::way::Way;
use crate::transport::{Request, path};
use crate::version::Version;
use crate::{ClientError, validate};

/// How long a search for an agent is waited for if nothing else can be read meanwhile.
const SEARCH: Duration = Duration::from_secs(2);
/// The same, if the dashboard could be read, but only from the log's start.
const SHORT_SEARCH: Duration = Duration::from_secs(1);
/// How often an agent is searched for again that served nothing to compare yet.
const SEARCH_AGAIN: Duration = Duration::from_secs(1);

impl Follow {
    /// Opens the log behind what was handed out. `None` if there is nothing in it yet.
    pub(super) fn open(&mut self, state: &LogState) -> Step<Option<Reading>> {
        let way = self.way()?;
        let dashboard = self.dashboard(state, way);
        let reading = match way {
            Way::File => Some(self.file(state, dashboard)),
            Way::WebSocket { has_file } => Some(self.websocket(has_file.then_some(dashboard))?),
            Way::Agent { .. } => self.agent(state, dashboard)?,
            Way::AgentOrWebSocket => self.agent_or_websocket(state, dashboard)?,
        };
        Ok(reading.map(|mut reading| {
            if state.is_over {
                reading.nothing_more_is_written();
            }
            reading
        }))
    }

    fn agent(&mut self, state: &LogState, dashboard: Dashboard) -> Step<Option<Reading>> {
        match self.wait_for_agent(state, &dashboard, SEARCH) {
            Found::Agent(agent) => Ok(Some(agent_reading(agent))),
            Found::NotYet => self.empty(state, dashboard),
            Found::Unusable(error) if error.status() == 401 => {
                Err(Interrupt::Fatal(ClientError::rejected(
                    401,
                    format_args!("{error}: see ClientBuilder::agent_access"),
                )))
            }
            Found::Unusable(error) => Err(Interrupt::Broken(error)),
            Found::Unknown(error) => {
                Err(self.log.explain(&self.what, state, Interrupt::Broken(error)))
            }
        }
    }

    fn agent_or_websocket(
        &mut self,
        state: &LogState,
        dashboard: Dashboard,
    ) -> Step<Option<Reading>> {
        match self.wait_for_agent(state, &dashboard, SEARCH) {
            Found::Agent(agent) => Ok(Some(agent_reading(agent))),
            Found::NotYet => self.empty(state, dashboard),
            // Offsets in the file and in the WebSocket's text are not the same.
            Found::Unusable(error) | Found::Unknown(error) if self.delivered.start() > 0 => {
                Err(Interrupt::Broken(error))
            }
            Found::Unusable(error) | Found::Unknown(error) => {
                self.record_change("the WebSocket", &error);
                let reading = self.websocket(None)?;
                self.way = Some(Way::WebSocket { has_file: false });
                Ok(Some(reading))
            }
        }
    }

    /// Waits for a log that is empty, unless it stays so: the dashboard of any Ray can send that.
    fn empty(&mut self, state: &LogState, dashboard: Dashboard) -> Step<Option<Reading>> {
        if state.is_over {
            return Ok(Some(file_reading(dashboard, &self.delivered)));
        }
        self.wait_for_first_bytes()?;
        Ok(None)
    }

    /// The way of this tail, decided at the first contact.
    fn way(&mut self) -> Step<Way> {
        if let Some(way) = self.way {
            return Ok(way);
        }
        let way = match self.version() {
            Ok(version) => self.way_by(&version)?,
            // Behind a gateway that does not know the route. Ray's own way is the same on every Ray.
            Err(Interrupt::Broken(error) | Interrupt::Fatal(error))
                if is_no_route(&error) && self.options.protocol == Protocol::Auto =>
            {
                self.record_change("the WebSocket", &error);
                Way::WebSocket { has_file: false }
            }
            Err(cause) => return Err(cause),
        };
        let way = self.log.possible_way(&self.what, way)?;
        Ok(*self.way.insert(way))
    }

    fn way_by(&self, version: &Version) -> Step<Way> {
        let is_plain = version.has_plain_log_streams();
        match self.options.protocol {
            Protocol::Agent => Ok(Way::Agent { has_markers: !is_plain }),
            Protocol::WebSocket => Ok(Way::WebSocket { has_file: is_plain }),
            Protocol::Auto | Protocol::Stream if is_plain => Ok(Way::File),
            Protocol::Auto => Ok(Way::AgentOrWebSocket),
            Protocol::Stream => Err(Interrupt::Fatal(ClientError::invalid(format_args!(
                "{}: Protocol::Stream needs Ray 2.45 or newer, whose log files come as plain bytes; this cluster runs {}: use Protocol::Agent or Protocol::Auto",
                self.what, version.ray_version
            )))),
        }
    }

    fn version(&self) -> Step<Version> {
        let request = Request::get("version", path(&["api", "version"]));
        self.requests().send(request)?.json().map_err(Interrupt::of)
    }

    fn dashboard(&self, state: &LogState, way: Way) -> Dashboard {
        let request = state.request.clone();
        Dashboard::new(self.http.clone(), request, self.options.stall(), way.has_markers())
    }

    fn file(&mut self, state: &LogState, dashboard: Dashboard) -> Reading {
        self.begin_search(state, &dashboard);
        // The agent finds the last lines without reading what stands before.
        let search = self.search.take_if(|_| self.last_lines.is_some());
        match search.map(|search| (search.wait(SHORT_SEARCH), search)) {
            Some((Some(Found::Agent(agent)), _)) => return agent_reading(agent),
            Some((Some(found), search)) => self.leave_alone_if_unusable(&search, &found),
            Some((None, search)) => self.search = Some(search),
            None => {}
        }
        file_reading(dashboard, &self.delivered)
    }

    fn websocket(&mut self, file: Option<Dashboard>) -> Step<Reading> {
        let Some(id) = self.log.job_id() else {
            return Err(Interrupt::Fatal(ClientError::invalid(format_args!(
                "{}: the WebSocket carries logs of jobs only",
                self.what
            ))));
        };
        let id = validate::pasted_id("job id", id).map_err(Interrupt::Fatal)?;
        let log = TextLog {
            what: self.what.clone(),
            id: id.to_owned(),
            http: self.http.clone(),
            file,
            completes: self.options.protocol == Protocol::Auto,
        };
        let cancel = std::sync::Arc::clone(&self.cancel);
        let register = std::sync::Arc::new(move |handle| cancel.register(handle));
        let source = WebSocketSource::open(log, register, &self.delivered)?;
        Ok(Reading { source: Box::new(source), agent: None, is_over: false })
    }

    /// Begins to look for the agent, if there is one that may be used.
    fn begin_search(&mut self, state: &LogState, dashboard: &Dashboard) {
        let is_wanted = matches!(self.options.protocol, Protocol::Auto | Protocol::Agent);
        // By the dashboard a log that is over is there at once, unless most of it is to be left out.
        let is_at_once = state.is_over && self.way == Some(Way::File) && self.last_lines.is_none();
        if !is_wanted || is_at_once || self.search.is_some() {
            return;
        }
        let location = state.agent.as_ref();
        let file = location.and_then(|at| at.file(&self.http, self.agents.access));
        let Some(file) = file else { return };
        let is_left_alone = self.agents.addresses.is_left_alone(file.http.address());
        if is_left_alone && self.options.protocol == Protocol::Auto {
            return;
        }
        let dashboard = dashboard.with(self.http.for_tail(self.options.stall()));
        let cancelled = self.queue.cancelled().clone();
        self.no_search_before = Instant::now() + SEARCH_AGAIN.max(self.options.poll_interval);
        self.search = AgentSearch::begin(file, &dashboard, self.options.stall(), cancelled);
    }

    /// What a search for the agent comes to within this time.
    fn wait_for_agent(&mut self, state: &LogState, dashboard: &Dashboard, most: Duration) -> Found {
        self.begin_search(state, dashboard);
        let Some(search) = self.search.take() else {
            return Found::Unusable(ClientError::unreachable(format_args!(
                "{}: there is no agent of the job's node that may be used",
                self.what
            )));
        };
        let found = search.wait(most).unwrap_or_else(|| {
            Found::Unusable(ClientError::timeout(format_args!(
                "{}: the agent at {} did not answer within {most:?}",
                self.what,
                search.address()
            )))
        });
        self.leave_alone_if_unusable(&search, &found);
        found
    }

    /// Goes on by the agent once it was found, and looks for it again from time to time.
    pub(super) fn switch_to_agent(&mut self, state: &LogState, reading: &mut Reading) {
        if reading.agent.is_some() || reading.is_over || self.way != Some(Way::File) {
            return;
        }
        if let Some(search) = self.search.take() {
            match search.poll() {
                Some(Found::Agent(agent)) => {
                    *reading = agent_reading(agent);
                    self.record_source(reading);
                }
                Some(found) => self.leave_alone_if_unusable(&search, &found),
                None => self.search = Some(search),
            }
        } else if Instant::now() >= self.no_search_before {
            self.no_search_before = Instant::now() + SEARCH_AGAIN.max(self.options.poll_interval);
            let dashboard = self.dashboard(state, Way::File);
            self.begin_search(state, &dashboard);
        }
    }

    fn leave_alone_if_unusable(&self, search: &AgentSearch, found: &Found) {
        if let Found::Unusable(_) = found {
            self.agents.addresses.leave_alone(search.address());
        }
    }

    /// Records that the log is read from there now, because of this error.
    fn record_change(&self, source: &str, error: &ClientError) {
        if !self.is_closed() {
            record!(Info, "tail", "{}: goes on by {source}: {}", self.what, self.cause(error));
        }
    }

    /// Whether the reading that failed can be followed by another at once: without the agent that went,
    /// or by the WebSocket. Otherwise it broke off.
    pub(super) fn give_up_reading(
        &mut self,
        state: &LogState,
        reading: &Reading,
        cause: Interrupt,
    ) -> Step<Outcome> {
        let (Interrupt::Broken(error) | Interrupt::Fatal(error)) = &cause else {
            return Err(cause);
        };
        if let Some(address) = &reading.agent {
            let is_own = matches!(cause, Interrupt::Broken(_));
            if is_own && self.options.protocol != Protocol::Agent {
                self.agents.addresses.leave_alone(address);
                self.record_change("the dashboard", error);
                return Ok(Outcome::Again);
            }
            return Err(cause);
        }
        let may_fall_back = self.options.protocol == Protocol::Auto
            && self.way == Some(Way::File)
            && self.delivered.is_empty()
            && self.log.job_id().is_some();
        if is_no_route(error) && may_fall_back {
            self.record_change("the WebSocket", error);
            self.way = Some(Way::WebSocket { has_file: true });
            return Ok(Outcome::Again);
        }
        let cause = match cause {
            // What was there before is only away for a while.
            Interrupt::Fatal(error) if is_no_route(&error) && !self.delivered.is_empty() => {
                Interrupt::Broken(error)
            }
            cause => cause,
        };
        Err(self.log.explain(&self.what, state, cause))
    }
}

fn file_reading(dashboard: Dashboard, delivered: &Delivered) -> Reading {
    Reading { source: Box::new(FileSource::new(dashboard, delivered)), agent: None, is_over: false }
}

fn agent_reading(agent: Box<AgentSource>) -> Reading {
    let address = agent.address().to_owned();
    Reading { source: agent, agent: Some(address), is_over: false }
}
