//! The library against a real Ray, which all tests of this program share.

#[path = "../support/mod.rs"]
mod support;

mod following_logs;
mod limiting_tails;
mod serving;
mod submitting_jobs;

use ray_client::{Job, JobSubmission, RayClient};
use std::time::Duration;

fn client() -> RayClient {
    support::Head::shared().client()
}

/// Submits a job that runs this Python program.
fn submit(client: &RayClient, program: &str) -> String {
    client.submit_job(&python(program)).unwrap()
}

fn python(program: &str) -> JobSubmission {
    JobSubmission::new(format!("python -c '{program}'"))
}

fn finish(client: &RayClient, id: &str) -> Job {
    client.wait_for_job(id, Duration::from_secs(120)).unwrap()
}
