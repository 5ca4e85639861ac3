//! Verifies that dropping a tail frees its worker at once, whatever the worker waits for.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ray_client::{Protocol, RayClient};

use crate::cluster::eventually;
use crate::options;
use crate::server::{
    CHUNKED, Request, Server, TEXT, chunk, frame, full_listener, hold, job_with_websocket, upgrade,
};

/// Drops tails that are stuck at this address, and checks that their workers are free for others.
/// A stuck tail has made a request, of which `requests` returns the number; `None` if nothing shows it.
fn drop_and_follow_others(address: &str, requests: Option<&dyn Fn() -> usize>) {
    let client = RayClient::builder(address)
        .connect_timeout(Duration::from_secs(60))
        .read_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    for protocol in [Protocol::Stream, Protocol::WebSocket] {
        let mut worst = Duration::ZERO;
        for _ in 0..5 {
            let before = requests.map_or(0, |requests| requests());
            let stuck: Vec<_> = (0..5)
                .map(|_| client.tail_job_logs_with("a", options(protocol)).unwrap())
                .collect();
            match requests {
                Some(requests) => eventually("all are stuck", || requests() >= before + 5),
                None => std::thread::sleep(Duration::from_millis(50)),
            }
            let start = Instant::now();
            drop(stuck);
            // This tail waits for a free worker.
            drop(client.tail_job_logs_with("a", options(protocol)).unwrap());
            worst = worst.max(start.elapsed());
        }
        println!("worst of 25, and a new tail: {worst:?}");
        assert!(worst < Duration::from_millis(300), "100 ms are promised, and took {worst:?}");
    }
}

/// Runs the check at a server with a job, which responds to a request for the log with this, and then
/// with nothing.
fn drop_at_log_requests(begin: fn(&Request, &mut TcpStream) -> std::io::Result<()>) {
    let get_stuck = move |request: &Request, stream: &mut TcpStream| {
        begin(request, stream)?;
        Err(hold(stream))
    };
    let server = job_with_websocket("RUNNING", get_stuck, get_stuck);
    let requests =
        || server.count("GET /api/v0/logs/file") + server.count("GET /api/jobs/a/logs/tail");
    drop_and_follow_others(&server.address(), Some(&requests));
}

#[test]
fn dropping_a_tail_that_connects_is_immediate() {
    let (_listener, addr, _waiting) = full_listener();
    drop_and_follow_others(&format!("http://{addr}"), None);
}

#[test]
fn dropping_a_tail_that_waits_for_a_response_is_immediate() {
    drop_at_log_requests(|_, _| Ok(()));
}

#[test]
fn dropping_a_tail_that_reads_is_immediate() {
    drop_at_log_requests(|request, stream| {
        if request.line.ends_with("/logs/tail") {
            upgrade(request, stream)?;
            return stream.write_all(&frame(TEXT, b"one\n"));
        }
        stream.write_all(&[CHUNKED.as_bytes(), &chunk(b"one\n")].concat())
    });
}

#[test]
fn dropping_a_tail_that_waits_for_the_jobs_status_is_immediate() {
    let server = Server::start(|_, stream| Err(hold(stream)));
    drop_and_follow_others(&server.address(), Some(&|| server.requests().len()));
}
