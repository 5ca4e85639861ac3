//! The worker threads of a client, and the register of its open tails. `ClientBuilder::tail_workers` sets
//! their number.

use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use threadpool::ThreadPool;

use super::cancel::{Cancel, ClosedBy};
use crate::ClientError;
use crate::lock::lock;
use crate::logs::source::UnusableAgents;

/// The tails of one client, and its worker threads, which the first tail starts.
pub(crate) struct Tails {
    workers: usize,
    pool: Mutex<Option<Pool>>,
    open: Mutex<Vec<Weak<Cancel>>>,
    pub(in crate::logs) agents: Arc<UnusableAgents>,
}

#[derive(Clone)]
struct Pool {
    threads: ThreadPool,
    free: Receiver<()>,
    give_back: Sender<()>,
}

impl Pool {
    fn new(workers: usize) -> Result<Self, ClientError> {
        can_make_threads(workers)?;
        let (give_back, free) = bounded(workers);
        for _ in 0..workers {
            // Cannot fail: the channel has this capacity, and its receiver is alive.
            let _ = give_back.send(());
        }
        // `ThreadPool` panics if it cannot start a thread, which may still happen after the check above.
        let made = std::panic::catch_unwind(|| {
            ThreadPool::with_name("ray-client-tail".to_owned(), workers)
        });
        let threads = made.map_err(|_| no_thread(&"the thread pool could not be created"))?;
        Ok(Self { threads, free, give_back })
    }
}

/// Starts `count` threads and ends them again. Fails if one cannot be started.
fn can_make_threads(count: usize) -> Result<(), ClientError> {
    let (hold, wait) = bounded::<()>(0);
    for _ in 0..count {
        let wait = wait.clone();
        let made = thread::Builder::new().spawn(move || wait.recv().unwrap_or_default());
        made.map_err(|error| no_thread(&error))?;
    }
    drop(hold);
    Ok(())
}

fn no_thread(why: &dyn std::fmt::Display) -> ClientError {
    ClientError::no_free_worker(format_args!("tail: no thread can be started for it: {why}"))
}

/// The right to use one worker. Dropping it frees the worker, even after a panic.
pub(in crate::logs) struct TailWorkerPermit {
    pool: Pool,
}

impl Drop for TailWorkerPermit {
    fn drop(&mut self) {
        // Fails if the client was dropped; then nobody waits for a worker.
        let _ = self.pool.give_back.try_send(());
    }
}

impl TailWorkerPermit {
    /// Runs `work` in the worker.
    pub(in crate::logs) fn run(self, work: impl FnOnce() + Send + 'static) {
        let threads = self.pool.threads.clone();
        threads.execute(move || {
            let _permit = self;
            work();
        });
    }
}

impl Tails {
    /// Allows `workers` tails at the same time.
    pub(crate) fn new(workers: usize) -> Self {
        let agents = Arc::default();
        Self { workers, pool: Mutex::default(), open: Mutex::default(), agents }
    }

    /// Waits up to `wait` for a free worker.
    pub(in crate::logs) fn worker(
        &self,
        operation: &str,
        wait: Duration,
    ) -> Result<TailWorkerPermit, ClientError> {
        let pool = self.pool()?;
        pool.free.recv_timeout(wait).map_err(|_| {
            ClientError::no_free_worker(format_args!(
                "{operation}: all {} workers of this client follow other logs, and none became free within {wait:?}: drop a tail, or raise ClientBuilder::tail_workers",
                self.workers
            ))
        })?;
        Ok(TailWorkerPermit { pool })
    }

    fn pool(&self) -> Result<Pool, ClientError> {
        let mut pool = lock(&self.pool);
        match &*pool {
            Some(pool) => Ok(pool.clone()),
            None => Ok(pool.insert(Pool::new(self.workers)?).clone()),
        }
    }

    /// Registers a tail, to close it when the client is dropped.
    pub(in crate::logs) fn register(&self, cancel: &Arc<Cancel>) {
        let mut open = lock(&self.open);
        open.retain(|cancel| cancel.strong_count() > 0);
        open.push(Arc::downgrade(cancel));
    }

    /// Closes all open tails.
    pub(crate) fn close_all(&self) {
        for cancel in lock(&self.open).drain(..).filter_map(|cancel| cancel.upgrade()) {
            cancel.close(ClosedBy::Client);
        }
    }
}
