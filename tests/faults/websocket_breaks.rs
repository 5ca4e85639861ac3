//! Verifies that a tail with `Protocol::WebSocket` delivers the log once despite faults in frames.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ray_client::{Protocol, TailOptions};

use crate::server::{
    BINARY, CLOSE, CONTINUED, FakeRay, Fault, LAST_CONTINUED, PING, Server, TEXT,
    TEXT_TO_BE_CONTINUED, close, close_frame, frame, half_then, hold, job, job_with_websocket,
    messages, reset, respond, respond_chunked, respond_json, send_by_websocket, send_half, upgrade,
    version,
};
use crate::{check_message, client, collect, lines_of, log, options};

fn masked(text: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![TEXT, 0x80 | u8::try_from(text.len()).unwrap()];
    frame.extend(mask);
    frame.extend(text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

const FAULTS: [(&str, Fault); 17] = [
    ("closed with 1000", |s, log| half_then(s, log, &close_frame(1000))),
    ("closed with 1001", |s, log| half_then(s, log, &close_frame(1001))),
    ("closed with 1006", |s, log| half_then(s, log, &close_frame(1006))),
    ("closed with 1009", |s, log| half_then(s, log, &close_frame(1009))),
    ("closed with 1011", |s, log| half_then(s, log, &close_frame(1011))),
    ("closed without a code", |s, log| half_then(s, log, &frame(CLOSE, b""))),
    ("a FIN", send_half),
    ("a reset", |s, log| {
        send_half(s, log)?;
        thread::sleep(Duration::from_millis(50));
        Err(reset(s))
    }),
    ("a FIN in mid-frame", |s, log| {
        send_half(s, log)?;
        s.write_all(&frame(TEXT, b"never whole")[..5])
    }),
    ("a close frame in mid-message", |s, log| {
        let begun = frame(TEXT_TO_BE_CONTINUED, b"never whole");
        half_then(s, log, &[begun, close_frame(1000)].concat())
    }),
    ("a masked frame", |s, log| half_then(s, log, &masked(b"masked"))),
    ("a reserved opcode", |s, log| half_then(s, log, &frame(0x83, b"what"))),
    ("a reserved control opcode", |s, log| half_then(s, log, &frame(0x8b, b"what"))),
    ("reserved bits", |s, log| half_then(s, log, &frame(TEXT | 0x40, b"what"))),
    ("an oversized frame", |s, log| {
        half_then(s, log, &[&[TEXT, 127][..], &(1_u64 << 40).to_be_bytes(), b"begun"].concat())
    }),
    ("a continuation of nothing", |s, log| half_then(s, log, &frame(LAST_CONTINUED, b"what"))),
    ("a text that is not UTF-8", |s, log| half_then(s, log, &frame(TEXT, b"\xff\xfe"))),
];

#[test]
fn the_log_arrives_once_after_each_fault() {
    let log = &log(2000);
    thread::scope(|scope| {
        for (name, fault) in FAULTS {
            scope.spawn(move || {
                let ray = FakeRay::start(log.clone(), [fault]);
                let options = options(Protocol::WebSocket).reconnects(1);
                let (lines, end) = collect(&client(&ray.server.address()), options);
                assert!(end.is_none(), "{name}: {end:?}");
                assert!(lines == lines_of(log), "{name}: {} lines", lines.len());
                assert_eq!(ray.server.count("GET /api/jobs/a/logs/tail"), 2, "{name}");
            });
        }
    });
}

#[test]
fn without_reconnects_each_fault_is_one_503() {
    let log = &log(2000);
    thread::scope(|scope| {
        for (name, fault) in FAULTS {
            scope.spawn(move || {
                let ray = FakeRay::start(log.clone(), [fault]);
                let options = options(Protocol::WebSocket).reconnects(0);
                let (lines, end) = collect(&client(&ray.server.address()), options);
                let error = end.unwrap_or_else(|| panic!("{name}: ended as if all were well"));
                assert_eq!(error.status(), 503, "{name}: {error}");
                check_message(&error);
                let all = lines_of(log);
                assert!(lines.len() < all.len(), "{name}");
                assert_eq!(lines, all[..lines.len()], "{name}");
            });
        }
    });
}

#[test]
fn a_binary_message_is_500() {
    let fault: Fault = |s, log| half_then(s, log, &frame(BINARY, b"what"));
    let ray = FakeRay::start(log(100), [fault]);
    let (_, end) =
        collect(&client(&ray.server.address()), options(Protocol::WebSocket).reconnects(0));
    assert_eq!(end.unwrap().status(), 500);
}

/// A server whose WebSocket sends the log once in this way, and closes as Ray does.
fn serving(log: &[u8], send: fn(&mut TcpStream, &[u8]) -> io::Result<()>) -> Server {
    let (file, log) = (log.to_vec(), log.to_vec());
    job_with_websocket(
        "SUCCEEDED",
        move |_, stream| respond_chunked(stream, &file),
        move |request, stream| {
            upgrade(request, stream)?;
            send(stream, &log)?;
            stream.write_all(&close_frame(1000))?;
            Err(hold(stream))
        },
    )
}

#[test]
fn fragments_and_pings_are_accepted() {
    let log = log(500);
    let server = serving(&log, |stream, log| {
        for message in messages(log) {
            let text = std::str::from_utf8(message).unwrap();
            let cut = (0..text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            stream.write_all(&frame(PING, b"1"))?;
            stream.write_all(&frame(TEXT_TO_BE_CONTINUED, &message[..cut]))?;
            stream.write_all(&frame(PING, b"2"))?;
            stream.write_all(&frame(CONTINUED, b""))?;
            // A fragment may end inside a character.
            stream.write_all(&frame(CONTINUED, &message[cut..=cut]))?;
            stream.write_all(&frame(LAST_CONTINUED, &message[cut + 1..]))?;
        }
        Ok(())
    });
    let options = options(Protocol::WebSocket).reconnects(0);
    let (lines, end) = collect(&client(&server.address()), options);
    assert!(end.is_none(), "{end:?}");
    assert_eq!(lines, lines_of(&log));
}

#[test]
fn a_websocket_that_arrives_one_byte_at_a_time_is_read() {
    let log = log(30);
    let sent = log.clone();
    let server = Server::start(move |request, stream| {
        if request.is("GET /api/version") {
            return version(stream);
        } else if request.is("GET /api/v0/logs/file") {
            return respond_chunked(stream, &sent);
        } else if !request.line.ends_with("/logs/tail") {
            return respond_json(stream, &job("a", "SUCCEEDED"));
        }
        let key = request.header("sec-websocket-key").unwrap();
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        let head = format!(
            "HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
        );
        for byte in head.bytes() {
            stream.write_all(&[byte])?;
            thread::sleep(Duration::from_millis(2));
        }
        for message in messages(&sent) {
            frame(TEXT, message).iter().try_for_each(|byte| stream.write_all(&[*byte]))?;
        }
        stream.write_all(&close_frame(1000))?;
        Err(hold(stream))
    });
    let options = options(Protocol::WebSocket).reconnects(0);
    let (lines, end) = collect(&client(&server.address()), options);
    assert!(end.is_none(), "{end:?}");
    assert_eq!(lines, lines_of(&log));
}

/// A server with a running job that responds to the handshake with this.
fn refusing(answer: impl Fn(&mut TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Server {
    job_with_websocket("RUNNING", |_, _| Err(close()), move |_, s| answer(s).and(Err(close())))
}

/// Returns the error of a tail without reconnects if this responds to the handshake.
fn handshake_error(
    answer: impl Fn(&mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> ray_client::ClientError {
    let server = refusing(answer);
    let options = options(Protocol::WebSocket).reconnects(0).stream_timeout(Duration::from_secs(2));
    let start = Instant::now();
    let (lines, end) = collect(&client(&server.address()), options);
    assert!(lines.is_empty());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let error = end.unwrap();
    check_message(&error);
    error
}

#[test]
fn an_invalid_handshake_is_500_and_an_incomplete_one_503() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 101 x\r\n\r\n",
        "HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: wrong\r\n\r\n",
    ] {
        let error = handshake_error(|stream| stream.write_all(garbage.as_bytes()));
        assert_eq!(error.status(), 500, "{garbage}: {error}");
    }
    assert_eq!(handshake_error(|_| Ok(())).status(), 503);
    assert_eq!(handshake_error(|stream| Err(reset(stream))).status(), 503);
    assert_eq!(handshake_error(|stream| stream.write_all(b"HTTP/1.1 101 x\r\nup")).status(), 503);
}

#[test]
fn a_rejected_handshake_keeps_its_status() {
    for status in [429, 502, 503, 504, 401, 403, 500] {
        let error = handshake_error(move |stream| respond(stream, status, "", "Not now"));
        assert_eq!(error.status(), status, "{error}");
        assert!(error.to_string().contains("Not now"), "{error}");
    }
}

#[test]
fn a_rejected_handshake_is_repeated_when_the_server_says() {
    let server = refusing(|stream| respond(stream, 429, "retry-after: 2\r\n", "Not now"));
    let (_, end) = collect(&client(&server.address()), options(Protocol::WebSocket).reconnects(1));
    assert_eq!(end.unwrap().status(), 429);
    let requests = server.requests();
    let handshakes = requests.iter().filter(|request| request.line.ends_with("/logs/tail"));
    let times: Vec<Instant> = handshakes.map(|request| request.at).collect();
    let [first, second] = times[..] else { panic!("{} handshakes", times.len()) };
    assert!(second - first >= Duration::from_secs(2), "{:?}", second - first);
}

#[test]
fn a_redirected_handshake_names_the_other_address() {
    let location = "location: https://login.example/secret\r\n";
    let error = handshake_error(move |stream| respond(stream, 302, location, ""));
    assert_eq!(error.status(), 302, "{error}");
    let message = error.to_string();
    assert!(message.contains("https://login.example,") && !message.contains("secret"), "{message}");
}

#[test]
fn an_endless_handshake_is_limited() {
    let error = handshake_error(|stream| Err(hold(stream)));
    assert_eq!(error.status(), 408, "{error}");
    let error = handshake_error(|stream| {
        stream.write_all(b"HTTP/1.1 101 x\r\nx: ")?;
        loop {
            stream.write_all(b"y")?;
            thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(error.status(), 408, "{error}");
    let error = handshake_error(|stream| {
        stream.write_all(b"HTTP/1.1 101 x\r\nx: ")?;
        loop {
            stream.write_all(&[b'y'; 1000])?;
        }
    });
    assert_eq!(error.status(), 500, "{error}");
}

/// A server with a finished job whose WebSocket sends everything. The files requested for comparison are
/// cut at these bytes, but look complete; the last one is whole.
fn with_cut_files(log: &[u8], cuts: &'static [usize]) -> Server {
    let (file, log) = (log.to_vec(), log.to_vec());
    let requested = AtomicUsize::new(0);
    job_with_websocket(
        "SUCCEEDED",
        move |_, stream| {
            let cut = cuts.get(requested.fetch_add(1, Ordering::AcqRel)).copied();
            respond_chunked(stream, &file[..cut.unwrap_or(file.len())])
        },
        move |request, stream| send_by_websocket(request, stream, &log),
    )
}

#[test]
fn a_comparison_that_was_cut_is_repeated() {
    let log = log(500);
    for cuts in [&[100][..], &[100, 0, 200]] {
        let server = with_cut_files(&log, cuts);
        let (lines, end) = collect(&client(&server.address()), options(Protocol::WebSocket));
        assert!(end.is_none(), "{cuts:?}: {end:?}");
        assert_eq!(lines, lines_of(&log), "{cuts:?}");
        let server = with_cut_files(&log, cuts);
        let at_end = options(Protocol::WebSocket).from_position(log.len() as u64);
        let (lines, end) = collect(&client(&server.address()), at_end);
        assert!(end.is_none() && lines.is_empty(), "{cuts:?}: {end:?}");
    }
    let server = with_cut_files(&log, &[100, 100]);
    let (lines, end) = collect(&client(&server.address()), options(Protocol::WebSocket));
    assert_eq!((lines.len(), end.unwrap().status()), (500, 503), "the log became shorter");
}

/// For example because the job's host vanished: Ray's head then keeps the WebSocket open.
#[test]
fn a_silent_websocket_does_not_outlast_its_job() {
    let all = log(100);
    let (file, sent) = (all.clone(), all.clone());
    let connections = AtomicUsize::new(0);
    let server = job_with_websocket(
        "SUCCEEDED",
        move |request, stream| respond_chunked(stream, request.part_of(&file)),
        move |request, stream| {
            if connections.fetch_add(1, Ordering::Relaxed) == 0 {
                upgrade(request, stream)?;
                return half_then(stream, &sent, b"");
            }
            send_by_websocket(request, stream, &sent)
        },
    );
    let options = TailOptions::until_done().protocol(Protocol::WebSocket);
    let (lines, end) = collect(&client(&server.address()), options);
    assert!(end.is_none(), "{end:?}");
    assert_eq!(lines, lines_of(&all));
}

#[test]
fn a_gateway_that_closes_idle_websockets_does_not_end_a_tail() {
    let idle: Fault = |stream, _| {
        stream.set_read_timeout(Some(Duration::from_secs(11))).unwrap();
        let _ = stream.read(&mut [0; 1]);
        Err(close())
    };
    let at_once: Fault = |_, _| Err(close());
    let log = log(100);
    let ray = FakeRay::start(log.clone(), [at_once, idle]);
    let options = options(Protocol::WebSocket).no_stream_timeout().reconnects(1);
    let (lines, end) = collect(&client(&ray.server.address()), options);
    assert!(end.is_none(), "{end:?}");
    assert_eq!(lines, lines_of(&log));
}

/// Returns the error of a tail whose WebSocket only sends this.
fn silent(send: Fault) -> ray_client::ClientError {
    let ray = FakeRay::start(log(10), [send; 9]);
    let start = Instant::now();
    let options = options(Protocol::WebSocket).stream_timeout(Duration::from_secs(1));
    let (_, end) = collect(&client(&ray.server.address()), options);
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    end.unwrap()
}

#[test]
fn silence_pings_and_endless_messages_end_after_the_stream_timeout() {
    assert_eq!(silent(|stream, _| Err(hold(stream))).status(), 408);
    let pings: Fault = |stream, _| loop {
        stream.write_all(&frame(PING, b"still here"))?;
        thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(silent(pings).status(), 408);
    let drip: Fault = |stream, _| {
        stream.write_all(&frame(TEXT, &vec![b'x'; 100_000])[..10])?;
        loop {
            stream.write_all(b"x")?;
            thread::sleep(Duration::from_millis(20));
        }
    };
    assert_eq!(silent(drip).status(), 408);
    let fragments: Fault = |stream, _| {
        stream.write_all(&frame(TEXT_TO_BE_CONTINUED, b"x"))?;
        loop {
            stream.write_all(&frame(CONTINUED, b""))?;
            thread::sleep(Duration::from_millis(10));
        }
    };
    assert_eq!(silent(fragments).status(), 408);
}

#[test]
fn reconnects_limit_attempts_without_progress() {
    let same_half: Fault = |s, log| half_then(s, log, &close_frame(1011));
    let ray = FakeRay::start(log(100), [same_half; 100]);
    let options = options(Protocol::WebSocket).reconnects(2);
    let (lines, end) = collect(&client(&ray.server.address()), options);
    assert_eq!(end.unwrap().status(), 503);
    assert_eq!(lines, lines_of(&log(100))[..lines.len()]);
    assert_eq!(ray.log_requests(), 3, "the one with progress, and two more");
}
