//! Follows many jobs at once, and shows the last lines of each when it ends:
//! `cargo run --example follow_many -- <job id>…`, or without ids all jobs that are not over.

use std::error::Error;
use std::thread;

use ray_client::{ClientBuilder, RayClient, TailOptions};

const MOST: usize = 20;
const LINES_SHOWN: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    // A worker for each tail.
    let client = ClientBuilder::from_env()?.tail_workers(MOST).build()?;
    let mut ids: Vec<String> = std::env::args().skip(1).collect();
    if ids.is_empty() {
        let jobs = client.list_jobs()?;
        let running = jobs.iter().filter(|job| !job.status.is_terminal());
        ids = running.map(|job| job.id().to_owned()).collect();
    }
    if ids.is_empty() {
        eprintln!("no job is PENDING or RUNNING");
    }
    if ids.len() > MOST {
        eprintln!("following the first {MOST} of {} jobs", ids.len());
        ids.truncate(MOST);
    }
    thread::scope(|scope| {
        for id in &ids {
            let client = &client;
            scope.spawn(move || {
                if let Err(error) = follow(client, id) {
                    eprintln!("{id}: {error}");
                }
            });
        }
    });
    Ok(())
}

/// Waits until a job is over, and prints its last lines.
fn follow(client: &RayClient, id: &str) -> Result<(), ray_client::ClientError> {
    let options = TailOptions::until_done().last_lines(LINES_SHOWN);
    let mut last_lines = Vec::new();
    for line in client.tail_job_logs_with(id, options)? {
        if last_lines.len() == LINES_SHOWN {
            last_lines.remove(0);
        }
        last_lines.push(line?.into_string());
    }
    let job = client.get_job(id)?;
    let took = job.duration().unwrap_or_default();
    println!("{id} {} after {took:.1?}\n  {}", job.status, last_lines.join("\n  "));
    if let Some(reason) = job.reason() {
        println!("  {reason}");
    }
    Ok(())
}
