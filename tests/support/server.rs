//! A scripted server on a free port, for responses that a real Ray cannot be made to send.

#![allow(dead_code, reason = "each user takes what it needs")]

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

/// A received request.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET /api/version`: method, path and query.
    pub line: String,
    /// Header lines as received, without their line endings.
    pub headers: Vec<String>,
    pub body: Vec<u8>,
    /// When it was received.
    pub at: Instant,
}

impl Request {
    /// Returns the value of a header, ignoring the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Returns the requested part of this log file: all of it, or its last lines.
    pub fn part_of<'l>(&self, log: &'l [u8]) -> &'l [u8] {
        match self.last_lines() {
            Some(lines) => last_lines(log, lines),
            None => log,
        }
    }

    /// Returns the requested number of last lines; `None` for the whole file.
    pub fn last_lines(&self) -> Option<usize> {
        self.line.split(['?', '&']).find_map(|part| part.strip_prefix("lines=")?.parse().ok())
    }

    /// Returns the requested byte range of a file of this length.
    pub fn range_of(&self, length: usize) -> Range<usize> {
        let range = self.header("range").and_then(|range| range.strip_prefix("bytes=")).unwrap();
        let (first, last) = range.split_once('-').unwrap();
        match first.parse() {
            Ok(first) => first..length.min(last.parse::<usize>().unwrap() + 1),
            Err(_) => length.saturating_sub(last.parse().unwrap())..length,
        }
    }

    pub fn is(&self, start: &str) -> bool {
        self.line.starts_with(start)
    }
}

/// A server that passes each request to a function, which writes the raw response; an `Err` closes
/// the connection. Uses one thread per connection, and stops on drop.
pub struct Server {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Request>>,
    open: Mutex<HashMap<SocketAddr, TcpStream>>,
    stopped: AtomicBool,
}

impl Server {
    pub fn start(
        answer: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let answer = Arc::new(answer);
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let mut connections: Vec<JoinHandle<()>> = Vec::new();
                for stream in listener.incoming().map_while(Result::ok) {
                    if shared.stopped.load(Ordering::Acquire) {
                        break;
                    }
                    connections.retain(|connection| !connection.is_finished());
                    let (shared, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                    connections.push(thread::spawn(move || shared.serve(stream, &*answer)));
                }
                shared.close_all();
                for connection in connections {
                    // A panic in the function was printed, and the missing response fails the test.
                    let _ = connection.join();
                }
            }
        });
        Server { addr, shared, acceptor: Some(acceptor) }
    }

    pub fn address(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns the requests received so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Returns the number of requests whose line starts with `start`.
    pub fn count(&self, start: &str) -> usize {
        self.requests().iter().filter(|request| request.is(start)).count()
    }

    /// Returns the number of requests for a whole log file.
    pub fn full_reads(&self) -> usize {
        let requests = self.requests();
        let files = requests.iter().filter(|request| request.is("GET /api/v0/logs/file"));
        files.filter(|request| request.last_lines().is_none()).count()
    }

    /// Returns the number of open connections.
    pub fn open(&self) -> usize {
        self.shared.open.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.close_all();
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.addr);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn serve(
        &self,
        mut stream: TcpStream,
        answer: &impl Fn(&Request, &mut TcpStream) -> io::Result<()>,
    ) {
        let Ok(peer) = stream.peer_addr() else { return };
        let Ok(clone) = stream.try_clone() else { return };
        self.open.lock().unwrap().insert(peer, clone);
        // However the connection ends, it must leave the register.
        let _ = stream.set_nodelay(true).and_then(|()| {
            let mut reader = BufReader::new(stream.try_clone()?);
            while !self.stopped.load(Ordering::Acquire) {
                let Some(request) = read_request(&mut reader)? else { break };
                self.requests.lock().unwrap().push(request.clone());
                answer(&request, &mut stream)?;
            }
            Ok(())
        });
        self.open.lock().unwrap().remove(&peer);
    }

    fn close_all(&self) {
        for stream in self.open.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let line =
        lines.remove(0).trim_end_matches(" HTTP/1.1").trim_end_matches(" HTTP/1.0").to_owned();
    let mut request = Request { line, headers: lines, body: Vec::new(), at: Instant::now() };
    let length = request.header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    request.body = vec![0; length];
    reader.read_exact(&mut request.body)?;
    Ok(Some(request))
}

/// Returns a listener whose queue is full: the next attempt to connect hangs.
pub fn full_listener() -> (Socket, SocketAddr, Vec<TcpStream>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(200)) {
        waiting.push(stream);
    }
    (socket, addr, waiting)
}

