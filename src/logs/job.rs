//! Following the log of a job, by either protocol, to its true end.

use std::time::Duration;

use super::Protocol;
use super::feed::{Interrupt, Step};
use super::file_reader::{FileReader, Rest};
use super::newlines::UniversalNewlines;
use super::resume::{LastLines, Skip};
use super::whole::{WholeLog, check_empty, file_request, lost, no_log, whole_log_request};
use super::worker::{Progress, SLICE, Worker};
use crate::jobs::{Job, JobStatus, JobType, job_request};
use crate::transport::{Event, Request, WebSocket, path};
use crate::{ClientError, Version};

pub(super) struct JobLog {
    pub(super) id: String,
    pub(super) protocol: Protocol,
    pub(super) poll_interval: Duration,
    pub(super) last_lines: Option<usize>,
    /// Decided with the first contact.
    choice: Option<Choice>,
    /// How long a job that has not started is left alone before it is asked again.
    patience: Duration,
    /// The position at which a WebSocket ended well without the rest of the log.
    left_out_at: Option<u64>,
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
        Self { id, protocol, poll_interval, last_lines, choice: None, patience, left_out_at: None }
    }

    pub(super) fn attempt(&mut self, worker: &mut Worker) -> Step<Progress> {
        let job = self.job(worker)?;
        if job.job_type == JobType::Driver {
            return Err(Interrupt::Fatal(no_log(&worker.what)));
        }
        if job.driver_node_id.is_none() && job.status.is_terminal() {
            // It never got to a node, so that there is no log.
            return worker.ended(0);
        }
        if job.driver_node_id.is_none() || job.status == JobStatus::Pending {
            worker.check_silence(&format!("the job is still {}", job.status))?;
            worker.feed.pause(self.patience.min(worker.time_to_silence()))?;
            self.patience = (self.patience * 3 / 2).min(Duration::from_millis(500));
            return Ok(Progress::Again);
        }
        let choice = self.choose(worker)?;
        match self.follow(worker, &job, choice) {
            Err(Interrupt::Broken(error) | Interrupt::Fatal(error)) if is_refusal(&error) => {
                self.fall_back(worker, choice, error)
            }
            other => other,
        }
    }

    fn follow(&mut self, worker: &mut Worker, job: &Job, choice: Choice) -> Step<Progress> {
        if let Some(lines) = self.last_lines {
            let position = start_of_last_lines(worker, job, choice, lines)?;
            worker.feed.begin_at(position)?;
            self.last_lines = None;
        }
        if choice.websocket { self.websocket(worker, choice) } else { self.file(worker, job) }
    }

    fn job(&self, worker: &Worker) -> Step<Job> {
        worker.send(job_request(&self.id))?.json().map_err(Interrupt::of)
    }

    fn choose(&mut self, worker: &Worker) -> Step<Choice> {
        if let Some(choice) = self.choice {
            return Ok(choice);
        }
        let request = Request::get("version", path(&["api", "version"]));
        let version: Version = worker.send(request)?.json().map_err(Interrupt::of)?;
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

    /// `Auto` takes the WebSocket where files cannot be had at all, as behind a gateway that does not
    /// know their route. What was there before is only away for a while; and positions of one way are
    /// none of the other.
    fn fall_back(&mut self, worker: &Worker, choice: Choice, error: ClientError) -> Step<Progress> {
        if worker.feed.position() > 0 {
            return Err(Interrupt::Broken(error));
        }
        if self.protocol != Protocol::Auto || choice.websocket {
            return Err(Interrupt::Fatal(error));
        }
        self.choice = Some(Choice { websocket: true, ..choice });
        Ok(Progress::Again)
    }

    /// Reads the file until the job is over, and once more then: it is complete before the status
    /// turns terminal.
    fn file(&mut self, worker: &mut Worker, job: &Job) -> Step<Progress> {
        let file = FileReader::new(file_request(&worker.what, job));
        if job.status.is_terminal() {
            let rest =
                file.deliver_rest(worker).map_err(|cause| if_lost(&worker.what, job, cause))?;
            // Without a length or chunks, as from a proxy that speaks HTTP/1.0, the end of a connection
            // is all there is. It is believed where the file ends there twice.
            return match rest {
                Rest { has_end: false, grew: true, .. } => Ok(Progress::Again),
                Rest { has_end: false, missing: 1.., .. } => Err(worker.broke_off()),
                rest => {
                    if worker.feed.position() == 0 {
                        check_empty(&worker.http, &worker.what, job).map_err(Interrupt::of)?;
                    }
                    worker.ended(rest.missing)
                }
            };
        }
        let followed = file.follow(worker, self.poll_interval, |worker| {
            Ok(self.job(worker)?.status.is_terminal())
        });
        followed.map(|()| Progress::Again).map_err(|cause| if_lost(&worker.what, job, cause))
    }

    /// Reads the WebSocket until Ray closes it. That alone proves nothing.
    fn websocket(&mut self, worker: &mut Worker, choice: Choice) -> Step<Progress> {
        let request = Request::get(&worker.what, path(&["api", "jobs", &self.id, "logs", "tail"]));
        let request = worker.hurried(request);
        let mut socket =
            WebSocket::open(&worker.http, &request, &*worker.register()).map_err(Interrupt::of)?;
        let code = receive(&mut socket, worker)?;
        drop(socket);
        let job = self.job(worker)?;
        let is_over = job.status.is_terminal() && (code == 1000 || self.protocol == Protocol::Auto);
        if !is_over {
            return Err(Interrupt::Broken(ClientError::unreachable(format_args!(
                "{}: the server closed the WebSocket (code {code}) while the job is {}",
                worker.what, job.status
            ))));
        }
        self.check_websocket(worker, &job, choice)
    }

    /// Whether the WebSocket carried the whole log: it closes with 1000, too, where it could not. `Auto`
    /// delivers what it left out.
    fn check_websocket(
        &mut self,
        worker: &mut Worker,
        job: &Job,
        choice: Choice,
    ) -> Step<Progress> {
        let completes = self.protocol == Protocol::Auto;
        let mut skip = Skip::to(worker.feed.position());
        let mut missing = 0;
        read_text(worker, job, choice, |worker, text| match skip.rest(text) {
            new if completes && !new.is_empty() => worker.feed.deliver(new),
            new => {
                missing += new.len();
                Ok(())
            }
        })?;
        if missing > 0 {
            let others =
                if choice.plain { "Protocol::Stream or Protocol::Auto" } else { "Protocol::Auto" };
            let error = ClientError::unexpected(format_args!(
                "{}: Ray's WebSocket left out {missing} bytes, as it does with a line of more than 4 MB or bytes that are not UTF-8: use {others}",
                worker.what,
            ));
            // Once, it may have been something between; twice, it is Ray.
            let at = Some(worker.feed.position());
            let is_rays = std::mem::replace(&mut self.left_out_at, at) == at;
            return Err(if is_rays { Interrupt::Fatal(error) } else { Interrupt::Broken(error) });
        }
        worker.ended(skip.left())
    }
}

