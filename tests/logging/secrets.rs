//! Verifies that no record shows a token, a password, the value of a header or of a query, or what a job
//! gets.

use std::thread;
use std::time::Duration;

use ray_client::{JobSubmission, Protocol, RayClient, RetryPolicy, RuntimeEnv};

use crate::cluster::rest;
use crate::options;
use crate::records::Records;
use crate::server::{Request, Server, close, job, reset, respond, respond_json};

const SECRETS: [&str; 7] = [
    "t0kenvalue",
    "passw0rd",
    "bWU6cGFzc3cwcmQ",
    "headerv4lue",
    "qu3ry+token",
    "qu3ry%2Btoken",
    "envv4lue",
];

/// What a server sees of a client, as one in debug mode repeats it.
fn seen(request: &Request) -> String {
    let decoded = request.line.replace("%2B", "+");
    format!("{} {decoded} {}", request.line, request.headers.join(" "))
}

type Answer = fn(&Request, &mut std::net::TcpStream) -> std::io::Result<()>;

const ANSWERS: [Answer; 9] = [
    |request, stream| respond(stream, 403, "", format!("Forbidden: {}", seen(request))),
    |request, stream| respond(stream, 401, "", seen(request)),
    |request, stream| respond(stream, 503, "", seen(request)),
    |request, stream| {
        let page = format!("<html><title>{}</title></html>", seen(request));
        respond(stream, 502, "content-type: text/html\r\n", page)
    },
    |request, stream| {
        let page = format!("<html><title>{}</title></html>", seen(request));
        respond(stream, 200, "content-type: text/html\r\n", page)
    },
    |request, stream| {
        let query = request.line.split_once('?').map_or("", |(_, query)| query);
        let location = format!("location: http://me:passw0rd@127.0.0.1:1/x?{query}\r\n");
        respond(stream, 307, &location, seen(request))
    },
    |_, _| Err(close()),
    |_, stream| Err(reset(stream)),
    |request, stream| {
        if request.is("POST") {
            respond(stream, 200, "", &request.body)
        } else {
            respond_json(stream, &job("a", "RUNNING"))
        }
    },
];

#[test]
fn no_record_shows_a_secret_whatever_the_server_answers() {
    let records = Records::begin();
    thread::scope(|scope| {
        for answer in ANSWERS {
            scope.spawn(move || call_and_tail(&Server::start(answer)));
        }
    });
    let all = records.all();
    let shown = all.iter().filter(|line| line.2.contains("/api/any?token=…&…: "));
    assert!(shown.count() >= 2 * ANSWERS.len(), "{all:#?}");
    for (level, target, message) in all {
        for secret in SECRETS {
            assert!(!message.contains(secret), "{level} {target} {message}");
        }
    }
}

fn call_and_tail(server: &Server) {
    let with_password = server.address().replace("http://", "http://me:passw0rd@");
    let quick = RetryPolicy::default().backoff(Duration::from_millis(1));
    let token = RayClient::builder(&*with_password).bearer_token("t0kenvalue");
    let header = RayClient::builder(&*with_password).header("X-Key", "headerv4lue");
    for builder in [token, header] {
        let client = builder.retry(quick.clone()).build().unwrap();
        let env = RuntimeEnv::new().env_var("KEY", "envv4lue");
        let submission = JobSubmission::new("echo envv4lue").runtime_env(env);
        // Whether a call fails is the server's affair.
        let _ = client.submit_job(&submission.metadata("key", "envv4lue"));
        let _ = client.get_json("/api/any?token=qu3ry%2Btoken&qu3ry%2Btoken");
        let _ = client.list_jobs();
        let _ = client.stop_job("a");
        for protocol in [Protocol::Auto, Protocol::Stream, Protocol::WebSocket] {
            let options = options(protocol).stream_timeout(Duration::from_millis(300));
            let _ = rest(client.tail_job_logs_with("a", options.reconnects(1)).unwrap());
        }
    }
}
