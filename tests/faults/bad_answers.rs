//! Verifies that every bad server ends a call with a clear error, in time and in bounded memory.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ray_client::{
    ClientError, JobStatus, JobSubmission, Protocol, RayClient, RetryPolicy, TimeoutKind,
};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::server::{
    CHUNKED, Request, Server, chunk, close, full_listener, hold, job, respond, respond_json,
};
use crate::{check_message, client, options};

/// The error of `get_job` where this is the whole answer, after which the connection is closed.
fn error_after(answer: impl AsRef<[u8]> + Send + Sync + 'static) -> ClientError {
    let server = Server::start(move |_, stream| {
        stream.write_all(answer.as_ref())?;
        Err(close())
    });
    let error = client(&server.address()).get_job("a").unwrap_err();
    check_message(&error);
    assert!(error.to_string().starts_with("get job `a`: "), "{error}");
    error
}

fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn nothing_that_listens_is_503_within_the_connect_timeout() {
    // Bound and not listening: the port is refused, and nobody else gets it.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    let client = RayClient::new(format!("http://{addr}")).unwrap();
    let start = Instant::now();
    let error = client.get_job("a").unwrap_err();
    assert_eq!(error.status(), 503, "{error}");
    assert!(error.is_retryable() && error.to_string().contains("refused"), "{error}");
    for protocol in [Protocol::Stream, Protocol::WebSocket] {
        let tail = client.tail_job_logs_with("a", options(protocol).reconnects(0)).unwrap();
        assert_eq!(tail.last().unwrap().unwrap_err().status(), 503);
    }
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_connect_that_hangs_is_408_after_the_connect_timeout() {
    let (_listener, addr, _waiting) = full_listener();
    let timeout = Duration::from_millis(300);
    let client =
        RayClient::builder(format!("http://{addr}")).connect_timeout(timeout).build().unwrap();
    let start = Instant::now();
    let error = client.get_job("a").unwrap_err();
    assert_eq!(error.status(), 408, "{error}");
    assert!(error.to_string().contains("no connection to") && error.to_string().contains("300ms"));
    for protocol in [Protocol::Stream, Protocol::WebSocket] {
        let tail = client.tail_job_logs_with("a", options(protocol).reconnects(0)).unwrap();
        assert_eq!(tail.last().unwrap().unwrap_err().status(), 408);
    }
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_tail_that_cannot_connect_ends_when_its_stream_timeout_is_over() {
    let (_listener, addr, _waiting) = full_listener();
    let client = RayClient::builder(format!("http://{addr}"))
        .connect_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    for protocol in [Protocol::Stream, Protocol::WebSocket] {
        let start = Instant::now();
        let options = options(protocol).stream_timeout(Duration::from_secs(1));
        let error = client.tail_job_logs_with("a", options).unwrap().last().unwrap().unwrap_err();
        assert_eq!(error.status(), 408, "{error}");
        assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    }
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_408() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = RayClient::builder(format!("http://{}", listener.local_addr().unwrap()))
        .read_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let error = client.get_job("a").unwrap_err();
    assert_eq!(error.status(), 408, "{error}");
    for protocol in [Protocol::Auto, Protocol::Stream, Protocol::WebSocket] {
        let options = options(protocol).stream_timeout(Duration::from_millis(600));
        let start = Instant::now();
        let error = client.tail_job_logs_with("a", options).unwrap().last().unwrap().unwrap_err();
        assert_eq!(error.status(), 408, "{error}");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

#[test]
fn waiting_for_a_job_ends_in_time_where_the_server_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = RayClient::new(format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let start = Instant::now();
    let error = client.wait_for_job("a", Duration::from_millis(500)).unwrap_err();
    assert_eq!(error.status(), 408, "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn an_answer_that_stops_in_the_middle_is_408_where_it_stalls_and_503_where_it_ends() {
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"type\"";
    assert_eq!(error_after(begun).status(), 503);
    let server = Server::start(move |_, stream| {
        stream.write_all(begun.as_bytes())?;
        Err(hold(stream))
    });
    let client = RayClient::builder(server.address())
        .read_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    assert_eq!(client.get_job("a").unwrap_err().status(), 408);
}

#[test]
fn what_is_not_rays_json_is_500() {
    for body in ["", "nonsense", "[1, 2]", "{}", "{\"type\": 7, \"status\": []}", "\u{0}", "null"] {
        let error = error_after(answer(200, body));
        assert_eq!(error.status(), 500, "{body:?}: {error}");
        assert!(!error.is_retryable());
    }
    let deep = "[".repeat(100_000);
    assert_eq!(error_after(answer(200, &deep)).status(), 500);
}

#[test]
fn what_is_not_http_is_500() {
    for garbage in
        ["SSH-2.0-OpenSSH_9.6\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 abc x\r\n\r\n"]
    {
        let error = error_after(garbage);
        assert_eq!(error.status(), 500, "{garbage:?}: {error}");
    }
    let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
    assert_eq!(error_after(bytes).status(), 500);
    for broken in ["content-length: -5", "content-length: 5\r\ncontent-length: 6", "no colon"] {
        let error = error_after(format!("HTTP/1.1 200 OK\r\n{broken}\r\n\r\n{{}}"));
        assert_eq!(error.status(), 500, "{broken}: {error}");
    }
}

#[test]
fn an_answer_that_ends_before_it_began_is_503() {
    for begun in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-"] {
        let error = error_after(begun);
        assert_eq!(error.status(), 503, "{begun:?}: {error}");
    }
}

#[test]
fn endless_headers_are_cut_off_with_500() {
    let endless: [fn(usize) -> String; 2] =
        [|n| format!("x-{n}: {}\r\n", "y".repeat(900)), |_| "y".repeat(900)];
    for line in endless {
        let server = Server::start(move |_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nx: ")?;
            for n in 0.. {
                stream.write_all(line(n).as_bytes())?;
            }
            Ok(())
        });
        let error = client(&server.address()).get_job("a").unwrap_err();
        assert_eq!(error.status(), 500, "{error}");
    }
}

#[test]
fn an_answer_beyond_the_bound_is_cut_off_with_500() {
    // Declared: refused before a byte of it is read.
    let declared = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n[";
    let error = error_after(declared);
    assert_eq!(error.status(), 500, "{error}");
    assert!(error.to_string().contains("larger than 268435456 bytes"), "{error}");

    // Sent: the server could go on for ever, and finds the connection closed.
    let server = Server::start(|_, stream| {
        stream.write_all(CHUNKED.as_bytes())?;
        let block = chunk(&vec![b' '; 1024 * 1024]);
        loop {
            stream.write_all(&block)?;
        }
    });
    // The bound is what ends it, however slow the machine is.
    let client =
        RayClient::builder(server.address()).read_timeout(Duration::from_secs(300)).build();
    let error = client.unwrap().list_jobs().unwrap_err();
    assert_eq!(error.status(), 500, "{error}");
    assert!(error.to_string().contains("larger than 268435456 bytes"), "{error}");
}

#[test]
fn an_endless_error_is_cut_off_too() {
    let server = Server::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 503 x\r\ntransfer-encoding: chunked\r\n\r\n")?;
        let block = chunk(&vec![b'x'; 64 * 1024]);
        loop {
            stream.write_all(&block)?;
        }
    });
    let error = client(&server.address()).get_job("a").unwrap_err();
    assert_eq!(error.status(), 503);
    check_message(&error);
}

#[test]
fn the_page_of_a_gateway_becomes_one_line_with_its_status_and_title() {
    let page =
        |title| format!("<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n</html>");
    let error = error_after(answer(502, &page("502 Bad Gateway")));
    assert_eq!(error.status(), 502);
    assert_eq!(error.to_string(), "get job `a`: a gateway answered 502 Bad Gateway");
    let error = error_after(answer(404, &page("No healthy upstream")));
    assert_eq!((error.status(), error.is_retryable()), (404, true));
    assert_eq!(
        error.to_string(),
        "get job `a`: a gateway answered 404 Not Found: 'No healthy upstream'"
    );
}

/// A reverse proxy that restarts knows no route for a second.
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
fn a_wait_ends_at_once_if_it_cannot_succeed() {
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
fn a_wait_that_is_over_says_how_the_job_was() {
    let server = Server::start(|_, stream| respond_json(stream, &job("a", "PENDING")));
    let timeout = Duration::from_millis(300);
    let error = client(&server.address()).wait_for_job("a", timeout).unwrap_err();
    assert_eq!(error.timeout_kind(), Some(TimeoutKind::Wait));
    assert_eq!(error.job_status(), Some(&JobStatus::Pending));
    assert_eq!(
        error.to_string(),
        "wait for job `a`: not over after the timeout of 300ms that was given: it is PENDING"
    );
}

/// Ray would stop or delete `build`.
#[test]
fn an_id_that_ray_would_take_for_another_is_refused_before_anything_is_sent() {
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

/// A portal answers every request with its page and 200.
#[test]
fn a_portals_page_is_no_success() {
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
        ] {
            assert_eq!(error.status(), 500, "{body:?}: {error}");
        }
    }
}

#[test]
fn an_answer_to_a_submit_that_is_about_another_job_is_an_error() {
    let server = Server::start(|request, stream| {
        if request.is("POST") {
            return respond_json(stream, &json!({"job_id": "b", "submission_id": "b"}));
        }
        respond(stream, 404, "", "Job a does not exist")
    });
    let submission = JobSubmission::new("x").submission_id("a");
    let error = client(&server.address()).submit_job(&submission).unwrap_err();
    assert_eq!(error.status(), 500);
    assert_eq!(error.to_string(), "submit job `a`: the answer is about another job, `b`");
}

#[test]
fn the_names_in_an_answer_do_not_change_its_status() {
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

#[test]
fn a_number_that_json_does_not_have_costs_no_list() {
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
fn a_row_that_cannot_be_read_costs_that_row_and_is_told() {
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
    assert!(tasks.warnings[0].starts_with("row 1 (`cd`) is left out: "), "{:?}", tasks.warnings);

    // One that was asked for by its id is there, and must not be taken for one that is not.
    let answer = envelope(json!([{"node_id": "ab", "state": 5}]));
    let server = Server::start(move |_, stream| respond_json(stream, &answer));
    let error = client(&server.address()).get_node("ab").unwrap_err();
    assert_eq!(error.status(), 500, "{error}");
    assert!(error.to_string().starts_with("get node `ab`: row 0 (`ab`) is left out: "), "{error}");

    for answer in
        [json!({}), json!({"data": {}}), json!({"data": {"result": {"result": []}}}), json!([])]
    {
        let server = Server::start(move |_, stream| respond_json(stream, &answer));
        assert_eq!(client(&server.address()).list_nodes().unwrap_err().status(), 500);
    }
}

#[test]
fn a_list_that_drips_ends_within_the_read_timeout() {
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

#[test]
fn a_python_traceback_becomes_its_last_line() {
    let traceback = "Traceback (most recent call last):\n  File \"/opt/ray/job_head.py\", line 134, in get_job\n    raise X\nRuntimeError: no agent at /tmp/ray/session_1/agent.sock was found\n";
    let error = error_after(answer(500, traceback));
    assert_eq!(error.status(), 500);
    assert_eq!(error.to_string(), "get job `a`: RuntimeError: no agent at <path> was found");
}

#[test]
fn what_a_server_sends_beyond_its_answer_is_never_taken_for_the_next_one() {
    let extra = answer(200, r#"{"version":"6","ray_version":"6.6.6"}"#);
    let first = answer(200, r#"{"version":"4","ray_version":"2.60.0"}"#);
    let server =
        Server::start(move |_, stream| stream.write_all(format!("{first}{extra}").as_bytes()));
    let client = client(&server.address());
    for _ in 0..5 {
        assert_eq!(client.version().unwrap().ray_version, "2.60.0");
    }
}

fn redirect_to(target: &Server, status: u16) -> Server {
    let location = format!("location: {}/x?token=secret\r\n", target.address());
    Server::start(move |_, stream| respond(stream, status, &location, ""))
}

#[test]
fn a_redirect_to_another_host_is_not_followed_and_carries_no_token_along() {
    let target = Server::start(|_, stream| respond(stream, 200, "", "{}"));
    for status in [301, 302, 303, 307, 308] {
        let server = redirect_to(&target, status);
        let client = RayClient::builder(server.address()).bearer_token("s3cret").build().unwrap();
        let error = client.get_job("a").unwrap_err();
        assert_eq!(error.status(), status);
        assert!(error.to_string().contains(&target.address()), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        for protocol in [Protocol::Stream, Protocol::WebSocket] {
            let options = options(protocol).reconnects(0);
            let error = client.tail_job_logs_with("a", options).unwrap().last().unwrap();
            assert_eq!(error.unwrap_err().status(), status);
        }
    }
    assert!(target.requests().is_empty());
}

#[test]
fn ids_names_and_tokens_that_would_inject_a_header_are_refused_before_anything_is_sent() {
    let server = Server::start(|_, stream| respond(stream, 200, "", "{}"));
    let client = RayClient::builder(server.address()).retry(RetryPolicy::none()).build().unwrap();
    for id in ["a\r\nX-Evil: 1", "a\nb", "a\0b", "\r\n\r\nGET / HTTP/1.1", "a/../b", ".."] {
        for error in [
            client.get_job(id).unwrap_err(),
            client.stop_job(id).unwrap_err(),
            client.delete_job(id).unwrap_err(),
            client.list_job_logs(id).unwrap_err(),
            client.wait_for_job(id, Duration::from_secs(1)).unwrap_err(),
            client.tail_job_logs(id).unwrap_err(),
            client.submit_job(&ray_client::JobSubmission::new("x").submission_id(id)).unwrap_err(),
        ] {
            assert_eq!(error.status(), 400, "{id:?}");
            check_message(&error);
        }
    }
    let builder = || RayClient::builder(server.address());
    for token in ["a\r\nX-Evil: 1", "a\nb", "a b", "", "ä"] {
        assert_eq!(builder().bearer_token(token).build().unwrap_err().status(), 400);
    }
    for (name, value) in [("X-A\r\nX-B", "1"), ("X-A", "1\r\nX-B: 2"), ("X-A", "1\n"), ("X:A", "1")]
    {
        assert_eq!(builder().header(name, value).build().unwrap_err().status(), 400);
    }
    assert!(server.requests().is_empty());

    // What may be sent is encoded.
    let odd = "a?b#c %0d%0aX-Evil: 1&d=ä";
    client.get_job(odd).unwrap_err();
    let requests: Vec<Request> = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].line, "GET /api/jobs/a%3Fb%23c%20%250d%250aX-Evil%3A%201%26d%3D%C3%A4");
    assert_eq!(requests[0].header("x-evil"), None);
}

#[test]
fn jobs_that_are_waited_for_together_come_as_they_end() {
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
fn a_wait_for_many_jobs_that_is_over_names_those_that_are_not() {
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
        "wait for jobs: 2 not over after the timeout of 300ms that was given: `a` is PENDING, `b` is RUNNING"
    );
    let refused = Server::start(|_, stream| respond(stream, 401, "", "Unauthorized"));
    let mut ends =
        self::client(&refused.address()).wait_for_jobs(["a"], Duration::from_secs(60)).unwrap();
    assert_eq!(ends.next().unwrap().unwrap_err().status(), 401);
    assert!(ends.next().is_none());
}
