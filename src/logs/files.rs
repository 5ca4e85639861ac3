//! The log files of nodes, actors, tasks and workers.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::feed::{Interrupt, Step};
use super::file_reader::FileReader;
use super::whole::{read_whole, text};
use super::worker::{Progress, Worker};
use super::{LogTail, TailOptions};
use crate::transport::{Http, Request, path};
use crate::{ClientError, Listing, RayClient, Version, validate};

/// Which log file: one of a node by its name, or the output of an actor, a task or a worker process.
///
/// ```
/// use ray_client::LogFile;
///
/// let raylet = LogFile::of_node("b726c135", "raylet.out");
/// let errors = LogFile::of_actor("efd96ebc4206fcd1c5316e7902000000").stderr();
/// ```
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    source: Source,
    stderr: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Node { node_id: String, name: String },
    Actor(String),
    Task { task_id: String, attempt_number: u32 },
    Worker { node_id: String, pid: u32 },
}

impl LogFile {
    fn new(source: Source) -> Self {
        Self { source, stderr: false }
    }

    /// A file of this node, by its name as [`RayClient::list_log_files`] gives it.
    pub fn of_node(node_id: impl Into<String>, name: impl Into<String>) -> Self {
        Self::new(Source::Node { node_id: node_id.into(), name: name.into() })
    }

    /// What an actor writes to its standard output.
    pub fn of_actor(actor_id: impl Into<String>) -> Self {
        Self::new(Source::Actor(actor_id.into()))
    }

    /// What one attempt of a task, counted from 0, writes to its standard output. Ray knows this for
    /// normal tasks, not for those of actors.
    pub fn of_task(task_id: impl Into<String>, attempt_number: u32) -> Self {
        Self::new(Source::Task { task_id: task_id.into(), attempt_number })
    }

    /// What the worker with this process id on this node writes to its standard output.
    pub fn of_worker(node_id: impl Into<String>, pid: u32) -> Self {
        Self::new(Source::Worker { node_id: node_id.into(), pid })
    }

    /// The standard error instead. A file of a node is named whole, and takes no such choice (400).
    pub fn stderr(mut self) -> Self {
        self.stderr = true;
        self
    }

    fn check(&self) -> Result<(), ClientError> {
        match &self.source {
            Source::Node { node_id, name } => {
                validate::hex_id("node_id", node_id)?;
                validate::file_name(name)?;
                if self.stderr {
                    return Err(ClientError::invalid(format_args!(
                        "log file {name}: standard error is a file of its own: name that one"
                    )));
                }
                Ok(())
            }
            Source::Actor(id) => validate::hex_id("actor_id", id),
            Source::Task { task_id, .. } => validate::hex_id("task_id", task_id),
            Source::Worker { node_id, .. } => validate::hex_id("node_id", node_id),
        }
    }

    /// For messages.
    fn name(&self) -> String {
        let stream = if self.stderr { "stderr" } else { "stdout" };
        match &self.source {
            Source::Node { node_id, name } => format!("log file `{name}` of node `{node_id}`"),
            Source::Actor(id) => format!("{stream} of actor `{id}`"),
            Source::Task { task_id, attempt_number } => {
                format!("{stream} of task `{task_id}`, attempt {attempt_number}")
            }
            Source::Worker { node_id, pid } => {
                format!("{stream} of worker {pid} of node `{node_id}`")
            }
        }
    }

    fn check_exists(&self, http: &Http, what: &str) -> Result<(), ClientError> {
        match &self.source {
            Source::Node { node_id, name } => check_exists(http, what, node_id, name),
            // Ray looks for the others itself.
            _ => Ok(()),
        }
    }

    fn request(&self, what: &str) -> Request {
        let request = Request::get(what, path(&["api", "v0", "logs", "file"])).bytes();
        let request = match &self.source {
            Source::Node { node_id, name } => {
                request.query("node_id", node_id).query("filename", name)
            }
            Source::Actor(id) => request.query("actor_id", id),
            Source::Task { task_id, attempt_number } => {
                request.query("task_id", task_id).query("attempt_number", attempt_number)
            }
            Source::Worker { node_id, pid } => request.query("node_id", node_id).query("pid", pid),
        };
        request.query("suffix", if self.stderr { "err" } else { "out" })
    }
}

