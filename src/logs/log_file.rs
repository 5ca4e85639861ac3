//! A log file of a node, an actor, a task or a worker: which it is, and how it is asked for.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::request_context::{AgentLocation, RequestContext};
use super::source::{TailError, TailResult};
use crate::rejection_kind::RejectionKind;
use crate::transport::{Http, Request, path};
use crate::{ClientError, validate};

/// Which log file: one of a node by its name, or the output of an actor, a task or a worker process.
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

    /// A file of this node, by its name as [`list_log_files`](crate::RayClient::list_log_files) gives it.
    pub fn of_node(node_id: impl Into<String>, name: impl Into<String>) -> Self {
        Self::new(Selector::Node { node_id: node_id.into(), name: name.into() })
    }

    /// What an actor writes to its standard output.
    pub fn of_actor(actor_id: impl Into<String>) -> Self {
        Self::new(Selector::Actor(actor_id.into()))
    }

    /// What one attempt of a task, counted from 0, writes to its standard output. Ray knows this for
    /// normal tasks, not for those of actors.
    pub fn of_task(task_id: impl Into<String>, attempt_number: u32) -> Self {
        Self::new(Selector::Task { task_id: task_id.into(), attempt_number })
    }

    /// What the worker with this process id on this node writes to its standard output.
    pub fn of_worker(node_id: impl Into<String>, pid: u32) -> Self {
        Self::new(Selector::Worker { node_id: node_id.into(), pid })
    }

    /// The standard error instead. A file of a node is named whole, and takes no such choice (400).
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
                        "log file {name}: standard error is a file of its own: name that one"
                    )));
                }
                Ok(())
            }
            Selector::Actor(id) => validate::hex_id("actor_id", id),
            Selector::Task { task_id, .. } => validate::hex_id("task_id", task_id),
            Selector::Worker { node_id, .. } => validate::hex_id("node_id", node_id),
        }
    }

    /// For messages.
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
            // Ray looks for the others itself.
            _ => Ok(()),
        }
    }

    /// Where the node's agent should serve the file. `None` if that cannot be told.
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
            // Ray itself knows where in which file these are.
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

/// Whether a node has this file. Ray may answer 200 and nothing for one that does not exist: its head
/// does not always see the agent's refusal (measured on Ray 2.60.0, one time in four).
pub(super) fn check_exists(
    http: &Http,
    operation: &str,
    node_id: &str,
    name: &str,
) -> Result<(), ClientError> {
    let exactly: String = name
        .chars()
        .map(|c| if matches!(c, '*' | '?' | '[') { format!("[{c}]") } else { c.to_string() })
        .collect();
    match list_names(http, operation, node_id, &exactly) {
        Ok(names) if names.values().flatten().any(|found| found == name) => Ok(()),
        Ok(_) => {
            Err(ClientError::not_found(format_args!("{operation}: the node has no such file")))
        }
        // Said of a node that does not exist. The read of the file says it in words.
        Err(ClientError::Rejected { status: 500, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The log files of a node by component.
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

/// The address of a node's agent, of what `GET /nodes/{node_id}` says. Newer Rays say the port; older
/// ones show the command line that started the agent (measured on Ray 2.60.0 and 2.9.3).
fn agent_address(response: &serde_json::Value) -> Option<String> {
    const DEFAULT_PORT: u64 = 52365;
    let node = &response["data"]["detail"];
    let ip = node["raylet"]["nodeManagerAddress"].as_str().or(node["ip"].as_str())?;
    let told = node["raylet"]["dashboardAgentListenPort"].as_u64().filter(|port| *port > 0);
    let arguments = node["agent"]["cmdline"].as_array().into_iter().flatten();
    let started_with = arguments
        .filter_map(|argument| argument.as_str()?.strip_prefix("--listen-port="))
        .find_map(|port| port.parse().ok());
    let port = told.or(started_with).unwrap_or(DEFAULT_PORT);
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

/// What an error of a file's route means.
pub(super) fn explain(cause: TailError) -> TailError {
    match cause {
        TailError::Broken(error) => TailError::classify(absent(error)),
        cause => cause,
    }
}

/// Ray answers 500 for every file that it does not find.
pub(super) fn absent(error: ClientError) -> ClientError {
    if error.rejection_kind() == RejectionKind::NoSuchLog {
        ClientError::not_found(error)
    } else {
        error
    }
}
