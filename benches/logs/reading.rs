//! Reading a log that is complete: how fast, and with how much memory.

use std::fs;
use std::io::Read;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ray_client::{Protocol, StreamLimits};

use crate::support::Head;
use crate::usage::{cpu, forget_peak, resident_kb};
use crate::{complete_log, options};

const PYTHON: &str = "
import asyncio, json, time
from ray.job_submission import JobSubmissionClient
size = 0
async def main():
    global size
    async for text in JobSubmissionClient('ADDRESS').tail_job_logs('ID'):
        size += len(text)
start = time.time()
asyncio.run(main())
print(json.dumps([time.time() - start, size]))
";

/// A log of 500,000 lines, 46 MB.
pub fn reading(head: &Head) {
    let client = head.client();
    let job = complete_log(&client, 500_000);
    let (id, node) = (job.id(), job.driver_node_id.as_deref().unwrap());
    let address = &head.address;
    let url = format!("{address}/api/v0/logs/file?node_id={node}&submission_id={id}&lines=-1");
    let agent = job.driver_agent_http_address.as_deref().unwrap();
    let agent_url = format!("{agent}/logs/job-driver-{id}.log");
    println!("\n| way | best | median |\n|---|---|---|");
    for (name, url) in [("curl, dashboard", url), ("curl, agent", agent_url)] {
        compare(name, 9, || {
            let target = head.logs.join("curl.out");
            let mut curl = Command::new("curl");
            let status = curl.args(["-s", "-o"]).arg(&target).arg(&url).status().ok()?;
            assert!(status.success());
            Some(fs::metadata(target).unwrap().len())
        });
    }
    let lines = |protocol| {
        let tail = client.tail_job_logs_with(id, options(protocol)).unwrap();
        Some(tail.map(|line| line.unwrap().len() as u64 + 1).sum())
    };
    let bytes = |protocol| {
        let tail = client.tail_job_logs_with(id, options(protocol)).unwrap();
        Some(std::io::copy(&mut tail.into_reader(), &mut std::io::sink()).unwrap())
    };
    for protocol in [Protocol::Auto, Protocol::Stream, Protocol::Agent] {
        compare(&format!("{protocol}, reader"), 9, || bytes(protocol));
        compare(&format!("{protocol}, lines"), 9, || lines(protocol));
    }
    compare("websocket, lines", 1, || lines(Protocol::WebSocket));
    let answer = head.python_json(&PYTHON.replace("ADDRESS", address).replace("ID", id));
    let seconds = answer[0].as_f64().unwrap();
    println!("| Ray's Python client | {seconds:.3} s | ({} bytes)", answer[1]);
    lines_in_memory(head, id);
}

/// The best and the median of some runs.
fn compare(what: &str, runs: usize, mut run: impl FnMut() -> Option<u64>) {
    let mut times = Vec::new();
    let mut size = 0;
    for _ in 0..runs {
        let start = Instant::now();
        let Some(read) = run() else {
            return println!("| {what} | left out: it is not installed |");
        };
        times.push(start.elapsed().as_secs_f64());
        size = read;
    }
    times.sort_by(f64::total_cmp);
    println!("| {what} | {:.3} s | {:.3} s | ({size} bytes)", times[0], times[runs / 2]);
}

/// What the caller pays for a line that is already here: all lines are in the queue before the first is
/// taken.
fn lines_in_memory(head: &Head, id: &str) {
    let client = head.client();
    let limits = StreamLimits::unlimited().queue(1_000_000);
    let mut best = f64::MAX;
    for _ in 0..5 {
        let options = options(Protocol::Stream).limits(limits.clone());
        let tail = client.tail_job_logs_with(id, options).unwrap();
        wait_until_idle();
        let start = Instant::now();
        let lines = tail.map(Result::unwrap).count();
        best = best.min(start.elapsed().as_nanos() as f64 / lines as f64);
    }
    println!("\n{best:.0} ns a line on the caller's side");
}

/// Waits until this process has done nothing for a second.
fn wait_until_idle() {
    let pid = std::process::id();
    loop {
        let before = cpu(pid);
        thread::sleep(Duration::from_secs(1));
        if cpu(pid) - before < 0.02 {
            return;
        }
    }
}

/// 200 MB through a reader that is slower than the network.
pub fn memory(head: &Head) {
    let client = head.client();
    let job = complete_log(&client, 2_174_000);
    println!("\n| way | bytes | seconds | MB over idle at most |\n|---|---|---|---|");
    for protocol in [Protocol::Agent, Protocol::Stream, Protocol::WebSocket] {
        forget_peak();
        let idle = resident_kb("VmRSS");
        let tail = client.tail_job_logs_with(job.id(), options(protocol)).unwrap();
        let mut reader = tail.into_reader();
        let mut piece = Vec::new();
        let mut read = 0;
        let start = Instant::now();
        loop {
            piece.clear();
            (&mut reader).take(64 * 1024).read_to_end(&mut piece).unwrap();
            if piece.is_empty() {
                break;
            }
            read += piece.len();
            thread::sleep(Duration::from_millis(3));
        }
        let over_idle = (resident_kb("VmHWM") - idle) as f64 / 1024.0;
        let seconds = start.elapsed().as_secs_f64();
        println!("| {protocol} | {read} | {seconds:.1} | {over_idle:.1} |");
    }
}
