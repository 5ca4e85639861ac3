//! Proxies that count what comes down from the dashboard and from the agent.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use memchr::memmem;

/// Where the agent's proxy listens, on the agent's own port. As long as the address that Ray gives for
/// the agent, so that the one can take the place of the other in an answer.
const AGENT_PROXY_IP: &str = "127.0.0.4";

/// A dashboard and an agent, each behind a proxy that counts.
pub struct Counted {
    pub dashboard: Arc<Count>,
    pub agent: Arc<Count>,
    /// The address of the dashboard's proxy.
    pub address: String,
}

#[derive(Default)]
pub struct Count {
    pub bytes: AtomicU64,
    pub requests: AtomicU64,
}

impl Counted {
    /// Proxies before these two. What the dashboard says about the agent names the agent's proxy.
    pub fn start(dashboard: &str, agent: &str) -> Self {
        let (dashboard, agent) = (socket_address(dashboard), socket_address(agent));
        let agent_proxy = TcpListener::bind((AGENT_PROXY_IP, agent.port())).unwrap();
        let replace = [agent, agent_proxy.local_addr().unwrap()].map(|address| address.to_string());
        assert_eq!(replace[0].len(), replace[1].len(), "the answer keeps its length");
        let dashboard_proxy = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", dashboard_proxy.local_addr().unwrap());
        Self {
            dashboard: forward(dashboard_proxy, dashboard, Some(replace)),
            agent: forward(agent_proxy, agent, None),
            address,
        }
    }

    /// The bytes that came down so far, and the requests that asked for them.
    pub fn so_far(&self) -> [u64; 2] {
        let sum = |get: fn(&Count) -> &AtomicU64| {
            [&self.dashboard, &self.agent]
                .map(|count| get(count).load(Ordering::Relaxed))
                .iter()
                .sum()
        };
        [sum(|count| &count.bytes), sum(|count| &count.requests)]
    }
}

fn socket_address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().unwrap()
}

fn forward(
    listener: TcpListener,
    upstream: SocketAddr,
    replace: Option<[String; 2]>,
) -> Arc<Count> {
    let count = Arc::new(Count::default());
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (count, replace) = (Arc::clone(&counted), replace.clone());
            thread::spawn(move || forward_connection(client, upstream, &count, replace.as_ref()));
        }
    });
    count
}

fn forward_connection(
    client: TcpStream,
    upstream: SocketAddr,
    count: &Arc<Count>,
    replace: Option<&[String; 2]>,
) -> io::Result<()> {
    let server = TcpStream::connect(upstream)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    let counted = Arc::clone(count);
    thread::spawn(move || {
        copy(from, to, |piece| {
            let requests = memmem::find_iter(piece, " HTTP/1.1\r\n").count() as u64;
            counted.requests.fetch_add(requests, Ordering::Relaxed);
        })
    });
    copy(server, client, |piece| {
        count.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
        if let Some([address, proxy]) = replace
            && let Some(at) = memmem::find(piece, address.as_bytes())
        {
            piece[at..at + address.len()].copy_from_slice(proxy.as_bytes());
        }
    })
}

fn copy(mut from: TcpStream, mut to: TcpStream, mut see: impl FnMut(&mut [u8])) -> io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let length = from.read(&mut buffer).unwrap_or(0);
        if length == 0 {
            // Whoever is gone takes the other one along.
            let _ = from.shutdown(Shutdown::Both);
            return to.shutdown(Shutdown::Both);
        }
        see(&mut buffer[..length]);
        to.write_all(&buffer[..length])?;
    }
}
