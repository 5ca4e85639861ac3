//! What live logs cost, side by side with what a user would take instead: `cargo bench --bench logs`.
//!
//! Every figure is taken on a real Ray on this machine. Name some of `memory`, `following`, `reading`,
//! `ends`, `drops` behind `--` to measure those only. Of `following`, `--sizes=1,10` gives the megabytes
//! that the log has at first, `--seconds=20` how long it grows at each rate, and `--ways=agent,stream` the
//! ways.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]

mod counting;
mod ends;
mod followers;
mod following;
mod reading;
#[path = "../../tests/support/mod.rs"]
mod support;
mod usage;

use std::fs;
use std::time::Duration;

use ray_client::{JobSubmission, Protocol, RayClient, TailOptions};
use support::{Head, is_wanted};

const FLOOD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/flood.py");

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let Some((followers::FOLLOW, rest)) =
        arguments.split_first().map(|(first, rest)| (&**first, rest))
    {
        return followers::follow(rest);
    }
    let head = Head::start(&[]);
    let all = [
        // First, while this process has not done anything else.
        ("memory", reading::memory as fn(&Head)),
        ("reading", reading::reading),
        ("ends", ends::ends),
        ("drops", ends::drops),
        ("following", following::following),
    ];
    for (name, measure) in all {
        if is_wanted(name) {
            println!("\n## {name} (load average {})", load_average());
            measure(&head);
        }
    }
}

/// What `--name=` says.
fn setting(name: &str) -> Option<String> {
    let prefix = format!("--{name}=");
    std::env::args().find_map(|argument| Some(argument.strip_prefix(&prefix)?.to_owned()))
}

fn load_average() -> String {
    let all = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    all.split_whitespace().next().unwrap_or("unknown").to_owned()
}

fn options(protocol: Protocol) -> TailOptions {
    TailOptions::until_done().protocol(protocol)
}

fn submit(client: &RayClient, entrypoint: String) -> String {
    client.submit_job(&JobSubmission::new(entrypoint)).unwrap()
}

/// A log of so many lines of 92 bytes that is complete.
fn complete_log(client: &RayClient, lines: u64) -> ray_client::Job {
    let id = submit(client, format!("python {FLOOD} {lines}"));
    client.wait_for_job(&id, Duration::from_secs(300)).unwrap()
}