/// Sends a complete response. Each further header line ends with `\r\n`.
pub fn respond(
    stream: &mut TcpStream,
    status: u16,
    headers: &str,
    body: impl AsRef<[u8]>,
) -> io::Result<()> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat())
}

pub fn respond_json(stream: &mut TcpStream, value: &Value) -> io::Result<()> {
    respond(stream, 200, "content-type: application/json\r\n", value.to_string())
}

pub const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// Returns the last lines of a log file as Ray counts them: text after the last `\n` counts as a
/// line.
pub fn last_lines(log: &[u8], lines: usize) -> &[u8] {
    let end = log.len() - usize::from(log.ends_with(b"\n"));
    let newlines = log[..end].iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    newlines.map(|(at, _)| &log[at + 1..]).nth(lines - 1).unwrap_or(log)
}

/// Sends these bytes as Ray sends a log: in chunks of 64 KiB.
pub fn respond_chunked(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut answer = CHUNKED.as_bytes().to_vec();
    answer.extend(bytes.chunks(64 * 1024).flat_map(chunk));
    answer.extend(b"0\r\n\r\n");
    stream.write_all(&answer)
}

/// Sends the requested byte range of a file, as a node's agent does.
pub fn respond_range(request: &Request, stream: &mut TcpStream, file: &[u8]) -> io::Result<()> {
    let (range, total) = (request.range_of(file.len()), file.len());
    if range.is_empty() {
        return respond(stream, 416, &format!("content-range: bytes */{total}\r\n"), "");
    }
    let content_range =
        format!("content-range: bytes {}-{}/{total}\r\n", range.start, range.end - 1);
    respond(stream, 206, &content_range, &file[range])
}

/// Returns the error that closes the connection with a reset instead of a FIN.
pub fn reset(stream: &TcpStream) -> io::Error {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
    close()
}

/// Returns the error that closes the connection.
pub fn close() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

/// Keeps the connection open and silent until the client closes it.
pub fn hold(stream: &mut TcpStream) -> io::Error {
    let _ = io::copy(stream, &mut io::sink());
    close()
}

/// Returns a job as Ray sends it.
pub fn job(id: &str, status: &str) -> Value {
    json!({
        "type": "SUBMISSION", "submission_id": id, "job_id": null, "status": status,
        "entrypoint": "python x.py", "driver_node_id": "aa", "metadata": {},
    })
}

pub fn version(stream: &mut TcpStream) -> io::Result<()> {
    respond_json(stream, &json!({"version": "4", "ray_version": "2.60.0"}))
}

/// Accepts the upgrade to a WebSocket.
pub fn upgrade(request: &Request, stream: &mut TcpStream) -> io::Result<()> {
    let key = request.header("sec-websocket-key").unwrap_or_default();
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    stream.write_all(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
        )
        .as_bytes(),
    )
}

pub const TEXT: u8 = 0x81;
pub const TEXT_TO_BE_CONTINUED: u8 = 0x01;
pub const CONTINUED: u8 = 0x00;
pub const LAST_CONTINUED: u8 = 0x80;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;

