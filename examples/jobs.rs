//! Lists the jobs of a cluster, or stops one: `cargo run --example jobs [-- stop <job id>]`.

use std::error::Error;

use ray_client::RayClient;

fn main() -> Result<(), Box<dyn Error>> {
    let client = RayClient::from_env()?;
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => list(&client)?,
        ["stop", id] => {
            let outcome = client.stop_job(id)?;
            println!("{} is {}", outcome.job_id, outcome.status);
        }
        _ => return Err("usage: jobs [stop <job id>]".into()),
    }
    Ok(())
}

fn list(client: &RayClient) -> Result<(), ray_client::ClientError> {
    for job in client.list_jobs()? {
        let took = job.duration().map(|took| format!("{took:.1?}")).unwrap_or_default();
        println!("{:28} {:10} {took:>10}  {}", job.id(), job.status.as_str(), job.entrypoint);
    }
    Ok(())
}
