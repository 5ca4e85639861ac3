//! Verifies that a tail delivers every log byte for byte, and ends when the job ends.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ray_client::logs::LineEnding::{self, Cr, CrLf, Lf};
use ray_client::{JobSubmission, LogLine, NextLine, Protocol, RayClient};

use crate::support::{Head, eventually};
use crate::{client, finish, patient, python, submit};

fn read_all(client: &RayClient, id: &str, protocol: Protocol) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = client.tail_job_logs_with(id, patient(protocol)).unwrap().into_reader();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(reader.position(), bytes.len() as u64);
    bytes
}

/// Returns the text that Ray's WebSocket sends.
fn universal_newlines(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.replace("\r\n", "\n").replace('\r', "\n").into_bytes()
}

/// Runs 20 jobs, or as many as `RAY_CLIENT_JOBS` says.
#[test]
fn random_logs_are_exact_over_both_protocols() {
    let writer = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/writer.py");
    let jobs = std::env::var("RAY_CLIENT_JOBS").map_or(20, |jobs| jobs.parse().unwrap());
    let seeds = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                let client = client();
                loop {
                    let seed = seeds.fetch_add(1, Ordering::Relaxed);
                    if seed >= jobs {
                        break;
                    }
                    let entrypoint = format!("python {writer} {seed}");
                    let id = client.submit_job(&JobSubmission::new(entrypoint)).unwrap();
                    let other = client.clone();
                    let (stream, websocket) = thread::scope(|scope| {
                        let stream = scope.spawn(|| read_all(&other, &id, Protocol::Stream));
                        (read_all(&client, &id, Protocol::WebSocket), stream.join().unwrap())
                    });
                    let file = Head::shared().log_file(&id);
                    assert!(!file.is_empty());
                    assert!(stream == file, "seed {seed}: {} of {}", stream.len(), file.len());
                    assert!(
                        websocket == file,
                        "seed {seed}: {} of {}",
                        websocket.len(),
                        file.len()
                    );
                }
            });
        }
    });
}

#[test]
fn lines_arrive_as_they_are_written() {
    let client = client();
    let id = submit(
        &client,
        "import sys, time\nfor n in range(5): print(n, flush=True); input() if n == 9 else time.sleep(.3)",
    );
    let mut last = None;
    for line in client.tail_job_logs_with(&id, patient(Protocol::Auto)).unwrap() {
        let line = line.unwrap();
        if line == "0" {
            assert!(
                !client.get_job(&id).unwrap().status.is_terminal(),
                "the first line comes early"
            );
        }
        last = Some(line);
    }
    assert_eq!(last.unwrap(), "4");
    assert!(
        client.get_job(&id).unwrap().status.is_terminal(),
        "the end comes when the job is over"
    );
}

/// Checks a log that Ray's WebSocket cannot send.
fn check_uncarried(program: &str) {
    let client = client();
    let id = submit(&client, program);
    let file = read_all(&client, &id, Protocol::Auto);
    assert!(file == Head::shared().log_file(&id));
    assert_eq!(client.list_job_logs(&id).unwrap(), String::from_utf8_lossy(&file));

    let no_reconnects = patient(Protocol::WebSocket).reconnects(0);
    let mut tail = client.tail_job_logs_with(&id, no_reconnects).unwrap();
    let error = tail.find_map(Result::err).expect("never an empty success");
    assert!(error.to_string().contains("WebSocket omitted"), "{error}");
    assert!(tail.next().is_none());
}

#[test]
fn a_log_that_is_not_utf8_needs_auto_and_fails_over_the_websocket() {
    check_uncarried("import os; os.write(1, b\"a\\xff\\xfe\\nb\\n\")");
}

#[test]
fn a_line_of_6_mb_needs_auto_and_fails_over_the_websocket() {
    check_uncarried("print(\"x\" * 6_000_000)");
}

