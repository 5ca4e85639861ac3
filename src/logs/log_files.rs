//! The log files of nodes, actors, tasks and workers: listed, read, followed.

use serde::{Deserialize, Serialize};

use super::followed_log::FollowedLog;
use super::log_file::{LogFile, absent, list_names};
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
    /// What wrote it, in Ray's own grouping: `raylet`, `gcs_server`, `worker_out`, `internal`, …
    pub component: String,
    /// Its path below the node's log folder, as [`LogFile::of_node`] takes it. One that ends in `/` is
    /// a folder.
    pub name: String,
}

/// Log files of nodes, actors, tasks and workers.
impl RayClient {
    /// The log files of a node whose names match a glob, for example `*.out` or `worker*`, sorted by
    /// component and name. Calls `GET /api/v0/logs`.
    ///
    /// # Errors
    /// 404 if there is no such node; 400 if the id is not hex, or the glob is empty, absolute or has `..`;
    /// 500 if the node has died; otherwise the same errors as
    /// [`list_nodes_with`](Self::list_nodes_with).
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
    /// `GET /api/v0/logs/file`, and `GET /api/version`: before Ray 2.45 the file is read from the node's
    /// agent, which must be reachable from here.
    ///
    /// # Errors
    /// 404 if there is no such file, node, actor, task, attempt or worker; 400 if an id is not hex; 500 if
    /// the file is larger than 256 MiB: [tail](Self::tail_log_file) it; 503 if the file came cut off four
    /// times, or if the Ray is older than 2.45 and the agent cannot be used; otherwise the same errors as
    /// [`list_nodes_with`](Self::list_nodes_with).
    pub fn read_log_file(&self, file: &LogFile) -> Result<String, ClientError> {
        file.check()?;
        let operation = format!("read {}", file.name());
        let content = if self.version()?.has_plain_log_streams() {
            read_whole(&self.dashboard(file.request(&operation), false)).map_err(absent)?
        } else {
            file.check_exists(self.http(), &operation)?;
            let (http, stall_timeout) = (self.http().clone(), self.http().read_timeout());
            let context = RequestContext { operation: operation.clone(), http, stall_timeout };
            let location = file.find_agent(&context).map_err(TailError::into_error)?;
            self.read_by_agent(location.as_ref(), file.request(&operation)).map_err(absent)?
        };
        if content.is_empty() {
            file.check_exists(self.http(), &operation)?;
        }
        Ok(text(content))
    }

    /// A whole file of a Ray before 2.45.
    pub(super) fn read_by_agent(
        &self,
        location: Option<&AgentLocation>,
        request: Request,
    ) -> Result<Vec<u8>, ClientError> {
        let stall_timeout = self.http().read_timeout();
        // An agent that cannot be reached is not tried again.
        let http = self.http().for_tail(stall_timeout);
        let file = location.and_then(|at| at.file(&http, self.agent_access()));
        read_whole_by_agent(file, &self.dashboard(request, true), stall_timeout)
    }

    /// Tails a log file with default options; see
    /// [`tail_log_file_with`](Self::tail_log_file_with).
    ///
    /// # Errors
    /// The same as [`tail_log_file_with`](Self::tail_log_file_with).
    pub fn tail_log_file(&self, file: &LogFile) -> Result<LogTail, ClientError> {
        self.tail_log_file_with(file, TailOptions::default())
    }

    /// Tails a log file from its start, or from where the options say. Nothing tells when such a file
    /// is complete, so the tail never ends well: it goes on until it is dropped, or ends with 408 when
    /// nothing was written for the stream timeout. Calls `GET /api/version`, and then what the
    /// [`Protocol`](crate::Protocol) says; the WebSocket carries no files. Before Ray 2.45 the file is
    /// read from the node's agent, or not at all.
    ///
    /// A file that became shorter, as Ray's own logs do when they are rotated, ends it with 503.
    ///
    /// # Errors
    /// 400 if an id is not hex or an option is not valid, 429 if no worker became free. From the
    /// iterator: those of [`LogTail`], and 404 if there is no such file, node, actor, task, attempt or
    /// worker.
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
