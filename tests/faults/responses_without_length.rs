//! Verifies that a cut response without a declared length, for example from an HTTP/1.0 proxy, is
//! not read as complete.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use ray_client::logs::LogFile;
use ray_client::{Protocol, RayClient};

use crate::server::{Server, close, job_with_log};
use crate::{client, collect, lines_of, log, options};

/// A finished job whose log is sent with neither a length nor chunks. `length` limits the bytes
/// sent to the n-th request.
fn without_end(length: impl Fn(usize) -> usize + Send + Sync + 'static) -> (Server, RayClient) {
    let asked = AtomicUsize::new(0);
    let server = job_with_log("SUCCEEDED", move |request, stream| {
        let log = log(2000);
        let part = match request.last_lines() {
            Some(_) => request.part_of(&log),
            None => &log[..length(asked.fetch_add(1, Ordering::Relaxed))],
        };
        stream.write_all(&[b"HTTP/1.1 200 OK\r\n\r\n", part].concat())?;
        Err(close())
    });
    let client = client(&server.address());
    (server, client)
}

#[test]
fn a_cut_response_does_not_end_a_tail() {
    let all = log(2000);
    let whole = all.len();
    let (_server, client) = without_end(move |n| if n == 0 { 1000 } else { whole });
    let (lines, end) = collect(&client, options(Protocol::Stream));
    assert!(end.is_none(), "{end:?}");
    assert_eq!(lines, lines_of(&all));
}

#[test]
fn a_cut_response_is_not_a_whole_log() {
    let all = log(2000);
    let whole = all.len();
    let (_server, client) = without_end(move |n| if n % 3 == 0 { 1000 } else { whole });
    assert_eq!(client.list_job_logs("a").unwrap().as_bytes(), all);
    assert_eq!(client.read_log_file(&LogFile::of_node("aa", "x.log")).unwrap().as_bytes(), all);
}

/// A proxy that ends a connection without TLS's own end is as acceptable as one without TLS.
#[cfg(feature = "tls")]
#[test]
fn the_end_of_a_tls_connection_ends_a_response_like_that_of_a_plain_one() {
    let all = log(2000);
    let whole = all.len();
    let (server, _) = without_end(move |n| if n == 0 { 1000 } else { whole });
    let upstream = server.address().trim_start_matches("http://").to_owned();
    let front = crate::tls::TlsServer::start("localhost", upstream);
    let address = format!("https://localhost:{}", front.port);
    let client = RayClient::builder(address).ca_certificate_pem(front.ca).build().unwrap();
    let (lines, end) = collect(&client, options(Protocol::Stream));
    assert!(end.is_none(), "{end:?}");
    assert_eq!(lines, lines_of(&all));
    assert_eq!(client.list_job_logs("a").unwrap().as_bytes(), all);
}

#[test]
fn a_whole_log_that_differs_on_every_attempt_is_503() {
    let (server, client) = without_end(|n| 1000 + n);
    let error = client.list_job_logs("a").unwrap_err();
    assert_eq!(error.status(), 503, "{error}");
    assert!(error.to_string().contains("cuts it off"), "{error}");
    assert_eq!(server.count("GET /api/v0/logs/file"), 8, "four times whole, and its last lines");
}
