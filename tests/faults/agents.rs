//! Verifies that a log is read from its node's agent only if that serves this log, and that none of its
//! bytes is lost, doubled or late, whatever stands at the agent's address.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ray_client::{AgentAccess, ClientError, LogTail, Protocol, RayClient, RetryPolicy, TailOptions};

use crate::server::{
    Request, Server, close, full_listener, hold, job, reset, respond, respond_chunked,
    respond_json, respond_range, version,
};
use crate::{check_message, client, collect, lines_of, options};

/// How an agent answers, when this is the log's file.
type Answer = fn(&Request, &mut TcpStream, &[u8]) -> io::Result<()>;

/// A dashboard with one job, whose log grows, and what stands at the address of its node's agent.
struct Cluster {
    log: Arc<JobLog>,
    answer: Arc<Mutex<Answer>>,
    dashboard: Server,
    agent: Server,
}

struct JobLog {
    bytes: Mutex<Vec<u8>>,
    status: Mutex<&'static str>,
    start_time: AtomicUsize,
    /// How many bytes of the log were sent.
    sent: AtomicUsize,
}

impl JobLog {
    fn now(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}

impl Cluster {
    fn start(log: Vec<u8>, answer: Answer) -> Cluster {
        Cluster::start_with(log, answer, None)
    }

    /// The same; the dashboard gives this address for the agent's.
    fn start_with(log: Vec<u8>, answer: Answer, address: Option<String>) -> Cluster {
        let log = Arc::new(JobLog {
            bytes: Mutex::new(log),
            status: Mutex::new("RUNNING"),
            start_time: AtomicUsize::new(1),
            sent: AtomicUsize::new(0),
        });
        let answer = Arc::new(Mutex::new(answer));
        let agent = Server::start({
            let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
            move |request, stream| {
                let answer = *answer.lock().unwrap();
                answer(request, stream, &log.now())
            }
        });
        let address = address.unwrap_or_else(|| agent.address());
        let dashboard = Server::start({
            let log = Arc::clone(&log);
            move |request, stream| {
                if request.is("GET /api/version") {
                    version(stream)
                } else if request.is("GET /api/v0/logs/file") {
                    let now = log.now();
                    let part = request.part_of(&now);
                    log.sent.fetch_add(part.len(), Ordering::Relaxed);
                    respond_chunked(stream, part)
                } else {
                    let mut job = job("a", *log.status.lock().unwrap());
                    job["driver_agent_http_address"] = address.clone().into();
                    job["start_time"] = log.start_time.load(Ordering::Relaxed).into();
                    respond_json(stream, &job)
                }
            }
        });
        Cluster { log, answer, dashboard, agent }
    }

    fn client(&self) -> RayClient {
        client(&self.dashboard.address())
    }

    fn agent_answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn write(&self, bytes: impl AsRef<[u8]>) {
        self.log.bytes.lock().unwrap().extend_from_slice(bytes.as_ref());
    }

    fn end(&self) {
        *self.log.status.lock().unwrap() = "SUCCEEDED";
    }

    /// Waits until the agent has been asked so often since.
    fn wait_for_agent_requests(&self, more: usize) {
        let before = self.agent.requests().len();
        eventually("the agent is asked", || self.agent.requests().len() >= before + more);
    }

