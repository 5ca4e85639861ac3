//! A proxy that injects connection faults from a seed.

#![allow(dead_code, reason = "each user takes what it needs")]

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The faults of one connection. Offsets count the bytes from the server.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plan {
    /// Closes the connection at once, with a reset.
    pub refuse: bool,
    /// Pause before the first byte.
    pub delay: Duration,
    /// Cuts the connection after this number of bytes.
    pub cut: Option<u64>,
    /// Cuts with a reset instead of a FIN.
    pub reset: bool,
    /// Pauses after this number of bytes.
    pub stall: Option<(u64, Duration)>,
    /// Sends this number of bytes one at a time.
    pub single_bytes: u64,
}

/// A proxy that forwards the n-th connection to a server by the n-th plan.
pub struct Proxy {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    open: Mutex<HashMap<SocketAddr, [TcpStream; 2]>>,
    connections: AtomicUsize,
    cuts: AtomicUsize,
    stopped: AtomicBool,
}

impl Proxy {
    /// `plan` receives the number of connections refused or cut before.
    pub fn start(address: &str, mut plan: impl FnMut(usize) -> Plan + Send + 'static) -> Proxy {
        let upstream: SocketAddr = address.trim_start_matches("http://").parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for client in listener.incoming().map_while(Result::ok) {
                    if shared.stopped.load(Ordering::Acquire) {
                        break;
                    }
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    let plan = plan(shared.cuts.load(Ordering::Relaxed));
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        // An error counts as a cut.
                        let _ = shared.forward(&client, upstream, plan);
                    });
                }
            }
        });
        Proxy { addr, shared, acceptor: Some(acceptor) }
    }

    pub fn address(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns the number of connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Returns the number of connections refused or cut.
    pub fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        for stream in self.shared.open.lock().unwrap().values().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.addr);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn forward(&self, client: &TcpStream, upstream: SocketAddr, plan: Plan) -> io::Result<()> {
        if plan.refuse {
            self.cuts.fetch_add(1, Ordering::Relaxed);
            return socket2::SockRef::from(client).set_linger(Some(Duration::ZERO));
        }
        let peer = client.peer_addr()?;
        let server = TcpStream::connect(upstream)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        self.open.lock().unwrap().insert(peer, [client.try_clone()?, server.try_clone()?]);
        let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
        let requests = thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
        let cut = answer(&server, client, plan).unwrap_or(false);
        if cut {
            self.cuts.fetch_add(1, Ordering::Relaxed);
            if plan.reset {
                socket2::SockRef::from(client).set_linger(Some(Duration::ZERO))?;
                // The reset is sent only after the last handle is dropped.
                let _ = client.shutdown(Shutdown::Read);
            }
        }
        let _ = server.shutdown(Shutdown::Both);
        if !(cut && plan.reset) {
            let _ = client.shutdown(Shutdown::Both);
        }
        self.open.lock().unwrap().remove(&peer);
        let _ = requests.join();
        Ok(())
    }
}

/// Forwards the bytes of the server by the plan. Returns `true` if the plan cut the connection.
fn answer(mut server: &TcpStream, mut client: &TcpStream, plan: Plan) -> io::Result<bool> {
    let mut buffer = [0; 16 * 1024];
    let mut sent = 0;
    thread::sleep(plan.delay);
    loop {
        let length = server.read(&mut buffer)?;
        if length == 0 {
            return Ok(false);
        }
        let mut left = &buffer[..length];
        while !left.is_empty() {
            if plan.cut == Some(sent) {
                return Ok(true);
            }
            if let Some((at, pause)) = plan.stall
                && at == sent
            {
                thread::sleep(pause);
            }
            // Sends up to the offset of the next fault.
            let mut next = sent + if sent < plan.single_bytes { 1 } else { left.len() as u64 };
            for border in [plan.cut, plan.stall.map(|(at, _)| at)].into_iter().flatten() {
                next = if border > sent { next.min(border) } else { next };
            }
            let (now, later) =
                left.split_at(usize::try_from(next - sent).unwrap_or(usize::MAX).min(left.len()));
            client.write_all(now)?;
            sent += now.len() as u64;
            left = later;
        }
    }
}
