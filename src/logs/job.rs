//! Following the log of a job, by either protocol, to its true end.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::Protocol;
use super::feed::{Interrupt, Step};
use super::newlines::UniversalNewlines;
use super::resume::{LastLines, Skip};
use super::worker::{Every, Progress, SLICE, Worker};
use crate::jobs::{Job, JobStatus, JobType, job_request};
use crate::transport::{Event, Request, WebSocket, path};
use crate::{ClientError, RayClient, Version};

/// How often a silent job is asked whether it is over.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);

pub(super) struct JobLog {
    pub(super) id: String,
    pub(super) protocol: Protocol,
    pub(super) poll_interval: Duration,
    pub(super) last_lines: Option<usize>,
    /// Decided with the first contact.
    choice: Option<Choice>,
    /// How long a job that has not started is left alone before it is asked again.
    patience: Duration,
}

#[derive(Clone, Copy)]
struct Choice {
    websocket: bool,
    /// Whether this Ray's log files can be read byte by byte over HTTP.
    plain: bool,
}

impl JobLog {
    pub(super) fn new(
        id: String,
        protocol: Protocol,
        poll_interval: Duration,
        last_lines: Option<usize>,
    ) -> Self {
        let patience = Duration::from_millis(50);
        Self { id, protocol, poll_interval, last_lines, choice: None, patience }
    }

    pub(super) fn attempt(&mut self, worker: &mut Worker) -> Step<Progress> {
        let job = self.job(worker)?;
        if job.job_type == JobType::Driver {
            return Err(Interrupt::Fatal(no_log(&worker.what)));
        }
        let over = job.status.is_terminal();
        if job.driver_node_id.is_none() && over {
            // It never got to a node, so that there is no log.
            return self.ended(worker, 0);
        }
        if job.driver_node_id.is_none() || job.status == JobStatus::Pending {
            worker.check_silence(&format!("the job is still {}", job.status))?;
            worker.feed.pause(self.patience)?;
            self.patience = (self.patience * 3 / 2).min(Duration::from_millis(500));
            return Ok(Progress::Again);
        }
        let choice = self.choose(worker)?;
        if let Some(lines) = self.last_lines {
            let position = self.start_of_last_lines(worker, &job, choice, lines)?;
            worker.feed.begin_at(position)?;
            self.last_lines = None;
        }
        match (choice.websocket, over) {
            (true, _) => self.websocket(worker, choice),
            (false, true) => self.rest_of_file(worker, &job, false),
            (false, false) => self.follow(worker, &job),
        }
    }

    fn job(&self, worker: &Worker) -> Step<Job> {
        let answer = worker.http.send(&job_request(&self.id)).map_err(interrupt)?;
        answer.json().map_err(interrupt)
    }

    fn choose(&mut self, worker: &Worker) -> Step<Choice> {
        if let Some(choice) = self.choice {
            return Ok(choice);
        }
        let request = Request::get("version", path(&["api", "version"]));
        let version: Version =
            worker.http.send(&request).and_then(|answer| answer.json()).map_err(interrupt)?;
        let plain = version.has_plain_log_streams();
        if self.protocol == Protocol::Stream && !plain {
            return Err(Interrupt::Fatal(ClientError::invalid(format_args!(
                "{}: Protocol::Stream needs Ray 2.45 or newer, whose log streams are the plain bytes; this cluster runs {}: use Protocol::WebSocket or Protocol::Auto",
                worker.what, version.ray_version
            ))));
        }
        let websocket = self.protocol == Protocol::WebSocket || !plain;
        Ok(*self.choice.insert(Choice { websocket, plain }))
    }

    /// `Auto` goes on by the other way where this one cannot be had at all.
    fn fall_back(&mut self, error: ClientError) -> Step<Progress> {
        let refused = matches!(error.status(), 400 | 404 | 405 | 426 | 501)
            && !matches!(error, ClientError::InvalidParameter { .. });
        match self.choice {
            Some(Choice { websocket, plain: true })
                if refused && self.protocol == Protocol::Auto =>
            {
                self.choice = Some(Choice { websocket: !websocket, plain: true });
                self.protocol = if websocket { Protocol::Stream } else { Protocol::WebSocket };
                Ok(Progress::Again)
            }
            _ if refused => Err(Interrupt::Fatal(error)),
            _ => Err(interrupt(error)),
        }
    }

