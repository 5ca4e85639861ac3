//! The options of a tail: protocol, timeouts, start position.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::StreamLimits;
use crate::{ClientError, validate};

/// Which of Ray's endpoints a tail uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Protocol {
    /// Uses [`Agent`](Self::Agent) if the agent is reachable and serves the same log as the dashboard,
    /// otherwise [`Stream`](Self::Stream), otherwise [`WebSocket`](Self::WebSocket). The default.
    ///
    /// The search for the agent delays no line, because the client reads from the dashboard meanwhile.
    /// There are two exceptions: with [`last_lines`](TailOptions::last_lines) the client first searches
    /// for up to 1 s, and before Ray 2.45 for up to 2 s. If the WebSocket omits part of the log, the
    /// client reads that part with `GET /api/jobs/{id}/logs`.
    #[default]
    Auto,
    /// Reads byte ranges of the file from the dashboard agent on the job's node.
    ///
    /// Calls `GET /logs/{file}` at
    /// [`Job::driver_agent_http_address`](crate::Job::driver_agent_http_address) at each
    /// [poll interval](TailOptions::poll_interval). Transfers each byte once. Works with any Ray, but the
    /// client must be able to reach the agent.
    Agent,
    /// Reads the file from the dashboard. Needs Ray 2.45 or newer.
    ///
    /// Calls `GET /api/v0/logs/file` once for the whole file, and then for its last lines at each
    /// [poll interval](TailOptions::poll_interval).
    Stream,
    /// Uses the WebSocket `GET /api/jobs/{id}/logs/tail`, as Ray's own client does.
    ///
    /// Lines arrive about a second late. Lines of more than 4 MB and bytes that are not UTF-8 end the
    /// tail with an error, because Ray then sends nothing of the log.
    WebSocket,
}

impl FromStr for Protocol {
    type Err = ClientError;

    fn from_str(name: &str) -> Result<Self, ClientError> {
        match name {
            "auto" => Ok(Self::Auto),
            "agent" => Ok(Self::Agent),
            "stream" => Ok(Self::Stream),
            "websocket" => Ok(Self::WebSocket),
            other => Err(ClientError::invalid(format_args!(
                "protocol: must be agent, stream, websocket or auto, is {other:?}"
            ))),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Agent => "agent",
            Self::Stream => "stream",
            Self::WebSocket => "websocket",
        })
    }
}

/// How often, or how long, a broken tail reconnects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reconnects {
    /// At most this many times without a successful read in between.
    InARow(u32),
    /// Until this long after the first failure since the last successful read.
    For(Duration),
}

/// Options for following a log.
///
/// ```
/// use ray_client::{Protocol, TailOptions};
/// use std::time::Duration;
///
/// let options =
///     TailOptions::default().protocol(Protocol::Stream).stream_timeout(Duration::from_secs(60));
/// ```
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailOptions {
    pub(super) protocol: Protocol,
    pub(super) stream_timeout: Option<Duration>,
    /// `None` means the stream timeout.
    pub(super) pending_timeout: Option<Duration>,
    pub(super) poll_interval: Duration,
    pub(super) last_lines: Option<usize>,
    pub(super) from_position: Option<u64>,
    pub(super) reconnects: Reconnects,
    pub(super) limits: Option<StreamLimits>,
}

const STREAM_TIMEOUT: Duration = Duration::from_secs(10);
const PATIENT_RECONNECTS: Duration = Duration::from_secs(600);

impl Default for TailOptions {
    fn default() -> Self {
        Self {
            protocol: Protocol::Auto,
            stream_timeout: Some(STREAM_TIMEOUT),
            pending_timeout: None,
            poll_interval: Duration::from_millis(50),
            last_lines: None,
            from_position: None,
            reconnects: Reconnects::InARow(3),
            limits: None,
        }
    }
}

