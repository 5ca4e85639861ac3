//! Serve: what it runs, and calls to read and change that. One route has the state of all
//! applications, so that a change of one is made by reading and writing all ([`one_application`]).

mod calls;
mod config;
mod deadline;
mod details;
mod name;
mod one_application;
mod raw_json;
mod redacted;
mod route;
mod state;
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

/// Compiles the code of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../docs/serve.md")]
struct Guide;