    /// Reads the file again and again until the job is over. Ray's `/api/v0/logs/stream` is not
    /// used: it does not notice that a client left a silent log, keeps one of its 100 places for
    /// that client for ever, and after 100 such tails answers every state call with 429 (measured
    /// on Ray 2.60.0).
    fn follow(&mut self, worker: &mut Worker, job: &Job) -> Step<Progress> {
        let mut due = Every::new(STATUS_INTERVAL);
        loop {
            let started = Instant::now();
            match self.rest_of_file(worker, job, false) {
                Err(Interrupt::Broken(error)) if self.protocol == Protocol::Auto => {
                    return self.fall_back(error);
                }
                other => other?,
            };
            if due.is_due() && self.job(worker)?.status.is_terminal() {
                return Ok(Progress::Again);
            }
            worker.check_silence("the job is still running")?;
            // A long log is read less often, so that the server has time for others.
            worker.feed.pause(self.poll_interval.max(started.elapsed() * 4))?;
        }
    }

    /// Delivers what is missing of the log of a job that is over: the file is complete then.
    fn rest_of_file(&self, worker: &mut Worker, job: &Job, as_text: bool) -> Step<Progress> {
        let mut skip = Skip::to(worker.feed.position());
        let mut newlines = UniversalNewlines::default();
        self.read_file(worker, job, |worker, bytes| {
            let text = if as_text { newlines.translate(bytes) } else { bytes.into() };
            match skip.rest(&text) {
                [] => Ok(()),
                new => worker.feed.deliver(new),
            }
        })?;
        if job.status.is_terminal() { self.ended(worker, skip.left()) } else { Ok(Progress::Again) }
    }

    /// The log is complete, unless the caller begins beyond its end.
    fn ended(&self, worker: &Worker, beyond: u64) -> Step<Progress> {
        if beyond == 0 {
            return Ok(Progress::Complete);
        }
        Err(Interrupt::Fatal(ClientError::invalid(format_args!(
            "{}: position {} is beyond the end of the log by {beyond} bytes",
            worker.what,
            worker.feed.position()
        ))))
    }

    /// The log file as it stands, piece by piece.
    fn read_file(
        &self,
        worker: &mut Worker,
        job: &Job,
        take: impl FnMut(&mut Worker, &[u8]) -> Step<()>,
    ) -> Step<()> {
        let request = log_request(&worker.what, job);
        let stream =
            worker.open(&request).map_err(|error| interrupt(lost(&worker.what, job, error)))?;
        worker.read(stream, take, |worker| {
            worker.check_silence("the rest of the log does not come").map(|()| false)
        })
    }

    /// Reads the WebSocket until Ray closes it. That alone proves nothing.
    fn websocket(&mut self, worker: &mut Worker, choice: Choice) -> Step<Progress> {
        let request = Request::get(&worker.what, path(&["api", "jobs", &self.id, "logs", "tail"]));
        let mut socket = match WebSocket::open(&worker.http, &request, worker.register()) {
            Ok(socket) => socket,
            Err(error) => return self.fall_back(error),
        };
        let mut skip = Skip::to(worker.feed.position());
        let code = loop {
            match socket.read(SLICE).map_err(Interrupt::Broken)? {
                Event::Text(text) => {
                    worker.feed.sign_of_life();
                    let new = skip.rest(text.as_bytes());
                    if !new.is_empty() {
                        worker.feed.message()?;
                        worker.feed.deliver(new)?;
                    }
                }
                Event::Idle => worker.check_silence("nothing came over the WebSocket")?,
                Event::Closed(code) => break code,
            }
        };
        drop(socket);
        let job = self.job(worker)?;
        if !job.status.is_terminal() || code != 1000 {
            return Err(Interrupt::Broken(ClientError::unreachable(format_args!(
                "{}: the server closed the WebSocket (code {code}) while the job is {}",
                worker.what, job.status
            ))));
        }
        self.check_websocket(worker, &job, choice)
    }

    /// Whether the WebSocket carried the whole log: it closes with 1000, too, where it could not.
    fn check_websocket(&self, worker: &mut Worker, job: &Job, choice: Choice) -> Step<Progress> {
        if self.protocol == Protocol::Auto && choice.plain {
            return self.rest_of_file(worker, job, true);
        }
        let mut length = 0;
        self.read_text(worker, job, choice, |bytes| length += bytes.len() as u64)?;
        let position = worker.feed.position();
        if length > position {
            return Err(Interrupt::Broken(ClientError::unexpected(format_args!(
                "{}: Ray's WebSocket left out {} of {length} bytes, as it does with a line of more than 4 MB or bytes that are not UTF-8: use Protocol::Stream or Protocol::Auto",
                worker.what,
                length - position
            ))));
        }
        self.ended(worker, position - length)
    }

