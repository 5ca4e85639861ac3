//! Verifies which calls are retried, how often, and until when.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ray_client::logs::LogFile;
use ray_client::{ClientError, Job, JobSubmission, RayClient, RetryPolicy};
use serde_json::json;

use crate::log;
use crate::server::{Server, close, hold, job, job_with_log, reset, respond, respond_json};

const MS: Duration = Duration::from_millis(1);

fn quick() -> RetryPolicy {
    RetryPolicy::default().backoff(MS)
}

/// Calls `get_job` on a server whose first `failures` responses have this status and these headers.
/// Also returns the number of requests.
fn get(
    policy: RetryPolicy,
    failures: usize,
    status: u16,
    headers: &'static str,
) -> (Result<Job, ClientError>, usize) {
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |_, stream| {
        if asked.fetch_add(1, Ordering::Relaxed) < failures {
            respond(stream, status, headers, "busy")
        } else {
            respond_json(stream, &job("a", "RUNNING"))
        }
    });
    let client = RayClient::builder(server.address()).retry(policy).build().unwrap();
    let result = client.get_job("a");
    (result, server.requests().len())
}

#[test]
fn transient_errors_are_retried() {
    for status in [429, 502, 503, 504] {
        let (result, asked) = get(quick(), 2, status, "");
        assert!(result.is_ok());
        assert_eq!(asked, 3);
        let (result, asked) = get(quick(), 9, status, "");
        assert_eq!(result.unwrap_err().status(), status);
        assert_eq!(asked, 3);
        let (result, asked) = get(RetryPolicy::none(), 1, status, "");
        assert_eq!((result.unwrap_err().status(), asked), (status, 1));
        let (result, asked) = get(quick().attempts(7), 6, status, "");
        assert!(result.is_ok() && asked == 7);
    }
}

#[test]
fn a_whole_log_is_retried_even_if_it_breaks_midway() {
    let all = log(2000);
    let sent = all.clone();
    let asked = AtomicUsize::new(0);
    let server = job_with_log("SUCCEEDED", move |request, stream| {
        if request.last_lines().is_some() {
            return respond(stream, 200, "", request.part_of(&sent));
        }
        match asked.fetch_add(1, Ordering::Relaxed) % 3 {
            0 => respond(stream, 502, "", "busy"),
            1 => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", sent.len());
                stream.write_all(&[head.as_bytes(), &sent[..1000]].concat())?;
                Err(reset(stream))
            }
            _ => respond(stream, 200, "", &sent),
        }
    });
    let client = RayClient::builder(server.address()).retry(quick()).build().unwrap();
    assert_eq!(client.list_job_logs("a").unwrap().as_bytes(), all);
    assert_eq!(server.full_reads(), 3);
    let file = LogFile::of_node("aa", "x.log");
    assert_eq!(client.read_log_file(&file).unwrap().as_bytes(), all);
    let client = RayClient::builder(server.address()).retry(RetryPolicy::none()).build().unwrap();
    assert_eq!(client.list_job_logs("a").unwrap_err().status(), 502);
}

#[test]
fn a_timeline_is_retried_only_before_its_first_byte() {
    let tasks = json!({"data": {"result": {"total": 0, "num_after_truncation": 0, "num_filtered": 0,
        "result": []}}});
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |request, stream| {
        if !request.is("GET /api/v0/tasks/timeline") {
            return respond_json(stream, &tasks);
        }
        match asked.fetch_add(1, Ordering::Relaxed) {
            0 => respond(stream, 503, "", "busy"),
            1 => respond(stream, 200, "content-type: application/json\r\n", "[{}]"),
            _ => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[")?;
                Err(close())
            }
        }
    });
    let client = RayClient::builder(server.address()).retry(quick()).build().unwrap();
    let mut timeline = Vec::new();
    client.write_task_timeline(None, &mut timeline).unwrap();
    assert_eq!(timeline, b"[{}]");
    assert_eq!(client.write_task_timeline(None, &mut timeline).unwrap_err().status(), 503);
    assert_eq!(timeline, b"[{}][");
    assert_eq!(server.count("GET /api/v0/tasks/timeline"), 3);
}

#[test]
fn permanent_errors_are_not_retried() {
    for status in [400, 401, 405, 500, 501] {
        let (result, asked) = get(quick(), 9, status, "");
        assert_eq!((result.unwrap_err().status(), asked), (status, 1));
    }
}

