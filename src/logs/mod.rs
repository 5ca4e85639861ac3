//! Logs: followed live, or read as they stand.
//!
//! The way of a byte of a tail, each step in a place of its own; it goes only downwards in this list:
//!
//! ```text
//! transport            the agent's or the dashboard's answer
//! source/              reads it: agent, file or websocket, joined to what was handed out (pure)
//! worker/follow.rs     the loop: silence, reconnects, the job's status, the end
//! worker/queue.rs      limits, and a bounded channel out of the worker's thread
//! tail.rs              LogTail, LogReader: the caller's thread
//! lines.rs, line.rs    lines (pure)
//! ```
//!
//! `job_logs.rs` and `log_files.rs` hold the calls; `log.rs` is what the cluster says of a log; `job_file.rs` and
//! `log_file.rs` are how one is asked for.

mod job_file;
mod job_logs;
mod last_lines;
mod limits;
mod line;
mod lines;
mod log;
mod log_file;
mod log_files;
mod newlines;
mod options;
mod requests;
mod source;
mod tail;
mod way;
mod whole_file;
mod worker;

pub use limits::StreamLimits;
pub use line::{LineEnding, LogLine};
pub use log_file::LogFile;
pub use log_files::LogFileName;
pub use options::{Protocol, TailOptions};
pub use tail::{LogReader, LogTail, NextLine, TailHandle};
pub(crate) use worker::Tails;
