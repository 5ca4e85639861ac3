//! Live logs.

mod feed;
mod file_reader;
mod files;
mod job;
mod limits;
mod lines;
mod newlines;
mod pool;
mod resume;
mod tail;
mod whole;
mod worker;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub use files::{LogFile, LogFileName};
pub use limits::StreamLimits;
pub use lines::LogLine;
pub(crate) use pool::Tails;
pub use tail::{LogReader, LogTail};

use crate::{ClientError, RayClient, validate};
use feed::{Feed, Step};
use job::JobLog;
use pool::Control;
use worker::Worker;

/// By which of Ray's two ways a job's log is tailed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Protocol {
    /// [`Stream`](Self::Stream) where the cluster's Ray is 2.45 or newer, else
    /// [`WebSocket`](Self::WebSocket), also where the file's route cannot be had at all. What the
    /// WebSocket leaves out is then delivered by `GET /api/jobs/{id}/logs`. The default.
    #[default]
    Auto,
    /// HTTP, by `GET /api/v0/logs/file` at every [poll interval](TailOptions::poll_interval): fast, and
    /// any bytes. Ray serves a log from its start only, so that a long one is looked at less often.
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
            "stream" => Ok(Self::Stream),
            "websocket" => Ok(Self::WebSocket),
            other => Err(ClientError::invalid(format_args!(
                "protocol: must be stream, websocket or auto, is {other:?}"
            ))),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Stream => "stream",
            Self::WebSocket => "websocket",
        })
    }
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
    pub(crate) protocol: Protocol,
    pub(crate) stream_timeout: Duration,
    pub(crate) poll_interval: Duration,
    pub(crate) last_lines: Option<usize>,
    pub(crate) from_position: Option<u64>,
    pub(crate) reconnects: u32,
    pub(crate) limits: Option<StreamLimits>,
}

impl Default for TailOptions {
    fn default() -> Self {
        Self {
            protocol: Protocol::Auto,
            stream_timeout: Duration::from_secs(10),
            poll_interval: Duration::from_millis(50),
            last_lines: None,
            from_position: None,
            reconnects: 3,
            limits: None,
        }
    }
}

impl TailOptions {
    /// By which way. Defaults to [`Protocol::Auto`].
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// The longest silence before the tail ends with 408; waiting for a PENDING job is silence too.
    /// More than 0 and at most 300 s; defaults to 10 s.
    pub fn stream_timeout(mut self, timeout: Duration) -> Self {
        self.stream_timeout = timeout;
        self
    }

    /// How often a log that grows is looked at, from 10 ms to 60 s. Defaults to 50 ms. One that does
    /// not grow is looked at less and less often, down to every 500 ms, and one of more than 256 KiB is
    /// being read for at most a fifth of the time. Has no meaning over the WebSocket, where the server
    /// decides.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Starts with the last `lines` lines that the log has at the first contact, from 1 to 1,000,000.
    /// Defaults to all. The log is read once more to find where they begin.
    pub fn last_lines(mut self, lines: usize) -> Self {
        self.last_lines = Some(lines);
        self
    }

    /// Starts at this [`LogTail::position`], in bytes, as after a crash of the caller. Defaults to 0.
    /// A position beyond the end of a log that is complete is an error (400).
    pub fn from_position(mut self, position: u64) -> Self {
        self.from_position = Some(position);
        self
    }

    /// How often in a row a broken connection is made again without a byte of progress in between;
    /// 0 for never. Defaults to 3.
    pub fn reconnects(mut self, reconnects: u32) -> Self {
        self.reconnects = reconnects;
        self
    }

    /// The limits of this tail. Defaults to those of the client.
    pub fn limits(mut self, limits: StreamLimits) -> Self {
        self.limits = Some(limits);
        self
    }