impl TailOptions {
    /// Returns options that follow the log to its end, however long the job is pending or silent.
    ///
    /// The tail has no stream timeout, and the client's
    /// [limits](crate::ClientBuilder::stream_limits) do not apply to it. If the connection breaks, it keeps
    /// reconnecting for 10 minutes.
    ///
    /// ```no_run
    /// use ray_client::TailOptions;
    ///
    /// let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let options = TailOptions::until_done().last_lines(20);
    /// for line in client.tail_job_logs_with("raysubmit_1", options)? {
    ///     println!("{}", line?);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    pub fn until_done() -> Self {
        Self {
            stream_timeout: None,
            reconnects: Reconnects::For(PATIENT_RECONNECTS),
            limits: Some(StreamLimits::unlimited()),
            ..Self::default()
        }
    }

    /// Sets the protocol. Defaults to [`Protocol::Auto`].
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Sets how long the log may be silent before the tail ends with 408. More than 0 and at most 300 s.
    /// Defaults to 10 s.
    pub fn stream_timeout(mut self, timeout: Duration) -> Self {
        self.stream_timeout = Some(timeout);
        self
    }

    /// Removes the stream timeout, so the log may be silent for any time.
    pub fn no_stream_timeout(mut self) -> Self {
        self.stream_timeout = None;
        self
    }

    /// Sets how long the job may be PENDING before the tail ends with 408. A job is PENDING, for example,
    /// while its packages are installed. If the cluster is unreachable when this timeout expires, the tail
    /// ends with 408 as soon as the request in progress has failed.
    ///
    /// More than 0. Defaults to the stream timeout; without one, the job may be PENDING for any time.
    pub fn pending_timeout(mut self, timeout: Duration) -> Self {
        self.pending_timeout = Some(timeout);
        self
    }

    /// Sets the interval at which a growing log is polled, from 10 ms to 60 s. Defaults to 50 ms.
    ///
    /// If the log does not grow, the interval increases to 500 ms; an interval longer than that stays. A tail
    /// that is up to date polls no more often than this. The WebSocket is not polled.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Starts with the last `lines` lines written so far, from 1 to 1,000,000. Defaults to the whole log.
    ///
    /// The agent can find these lines without reading the rest of the log. Other protocols read the whole
    /// log once. Cannot be combined with [`from_position`](Self::from_position): that is 400.
    ///
    /// ```no_run
    /// use ray_client::{RayClient, TailOptions};
    ///
    /// let client = RayClient::new("http://127.0.0.1:8265")?;
    /// for line in client.tail_job_logs_with("raysubmit_1", TailOptions::default().last_lines(100))? {
    ///     println!("{}", line?);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    pub fn last_lines(mut self, lines: usize) -> Self {
        self.last_lines = Some(lines);
        self
    }

    /// Resumes at a [`LogTail::position`](crate::LogTail::position), in bytes, for example after a crash
    /// of the calling program. Defaults to 0. Use the protocol that the position comes from.
    ///
    /// The tail ends with 400 if the position is past the end of a complete log. Cannot be combined with
    /// [`last_lines`](Self::last_lines): that is 400.
    ///
    /// ```no_run
    /// use ray_client::{ClientError, RayClient, TailOptions};
    ///
    /// fn resume(client: &RayClient, id: &str, saved: u64) -> Result<u64, ClientError> {
    ///     let options = TailOptions::until_done().from_position(saved);
    ///     let mut tail = client.tail_job_logs_with(id, options)?;
    ///     for line in &mut tail {
    ///         println!("{}", line?);
    ///     }
    ///     Ok(tail.position())
    /// }
    /// ```
    pub fn from_position(mut self, position: u64) -> Self {
        self.from_position = Some(position);
        self
    }

    /// Sets how many times the tail reconnects without a successful read in between; 0 means never.
    ///
    /// Defaults to 3. The pauses are 1, 2 and 4 s minus up to half at random, or the server's
    /// `Retry-After` if that is longer. Reconnecting also ends when the log has been silent for the stream
    /// timeout, so more reconnects need a longer one.
    pub fn reconnects(mut self, reconnects: u32) -> Self {
        self.reconnects = Reconnects::InARow(reconnects);
        self
    }

    /// Sets the limits of this tail. Defaults to the client's limits.
    pub fn limits(mut self, limits: StreamLimits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Returns how long the tail waits for a free worker.
    pub(super) fn worker_timeout(&self) -> Duration {
        self.stream_timeout.unwrap_or(STREAM_TIMEOUT)
    }

    /// Returns how long one poll may take before it is abandoned and repeated.
    pub(super) fn stall_timeout(&self) -> Duration {
        const SHORTEST: Duration = Duration::from_secs(1);
        const LONGEST: Duration = Duration::from_secs(10);
        let timeout = self.stream_timeout.unwrap_or(LONGEST * 3);
        (timeout / 3).clamp(SHORTEST, LONGEST).min(timeout)
    }

    pub(super) fn pending_timeout_or_default(&self) -> Option<Duration> {
        self.pending_timeout.or(self.stream_timeout)
    }

    pub(super) fn check(&self) -> Result<(), ClientError> {
        self.stream_timeout
            .map_or(Ok(()), |timeout| validate::stream_timeout(timeout).map(drop))?;
        if self.pending_timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(ClientError::invalid("pending_timeout: must be more than 0"));
        }
        let interval = Duration::from_millis(10)..=Duration::from_secs(60);
        if !interval.contains(&self.poll_interval) {
            return Err(ClientError::invalid("poll_interval: must be 10 ms to 60 s"));
        }
        if self.last_lines.is_some_and(|lines| !(1..=1_000_000).contains(&lines)) {
            return Err(ClientError::invalid("last_lines: must be 1 to 1000000"));
        }
        if self.last_lines.is_some() && self.from_position.is_some() {
            return Err(ClientError::invalid("last_lines and from_position: set only one of them"));
        }
        self.limits.as_ref().map_or(Ok(()), StreamLimits::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_names_are_lower_case() {
        for protocol in [Protocol::Auto, Protocol::Agent, Protocol::Stream, Protocol::WebSocket] {
            assert_eq!(protocol.to_string().parse::<Protocol>().unwrap(), protocol);
        }
        for bad in ["", "http", "Stream", "ws"] {
            assert_eq!(bad.parse::<Protocol>().unwrap_err().status(), 400);
        }
    }

    #[test]
    fn invalid_options_are_rejected() {
        let options = TailOptions::default;
        for bad in [
            options().stream_timeout(Duration::ZERO),
            options().stream_timeout(Duration::from_millis(300_001)),
            options().pending_timeout(Duration::ZERO),
            options().poll_interval(Duration::ZERO),
            options().poll_interval(Duration::from_secs(61)),
            options().last_lines(0),
            options().last_lines(1).from_position(1),
            options().limits(StreamLimits::default().queue(0)),
        ] {
            assert_eq!(bad.check().unwrap_err().status(), 400, "{bad:?}");
        }
        assert!(TailOptions::until_done().check().is_ok());
    }
}
