//! Verifies that a server that sends a byte now and then, but never completes its response, does
//! not block a call or tail beyond its timeout.

use std::io::{self, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use ray_client::{Protocol, RayClient, RetryPolicy};

use crate::server::{CHUNKED, FakeRay, Fault, Server, chunk, job_with_log, respond_chunked};
use crate::{client, collect, log, options};

/// Sends these bytes repeatedly until the client closes the connection.
fn drip(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    loop {
        stream.write_all(bytes)?;
        thread::sleep(Duration::from_millis(20));
    }
}

/// A finished job whose log requests get this response.
fn dripping(
    answer: impl Fn(&mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> (Server, RayClient) {
    let server = job_with_log("SUCCEEDED", move |request, stream| match request.last_lines() {
        Some(_) => respond_chunked(stream, b"xxxxxxxxxx"),
        None => answer(stream),
    });
    let client = RayClient::builder(server.address())
        .read_timeout(Duration::from_millis(500))
        .retry(RetryPolicy::none())
        .build()
        .unwrap();
    (server, client)
}

/// Responses that never end: their start, and the bytes that follow repeatedly.
const ENDLESS: [(&str, &[u8]); 5] = [
    ("HTTP/1.1 200 OK\r\nx: ", b"y"),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"0"),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", b"x"),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ", b"y"),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n"),
];

#[test]
fn a_slow_response_ends_a_call_after_the_read_timeout() {
    let whole_body = ("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n", &b" "[..]);
    for (begun, rest) in ENDLESS.into_iter().chain([whole_body]) {
        let server = Server::start(move |_, stream| {
            stream.write_all(begun.as_bytes())?;
            drip(stream, rest)
        });
        let client = RayClient::builder(server.address())
            .read_timeout(Duration::from_millis(500))
            .build()
            .unwrap();
        let start = Instant::now();
        assert_eq!(client.get_job("a").unwrap_err().status(), 408, "{begun}");
        assert!(start.elapsed() < Duration::from_secs(5), "{begun}: {:?}", start.elapsed());
    }
}

#[test]
fn a_slow_whole_log_is_read_but_a_stalled_one_is_an_error() {
    for (begun, rest) in ENDLESS {
        let (_server, client) = dripping(move |stream| {
            stream.write_all(begun.as_bytes())?;
            drip(stream, rest)
        });
        let start = Instant::now();
        assert_eq!(client.list_job_logs("a").unwrap_err().status(), 408, "{begun}");
        assert!(start.elapsed() < Duration::from_secs(5), "{begun}: {:?}", start.elapsed());
    }
    let (_server, client) = dripping(|stream| {
        stream.write_all(CHUNKED.as_bytes())?;
        for _ in 0..10 {
            stream.write_all(&chunk(b"x"))?;
            thread::sleep(Duration::from_millis(100));
        }
        stream.write_all(b"0\r\n\r\n")
    });
    assert_eq!(client.list_job_logs("a").unwrap(), "x".repeat(10), "longer than the read timeout");
}

#[test]
fn a_tail_with_a_slow_response_is_408_after_the_stream_timeout() {
    const FAULTS: [Fault; 4] = [
        |s, log| {
            s.write_all(&[CHUNKED.as_bytes(), &chunk(&log[..99])].concat())?;
            drip(s, b"0")
        },
        |s, log| {
            s.write_all(&[CHUNKED.as_bytes(), &chunk(&log[..99]), b"1;"].concat())?;
            drip(s, b"x")
        },
        |s, log| {
            s.write_all(&[CHUNKED.as_bytes(), &chunk(&log[..99]), b"0\r\n"].concat())?;
            drip(s, b"x: y\r\n")
        },
        |s, _| {
            s.write_all(b"HTTP/1.1 200 OK\r\nx: ")?;
            drip(s, b"y")
        },
    ];
    let log = &log(100);
    thread::scope(|scope| {
        for (number, fault) in FAULTS.into_iter().enumerate() {
            scope.spawn(move || {
                let ray = FakeRay::start(log.clone(), [fault; 9]);
                let start = Instant::now();
                let options = options(Protocol::Stream).stream_timeout(Duration::from_secs(1));
                let (lines, end) = collect(&client(&ray.server.address()), options);
                let error = end.unwrap_or_else(|| panic!("fault {number}: as if all were well"));
                assert_eq!(error.status(), 408, "fault {number}: {error}");
                let took = start.elapsed();
                assert!(took < Duration::from_secs(6), "fault {number}: {took:?}");
                assert!(lines.len() < 100);
            });
        }
    });
}

#[test]
fn slow_error_pages_block_neither_calls_nor_tails() {
    let (_server, client) = dripping(|stream| {
        stream.write_all(b"HTTP/1.1 503 x\r\ncontent-length: 999999\r\n\r\n")?;
        drip(stream, b"so ")
    });
    let start = Instant::now();
    let error = client.list_job_logs("a").unwrap_err();
    assert!(error.status() == 503 && error.to_string().contains("so so"), "{error}");
    let tail = client.tail_job_logs_with("a", options(Protocol::Stream).reconnects(0)).unwrap();
    let error = tail.last().unwrap().unwrap_err();
    assert!(error.status() == 503 && error.to_string().contains("so so"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
