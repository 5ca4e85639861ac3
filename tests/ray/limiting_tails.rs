//! Verifies that a tail delivers exactly what its limits allow, and that at most five tails run at
//! a time.

use std::time::Duration;

use ray_client::{Protocol, StreamLimits};

use crate::support::{Head, eventually};
use crate::{client, finish, patient, submit};

fn items(id: &str, protocol: Protocol, limits: StreamLimits) -> (Vec<String>, Option<String>) {
    let options = patient(protocol).limits(limits);
    let mut lines = Vec::new();
    for item in client().tail_job_logs_with(id, options).unwrap() {
        match item {
            Ok(line) => lines.push(line.into()),
            Err(error) => {
                assert_eq!(error.status(), 429);
                return (lines, Some(error.to_string()));
            }
        }
    }
    (lines, None)
}

#[test]
fn exactly_the_allowed_lines_bytes_and_messages_are_delivered() {
    let client = client();
    let id = submit(&client, "for n in range(3000): print(n)");
    finish(&client, &id);
    let file = Head::shared().log_file(&id);
    let all: Vec<&str> = std::str::from_utf8(&file).unwrap().lines().collect();
    let limits = StreamLimits::default;
    for protocol in [Protocol::Stream, Protocol::WebSocket] {
        let (lines, error) = items(&id, protocol, limits().max_lines(2500));
        assert_eq!(lines, all[..2500]);
        assert!(error.unwrap().contains("2500 lines"));

        let (lines, error) = items(&id, protocol, limits().max_bytes(5001));
        let joined = lines.join("\n") + "\n";
        assert_eq!(joined.as_bytes()[..5001], file[..5001]);
        assert!(error.unwrap().contains("5001 bytes"));

        let exact = limits().max_lines(all.len() as u64).max_bytes(file.len() as u64);
        assert_eq!(
            items(&id, protocol, exact),
            (all.iter().map(ToString::to_string).collect(), None)
        );
    }
    let (lines, error) = items(&id, Protocol::WebSocket, limits().max_messages(3));
    assert!(error.unwrap().contains("3 messages"));
    assert!(!lines.is_empty() && lines.len() <= 30, "a message has at most 10 lines");
}

#[test]
fn long_lines_are_split_without_loss() {
    let client = client();
    let id = submit(&client, "print(\"€\" * 10_000); print(\"end\")");
    finish(&client, &id);
    let limits = StreamLimits::default().max_message_size(1000);
    for protocol in [Protocol::Stream, Protocol::WebSocket] {
        let options = patient(protocol).limits(limits.clone());
        let mut text = String::new();
        for line in client.tail_job_logs_with(&id, options).unwrap() {
            let line = line.unwrap();
            assert!(line.len() <= 1000);
            text.push_str(&line);
            text.push_str(if line.is_partial() { "" } else { "\n" });
        }
        assert_eq!(text.into_bytes(), Head::shared().log_file(&id));
    }
}

#[test]
fn a_sixth_tail_is_429_until_one_is_dropped() {
    let client = client();
    let id = submit(&client, "import time; time.sleep(600)");
    let mut tails: Vec<_> = (0..5)
        .map(|n| {
            let protocol = if n % 2 == 0 { Protocol::Stream } else { Protocol::WebSocket };
            let options = patient(protocol);
            client.tail_job_logs_with(&id, options).unwrap()
        })
        .collect();
    let error = client.stream_tail_job_logs(&id, Duration::from_millis(200)).unwrap_err();
    assert_eq!(error.status(), 429);
    assert!(error.is_retryable());
    tails.pop();
    let mut tail = eventually("a worker is free", || {
        client.stream_tail_job_logs(&id, Duration::from_secs(60)).ok()
    });
    assert!(tail.next().unwrap().is_ok());
    client.stop_job(&id).unwrap();
}

#[test]
fn dropping_the_last_clone_ends_each_tail_with_one_503() {
    let client = client();
    let id = submit(&client, "import time; time.sleep(600)");
    let tails = [Protocol::Stream, Protocol::WebSocket].map(|protocol| {
        let options = patient(protocol);
        let mut tail = client.tail_job_logs_with(&id, options).unwrap();
        assert!(tail.next().unwrap().is_ok());
        tail
    });
    drop(client.clone());
    drop(client);
    for tail in tails {
        let errors: Vec<_> = tail.filter_map(Result::err).collect();
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].status(), 503, "{}", errors[0]);
    }
    crate::client().stop_job(&id).unwrap();
}