/// A fresh head has no agent to start jobs, and responds with 500 after 10 seconds (measured on Ray
/// 2.9.3).
#[test]
fn a_submit_is_retried_until_the_head_has_an_agent() {
    let asked = AtomicUsize::new(0);
    let server =
        Server::start(move |request, stream| match asked.fetch_add(1, Ordering::Relaxed) {
            0..=1 => {
                let text = "No available agent to submit job, please try again later.";
                respond(stream, 500, "", text)
            }
            _ => respond(stream, 200, "", &request.body),
        });
    let client = RayClient::builder(server.address()).retry(quick()).build().unwrap();
    assert!(client.submit_job(&JobSubmission::new("true")).is_ok());
    assert_eq!(server.count("POST /api/jobs/"), 3);
}

#[test]
fn retry_after_is_honoured_up_to_the_deadline() {
    let start = Instant::now();
    let (result, asked) = get(quick(), 1, 429, "retry-after: 1\r\n");
    assert!(result.is_ok() && asked == 2);
    assert!(start.elapsed() >= Duration::from_secs(1));

    // A value that is too long or not a number causes neither a wait nor a panic.
    for header in ["retry-after: 3600\r\n", "retry-after: 18446744073709551615\r\n"] {
        let start = Instant::now();
        let (result, asked) = get(quick(), 9, 429, header);
        assert_eq!((result.unwrap_err().status(), asked), (429, 1));
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    for header in ["retry-after: -1\r\n", "retry-after: soon\r\n", "retry-after: \r\n"] {
        let (result, asked) = get(quick(), 1, 429, header);
        assert!(result.is_ok() && asked == 2);
    }
}

#[test]
fn no_attempt_starts_after_the_deadline() {
    let (result, asked) = get(quick().deadline(Duration::ZERO), 9, 503, "");
    assert_eq!((result.unwrap_err().status(), asked), (503, 1));
    let policy = quick().attempts(100).backoff(100 * MS).cap(100 * MS).deadline(400 * MS);
    let (result, asked) = get(policy, 999, 503, "");
    assert_eq!(result.unwrap_err().status(), 503);
    assert!((2..=9).contains(&asked), "{asked}");
}

#[test]
fn the_largest_durations_do_not_panic() {
    let (result, asked) = get(quick().deadline(Duration::MAX), 1, 503, "");
    assert!(result.is_ok() && asked == 2);
    let endless = RetryPolicy::default().backoff(Duration::MAX).cap(Duration::MAX);
    let (result, asked) = get(endless, 9, 503, "");
    assert_eq!((result.unwrap_err().status(), asked), (503, 1));
}

#[test]
fn broken_connections_are_retried_and_timeouts_are_not() {
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |_, stream| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Err(close()),
        1 => Err(reset(stream)),
        _ => respond_json(stream, &job("a", "RUNNING")),
    });
    let client = RayClient::builder(server.address()).retry(quick()).build().unwrap();
    assert!(client.get_job("a").is_ok());
    assert_eq!(server.requests().len(), 3);

    let silent = Server::start(|_, stream| Err(hold(stream)));
    let client =
        RayClient::builder(silent.address()).read_timeout(200 * MS).retry(quick()).build().unwrap();
    assert_eq!(client.get_job("a").unwrap_err().status(), 408);
    assert_eq!(silent.requests().len(), 1);
}

#[test]
fn wait_for_job_survives_a_temporary_outage() {
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |_, stream| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => respond_json(stream, &job("a", "RUNNING")),
        1..=3 => respond(stream, 502, "", "<html>"),
        4..=6 => Err(close()),
        _ => respond_json(stream, &job("a", "SUCCEEDED")),
    });
    let client = RayClient::builder(server.address()).retry(quick()).build().unwrap();
    let job = client.wait_for_job("a", Duration::from_secs(60)).unwrap();
    assert!(job.status.is_terminal());
}

#[test]
fn retries_do_not_extend_wait_for_job() {
    let server = Server::start(|_, stream| respond(stream, 503, "retry-after: 30\r\n", "later"));
    let client = RayClient::new(server.address()).unwrap();
    let start = Instant::now();
    let error = client.wait_for_job("a", 500 * MS).unwrap_err();
    assert_eq!(error.status(), 408);
    assert!(start.elapsed() < Duration::from_secs(5));
}
