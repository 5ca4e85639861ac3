//! Logs: followed live, or read as they stand.
//!
//! [`RayClient`](crate::RayClient) has the calls. A [`LogTail`] is an iterator of [`LogLine`]s, or a
//! [`LogReader`] of bytes; [`TailOptions`] say how it is read, and [`StreamLimits`] how much of it. A
//! [`LogFile`] names a log that is not a job's: of a node, an actor, a task or a worker process.
//!
//! ```no_run
//! use ray_client::{RayClient, TailOptions};
//!
//! let client = RayClient::new("http://127.0.0.1:8265")?;
//! let options = TailOptions::until_done().last_lines(100);
//! for line in client.tail_job_logs_with("raysubmit_1", options)? {
//!     println!("{}", line?);
//! }
//! # Ok::<(), ray_client::ClientError>(())
//! ```
//!
//! The guide's chapter is [following logs](crate::guide::logs).

// The way of a byte of a tail, each step in a place of its own; it goes only downwards in this list:
//
//     transport              the agent's or the dashboard's answer
//     source/                reads it: agent, file or websocket, joined to what was delivered (pure)
//     tail_worker/follow.rs  the loop: silence, reconnects, the job's status, the end
//     tail_worker/queue.rs   limits, and a bounded channel out of the worker's thread
//     tail.rs                LogTail, LogReader: the caller's thread
//     line_splitter.rs, line.rs   lines (pure)
//
// `job_logs.rs` and `log_files.rs` hold the calls; `followed_log.rs` is what the cluster says of a log;
// `job_file.rs` and `log_file.rs` are how one is asked for.

mod followed_log;
mod job_file;
mod job_logs;
mod last_lines;
mod limits;
mod line;
mod line_splitter;
mod log_file;
mod log_files;
mod newlines;
mod options;
mod request_context;
mod source;
mod source_kind;
mod tail;
mod tail_worker;
mod whole_file;

pub use limits::StreamLimits;
pub use line::{LineEnding, LogLine};
pub use log_file::LogFile;
pub use log_files::LogFileName;
pub use options::{Protocol, TailOptions};
pub use tail::{LogReader, LogTail, NextLine, TailHandle};
pub(crate) use tail_worker::Tails;
