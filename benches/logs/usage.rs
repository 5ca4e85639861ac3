//! What processes use, as `/proc` says.

use std::collections::HashMap;
use std::fs;

/// The time of the clock by which `/proc` counts; 100 a second on every Linux.
const TICK: f64 = 0.01;

/// The processes of a Ray that this program started.
pub struct RayProcesses {
    dashboard: Vec<u32>,
    agent: Vec<u32>,
}

impl RayProcesses {
    /// The dashboard with its modules, and the agent.
    pub fn find() -> Self {
        let parents = parents();
        let ours = below(&parents, &[std::process::id()]);
        let named = |name: &str| -> Vec<u32> {
            ours.iter().copied().filter(|pid| command(*pid).contains(name)).collect()
        };
        let mut dashboard = named("dashboard/dashboard.py");
        dashboard.extend(below(&parents, &dashboard));
        let agent = named("ray::DashboardAgent");
        assert!(dashboard.len() > 1 && agent.len() == 1, "{dashboard:?} {agent:?}");
        Self { dashboard, agent }
    }

    /// The seconds of CPU that the dashboard and the agent took so far.
    pub fn cpu(&self) -> [f64; 2] {
        [&self.dashboard, &self.agent].map(|pids| pids.iter().map(|pid| cpu(*pid)).sum())
    }
}

/// The seconds of CPU that a process took so far, until it is waited for.
pub fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) * TICK
}

/// What this process holds in memory, in kilobytes: `VmRSS` now, `VmHWM` at most.
pub fn resident_kb(key: &str) -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Lets the most that this process held in memory begin anew.
pub fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

fn parents() -> HashMap<u32, u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?))
    })
    .collect()
}

/// All that descend from these.
fn below(parents: &HashMap<u32, u32>, ancestors: &[u32]) -> Vec<u32> {
    let mut found: Vec<u32> = Vec::new();
    loop {
        let is_new = |(pid, parent): &(&u32, &u32)| {
            (found.contains(parent) || ancestors.contains(parent)) && !found.contains(pid)
        };
        let more: Vec<u32> = parents.iter().filter(is_new).map(|(pid, _)| *pid).collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

fn command(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
