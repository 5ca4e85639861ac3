//! Verifies that tails and clients leak no threads, file descriptors or memory.
//!
//! A separate program, because it counts those of the whole process.

#[path = "../support/rng.rs"]
#[allow(dead_code, reason = "each user takes what it needs")]
mod rng;
#[path = "../support/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ray_client::{JobSubmission, Protocol, RayClient, StreamLimits, TailOptions};
use rng::TestRng;
use server::{
    CHUNKED, PING, Server, TEXT, chunk, close, frame, full_listener, hold, job, respond_json,
};
use support::{Head, eventually};

/// Lets only one test count at a time.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn resident_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Counts the threads whose names start with `start`. Linux truncates names to 15 bytes.
fn threads(start: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with(start))
        .count()
}

/// Counts the threads of all tail pools.
fn workers() -> usize {
    threads("ray-client-tail")
}

fn options(protocol: Protocol) -> TailOptions {
    TailOptions::default()
        .protocol(protocol)
        .limits(StreamLimits::unlimited())
        .stream_timeout(Duration::from_secs(60))
}

fn protocol(n: usize) -> Protocol {
    if n % 2 == 0 { Protocol::Stream } else { Protocol::WebSocket }
}

/// Sends a GET and returns the status line.
fn status_line(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn dropping_tails_of_a_silent_job_leaks_nothing() {
    let _turn = turn();
    let head = Head::shared();
    let client = head.client();
    let entrypoint = "python -c 'import time; print(1, flush=True); time.sleep(600)'";
    let id = client.submit_job(&JobSubmission::new(entrypoint)).unwrap();
    eventually("the job prints", || head.log_file(&id).ends_with(b"1\n").then_some(()));
    let tail = |n| client.tail_job_logs_with(&id, options(protocol(n))).unwrap();
    let mut first = tail(0);
    assert!(first.next().unwrap().is_ok());
    drop(first);
    client.get_job(&id).unwrap();
    assert_eq!(workers(), 5);
    let before = eventually("the first tail is gone", || {
        let count = descriptors();
        thread::sleep(Duration::from_millis(300));
        (count == descriptors()).then_some(count)
    });

    // Ray handles at most 100 requests at a time.
    let mut worst = Duration::ZERO;
    for n in 0..120 {
        let mut tail = tail(n);
        // Over the WebSocket, Ray takes a second for the first line: later tails are dropped before
        // it.
        if protocol(n) == Protocol::Stream || n < 10 {
            assert!(tail.next().unwrap().is_ok());
        } else {
            thread::sleep(Duration::from_millis(n as u64));
        }
        let start = Instant::now();
        drop(tail);
        eventually("its connections are closed", || (descriptors() <= before).then_some(()));
        worst = worst.max(start.elapsed());
    }
    println!("worst: {worst:?}");
    assert!(worst < Duration::from_secs(2), "100 ms are promised, and took {worst:?}");
    assert_eq!((descriptors(), workers()), (before, 5));

    let five: Vec<_> = (0..5).map(tail).collect();
    let error = client.stream_tail_job_logs(&id, Duration::from_millis(100)).unwrap_err();
    assert_eq!(error.status(), 429);
    drop(five);
    for mut tail in (0..5).map(tail) {
        assert!(tail.next().unwrap().is_ok());
    }
    assert_eq!(status_line(&head.address, "/api/v0/nodes"), "HTTP/1.0 200 OK");
    client.stop_job(&id).unwrap();
    drop(client);
    eventually("the workers end with the client", || (workers() == 0).then_some(()));
}

/// Jobs that treat their tail as their name says.
fn odd_jobs() -> Server {
    Server::start(|request, stream| {
        if request.is("GET /api/version") {
            return server::version(stream);
        }
        let is_log = request.line.contains("/logs/");
        if !is_log {
            let id = request.line.trim_start_matches("GET /api/jobs/");
            return match id {
                "away" => Err(close()),
                "pending" => respond_json(stream, &job(id, "PENDING")),
                "stuck" => Err(hold(stream)),
                _ => respond_json(stream, &job(id, "RUNNING")),
            };
        }
        let is_websocket = request.line.ends_with("/logs/tail");
        if is_websocket {
            server::upgrade(request, stream)?;
        } else {
            stream.write_all(CHUNKED.as_bytes())?;
        }
        let wrap = |text: &[u8]| if is_websocket { frame(TEXT, text) } else { chunk(text) };
        if request.line.contains("silent") {
            stream.write_all(&wrap(b"one\n"))?;
            return Err(hold(stream));
        } else if request.line.contains("broken") {
            stream.write_all(&wrap(b"one\ntwo"))?;
            return Err(close());
        } else if request.line.contains("pinged") && is_websocket {
            loop {
                stream.write_all(&frame(PING, b""))?;
                thread::sleep(Duration::from_millis(1));
            }
        }
        // Writes without a pause.
        loop {
            stream.write_all(&wrap(&b"0123456789\n".repeat(1000)))?;
        }
    })
}

#[test]
fn dropping_tails_at_random_times_from_eight_threads_leaks_nothing() {
    let _turn = turn();
    let before = descriptors();
    assert_eq!(workers(), 0);
    drop_a_thousand_tails();
    eventually("threads and descriptors are as before", || {
        ((descriptors(), workers()) == (before, 0)).then_some(())
    });
    // The first thousand tails let the allocator reach its full size. A leaked buffer per tail
    // would be 64 MB.
    let memory = resident_kb();
    drop_a_thousand_tails();
    let grown = resident_kb().saturating_sub(memory);
    println!("{memory} kB, grown by {grown} kB");
    assert!(grown < 16_000, "from {memory} kB by {grown} kB");
}

fn drop_a_thousand_tails() {
    let server = odd_jobs();
    let (_listener, full_addr, _waiting) = full_listener();
    let client = RayClient::new(server.address()).unwrap();
    let unconnected = RayClient::new(format!("http://{full_addr}")).unwrap();
    thread::scope(|scope| {
        for thread in 0..8 {
            let (client, unconnected) = (client.clone(), unconnected.clone());
            scope.spawn(move || {
                let mut rng = TestRng(thread);
                let jobs =
                    ["away", "pending", "stuck", "silent", "broken", "pinged", "flood", "none"];
                for n in 0..125 {
                    let id = *rng.pick(&jobs);
                    let client = if id == "none" { &unconnected } else { &client };
                    let options = options(protocol(n)).reconnects(99);
                    let mut tail = client.tail_job_logs_with(id, options).unwrap();
                    if id == "flood" && rng.below(2) == 0 {
                        for _ in 0..rng.below(3000) {
                            assert!(tail.next().unwrap().is_ok());
                        }
                    } else {
                        thread::sleep(Duration::from_micros(rng.between(0, 20_000)));
                    }
                }
            });
        }
    });
    eventually("every connection is closed", || (server.open() == 0).then_some(()));
    // All workers must be free again.
    let tails: Vec<_> = (0..5)
        .map(|n| client.tail_job_logs_with("silent", options(protocol(n))).unwrap())
        .collect();
    for mut tail in tails {
        assert_eq!(tail.next().unwrap().unwrap(), "one");
    }
}

#[test]
fn dropping_the_last_clone_ends_every_tail() {
    let _turn = turn();
    let before = descriptors();
    {
        let server = odd_jobs();
        for id in ["away", "pending", "stuck", "silent", "broken", "pinged", "flood"] {
            let client = RayClient::new(server.address()).unwrap();
            let tails: Vec<_> = (0..4)
                .map(|n| {
                    client.tail_job_logs_with(id, options(protocol(n)).reconnects(99)).unwrap()
                })
                .collect();
            thread::sleep(Duration::from_millis(20));
            drop(client.clone());
            let start = Instant::now();
            drop(client);
            for tail in tails {
                let errors: Vec<_> = tail.filter_map(Result::err).collect();
                assert_eq!(errors.len(), 1, "{id}: {errors:?}");
                assert_eq!(errors[0].status(), 503, "{id}");
            }
            assert!(start.elapsed() < Duration::from_secs(2), "{id}: {:?}", start.elapsed());
        }
    }
    eventually("threads and descriptors are as before", || {
        ((descriptors(), workers()) == (before, 0)).then_some(())
    });
}

/// A dashboard whose agent behaves as the job id says; `unreachable` is the address of an
/// unreachable agent.
fn odd_agents(unreachable: SocketAddr) -> (Server, Server) {
    const LOG: &[u8] = b"one\ntwo\n";
    let agent = Server::start(|request, stream| {
        if request.line.contains("stuck") {
            return Err(hold(stream));
        } else if request.line.contains("away") {
            return Err(close());
        } else if request.line.contains("flood") {
            stream.write_all(b"HTTP/1.1 206 x\r\ncontent-range: bytes 0-7/8\r\n\r\n")?;
            loop {
                stream.write_all(LOG)?;
            }
        }
        server::respond_range(request, stream, LOG)
    });
    let address = agent.address();
    let dashboard = Server::start(move |request, stream| {
        if request.is("GET /api/version") {
            return server::version(stream);
        } else if request.is("GET /api/v0/logs/file") {
            return server::respond_chunked(stream, request.part_of(LOG));
        }
        let id = request.line.trim_start_matches("GET /api/jobs/");
        let mut job = job(id, "RUNNING");
        job["driver_agent_http_address"] = match id {
            "unreachable" => format!("http://{unreachable}").into(),
            _ => address.clone().into(),
        };
        respond_json(stream, &job)
    });
    (dashboard, agent)
}

#[test]
fn dropping_tails_during_the_agent_check_leaks_no_thread() {
    let _turn = turn();
    eventually("the threads of the test before end", || (threads("ray-client") == 0).then_some(()));
    let before = descriptors();
    {
        let (_listener, full_addr, _waiting) = full_listener();
        let (dashboard, agent) = odd_agents(full_addr);
        let client = RayClient::new(dashboard.address()).unwrap();
        let mut worst = Duration::ZERO;
        for n in 0..200 {
            let protocol = if n % 2 == 0 { Protocol::Auto } else { Protocol::Agent };
            let id = ["served", "stuck", "away", "flood", "unreachable"][n % 5];
            let mut tail = client.tail_job_logs_with(id, options(protocol).reconnects(99)).unwrap();
            if protocol == Protocol::Auto || id == "served" {
                assert_eq!(tail.next().unwrap().unwrap(), "one");
            }
            thread::sleep(Duration::from_millis(n as u64 % 50));
            let start = Instant::now();
            drop(tail);
            eventually("its threads and connections are gone", || {
                let is_gone = threads("ray-client") == 5 && dashboard.open() + agent.open() == 0;
                is_gone.then_some(())
            });
            worst = worst.max(start.elapsed());
        }
        println!("worst: {worst:?}");
        assert!(worst < Duration::from_secs(1), "100 ms are promised, and took {worst:?}");
        // The client is dropped with an open tail.
        let tail = client.tail_job_logs_with("stuck", options(Protocol::Agent)).unwrap();
        drop(client);
        assert_eq!(tail.last().unwrap().unwrap_err().status(), 503);
    }
    eventually("threads and descriptors are as before", || {
        ((descriptors(), threads("ray-client")) == (before, 0)).then_some(())
    });
}