    /// The log as Ray's WebSocket would send it, all at once.
    fn read_text(
        &self,
        worker: &mut Worker,
        job: &Job,
        choice: Choice,
        mut take: impl FnMut(&[u8]),
    ) -> Step<()> {
        let mut newlines = UniversalNewlines::default();
        if choice.plain {
            return self.read_file(worker, job, |_, bytes| {
                take(&newlines.translate(bytes));
                Ok(())
            });
        }
        let request = whole_log_request(&worker.what, &self.id);
        let answer = worker
            .http
            .send(&request)
            .map_err(|error| interrupt(lost(&worker.what, job, error)))?;
        let log = answer.json::<WholeLog>().map_err(interrupt)?.logs;
        take(&newlines.translate(log.as_bytes()));
        Ok(())
    }

    fn start_of_last_lines(
        &self,
        worker: &mut Worker,
        job: &Job,
        choice: Choice,
        lines: usize,
    ) -> Step<u64> {
        let mut last = LastLines::new(lines);
        if choice.websocket {
            self.read_text(worker, job, choice, |bytes| last.push(bytes))?;
        } else {
            self.read_file(worker, job, |_, bytes| {
                last.push(bytes);
                Ok(())
            })?;
        }
        Ok(last.position())
    }
}

#[derive(Deserialize)]
struct WholeLog {
    logs: String,
}

/// The whole log in one string, as old Rays send it as well.
fn whole_log_request(what: &str, id: &str) -> Request {
    Request::get(what, path(&["api", "jobs", id, "logs"])).unhurried()
}

/// The log file as it stands.
fn log_request(what: &str, job: &Job) -> Request {
    Request::get(what, path(&["api", "v0", "logs", "file"]))
        // Ray wants a node id, and does not use it where a submission id is given.
        .query("node_id", job.driver_node_id.as_deref().unwrap_or_default())
        .query("submission_id", job.id())
        .query("lines", -1)
}

fn no_log(what: &str) -> ClientError {
    ClientError::rejected(
        400,
        format_args!("{what}: it was not started by the job API, and Ray keeps no log of it"),
    )
}

impl RayClient {
    /// The whole log of a job as it stands; empty where the job has not started. Bytes that are not
    /// UTF-8 become U+FFFD. Calls `GET /api/jobs/{id}`, `GET /api/version` and
    /// `GET /api/v0/logs/file` (before Ray 2.45 `GET /api/jobs/{id}/logs`, which cannot carry bytes
    /// that are not UTF-8).
    ///
    /// # Errors
    /// 404 where there is no such job; 400 where the id is not valid or the job was started outside
    /// the job API; 500 where the log is larger than 256 MiB: [tail](Self::tail_job_logs) it; 503
    /// where the job is over and its log can no longer be had, as when its node died; else as
    /// [`list_jobs`](Self::list_jobs).
    pub fn list_job_logs(&self, id: impl AsRef<str>) -> Result<String, ClientError> {
        let job = self.get_job(id)?;
        let what = format!("list logs of job `{}`", job.id());
        if job.job_type == JobType::Driver {
            return Err(no_log(&what));
        }
        if job.driver_node_id.is_none() {
            return Ok(String::new());
        }
        if !self.version()?.has_plain_log_streams() {
            let answer = self.http().send(&whole_log_request(&what, job.id()))?;
            return Ok(answer.json::<WholeLog>()?.logs);
        }
        match self.http().send(&log_request(&what, &job).unhurried()) {
            Ok(answer) => Ok(text(answer.body)),
            Err(error) => Err(lost(&what, &job, error)),
        }
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Ray's refusal to send the log of a job that is over means that the log is gone, as with its node.
fn lost(what: &str, job: &Job, error: ClientError) -> ClientError {
    match error {
        ClientError::Rejected { status: 500, message } if job.status.is_terminal() => {
            let reason = message.strip_prefix(what).unwrap_or(&message);
            ClientError::log_lost(format_args!(
                "{what}: the job is over ({}), but its log can no longer be had{reason}",
                job.status
            ))
        }
        error => error,
    }
}

/// What may pass by itself is a break; what is about the caller's parameters is not.
fn interrupt(error: ClientError) -> Interrupt {
    match error.status() {
        400 | 401 | 403 | 404 => Interrupt::Fatal(error),
        _ => Interrupt::Broken(error),
    }
}
