//! The ureq agent of an `Http`, and closing it from another thread.
//!
//! `Agent::shutdown` ends the reads and writes of an agent, but cannot interrupt connecting. A tail
//! therefore makes an interruptible connection of its own before ureq connects, which proves that the
//! server listens. A DNS lookup, and a host that stops responding between the two attempts, can still
//! block a tail's worker until the connect timeout.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::config::Config;

use super::connect::{Connection, Register, closed, connect};
use super::settings::Settings;
use crate::lock::lock;

/// ureq closes connections that were idle for longer, and reconnects.
const MAX_IDLE: Duration = Duration::from_secs(10);

/// Everything that `shutdown` closes: all agents of one tail, and connections made without ureq.
#[derive(Default)]
pub(super) struct Closing {
    is_closed: AtomicBool,
    agents: Mutex<Vec<Weak<Agent>>>,
    connections: Mutex<Vec<Weak<Connection>>>,
}

impl Closing {
    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        for connection in lock(&self.connections).iter().filter_map(Weak::upgrade) {
            connection.shutdown();
        }
        for agent in lock(&self.agents).iter().filter_map(Weak::upgrade) {
            Agent::clone(&agent).shutdown();
        }
    }

    fn register(&self, connection: Weak<Connection>) -> io::Result<()> {
        let mut connections = lock(&self.connections);
        connections.retain(|connection| connection.strong_count() > 0);
        connections.push(connection);
        self.check()
    }

    fn check(&self) -> io::Result<()> {
        if self.is_closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(()) }
    }
}

/// The connections of an `Http`. Clones share them.
#[derive(Clone)]
pub(super) struct Connections {
    agent: Arc<Agent>,
    /// `None` for the agent that all calls of a client share. It cannot be closed for good.
    closing: Option<Arc<Closing>>,
    last_response: Arc<Mutex<Option<Instant>>>,
}

impl Connections {
    pub(super) fn shared(config: &Config) -> Self {
        Self::new(config, None)
    }

    /// Creates connections that `shutdown` closes, together with all others made from them.
    pub(super) fn of_tail(&self, config: &Config) -> Self {
        Self::new(config, Some(self.closing.clone().unwrap_or_default()))
    }

    fn new(config: &Config, closing: Option<Arc<Closing>>) -> Self {
        let agent = Arc::new(config.new_agent());
        if let Some(closing) = &closing {
            let mut agents = lock(&closing.agents);
            agents.retain(|agent| agent.strong_count() > 0);
            agents.push(Arc::downgrade(&agent));
        }
        Self { agent, closing, last_response: Arc::default() }
    }

    pub(super) fn are_of_tail(&self) -> bool {
        self.closing.is_some()
    }

    pub(super) fn agent(&self) -> &Agent {
        &self.agent
    }

    pub(super) fn shutdown(&self) {
        match &self.closing {
            Some(closing) => closing.close(),
            None => Agent::clone(&self.agent).shutdown(),
        }
    }

    /// Fails after `shutdown`. The connection itself reads like a complete body then.
    pub(super) fn check_open(&self) -> io::Result<()> {
        self.closing.as_ref().map_or(Ok(()), |closing| closing.check())
    }

    /// Records whether the last exchange left a reusable connection.
    pub(super) fn note(&self, is_kept: bool) {
        *lock(&self.last_response) = is_kept.then(Instant::now);
    }

    /// Returns a function that registers connections for `shutdown`.
    pub(super) fn register(&self) -> Box<Register> {
        match self.closing.clone() {
            Some(closing) => Box::new(move |connection| closing.register(connection)),
            None => Box::new(|_| Ok(())),
        }
    }

    /// Checks that the server listens, before ureq connects and cannot be interrupted.
    pub(super) fn check_listener(&self, settings: &Settings, limit: Duration) -> io::Result<()> {
        let Some(closing) = &self.closing else { return Ok(()) };
        closing.check()?;
        let is_connected = lock(&self.last_response).is_some_and(|at| at.elapsed() < MAX_IDLE);
        if is_connected {
            return Ok(());
        }
        let (host, port) = settings.host_and_port();
        connect(&host, port, Instant::now() + limit, &*self.register()).map(drop)
    }
}

/// Returns the configuration of a client's agents. Each request sets its own timeouts.
pub(super) fn config(settings: &Settings) -> Config {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_age(MAX_IDLE)
        .input_buffer_size(64 * 1024)
        .user_agent(super::USER_AGENT)
        .accept("*/*")
        // `exchange` handles proxies.
        .proxy(None);
    #[cfg(feature = "tls")]
    let config = config.tls_config(super::tls::of_agent(settings));
    if settings.is_https() {
        // Before reusing a connection, ureq checks the socket for unexpected bytes, but not the records
        // that TLS has already read. Such bytes would become the response to the next request.
        return config.max_idle_connections(0).build();
    }
    config.build()
}
