//! A log file of a node, an actor, a task or a worker: its name and the requests for it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::request_context::{AgentLocation, RequestContext};
use super::source::{TailError, TailResult};
use crate::rejection_kind::RejectionKind;
use crate::transport::{Http, Request, path};
use crate::{ClientError, validate};

/// Names a log file: a file of a node, or the output of an actor, a task or a worker process.
///
/// ```
/// use ray_client::logs::LogFile;
///
/// let raylet = LogFile::of_node("b726c135", "raylet.out");
/// let errors = LogFile::of_actor("efd96ebc4206fcd1c5316e7902000000").stderr();
/// ```
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    selector: Selector,
    stderr: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Selector {
    Node { node_id: String, name: String },
    Actor(String),
    Task { task_id: String, attempt_number: u32 },
    Worker { node_id: String, pid: u32 },
}

impl LogFile {
    fn new(selector: Selector) -> Self {
        Self { selector, stderr: false }
    }

    /// Names a file of a node. [`list_log_files`](crate::RayClient::list_log_files) returns the names.
    pub fn of_node(node_id: impl Into<String>, name: impl Into<String>) -> Self {
        Self::new(Selector::Node { node_id: node_id.into(), name: name.into() })
    }

    /// Names the standard output of an actor. Needs Ray 2.45 or newer; before, reading it fails with 503.
    pub fn of_actor(actor_id: impl Into<String>) -> Self {
        Self::new(Selector::Actor(actor_id.into()))
    }

    /// Names the standard output of one attempt of a task. Attempts count from 0. Ray has this output only
    /// for normal tasks, not for actor tasks. Needs Ray 2.45 or newer; before, reading it fails with 503.
    pub fn of_task(task_id: impl Into<String>, attempt_number: u32) -> Self {
        Self::new(Selector::Task { task_id: task_id.into(), attempt_number })
    }

    /// Names the standard output of the worker with this process id on a node.
    pub fn of_worker(node_id: impl Into<String>, pid: u32) -> Self {
        Self::new(Selector::Worker { node_id: node_id.into(), pid })
    }

    /// Selects standard error instead of standard output. Calls return 400 if this is a file of a node.
    pub fn stderr(mut self) -> Self {
        self.stderr = true;
        self
    }

    pub(super) fn check(&self) -> Result<(), ClientError> {
        match &self.selector {
            Selector::Node { node_id, name } => {
                validate::hex_id("node_id", node_id)?;
                validate::file_name(name)?;
                if self.stderr {
                    return Err(ClientError::invalid(format_args!(
                        "log file {name}: standard error is a separate file: use its name"
                    )));
                }
                Ok(())
            }
            Selector::Actor(id) => validate::hex_id("actor_id", id),
            Selector::Task { task_id, .. } => validate::hex_id("task_id", task_id),
            Selector::Worker { node_id, .. } => validate::hex_id("node_id", node_id),
        }
    }

    /// Returns the name for error messages.
    pub(super) fn name(&self) -> String {
        let stream = if self.stderr { "stderr" } else { "stdout" };
        match &self.selector {
            Selector::Node { node_id, name } => format!("log file `{name}` of node `{node_id}`"),
            Selector::Actor(id) => format!("{stream} of actor `{id}`"),
            Selector::Task { task_id, attempt_number } => {
                format!("{stream} of task `{task_id}`, attempt {attempt_number}")
            }
            Selector::Worker { node_id, pid } => {
                format!("{stream} of worker {pid} of node `{node_id}`")
            }
        }
    }

    pub(super) fn check_exists(&self, http: &Http, operation: &str) -> Result<(), ClientError> {
        match &self.selector {
            Selector::Node { node_id, name } => check_exists(http, operation, node_id, name),
            // For the others, Ray reports a missing file itself.
            _ => Ok(()),
        }
    }

