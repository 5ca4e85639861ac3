//! TCP for ureq, with what its own connector lacks: `Agent::shutdown` also ends an attempt to
//! connect, so that dropping a tail frees its worker at once.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    ShutdownHandle, Transport,
};
use ureq::{Error, Timeout};

/// The chain of every connection, for HTTP and WebSocket alike: proxy, TCP, TLS.
pub(super) fn connector() -> impl Connector<(), Out = impl Transport> {
    let chain = ().chain(ConnectProxyConnector::default()).chain(TcpConnector);
    #[cfg(feature = "tls")]
    let chain = chain.chain(ureq::unversioned::transport::RustlsConnector::default());
    chain
}

thread_local! {
    /// When the reading that this thread is in gives up. ureq's own limit of a read begins anew with
    /// each byte, so that a server which drips would never meet it.
    static GIVE_UP: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Reads, from any connection of this module. No wait for bytes begins after this limit.
pub(super) fn read_within<T>(limit: Duration, read: impl FnOnce() -> T) -> T {
    GIVE_UP.set(Instant::now().checked_add(limit));
    let result = read();
    GIVE_UP.set(None);
    result
}

#[derive(Debug)]
struct TcpConnector;

impl<In: Transport> Connector<In> for TcpConnector {
    type Out = Either<In, TcpTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(proxied) = chained {
            return Ok(Some(Either::A(proxied)));
        }
        connect_to_any(details).map(|transport| Some(Either::B(transport)))
    }
}

/// Tries the addresses of a name in turn, each with an equal share of the time that is left.
fn connect_to_any(details: &ConnectionDetails) -> Result<TcpTransport, Error> {
    let deadline = Instant::now()
        + details.timeout.not_zero().map_or(Duration::MAX / 4, |t| *t).min(MAX_CONNECT);
    let mut failure = Error::ConnectionFailed;
    for (tried, addr) in details.addrs.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(details.addrs.len() - tried).unwrap_or(1);
        match connect(*addr, share, details) {
            Ok(link) => return Ok(TcpTransport::new(link, deadline, details)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

const MAX_CONNECT: Duration = Duration::from_secs(24 * 60 * 60);

fn connect(
    addr: SocketAddr,
    budget: Duration,
    details: &ConnectionDetails,
) -> Result<Arc<Link>, Error> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    let link = Arc::new(Link { socket, closed: AtomicBool::new(false) });
    let handle: Weak<dyn ShutdownHandle> = Arc::downgrade(&link) as Weak<dyn ShutdownHandle>;
    (details.register_shutdown)(handle)?;
    link.connect(addr, budget)?;
    if details.config.no_delay() {
        link.socket.set_tcp_nodelay(true)?;
    }
    Ok(link)
}

/// A socket that another thread can close, while it connects, reads or writes.
struct Link {
    socket: Socket,
    closed: AtomicBool,
}

impl Link {
    /// Connects without blocking, since a blocked connect cannot be interrupted everywhere.
    fn connect(&self, addr: SocketAddr, budget: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + budget;
        self.socket.set_nonblocking(true)?;
        match self.socket.connect(&addr.into()) {
            Ok(()) => {}
            Err(error) if is_in_progress(&error) => self.wait_connected(deadline)?,
            Err(error) => return Err(error.into()),
        }
        self.socket.set_nonblocking(false)?;
        Ok(())
    }

    fn wait_connected(&self, deadline: Instant) -> Result<(), Error> {
        let mut pause = Duration::from_micros(100);
        loop {
            self.check_open()?;
            if let Some(error) = self.socket.take_error()? {
                return Err(error.into());
            }
            if self.socket.peer_addr().is_ok() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::Timeout(Timeout::Connect));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }

    /// A socket that was shut down reads as a stream that ended well, which it did not.
    fn check_open(&self) -> io::Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "closed by this client"));
        }
        Ok(())
    }
}

fn is_in_progress(error: &io::Error) -> bool {
    // EINPROGRESS has no stable `ErrorKind`; its number differs between Linux and the BSDs.
    error.kind() == io::ErrorKind::WouldBlock || matches!(error.raw_os_error(), Some(115 | 36))
}

impl ShutdownHandle for Link {
    fn shutdown(&self) {
        self.closed.store(true, Ordering::Release);
        // Fails only where the socket is not connected, and then there is nothing to shut.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

struct TcpTransport {
    link: Arc<Link>,
    /// When the connection, by way of a proxy and TLS, has to be there.
    connect_end: Instant,
    buffers: LazyBuffers,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl TcpTransport {
    fn new(link: Arc<Link>, connect_end: Instant, details: &ConnectionDetails) -> Self {
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Self { link, connect_end, buffers, read_timeout: None, write_timeout: None }
    }
}

impl fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpTransport").finish_non_exhaustive()
    }
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let limit = time_left(timeout)?;
        if limit != self.write_timeout {
            self.link.socket.set_write_timeout(limit)?;
            self.write_timeout = limit;
        }
        let sent = (&self.link.socket).write_all(&self.buffers.output()[..amount]);
        self.link.check_open()?;
        sent.map_err(|error| timed_out(error, timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        // The per-read limit is how long a log may be silent before the worker looks around. The
        // wait for a response's headers has a budget of its own.
        let timeout = match timeout.reason {
            Timeout::RecvResponse | Timeout::Connect => timeout,
            _ => timeout.for_read(),
        };
        let end = match timeout.reason {
            Timeout::Connect => Some(self.connect_end),
            _ => GIVE_UP.get(),
        };
        if end.is_some_and(|end| Instant::now() >= end) {
            return Err(Error::Timeout(timeout.reason));
        }
        let limit = time_left(timeout)?;
        if limit != self.read_timeout {
            self.link.socket.set_read_timeout(limit)?;
            self.read_timeout = limit;
        }
        let received = loop {
            match (&self.link.socket).read(self.buffers.input_append_buf()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.link.check_open()?;
        let amount = received.map_err(|error| timed_out(error, timeout.reason))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// An idle connection with something to read has been closed, or has bytes nobody asked for.
    fn is_open(&mut self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let idle = self.link.socket.set_nonblocking(true).is_ok()
            && matches!(self.link.socket.peek(&mut byte), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        self.link.socket.set_nonblocking(false).is_ok() && idle
    }
}

fn time_left(timeout: NextTimeout) -> Result<Option<Duration>, Error> {
    if timeout.after.is_not_happening() {
        Ok(None)
    } else if timeout.after.is_zero() {
        Err(Error::Timeout(timeout.reason))
    } else {
        Ok(Some(*timeout.after))
    }
}

fn timed_out(error: io::Error, reason: Timeout) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(reason),
        _ => Error::Io(error),
    }
}