/// Whether a node has this file. Ray may answer 200 and nothing for one that does not exist: its head
/// does not always see the agent's refusal (measured on Ray 2.60.0, one time in four).
pub(super) fn check_exists(
    http: &Http,
    what: &str,
    node_id: &str,
    name: &str,
) -> Result<(), ClientError> {
    let exactly: String = name
        .chars()
        .map(|c| if matches!(c, '*' | '?' | '[') { format!("[{c}]") } else { c.to_string() })
        .collect();
    match list_names(http, what, node_id, &exactly) {
        Ok(names) if names.values().flatten().any(|found| found == name) => Ok(()),
        Ok(_) => Err(ClientError::not_found(format_args!("{what}: the node has no such file"))),
        // Said of a node that does not exist. The read of the file says it in words.
        Err(ClientError::Rejected { status: 500, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The log files of a node by component.
fn list_names(
    http: &Http,
    what: &str,
    node_id: &str,
    glob: &str,
) -> Result<BTreeMap<String, Vec<String>>, ClientError> {
    let request = Request::get(what, path(&["api", "v0", "logs"]));
    let request = request.query("node_id", node_id).query("glob", glob);
    Ok(http.send(&request)?.json::<Names>()?.data.result)
}

/// The name of a log file of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct LogFileName {
    /// What wrote it, in Ray's own grouping: `raylet`, `gcs_server`, `worker_out`, `internal`, …
    pub component: String,
    /// Its path below the node's log folder, as [`LogFile::of_node`] takes it. One that ends in `/` is
    /// a folder.
    pub name: String,
}

#[derive(Deserialize)]
struct Names {
    data: NamesData,
}

#[derive(Deserialize)]
struct NamesData {
    result: BTreeMap<String, Vec<String>>,
}

impl RayClient {
    /// The log files of a node whose names match a glob, as `*.out` or `worker*`, sorted by component
    /// and name. Calls `GET /api/v0/logs`.
    ///
    /// # Errors
    /// 404 where there is no such node; 400 where the id is not hex, or the glob is empty, absolute or
    /// has `..`; 500 where the node has died; else as [`list_nodes_with`](Self::list_nodes_with).
    pub fn list_log_files(
        &self,
        node_id: impl AsRef<str>,
        glob: &str,
    ) -> Result<Listing<LogFileName>, ClientError> {
        let node_id = node_id.as_ref();
        validate::hex_id("node_id", node_id)?;
        validate::glob(glob)?;
        let what = format!("list log files of node `{node_id}`");
        let names = match list_names(self.http(), &what, node_id, glob) {
            Ok(names) => names,
            // Ray answers so, without a word, for a node that does not exist (measured on Ray 2.60.0).
            Err(error @ ClientError::Rejected { status: 500, .. }) => {
                self.get_node(node_id)?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for (component, names) in names {
            files.extend(
                names.into_iter().map(|name| LogFileName { component: component.clone(), name }),
            );
        }
        files.sort();
        Ok(Listing::complete(files))
    }

    /// A log file as it stands. Bytes that are not UTF-8 become U+FFFD. Calls
    /// `GET /api/v0/logs/file`, and `GET /api/version`, since it needs Ray 2.45 or newer.
    ///
    /// # Errors
    /// 404 where there is no such file, node, actor, task, attempt or worker; 400 where an id is not hex
    /// or the Ray is older; 500 where the file is larger than 256 MiB: [tail](Self::tail_log_file) it;
    /// 503 where a proxy leaves open where the answer ends, and it came differently each of four
    /// times; else as [`list_nodes_with`](Self::list_nodes_with).
    pub fn read_log_file(&self, file: &LogFile) -> Result<String, ClientError> {
        file.check()?;
        let what = format!("read {}", file.name());
        check_version(&what, &self.version()?)?;
        let request = file.request(&what).query("lines", -1).unhurried();
        let content = read_whole(self.http(), &request).map_err(absent)?;
        if content.is_empty() {
            file.check_exists(self.http(), &what)?;
        }
        Ok(text(content))
    }

    /// Tails a log file with default options; see
    /// [`tail_log_file_with`](Self::tail_log_file_with).
    ///
    /// # Errors
    /// As [`tail_log_file_with`](Self::tail_log_file_with).
    pub fn tail_log_file(&self, file: &LogFile) -> Result<LogTail, ClientError> {
        self.tail_log_file_with(file, TailOptions::default())
    }

    /// Tails a log file from its start, or from where the options say. Nothing tells when such a file
    /// is complete, so that the tail never ends well: it goes on until it is dropped, or ends with 408
    /// when nothing was written for the stream timeout. Calls `GET /api/version` and
    /// `GET /api/v0/logs/file`, again and again; the [protocol](TailOptions::protocol) has no meaning.
    ///
    /// A file that became shorter, as Ray's own logs do when they are rotated, ends it with 503.
    ///
    /// # Errors
    /// 400 where an id is not hex or an option is not valid, 429 where no worker became free. From the
    /// iterator, as of [`LogTail`], and 404 where there is no such file, node, actor, task, attempt or
    /// worker.
    pub fn tail_log_file_with(
        &self,
        file: &LogFile,
        options: TailOptions,
    ) -> Result<LogTail, ClientError> {
        file.check()?;
        let what = format!("tail {}", file.name());
        let reader = FileReader::new(file.request(&what));
        let poll_interval = options.poll_interval;
        let mut last_lines = options.last_lines;
        let file = file.clone();
        self.tail(what, options, move |worker| {
            worker.run(|worker| {
                first_contact(worker, &file)?;
                if let Some(lines) = last_lines {
                    let position = reader.start_of_last_lines(worker, lines).map_err(gone)?;
                    worker.feed.begin_at(position)?;
                    last_lines = None;
                }
                match reader.follow(worker, poll_interval, |_| Ok(false)) {
                    // A file that was there is not expected to vanish for good.
                    Err(cause) if !worker.feed.has_delivered() => Err(gone(cause)),
                    other => other.map(|()| Progress::Again),
                }
            })
        })
    }
}

fn first_contact(worker: &Worker, file: &LogFile) -> Step<()> {
    let request = Request::get("version", path(&["api", "version"]));
    let version = worker.http.send(&request).and_then(|answer| answer.json::<Version>());
    let version = version.map_err(Interrupt::of)?;
    check_version(&worker.what, &version).map_err(Interrupt::Fatal)?;
    file.check_exists(&worker.http, &worker.what).map_err(Interrupt::of)
}

fn check_version(what: &str, version: &Version) -> Result<(), ClientError> {
    if version.has_plain_log_streams() {
        return Ok(());
    }
    Err(ClientError::invalid(format_args!(
        "{what}: needs Ray 2.45 or newer, whose log streams are the plain bytes; this cluster runs {}",
        version.ray_version
    )))
}

/// Ray answers 500 for every file that it does not find.
fn absent(error: ClientError) -> ClientError {
    const MARKS: [&str; 4] = ["not found", "Could not find", "doesn't exist", "is not supported"];
    match error {
        ClientError::Rejected { status: 500, message, .. }
            if MARKS.iter().any(|mark| message.contains(mark)) =>
        {
            ClientError::not_found(message)
        }
        error => error,
    }
}

fn gone(cause: Interrupt) -> Interrupt {
    match cause {
        Interrupt::Broken(error) => Interrupt::of(absent(error)),
        cause => cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_log_file_is_refused_before_anything_is_sent() {
        let client = RayClient::new("http://127.0.0.1:9").unwrap();
        for bad in [
            LogFile::of_node("", "raylet.out"),
            LogFile::of_node("xyz", "raylet.out"),
            LogFile::of_node("ab", ""),
            LogFile::of_node("ab", "raylet\n.out"),
            LogFile::of_node("ab", "../raylet.out"),
            LogFile::of_node("ab", "raylet.out").stderr(),
            LogFile::of_actor("no hex"),
            LogFile::of_task("abc", 0),
            LogFile::of_worker("", 1),
        ] {
            assert_eq!(client.read_log_file(&bad).unwrap_err().status(), 400, "{bad:?}");
            assert_eq!(client.tail_log_file(&bad).unwrap_err().status(), 400, "{bad:?}");
        }
        for bad in ["", "/tmp/*", "../*", "a/../b"] {
            assert_eq!(client.list_log_files("ab", bad).unwrap_err().status(), 400, "{bad:?}");
        }
    }
}
