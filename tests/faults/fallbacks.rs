//! Verifies that a tail with `Protocol::Auto` falls back to another endpoint if one is unavailable,
//! and delivers the log once.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ray_client::{ClientError, Protocol};
use serde_json::json;

use crate::server::{
    CHUNKED, FakeRay, Fault, Server, TEXT, chunk, close, close_frame, frame, hold, job, messages,
    respond, respond_chunked, respond_json, upgrade, version,
};
use crate::{client, collect, lines_of, log, options};

/// If a route is temporarily missing, byte positions of the file must not be used as positions of
/// the WebSocket's text.
#[test]
fn a_route_that_worked_before_is_only_temporarily_missing() {
    let log: Vec<u8> = (0..100).flat_map(|n| format!("line {n}\r\n").into_bytes()).collect();
    let half: Fault = |s, log| {
        s.write_all(&[CHUNKED.as_bytes(), &chunk(&log[..log.len() / 2])].concat())?;
        Err(close())
    };
    let away: [Fault; 4] = [
        |s, _| respond(s, 404, "", "not found"),
        |s, _| respond(s, 405, "", "not allowed"),
        |s, _| respond(s, 426, "", "upgrade"),
        |s, _| respond(s, 501, "", "not implemented"),
    ];
    std::thread::scope(|scope| {
        for away in away {
            let log = &log;
            scope.spawn(move || {
                let ray = FakeRay::start(log.clone(), [half, away]);
                let (lines, end) = collect(&client(&ray.server.address()), options(Protocol::Auto));
                assert!(end.is_none(), "{end:?}");
                assert_eq!(lines, lines_of(log));
                assert_eq!(ray.server.count("GET /api/jobs/a/logs/tail"), 0);
            });
        }
    });
}

/// A Ray with one job and without log files. A gateway blocks its version if that is empty. Its
/// WebSocket sends the log or nothing; `whole` sends the whole log.
fn without_files(
    ray_version: &'static str,
    status: &'static str,
    log: &[u8],
    websocket_sends: bool,
    whole: fn(&mut std::net::TcpStream, &[u8]) -> std::io::Result<()>,
) -> Server {
    let log = log.to_vec();
    let over = AtomicUsize::new(0);
    Server::start(move |request, stream| {
        if request.is("GET /api/version") && ray_version.is_empty() {
            respond(stream, 403, "content-type: text/html\r\n", "<title>Blocked</title>")
        } else if request.is("GET /api/version") {
            respond_json(stream, &json!({"version": "4", "ray_version": ray_version}))
        } else if request.is("GET /api/v0/") {
            respond(stream, 405, "", "not allowed")
        } else if request.line.ends_with("/logs/tail") {
            upgrade(request, stream)?;
            if websocket_sends {
                for text in messages(&log) {
                    stream.write_all(&frame(TEXT, text))?;
                }
            }
            over.store(1, Ordering::Release);
            stream.write_all(&close_frame(1000))?;
            Err(hold(stream))
        } else if request.line.ends_with("/logs") {
            whole(stream, &log)
        } else {
            let status = if over.load(Ordering::Acquire) > 0 { "SUCCEEDED" } else { status };
            respond_json(stream, &job("a", status))
        }
    })
}

fn whole(stream: &mut std::net::TcpStream, log: &[u8]) -> std::io::Result<()> {
    respond_json(stream, &json!({"logs": std::str::from_utf8(log).unwrap()}))
}

#[test]
fn auto_uses_the_websocket_if_log_files_are_unavailable() {
    let log = log(500);
    for status in ["RUNNING", "SUCCEEDED"] {
        let server = without_files("2.60.0", status, &log, true, whole);
        let (lines, end) = collect(&client(&server.address()), options(Protocol::Auto));
        assert!(end.is_none(), "{status}: {end:?}");
        assert_eq!(lines, lines_of(&log), "{status}");
        let last = options(Protocol::Auto).last_lines(3);
        let (lines, end) = collect(&client(&server.address()), last);
        assert!(end.is_none(), "{status}: {end:?}");
        assert_eq!(lines, lines_of(&log)[497..], "{status}");
        let stream = options(Protocol::Stream);
        let (_, end) = collect(&client(&server.address()), stream);
        assert_eq!(end.unwrap().status(), 405, "{status}");
    }
}

