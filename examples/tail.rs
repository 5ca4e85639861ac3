//! Tails the log of a job with options: `cargo run --example tail -- <job id> [auto|stream|websocket]`.

use std::error::Error;
use std::time::Duration;

use ray_client::{RayClient, StreamLimits, TailOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let id = args.next().ok_or("usage: tail <job id> [auto|stream|websocket]")?;
    let protocol = args.next().as_deref().unwrap_or("auto").parse()?;

    let client = RayClient::from_env()?;
    let options = TailOptions::default()
        .protocol(protocol)
        .stream_timeout(Duration::from_secs(300))
        .limits(StreamLimits::unlimited());
    let mut tail = client.tail_job_logs_with(&id, options)?;
    for line in &mut tail {
        println!("{}", line?);
    }
    eprintln!("{} bytes, then {}", tail.position(), client.get_job(&id)?.status);
    Ok(())
}