/// Returns an unmasked frame, as servers send it.
pub fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first_byte];
    match payload.len() {
        short @ 0..126 => frame.push(u8::try_from(short).unwrap()),
        middle @ 126..65536 => {
            frame.push(126);
            frame.extend(u16::try_from(middle).unwrap().to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

pub fn close_frame(code: u16) -> Vec<u8> {
    frame(CLOSE, &code.to_be_bytes())
}

/// Sends the first half of the log's WebSocket messages.
pub fn send_half(stream: &mut TcpStream, log: &[u8]) -> io::Result<()> {
    let messages = messages(log);
    messages[..messages.len() / 2].iter().try_for_each(|text| stream.write_all(&frame(TEXT, text)))
}

/// Sends the first half of the log's WebSocket messages, and these bytes.
pub fn half_then(stream: &mut TcpStream, log: &[u8], bytes: &[u8]) -> io::Result<()> {
    send_half(stream, log)?;
    stream.write_all(bytes)?;
    Err(hold(stream))
}

/// Starts a server with a job of this status, whose log file requests get this response.
pub fn job_with_log(
    status: &'static str,
    answer: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> Server {
    Server::start(move |request, stream| {
        if request.is("GET /api/version") {
            version(stream)
        } else if request.is("GET /api/v0/logs/file") {
            answer(request, stream)
        } else {
            respond_json(stream, &job("a", status))
        }
    })
}

/// Starts a server with a job of this status, whose log file and WebSocket requests get these responses.
pub fn job_with_websocket(
    status: &'static str,
    file: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    websocket: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> Server {
    Server::start(move |request, stream| {
        if request.is("GET /api/version") {
            version(stream)
        } else if request.is("GET /api/v0/logs/file") {
            file(request, stream)
        } else if request.line.ends_with("/logs/tail") {
            websocket(request, stream)
        } else {
            respond_json(stream, &job("a", status))
        }
    })
}

/// Accepts the upgrade, sends the whole log, and closes as Ray does.
pub fn send_by_websocket(request: &Request, stream: &mut TcpStream, log: &[u8]) -> io::Result<()> {
    upgrade(request, stream)?;
    messages(log).iter().try_for_each(|text| stream.write_all(&frame(TEXT, text)))?;
    stream.write_all(&close_frame(1000))?;
    Err(hold(stream))
}

/// A fault of a [`FakeRay`]: responds to one log request, for which these bytes were due. The
/// connection is then closed.
pub type Fault = fn(&mut TcpStream, &[u8]) -> io::Result<()>;

/// A server with one job, whose log is the same over HTTP and WebSocket. Each of the first log
/// requests meets one fault. The job runs until its log was sent without a fault.
pub struct FakeRay {
    pub server: Server,
}

impl FakeRay {
    pub fn start(log: Vec<u8>, faults: impl IntoIterator<Item = Fault>) -> FakeRay {
        FakeRay::with_faults_for(|_| true, log, faults)
    }

    /// Starts a server that applies the faults only to requests for the whole log.
    pub fn start_whole(log: Vec<u8>, faults: impl IntoIterator<Item = Fault>) -> FakeRay {
        FakeRay::with_faults_for(|request| request.last_lines().is_none(), log, faults)
    }

    fn with_faults_for(
        meets_faults: fn(&Request) -> bool,
        log: Vec<u8>,
        faults: impl IntoIterator<Item = Fault>,
    ) -> FakeRay {
        let faults: Mutex<VecDeque<Fault>> = Mutex::new(faults.into_iter().collect());
        let sent = AtomicBool::new(false);
        let server = Server::start(move |request, stream| {
            let next_fault = || faults.lock().unwrap().pop_front();
            if request.is("GET /api/version") {
                version(stream)
            } else if request.is("GET /api/v0/logs/file") {
                let part = request.part_of(&log);
                if let Some(fault) =
                    Some(request).filter(|r| meets_faults(r)).and_then(|_| next_fault())
                {
                    return fault(stream, part).and(Err(close()));
                }
                sent.store(true, Ordering::Release);
                respond_chunked(stream, part)
            } else if request.line.ends_with("/logs/tail") {
                let fault = next_fault();
                if let Some(fault) = fault {
                    upgrade(request, stream)?;
                    return fault(stream, &log).and(Err(close()));
                }
                upgrade(request, stream)?;
                for message in messages(&log) {
                    stream.write_all(&frame(TEXT, message))?;
                }
                sent.store(true, Ordering::Release);
                stream.write_all(&close_frame(1000))?;
                Err(hold(stream))
            } else if request.is("GET /api/jobs/") {
                let status = if sent.load(Ordering::Acquire) { "SUCCEEDED" } else { "RUNNING" };
                respond_json(stream, &job("a", status))
            } else {
                respond(stream, 404, "", "404: Not Found")
            }
        });
        FakeRay { server }
    }

    /// Returns the number of requests for the whole log.
    pub fn log_requests(&self) -> usize {
        self.server.full_reads() + self.server.count("GET /api/jobs/a/logs/tail")
    }
}

/// Splits a log into messages as Ray's WebSocket does: up to 10 lines, never inside a character.
pub fn messages(log: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    let (mut start, mut lines) = (0, 0);
    for (at, byte) in log.iter().enumerate() {
        lines += usize::from(*byte == b'\n');
        if lines == 10 {
            messages.push(&log[start..=at]);
            (start, lines) = (at + 1, 0);
        }
    }
    messages.push(&log[start..]);
    messages.retain(|message| !message.is_empty());
    messages
}
