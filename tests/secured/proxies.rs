//! Verifies that `HTTP_PROXY` and `NO_PROXY` apply to HTTP and WebSocket alike.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use ray_client::{Protocol, RayClient, TailOptions};

use crate::{TOKEN, finished_job, head};

/// Starts a proxy that supports CONNECT and absolute-form requests. Returns its address and the
/// request lines that it receives.
fn start_proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let lines = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&lines);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let seen = Arc::clone(&seen);
            thread::spawn(move || pass_on(client, &seen));
        }
    });
    (address, lines)
}

fn pass_on(mut client: TcpStream, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    seen.lock().unwrap().push(line.trim_end().to_owned());
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (authority, path) = match target.strip_prefix("http://") {
        Some(rest) => rest.split_once('/').unwrap_or((rest, "")),
        None => (target, ""),
    };
    let mut server = TcpStream::connect(authority)?;
    if method == "CONNECT" {
        while reader.read_line(&mut line)? > 2 {}
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    } else {
        server.write_all(format!("{method} /{path} HTTP/1.1\r\n").as_bytes())?;
    }
    server.write_all(reader.buffer())?;
    let (mut from_client, mut to_server) = (reader.into_inner(), server.try_clone()?);
    thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
    std::io::copy(&mut &server, &mut client).map(drop)
}

#[test]
fn calls_and_tails_go_through_the_proxy_except_to_hosts_of_no_proxy() {
    let target = head().address.strip_prefix("http://").unwrap();
    let (proxy, lines) = start_proxy();
    for (excepted, is_used) in
        [("example.org", true), ("127.0.0.1", false), ("127.0.0.0/8", false), (target, false)]
    {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "proxies::child_uses_the_proxy_variables"])
            .env("RAY_API_SERVER_ADDRESS", &head().address)
            .env("FINISHED_JOB", &finished_job().0)
            .env("HTTP_PROXY", &proxy)
            .env("NO_PROXY", excepted)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let lines: Vec<_> = lines.lock().unwrap().drain(..).collect();
        assert_eq!(!lines.is_empty(), is_used, "{excepted} {lines:?}");
        let tunnels = lines.iter().filter(|line| line.starts_with("CONNECT "));
        assert_eq!(tunnels.count(), usize::from(is_used), "the WebSocket: {lines:?}");
        let absolute = format!("GET http://{target}/");
        let calls = lines.iter().filter(|line| line.starts_with(&absolute)).count();
        assert!(calls + 1 == lines.len() || !is_used, "{lines:?}");
    }
}

#[test]
#[ignore = "run by calls_and_tails_go_through_the_proxy_except_to_hosts_of_no_proxy, in a process of its own"]
fn child_uses_the_proxy_variables() {
    let address = std::env::var("RAY_API_SERVER_ADDRESS").unwrap();
    let id = std::env::var("FINISHED_JOB").unwrap();
    let client = RayClient::builder(address).bearer_token(TOKEN).build().unwrap();
    client.version().unwrap();
    let options = TailOptions::default().protocol(Protocol::Stream);
    client.tail_job_logs_with(&id, options).unwrap().for_each(|line| drop(line.unwrap()));
    let options = TailOptions::default().protocol(Protocol::WebSocket);
    client.tail_job_logs_with(&id, options).unwrap().for_each(|line| drop(line.unwrap()));
}
