//! What live logs cost, side by side with what a user would take instead: `cargo bench --bench logs`.
//!
//! Every figure is taken on a real Ray on this machine. Name some of `delay`, `throughput`, `memory`,
//! `drops` behind `--` to measure those only.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use ray_client::{JobSubmission, Protocol, RayClient, StreamLimits, TailOptions};
use support::{Head, is_wanted};

const CLOCK: &str = "import time\nend = time.time() + 20\nwhile time.time() < end:\n    print(time.time(), flush=True)\n    time.sleep(0.05)";
const FLOOD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/flood.py");

fn main() {
    let head = Head::start(&[]);
    let all = [
        ("memory", memory as fn(&Head)),
        ("delay", delay),
        ("throughput", throughput),
        ("drops", drops),
    ];
    // Memory first, while this process has not done anything else.
    for (name, measure) in all {
        if is_wanted(name) {
            println!("\n{name}");
            measure(&head);
        }
    }
}

fn options(protocol: Protocol) -> TailOptions {
    TailOptions::default()
        .protocol(protocol)
        .limits(StreamLimits::unlimited())
        .stream_timeout(Duration::from_secs(300))
}

fn submit(client: &RayClient, entrypoint: String) -> String {
    client.submit_job(&JobSubmission::new(entrypoint)).unwrap()
}

/// From a line's being written to its being in hand, at 20 lines a second.
fn delay(head: &Head) {
    let client = head.client();
    for protocol in [Protocol::Stream, Protocol::WebSocket] {
        let id = submit(&client, format!("python -c '{CLOCK}'"));
        let mut delays = Vec::new();
        for line in client.tail_job_logs_with(&id, options(protocol)).unwrap() {
            if let Ok(written) = line.unwrap().parse::<f64>() {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
                delays.push(now.as_secs_f64() - written);
            }
        }
        report(&format!("ray-client, {protocol}"), delays);
    }
    let id = submit(&client, format!("python -c '{CLOCK}'"));
    let program = format!(
        "import asyncio, json, time\nfrom ray.job_submission import JobSubmissionClient\ndelays = []\nasync def main():\n    async for text in JobSubmissionClient('{}').tail_job_logs('{id}'):\n        now = time.time()\n        for line in text.splitlines():\n            try: delays.append(now - float(line))\n            except ValueError: pass\nasyncio.run(main())\nprint(json.dumps(delays))",
        head.address
    );
    let delays = head.python_json(&program);
    report(
        "Ray's Python client",
        delays.as_array().unwrap().iter().filter_map(serde_json::Value::as_f64).collect(),
    );
}

fn report(what: &str, mut delays: Vec<f64>) {
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize] * 1e3;
    println!(
        "  {what:24} {} lines: p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms",
        delays.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// A log of 500,000 lines, 46 MB, that is complete.
fn throughput(head: &Head) {
    let client = head.client();
    let id = submit(&client, format!("python {FLOOD} 500000"));
    let job = client.wait_for_job(&id, Duration::from_secs(300)).unwrap();
    let url = format!(
        "{}/api/v0/logs/file?node_id={}&submission_id={id}&lines=-1",
        head.address,
        job.driver_node_id.unwrap()
    );
    compare("curl to a file", || {
        let target = head.logs.join("curl.out");
        let curl = Command::new("curl").arg("-s").arg("-o").arg(&target).arg(&url).status();
        assert!(curl.unwrap().success());
        usize::try_from(fs::metadata(target).unwrap().len()).unwrap()
    });
    compare("ray-client, reader", || {
        let tail = client.tail_job_logs_with(&id, options(Protocol::Stream)).unwrap();
        std::io::copy(&mut tail.into_reader(), &mut std::io::sink()).unwrap() as usize
    });
    compare("ray-client, lines", || {
        let tail = client.tail_job_logs_with(&id, options(Protocol::Stream)).unwrap();
        tail.map(|line| line.unwrap().len() + 1).sum()
    });
    compare("ray-client, websocket", || {
        let tail = client.tail_job_logs_with(&id, options(Protocol::WebSocket)).unwrap();
        tail.map(|line| line.unwrap().len() + 1).sum()
    });
    let program = format!(
        "import asyncio, json, time\nfrom ray.job_submission import JobSubmissionClient\nsize = 0\nasync def main():\n    global size\n    async for text in JobSubmissionClient('{}').tail_job_logs('{id}'):\n        size += len(text)\nstart = time.time()\nasyncio.run(main())\nprint(json.dumps([time.time() - start, size]))",
        head.address
    );
    let answer = head.python_json(&program);
    println!(
        "  {:24} {:.3} s, {} bytes",
        "Ray's Python client",
        answer[0].as_f64().unwrap(),
        answer[1]
    );
}

/// The best of five.
fn compare(what: &str, mut run: impl FnMut() -> usize) {
    let mut best = Duration::MAX;
    let mut size = 0;
    for _ in 0..5 {
        let start = Instant::now();
        size = run();
        best = best.min(start.elapsed());
    }
    println!("  {what:24} {:.3} s, {size} bytes", best.as_secs_f64());
}

/// 200 MB through a reader that is slower than the network.
fn memory(head: &Head) {
    let client = head.client();
    let id = submit(&client, format!("python {FLOOD} 2174000"));
    client.wait_for_job(&id, Duration::from_secs(300)).unwrap();
    let idle = resident_kb("VmRSS");
    let mut reader =
        client.tail_job_logs_with(&id, options(Protocol::Stream)).unwrap().into_reader();
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
        std::thread::sleep(Duration::from_millis(3));
    }
    println!(
        "  {read} bytes in {:.1} s: {:.1} MB over idle at most",
        start.elapsed().as_secs_f64(),
        (resident_kb("VmHWM") - idle) as f64 / 1024.0
    );
}

fn resident_kb(key: &str) -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// 60 tails of a silent job, dropped one after the other: from the drop until its worker is free.
fn drops(head: &Head) {
    let client = head.client();
    let id = submit(&client, "sleep 600".to_owned());
    let open = |n: usize| {
        let protocol = if n % 2 == 0 { Protocol::Stream } else { Protocol::WebSocket };
        let mut tail = client.tail_job_logs_with(&id, options(protocol)).unwrap();
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
    println!(
        "  worst {:.1} ms, mean {:.1} ms",
        worst.as_secs_f64() * 1e3,
        sum.as_secs_f64() * 1e3 / 60.0
    );
    drop(tails);
    client.stop_job(&id).unwrap();
}
