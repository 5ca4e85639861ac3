//! Deploys a Serve application, lists all applications, and deletes it: `cargo run --example serve`.
//!
//! Uses the cluster of `RAY_ADDRESS` if that is set; pass the import path of an application that its nodes
//! can import. Otherwise it starts a local Ray, which needs only Python 3, and shuts it down at the end.

#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::time::{Duration, Instant};

use ray_client::{RayClient, ServeApplicationConfig, ServeConfig};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let import_path = std::env::args().nth(1).unwrap_or_else(|| "serve_apps:echo".to_owned());
    let local;
    let client = if std::env::var_os("RAY_ADDRESS").is_some() {
        RayClient::from_env()?
    } else {
        let path = concat!("PYTHONPATH=", env!("CARGO_MANIFEST_DIR"), "/tests/support");
        local = support::Head::start(&["--env", path]);
        local.client()
    };
    if !client.get_serve_details()?.is_running() {
        // By default, Serve listens on every interface of the machine.
        let http_options = json!({"host": "127.0.0.1", "port": 0}).as_object().cloned();
        let empty = ServeConfig { http_options, ..ServeConfig::default() };
        client.deploy_serve_applications(&empty)?;
    }

    let application = ServeApplicationConfig::new("example", import_path)
        .route_prefix("/example")
        .args(json!({"greeting": "hello"}));
    let start = Instant::now();
    client.deploy_serve_application(&application)?;
    client.wait_for_serve_application("example", Duration::from_secs(120))?;
    println!("example is running after {:.1?}", start.elapsed());

    for application in client.list_serve_applications()? {
        println!("{} {} {:?}", application.name, application.status, application.route_prefix);
        for deployment in application.deployments.values() {
            for replica in &deployment.replicas {
                println!("  {} {} {}", deployment.name, replica.replica_id, replica.state);
            }
        }
    }

    client.delete_serve_application("example")?;
    println!("deleted");
    Ok(())
}
