//! Verifies that every faulty response ends a call with a clear error, in time and in bounded
//! memory.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use ray_client::{ClientError, Protocol, RayClient, RetryPolicy};
use socket2::{Domain, Socket, Type};

use crate::server::{CHUNKED, Request, Server, chunk, close, full_listener, hold, respond};
use crate::{check_message, client, options};

/// Returns the error of `get_job` if the server sends this and closes the connection.
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
fn a_refused_connection_is_503_within_the_connect_timeout() {
    // Bound but not listening: connections are refused, and no other process gets the port.
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
fn a_tail_that_cannot_connect_ends_after_the_stream_timeout() {
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
fn a_server_that_never_responds_is_408() {
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
fn wait_for_job_ends_in_time_if_the_server_never_responds() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = RayClient::new(format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let start = Instant::now();
    let error = client.wait_for_job("a", Duration::from_millis(500)).unwrap_err();
    assert_eq!(error.status(), 408, "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn wait_for_job_ends_in_time_if_a_response_begins_late_and_stalls() {
    let server = Server::start(|_, stream| {
        thread::sleep(Duration::from_millis(1800));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")?;
        Err(hold(stream))
    });
    let client = RayClient::new(server.address()).unwrap();
    let start = Instant::now();
    let error = client.wait_for_job("a", Duration::from_secs(2)).unwrap_err();
    assert_eq!(error.status(), 408, "{error}");
    // Not the whole time once more for the body.
    assert!(start.elapsed() < Duration::from_millis(3500), "{:?}", start.elapsed());
}

#[test]
fn a_partial_response_is_408_if_it_stalls_and_503_if_it_ends() {
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
fn unexpected_json_is_500() {
    for body in ["", "nonsense", "[1, 2]", "{}", "{\"type\": 7, \"status\": []}", "\u{0}", "null"] {
        let error = error_after(answer(200, body));
        assert_eq!(error.status(), 500, "{body:?}: {error}");
        assert!(!error.is_retryable());
    }
    let deep = "[".repeat(100_000);
    assert_eq!(error_after(answer(200, &deep)).status(), 500);
}

#[test]
fn a_response_that_is_not_http_is_500() {
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
fn an_empty_response_is_503() {
    for begun in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-"] {
        let error = error_after(begun);
        assert_eq!(error.status(), 503, "{begun:?}: {error}");
    }
}

#[test]
fn endless_headers_are_500() {
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
fn a_response_above_the_size_limit_is_500() {
    // A declared length above the limit is rejected before the body is read.
    let declared = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n[";
    let error = error_after(declared);
    assert_eq!(error.status(), 500, "{error}");
    assert!(error.to_string().contains("larger than 268435456 bytes"), "{error}");

    // Without a declared length, the client closes the connection at the limit.
    let server = Server::start(|_, stream| {
        stream.write_all(CHUNKED.as_bytes())?;
        let block = chunk(&vec![b' '; 1024 * 1024]);
        loop {
            stream.write_all(&block)?;
        }
    });
    // The size limit must end the call, even on a slow machine.
    let client =
        RayClient::builder(server.address()).read_timeout(Duration::from_secs(300)).build();
    let error = client.unwrap().list_jobs().unwrap_err();
    assert_eq!(error.status(), 500, "{error}");
    assert!(error.to_string().contains("larger than 268435456 bytes"), "{error}");
}

#[test]
fn an_endless_error_response_is_limited() {
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
fn a_gateway_page_becomes_its_status_and_title_in_one_line() {
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

#[test]
fn a_python_traceback_becomes_its_last_line() {
    let traceback = "Traceback (most recent call last):\n  File \"/opt/ray/job_head.py\", line 134, in get_job\n    raise X\nRuntimeError: no agent at /tmp/ray/session_1/agent.sock was found\n";
    let error = error_after(answer(500, traceback));
    assert_eq!(error.status(), 500);
    assert_eq!(error.to_string(), "get job `a`: RuntimeError: no agent at <path> was found");
}

#[test]
fn bytes_after_a_response_are_not_the_next_response() {
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
fn redirects_to_other_hosts_are_not_followed() {
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
fn values_that_would_inject_a_header_are_rejected_before_sending() {
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

    // Valid values are encoded.
    let odd = "a?b#c %0d%0aX-Evil: 1&d=ä";
    client.get_job(odd).unwrap_err();
    let requests: Vec<Request> = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].line, "GET /api/jobs/a%3Fb%23c%20%250d%250aX-Evil%3A%201%26d%3D%C3%A4");
    assert_eq!(requests[0].header("x-evil"), None);
}