    /// Returns where the node's agent should serve the file, or `None` if this is unknown.
    pub(super) fn find_agent(&self, context: &RequestContext) -> TailResult<Option<AgentLocation>> {
        let (node_id, name) = match &self.selector {
            Selector::Node { node_id, name } => (node_id.clone(), name.clone()),
            Selector::Worker { node_id, pid } => {
                let suffix = if self.stderr { "err" } else { "out" };
                let pattern = format!("worker-*-{pid}.{suffix}");
                let names = list_names(&context.http, &context.operation, node_id, &pattern);
                let Ok(names) = names else { return Ok(None) };
                let mut names = names.into_values().flatten();
                match (names.next(), names.next()) {
                    (Some(name), None) => (node_id.clone(), name),
                    _ => return Ok(None),
                }
            }
            // Only Ray knows which part of which file these are.
            Selector::Actor(_) | Selector::Task { .. } => return Ok(None),
        };
        let request = Request::get(&context.operation, path(&["nodes", &node_id]));
        match context
            .send(request)
            .and_then(|response| response.json().map_err(TailError::classify))
        {
            Ok(node) => Ok(agent_address(&node).and_then(|at| AgentLocation::new(&at, &name))),
            Err(TailError::Cancelled) => Err(TailError::Cancelled),
            Err(_) => Ok(None),
        }
    }

    pub(super) fn request(&self, operation: &str) -> Request {
        let request = Request::get(operation, path(&["api", "v0", "logs", "file"])).bytes();
        let request = match &self.selector {
            Selector::Node { node_id, name } => {
                request.query("node_id", node_id).query("filename", name)
            }
            Selector::Actor(id) => request.query("actor_id", id),
            Selector::Task { task_id, attempt_number } => {
                request.query("task_id", task_id).query("attempt_number", attempt_number)
            }
            Selector::Worker { node_id, pid } => {
                request.query("node_id", node_id).query("pid", pid)
            }
        };
        request.query("suffix", if self.stderr { "err" } else { "out" })
    }
}

/// Fails with 404 if the node has no such file.
///
/// For a file that does not exist, Ray may respond with 200 and an empty body, because its head does not
/// always see the agent's error (measured with Ray 2.60.0, one time in four).
pub(super) fn check_exists(
    http: &Http,
    operation: &str,
    node_id: &str,
    name: &str,
) -> Result<(), ClientError> {
    let glob: String = name
        .chars()
        .map(|c| if matches!(c, '*' | '?' | '[') { format!("[{c}]") } else { c.to_string() })
        .collect();
    match list_names(http, operation, node_id, &glob) {
        Ok(names) if names.values().flatten().any(|found| found == name) => Ok(()),
        Ok(_) => {
            Err(ClientError::not_found(format_args!("{operation}: the node has no such file")))
        }
        // Ray's response for a node that does not exist. The request for the file gets a better message.
        Err(ClientError::Rejected { status: 500, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Lists the log files of a node by component.
pub(super) fn list_names(
    http: &Http,
    operation: &str,
    node_id: &str,
    glob: &str,
) -> Result<BTreeMap<String, Vec<String>>, ClientError> {
    let request = Request::get(operation, path(&["api", "v0", "logs"]));
    let request = request.query("node_id", node_id).query("glob", glob);
    Ok(http.send(&request)?.json::<Names>()?.data.result)
}

/// Returns the address of a node's agent from the response of `GET /nodes/{node_id}`.
///
/// Newer Rays report the port. Older ones report the agent's command line, which contains it (measured
/// with Ray 2.60.0 and 2.9.3).
fn agent_address(response: &serde_json::Value) -> Option<String> {
    const DEFAULT_PORT: u64 = 52365;
    let node = &response["data"]["detail"];
    let ip = node["raylet"]["nodeManagerAddress"].as_str().or(node["ip"].as_str())?;
    let reported = node["raylet"]["dashboardAgentListenPort"].as_u64().filter(|port| *port > 0);
    let arguments = node["agent"]["cmdline"].as_array().into_iter().flatten();
    let from_command_line = arguments
        .filter_map(|argument| argument.as_str()?.strip_prefix("--listen-port="))
        .find_map(|port| port.parse().ok());
    let port = reported.or(from_command_line).unwrap_or(DEFAULT_PORT);
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    Some(format!("http://{host}:{port}"))
}

#[derive(Deserialize)]
struct Names {
    data: NamesData,
}

#[derive(Deserialize)]
struct NamesData {
    result: BTreeMap<String, Vec<String>>,
}

/// Applies [`explain_file_error`] to the error of a tail.
pub(super) fn explain_tail_error(cause: TailError) -> TailError {
    match cause {
        TailError::Broken(error) => TailError::classify(explain_file_error(error)),
        cause => cause,
    }
}

/// Turns an error for a file that does not exist into 404. Ray responds with 500.
pub(super) fn explain_file_error(error: ClientError) -> ClientError {
    if error.rejection_kind() == RejectionKind::NoSuchLog {
        ClientError::not_found(error)
    } else {
        error
    }
}
