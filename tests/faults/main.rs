//! Tests the client against faulty servers, without a Ray.

#[path = "../support/rng.rs"]
#[allow(dead_code, reason = "each user takes what it needs")]
mod rng;
#[path = "../support/server.rs"]
mod server;
#[cfg(feature = "tls")]
#[path = "../support/tls.rs"]
#[allow(dead_code, reason = "each user takes what it needs")]
mod tls;

mod agents;
mod cancelling;
mod cluster;
mod corpus;
mod drips;
mod fallbacks;
mod faulty_responses;
mod intermediaries;
mod lost_responses;
mod positions;
mod responses_without_length;
mod retries;
mod secrets;
mod signals;
mod stream_breaks;
mod tail_calls;
mod threads;
mod unreadable_rows;
mod waits;
mod websocket_breaks;
mod wrong_responses;

use cluster::{client, options};
use ray_client::{ClientError, RayClient, TailOptions};

/// Returns lines with multi-byte characters, because cuts must also hit the middle of a character.
fn log(lines: usize) -> Vec<u8> {
    (0..lines).flat_map(|n| format!("{n} {}\n", "äöü€😀".repeat(n % 17)).into_bytes()).collect()
}

/// Returns the lines of a tail and its final error. Checks that nothing follows an error.
fn collect(client: &RayClient, options: TailOptions) -> (Vec<String>, Option<ClientError>) {
    let mut tail = client.tail_job_logs_with("a", options).unwrap();
    let mut lines = Vec::new();
    let mut open = false;
    let mut end = None;
    for item in &mut tail {
        match item {
            Ok(line) => {
                assert!(end.is_none(), "nothing comes after an error");
                if open {
                    lines.last_mut().map(|last: &mut String| last.push_str(&line)).unwrap();
                } else {
                    lines.push(line.to_string());
                }
                open = line.is_partial();
            }
            Err(error) => {
                assert!(end.is_none(), "one error is all");
                end = Some(error);
            }
        }
    }
    assert!(tail.next().is_none());
    (lines, end)
}

fn lines_of(log: &[u8]) -> Vec<String> {
    std::str::from_utf8(log).unwrap().lines().map(str::to_owned).collect()
}

/// Checks that the message is one line of at most 300 characters.
fn check_message(error: &ClientError) {
    let message = error.to_string();
    assert!(message.chars().count() <= 300, "{message}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
}
