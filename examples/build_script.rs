//! How a `build.rs` or any other plain program runs a job on a cluster and fails with it:
//! `RAY_ADDRESS=http://127.0.0.1:8265 cargo run --example build_script`.

use std::error::Error;
use std::process::ExitCode;

use ray_client::{JobStatus, JobSubmission, RayClient};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let client = RayClient::from_env()?;
    let submission = JobSubmission::new("python -c 'print(\"weights are ready\")'")
        .metadata("started_by", "build script");
    let id = client.submit_job(&submission)?;

    for line in client.follow_job_logs(&id)? {
        // A build script prints `cargo::warning={line}`.
        println!("{}", line?);
    }

    let job = client.get_job(&id)?;
    if job.status == JobStatus::Succeeded {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{id} {}: {}", job.status, job.reason().unwrap_or_default());
    Ok(ExitCode::FAILURE)
}
