//! Follows the log of a job: `cargo run --example tail -- <job id> [auto|agent|stream|websocket]`.
//! With `--features log` and `RUST_LOG=ray_client=debug` it also shows what the client does.

use std::error::Error;
use std::io::{self, Write};

use ray_client::{RayClient, TailOptions};

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let mut args = std::env::args().skip(1);
    let id = args.next().ok_or("usage: tail <job id> [auto|agent|stream|websocket]")?;
    let protocol = args.next().as_deref().unwrap_or("auto").parse()?;

    let client = RayClient::from_env()?;
    let mut tail = client.tail_job_logs_with(&id, TailOptions::until_done().protocol(protocol))?;
    let mut out = io::stdout().lock();
    for line in &mut tail {
        // Writes the original line ending, which keeps progress bars on one line.
        let line = line?;
        write!(out, "{line}{}", line.ending().as_str())?;
        out.flush()?;
    }
    eprintln!("{} bytes, job {}", tail.position(), client.get_job(&id)?.status);
    Ok(())
}
