//! Closes a tail from any thread, whatever its worker is doing.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, Weak};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::lock::lock;
use crate::transport::{Connection, Http};

/// Who closed a tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::logs) enum ClosedBy {
    /// The caller dropped the tail.
    Drop,
    /// The caller used a `TailHandle`.
    Handle,
    /// The last clone of the client was dropped.
    Client,
    /// The worker has reached the end of the log.
    Worker,
}

/// Closes a tail's connections and interrupts every wait of its worker.
pub(in crate::logs) struct Cancel {
    state: Mutex<CancelState>,
}

enum CancelState {
    /// Nothing is sent through `alive`. Dropping it interrupts the worker's waits.
    Open {
        alive: Sender<Infallible>,
        sockets: Vec<Weak<Connection>>,
        https: Vec<Http>,
    },
    Closed(ClosedBy),
}

impl Cancel {
    /// Also returns the receiver that disconnects when the tail is closed.
    pub(in crate::logs) fn new() -> (Arc<Self>, Receiver<Infallible>) {
        let (alive, cancelled) = bounded(0);
        let state = CancelState::Open { alive, sockets: Vec::new(), https: Vec::new() };
        (Arc::new(Self { state: Mutex::new(state) }), cancelled)
    }

    /// Tracks all connections of `http`. If the tail is already closed, shuts `http` down.
    pub(in crate::logs) fn track(&self, http: &Http) {
        match &mut *lock(&self.state) {
            CancelState::Open { https, .. } => https.push(http.clone()),
            CancelState::Closed(_) => http.shutdown(),
        }
    }

    /// Tracks the connection of a WebSocket. Fails if the tail is already closed.
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

    /// Closes the connections, but not the tail.
    pub(super) fn close_connections(&self) {
        if let CancelState::Open { sockets, https, .. } = &mut *lock(&self.state) {
            sockets.drain(..).filter_map(|socket| socket.upgrade()).for_each(|s| s.shutdown());
            https.drain(..).for_each(|http| http.shutdown());
        }
    }

    pub(in crate::logs) fn close(&self, by: ClosedBy) {
        let mut state = lock(&self.state);
        if let CancelState::Closed(before) = *state {
            // The iterator must end, even if the worker has already queued the rest of the log.
            if (before, by) == (ClosedBy::Worker, ClosedBy::Handle) {
                *state = CancelState::Closed(by);
            }
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