/// Some gateways let only certain routes pass.
#[test]
fn a_blocked_version_does_not_block_the_log() {
    let log = log(500);
    let server = without_files("", "RUNNING", &log, true, whole);
    let client = client(&server.address());
    let (lines, end) = collect(&client, options(Protocol::Auto));
    assert!(end.is_none(), "{end:?}");
    assert_eq!(lines, lines_of(&log));
    assert_eq!(client.list_job_logs("a").unwrap().as_bytes(), log);
    let (_, end) = collect(&client, options(Protocol::Stream));
    let error = end.unwrap();
    assert_eq!(error.status(), 403, "{error}");
    assert!(error.to_string().contains("Blocked"), "{error}");
}

/// Its text has other positions than the file.
#[test]
fn a_resumed_tail_does_not_use_the_websocket() {
    let log: Vec<u8> = (0..100).flat_map(|n| format!("line {n}\r\n").into_bytes()).collect();
    let server = without_files("2.60.0", "SUCCEEDED", &log, true, whole);
    for position in [1, 100] {
        let options = options(Protocol::Auto).from_position(position);
        let (lines, end) = collect(&client(&server.address()), options);
        assert_eq!((lines.len(), end.unwrap().status()), (0, 405));
    }
    assert_eq!(server.count("GET /api/jobs/a/logs/tail"), 0);
}

#[test]
fn on_old_rays_auto_delivers_what_the_websocket_omitted() {
    let log = log(500);
    for sends in [true, false] {
        let server = without_files("2.9.3", "RUNNING", &log, sends, whole);
        let (lines, end) = collect(&client(&server.address()), options(Protocol::Auto));
        assert!(end.is_none(), "{end:?}");
        assert_eq!(lines, lines_of(&log));
    }
    let server = without_files("2.9.3", "RUNNING", &log, false, whole);
    for reconnects in [0, 1000] {
        let websocket = options(Protocol::WebSocket).reconnects(reconnects);
        let error = collect(&client(&server.address()), websocket).1.unwrap();
        assert_eq!(error.status(), 500);
        assert!(error.to_string().ends_with("use Protocol::Auto"), "{error}");
    }
}

#[test]
fn a_log_that_old_rays_cannot_send_is_500() {
    let server = without_files("2.9.3", "RUNNING", &log(5), false, |stream, _| {
        let text = "Traceback (most recent call last):\n  File \"/x/y.py\", line 1, in z\nUnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 9: invalid start byte\n";
        respond(stream, 500, "", text)
    });
    let client = client(&server.address());
    let check = |error: ClientError| {
        assert_eq!(error.status(), 500, "{error}");
        assert!(error.to_string().contains("not UTF-8"), "{error}");
    };
    check(collect(&client, options(Protocol::Auto).reconnects(0)).1.unwrap());
    check(client.list_job_logs("a").unwrap_err());
}

#[test]
fn a_growing_log_is_not_silent_despite_a_long_poll_interval() {
    let looks = AtomicUsize::new(0);
    let server = Server::start(move |request, stream| {
        if request.is("GET /api/version") {
            version(stream)
        } else if request.is("GET /api/v0/logs/file") {
            let lines = looks.fetch_add(1, Ordering::Relaxed) + 1;
            respond_chunked(stream, request.part_of(&log(lines.min(5))))
        } else {
            let status = if looks.load(Ordering::Relaxed) < 5 { "RUNNING" } else { "SUCCEEDED" };
            respond_json(stream, &job("a", status))
        }
    });
    let options = options(Protocol::Stream)
        .poll_interval(Duration::from_secs(5))
        .stream_timeout(Duration::from_secs(1));
    let (lines, end) = collect(&client(&server.address()), options);
    assert!(end.is_none(), "{end:?}");
    assert_eq!(lines, lines_of(&log(5)));
}
