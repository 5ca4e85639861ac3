//! What runs in a worker: the loop that follows a log, and its way to the iterator.

mod cancel;
mod follow;
mod interval;
mod pool;
mod queue;
mod reconnect;
mod ways;

pub(super) use cancel::{Cancel, ClosedBy};
pub(super) use follow::{Agents, Follow};
pub(crate) use pool::Tails;
pub(super) use queue::{Message, Queue};
