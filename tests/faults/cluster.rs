//! A fake cluster: a dashboard with one job whose log grows, and the agent of its node.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ray_client::{
    ClientError, LogTail, Protocol, RayClient, RetryPolicy, StreamLimits, TailOptions,
};
use serde_json::json;

use crate::server::{
    CHUNKED, Request, Server, TEXT, chunk, close, close_frame, frame, hold, job, messages, respond,
    respond_json, upgrade, version,
};

/// A client without retries.
pub fn client(address: &str) -> RayClient {
    RayClient::builder(address).retry(RetryPolicy::none()).build().unwrap()
}

pub fn options(protocol: Protocol) -> TailOptions {
    TailOptions::default()
        .protocol(protocol)
        .limits(StreamLimits::unlimited())
        .stream_timeout(Duration::from_secs(60))
}

/// How an agent responds, given the bytes of the log file.
pub type Answer = fn(&Request, &mut TcpStream, &[u8]) -> io::Result<()>;

/// A fake cluster: a dashboard with one job whose log grows, and the agent of its node.
pub struct Cluster {
    pub log: Arc<JobLog>,
    pub answer: Arc<Mutex<Answer>>,
    /// The number of bytes requested from the agent.
    pub by_agent: Arc<AtomicUsize>,
    pub dashboard: Server,
    pub agent: Server,
}

pub struct JobLog {
    pub bytes: Mutex<Vec<u8>>,
    pub status: Mutex<&'static str>,
    /// Whether the dashboard behaves like Ray before 2.45.
    pub is_old: AtomicBool,
    pub start_time: AtomicUsize,
    /// How many of the next requests for the file the dashboard fails.
    pub failures: AtomicUsize,
    /// The number of bytes of the log that were sent.
    pub sent: AtomicUsize,
}

impl JobLog {
    pub fn now(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    /// Sends the log as Ray does: the present lines, then new ones, then a close frame after the
    /// job ends.
    fn send_by_websocket(&self, request: &Request, stream: &mut TcpStream) -> io::Result<()> {
        upgrade(request, stream)?;
        let mut sent = 0;
        loop {
            let is_over = *self.status.lock().unwrap() == "SUCCEEDED";
            let log = self.now();
            for message in messages(&log[sent..]) {
                stream.write_all(&frame(TEXT, message))?;
            }
            sent = log.len();
            if is_over {
                stream.write_all(&close_frame(1000))?;
                return Err(hold(stream));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Cluster {
    pub fn start(log: Vec<u8>, answer: Answer) -> Cluster {
        Cluster::start_with(log, answer, None)
    }

    /// Starts a cluster whose dashboard reports `address` as that of the agent.
    pub fn start_with(log: Vec<u8>, answer: Answer, address: Option<String>) -> Cluster {
        let log = Arc::new(JobLog {
            bytes: Mutex::new(log),
            status: Mutex::new("RUNNING"),
            is_old: AtomicBool::new(false),
            start_time: AtomicUsize::new(1),
            failures: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
        });
        let answer = Arc::new(Mutex::new(answer));
        let by_agent = Arc::<AtomicUsize>::default();
        let agent = Server::start({
            let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
            let by_agent = Arc::clone(&by_agent);
            move |request, stream| {
                let answer = *answer.lock().unwrap();
                let log = log.now();
                by_agent.fetch_add(request.range_of(log.len()).len(), Ordering::Relaxed);
                answer(request, stream, &log)
            }
        });
        let address = address.unwrap_or_else(|| agent.address());
        let dashboard = Server::start({
            let log = Arc::clone(&log);
            move |request, stream| {
                let status = *log.status.lock().unwrap();
                if status == "away" {
                    Err(close())
                } else if request.is("GET /api/jobs/none") {
                    respond(stream, 404, "", "Job none does not exist")
                } else if request.is("GET /api/version") {
                    if log.is_old.load(Ordering::Relaxed) {
                        respond_json(stream, &json!({"version": "4", "ray_version": "2.9.3"}))
                    } else {
                        version(stream)
                    }
                } else if request.is("GET /api/jobs/a/logs/tail") {
                    log.send_by_websocket(request, stream)
                } else if request.is("GET /api/jobs/a/logs") {
                    let text = String::from_utf8_lossy(&log.now()).into_owned();
                    respond_json(stream, &json!({"logs": text}))
                } else if request.is("GET /api/v0/logs/file") {
                    let fails =
                        log.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                            left.checked_sub(1)
                        });
                    if fails.is_ok() {
                        return respond(stream, 503, "", "Service Unavailable");
                    }
                    let now = log.now();
                    stream.write_all(CHUNKED.as_bytes())?;
                    let marker = if log.is_old.load(Ordering::Relaxed) { "1" } else { "" };
                    for piece in request.part_of(&now).chunks(64 * 1024) {
                        stream.write_all(&chunk(&[marker.as_bytes(), piece].concat()))?;
                        log.sent.fetch_add(piece.len(), Ordering::Relaxed);
                    }
                    stream.write_all(b"0\r\n\r\n")
                } else if request.is("GET /nodes/aa") {
                    let (ip, port) = address.trim_start_matches("http://").split_once(':').unwrap();
                    let port = port.parse::<u16>().unwrap();
                    let raylet =
                        json!({"nodeManagerAddress": ip, "dashboardAgentListenPort": port});
                    respond_json(stream, &json!({"data": {"detail": {"raylet": raylet}}}))
                } else if request.is("GET /api/v0/logs?") {
                    let names = json!({"data": {"result": {"driver": ["job-driver-a.log"]}}});
                    respond_json(stream, &names)
                } else {
                    let mut job = job("a", status);
                    job["driver_agent_http_address"] = address.clone().into();
                    job["start_time"] = log.start_time.load(Ordering::Relaxed).into();
                    respond_json(stream, &job)
                }
            }
        });
        Cluster { log, answer, by_agent, dashboard, agent }
    }

    pub fn client(&self) -> RayClient {
        client(&self.dashboard.address())
    }

    pub fn agent_answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub fn write(&self, bytes: impl AsRef<[u8]>) {
        self.log.bytes.lock().unwrap().extend_from_slice(bytes.as_ref());
    }

    pub fn end(&self) {
        self.set_status("SUCCEEDED");
    }

    /// Sets the job status; `away` makes the dashboard close every connection.
    pub fn set_status(&self, status: &'static str) {
        *self.log.status.lock().unwrap() = status;
    }

    /// Waits until the agent gets `more` further requests.
    pub fn wait_for_agent_requests(&self, more: usize) {
        let before = self.agent.requests().len();
        eventually("the agent is asked", || self.agent.requests().len() >= before + more);
    }

    pub fn open_connections(&self) -> usize {
        self.dashboard.open() + self.agent.open()
    }
}

pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

pub fn numbered(lines: std::ops::Range<usize>) -> Vec<u8> {
    lines.flat_map(|n| format!("this is line number {n}\n").into_bytes()).collect()
}

/// For tails whose polls stall: a poll times out after a second.
pub fn hurried(protocol: Protocol) -> TailOptions {
    options(protocol).stream_timeout(Duration::from_secs(3))
}

pub fn next(tail: &mut LogTail) -> String {
    tail.next().unwrap().unwrap().to_string()
}

pub fn rest(tail: LogTail) -> (Vec<String>, Option<ClientError>) {
    let mut lines = Vec::new();
    for item in tail {
        match item {
            Ok(line) => lines.push(line.to_string()),
            Err(error) => return (lines, Some(error)),
        }
    }
    (lines, None)
}
