//! Shows the nodes, resources and running tasks of a cluster: `cargo run --example cluster_overview`.
//!
//! Uses the cluster of `RAY_ADDRESS` if that is set. Otherwise it starts a local Ray, which needs only
//! Python 3, runs some tasks on it, and shuts it down at the end.

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::error::Error;
use std::time::SystemTime;

use ray_client::{ClientError, Filter, JobSubmission, ListOptions, Listing, Node, RayClient};

const BUSY: &str = "import ray, time\nray.init()\n@ray.remote(num_cpus=0.5)\ndef train(): time.sleep(60)\nray.get([train.remote() for _ in range(3)])";

fn main() -> Result<(), Box<dyn Error>> {
    let (client, local) = support::cluster()?;
    if local.is_some() {
        client.submit_job(&JobSubmission::new(format!("python -c '{BUSY}'")))?;
        support::eventually("its tasks run", || {
            client.list_tasks_with(&running()).ok().filter(|tasks| tasks.results.len() == 3)
        });
    }

    println!("Ray {}", client.version()?.ray_version);
    let nodes = client.list_nodes_with(&ListOptions::default().detail(true))?;
    print_nodes(&nodes);
    print_resources(&nodes);
    print_running_tasks(&client)?;
    print_serve_applications(&client)?;
    Ok(())
}

fn running() -> ListOptions {
    ListOptions::default().filter("state", Filter::Eq, "RUNNING").detail(true)
}

fn print_nodes(nodes: &Listing<Node>) {
    let rows = nodes.into_iter().map(|node| {
        let role = if node.is_head_node == Some(true) { "head" } else { "worker" };
        let cpus = node.resources_total.get("CPU").copied().unwrap_or_default();
        vec![
            node.node_id.chars().take(12).collect(),
            node.node_ip.clone().unwrap_or_default(),
            role.to_owned(),
            node.state.to_string(),
            cpus.to_string(),
            since(node.started_at()),
        ]
    });
    print_table("NODES", &["ID", "ADDRESS", "ROLE", "STATE", "CPUS", "UP"], rows, nodes.truncated);
}

fn print_resources(nodes: &Listing<Node>) {
    let mut totals = BTreeMap::new();
    for node in nodes.into_iter().filter(|node| node.is_alive()) {
        for (name, amount) in &node.resources_total {
            *totals.entry(name.as_str()).or_insert(0.0) += amount;
        }
    }
    totals.retain(|name, _| !name.starts_with("node:"));
    let rows = totals.into_iter().map(|(name, amount)| {
        let is_bytes = name.ends_with("memory");
        let amount = if is_bytes {
            format!("{:.1} GiB", amount / f64::powi(2.0, 30))
        } else {
            amount.to_string()
        };
        vec![name.to_owned(), amount]
    });
    print_table("RESOURCES", &["NAME", "TOTAL"], rows, nodes.truncated);
}

fn print_running_tasks(client: &RayClient) -> Result<(), ClientError> {
    let tasks = client.list_tasks_with(&running())?;
    let rows = tasks.results.iter().map(|task| {
        vec![
            task.name.clone().unwrap_or_default(),
            task.job_id.clone().unwrap_or_default(),
            task.attempt_number.to_string(),
            task.worker_pid.map_or_else(String::new, |pid| pid.to_string()),
            since(task.started_at()),
        ]
    });
    let titles = ["NAME", "JOB", "ATTEMPT", "PID", "RUNS FOR"];
    print_table("RUNNING TASKS", &titles, rows, tasks.truncated);
    Ok(())
}

fn print_serve_applications(client: &RayClient) -> Result<(), ClientError> {
    let applications = match client.list_serve_applications() {
        Err(error) if error.status() == 501 => return Ok(()),
        applications => applications?,
    };
    let rows = applications.iter().map(|application| {
        let replicas: usize =
            application.deployments.values().map(|deployment| deployment.replicas.len()).sum();
        vec![
            application.name.clone(),
            application.status.to_string(),
            application.route_prefix.clone().unwrap_or_default(),
            replicas.to_string(),
        ]
    });
    print_table("SERVE APPLICATIONS", &["NAME", "STATUS", "ROUTE", "REPLICAS"], rows, false);
    Ok(())
}

fn since(time: Option<SystemTime>) -> String {
    let elapsed = time.and_then(|time| time.elapsed().ok());
    elapsed.map_or_else(String::new, |elapsed| format!("{} s", elapsed.as_secs()))
}

fn print_table(
    name: &str,
    titles: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    truncated: bool,
) {
    let rows: Vec<_> =
        std::iter::once(titles.iter().map(ToString::to_string).collect()).chain(rows).collect();
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..titles.len()).map(width).collect();
    println!("\n{name}{}", if truncated { " (incomplete)" } else { "" });
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        println!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
