//! Verifies how signals affect a program that uses the client. Each program is a separate process.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ray_client::{JobSubmission, Protocol, RayClient, RetryPolicy};

use crate::options;
use crate::server::{PING, Server, close, frame, hold, job, job_with_log, respond_json, upgrade};

fn child(name: &str, server: &Server) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", name])
        .env("RAY_API_SERVER_ADDRESS", server.address())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn client() -> RayClient {
    let address = std::env::var("RAY_API_SERVER_ADDRESS").unwrap();
    RayClient::builder(address)
        .read_timeout(Duration::from_secs(1))
        .retry(RetryPolicy::none())
        .build()
        .unwrap()
}

#[test]
fn a_closed_connection_does_not_kill_a_program_with_default_sigpipe() {
    let server = Server::start(|request, stream| {
        if request.line.ends_with("/logs/tail") {
            upgrade(request, stream)?;
            let _ = (0..50).try_for_each(|_| stream.write_all(&frame(PING, b"x")));
            return Err(close());
        }
        if request.is("GET /api/version") {
            return crate::server::version(stream);
        }
        if request.is("GET") { respond_json(stream, &job("a", "RUNNING")) } else { Err(close()) }
    });
    let output =
        child("signals::child_writes_to_closed_connections", &server).wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
}

#[test]
#[ignore = "run by a_closed_connection_does_not_kill_a_program_with_default_sigpipe"]
fn child_writes_to_closed_connections() {
    // Rust's runtime ignores SIGPIPE, but a program may restore the default.
    sigpipe::reset();
    let client = client();
    let large = "x".repeat(8 * 1024 * 1024);
    for _ in 0..10 {
        let job = JobSubmission::new("true").metadata("k", &*large);
        assert!(client.submit_job(&job).is_err());
    }
    let tail = client.tail_job_logs_with("a", options(Protocol::WebSocket).reconnects(0)).unwrap();
    assert!(tail.last().unwrap().is_err());
}

#[test]
fn stopping_and_continuing_a_process_does_not_extend_waits() {
    let server = job_with_log("RUNNING", |_, stream| Err(hold(stream)));
    let mut child = child("signals::child_waits_for_a_second", &server);
    let start = Instant::now();
    // A stop signal interrupts a read with a timeout.
    while child.try_wait().unwrap().is_none() {
        for signal in ["-STOP", "-CONT"] {
            Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(20), "it waits for ever");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(child.wait().unwrap().success());
}

#[test]
#[ignore = "run by stopping_and_continuing_a_process_does_not_extend_waits"]
fn child_waits_for_a_second() {
    let start = Instant::now();
    assert_eq!(client().list_job_logs("a").unwrap_err().status(), 408);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}
