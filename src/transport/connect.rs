//! TCP connections that another thread can close, even while they are connecting.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Stores a weak reference to a connection, or fails if its owner has been closed meanwhile.
pub(crate) type Register = dyn Fn(Weak<Connection>) -> io::Result<()> + Send + Sync;

/// A TCP connection. `shutdown` interrupts connecting within 10 ms, and reads and writes immediately.
pub(crate) struct Connection {
    pub(super) stream: TcpStream,
    closed: AtomicBool,
}

impl Connection {
    pub(crate) fn shutdown(&self) {
        self.closed.store(true, Ordering::Release);
        // Makes the drop send a reset. Otherwise a server that waits for room to write may wait for minutes:
        // Linux announces no room after a shutdown, even if everything was read. Fails only if the socket
        // is closed.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        // Fails only if the socket is not connected; `wait_connected` then checks the flag.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Fails after `shutdown`. The socket itself reads like a complete stream then.
    pub(super) fn check_open(&self) -> io::Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(()) }
    }

    /// Connects without blocking, because not every system can interrupt a blocked connect.
    fn connect(&self, addr: SocketAddr, deadline: Instant) -> io::Result<()> {
        let socket = SockRef::from(&self.stream);
        socket.set_nonblocking(true)?;
        match socket.connect(&addr.into()) {
            Ok(()) => {}
            Err(error) if is_in_progress(&error) => self.wait_connected(deadline)?,
            Err(error) => return Err(error),
        }
        socket.set_nonblocking(false)?;
        // Finds out that the peer of a silent WebSocket has vanished, and keeps its entry in a NAT.
        let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(30));
        socket.set_tcp_keepalive(&keepalive.with_interval(Duration::from_secs(10)))?;
        socket.set_tcp_nodelay(true)
    }

    fn wait_connected(&self, deadline: Instant) -> io::Result<()> {
        let mut pause = Duration::from_micros(100);
        loop {
            self.check_open()?;
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            if self.stream.peer_addr().is_ok() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }
}

pub(super) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "closed by this client")
}

fn is_in_progress(error: &io::Error) -> bool {
    // EINPROGRESS has no stable `ErrorKind`; its number differs between Linux and the BSDs.
    error.kind() == io::ErrorKind::WouldBlock || matches!(error.raw_os_error(), Some(115 | 36))
}

/// Tries the addresses of a host in turn, each with an equal share of the remaining time.
pub(super) fn connect(
    host: &str,
    port: u16,
    deadline: Instant,
    register: &Register,
) -> io::Result<Arc<Connection>> {
    let addrs = resolve(host, port, deadline)?;
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for (tried, addr) in addrs.iter().enumerate() {
        let socket = Socket::new(Domain::for_address(*addr), Type::STREAM, Some(Protocol::TCP))?;
        let stream = TcpStream::from(socket);
        let connection = Arc::new(Connection { stream, closed: AtomicBool::new(false) });
        register(Arc::downgrade(&connection))?;
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let share = left / u32::try_from(addrs.len() - tried).unwrap_or(1);
        match connection.connect(*addr, now + share) {
            Ok(()) => return Ok(connection),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Returns the addresses of a host. A lookup cannot be interrupted: after the deadline it continues in a
/// separate thread until the system's resolver gives up.
fn resolve(host: &str, port: u16, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    let look_up = move || {
        // Fails if the deadline has passed: then nobody waits for the result.
        let _ = sender.send((&*host, port).to_socket_addrs().map(Iterator::collect));
    };
    thread::Builder::new().name("ray-client-dns".to_owned()).spawn(look_up)?;
    receiver
        .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn shutdown_frees_a_server_that_waits_for_room_to_write() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let deadline = Instant::now() + Duration::from_secs(5);
        let connection = connect("127.0.0.1", port, deadline, &|_| Ok(())).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let mut write_until_full = |wait| {
            server.set_write_timeout(Some(wait)).unwrap();
            loop {
                if let Err(error) = server.write_all(&[0; 4096]) {
                    return error.kind();
                }
            }
        };
        assert_eq!(write_until_full(Duration::from_millis(500)), io::ErrorKind::WouldBlock);
        connection.shutdown();
        // A thread that was reading still gets the bytes that arrived before.
        (&connection.stream).read_to_end(&mut Vec::new()).unwrap();
        drop(connection);
        assert_ne!(write_until_full(Duration::from_secs(10)), io::ErrorKind::WouldBlock);
    }
}
