//! A TLS server with a certificate of its own authority, which forwards to a plain server.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub struct TlsServer {
    pub port: u16,
    /// The certificate of the signing authority, as PEM.
    pub ca: String,
    /// The server names that clients requested, in order.
    pub names: Arc<Mutex<Vec<Option<String>>>>,
}

impl TlsServer {
    /// Starts a server with a certificate for `host` that forwards every connection to `upstream`.
    pub fn start(host: &str, upstream: String) -> Self {
        let (config, ca) = certificates(host);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let names = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&names);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, upstream, seen) =
                    (Arc::clone(&config), upstream.clone(), Arc::clone(&seen));
                // A client that rejects the certificate closes its connection.
                thread::spawn(move || hand_on(stream, config, &upstream, &seen));
            }
        });
        Self { port, ca, names }
    }
}

/// Returns a server configuration, and the certificate of its authority as PEM.
pub fn certificates(host: &str) -> (Arc<ServerConfig>, String) {
    let ca_key = rcgen::KeyPair::generate().expect("keys can be made");
    let mut ca = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).expect("it signs itself");
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().expect("keys can be made");
    let leaf = rcgen::CertificateParams::new(vec![host.to_owned()])
        .expect("a valid name")
        .signed_by(&key, &issuer)
        .expect("the authority signs it");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the defaults are safe")
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            key.serialize_der().try_into().expect("rcgen makes valid keys"),
        )
        .expect("they belong together");
    (Arc::new(config), ca_certificate.pem())
}

fn hand_on(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    upstream: &str,
    names: &Mutex<Vec<Option<String>>>,
) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut client = StreamOwned::new(connection, stream);
    while client.conn.is_handshaking() {
        client.conn.complete_io(&mut client.sock)?;
    }
    let name = client.conn.server_name().map(ToOwned::to_owned);
    names.lock().expect("no test panics here").push(name);
    let mut server = TcpStream::connect(upstream)?;
    // One thread handles both directions, because a TLS connection cannot be split.
    client.sock.set_read_timeout(Some(Duration::from_millis(2)))?;
    server.set_read_timeout(Some(Duration::from_millis(2)))?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if pass(&mut client, &mut server, &mut buffer)?
            || pass(&mut server, &mut client, &mut buffer)?
        {
            return Ok(());
        }
    }
}

/// Forwards the available bytes. Returns `true` if `from` has ended.
fn pass(from: &mut impl Read, to: &mut impl Write, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read(buffer) {
        Ok(0) => Ok(true),
        Ok(length) => to.write_all(&buffer[..length]).map(|()| false),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}
