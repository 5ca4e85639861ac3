//! Ports for servers that listen later than the test chooses their port.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};

/// Returns a free port. It is below the ports that systems give to connections and to listeners
/// without a port of their own, because one of those could take it before the server listens.
pub fn free_port() -> u16 {
    static TRIED: AtomicU64 = AtomicU64::new(0);
    loop {
        // Programs that run side by side begin at different ports.
        let place = u64::from(std::process::id()) * 97 + TRIED.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (place % 12_000) as u16;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}
