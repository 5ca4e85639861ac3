//! Verifies that random logs arrive exactly while the node's agent is present, missing, silent,
//! that of another cluster, or repeatedly disconnected.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use ray_client::{JobSubmission, Protocol, RayClient};

use crate::ports::free_port;
use crate::proxy::{Plan, Proxy};
use crate::rng::TestRng;
use crate::server::{Request, Server, close, hold};
use crate::{head, patient, read_all, setting};

/// What the client finds at the agent's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum AtItsAddress {
    TheAgent,
    Nobody,
    SomethingSilent,
    AnotherClustersAgent,
    AnAgentThatIsCutOff,
}

use AtItsAddress::{AnAgentThatIsCutOff, AnotherClustersAgent, Nobody, SomethingSilent, TheAgent};

const ALL: [AtItsAddress; 5] =
    [TheAgent, Nobody, SomethingSilent, AnotherClustersAgent, AnAgentThatIsCutOff];

/// A listener at the agent's address, until it is dropped.
enum Listener {
    Proxy(Proxy),
    Server(Server),
    None(String),
}

impl Listener {
    fn start(what: AtItsAddress, agent: &str, seed: u64) -> Listener {
        let mut rng = TestRng(seed);
        match what {
            TheAgent => Listener::Proxy(Proxy::start(agent, |_| Plan::default())),
            AnAgentThatIsCutOff => Listener::Proxy(Proxy::start(agent, move |_| Plan {
                cut: Some(rng.between(50_000, 500_000)),
                reset: rng.below(2) == 0,
                ..Plan::default()
            })),
            SomethingSilent => Listener::Server(Server::start(|_, stream| Err(hold(stream)))),
            AnotherClustersAgent => Listener::Server(Server::start(stranger)),
            Nobody => Listener::None(format!("http://127.0.0.1:{}", free_port())),
        }
    }

    /// Returns the number of connections or requests.
    fn asked(&self) -> usize {
        match self {
            Listener::Proxy(proxy) => proxy.connections(),
            Listener::Server(server) => server.requests().len(),
            Listener::None(_) => 0,
        }
    }

    fn address(&self) -> String {
        match self {
            Listener::Proxy(proxy) => proxy.address(),
            Listener::Server(server) => server.address(),
            Listener::None(address) => address.clone(),
        }
    }
}