#[test]
fn carriage_returns_end_lines_and_become_newlines_over_the_websocket() {
    let client = client();
    let id = submit(&client, "import os; os.write(1, b\"one\\r\\ntwo\\r50%\\r100%\\nlast\")");
    finish(&client, &id);
    let file = Head::shared().log_file(&id);
    assert!(file.ends_with(b"one\r\ntwo\r50%\r100%\nlast"), "{:?}", client.get_job(&id));
    for protocol in [Protocol::Agent, Protocol::Stream, Protocol::Auto, Protocol::WebSocket] {
        let is_text = protocol == Protocol::WebSocket;
        let expected = if is_text { universal_newlines(&file) } else { file.clone() };
        assert!(read_all(&client, &id, protocol) == expected, "{protocol}");
        let tail = client.tail_job_logs_with(&id, patient(protocol)).unwrap();
        let lines: Vec<_> = tail.map(|line| line.unwrap()).collect();
        let lines = &lines[lines.len() - 5..];
        assert_eq!(lines, ["one", "two", "50%", "100%", "last"], "{protocol}");
        let endings: Vec<_> = lines.iter().map(LogLine::ending).collect();
        let written = [CrLf, Cr, Cr, Lf, LineEnding::None];
        let expected = if is_text { [Lf, Lf, Lf, Lf, LineEnding::None] } else { written };
        assert_eq!(endings, expected, "{protocol}");
    }
}

#[test]
fn a_job_that_prints_nothing_has_only_lines_of_ray() {
    let client = client();
    let id = submit(&client, "");
    for protocol in [Protocol::Stream, Protocol::WebSocket] {
        assert_eq!(read_all(&client, &id, protocol), Head::shared().log_file(&id));
    }
}

#[test]
fn a_tail_waits_for_a_pending_job() {
    let client = client();
    let blocker = client
        .submit_job(
            &python("import time; time.sleep(600)").entrypoint_resource("node:127.0.0.2", 0.9),
        )
        .unwrap();
    eventually("the blocker runs", || {
        (client.get_job(&blocker).unwrap().status.as_str() == "RUNNING").then_some(())
    });
    let id =
        client.submit_job(&python("print(7)").entrypoint_resource("node:127.0.0.2", 0.9)).unwrap();
    for protocol in [Protocol::Stream, Protocol::WebSocket] {
        let short = patient(protocol).stream_timeout(Duration::from_millis(500));
        let error = client.tail_job_logs_with(&id, short).unwrap().next().unwrap().unwrap_err();
        assert_eq!(error.status(), 408);
        assert!(error.to_string().contains("PENDING"), "{error}");
    }
    let tails = [Protocol::Stream, Protocol::WebSocket]
        .map(|protocol| client.tail_job_logs_with(&id, patient(protocol)).unwrap());
    client.stop_job(&blocker).unwrap();
    for tail in tails {
        assert_eq!(tail.last().unwrap().unwrap(), "7");
    }
}

#[test]
fn an_infeasible_job_reports_the_missing_resources() {
    let client = client();
    let id = client.submit_job(&python("print(7)").entrypoint_resource("nowhere", 2.0)).unwrap();
    let check = |error: ray_client::ClientError| {
        assert_eq!(error.status(), 408, "{error}");
        assert_eq!(error.job_status(), Some(&ray_client::JobStatus::Pending));
        error.to_string().contains("needs 2 nowhere, which no node has").then_some(())
    };
    // Ray's autoscaler updates every few seconds.
    eventually("a wait says it", || {
        check(client.wait_for_job(&id, Duration::from_millis(500)).unwrap_err())
    });
    let short = patient(Protocol::Auto).pending_timeout(Duration::from_millis(500));
    let error = client.tail_job_logs_with(&id, short).unwrap().next().unwrap().unwrap_err();
    assert!(check(error).is_some());
}

#[test]
fn a_silent_job_is_408_after_all_lines_are_delivered() {
    let client = client();
    let id = submit(&client, "import time; print(1, end=\"\", flush=True); time.sleep(600)");
    eventually("the job has printed", || {
        Head::shared().log_file(&id).ends_with(b"1").then_some(())
    });
    for protocol in [Protocol::Stream, Protocol::WebSocket] {
        let tail = client
            .tail_job_logs_with(&id, patient(protocol).stream_timeout(Duration::from_secs(3)))
            .unwrap();
        let items: Vec<_> = tail.collect();
        let (error, lines) = items.split_last().unwrap();
        assert_eq!(error.as_ref().unwrap_err().status(), 408);
        let last = lines.last().unwrap().as_ref().unwrap();
        assert!(last == "1" && last.is_partial());
    }
    client.stop_job(&id).unwrap();
}