    fn check(&self) -> Result<(), ClientError> {
        validate::stream_timeout(self.stream_timeout)?;
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

impl RayClient {
    /// Tails the log of a job with default options; see
    /// [`tail_job_logs_with`](Self::tail_job_logs_with).
    ///
    /// # Errors
    /// As [`tail_job_logs_with`](Self::tail_job_logs_with).
    pub fn tail_job_logs(&self, id: impl AsRef<str>) -> Result<LogTail, ClientError> {
        self.tail_job_logs_with(id, TailOptions::default())
    }

    /// Tails the log of a job by Ray's WebSocket.
    ///
    /// # Errors
    /// As [`tail_job_logs_with`](Self::tail_job_logs_with).
    pub fn websocket_tail_job_logs(
        &self,
        id: impl AsRef<str>,
        stream_timeout: Duration,
    ) -> Result<LogTail, ClientError> {
        let options = TailOptions::default().protocol(Protocol::WebSocket);
        self.tail_job_logs_with(id, options.stream_timeout(stream_timeout))
    }

    /// Tails the log of a job over HTTP. Needs Ray 2.45 or newer.
    ///
    /// # Errors
    /// As [`tail_job_logs_with`](Self::tail_job_logs_with).
    pub fn stream_tail_job_logs(
        &self,
        id: impl AsRef<str>,
        stream_timeout: Duration,
    ) -> Result<LogTail, ClientError> {
        let options = TailOptions::default().protocol(Protocol::Stream);
        self.tail_job_logs_with(id, options.stream_timeout(stream_timeout))
    }

    /// Tails the log of a job, from its start to its true end. Calls `GET /api/jobs/{id}` and
    /// `GET /api/version`, then `GET /api/v0/logs/file` again and again, or the WebSocket
    /// `/api/jobs/{id}/logs/tail`.
    ///
    /// One of the client's 5 workers feeds the tail until it ends or is dropped. While all of them
    /// are busy, this waits for one, up to the stream timeout.
    ///
    /// # Errors
    /// 400 where the id or an option is not valid, 429 where no worker became free. What the cluster
    /// says comes from the iterator; see [`LogTail`].
    pub fn tail_job_logs_with(
        &self,
        id: impl AsRef<str>,
        options: TailOptions,
    ) -> Result<LogTail, ClientError> {
        let id = validate::id("job id", id.as_ref())?;
        let what = format!("tail job `{id}`");
        let mut log =
            JobLog::new(id.to_owned(), options.protocol, options.poll_interval, options.last_lines);
        self.tail(what, options, move |worker| worker.run(|worker| log.attempt(worker)))
    }

    /// Starts a worker that feeds a tail.
    fn tail(
        &self,
        what: String,
        options: TailOptions,
        feed: impl FnOnce(&mut Worker) -> Step<()> + Send + 'static,
    ) -> Result<LogTail, ClientError> {
        options.check()?;
        let limits = options.limits.unwrap_or_else(|| self.stream_limits().clone());
        let max_piece = limits.max_message_size;
        let position = options.from_position.unwrap_or(0);
        let slot = self.tails().slot(&what, options.stream_timeout)?;
        let http = self.http().for_tail(options.stream_timeout);
        let (control, cancelled) = Control::new(http.clone());
        let (sender, receiver) = Feed::new(limits, position, cancelled);
        let mut worker = Worker {
            what: what.clone(),
            http,
            feed: sender,
            stream_timeout: options.stream_timeout,
            reconnects: options.reconnects,
            control: control.clone(),
        };
        self.tails().run(slot, &control, move || {
            let result = feed(&mut worker);
            worker.feed.finish(result);
        });
        Ok(LogTail::new(what, max_piece, receiver, control).starting_at(position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_named_in_lower_case() {
        for protocol in [Protocol::Auto, Protocol::Stream, Protocol::WebSocket] {
            assert_eq!(protocol.to_string().parse::<Protocol>().unwrap(), protocol);
        }
        for bad in ["", "http", "Stream", "ws"] {
            assert_eq!(bad.parse::<Protocol>().unwrap_err().status(), 400);
        }
    }

    #[test]
    fn bad_options_are_refused_by_the_call_itself() {
        let client = RayClient::new("http://127.0.0.1:9").unwrap();
        let options = TailOptions::default;
        for bad in [
            options().stream_timeout(Duration::ZERO),
            options().stream_timeout(Duration::from_millis(300_001)),
            options().poll_interval(Duration::ZERO),
            options().poll_interval(Duration::from_secs(61)),
            options().last_lines(0),
            options().last_lines(1).from_position(1),
            options().limits(StreamLimits::default().queue(0)),
        ] {
            assert_eq!(client.tail_job_logs_with("a", bad).unwrap_err().status(), 400);
        }
        assert_eq!(client.tail_job_logs("a/b").unwrap_err().status(), 400);
    }

    #[test]
    fn a_worker_that_panics_ends_its_tail_with_an_error_and_is_free_again() {
        let client = RayClient::new("http://127.0.0.1:9").unwrap();
        for _ in 0..2 * pool::WORKERS {
            let mut tail = client
                .tail("tail job `a`".to_owned(), TailOptions::default(), |worker| {
                    worker.feed.deliver(b"one\ntw")?;
                    panic!("on purpose");
                })
                .unwrap();
            assert_eq!(tail.next().unwrap().unwrap(), "one");
            assert!(tail.next().unwrap().unwrap().is_partial());
            assert_eq!(tail.next().unwrap().unwrap_err().status(), 500);
            assert!(tail.next().is_none());
        }
    }
}
