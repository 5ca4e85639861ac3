//! Verifies that Ray's phrases decide the meaning of an error response, and the caller's text does not.

use std::time::{Duration, Instant};

use super::*;
use crate::rng::TestRng;

const TEXT: &str = "text/plain; charset=utf-8";
const DUPLICATE: &str = "Traceback (most recent call last):\n  File \"/x/job_head.py\", line 134, in _raise_error\n    raise RuntimeError(f\"Request failed with status code {status}: {error_text}.\")\nRuntimeError: Request failed with status code 400: Traceback (most recent call last):\n  File \"/x/job_agent.py\", line 45, in submit_job\n    raise ValueError(\nValueError: Job with submission_id NAME already exists. Please use a different submission_id.\n.\n";
const NOT_TERMINAL: &str = "Traceback (most recent call last):\n  File \"/x/job_head.py\", line 500, in delete_job\n    await self._raise_error(resp)\nRuntimeError: Request failed with status code 500: Traceback (most recent call last):\n  File \"/x/job_agent.py\", line 129, in delete_job\n    raise RuntimeError(\nRuntimeError: Attempted to delete job 'NAME', but it is in a non-terminal state RUNNING.\n.\n";
const NOT_UTF8: &str = "Traceback (most recent call last):\n  File \"/x/NAME.py\", line 1, in f\nUnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 5: invalid start byte\n";
const ABSENT: &str = "Could not find a log file. Please make sure the given option exists in the cluster.\n\tnode_id: None\n\tfilename: NAME\n\tsubmission_id: NAME\n\tattempt_number: 0\n";
const NO_DRIVER_YET: &str =
    "Job NAME has no driver node id info. This is likely a bug. Please file an issue.";
const BAD_FILTER: &str = r#"{"result": false, "msg": "Traceback (most recent call last):\n  File \"/x/state_head.py\", line 94, in f\nValueError: The given filter column NAME is not supported. Supported filter columns: {'node_id'}\n", "data": {"result": null}}"#;
const KILLED_SERVE: &str = "Traceback (most recent call last):\n  File \"/x/worker.py\", line 1055, in get_objects\n    raise value\nray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.\n\tclass_name: ServeController\n\tactor_id: NAME\n\tpid: 12230\n\tname: SERVE_CONTROLLER_ACTOR\n\tnamespace: serve\n\tip: 127.0.0.2\nThe actor is dead because it was killed by `ray.kill`.\n";
const NO_CONTROLLER: &str = r#"{"error": "Serve controller is not available"}"#;

