//! Logs: followed live, or read once.
//!
//! The calls are methods of [`RayClient`](crate::RayClient). A [`LogTail`] iterates over [`LogLine`]s,
//! or becomes a [`LogReader`] of bytes. [`TailOptions`] set the protocol, the timeouts and the start of
//! a tail; [`StreamLimits`] set how much it delivers. A [`LogFile`] names a log file of a node, an
//! actor, a task or a worker process.
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
//! See also the guide's chapter on [following logs](crate::guide::logs).

// How a byte travels. It only moves down this list; no step calls the one above it.
//
//     transport/             receives a response from the agent or the dashboard
//     source/                reads it, and drops what was delivered before
//     tail_worker/follow.rs  the loop in a worker thread: polls, reconnects, the end
//     tail_worker/queue.rs   applies the limits; sends blocks through a bounded channel
//     tail.rs                LogTail and LogReader, in the caller's thread
//     line_splitter.rs       splits blocks into lines
//
// When a tail is over. The loop learns that the job has a terminal status and calls
// `LogSource::nothing_more_is_written`. The source then reads on until it has compared the end of the
// log with a separate response, and returns `Complete`. Only this ends a tail without an
// error, except for a finished job that never reached a node and has no log. The end of a response proves
// nothing: a gateway may have cut it.
//
// `job_logs.rs` and `log_files.rs` contain the calls. `followed_log.rs` asks the cluster for the state
// of a log. `job_file.rs` and `log_file.rs` build the requests and explain their errors.

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
