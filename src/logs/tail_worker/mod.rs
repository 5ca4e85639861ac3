//! Runs in a client's worker threads: the loop that follows a log, and the queue to the iterator.

mod cancel;
mod follow;
mod interval;
mod pool;
mod queue;
mod reconnect;
mod source_selection;
mod timeouts;

pub(super) use cancel::{Cancel, ClosedBy};
pub(super) use follow::{Agents, Follower};
pub(crate) use pool::Tails;
pub(super) use queue::{Queue, QueueItem};