/// Responses of Ray 2.9.3 to 2.60.0, and their meanings.
const ANSWERS: [(u16, &str, u16, RejectionKind); 23] = [
    (404, "Job NAME does not exist", 404, RejectionKind::Other),
    (404, "Package gcs://NAME.zip does not exist", 404, RejectionKind::Other),
    (404, "404: Not Found", 404, RejectionKind::NoRoute),
    (404, r#"{"error": "Application or Deployment not found"}"#, 404, RejectionKind::Other),
    (403, "Forbidden: Invalid authentication token", 403, RejectionKind::Other),
    (401, "Unauthorized: Missing authentication token", 401, RejectionKind::Other),
    (405, "405: Method Not Allowed", 405, RejectionKind::Other),
    (500, DUPLICATE, 400, RejectionKind::Other),
    (500, NOT_TERMINAL, 400, RejectionKind::NotTerminal),
    (500, NOT_UTF8, 500, RejectionKind::NotUtf8),
    (500, ABSENT, 500, RejectionKind::NoSuchLog),
    (500, "Agent for node id: NAME doesn't exist.", 500, RejectionKind::NoSuchLog),
    (500, "Actor ID ActorID(NAME) not found.", 500, RejectionKind::NoSuchLog),
    (
        500,
        "Could not find log file for task: NAME (attempt 0) with suffix: out",
        500,
        RejectionKind::NoSuchLog,
    ),
    (500, "A file is not found at: /tmp/ray/session/logs/NAME", 500, RejectionKind::NoSuchLog),
    (500, NO_DRIVER_YET, 500, RejectionKind::NoDriverYet),
    (500, BAD_FILTER, 500, RejectionKind::BadValue),
    (503, NO_CONTROLLER, 503, RejectionKind::NoServeController),
    (500, KILLED_SERVE, 503, RejectionKind::NoServeController),
    (500, "No available agent to submit job, please try again later.", 503, RejectionKind::Other),
    (
        500,
        "500 Internal Server Error\n\nServer got itself in trouble",
        500,
        RejectionKind::NoReason,
    ),
    (500, "Failed to query data from GCS for NAME.", 500, RejectionKind::Other),
    (501, "Serve dependencies are not installed.", 501, RejectionKind::Other),
];

fn meaning(status: u16, body: &str) -> ClientError {
    rejection("get x", status, TEXT, body.as_bytes(), &[])
}

/// Ids and names that contain the phrases that decide the meaning.
fn names() -> Vec<String> {
    let mut words: Vec<String> = [
        "a",
        "non-terminal state",
        "', but it is in a non-terminal state STOPPED.",
        "not found.log",
        "does not exist",
        "Job x does not exist",
        "UnicodeDecodeError: x",
        "ValueError: x",
        "RuntimeError: Request failed with status code 404: x",
        "Request failed with status code 403",
        "Could not find a log file. ",
        "Serve controller is not available",
        "404: Not Found",
        "Traceback (most recent call last):",
        "No available agent to",
        "<html>",
        "{\"msg\": \"x\"}",
        "1 validation error for ",
    ]
    .map(str::to_owned)
    .into();
    words.extend(words.clone().iter().map(|word| format!(" {word} ")));
    words.push(" has no driver node id info.".to_owned());
    words
}

fn check(name: &str) {
    let in_json = serde_json::to_string(name).unwrap();
    for (status, body, meant, kind) in ANSWERS {
        let name = if body.starts_with('{') { in_json.trim_matches('"') } else { name };
        let error = meaning(status, &body.replace("NAME", name));
        assert_eq!((error.status(), error.rejection_kind()), (meant, kind), "{name:?}: {body}");
    }
}

#[test]
fn the_callers_names_do_not_change_the_meaning() {
    for name in names() {
        check(&name);
    }
    for length in 1..=255 {
        let words: String = names().concat().chars().cycle().take(length).collect();
        check(&words);
        check(&"x".repeat(length));
    }
    for seed in 0..500 {
        let mut rng = TestRng(seed);
        let names = names();
        let name: String = (0..=rng.below(6)).map(|_| rng.pick(&names).clone()).collect();
        check(&name);
    }
}

#[test]
fn the_status_of_an_unfinished_job_is_kept() {
    let error = meaning(500, NOT_TERMINAL);
    assert_eq!(error.job_status(), Some(&JobStatus::Running));
    assert_eq!(meaning(500, DUPLICATE).job_status(), None);
}

#[test]
fn gateway_errors_are_recognized() {
    let nginx = "<html>\r\n<head><title>404 Not Found</title></head></html>";
    for (status, content_type, body, said) in [
        (502, "text/html", "", "a gateway answered 502 Bad Gateway"),
        (502, "", "<html><title>Oops</title>", "a gateway answered 502 Bad Gateway: 'Oops'"),
        (404, "text/html", nginx, "a gateway answered 404 Not Found"),
        (404, TEXT, "404 page not found", "a gateway answered 404 Not Found: '404 page not found'"),
        (
            404,
            TEXT,
            "default backend - 404",
            "a gateway answered 404 Not Found: 'default backend - 404'",
        ),
        (404, "", "", "a gateway answered 404 Not Found"),
        (
            404,
            "application/json",
            r#"{"message":"no Route matched"}"#,
            "a gateway answered 404 Not Found: 'no Route matched'",
        ),
        (
            403,
            "application/json",
            r#"{"detail":"RBAC"}"#,
            "a gateway answered 403 Forbidden: 'RBAC'",
        ),
        (
            401,
            "text/html",
            "<title>Sign in</title>",
            "a gateway answered 401 Unauthorized: 'Sign in'",
        ),
    ] {
        let error = rejection("get x", status, content_type, body.as_bytes(), &[]);
        assert_eq!(error.to_string(), format!("get x: {said}"));
        assert_eq!((error.status(), error.rejection_kind()), (status, RejectionKind::Gateway));
        assert_eq!(error.is_retryable(), status != 401, "{error}");
        assert!(matches!(error, ClientError::Rejected { .. }), "{error}");
    }
    let error = rejection("get x", 503, TEXT, b"", &[]);
    assert_eq!(
        error.to_string(),
        "get x: the server answered 503 Service Unavailable without a reason"
    );
}

#[test]
fn the_last_error_of_a_traceback_is_shown() {
    assert_eq!(
        reason(&DUPLICATE.replace("NAME", "a1")),
        "ValueError: Job with submission_id a1 already exists. Please use a different submission_id."
    );
}

#[test]
fn all_lines_of_the_last_error_are_shown() {
    let died = "Traceback (most recent call last):\n  File \"/x/worker.py\", line 7, in get\n    raise value\nray.exceptions.RayActorError: The actor died unexpectedly before finishing this task.\n\tclass_name: ServeController\n\tnamespace: serve\nThe actor is dead because its owner has died.\n";
    assert_eq!(
        reason(died),
        "ray.exceptions.RayActorError: The actor died unexpectedly before finishing this task. class_name: ServeController namespace: serve The actor is dead because its owner has died."
    );
}

#[test]
fn the_first_invalid_field_is_named_without_its_value() {
    let body = "2 validation errors for ServeDeploySchema\napplications.0.args\n  Input should be a valid dictionary [type=dict_type, input_value='pw', input_type=str]\n    For further information visit https://errors.pydantic.dev/2.14/v/dict_type\napplications.0.import_path\n  Field required [type=missing, input_value={}, input_type=dict]\n";
    assert_eq!(reason(body), "applications.0.args: Input should be a valid dictionary");
    let scale = "Invalid request body: 1 validation error for ScaleDeploymentRequest\ntarget_num_replicas\n  Input should be a valid integer [type=int_type]";
    assert_eq!(reason(scale), "target_num_replicas: Input should be a valid integer");
}

#[test]
fn the_reason_of_a_state_api_error_is_its_msg() {
    assert_eq!(reason(r#"{"result":false,"msg":"Odd-length string"}"#), "Odd-length string");
}

#[test]
fn nested_and_huge_responses_are_read_in_bounded_time() {
    let mut nested = "x".to_owned();
    while nested.len() < 1024 * 1024 {
        nested = serde_json::json!({ "msg": nested }).to_string();
    }
    let texts = [
        nested,
        "{\"msg\":".repeat(100_000),
        format!("{{\"msg\": [{}", "[".repeat(1 << 20)),
        "<title>".repeat(150_000),
        "ValueError: x\n".repeat(70_000),
        "Traceback (most recent call last):\n".repeat(30_000),
        "RuntimeError: Request failed with status code 4".repeat(20_000),
    ];
    for text in texts {
        let start = Instant::now();
        for status in [403, 404, 500, 503] {
            let error = meaning(status, &text);
            assert!(error.to_string().chars().count() <= 300);
        }
        // Takes a second at most without optimization; the rest is for a busy machine. What is read once for
        // each of its characters takes hours.
        let took = start.elapsed();
        assert!(took < Duration::from_secs(30), "{took:?}: {}", &text[..40]);
    }
}

#[test]
fn secrets_that_a_response_repeats_are_hidden() {
    let secret = "tok/en+1=";
    for body in [
        r#"{"message": "bad header Bearer tok\/en\u002B1\u003d"}"#,
        "bad header Bearer tok/en+1=",
        "<title>tok%2Fen%2B1%3D</title>",
        "Traceback (most recent call last):\nValueError: tok/en+1=\n",
    ] {
        let error = rejection("get x", 404, "", body.as_bytes(), &[secret]).to_string();
        assert!(error.contains('…') && !error.contains("en"), "{error}");
    }
}
