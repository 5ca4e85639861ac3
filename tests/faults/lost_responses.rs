//! Verifies that a call takes effect exactly once if its response is lost.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ray_client::{JobStatus, JobSubmission, RayClient, RetryPolicy};
use serde_json::{Value, json};

use crate::server::{Server, close, job, reset, respond, respond_json};

/// The submissions that ran, by id.
type Runs = Arc<Mutex<HashMap<String, Value>>>;

/// A server that accepts submits as Ray does, including 500 with a wrapped 400 for a used id, and
/// loses the response to every third request.
fn forgetful_ray(runs: &Runs) -> Server {
    let runs = Arc::clone(runs);
    let requests = AtomicUsize::new(0);
    Server::start(move |request, stream| {
        let mut runs = runs.lock().unwrap();
        let is_lost = requests.fetch_add(1, Ordering::Relaxed) % 3 == 0;
        if request.line == "POST /api/jobs/" {
            let submission: Value = serde_json::from_slice(&request.body).unwrap();
            let id = submission["submission_id"].as_str().unwrap().to_owned();
            let used = runs.contains_key(&id);
            if !used {
                runs.insert(id.clone(), submission);
            }
            if is_lost {
                return Err(close());
            }
            if used {
                let text = format!(
                    "Traceback (most recent call last):\n  File \"/x/job_head.py\", line 1, in f\nRuntimeError: Request failed with status code 400: Traceback (most recent call last):\n  File \"/x/job_agent.py\", line 2, in g\nValueError: Job with submission_id {id} already exists. Please use a different submission_id.\n.\n"
                );
                return respond(stream, 500, "", text);
            }
            return respond_json(stream, &json!({"job_id": id, "submission_id": id}));
        }
        let id = request.line.trim_start_matches("GET /api/jobs/");
        match runs.get(id) {
            Some(submission) => {
                let mut job = job(id, "RUNNING");
                job["entrypoint"] = submission["entrypoint"].clone();
                job["metadata"] = submission.get("metadata").cloned().unwrap_or_else(|| json!({}));
                respond_json(stream, &job)
            }
            None => respond(stream, 404, "", format!("Job {id} does not exist")),
        }
    })
}

#[test]
fn a_thousand_submits_with_lost_responses_run_exactly_once() {
    let runs = Runs::default();
    let server = forgetful_ray(&runs);
    let policy = RetryPolicy::default().attempts(20).backoff(Duration::from_millis(1));
    let client = RayClient::builder(server.address()).retry(policy).build().unwrap();
    for n in 0..1000 {
        let id = client.submit_job(&JobSubmission::new(format!("echo {n}"))).unwrap();
        let runs = runs.lock().unwrap();
        assert_eq!(runs[&id]["entrypoint"], format!("echo {n}"));
    }
    let runs = runs.lock().unwrap();
    assert_eq!(runs.len(), 1000);
    // No entrypoint may run under two ids.
    let entrypoints: HashSet<_> = runs.values().map(|job| &job["entrypoint"]).collect();
    assert_eq!(entrypoints.len(), 1000);
    assert!(server.count("POST") > 1300, "answers were lost: {}", server.count("POST"));
}

#[test]
fn a_used_id_is_rejected_even_if_a_response_was_lost() {
    let runs = Runs::default();
    let server = forgetful_ray(&runs);
    let policy = RetryPolicy::default().attempts(20).backoff(Duration::from_millis(1));
    let client = RayClient::builder(server.address()).retry(policy).build().unwrap();
    client.submit_job(&JobSubmission::new("first").submission_id("a")).unwrap();
    for _ in 0..6 {
        let other = JobSubmission::new("another").submission_id("a");
        assert_eq!(client.submit_job(&other).unwrap_err().status(), 400);
    }
}

#[test]
fn an_unconfirmed_submit_is_an_error_that_names_the_id() {
    let server = Server::start(|request, stream| {
        if request.is("POST") {
            Err(reset(stream))
        } else {
            respond(stream, 404, "", "Job x does not exist")
        }
    });
    let client = RayClient::builder(server.address())
        .retry(RetryPolicy::default().backoff(Duration::from_millis(1)))
        .build()
        .unwrap();
    let error = client.submit_job(&JobSubmission::new("x").submission_id("my-id")).unwrap_err();
    assert_eq!(error.status(), 503);
    assert!(error.to_string().contains("my-id"), "{error}");
    let ids: Vec<Value> = server
        .requests()
        .iter()
        .filter(|request| request.is("POST"))
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect();
    assert!(ids.len() == 3 && ids.iter().all(|body| body["submission_id"] == "my-id"));
}

