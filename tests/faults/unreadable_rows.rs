//! Verifies that an unreadable row or number, or a slow server, affects as little of a list as
//! possible.

use std::io::Write;
use std::time::{Duration, Instant};

use ray_client::{Filter, ListOptions, RayClient, TimeoutKind};
use serde_json::{Value, json};

use crate::client;
use crate::server::{CHUNKED, Server, chunk, respond, respond_json};

#[test]
fn nan_and_infinity_do_not_break_a_list() {
    let job = json!({"type": "SUBMISSION", "submission_id": "a", "status": "FAILED",
        "runtime_env": {"x": [0]}});
    let text = job.to_string().replace("[0]", "[NaN, -Infinity, Infinity]");
    let text = format!("[{text}, {text}]");
    let server = Server::start(move |_, stream| respond(stream, 200, "", &text));
    let jobs = client(&server.address()).list_jobs().unwrap();
    assert_eq!((jobs.len(), jobs.truncated), (2, false));
    let env = jobs.results[0].runtime_env.as_ref().unwrap();
    assert_eq!(env["x"], json!(["NaN", "-Infinity", "Infinity"]));
}

#[test]
fn an_unreadable_row_is_skipped_with_a_warning() {
    let envelope = |rows: Value| {
        let count = rows.as_array().unwrap().len();
        json!({"result": true, "msg": "", "data": {"result": {"total": count,
            "num_after_truncation": count, "num_filtered": count, "result": rows,
            "partial_failure_warning": null, "warnings": null}}})
    };
    let good = json!({"task_id": "ab", "state": "RUNNING", "attempt_number": null, "label_selector": null});
    let bad = json!({"task_id": "cd", "state": ["RUNNING"]});
    let answer = envelope(json!([good, bad, good]));
    let server = Server::start(move |_, stream| respond_json(stream, &answer));
    let tasks = client(&server.address()).list_tasks().unwrap();
    assert_eq!((tasks.len(), tasks.total, tasks.truncated), (2, 3, true));
    assert!(tasks.warnings[0].starts_with("row 1 (`cd`) is skipped: "), "{:?}", tasks.warnings);

    // The requested node exists, so an unreadable row must not become 404.
    let answer = envelope(json!([{"node_id": "ab", "state": 5}]));
    let server = Server::start(move |_, stream| respond_json(stream, &answer));
    let error = client(&server.address()).get_node("ab").unwrap_err();
    assert_eq!(error.status(), 500, "{error}");
    assert!(error.to_string().starts_with("get node `ab`: row 0 (`ab`) is skipped: "), "{error}");

    for answer in
        [json!({}), json!({"data": {}}), json!({"data": {"result": {"result": []}}}), json!([])]
    {
        let server = Server::start(move |_, stream| respond_json(stream, &answer));
        assert_eq!(client(&server.address()).list_nodes().unwrap_err().status(), 500);
    }
}

/// Responds like Ray 2.49.2. Only the list without the filter shows that the filter causes the
/// error.
#[test]
fn a_500_without_reason_is_400_only_if_the_filter_causes_it() {
    let bare = "500 Internal Server Error\n\nServer got itself in trouble";
    let by = ListOptions::default().filter("mood", Filter::Eq, 1);
    let empty = json!({"data": {"result": {"total": 0, "num_after_truncation": 0, "num_filtered": 0,
        "result": []}}});
    let working = Server::start(move |request, stream| {
        if request.line.contains("filter_keys") {
            return respond(stream, 500, "", bare);
        }
        respond_json(stream, &empty)
    });
    let error = client(&working.address()).list_nodes_with(&by).unwrap_err();
    assert_eq!((error.status(), working.requests().len()), (400, 2), "{error}");
    assert_eq!(error.to_string(), "list nodes: Ray cannot use the filter, and does not say why");

    let failing = Server::start(move |_, stream| respond(stream, 500, "", bare));
    let client = client(&failing.address());
    assert_eq!(client.list_nodes_with(&by).unwrap_err().status(), 500);
    assert_eq!(client.list_nodes().unwrap_err().status(), 500);
    assert_eq!(failing.requests().len(), 3);
}

#[test]
fn a_slow_list_ends_within_the_read_timeout() {
    let server = Server::start(|_, stream| {
        stream.write_all(CHUNKED.as_bytes())?;
        loop {
            stream.write_all(&chunk(b" "))?;
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let timeout = Duration::from_millis(400);
    let client = RayClient::builder(server.address()).read_timeout(timeout).build().unwrap();
    let start = Instant::now();
    for error in [
        client.list_nodes().unwrap_err(),
        client.get_task("ab").unwrap_err(),
        client.summarize_tasks().unwrap_err(),
        client.write_task_timeline(None, &mut Vec::new()).unwrap_err(),
    ] {
        assert_eq!(error.status(), 408, "{error}");
        assert_eq!(error.timeout_kind(), Some(TimeoutKind::Read));
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
