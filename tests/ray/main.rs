//! Tests the client against a real Ray that all tests of this program share.

#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/mod.rs"]
mod support;

mod following_logs;
mod limiting_tails;
mod reading_log_files;
mod reading_state;
mod serving;
mod submitting_jobs;

use std::time::Duration;

use ray_client::{Job, JobSubmission, Protocol, RayClient, StreamLimits, TailOptions};

fn client() -> RayClient {
    support::Head::shared().client()
}

/// Ray writes its own lines into a job's log, the last one right after it starts the entrypoint. On
/// a busy machine, that line can follow the first line of a program that does not wait for it.
const AFTER_RAYS_LINES: &str =
    "while b\"Running entrypoint\" not in open(\"/proc/self/fd/1\", \"rb\").read(): pass";

/// Submits a job that runs this Python program.
fn submit(client: &RayClient, program: &str) -> String {
    client.submit_job(&python(program)).unwrap()
}

fn python(program: &str) -> JobSubmission {
    JobSubmission::new(format!("python -c '{AFTER_RAYS_LINES}\n{program}'"))
}

/// For tails that must end by themselves, even on a busy machine.
fn patient(protocol: Protocol) -> TailOptions {
    TailOptions::default()
        .protocol(protocol)
        .limits(StreamLimits::unlimited())
        .stream_timeout(Duration::from_secs(300))
}

fn finish(client: &RayClient, id: &str) -> Job {
    client.wait_for_job(id, Duration::from_secs(120)).unwrap()
}
