//! Verifies that nothing is mistaken for something else: an id for another job's, another response
//! for Ray's, a name in a message for an error.

use ray_client::{JobStatus, JobSubmission};
use serde_json::json;

use crate::client;
use crate::server::{Server, job, respond, respond_json};

/// A captive portal responds to every request with 200 and its login page.
#[test]
fn a_login_page_is_an_error() {
    for body in ["<html>Sign in</html>", "{}", "[]", ""] {
        let server = Server::start(move |_, stream| respond(stream, 200, "", body));
        let client = client(&server.address());
        for error in [
            client.get_job("a").map(drop).unwrap_err(),
            client.delete_job("a").unwrap_err(),
            client.stop_job("a").map(drop).unwrap_err(),
            client.submit_job(&JobSubmission::new("x")).map(drop).unwrap_err(),
            client.list_nodes().map(drop).unwrap_err(),
            client.version().map(drop).unwrap_err(),
            client.cluster_status().map(drop).unwrap_err(),
            client.list_node_usage().map(drop).unwrap_err(),
            client.list_serve_applications().map(drop).unwrap_err(),
            client.scale_serve_deployment("a", "b", 1).unwrap_err(),
        ] {
            assert_eq!(error.status(), 500, "{body:?}: {error}");
        }
    }
}

#[test]
fn a_submit_response_with_another_id_is_an_error() {
    let server = Server::start(|request, stream| {
        if request.is("POST") {
            return respond_json(stream, &json!({"job_id": "b", "submission_id": "b"}));
        }
        respond(stream, 404, "", "Job a does not exist")
    });
    let submission = JobSubmission::new("x").submission_id("a");
    let error = client(&server.address()).submit_job(&submission).unwrap_err();
    assert_eq!(error.status(), 500);
    assert_eq!(error.to_string(), "submit job `a`: the response names another job, `b`");
}

/// Ray would stop or delete `build` instead.
#[test]
fn an_ambiguous_id_is_rejected_before_sending() {
    let server = Server::start(|_, stream| respond(stream, 200, "", r#"{"stopped": true}"#));
    let client = client(&server.address());
    for (id, named) in [("build#2", "#"), ("build?2", "?"), ("buil%64", "%64"), ("a%2Fb", "%2F")] {
        for error in [client.stop_job(id).unwrap_err(), client.delete_job(id).unwrap_err()] {
            assert_eq!(error.status(), 400);
            assert!(error.to_string().ends_with(&format!("`{named}`")), "{error}");
        }
    }
    assert!(server.requests().is_empty());
}

/// Ray's supervisor of a job lives on for a moment after the job was stopped.
#[test]
fn a_finished_job_cannot_be_stopped_even_if_ray_says_so() {
    let server = Server::start(|request, stream| {
        if request.is("POST") {
            return respond_json(stream, &json!({"stopped": true}));
        }
        respond_json(stream, &job("a", "STOPPED"))
    });
    let error = client(&server.address()).stop_job("a").unwrap_err();
    assert_eq!((error.status(), error.job_status()), (400, Some(&JobStatus::Stopped)));
    assert_eq!(error.to_string(), "stop job `a`: it is already STOPPED");
    assert_eq!(server.count("POST"), 0);
}

#[test]
fn names_in_an_error_message_do_not_change_its_status() {
    let server = Server::start(|request, stream| {
        let id = request.line.rsplit('/').next().unwrap_or_default();
        let id = id.replace("%20", " ");
        respond(
            stream,
            500,
            "",
            format!(
                "Traceback (most recent call last):\n  File \"/x/job_head.py\", line 1, in f\nRuntimeError: Request failed with status code 500: Traceback (most recent call last):\nRuntimeError: Attempted to delete job '{id}', but it is in a non-terminal state RUNNING.\n.\n"
            ),
        )
    });
    let client = client(&server.address());
    for length in 1..=255 {
        let error = client.delete_job("x".repeat(length)).unwrap_err();
        assert_eq!(error.status(), 400, "{length}");
        assert_eq!(error.job_status(), Some(&JobStatus::Running), "{length}");
    }
    let missing = Server::start(|_, stream| {
        respond(stream, 404, "", "Job non-terminal state does not exist")
    });
    let client = self::client(&missing.address());
    assert_eq!(client.delete_job("non-terminal state").unwrap_err().status(), 404);
}