/// The agent of another cluster, with a longer file of the same name.
fn stranger(request: &Request, stream: &mut TcpStream) -> io::Result<()> {
    const TOTAL: u64 = 100_000_000;
    let range = request.header("range").and_then(|range| range.strip_prefix("bytes="));
    let (first, last) = match range.and_then(|range| range.split_once('-')) {
        // A request for the last bytes.
        Some(("", count)) => (TOTAL - count.parse::<u64>().unwrap(), TOTAL - 1),
        Some((first, last)) => (first.parse().unwrap(), last.parse().unwrap_or(TOTAL - 1)),
        None => (0, TOTAL - 1),
    };
    let last = last.min(TOTAL - 1);
    let body = vec![b's'; usize::try_from(last + 1 - first).unwrap()];
    let head = format!(
        "HTTP/1.1 206 x\r\ncontent-type: application/octet-stream\r\ncontent-length: {}\r\n\
         content-range: bytes {first}-{last}/{TOTAL}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat())
}

/// A dashboard that reports, for each job, the address of its listener as that of the agent. The seed of
/// the listener is at the end of the job's id.
fn dashboard(real: &str) -> (Server, Listeners) {
    let upstream = real.trim_start_matches("http://").to_owned();
    let listeners = Listeners::default();
    let known = Arc::clone(&listeners);
    let server = Server::start(move |request, stream| {
        if request.header("upgrade").is_some() {
            return pass_websocket(&upstream, request, stream);
        }
        let mut answer = ask(&upstream, request)?;
        let is_job = request.is("GET /api/jobs/") && !request.line.ends_with("/jobs/");
        let head = read_head(&mut answer)?;
        if !is_job || !head.starts_with("HTTP/1.1 200") {
            stream.write_all(head.as_bytes())?;
            io::copy(&mut answer, stream)?;
            return Err(close());
        }
        let mut json = Vec::new();
        answer.read_to_end(&mut json)?;
        let mut job: serde_json::Value = serde_json::from_slice(&json)?;
        if let Some(agent) = job["driver_agent_http_address"].as_str() {
            let mut known = known.lock().unwrap();
            let id = job["submission_id"].as_str().unwrap_or_default();
            let listener = known.entry(id.to_owned()).or_insert_with(|| {
                let (_, seed) = id.rsplit_once('-').unwrap();
                let seed = seed.parse().unwrap();
                let what = ALL[usize::try_from(seed).unwrap() % ALL.len()];
                (what, Listener::start(what, agent, seed))
            });
            job["driver_agent_http_address"] = listener.1.address().into();
        }
        let json = job.to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
        stream
            .write_all(format!("{head}content-length: {}\r\n\r\n{json}", json.len()).as_bytes())?;
        Err(close())
    });
    (server, listeners)
}

type Listeners = Arc<Mutex<HashMap<String, (AtItsAddress, Listener)>>>;

/// Forwards a request over a new connection.
fn ask(upstream: &str, request: &Request) -> io::Result<BufReader<TcpStream>> {
    let mut server = TcpStream::connect(upstream)?;
    // Ray 2.9 responds with 500 to a request without a user agent.
    let head = format!(
        "{} HTTP/1.1\r\nhost: {upstream}\r\nuser-agent: test\r\nconnection: close\r\n\r\n",
        request.line
    );
    server.write_all(head.as_bytes())?;
    Ok(BufReader::new(server))
}

/// Forwards a WebSocket in both directions.
fn pass_websocket(upstream: &str, request: &Request, client: &mut TcpStream) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream)?;
    let headers = request.headers.join("\r\n");
    write!(server, "{} HTTP/1.1\r\n{headers}\r\n\r\n", request.line)?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    io::copy(&mut server, client)?;
    Err(close())
}

fn read_head(answer: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if answer.read_line(&mut head)? == 0 {
            return Err(close());
        }
    }
    Ok(head)
}

fn without_endings(log: &[u8]) -> Vec<u8> {
    log.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect()
}

#[test]
fn logs_are_exact_if_the_agent_is_missing_or_wrong() {
    let (head, _turn) = head();
    let first = setting("RAY_CLIENT_FAULT_SEED", 1);
    let end = first + setting("RAY_CLIENT_FAULT_JOBS", 10);
    let shapes = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/shapes.py");
    let (server, listeners) = dashboard(&head.address);
    let seeds = AtomicU64::new(first);
    // Without the agent, old Rays are read over the WebSocket, which turns every line ending into
    // `\n`.
    let version = head.client().version().unwrap().ray_version;
    let is_text = matches!(&*version, "2.9.3" | "2.40.0");
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                loop {
                    let seed = seeds.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    // A new client for each, because a client stops using an agent that failed.
                    let client = RayClient::new(server.address()).unwrap();
                    let job = JobSubmission::new(format!("python {shapes} {seed}"));
                    let id = format!("shape-{seed}");
                    head.client().submit_job(&job.submission_id(&*id)).unwrap();
                    let (log, error) = read_all(&client, &id, patient(Protocol::Auto));
                    let at = listeners.lock().unwrap().get(&id).map(|(what, _)| *what);
                    assert!(error.is_none(), "seed {seed}, {at:?}: {error:?}");
                    let file = head.log_file(&id);
                    let lengths = (log.len(), file.len());
                    let is_same = if is_text {
                        without_endings(&log) == without_endings(&file)
                    } else {
                        log == file
                    };
                    assert!(is_same, "seed {seed}, {at:?}: {lengths:?}");
                }
            });
        }
    });
    let asked: usize = listeners.lock().unwrap().values().map(|(_, at)| at.asked()).sum();
    println!(
        "{} jobs byte for byte, asked the agent {asked} times, {:?}",
        end - first,
        start.elapsed()
    );
    assert!(end - first < 10 || asked > 0, "no agent was ever asked");
    drop(server);
}