#[test]
fn a_tail_resumes_at_any_position() {
    let client = client();
    let id = submit(&client, "print(\"one\\ntwo\\nthree\")");
    finish(&client, &id);
    let file = Head::shared().log_file(&id);
    // Ray takes two seconds for each tail over the WebSocket.
    for (protocol, step) in [(Protocol::Stream, 7), (Protocol::WebSocket, 60)] {
        for position in (0..=file.len()).step_by(step).chain([file.len()]) {
            let options = patient(protocol).from_position(position as u64);
            let tail = client.tail_job_logs_with(&id, options).unwrap();
            assert_eq!(tail.position(), position as u64);
            let mut rest = Vec::new();
            tail.into_reader().read_to_end(&mut rest).unwrap();
            assert_eq!(rest, file[position..]);
        }
        let beyond = patient(protocol).from_position(file.len() as u64 + 1);
        let error = client.tail_job_logs_with(&id, beyond).unwrap().next().unwrap().unwrap_err();
        assert_eq!(error.status(), 400, "{error}");
    }
}

#[test]
fn a_tail_can_start_with_the_last_lines() {
    let client = client();
    let id = submit(&client, "print(\"one\\ntwo\\nthree\")");
    finish(&client, &id);
    let length = Head::shared().log_file(&id).len() as u64;
    for protocol in [Protocol::Stream, Protocol::WebSocket] {
        let mut tail = client.tail_job_logs_with(&id, patient(protocol).last_lines(2)).unwrap();
        assert_eq!(tail.next().unwrap().unwrap(), "two");
        assert_eq!(tail.position(), length - 6);
        assert_eq!(tail.next().unwrap().unwrap(), "three");
        assert!(tail.next().is_none());
        assert_eq!(tail.position(), length);
    }
}

/// The job exceeds the timeouts and limits of a tail with default options.
#[test]
fn a_job_with_pauses_and_bursts_is_followed_to_its_end() {
    let client = client();
    // Another test takes `node:127.0.0.2`, and they must not wait for each other.
    let takes_the_node =
        |program| python(program).entrypoint_resource("node:__internal_head__", 0.9);
    let blocker = client.submit_job(&takes_the_node("import time; time.sleep(600)")).unwrap();
    eventually("the blocker runs", || {
        (client.get_job(&blocker).unwrap().status.as_str() == "RUNNING").then_some(())
    });
    let program = "import time; time.sleep(13)\nfor n in range(60_000): print(n)";
    let id = client.submit_job(&takes_the_node(program)).unwrap();
    let mut tail = client.follow_job_logs(&id).unwrap();
    assert_eq!(tail.next_within(Duration::from_secs(11)).unwrap(), NextLine::NotYet);
    client.stop_job(&blocker).unwrap();
    let lines: Vec<_> = tail.map(|line| line.unwrap().into()).collect::<Vec<String>>();
    let expected: Vec<_> = (0..60_000).map(|n| n.to_string()).collect();
    assert!(lines[lines.len() - 60_000..] == expected, "{} lines", lines.len());
}

#[test]
fn a_resubmitted_id_ends_the_tail_with_503() {
    let client = client();
    let again = python("print(\"of the second\")").submission_id("used-twice");
    let first = python("print(\"of the first\", flush=True); import time; time.sleep(600)");
    client.submit_job(&first.submission_id("used-twice")).unwrap();
    // It polls too rarely to see the first job end.
    let options = patient(Protocol::Auto).poll_interval(Duration::from_secs(20)).reconnects(99);
    let mut tail = client.tail_job_logs_with("used-twice", options).unwrap();
    while tail.next().unwrap().unwrap() != "of the first" {}
    client.stop_job("used-twice").unwrap();
    finish(&client, "used-twice");
    eventually("the id is free", || {
        client.delete_job("used-twice").err()?;
        client.submit_job(&again).ok()
    });
    finish(&client, "used-twice");
    let items: Vec<_> = tail.collect();
    let [Err(error)] = &items[..] else { panic!("{items:?}") };
    assert_eq!(error.status(), 503);
    assert!(error.to_string().contains("now belongs to another job"), "{error}");
}

#[test]
fn a_tail_can_be_closed_from_another_thread() {
    let client = client();
    let id = submit(&client, "import time; print(1, flush=True); time.sleep(600)");
    for protocol in [Protocol::Agent, Protocol::Stream, Protocol::WebSocket] {
        let mut tail = client.tail_job_logs_with(&id, patient(protocol)).unwrap();
        while tail.next().unwrap().unwrap() != "1" {}
        let handle = tail.handle();
        let closer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(300));
            handle.close();
            Instant::now()
        });
        let error = tail.next().unwrap().unwrap_err();
        let took = closer.join().unwrap().elapsed();
        assert!(took < Duration::from_millis(100), "{protocol}: {took:?}");
        assert_eq!(error.status(), 503);
        assert!(tail.next().is_none());
    }
    client.stop_job(&id).unwrap();
}