fn start_of_last_lines(worker: &mut Worker, job: &Job, choice: Choice, lines: usize) -> Step<u64> {
    if !choice.websocket {
        let file = FileReader::new(file_request(&worker.what, job));
        return file
            .start_of_last_lines(worker, lines)
            .map_err(|cause| if_lost(&worker.what, job, cause));
    }
    let mut last = LastLines::new(lines);
    read_text(worker, job, choice, |_, text| {
        last.push(text);
        Ok(())
    })?;
    Ok(last.position())
}

fn if_lost(what: &str, job: &Job, cause: Interrupt) -> Interrupt {
    cause.map_broken(|error| lost(what, job, error))
}

/// Delivers what is new of a WebSocket that begins at the start of the log. The code it closes with.
fn receive(socket: &mut WebSocket, worker: &mut Worker) -> Step<u16> {
    let mut skip = Skip::to(worker.feed.position());
    loop {
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
            Event::Closed(code) => return Ok(code),
        }
    }
}

/// The log as Ray's WebSocket would send it, all at once.
fn read_text(
    worker: &mut Worker,
    job: &Job,
    choice: Choice,
    mut take: impl FnMut(&mut Worker, &[u8]) -> Step<()>,
) -> Step<()> {
    let mut newlines = UniversalNewlines::default();
    if choice.plain {
        let file = FileReader::new(file_request(&worker.what, job));
        match file.read(worker, |worker, bytes| take(worker, &newlines.translate(bytes))) {
            Ok(true) => return Ok(()),
            Ok(false) => return Err(worker.broke_off()),
            // Nothing came: the other route may be there.
            Err(Interrupt::Broken(error) | Interrupt::Fatal(error)) if is_refusal(&error) => {}
            Err(cause) => return Err(if_lost(&worker.what, job, cause)),
        }
    }
    let answer = worker
        .http
        .send(&whole_log_request(&worker.what, job.id()))
        .map_err(|error| if_lost(&worker.what, job, Interrupt::of(error)))?;
    let log = answer.json::<WholeLog>().map_err(Interrupt::of)?.logs;
    take(worker, &newlines.translate(log.as_bytes()))
}

/// Whether the server, or what is before it, does not have this route.
fn is_refusal(error: &ClientError) -> bool {
    matches!(error.status(), 400 | 404 | 405 | 426 | 501)
        && !matches!(error, ClientError::InvalidParameter { .. })
}
