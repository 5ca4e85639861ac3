//! Verifies that a response from something between the client and Ray is not accepted as a response
//! from Ray.

use std::io::Write;
#[cfg(feature = "tls")]
use std::io::{self, BufRead, BufReader};
#[cfg(feature = "tls")]
use std::sync::Arc;

use ray_client::logs::LogFile;
use ray_client::{ClientError, Protocol, RayClient};
#[cfg(feature = "tls")]
use rustls::ServerConfig;

use crate::server::{Server, job, job_with_log, respond};
use crate::{check_message, client, options};

const PORTAL: &str = "<!DOCTYPE html><html><head><title>Sign in to go on</title></head></html>";

/// Status and headers that Ray never sends, each with a text that the error message must contain.
/// The body could be a log.
const ODD: [(&str, &str, &str); 9] = [
    ("200 OK", "content-type: text/html; charset=utf-8\r\n", "Sign in to go on"),
    ("200 OK", "content-type: application/xhtml+xml\r\n", "Sign in to go on"),
    ("200 OK", "content-type: text/plain\r\ncontent-encoding: gzip\r\n", "gzip"),
    ("206 Partial Content", "content-range: bytes 0-1/9\r\n", "206"),
    ("206 Partial Content", "", "206"),
    ("200 OK", "content-range: bytes 0-1/9\r\n", "Content-Range"),
    ("202 Accepted", "", "202"),
    ("203 x", "", "203"),
    ("200 OK", "content-type: image/png\r\n", "image/png"),
];

fn check(error: &ClientError, said: &str) {
    check_message(error);
    assert_eq!(error.status(), 500, "{error}");
    assert!(error.to_string().contains("not Ray's"), "{error}");
    assert!(error.to_string().contains(said), "{error} ({said})");
    assert!(!error.is_retryable(), "{error}");
}

#[test]
fn a_response_that_is_not_from_ray_is_500() {
    for (status, headers, said) in ODD {
        let server = Server::start(move |_, stream| {
            let length = PORTAL.len();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n");
            stream.write_all(format!("{head}{PORTAL}").as_bytes())
        });
        let client = client(&server.address());
        check(&client.get_job("a").unwrap_err(), said);
        check(&client.list_nodes().unwrap_err(), said);
        check(&client.get_json("/api/anything").unwrap_err(), said);
        let error = client.get_json("/nodes/ab/c").unwrap_err();
        check(&error, said);
        assert!(error.to_string().starts_with("get `nodes/ab/c`: "), "{error}");
        check(&client.list_serve_applications().unwrap_err(), said);
    }
}

#[test]
fn an_empty_response_is_not_an_empty_list() {
    let server = Server::start(|_, stream| stream.write_all(b"HTTP/1.1 204 x\r\n\r\n"));
    check(&client(&server.address()).list_jobs().unwrap_err(), "204");
}

#[test]
fn json_with_another_content_type_is_500() {
    let server = Server::start(|_, stream| {
        respond(stream, 200, "content-type: text/plain\r\n", r#"{"version":"4"}"#)
    });
    check(&client(&server.address()).version().unwrap_err(), "text/plain");
}

/// A finished job whose log is sent with this status and these headers.
fn odd_log(status: &'static str, headers: &'static str) -> (Server, RayClient) {
    let server = job_with_log("SUCCEEDED", move |_, stream| {
        let length = PORTAL.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n");
        stream.write_all(format!("{head}{PORTAL}").as_bytes())
    });
    let client = client(&server.address());
    (server, client)
}

#[test]
fn a_web_page_is_never_read_as_a_log() {
    let json = ("200 OK", "content-type: application/json\r\n", "application/json");
    for (status, headers, said) in ODD.into_iter().chain([json]) {
        let (_server, client) = odd_log(status, headers);
        check(&client.list_job_logs("a").unwrap_err(), said);
        let file = LogFile::of_node("aa", "x.log");
        check(&client.read_log_file(&file).unwrap_err(), said);
        let options = options(Protocol::Stream).reconnects(0);
        let items: Vec<_> = client.tail_job_logs_with("a", options).unwrap().collect();
        assert_eq!(items.len(), 1, "no line of {said}: {items:?}");
        let error = items[0].as_ref().unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn a_log_needs_no_content_type() {
    let server = job_with_log("SUCCEEDED", |_, stream| respond(stream, 200, "", "one\n"));
    assert_eq!(client(&server.address()).list_job_logs("a").unwrap(), "one\n");
}

#[test]
fn informational_headers_do_not_count_as_the_response() {
    let list = serde_json::json!(vec![job("a", "RUNNING"); 1000]);
    let server = Server::start(move |_, stream| {
        let mut answer = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".to_vec();
        respond_json_to(&mut answer, &list);
        stream.write_all(&answer)
    });
    assert_eq!(client(&server.address()).list_jobs().unwrap().results.len(), 1000);
}

fn respond_json_to(answer: &mut Vec<u8>, value: &serde_json::Value) {
    let body = value.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    answer.extend(head.bytes().chain(body.bytes()));
}

/// Sends two requests. Each response is followed by an unrequested one.
fn ask_twice(client: &RayClient) -> Vec<String> {
    ["a", "b"].map(|id| client.get_json(format!("/{id}")).unwrap()["id"].to_string()).to_vec()
}

fn two_answers(request_line: &str, padding: usize) -> [Vec<u8>; 2] {
    let id = if request_line.starts_with("GET /a") { "a" } else { "b" };
    [id, "nobody asked for this"].map(|id| {
        let mut answer = Vec::new();
        respond_json_to(&mut answer, &serde_json::json!({"id": id, "x": "y".repeat(padding)}));
        answer
    })
}

#[test]
fn an_unrequested_response_is_ignored() {
    let server =
        Server::start(|request, stream| stream.write_all(&two_answers(&request.line, 0).concat()));
    assert_eq!(ask_twice(&client(&server.address())), [r#""a""#, r#""b""#]);
}

/// Each response is a separate TLS record, and both are sent together. A client reads them from the
/// socket in one piece, and may decrypt the second only when it reads again.
#[cfg(feature = "tls")]
fn serve_two_records(stream: std::net::TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    let connection = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
    let mut client = BufReader::new(rustls::StreamOwned::new(connection, stream));
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if client.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let padding = head.split(['=', ' ']).nth(2).and_then(|n| n.parse().ok()).unwrap_or(0);
        let stream = client.get_mut();
        for answer in two_answers(&head, padding) {
            stream.conn.writer().write_all(&answer)?;
        }
        stream.flush()?;
    }
}

#[cfg(feature = "tls")]
#[test]
fn an_unrequested_response_is_ignored_over_tls() {
    let (config, ca) = crate::tls::certificates("localhost");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || serve_two_records(stream, config));
        }
    });
    let client = RayClient::builder(address).ca_certificate_pem(ca).build().unwrap();
    // With some padding, a record ends exactly at the end of a client buffer.
    for padding in (0..10_000).step_by(100) {
        let ask = |id| client.get_json(format!("/{id}?padding={padding}")).unwrap()["id"].clone();
        assert_eq!([ask("a"), ask("b")], ["a", "b"], "{padding}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn a_server_without_tls_is_reported_and_not_retried() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // The response of Ray to a request that is not HTTP.
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
            let _ = io::copy(&mut stream, &mut io::sink());
        }
    });
    let client = RayClient::new(address).unwrap();
    let error = client.wait_for_job("a", std::time::Duration::from_secs(60)).unwrap_err();
    assert_eq!(error.status(), 503, "{error}");
    assert!(!error.is_retryable() && error.to_string().contains("does not speak TLS"), "{error}");
}
