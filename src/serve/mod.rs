//! Ray Serve: calls that deploy, inspect, scale and delete applications.
//!
//! [`RayClient`](crate::RayClient) has the calls. A [`ServeApplicationConfig`] is the desired state
//! of one application; a [`ServeConfig`] is the desired state of all, as `serve build` writes it.
//! [`ServeApplication`] and [`ServeDetails`] are the state that Serve reports.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use ray_client::{RayClient, ServeApplicationConfig};
//!
//! let client = RayClient::new("http://127.0.0.1:8265")?;
//! client.deploy_serve_application(&ServeApplicationConfig::new("app", "main:app"))?;
//! let app = client.wait_for_serve_application("app", Duration::from_secs(300))?;
//! println!("{} {}", app.name, app.status);
//! # Ok::<(), ray_client::ClientError>(())
//! ```
//!
//! The guide's chapter is [Serve](crate::guide::serve).

// Ray has one route for the state of all applications. To change one, `one_application.rs` reads and
// writes all.

mod calls;
mod config;
mod deadline;
mod details;
mod name;
mod one_application;
mod raw_json;
mod raw_state;
mod redacted;
mod route;
#[cfg(test)]
mod tests;
mod waiting;
#[cfg(test)]
mod yaml_tests;

pub use config::{ServeApplicationConfig, ServeConfig, ServeDeploymentConfig, ServeProxyLocation};
pub use details::{
    ServeActor, ServeApplication, ServeApplicationStatus, ServeDeployment, ServeDeploymentStatus,
    ServeDetails, ServeProxy, ServeProxyStatus, ServeReplica, ServeReplicaState, ServeSource,
};
