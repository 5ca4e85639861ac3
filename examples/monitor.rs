//! Shows every two seconds what the cluster has, what waits for resources, and which jobs run:
//! `cargo run --example monitor [-- <number of times>]`.

use std::error::Error;
use std::thread;
use std::time::Duration;

use ray_client::{ClientError, RayClient};

fn main() -> Result<(), Box<dyn Error>> {
    let client = RayClient::from_env()?;
    let times = std::env::args().nth(1).map_or(Ok(usize::MAX), |times| times.parse())?;
    for _ in 0..times {
        if let Err(error) = show(&client) {
            // The cluster may come back.
            eprintln!("{error}");
        }
        thread::sleep(Duration::from_secs(2));
    }
    Ok(())
}

fn show(client: &RayClient) -> Result<(), ClientError> {
    let status = client.cluster_status()?;
    for (name, amount) in &status.resources {
        println!(
            "{:>12} of {:<12} {name}",
            readable(name, amount.used),
            readable(name, amount.total)
        );
    }
    for demand in &status.pending_demands {
        let wanted = demand.resources.iter();
        let wanted: Vec<_> =
            wanted.map(|(name, n)| format!("{} {name}", readable(name, *n))).collect();
        let lacking = status.lacking(demand).join(", ");
        let why = if lacking.is_empty() { "in use" } else { "no node has enough: " };
        println!("{} × {} waiting; {why}{lacking}", demand.count, wanted.join(" + "));
    }
    for (node_type, count) in &status.pending_launches {
        println!("starting {count} × {node_type}");
    }
    if let Some(error) = &status.autoscaler_error {
        println!("autoscaler: {error}");
    }
    for node in client.list_node_usage()? {
        let name = node.hostname.unwrap_or_default();
        let (Some(cpu), Some(memory)) = (node.cpu_percent, node.memory_used) else {
            println!("{name} {}", node.state);
            continue;
        };
        println!("{name} {}: {cpu:.0}% CPU, {} MiB used", node.state, memory / 1024 / 1024);
    }
    for job in client.list_jobs()?.iter().filter(|job| !job.status.is_terminal()) {
        println!("{} {} {}", job.id(), job.status, job.entrypoint);
    }
    println!();
    Ok(())
}

/// Memory is in bytes, all else in pieces.
fn readable(name: &str, amount: f64) -> String {
    if name.contains("memory") {
        return format!("{:.1} GiB", amount / f64::from(1 << 30));
    }
    amount.to_string()
}
