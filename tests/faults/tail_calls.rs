//! Verifies the documented behaviour of the calls and options of a tail, over every endpoint that
//! reads the log file.

use std::io::{BufRead, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ray_client::{
    ClientError, JobStatus, NextLine, Protocol, RayClient, StreamLimits, TailOptions, TimeoutKind,
};
use serde_json::json;

use crate::cluster::{Cluster, eventually, next, numbered, rest};
use crate::server::{
    CHUNKED, Request, Server, chunk, close, hold, job, job_with_log, respond, respond_chunked,
    respond_json, respond_range, version,
};
use crate::{client, collect, options};

const MS: Duration = Duration::from_millis(1);
const WAYS: [Protocol; 3] = [Protocol::Agent, Protocol::Auto, Protocol::Stream];

/// Runs the check over all endpoints in parallel.
fn by_every_way(check: impl Fn(Protocol) + Sync) {
    thread::scope(|scope| {
        for protocol in WAYS {
            let check = &check;
            scope.spawn(move || check(protocol));
        }
    });
}

#[test]
fn an_ended_tail_holds_no_connection() {
    for protocol in WAYS {
        let cluster = Cluster::start(numbered(0..100), respond_range);
        let client = cluster.client();
        let mut tail = client.tail_job_logs_with("a", options(protocol)).unwrap();
        for _ in 0..100 {
            next(&mut tail);
        }
        cluster.end();
        assert!(tail.next().is_none());
        eventually("no connection is open", || cluster.open_connections() == 0);
        assert!(tail.next().is_none());
    }
}

#[test]
fn a_reused_id_ends_the_tail_with_503() {
    by_every_way(|protocol| {
        for pause in [Duration::from_millis(50), Duration::from_secs(2)] {
            let cluster = Cluster::start(numbered(0..100), respond_range);
            let client = cluster.client();
            let options = options(protocol).poll_interval(pause);
            let mut tail = client.tail_job_logs_with("a", options).unwrap();
            for _ in 0..100 {
                next(&mut tail);
            }
            cluster.log.start_time.store(2, Ordering::Relaxed);
            // Ray takes a second to start a job, which appends to the same file.
            thread::sleep(1000 * MS);
            cluster.write("a line of the other job\n");
            let (lines, end) = rest(tail);
            let error = end.unwrap();
            assert!(lines.is_empty(), "{protocol}: {lines:?}");
            assert_eq!(error.status(), 503);
            assert!(error.to_string().contains("now belongs to another job"), "{error}");
        }
    });
}

#[test]
fn an_id_reused_during_a_slow_caller_ends_the_tail_with_503() {
    by_every_way(|protocol| {
        let cluster = Cluster::start(numbered(0..100), respond_range);
        let client = cluster.client();
        let options = options(protocol).limits(StreamLimits::default().queue(1));
        let tail = client.tail_job_logs_with("a", options).unwrap();
        eventually("the log is read", || cluster.log.sent.load(Ordering::Relaxed) > 0);
        // The full queue keeps the worker waiting, and Ray takes a second to start a job.
        thread::sleep(1000 * MS);
        cluster.log.start_time.store(2, Ordering::Relaxed);
        cluster.write("a line of the other job\n");
        let (lines, end) = rest(tail);
        let error = end.unwrap();
        assert_eq!((lines.len(), error.status()), (100, 503), "{protocol}: {error}");
        assert!(error.to_string().contains("now belongs to another job"), "{error}");
    });
}

#[test]
fn a_finished_job_whose_log_is_gone_is_503_with_its_status() {
    let server = Server::start(|request, stream| {
        if request.is("GET /api/version") {
            version(stream)
        } else if request.is("GET /api/v0/logs/file") {
            respond_chunked(stream, b"")
        } else if request.is("GET /api/v0/logs?") {
            respond_json(stream, &json!({"data": {"result": {"driver": ["other.log"]}}}))
        } else {
            respond_json(stream, &job("a", "SUCCEEDED"))
        }
    });
    let client = client(&server.address());
    let errors = [
        client.list_job_logs("a").unwrap_err(),
        client.list_last_job_log_lines("a", 1).unwrap_err(),
        collect(&client, options(Protocol::Stream)).1.unwrap(),
        collect(&client, options(Protocol::Auto)).1.unwrap(),
    ];
    for error in errors {
        assert_eq!((error.status(), error.job_status()), (503, Some(&JobStatus::Succeeded)));
        assert!(error.to_string().contains("has finished (SUCCEEDED)"), "{error}");
    }
}

#[test]
fn an_empty_log_is_complete() {
    for protocol in WAYS {
        let cluster = Cluster::start(Vec::new(), respond_range);
        let client = cluster.client();
        let mut tail = client.tail_job_logs_with("a", options(protocol).reconnects(0)).unwrap();
        assert_eq!(tail.next_within(Duration::from_millis(500)).unwrap(), NextLine::NotYet);
        cluster.end();
        assert!(tail.next().is_none(), "{protocol}");
    }
}

#[test]
fn a_tail_waits_for_a_pending_job_until_the_pending_timeout() {
    let cluster = Cluster::start(numbered(0..3), respond_range);
    cluster.set_status("PENDING");
    let client = cluster.client();
    let options = TailOptions::default;
    for (options, least) in [
        (options().pending_timeout(400 * MS), 400 * MS),
        (options().stream_timeout(600 * MS), 600 * MS),
        (options().stream_timeout(400 * MS).pending_timeout(900 * MS), 900 * MS),
        (TailOptions::until_done().pending_timeout(700 * MS), 700 * MS),
    ] {
        let start = Instant::now();
        let (lines, end) = collect(&client, options);
        let error = end.unwrap();
        assert_eq!((lines.len(), error.status()), (0, 408), "{error}");
        assert!(error.to_string().contains("PENDING"), "{error}");
        assert!(start.elapsed() >= least && start.elapsed() < least + 1000 * MS);
    }
    for options in [
        TailOptions::until_done(),
        options().no_stream_timeout(),
        options().stream_timeout(900 * MS).pending_timeout(9000 * MS),
    ] {
        cluster.set_status("PENDING");
        let mut tail = client.tail_job_logs_with("a", options.clone()).unwrap();
        assert_eq!(tail.next_within(1200 * MS).unwrap(), NextLine::NotYet, "{options:?}");
        cluster.set_status("RUNNING");
        assert_eq!(next(&mut tail), "this is line number 0");
        cluster.end();
        assert!(rest(tail).1.is_none());
    }
}

#[test]
fn outages_do_not_extend_the_pending_timeout() {
    let cluster = Cluster::start(Vec::new(), respond_range);
    cluster.set_status("PENDING");
    let options = TailOptions::default().pending_timeout(2000 * MS).reconnects(99);
    let client = cluster.client();
    let mut tail = client.tail_job_logs_with("a", options).unwrap();
    let start = Instant::now();
    let error = loop {
        for status in ["away", "PENDING"] {
            cluster.set_status(status);
            assert!(start.elapsed() < 9000 * MS, "it waits on");
            thread::sleep(50 * MS);
        }
        match tail.next_within(500 * MS) {
            Ok(next) => assert_eq!(next, NextLine::NotYet),
            Err(error) => break error,
        }
    };
    assert_eq!(error.status(), 408);
    assert!(error.to_string().contains("PENDING"), "{error}");
}

#[test]
fn an_unreachable_cluster_does_not_extend_the_pending_timeout() {
    let cluster = Cluster::start(Vec::new(), respond_range);
    cluster.set_status("PENDING");
    let options = TailOptions::default().pending_timeout(2000 * MS).reconnects(99);
    let client = cluster.client();
    let mut tail = client.tail_job_logs_with("a", options).unwrap();
    // The second request shows that the tail has read the first status.
    eventually("the tail waits", || cluster.dashboard.count("GET /api/jobs/a") > 1);
    cluster.set_status("away");
    let away_since = Instant::now();
    let error = tail.next().unwrap().unwrap_err();
    assert_eq!(error.status(), 408);
    assert!(error.to_string().contains("not known to have left PENDING after 2s"), "{error}");
    assert!(error.to_string().contains("the last request failed: "), "{error}");
    assert!(away_since.elapsed() < 6000 * MS, "{:?}", away_since.elapsed());
}

#[test]
fn a_tail_waits_for_a_silent_log_until_the_stream_timeout() {
    by_every_way(|protocol| {
        let cluster = Cluster::start(numbered(0..3), respond_range);
        let client = cluster.client();
        let start = Instant::now();
        let (lines, end) = collect(&client, options(protocol).stream_timeout(700 * MS));
        let error = end.unwrap();
        assert_eq!((lines.len(), error.status()), (3, 408));
        assert_eq!(error.timeout_kind(), Some(TimeoutKind::Stream));
        assert!(start.elapsed() >= 700 * MS && start.elapsed() < 2000 * MS);

        let mut tail =
            client.tail_job_logs_with("a", options(protocol).no_stream_timeout()).unwrap();
        for _ in 0..3 {
            next(&mut tail);
        }
        assert_eq!(tail.next_within(1500 * MS).unwrap(), NextLine::NotYet);
        cluster.write("four\n");
        assert_eq!(next(&mut tail), "four");
        cluster.end();
        assert!(tail.next().is_none());
    });
}

#[test]
fn the_status_of_a_silent_job_is_polled_twice_a_second() {
    by_every_way(|protocol| {
        let cluster = Cluster::start(numbered(0..3), respond_range);
        let client = cluster.client();
        let mut tail = client.tail_job_logs_with("a", options(protocol)).unwrap();
        for _ in 0..3 {
            next(&mut tail);
        }
        // Until then the status is polled more often.
        thread::sleep(5000 * MS);
        let before = (cluster.dashboard.requests().len(), cluster.agent.requests().len());
        thread::sleep(2500 * MS);
        let by_dashboard = cluster.dashboard.requests().len() - before.0;
        let by_agent = cluster.agent.requests().len() - before.1;
        assert!(by_dashboard <= 12 && by_agent <= 6, "{protocol}: {by_dashboard} {by_agent}");
        cluster.end();
        assert!(tail.next().is_none());
    });
}

#[test]
fn next_within_can_be_called_again() {
    for protocol in WAYS {
        let cluster = Cluster::start(b"one\ntw".to_vec(), respond_range);
        let client = cluster.client();
        let mut tail = client.tail_job_logs_with("a", options(protocol)).unwrap();
        let NextLine::Line(line) = tail.next_within(9000 * MS).unwrap() else { panic!("no line") };
        assert_eq!(line, "one");
        assert_eq!(tail.next_within(Duration::ZERO).unwrap(), NextLine::NotYet);
        assert_eq!(tail.next_within(300 * MS).unwrap(), NextLine::NotYet);
        cluster.write("o\n");
        let NextLine::Line(line) = tail.next_within(Duration::MAX).unwrap() else {
            panic!("no line")
        };
        assert_eq!(line, "two");
        cluster.end();
        assert_eq!(tail.next_within(Duration::MAX).unwrap(), NextLine::End);
        assert_eq!(tail.next_within(Duration::MAX).unwrap(), NextLine::End);
    }
    let cluster = Cluster::start(Vec::new(), respond_range);
    let client = cluster.client();
    let mut tail = client.tail_job_logs_with("none", options(Protocol::Auto)).unwrap();
    assert_eq!(tail.next_within(9000 * MS).unwrap_err().status(), 404);
    assert_eq!(tail.next_within(9000 * MS).unwrap(), NextLine::End);
}

#[test]
fn a_handle_closes_a_tail_whose_worker_has_ended() {
    let cluster = Cluster::start(numbered(0..100), respond_range);
    cluster.end();
    let client = RayClient::builder(cluster.dashboard.address()).tail_workers(1).build().unwrap();
    let mut tail = client.tail_job_logs_with("a", options(Protocol::Auto)).unwrap();
    next(&mut tail);
    // Its only worker is free, so all lines are in the queue.
    drop(client.tail_job_logs_with("a", options(Protocol::Auto)).unwrap());
    tail.handle().close();
    let error = tail.find_map(Result::err).unwrap();
    assert!(error.status() == 503 && error.to_string().contains("its handle"), "{error}");
}

#[test]
fn a_handle_closes_a_tail_during_its_last_attempt() {
    for protocol in WAYS {
        let has_arrived = Arc::<AtomicBool>::default();
        let arrives = Arc::clone(&has_arrived);
        let server = Server::start(move |_, stream| {
            arrives.store(true, Ordering::Relaxed);
            Err(hold(stream))
        });
        let options = options(protocol).reconnects(0);
        let client = client(&server.address());
        let mut tail = client.tail_job_logs_with("a", options).unwrap();
        let handle = tail.handle();
        let error = thread::scope(|scope| {
            let next = scope.spawn(move || tail.next().unwrap().unwrap_err());
            eventually("a request arrives", || has_arrived.load(Ordering::Relaxed));
            handle.close();
            next.join().unwrap()
        });
        assert!(matches!(error, ClientError::TailClosed { .. }), "{protocol}: {error}");
        assert!(!error.is_retryable(), "{protocol}");
    }
}

#[test]
fn a_handle_closes_a_tail_with_a_full_queue() {
    for protocol in WAYS {
        let cluster = Cluster::start(numbered(0..100_000), respond_range);
        let client =
            RayClient::builder(cluster.dashboard.address()).tail_workers(1).build().unwrap();
        let limits = StreamLimits::unlimited().queue(1);
        let mut tail = client.tail_job_logs_with("a", options(protocol).limits(limits)).unwrap();
        next(&mut tail);
        let handle = tail.handle();
        let start = Instant::now();
        thread::spawn(move || handle.close()).join().unwrap();
        // The only worker must be free.
        let options = options(protocol).last_lines(1).stream_timeout(500 * MS);
        let mut other = client.tail_job_logs_with("a", options).unwrap();
        assert!(start.elapsed() < 100 * MS, "{protocol}: {:?}", start.elapsed());
        assert_eq!(next(&mut other), "this is line number 99999");
        let error = tail.next().unwrap().unwrap_err();
        assert!(error.status() == 503 && error.to_string().contains("its handle"), "{error}");
        assert!(tail.next().is_none());
    }
}

#[test]
fn last_lines_survive_a_long_read_that_breaks() {
    let has_broken = AtomicBool::new(false);
    let server = job_with_log("SUCCEEDED", move |request, stream| {
        let log = numbered(0..1000);
        if has_broken.swap(true, Ordering::Relaxed) {
            return respond_chunked(stream, request.part_of(&log));
        }
        // Breaks after the stream timeout, but is never silent for so long.
        stream.write_all(CHUNKED.as_bytes())?;
        for piece in log.chunks(log.len() / 30).take(20) {
            stream.write_all(&chunk(piece))?;
            thread::sleep(100 * MS);
        }
        Err(close())
    });
    let options = options(Protocol::Stream).stream_timeout(1500 * MS).last_lines(2);
    let (lines, end) = collect(&client(&server.address()), options);
    assert!(end.is_none(), "{end:?}");
    assert_eq!(lines, ["this is line number 998", "this is line number 999"]);
}

#[test]
fn last_lines_that_cannot_be_read_end_the_tail_after_its_stream_timeout() {
    let server = job_with_log("RUNNING", |_, stream| respond(stream, 503, "", ""));
    let options = options(Protocol::Stream).stream_timeout(1500 * MS).last_lines(2);
    let start = Instant::now();
    let (_, end) = collect(&client(&server.address()), options.reconnects(1000));
    assert_eq!(end.unwrap().status(), 503);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn a_tail_waits_if_all_workers_are_busy() {
    let cluster = Cluster::start(numbered(0..3), respond_range);
    let builder = || RayClient::builder(cluster.dashboard.address());
    for workers in [0, 65] {
        assert_eq!(builder().tail_workers(workers).build().unwrap_err().status(), 400);
    }
    for workers in [1, 64] {
        let client = builder().tail_workers(workers).build().unwrap();
        let tail =
            || client.tail_job_logs_with("a", options(Protocol::Agent).stream_timeout(2000 * MS));
        let mut tails: Vec<_> = (0..workers).map(|_| tail().unwrap()).collect();
        for tail in &mut tails {
            assert_eq!(next(tail), "this is line number 0");
        }
        let start = Instant::now();
        let short = options(Protocol::Agent).stream_timeout(200 * MS);
        let error = client.tail_job_logs_with("a", short).unwrap_err();
        assert_eq!(error.status(), 429, "{error}");
        assert!(start.elapsed() >= 200 * MS, "{:?}", start.elapsed());
        thread::scope(|scope| {
            let waits = scope.spawn(tail);
            thread::sleep(100 * MS);
            drop(tails.pop());
            assert_eq!(next(&mut waits.join().unwrap().unwrap()), "this is line number 0");
        });
    }
}

#[test]
fn last_lines_cost_the_same_for_any_log_length() {
    for lines in [1000, 100_000] {
        let cluster = Cluster::start(numbered(0..lines), respond_range);
        let last = cluster.client().list_last_job_log_lines("a", 3).unwrap();
        assert_eq!(last.as_bytes(), numbered(lines - 3..lines));
        let asked: Vec<_> =
            cluster.dashboard.requests().iter().filter_map(Request::last_lines).collect();
        assert_eq!(asked, [3]);
        assert_eq!(cluster.log.sent.load(Ordering::Relaxed), last.len());
    }
}

#[test]
fn a_reader_returns_bytes_as_they_arrive_and_supports_buf_read() {
    for protocol in WAYS {
        let cluster = Cluster::start(b"one\ntwo\r\nth".to_vec(), respond_range);
        let client = cluster.client();
        let mut reader = client.tail_job_logs_with("a", options(protocol)).unwrap().into_reader();
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "one\ntwo\r\n");
        assert_eq!(reader.position(), 9);
        // An incomplete line is also delivered.
        assert_eq!(reader.fill_buf().unwrap(), b"th");
        cluster.write("ree");
        cluster.end();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!((&*rest, reader.position()), ("three", 14));
        assert_eq!(reader.fill_buf().unwrap(), b"");
    }
}

#[test]
fn an_id_reused_between_reconnects_ends_the_tail_with_503() {
    by_every_way(|protocol| {
        let cluster = Cluster::start(numbered(0..3), respond_range);
        let client = client(&cluster.dashboard.address());
        let options = options(protocol).reconnects(99);
        let mut tail = client.tail_job_logs_with("a", options).unwrap();
        for _ in 0..3 {
            next(&mut tail);
        }
        // All connections break; then another cluster has the address.
        cluster.agent_answers(|_, _, _| Err(close()));
        cluster.set_status("away");
        thread::sleep(1500 * MS);
        cluster.log.start_time.store(2, Ordering::Relaxed);
        cluster.write("a line of the other job\n");
        cluster.agent_answers(respond_range);
        cluster.set_status("RUNNING");
        let (lines, end) = rest(tail);
        let error = end.unwrap();
        assert!(lines.is_empty(), "{lines:?}");
        assert!(error.to_string().contains("now belongs to another job"), "{error}");
        assert_eq!(error.status(), 503);
    });
}
