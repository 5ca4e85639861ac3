//! The calls that list, read and follow the log files of nodes, actors, tasks and workers.

use serde::{Deserialize, Serialize};

use super::followed_log::FollowedLog;
use super::log_file::{LogFile, explain_file_error, list_names};
use super::options::TailOptions;
use super::request_context::{AgentLocation, RequestContext};
use super::source::TailError;
use super::tail::LogTail;
use super::whole_file::{read_whole, read_whole_by_agent, text};
use crate::transport::Request;
use crate::{ClientError, Listing, RayClient, validate};

/// The name of a log file of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogFileName {
    /// The component that wrote it, as Ray groups them: `raylet`, `gcs_server`, `worker_out`,
    /// `internal`, …
    pub component: String,
    /// The path below the node's log folder, for [`LogFile::of_node`]. A name that ends with `/` is a
    /// folder.
    pub name: String,
}

/// Log files of nodes, actors, tasks and workers.
impl RayClient {
    /// Lists the log files of a node whose names match a glob, for example `*.out` or `worker*`, sorted
    /// by component and name. Calls `GET /api/v0/logs`.
    ///
    /// ```no_run
    /// let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// for node in client.list_nodes()? {
    ///     for file in client.list_log_files(&node.node_id, "*.out")? {
    ///         println!("{}: {}", node.node_id, file.name);
    ///     }
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - 404: there is no such node
    /// - 400: the id is not hex, or the glob is empty, absolute or contains `..`
    /// - 500: the node has died
    /// - otherwise the same errors as [`list_nodes_with`](Self::list_nodes_with)
    pub fn list_log_files(
        &self,
        node_id: impl AsRef<str>,
        glob: &str,
    ) -> Result<Listing<LogFileName>, ClientError> {
        let node_id = node_id.as_ref();
        validate::hex_id("node_id", node_id)?;
        validate::glob(glob)?;
        let operation = format!("list log files of node `{node_id}`");
        let names = match list_names(self.http(), &operation, node_id, glob) {
            Ok(names) => names,
            // Ray's response for a node that does not exist has no message (measured with Ray 2.60.0).
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

    /// Returns the content of a log file so far. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// Calls `GET /api/version` and `GET /api/v0/logs/file`. Before Ray 2.45 it reads the file from the
    /// node's agent, which the client must be able to reach.
    ///
    /// ```no_run
    /// use ray_client::RayClient;
    /// use ray_client::logs::LogFile;
    ///
    /// let client = RayClient::new("http://127.0.0.1:8265")?;
    /// let errors = LogFile::of_actor("efd96ebc4206fcd1c5316e7902000000").stderr();
    /// print!("{}", client.read_log_file(&errors)?);
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - 404: there is no such file, node, actor, task, attempt or worker
    /// - 400: an id is not hex
    /// - 500: the file is larger than 256 MiB; [tail](Self::tail_log_file) it instead
    /// - 503: the file was cut off four times, or Ray is older than 2.45 and the agent is unusable
    /// - otherwise the same errors as [`list_nodes_with`](Self::list_nodes_with)
    pub fn read_log_file(&self, file: &LogFile) -> Result<String, ClientError> {
        file.check()?;
        let operation = format!("read {}", file.name());
        let content = if self.version()?.has_plain_log_streams() {
            read_whole(&self.dashboard(file.request(&operation), false))
                .map_err(explain_file_error)?
        } else {
            file.check_exists(self.http(), &operation)?;
            let (http, stall_timeout) = (self.http().clone(), self.http().read_timeout());
            let context = RequestContext { operation: operation.clone(), http, stall_timeout };
            let location = file.find_agent(&context).map_err(TailError::into_error)?;
            self.read_by_agent(location.as_ref(), file.request(&operation))
                .map_err(explain_file_error)?
        };
        if content.is_empty() {
            file.check_exists(self.http(), &operation)?;
        }
        Ok(text(content))
    }

    /// Reads a whole file from the agent, for Rays before 2.45.
    pub(super) fn read_by_agent(
        &self,
        location: Option<&AgentLocation>,
        request: Request,
    ) -> Result<Vec<u8>, ClientError> {
        let stall_timeout = self.http().read_timeout();
        // `for_tail` makes no retries, so an unreachable agent fails fast.
        let http = self.http().for_tail(stall_timeout);
        let file = location.and_then(|at| at.file(&http, self.agent_access()));
        read_whole_by_agent(file, &self.dashboard(request, true), stall_timeout)
    }

    /// Follows a log file with default options. See [`tail_log_file_with`](Self::tail_log_file_with).
    ///
    /// ```no_run
    /// use ray_client::RayClient;
    /// use ray_client::logs::LogFile;
    ///
    /// let client = RayClient::new("http://127.0.0.1:8265")?;
    /// let actor = LogFile::of_actor("efd96ebc4206fcd1c5316e7902000000");
    /// for line in client.tail_log_file(&actor)? {
    ///     println!("{}", line?);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The same errors as [`tail_log_file_with`](Self::tail_log_file_with).
    pub fn tail_log_file(&self, file: &LogFile) -> Result<LogTail, ClientError> {
        self.tail_log_file_with(file, TailOptions::default())
    }

    /// Follows a log file from its start, or from the start in `options`.
    ///
    /// Nothing marks the end of such a file. The tail runs until you drop it, or ends with 408 after the
    /// stream timeout without output. It ends with 503 if the file becomes shorter, which happens to Ray's
    /// own logs when they are rotated.
    ///
    /// Calls `GET /api/version`; for files of nodes and workers also `GET /api/v0/logs` and
    /// `GET /nodes/{id}`; and then the routes of the [`Protocol`](crate::Protocol). The WebSocket does not
    /// serve these files: `Protocol::WebSocket` reads them like `Stream`. Before Ray 2.45, only the node's
    /// agent serves them.
    ///
    /// # Errors
    ///
    /// - 400: an id is not hex, or an option is invalid
    /// - 429: no worker became free
    ///
    /// The iterator yields the errors of [`LogTail`], and 404 if there is no such file, node, actor, task,
    /// attempt or worker.
    pub fn tail_log_file_with(
        &self,
        file: &LogFile,
        options: TailOptions,
    ) -> Result<LogTail, ClientError> {
        file.check()?;
        self.tail(format!("tail {}", file.name()), FollowedLog::of_file(file), options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_log_files_are_rejected_before_sending() {
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
