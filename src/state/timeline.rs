//! The task timeline: when each task ran on which worker, as a file for a trace viewer.

use std::io::Write;
use std::time::{Duration, Instant};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{Filter, ListOptions, Resource};
use crate::transport::{Request, path};
use crate::{ClientError, RayClient};

/// How long Ray may take to collect the tasks.
const COLLECTING: Duration = Duration::from_secs(30);

/// Maximum size of a timeline, in bytes. 10,000 tasks take a few dozen MB.
const MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// The size of a timeline written by [`RayClient::write_task_timeline`], and whether it is
/// complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskTimeline {
    /// The number of bytes written.
    pub bytes: u64,
    /// Whether the timeline lacks tasks. Ray includes at most 10,000 and does not report the
    /// others.
    pub truncated: bool,
}

/// Task timeline.
impl RayClient {
    /// Writes the timeline of the tasks of one job or of all jobs: a JSON array for Perfetto and
    /// `chrome://tracing`. It is written while it arrives, and never held in memory as a whole.
    /// Calls `GET /api/v0/tasks/timeline`, and before it `GET /api/v0/tasks` to find out whether
    /// Ray will omit tasks.
    ///
    /// ```no_run
    /// use std::fs::File;
    ///
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let timeline = client.write_task_timeline(None, &mut File::create("timeline.json")?)?;
    /// println!("{} bytes, truncated: {}", timeline.bytes, timeline.truncated);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// 400 if the job id is not 8 hex digits; 500 if the writer fails or the timeline exceeds 1
    /// GiB; 408 if the timeline does not arrive within the read timeout plus 30 seconds, not
    /// counting the time that the writer takes; otherwise the same errors as
    /// [`list_nodes_with`](Self::list_nodes_with). After an error the writer may contain part of
    /// the timeline.
    ///
    /// The timeline of a job that does not exist is empty.
    pub fn write_task_timeline(
        &self,
        job_id: Option<&str>,
        writer: &mut impl Write,
    ) -> Result<TaskTimeline, ClientError> {
        const OPERATION: &str = "write task timeline";
        let mut options = ListOptions::default().limit(1);
        let mut request = Request::get(OPERATION, path(&["api", "v0", "tasks", "timeline"]))
            .extra_time(COLLECTING);
        if let Some(id) = job_id {
            options = options.filter("job_id", Filter::Eq, id);
            request = request.query("job_id", id);
        }
        let route = ["api", "v0", Resource::Tasks.route()];
        let tasks = self.query_state::<IgnoredAny>(OPERATION, &route, &options)?;
        let truncated = tasks.is_truncated_at_data_source(Resource::Tasks, &options);

        let idle = self.http().read_timeout();
        let max_wait = idle + COLLECTING;
        let mut stream = self.http().retrying(&request, || self.http().stream(&request, idle))?;
        let mut piece = [0; 16 * 1024];
        let (mut bytes, mut waited) = (0, Duration::ZERO);
        let mut nesting = Nesting::default();
        loop {
            let start = Instant::now();
            let read = stream.read(&mut piece)?;
            waited += start.elapsed();
            if read == 0 {
                break;
            }
            bytes += read as u64;
            nesting.push(&piece[..read]);
            if bytes > MAX_BYTES {
                return Err(ClientError::unexpected(format_args!(
                    "{OPERATION}: the response is larger than {MAX_BYTES} bytes"
                )));
            }
            if waited > max_wait {
                return Err(ClientError::timeout(format_args!(
                    "{OPERATION}: the response was not complete within {max_wait:?}: raise ClientBuilder::read_timeout"
                )));
            }
            writer.write_all(&piece[..read]).map_err(|error| {
                ClientError::unexpected(format_args!("{OPERATION}: the writer failed: {error}"))
                    .caused_by(error)
            })?;
        }
        if !nesting.is_whole() {
            return Err(ClientError::unreachable(format_args!(
                "{OPERATION}: the response broke off after {bytes} bytes"
            )));
        }
        Ok(TaskTimeline { bytes, truncated })
    }
}

/// The nesting depth of a JSON text. A text that was cut off ends inside brackets.
#[derive(Default)]
struct Nesting {
    depth: u64,
    has_begun: bool,
    is_in_string: bool,
    is_escaped: bool,
}

impl Nesting {
    fn push(&mut self, json: &[u8]) {
        for byte in json {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = self.is_in_string,
                b'"' => self.is_in_string = !self.is_in_string,
                b'[' | b'{' if !self.is_in_string => {
                    (self.depth, self.has_begun) = (self.depth + 1, true);
                }
                b']' | b'}' if !self.is_in_string => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.has_begun && self.depth == 0 && !self.is_in_string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_that_was_cut_off_is_detected() {
        let json = br#"[{"name": "a]}\\", "args": {"x": [1, "\"]"]}}, {"name": "b"}]"#;
        for cut in 0..=json.len() {
            let mut nesting = Nesting::default();
            nesting.push(&json[..cut / 2]);
            nesting.push(&json[cut / 2..cut]);
            assert_eq!(nesting.is_whole(), cut == json.len(), "{cut}");
        }
    }
}
