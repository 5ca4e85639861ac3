//! How a log is tailed: the protocol, the timeouts, where to begin.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::StreamLimits;
use crate::{ClientError, validate};

/// Which of Ray's ways a log is read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Protocol {
    /// [`Agent`](Self::Agent) if the agent can be reached and is proved to serve this log, otherwise
    /// [`Stream`](Self::Stream), otherwise [`WebSocket`](Self::WebSocket). The search for the agent
    /// delays no line: meanwhile the dashboard is read. What the WebSocket leaves out is delivered by
    /// `GET /api/jobs/{id}/logs`. The default.
    #[default]
    Auto,
    /// The file by ranges of bytes from the dashboard agent of the job's node: `GET /logs/{file}` at
    /// [`Job::driver_agent_http_address`](crate::Job::driver_agent_http_address), at every
    /// [poll interval](TailOptions::poll_interval). Every byte comes once, whatever the length of the
    /// log. Any Ray. The agent must be reachable from here.
    Agent,
    /// HTTP from the dashboard: `GET /api/v0/logs/file`, once for the whole file, and then for its last
    /// lines at every [poll interval](TailOptions::poll_interval). Needs Ray 2.45 or newer.
    Stream,
    /// The WebSocket of `GET /api/jobs/{id}/logs/tail`, as Ray's own client uses it: about a second
    /// behind, and not able to carry lines of more than 4 MB or bytes that are not UTF-8.
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

/// How long a log that broke off is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reconnects {
    /// So often without a good poll in between.
    InARow(u32),
    /// For so long since the last good poll.
    For(Duration),
}

/// How a log is tailed.
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
    /// If not given, as long as the stream timeout.
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
    /// Follows the log to its end, however long the job waits, is silent, or writes: no stream timeout,
    /// no limits, and reconnects for 10 minutes since the last good poll at the log.
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

    /// Which way the log is read. Defaults to [`Protocol::Auto`].
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// The longest silence before the tail ends with 408. More than 0 and at most 300 s; defaults to
    /// 10 s.
    pub fn stream_timeout(mut self, timeout: Duration) -> Self {
        self.stream_timeout = Some(timeout);
        self
    }

    /// The log may be silent for any time.
    pub fn no_stream_timeout(mut self) -> Self {
        self.stream_timeout = None;
        self
    }

    /// How long a job may be PENDING before the tail ends with 408, for example while its packages are
    /// installed. More than 0; defaults to the stream timeout, and to any time if there is none.
    pub fn pending_timeout(mut self, timeout: Duration) -> Self {
        self.pending_timeout = Some(timeout);
        self
    }

    /// How often a log that grows is looked at, from 10 ms to 60 s; defaults to 50 ms. Nothing of a tail
    /// is asked for more often. A log that does not grow is looked at less and less often, down to every
    /// 500 ms, or every interval if that is longer. The WebSocket is not polled: there, the server
    /// decides.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Starts with the last `lines` lines that the log has at the first contact, from 1 to 1,000,000.
    /// Defaults to all. The agent reads no more than these; from the dashboard the log is read once to
    /// find where they begin.
    pub fn last_lines(mut self, lines: usize) -> Self {
        self.last_lines = Some(lines);
        self
    }

    /// Starts at this [`LogTail::position`](crate::LogTail::position), in bytes, for example after a
    /// crash of the caller. Defaults to 0. A position beyond the end of a log that is complete is an
    /// error (400).
    pub fn from_position(mut self, position: u64) -> Self {
        self.from_position = Some(position);
        self
    }

    /// How many times in a row a log that broke off is asked for again without a good poll in between;
    /// 0 for never. Defaults to 3, after about 1, 2 and 4 s, or when the server's `Retry-After` says.
    pub fn reconnects(mut self, reconnects: u32) -> Self {
        self.reconnects = Reconnects::InARow(reconnects);
        self
    }

    /// The limits of this tail. Defaults to those of the client.
    pub fn limits(mut self, limits: StreamLimits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// How long a tail too many waits for a worker.
    pub(super) fn worker_timeout(&self) -> Duration {
        self.stream_timeout.unwrap_or(STREAM_TIMEOUT)
    }

    /// The longest that one poll may take before it is made again.
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
            return Err(ClientError::invalid("last_lines and from_position: give one of them"));
        }
        self.limits.as_ref().map_or(Ok(()), StreamLimits::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_named_in_lower_case() {
        for protocol in [Protocol::Auto, Protocol::Agent, Protocol::Stream, Protocol::WebSocket] {
            assert_eq!(protocol.to_string().parse::<Protocol>().unwrap(), protocol);
        }
        for bad in ["", "http", "Stream", "ws"] {
            assert_eq!(bad.parse::<Protocol>().unwrap_err().status(), 400);
        }
    }

    #[test]
    fn bad_options_are_refused() {
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
