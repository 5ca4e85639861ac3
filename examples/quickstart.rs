//! Submits a job and follows its log to the end: `cargo run --example quickstart`.
//!
//! Uses the cluster of `RAY_ADDRESS` if that is set. Otherwise it starts a local Ray, which needs only
//! Python 3, and shuts it down at the end.

#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::time::{Duration, SystemTime};

use ray_client::JobSubmission;

const PROGRAM: &str =
    "import time\nfor n in range(20):\n    print(time.time(), flush=True)\n    time.sleep(0.2)";

fn main() -> Result<(), Box<dyn Error>> {
    let (client, _local) = support::cluster()?;
    println!("Ray {}", client.version()?.ray_version);

    let id = client.submit_job(&JobSubmission::new(format!("python -c '{PROGRAM}'")))?;
    println!("submitted {id}");
    for line in client.follow_job_logs(&id)? {
        let line = line?;
        match line.parse::<f64>() {
            Ok(written) => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
                println!("{line}  (received after {:.0} ms)", (now.as_secs_f64() - written) * 1e3);
            }
            Err(_) => println!("{line}"),
        }
    }

    let job = client.wait_for_job(&id, Duration::from_secs(60))?;
    println!("{id} {} after {:.1?}", job.status, job.duration().unwrap_or_default());
    Ok(())
}
