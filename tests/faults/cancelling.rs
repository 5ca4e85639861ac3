//! Verifies that dropping a tail frees its worker at once, whatever the worker waits for.

use std::io::Write;
use std::time::{Duration, Instant};

use ray_client::{Protocol, RayClient};

use crate::options;
use crate::server::{CHUNKED, Server, chunk, full_listener, hold, job_with_log};

/// Drops tails that are stuck at this address, and checks that their workers are free for others.
fn drop_and_follow_others(address: &str) {
    let client = RayClient::builder(address)
        .connect_timeout(Duration::from_secs(60))
        .read_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    for protocol in [Protocol::Stream, Protocol::WebSocket] {
        let mut worst = Duration::ZERO;
        for _ in 0..5 {
            let stuck: Vec<_> = (0..5)
                .map(|_| client.tail_job_logs_with("a", options(protocol)).unwrap())
                .collect();
            // Long enough for each tail to get stuck.
            std::thread::sleep(Duration::from_millis(50));
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

#[test]
fn dropping_a_tail_that_connects_is_immediate() {
    let (_listener, addr, _waiting) = full_listener();
    drop_and_follow_others(&format!("http://{addr}"));
}

#[test]
fn dropping_a_tail_that_waits_for_a_response_is_immediate() {
    let server = Server::start(|_, stream| Err(hold(stream)));
    drop_and_follow_others(&server.address());
}

#[test]
fn dropping_a_tail_that_reads_is_immediate() {
    let server = job_with_log("RUNNING", |_, stream| {
        stream.write_all(&[CHUNKED.as_bytes(), &chunk(b"one\n")].concat())?;
        Err(hold(stream))
    });
    drop_and_follow_others(&server.address());
}