    fn open_connections(&self) -> usize {
        self.dashboard.open() + self.agent.open()
    }
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn numbered(lines: std::ops::Range<usize>) -> Vec<u8> {
    lines.flat_map(|n| format!("this is line number {n}\n").into_bytes()).collect()
}

/// A look that stalls is given up after a second.
fn hurried(protocol: Protocol) -> TailOptions {
    options(protocol).stream_timeout(Duration::from_secs(3))
}

fn next(tail: &mut LogTail) -> String {
    tail.next().unwrap().unwrap().to_string()
}

fn rest(tail: LogTail) -> (Vec<String>, Option<ClientError>) {
    let mut lines = Vec::new();
    for item in tail {
        match item {
            Ok(line) => lines.push(line.to_string()),
            Err(error) => return (lines, Some(error)),
        }
    }
    (lines, None)
}

const NOT_THE_AGENT: [(&str, Answer); 19] = [
    ("404", |_, s, _| respond(s, 404, "", "404: Not Found")),
    ("another log", |r, s, _| respond_range(r, s, &numbered(5000..15_000))),
    ("the same first bytes and others later", |r, s, log| {
        let mut other = log.to_vec();
        let end = other.len();
        other[8000..end].fill(b'x');
        respond_range(r, s, &other)
    }),
    ("a longer file that begins with the log", |r, s, log| {
        respond_range(r, s, &[log, &numbered(0..9)].concat())
    }),
    ("an old copy", |r, s, log| respond_range(r, s, &log[..log.len().min(20_000)])),
    ("an empty file", |r, s, _| respond_range(r, s, b"")),
    ("silence", |_, s, _| Err(hold(s))),
    ("a FIN", |_, _, _| Err(close())),
    ("a reset", |_, s, _| Err(reset(s))),
    ("401", |_, s, _| respond(s, 401, "", "Unauthorized")),
    ("403", |_, s, _| respond(s, 403, "", "Forbidden")),
    ("503", |_, s, _| respond(s, 503, "", "not now")),
    ("a page", |_, s, _| respond(s, 200, "content-type: text/html\r\n", "<html>Welcome</html>")),
    ("no ranges", |_, s, log| respond(s, 200, "", log)),
    ("a redirect", |_, s, _| respond(s, 302, "location: http://127.0.0.1:1/\r\n", "")),
    ("a range that was not asked for", |_, s, log| {
        let range = format!("content-range: bytes 7-99/{}\r\n", log.len());
        respond(s, 206, &range, &log[7..100])
    }),
    ("less than its range says", |_, s, log| {
        let range = format!("content-range: bytes 0-99/{}\r\n", log.len());
        respond(s, 206, &range, &log[..50])
    }),
    ("a range that makes no sense", |_, s, log| {
        respond(s, 206, "content-range: bytes 99-0/18446744073709551615\r\n", log)
    }),
    ("an answer without an end", |_, s, log| {
        s.write_all(b"HTTP/1.1 206 x\r\ncontent-range: bytes 0-99/100\r\n\r\n")?;
        loop {
            s.write_all(log)?;
        }
    }),
];

#[test]
fn whatever_else_stands_at_the_agents_address_the_log_arrives_once() {
    thread::scope(|scope| {
        for (name, answer) in NOT_THE_AGENT {
            scope.spawn(move || {
                let cluster = Cluster::start(numbered(0..5000), answer);
                let client = cluster.client();
                let mut tail = client.tail_job_logs_with("a", hurried(Protocol::Auto)).unwrap();
                let mut lines = vec![next(&mut tail)];
                cluster.wait_for_agent_requests(0);
                eventually(name, || !cluster.agent.requests().is_empty());
                for n in 5000..5010 {
                    cluster.write(format!("this is line number {n}\n"));
                    while lines.last() != Some(&format!("this is line number {n}")) {
                        lines.push(next(&mut tail));
                    }
                    // Longer than a search takes.
                    thread::sleep(Duration::from_millis(300));
                }
                let asked = cluster.agent.requests().len();
                cluster.end();
                let (last, end) = rest(tail);
                assert!(end.is_none(), "{name}: {end:?}");
                lines.extend(last);
                assert!(lines == lines_of(&cluster.log.now()), "{name}: {} lines", lines.len());

                // It is known now.
                let (again, end) = collect(&client, hurried(Protocol::Auto));
                assert!(end.is_none() && again == lines, "{name}: {end:?}");
                assert_eq!(cluster.agent.requests().len(), asked, "{name}");
                assert!(asked < 20, "{name}: asked {asked} times");
            });
        }
    });
}

#[test]
fn by_the_agent_alone_it_is_an_error() {
    thread::scope(|scope| {
        for (name, answer) in NOT_THE_AGENT {
            scope.spawn(move || {
                let cluster = Cluster::start(numbered(0..5000), answer);
                let options = hurried(Protocol::Agent).reconnects(0);
                let (lines, end) = collect(&cluster.client(), options);
                let error = end.unwrap_or_else(|| panic!("{name}: as if all were well"));
                assert!(lines.is_empty(), "{name}: {} lines", lines.len());
                assert!([401, 403, 404, 408, 503, 500, 302].contains(&error.status()), "{error}");
                println!("{name}: {} {error}", error.status());
                check_message(&error);
            });
        }
    });
}
