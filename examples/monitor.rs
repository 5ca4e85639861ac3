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
        println!("{:>12} of {:<12} {name}", amount.used, amount.total);
    }
    for demand in &status.pending_demands {
        let lacking = status.lacking(demand);
        println!("{} wait for {:?}, and no node has {lacking:?}", demand.count, demand.resources);
    }
    for node in client.list_node_usage()? {
        let cpu = node.cpu_percent.unwrap_or_default();
        let memory = node.memory_used.unwrap_or_default() / 1024 / 1024;
        let name = node.hostname.unwrap_or_default();
        println!("{name} {}: {cpu:.0}% CPU, {memory} MiB used", node.state);
    }
    for job in client.list_jobs()?.iter().filter(|job| !job.status.is_terminal()) {
        println!("{} {} {}", job.id(), job.status, job.entrypoint);
    }
    println!();
    Ok(())
}
