//! Following a log that is already long and goes on growing, by each way.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime};

use ray_client::RayClient;

use crate::counting::Counted;
use crate::followers::Follower;
use crate::measuring::setting;
use crate::submit;
use crate::support::{Head, eventually};
use crate::usage::{RayProcesses, cpu};

const GROW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/logs/grow.py");
/// A way that would need longer than this to catch up is left out.
const LONGEST: Duration = Duration::from_secs(60);
const MEGABYTE: u64 = 1_000_000;

/// What was used up to some time.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    bytes: u64,
    requests: u64,
    /// Of the follower, the dashboard, the agent.
    cpu: [f64; 3],
}

/// One follower of one log.
struct Run {
    /// Before it started; when it caught up; when the log began to grow quickly; at its end.
    samples: [Sample; 4],
    /// From written to read, in seconds: at 10 and at 1,000 lines a second.
    delays: [Vec<f64>; 2],
    log_size: u64,
}

pub fn following(head: &Head) {
    let client = head.client();
    let sizes = setting("sizes").unwrap_or_else(|| "1,10,100,1000".to_owned());
    let ways = setting("ways");
    let probe = submit(&client, "true".to_owned());
    let job = client.wait_for_job(&probe, Duration::from_secs(60)).unwrap();
    let counted = Counted::start(&head.address, &job.driver_agent_http_address.unwrap());
    let bench = Bench { head, client, counted, processes: RayProcesses::find() };
    // How fast each way caught up, in bytes a second.
    let mut speeds = [f64::MAX; Follower::ALL.len()];
    for size in sizes.split(',') {
        let size: u64 = size.parse().unwrap();
        println!("\n### A log of {size} MB\n");
        println!(
            "| way | caught up | came down | requests | CPU until caught up | \
             10 lines/s: p50, p95, p99 | CPU | 1,000 lines/s: p50, p95, p99 | CPU |\n\
             |---|---|---|---|---|---|---|---|---|"
        );
        for ((name, follower), speed) in Follower::ALL.into_iter().zip(&mut speeds) {
            if ways.as_ref().is_some_and(|ways| !ways.split(',').any(|way| way == name)) {
                continue;
            }
            let expected = (size * MEGABYTE) as f64 / *speed;
            if expected > LONGEST.as_secs_f64() {
                println!("| {name} | left out: it would need about {expected:.0} s to catch up |");
                continue;
            }
            match bench.run(size, follower) {
                Some(run) => {
                    *speed = (size * MEGABYTE) as f64 / run.seconds(0);
                    println!("| {name} {}", run.row());
                }
                None => println!("| {name} | left out: it is not installed |"),
            }
        }
    }
}

struct Bench<'a> {
    head: &'a Head,
    client: RayClient,
    counted: Counted,
    processes: RayProcesses,
}

impl Bench<'_> {
    fn run(&self, size: u64, follower: Follower) -> Option<Run> {
        let go = self.head.logs.join("go");
        let _ = fs::remove_file(&go);
        let seconds = setting("seconds").unwrap_or_else(|| "20".to_owned());
        let grow = format!("python {GROW} {size} {} {seconds}", go.display());
        let id = submit(&self.client, grow);
        let file = self.head.logs.join(format!("job-driver-{id}.log"));
        eventually("the log is long", || {
            fs::metadata(&file).ok().filter(|found| found.len() > size * MEGABYTE)
        });
        let begin = self.sample(None);
        let Some(child) = follower.start(self.head, &self.counted.address, &id) else {
            self.client.stop_job(&id).unwrap();
            return None;
        };
        let run = self.read(begin, child, follower, &go, &file);
        self.client.wait_for_job(&id, Duration::from_secs(60)).unwrap();
        fs::remove_file(file).unwrap();
        Some(run)
    }

    /// Reads what a follower writes, and has the log grow once it has caught up.
    fn read(
        &self,
        begin: Sample,
        mut child: Child,
        follower: Follower,
        go: &PathBuf,
        file: &PathBuf,
    ) -> Run {
        let mut output = BufReader::with_capacity(1 << 20, child.stdout.take().unwrap());
        let attached = now();
        let mut samples = [begin; 4];
        let mut delays = [Vec::new(), Vec::new()];
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).unwrap() > 0 {
            let text = String::from_utf8_lossy(line.strip_prefix(b"@").unwrap_or_default());
            let mut words = text.split_whitespace();
            match (words.next(), words.next().and_then(|word| word.parse::<f64>().ok())) {
                (Some("0"), Some(written)) if written > attached && !go.exists() => {
                    samples[1] = self.sample(Some(&child));
                    fs::write(go, "").unwrap();
                }
                (Some("10"), Some(written)) => delays[0].push(now() - written),
                (Some("1000"), Some(written)) => {
                    if delays[1].is_empty() {
                        samples[2] = self.sample(Some(&child));
                    }
                    delays[1].push(now() - written);
                }
                (Some("end"), _) if !follower.ends() => child.kill().unwrap(),
                _ => {}
            }
            line.clear();
        }
        samples[3] = self.sample(Some(&child));
        let status = child.wait().unwrap();
        assert!(status.success() || !follower.ends(), "{status}");
        Run { samples, delays, log_size: fs::metadata(file).unwrap().len() }
    }

    fn sample(&self, follower: Option<&Child>) -> Sample {
        let [bytes, requests] = self.counted.so_far();
        let [dashboard, agent] = self.processes.cpu();
        let cpu = [follower.map_or(0.0, |child| cpu(child.id())), dashboard, agent];
        Sample { at: Instant::now(), bytes, requests, cpu }
    }
}

impl Run {
    fn seconds(&self, from: usize) -> f64 {
        (self.samples[from + 1].at - self.samples[from].at).as_secs_f64()
    }

    /// The cells of a table.
    fn row(&self) -> String {
        let [begin, .., end] = &self.samples;
        let bytes = end.bytes - begin.bytes;
        let [at_10, at_1000] = [0, 1].map(|n| percentiles(&self.delays[n]));
        format!(
            "| {:.1} s | {:.1} MB ({:.2}) | {} | {} | {at_10} | {} | {at_1000} | {} |",
            self.seconds(0),
            bytes as f64 / MEGABYTE as f64,
            bytes as f64 / self.log_size as f64,
            end.requests - begin.requests,
            self.cpu(0, 1.0, " s"),
            self.cpu(1, 100.0 / self.seconds(1), " %"),
            self.cpu(2, 100.0 / self.seconds(2), " %"),
        )
    }

    /// The CPU of follower, dashboard and agent between two samples.
    fn cpu(&self, from: usize, scale: f64, unit: &str) -> String {
        let [before, after] = [&self.samples[from], &self.samples[from + 1]];
        let used = |n: usize| (after.cpu[n] - before.cpu[n]) * scale;
        format!("{:.1}, {:.1}, {:.1}{unit}", used(0), used(1), used(2))
    }
}

fn percentiles(delays: &[f64]) -> String {
    let mut delays = delays.to_vec();
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| match delays.len() {
        0 => f64::NAN,
        length => delays[((length - 1) as f64 * share) as usize] * 1e3,
    };
    format!("{:.0}, {:.0}, {:.0} ms", at(0.5), at(0.95), at(0.99))
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}
