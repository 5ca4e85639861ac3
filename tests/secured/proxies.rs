//! Verifies that `HTTP_PROXY` and `NO_PROXY` are honoured by HTTP and WebSocket alike.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use ray_client::{Protocol, RayClient, TailOptions};

use crate::{TOKEN, finished_job, head};

/// A proxy that knows CONNECT, and the targets it was asked for.
fn start_proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let targets = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&targets);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let seen = Arc::clone(&seen);
            thread::spawn(move || connect(client, &seen));
        }
    });
    (address, targets)
}

fn connect(mut client: TcpStream, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
    lines.take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty())).for_each(drop);
    seen.lock().unwrap().push(target.clone());
    let server = TcpStream::connect(target)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
    std::io::copy(&mut &server, &mut client).map(drop)
}

#[test]
fn calls_and_tails_go_through_the_proxy_but_to_hosts_that_are_excepted() {
    let target = head().address.strip_prefix("http://").unwrap();
    let (proxy, targets) = start_proxy();
    for (excepted, through) in [("example.org", 4), ("127.0.0.1", 0)] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "proxies::child_goes_by_the_environment"])
            .env("RAY_API_SERVER_ADDRESS", &head().address)
            .env("FINISHED_JOB", &finished_job().0)
            .env("HTTP_PROXY", &proxy)
            .env("NO_PROXY", excepted)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let targets: Vec<_> = targets.lock().unwrap().drain(..).collect();
        assert_eq!(
            targets,
            vec![target; through],
            "calls, a tail by HTTP, and the calls and the socket of one by WebSocket"
        );
    }
}

#[test]
#[ignore = "run by calls_and_tails_go_through_the_proxy_but_to_hosts_that_are_excepted, in a process of its own"]
fn child_goes_by_the_environment() {
    let address = std::env::var("RAY_API_SERVER_ADDRESS").unwrap();
    let id = std::env::var("FINISHED_JOB").unwrap();
    let client = RayClient::builder(address).bearer_token(TOKEN).build().unwrap();
    client.version().unwrap();
    let options = TailOptions::default().protocol(Protocol::Stream);
    client.tail_job_logs_with(&id, options).unwrap().for_each(|line| drop(line.unwrap()));
    let options = TailOptions::default().protocol(Protocol::WebSocket);
    client.tail_job_logs_with(&id, options).unwrap().for_each(|line| drop(line.unwrap()));
}
