//! Deploys a file of `serve build`, waits until all applications run, and goes back to what was there
//! before if one fails: `cargo run --example serve_deploy -- serve.yaml`.
//!
//! The cluster is that of `RAY_API_SERVER_ADDRESS` or `RAY_ADDRESS`. The file is the whole state:
//! applications that it does not have are deleted.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use ray_client::{RayClient, ServeConfig};

const TIMEOUT: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: serve_deploy FILE")?;
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let new: ServeConfig =
        serde_norway::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
    let client = RayClient::from_env()?;
    let before = client.get_serve_details()?;
    let Err(error) = deploy(&client, &new) else {
        return Ok(());
    };
    if !before.is_running() {
        return Err(error.into());
    }
    eprintln!("{error}; going back to the configuration before");
    deploy(&client, &before.config())?;
    Err(format!("{path} is not deployed").into())
}

fn deploy(client: &RayClient, config: &ServeConfig) -> Result<(), ray_client::ClientError> {
    client.deploy_serve_applications(config)?;
    for application in client.wait_for_serve_applications(TIMEOUT)? {
        let route = application.route_prefix.as_deref().unwrap_or("no route");
        println!("{} {} ({route})", application.name, application.status);
    }
    Ok(())
}
