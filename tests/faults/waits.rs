//! Verifies that a wait survives transient errors, ends at once after permanent ones, and reports
//! the status of its jobs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ray_client::{JobStatus, TimeoutKind};
use serde_json::json;

use crate::client;
use crate::server::{Server, job, respond, respond_json};

/// A restarting reverse proxy has no routes for a second.
#[test]
fn a_gateways_404_or_403_does_not_end_a_wait() {
    for status in [404, 403] {
        let asked = AtomicUsize::new(0);
        let server = Server::start(move |_, stream| match asked.fetch_add(1, Ordering::Relaxed) {
            0..=4 => respond(stream, status, "", "<html><title>Oops</title>"),
            _ => respond_json(stream, &job("a", "SUCCEEDED")),
        });
        let job = client(&server.address()).wait_for_job("a", Duration::from_secs(60)).unwrap();
        assert_eq!(job.status, JobStatus::Succeeded);
    }
}

#[test]
fn a_wait_that_cannot_succeed_ends_at_once() {
    for (status, text) in [
        (404, "Job a does not exist"),
        (404, "404: Not Found"),
        (401, "Unauthorized: Missing authentication token"),
        (403, "Forbidden: Invalid authentication token"),
        (500, "ValueError: x"),
    ] {
        let server = Server::start(move |_, stream| respond(stream, status, "", text));
        let client = client(&server.address());
        let error = client.wait_for_job("a", Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.status(), status, "{error}");
        assert_eq!(server.requests().len(), 1, "{text}");
    }
}

#[test]
fn a_wait_that_times_out_reports_the_job_status() {
    let server = Server::start(|_, stream| respond_json(stream, &job("a", "PENDING")));
    let timeout = Duration::from_millis(300);
    let error = client(&server.address()).wait_for_job("a", timeout).unwrap_err();
    assert_eq!(error.timeout_kind(), Some(TimeoutKind::Wait));
    assert_eq!(error.job_status(), Some(&JobStatus::Pending));
    assert_eq!(
        error.to_string(),
        "wait for job `a`: not finished after the timeout of 300ms: it is PENDING"
    );
}

#[test]
fn wait_for_jobs_yields_jobs_as_they_finish() {
    let looks = AtomicUsize::new(0);
    let server = Server::start(move |request, stream| {
        if request.line == "GET /api/jobs/late" {
            return respond_json(stream, &job("late", "STOPPED"));
        }
        if request.line != "GET /api/jobs/" {
            return respond(stream, 404, "", "Job none does not exist");
        }
        let look = looks.fetch_add(1, Ordering::Relaxed);
        let status = |end| if look >= end { "SUCCEEDED" } else { "RUNNING" };
        if look == 1 {
            return respond(stream, 502, "", "<title>Oops</title>");
        }
        respond_json(
            stream,
            &json!([job("b", status(2)), job("a", status(4)), job("other", "RUNNING")]),
        )
    });
    let client = client(&server.address());
    let ids = ["a", "b", "none", "late", "a"];
    let mut ends = client.wait_for_jobs(ids, Duration::from_secs(60)).unwrap();
    let mut first = [ends.next().unwrap(), ends.next().unwrap()];
    first.sort_by_key(Result::is_err);
    assert_eq!(first[0].as_ref().unwrap().id(), "late");
    assert_eq!(first[1].as_ref().unwrap_err().status(), 404);
    let rest: Vec<String> = ends.by_ref().map(|job| job.unwrap().id().to_owned()).collect();
    assert_eq!(rest, ["b", "a"]);
    assert!(ends.next().is_none());
    assert_eq!(server.count("GET /api/jobs/a"), 0, "one list for all");
    assert!(
        client.wait_for_jobs([] as [&str; 0], Duration::from_secs(1)).unwrap().next().is_none()
    );
    assert_eq!(client.wait_for_jobs(["a/b"], Duration::from_secs(1)).unwrap_err().status(), 400);
}

#[test]
fn a_wait_for_jobs_that_times_out_names_the_unfinished_ones() {
    let server = Server::start(|_, stream| {
        respond_json(stream, &json!([job("a", "PENDING"), job("b", "RUNNING"), job("c", "FAILED")]))
    });
    let client = client(&server.address());
    let ends = client.wait_for_jobs(["a", "b", "c"], Duration::from_millis(300)).unwrap();
    let ends: Vec<_> = ends.collect();
    assert_eq!(ends.len(), 2);
    assert_eq!(ends[0].as_ref().unwrap().id(), "c");
    let error = ends[1].as_ref().unwrap_err();
    assert_eq!(error.timeout_kind(), Some(TimeoutKind::Wait));
    assert_eq!(
        error.to_string(),
        "wait for jobs: 2 not finished after the timeout of 300ms: `a` is PENDING, `b` is RUNNING"
    );
    let refused = Server::start(|_, stream| respond(stream, 401, "", "Unauthorized"));
    let mut ends =
        self::client(&refused.address()).wait_for_jobs(["a"], Duration::from_secs(60)).unwrap();
    assert_eq!(ends.next().unwrap().unwrap_err().status(), 401);
    assert!(ends.next().is_none());
}
