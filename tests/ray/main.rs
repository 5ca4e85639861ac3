//! The library against a real Ray, which all tests of this program share.

#[path = "../support/mod.rs"]
mod support;

mod following_logs;
mod limiting_tails;
mod looking_at_the_cluster;
mod reading_log_files;
mod serving;
mod submitting_jobs;

use std::time::Duration;

use ray_client::{Job, JobSubmission, Protocol, RayClient, StreamLimits, TailOptions};

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

/// For tails that are to end by themselves, also on a busy machine.
fn patient(protocol: Protocol) -> TailOptions {
    TailOptions::default()
        .protocol(protocol)
        .limits(StreamLimits::unlimited())
        .stream_timeout(Duration::from_secs(300))
}

fn finish(client: &RayClient, id: &str) -> Job {
    client.wait_for_job(id, Duration::from_secs(120)).unwrap()
}
