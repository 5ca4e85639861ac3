//! What the benchmarks share: whole processes that are timed, and their settings.

#![allow(dead_code, reason = "each user takes what it needs")]

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What a process took from its start to its end.
pub struct Run {
    pub seconds: f64,
    /// The most that it held in memory, in MB: the `VmHWM` of `/proc`, read every millisecond.
    pub peak: f64,
    pub output: String,
}

impl Run {
    /// Runs a program that must succeed. `None` if there is no such program here.
    pub fn of(command: &mut Command) -> Option<Self> {
        let start = Instant::now();
        let spawned = command
            .env("RAY_AUTH_MODE", "disabled")
            .env_remove("RAY_ADDRESS")
            .env_remove("RAY_API_SERVER_ADDRESS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let child = match spawned {
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            spawned => spawned.unwrap(),
        };
        let status = format!("/proc/{}/status", child.id());
        let ended = AtomicBool::new(false);
        let (output, seconds, peak) = thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut peak = 0.0;
                while !ended.load(Ordering::Relaxed) {
                    // A process that has ended, but was not waited for, has no such line.
                    peak = peak_of(&status).unwrap_or(peak);
                    thread::sleep(Duration::from_millis(1));
                }
                peak
            });
            let output = child.wait_with_output().unwrap();
            let seconds = start.elapsed().as_secs_f64();
            ended.store(true, Ordering::Relaxed);
            (output, seconds, watcher.join().unwrap())
        });
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {text}{errors}");
        Some(Self { seconds, peak, output: text })
    }

    /// What the process wrote as `name=value`.
    pub fn told(&self, name: &str) -> Option<f64> {
        let mut words = self.output.split_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    }
}

fn peak_of(status: &str) -> Option<f64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? * 1024.0 / 1e6)
}

/// Runs of the same.
#[derive(Default)]
pub struct Runs(pub Vec<Run>);

impl Runs {
    /// Cells of a table: the time of the process with its range, that of the call alone if the process
    /// told it, and the most memory.
    pub fn cells(&self) -> String {
        let whole = sorted(self.0.iter().map(|run| run.seconds));
        let (Some(first), Some(last)) = (whole.first(), whole.last()) else {
            return "| left out: it is not installed | |".to_owned();
        };
        let call = sorted(self.0.iter().filter_map(|run| run.told("call")));
        let call = call.get(call.len() / 2).map_or(String::new(), |call| format!("{call:.3} s"));
        let median = whole[whole.len() / 2];
        format!("{median:.3} s ({first:.3}–{last:.3}) | {call} | {:.1} MB", self.peak())
    }

    pub fn peak(&self) -> f64 {
        self.0.iter().map(|run| run.peak).fold(0.0, f64::max)
    }
}

fn sorted(figures: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures
}

/// This program, as a child that does what the arguments say.
pub fn ourselves() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

/// Ray's command line tool, of the environment of this Python.
pub fn ray(python: &str) -> Command {
    Command::new(Path::new(python).with_file_name("ray"))
}

/// What `--name=` says.
pub fn setting(name: &str) -> Option<String> {
    let prefix = format!("--{name}=");
    std::env::args().find_map(|argument| Some(argument.strip_prefix(&prefix)?.to_owned()))
}

/// What `--name=` says, as a number.
pub fn count(name: &str, default: usize) -> usize {
    setting(name).map_or(default, |text| text.parse().unwrap())
}

pub fn load_average() -> String {
    let all = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    all.split_whitespace().next().unwrap_or("unknown").to_owned()
}
