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
#[path = "../measuring/mod.rs"]
mod measuring;
mod reading;
#[path = "../../tests/support/mod.rs"]
mod support;
mod usage;

use std::time::Duration;

use measuring::load_average;
use ray_client::{Job, JobSubmission, Protocol, RayClient, TailOptions};
use support::{Head, is_wanted};

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

fn options(protocol: Protocol) -> TailOptions {
    TailOptions::until_done().protocol(protocol)
}

fn submit(client: &RayClient, entrypoint: String) -> String {
    client.submit_job(&JobSubmission::new(entrypoint)).unwrap()
}

/// A log of so many lines of 92 bytes that is complete: all different, or the same thousand again and
/// again.
fn complete_log(client: &RayClient, lines: u64, repeats_itself: bool) -> Job {
    let number = if repeats_itself { "n % 1000" } else { "n" };
    let line = format!("b\"%09d %s\\n\" % ({number}, b\"x\" * 81)");
    let id = submit(
        client,
        format!("python -c 'import sys\nfor n in range({lines}): sys.stdout.buffer.write({line})'"),
    );
    client.wait_for_job(&id, Duration::from_secs(300)).unwrap()
}
