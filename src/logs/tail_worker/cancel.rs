//! Ending one tail from outside, whatever its worker is doing.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::transport::{Connection, Http};

/// Who closed a tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::logs) enum ClosedBy {
    /// The caller, who dropped it.
    Drop,
    /// The caller, by its handle.
    Handle,
    /// The last clone of the client was dropped.
    Client,
    /// The worker, at the end of the log.
    Worker,
}

/// All that is to be closed with a tail: its connections, tracked weakly, and every wait of its worker.
pub(in crate::logs) struct Cancel {
    state: Mutex<CancelState>,
}

enum CancelState {
    /// `alive` is never sent to: its end is what the worker's waits wake up from.
    Open {
        alive: Sender<Infallible>,
        sockets: Vec<Weak<Connection>>,
        https: Vec<Http>,
    },
    Closed(ClosedBy),
}

impl Cancel {
    /// And the receiver that disconnects on close.
    pub(in crate::logs) fn new() -> (Arc<Self>, Receiver<Infallible>) {
        let (alive, cancelled) = bounded(0);
        let state = CancelState::Open { alive, sockets: Vec::new(), https: Vec::new() };
        (Arc::new(Self { state: Mutex::new(state) }), cancelled)
    }

    /// Tracks all connections of this; if the tail is closed already, they cannot be made.
    pub(in crate::logs) fn track(&self, http: &Http) {
        match &mut *lock(&self.state) {
            CancelState::Open { https, .. } => https.push(http.clone()),
            CancelState::Closed(_) => http.shutdown(),
        }
    }

    /// Tracks a WebSocket's connection; refused if the tail is closed already.
    pub(in crate::logs) fn register(&self, handle: Weak<Connection>) -> io::Result<()> {
        match &mut *lock(&self.state) {
            CancelState::Open { sockets, .. } => {
                sockets.retain(|socket| socket.strong_count() > 0);
                sockets.push(handle);
                Ok(())
            }
            CancelState::Closed(_) => {
                Err(io::Error::new(io::ErrorKind::NotConnected, "tail is closed"))
            }
        }
    }

    /// Closes the connections of a tail that has ended.
    pub(super) fn close_connections(&self) {
        if let CancelState::Open { sockets, https, .. } = &mut *lock(&self.state) {
            sockets.drain(..).filter_map(|socket| socket.upgrade()).for_each(|s| s.shutdown());
            https.drain(..).for_each(|http| http.shutdown());
        }
    }

    pub(in crate::logs) fn close(&self, by: ClosedBy) {
        let mut state = lock(&self.state);
        if let CancelState::Closed(_) = *state {
            return;
        }
        let previous = std::mem::replace(&mut *state, CancelState::Closed(by));
        drop(state);
        if let CancelState::Open { alive, sockets, https } = previous {
            drop(alive);
            sockets.iter().filter_map(Weak::upgrade).for_each(|socket| socket.shutdown());
            https.iter().for_each(Http::shutdown);
        }
    }

    pub(in crate::logs) fn closed_by(&self) -> Option<ClosedBy> {
        match *lock(&self.state) {
            CancelState::Open { .. } => None,
            CancelState::Closed(by) => Some(by),
        }
    }
}

/// A panic elsewhere leaves these values as they were: each is changed in one step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
