//! The workers of live logs, and the register of what is open.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use threadpool::ThreadPool;

use crate::ClientError;
use crate::transport::{Connection, Http};

/// How many tails of one client run at the same time.
pub(crate) const WORKERS: usize = 5;

/// The tails of one client and the threads that feed them, made at the first tail.
#[derive(Default)]
pub(crate) struct Tails {
    pool: OnceLock<Pool>,
    open: Mutex<Vec<Weak<Control>>>,
}

struct Pool {
    threads: ThreadPool,
    free: Receiver<()>,
    give_back: Sender<()>,
}

impl Pool {
    fn new() -> Self {
        let (give_back, free) = bounded(WORKERS);
        for _ in 0..WORKERS {
            // There is room for each of them, and the receiver is held here.
            let _ = give_back.send(());
        }
        let threads = ThreadPool::with_name("ray-client-tail".to_owned(), WORKERS);
        Self { threads, free, give_back }
    }
}

/// The right to one worker. Gives it back when dropped, also by a worker that panics.
pub(super) struct Slot(Sender<()>);

impl Drop for Slot {
    fn drop(&mut self) {
        // The receiver is gone where the client is gone, and then nobody waits for a worker.
        let _ = self.0.try_send(());
    }
}

impl Tails {
    /// Waits for a free worker, at most this long.
    pub(super) fn slot(&self, what: &str, wait: Duration) -> Result<Slot, ClientError> {
        let pool = self.pool.get_or_init(Pool::new);
        pool.free.recv_timeout(wait).map_err(|_| {
            ClientError::no_free_worker(format_args!(
                "{what}: all {WORKERS} workers of this client follow other logs, and none was free within {wait:?}"
            ))
        })?;
        Ok(Slot(pool.give_back.clone()))
    }

    /// Runs the feed of a tail in a worker.
    pub(super) fn run(
        &self,
        slot: Slot,
        control: &Arc<Control>,
        feed: impl FnOnce() + Send + 'static,
    ) {
        let mut open = lock(&self.open);
        open.retain(|control| control.strong_count() > 0);
        open.push(Arc::downgrade(control));
        drop(open);
        self.pool.get_or_init(Pool::new).threads.execute(move || {
            let _slot = slot;
            feed();
        });
    }

    /// Closes every tail that is still open.
    pub(crate) fn close_all(&self) {
        for control in lock(&self.open).drain(..).filter_map(|control| control.upgrade()) {
            control.close(ClosedBy::Client);
        }
    }
}

/// Who closed a tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClosedBy {
    Tail,
    Client,
}

/// Closes one tail from outside, whatever its worker is doing: its connections, tracked weakly, and
/// every wait of the worker.
pub(super) struct Control {
    http: Http,
    state: Mutex<State>,
}

enum State {
    /// `alive` is never sent to: its end is what the worker's waits wake up from.
    Open {
        alive: Sender<Infallible>,
        sockets: Vec<Weak<Connection>>,
    },
    Closed(ClosedBy),
}

impl Control {
    /// A control over connections made by `http`, and the receiver that disconnects on close.
    pub(super) fn new(http: Http) -> (Arc<Self>, Receiver<Infallible>) {
        let (alive, cancelled) = bounded(0);
        let state = State::Open { alive, sockets: Vec::new() };
        (Arc::new(Self { http, state: Mutex::new(state) }), cancelled)
    }

    /// Tracks a WebSocket's connection; refused where the tail is closed already.
    pub(super) fn register(&self, handle: Weak<Connection>) -> io::Result<()> {
        match &mut *lock(&self.state) {
            State::Open { sockets, .. } => {
                sockets.retain(|socket| socket.strong_count() > 0);
                sockets.push(handle);
                Ok(())
            }
            State::Closed(_) => Err(io::Error::new(io::ErrorKind::NotConnected, "tail is closed")),
        }
    }

    pub(super) fn close(&self, by: ClosedBy) {
        let mut state = lock(&self.state);
        if let State::Closed(_) = *state {
            return;
        }
        let previous = std::mem::replace(&mut *state, State::Closed(by));
        drop(state);
        if let State::Open { alive, sockets } = previous {
            drop(alive);
            for socket in sockets.iter().filter_map(Weak::upgrade) {
                socket.shutdown();
            }
        }
        self.http.shutdown();
    }

    pub(super) fn closed_by(&self) -> Option<ClosedBy> {
        match *lock(&self.state) {
            State::Open { .. } => None,
            State::Closed(by) => Some(by),
        }
    }
}

/// A panic elsewhere leaves these values as they were: each is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
