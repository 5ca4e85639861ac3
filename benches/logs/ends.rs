//! How soon a tail ends after its job, and how soon one that is dropped is gone.

use std::io::{BufRead, BufReader};
use std::thread;
use std::time::{Duration, Instant};

use ray_client::Protocol;

use crate::followers::Follower;
use crate::support::Head;
use crate::{options, submit};

/// How many jobs each way is tried with.
const JOBS: usize = 3;
const SHORT: &str =
    "python -c 'import time\nfor n in range(30): print(n, flush=True); time.sleep(.1)'";

/// From the job's status being terminal, asked every 10 ms, to the end of the iterator.
pub fn ends(head: &Head) {
    println!("\n| way | median | longest |\n|---|---|---|");
    let client = head.client();
    for protocol in [Protocol::Agent, Protocol::Auto, Protocol::Stream, Protocol::WebSocket] {
        measure(head, &protocol.to_string(), |id| {
            let tail = client.tail_job_logs_with(id, options(protocol)).unwrap();
            tail.for_each(|line| drop(line.unwrap()));
            Some(Instant::now())
        });
    }
    measure(head, "Ray's Python client", |id| {
        let mut child = Follower::Python.start(head, &head.address, id)?;
        let mut end = None;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            // What it prints once its iterator has ended.
            end = line.unwrap().contains("the end").then(Instant::now);
        }
        child.wait().unwrap();
        end
    });
}

fn measure(head: &Head, what: &str, follow: impl Fn(&str) -> Option<Instant> + Sync) {
    let client = head.client();
    let mut waits = Vec::new();
    for _ in 0..JOBS {
        let id = submit(&client, SHORT.to_owned());
        let (over, end) = thread::scope(|scope| {
            let end = scope.spawn(|| follow(&id));
            while !client.get_job(&id).unwrap().status.is_terminal() {
                thread::sleep(Duration::from_millis(10));
            }
            (Instant::now(), end.join().unwrap())
        });
        let Some(end) = end else {
            return println!("| {what} | left out: it is not installed |");
        };
        // The tail may see the end before the question for it is answered here.
        waits.push(end.saturating_duration_since(over).as_secs_f64() * 1e3);
    }
    waits.sort_by(f64::total_cmp);
    println!("| {what} | {:.0} ms | {:.0} ms |", waits[JOBS / 2], waits[JOBS - 1]);
}

/// 60 tails of a silent job, dropped one after the other: from the drop until its worker is free.
pub fn drops(head: &Head) {
    let client = head.client();
    let id = submit(&client, "sleep 600".to_owned());
    let ways = [Protocol::Agent, Protocol::Stream, Protocol::WebSocket];
    let open = |n: usize| {
        let mut tail = client.tail_job_logs_with(&id, options(ways[n % ways.len()])).unwrap();
        assert!(tail.next().unwrap().is_ok(), "Ray itself writes the first line");
        tail
    };
    let mut tails: Vec<_> = (0..5).map(open).collect();
    let mut worst = Duration::ZERO;
    let mut sum = Duration::ZERO;
    for n in 5..65 {
        let start = Instant::now();
        drop(tails.remove(0));
        let free = client.tail_job_logs_with(&id, options(Protocol::Stream)).unwrap();
        let took = start.elapsed();
        drop(free);
        worst = worst.max(took);
        sum += took;
        tails.push(open(n));
    }
    let [worst, mean] = [worst, sum / 60].map(|time| time.as_secs_f64() * 1e3);
    println!("\nworst {worst:.1} ms, mean {mean:.1} ms");
    drop(tails);
    client.stop_job(&id).unwrap();
}
