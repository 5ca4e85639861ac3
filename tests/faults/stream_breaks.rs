//! Verifies that a tail with `Protocol::Stream` delivers the log once despite faults in responses.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ray_client::Protocol;

use crate::server::{
    CHUNKED, FakeRay, Fault, chunk, close, hold, job_with_log, reset, respond, respond_chunked,
};
use crate::{check_message, client, collect, lines_of, log, options};

fn send(stream: &mut TcpStream, parts: &[&[u8]]) -> std::io::Result<()> {
    stream.write_all(&parts.concat())
}

fn half(log: &[u8]) -> &[u8] {
    &log[..log.len() / 2]
}

/// Faults: a name, the fault, and the status of a tail without reconnects.
const FAULTS: [(&str, Fault, u16); 16] = [
    ("a reset before the answer", |s, _| Err(reset(s)), 503),
    ("a FIN before the answer", |_, _| Ok(()), 503),
    ("a FIN in the headers", |s, _| send(s, &[&CHUNKED.as_bytes()[..30]]), 503),
    (
        "a reset in mid-chunk",
        |s, log| {
            let sent = chunk(log);
            send(s, &[CHUNKED.as_bytes(), &sent[..sent.len() / 3]])?;
            // A reset discards bytes that the client has not read yet.
            thread::sleep(Duration::from_millis(50));
            Err(reset(s))
        },
        503,
    ),
    (
        "a FIN in mid-chunk",
        |s, log| {
            let sent = chunk(log);
            send(s, &[CHUNKED.as_bytes(), &sent[..sent.len() / 3]])
        },
        503,
    ),
    ("a FIN between chunks", |s, log| send(s, &[CHUNKED.as_bytes(), &chunk(half(log))]), 503),
    (
        "a length that is longer than what comes",
        |s, log| {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", log.len());
            send(s, &[head.as_bytes(), half(log)])
        },
        503,
    ),
    ("garbage for a chunk header", |s, _| send(s, &[CHUNKED.as_bytes(), b"hello world\r\n"]), 500),
    (
        "garbage between chunks",
        |s, log| send(s, &[CHUNKED.as_bytes(), &chunk(half(log)), b"zz\r\nxx\r\n"]),
        500,
    ),
    (
        "a chunk longer than its header says",
        |s, log| send(s, &[CHUNKED.as_bytes(), b"5\r\n", half(log), b"\r\n0\r\n\r\n"]),
        500,
    ),
    (
        "a chunk of nearly endless length",
        |s, _| send(s, &[CHUNKED.as_bytes(), b"fffffffffffffffff\r\n"]),
        500,
    ),
    (
        "something other than HTTP",
        |s, _| send(s, &[b"\x15\x03\x01\x00\x02\x02\x16 what?\r\n\r\n"]),
        500,
    ),
    (
        "429",
        |s, _| respond(s, 429, "retry-after: 1\r\n", "Max number of in-progress requests"),
        429,
    ),
    ("502", |s, _| respond(s, 502, "", "<html>Bad Gateway</html>"), 502),
    ("503", |s, _| respond(s, 503, "", ""), 503),
    ("504", |s, _| respond(s, 504, "", "upstream"), 504),
];

#[test]
fn the_log_arrives_once_after_each_fault() {
    let log = &log(2000);
    thread::scope(|scope| {
        for (name, fault, _) in FAULTS {
            scope.spawn(move || {
                let ray = FakeRay::start(log.clone(), [fault]);
                let options = options(Protocol::Stream).reconnects(1);
                let (lines, end) = collect(&client(&ray.server.address()), options);
                assert!(end.is_none(), "{name}: {end:?}");
                assert!(lines == lines_of(log), "{name}: {} lines", lines.len());
            });
        }
    });
}

#[test]
fn without_reconnects_each_fault_is_one_error() {
    let log = &log(2000);
    thread::scope(|scope| {
        for (name, fault, status) in FAULTS {
            scope.spawn(move || {
                let ray = FakeRay::start(log.clone(), [fault]);
                let options = options(Protocol::Stream).reconnects(0);
                let (lines, end) = collect(&client(&ray.server.address()), options);
                let error = end.unwrap_or_else(|| panic!("{name}: ended as if all were well"));
                assert_eq!(error.status(), status, "{name}: {error}");
                check_message(&error);
                let all = lines_of(log);
                assert!(lines.len() < all.len(), "{name}");
                let (last, whole) = lines.split_last().map_or(("", &[][..]), |(l, w)| (l, w));
                assert_eq!(whole, &all[..whole.len()], "{name}");
                // A cut inside a character leaves a replacement character.
                let last = last.trim_end_matches(char::REPLACEMENT_CHARACTER);
                assert!(all[whole.len()].starts_with(last), "{name}");
            });
        }
    });
}

#[test]
fn faults_with_progress_in_between_are_unlimited() {
    static ATTEMPTS: AtomicUsize = AtomicUsize::new(0);
    // Too long for a request for its last lines to reach back to a cut.
    let log = log(40_000);
    let further: Fault = |stream, log| {
        // Each attempt gets further, and may be cut inside a line or a character.
        let upto = (ATTEMPTS.fetch_add(1, Ordering::Relaxed) + 1) * log.len() / 7 + 1;
        send(stream, &[CHUNKED.as_bytes(), &chunk(&log[..upto])])
    };
    let ray = FakeRay::start_whole(log.clone(), [further; 6]);
    let (lines, end) =
        collect(&client(&ray.server.address()), options(Protocol::Stream).reconnects(1));
    assert!(end.is_none(), "{end:?}");
    assert!(lines == lines_of(&log));
}

