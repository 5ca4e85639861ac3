//! Verifies that errors and `Debug` output contain no secrets.

use std::io;
use std::net::TcpStream;

use ray_client::{Protocol, RayClient};

use crate::options;
use crate::server::{Server, job, respond, respond_json, version};

const SECRETS: [&str; 4] = ["t0kenvalue", "passw0rd", "headerv4lue", "ssel-v4lue"];

fn check(text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn display_and_debug_hide_tokens_passwords_and_headers() {
    let server = Server::start(|request, stream| {
        // Echoes the request headers, like a proxy in debug mode.
        let seen = request.headers.join(" ");
        let escaped = seen.replace('ü', "\\u00fc");
        let latin1 = seen.replace('ü', "Ã¼");
        let in_url = seen.replace('ü', "%C3%BC");
        respond(stream, 403, "", format!("Forbidden: {seen} {escaped} {latin1} {in_url}"))
    });
    let with_password = server.address().replace("http://", "http://me:passw0rd@");
    let token = RayClient::builder(&*with_password).bearer_token("t0kenvalue");
    let basic = RayClient::builder(&*with_password).header("X-Key", "headerv4lue");
    let not_ascii = RayClient::builder(server.address()).header("X-Key", "schlüssel-v4lue");
    for builder in [token, basic, not_ascii] {
        check(&format!("{builder:?} {builder:#?}"));
        let client = builder.build().unwrap();
        check(&format!("{client:?}"));
        let mut errors = vec![client.get_job("a").unwrap_err(), client.list_jobs().unwrap_err()];
        for protocol in [Protocol::Stream, Protocol::WebSocket] {
            let tail = client.tail_job_logs_with("a", options(protocol).reconnects(0)).unwrap();
            check(&format!("{tail:?}"));
            errors.push(tail.last().unwrap().unwrap_err());
        }
        for error in errors {
            assert_eq!(error.status(), 403);
            check(&format!("{error} {error:?} {error:#?}"));
        }
    }
    // The password of the address stays in `Authorization`, and Ray's token is sent in a second
    // header.
    let sent = |name, value| server.requests().iter().any(|r| r.header(name) == Some(value));
    assert!(sent("x-ray-authorization", "Bearer t0kenvalue"));
    assert!(sent("authorization", "Basic bWU6cGFzc3cwcmQ="));
    for value in ["headerv4lue", "schlüssel-v4lue"] {
        assert!(server.requests().iter().any(|r| r.header("x-key") == Some(value)));
    }
}

#[test]
fn successful_responses_that_repeat_the_request_are_shown_without_its_headers() {
    type Answer = fn(&str, &mut TcpStream) -> io::Result<()>;
    let answers: [Answer; 3] = [
        |seen, stream| {
            let page = format!("<html><title>Sign in: {seen}</title></html>");
            respond(stream, 200, "content-type: text/html\r\n", page)
        },
        |seen, stream| respond(stream, 200, &format!("content-type: {seen}\r\n"), "x"),
        |seen, stream| respond(stream, 200, &format!("content-encoding: {seen}\r\n"), "x"),
    ];
    for answer in answers {
        let server = Server::start(move |request, stream| {
            let is_of_tail = request.is("GET /api/v0/logs/file");
            if request.is("GET /api/version") {
                version(stream)
            } else if request.is("GET /api/jobs/tailed") {
                respond_json(stream, &job("tailed", "RUNNING"))
            } else {
                assert!(is_of_tail || request.is("GET /api/jobs/a"));
                answer(request.header("x-key").unwrap_or_default(), stream)
            }
        });
        let builder = RayClient::builder(server.address()).header("X-Key", "headerv4lue");
        let client = builder.build().unwrap();
        let stream = client.tail_job_logs_with("tailed", options(Protocol::Stream).reconnects(0));
        let of_tail = stream.unwrap().last().unwrap().unwrap_err();
        for error in [client.get_job("a").unwrap_err(), of_tail] {
            assert!(error.to_string().contains('…'), "{error}");
            check(&format!("{error} {error:?}"));
        }
    }
}

#[test]
fn an_invalid_address_is_shown_without_its_password() {
    for address in [
        "http://me:passw0rd@",
        "me:passw0rd@h:8265",
        "ftp://me:passw0rd@h",
        "http://me:passw0rd@h?x",
        "http://me:passw0rd/x@h",
        "http://me:passw0rd@h h",
        "ray://me:passw0rd@h",
    ] {
        let builder = RayClient::builder(address);
        check(&format!("{builder:?}"));
        let error = builder.build().unwrap_err();
        assert_eq!(error.status(), 400, "{address}");
        check(&format!("{error} {error:?}"));
    }
}

#[test]
fn an_unreachable_address_is_shown_without_its_password() {
    let client = RayClient::new("http://me:passw0rd@127.0.0.1:9").unwrap();
    let error = client.get_job("a").unwrap_err();
    assert_eq!(error.status(), 503);
    check(&format!("{error} {error:?}"));
}

#[test]
fn errors_do_not_contain_the_query_of_a_custom_route() {
    let server = Server::start(|request, stream| {
        let decoded = request.line.replace("%2B", "+");
        respond(stream, 403, "", format!("Forbidden: {} {decoded}", request.line))
    });
    let error = crate::client(&server.address());
    let error = error.get_json("/api/x?token=passw0rd%2Bt0kenvalue&headerv4lue").unwrap_err();
    assert!(error.to_string().contains("/api/x?token=…&…"), "{error}");
    check(&format!("{error} {error:?}"));
}