/// A server that starts a submitted job and then sends this response.
fn starting_and_answering(answer: fn(&mut TcpStream) -> io::Result<()>) -> Server {
    let started = Mutex::new(None);
    Server::start(move |request, stream| {
        let mut started = started.lock().unwrap();
        if request.is("POST") {
            let submission: Value = serde_json::from_slice(&request.body).unwrap();
            *started = Some(submission["submission_id"].as_str().unwrap().to_owned());
            return answer(stream);
        }
        match &*started {
            Some(id) => {
                let mut job = job(id, "RUNNING");
                job["entrypoint"] = json!("x");
                respond_json(stream, &job)
            }
            None => respond(stream, 404, "", "Job x does not exist"),
        }
    })
}

#[test]
fn a_submit_without_a_usable_response_is_verified() {
    let answers: [fn(&mut TcpStream) -> io::Result<()>; 4] = [
        // The head lost the response of its agent.
        |s| {
            respond(
                s,
                500,
                "",
                "aiohttp.client_exceptions.ServerDisconnectedError: Server disconnected",
            )
        },
        |s| respond(s, 200, "", "{\"job_id\": \"rays"),
        |s| respond(s, 200, "", "<html>"),
        |s| {
            s.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"job_")?;
            Err(close())
        },
    ];
    for answer in answers {
        for submission in [JobSubmission::new("x"), JobSubmission::new("x").submission_id("mine")] {
            let server = starting_and_answering(answer);
            let client = RayClient::new(server.address()).unwrap();
            client.submit_job(&submission).unwrap();
            assert_eq!(server.count("POST"), 1);
        }
    }
}

#[test]
fn an_older_job_with_the_same_id_is_not_mistaken_for_the_new_one() {
    let runs = Runs::default();
    let server = forgetful_ray(&runs);
    let policy = RetryPolicy::default().attempts(20).backoff(Duration::from_millis(1));
    let client = RayClient::builder(server.address()).retry(policy).build().unwrap();
    let nightly = JobSubmission::new("nightly.sh").submission_id("nightly");
    assert_eq!(client.submit_job(&nightly).unwrap(), "nightly");
    for _ in 0..6 {
        assert_eq!(client.submit_job(&nightly).unwrap_err().status(), 400);
    }
}

/// A server that stops or deletes its job at the first request, but loses the response.
fn losing_the_first_answer(before: &'static str, after: Option<&'static str>) -> Server {
    let acted = AtomicUsize::new(0);
    Server::start(move |request, stream| {
        let is_action = !request.is("GET");
        if is_action && acted.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(close());
        }
        let status = if acted.load(Ordering::Relaxed) == 0 { Some(before) } else { after };
        match (status, is_action) {
            (None, _) => respond(stream, 404, "", "Job a does not exist"),
            (Some(status), false) => respond_json(stream, &job("a", status)),
            (Some(status), true) => respond_json(stream, &json!({"stopped": status == "RUNNING"})),
        }
    })
}

#[test]
fn a_stop_with_a_lost_response_succeeds() {
    for after in ["RUNNING", "STOPPED"] {
        let server = losing_the_first_answer("RUNNING", Some(after));
        let outcome = RayClient::new(server.address()).unwrap().stop_job("a").unwrap();
        assert_eq!(outcome.status, JobStatus::from(after.to_owned()));
    }
    let server = losing_the_first_answer("RUNNING", Some("SUCCEEDED"));
    let error = RayClient::new(server.address()).unwrap().stop_job("a").unwrap_err();
    assert_eq!(error.status(), 400, "it ended by itself: {error}");
}

#[test]
fn a_request_without_a_body_has_content_length_zero() {
    let server = losing_the_first_answer("RUNNING", Some("STOPPED"));
    RayClient::new(server.address()).unwrap().stop_job("a").unwrap();
    for request in server.requests().iter().filter(|request| request.is("POST")) {
        assert_eq!(request.header("content-length"), Some("0"));
        assert_eq!(request.header("transfer-encoding"), None);
    }
}

#[test]
fn a_delete_with_a_lost_response_succeeds() {
    let server = losing_the_first_answer("SUCCEEDED", None);
    RayClient::new(server.address()).unwrap().delete_job("a").unwrap();
    assert_eq!(server.count("DELETE"), 2);
}