#[test]
fn reconnects_limit_attempts_without_progress() {
    let log = log(20_000);
    // The job does not end: that would begin one more full read within an attempt.
    let ray = job_with_log("RUNNING", move |request, stream| {
        if request.last_lines().is_some() {
            return respond_chunked(stream, request.part_of(&log));
        }
        send(stream, &[CHUNKED.as_bytes(), &chunk(half(&log))]).and(Err(close()))
    });
    let (lines, end) = collect(&client(&ray.address()), options(Protocol::Stream).reconnects(2));
    let error = end.unwrap();
    assert_eq!(error.status(), 503);
    assert!(error.to_string().contains("after 2 reconnects"), "{error}");
    assert!(!lines.is_empty());
    assert_eq!(ray.full_reads(), 3, "the one with progress, and two more");
}

#[test]
fn a_log_that_stalls_is_408_after_the_stream_timeout() {
    let stall: Fault = |s, log| {
        send(s, &[CHUNKED.as_bytes(), &chunk(log)[..100]])?;
        Err(hold(s))
    };
    let ray = FakeRay::start(log(100), [stall; 9]);
    let start = Instant::now();
    let options = options(Protocol::Stream).stream_timeout(Duration::from_secs(1));
    let (lines, end) = collect(&client(&ray.server.address()), options);
    assert_eq!(end.unwrap().status(), 408);
    assert!(!lines.is_empty());
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[test]
fn a_response_that_never_starts_is_408_after_the_stream_timeout() {
    let stall: Fault = |s, _| Err(hold(s));
    let ray = FakeRay::start(log(100), [stall; 9]);
    let start = Instant::now();
    let options = options(Protocol::Stream).stream_timeout(Duration::from_secs(1));
    let (_, end) = collect(&client(&ray.server.address()), options);
    assert_eq!(end.unwrap().status(), 408);
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[test]
fn a_log_that_arrives_one_byte_at_a_time_is_read() {
    let log = log(20);
    let sent = log.clone();
    let ray = job_with_log("SUCCEEDED", move |request, stream| {
        let part = chunk(request.part_of(&sent));
        let answer = [CHUNKED.as_bytes(), &part, b"0\r\n\r\n"].concat();
        answer.iter().try_for_each(|byte| stream.write_all(&[*byte]))
    });
    let (lines, end) = collect(&client(&ray.address()), options(Protocol::Stream).reconnects(0));
    assert!(end.is_none(), "{end:?}");
    assert_eq!(lines, lines_of(&log));
}

#[test]
fn a_lost_log_is_an_error_that_names_the_job_status() {
    let ray = job_with_log("FAILED", |_, stream| {
        respond(stream, 500, "", "Agent for node id: aa doesn't exist.")
    });
    let (lines, end) = collect(&client(&ray.address()), options(Protocol::Stream));
    let error = end.unwrap();
    assert_eq!((lines.len(), error.status()), (0, 503));
    assert!(error.to_string().contains("FAILED") && error.to_string().contains("doesn't exist"));
}

#[test]
fn a_break_after_a_slow_reread_of_a_finished_log_reconnects() {
    let log = log(5000);
    let sent = log.clone();
    let full_reads = AtomicUsize::new(0);
    let ray = job_with_log("SUCCEEDED", move |request, stream| {
        let part = request.part_of(&sent);
        if request.last_lines().is_some() {
            return respond_chunked(stream, part);
        }
        match full_reads.fetch_add(1, Ordering::Relaxed) {
            0 => send(stream, &[CHUNKED.as_bytes(), &chunk(half(part))]).and(Err(close())),
            // Longer than the stream timeout, without a new byte.
            1 => {
                stream.write_all(CHUNKED.as_bytes())?;
                for piece in half(part).chunks(part.len() / 24) {
                    stream.write_all(&chunk(piece))?;
                    thread::sleep(Duration::from_millis(250));
                }
                Err(close())
            }
            _ => respond_chunked(stream, part),
        }
    });
    let options = options(Protocol::Stream).stream_timeout(Duration::from_secs(2));
    let (lines, end) = collect(&client(&ray.address()), options);
    assert!(end.is_none(), "{end:?}");
    assert_eq!(lines, lines_of(&log));
}

/// After a fault, the delivered bytes are read again. This must not count as silence.
#[test]
fn slowly_rereading_known_bytes_is_not_silence() {
    static ATTEMPTS: AtomicUsize = AtomicUsize::new(0);
    let log = log(5000);
    let slow: Fault = |stream, log| {
        if ATTEMPTS.fetch_add(1, Ordering::Relaxed) == 0 {
            return send(stream, &[CHUNKED.as_bytes(), &chunk(half(log))]);
        }
        stream.write_all(CHUNKED.as_bytes())?;
        for piece in log.chunks(log.len() / 12) {
            stream.write_all(&chunk(piece))?;
            thread::sleep(Duration::from_millis(300));
        }
        stream.write_all(b"0\r\n\r\n")
    };
    let ray = FakeRay::start_whole(log.clone(), [slow; 2]);
    let options = options(Protocol::Stream).stream_timeout(Duration::from_secs(2));
    let (lines, end) = collect(&client(&ray.server.address()), options);
    assert!(end.is_none(), "{end:?}");
    assert_eq!(lines, lines_of(&log));
}
