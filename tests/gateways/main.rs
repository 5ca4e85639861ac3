//! Tests the client through a real squid and a real nginx on loopback. Skipped if they are not
//! installed: `apt-get install squid nginx`.

#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/server.rs"]
mod server;

use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use ports::free_port;
use ray_client::logs::LogFile;
use ray_client::{ClientError, Protocol, RayClient, RetryPolicy, StreamLimits, TailOptions};
use server::{Server, close, job, job_with_log, respond, respond_json, version};

/// A daemon with its own folder, stopped on drop.
struct Daemon {
    port: u16,
    child: Child,
    folder: PathBuf,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Starts a program with this configuration, and replaces PORT and FOLDER in it. Returns `None` if
/// the program is not installed.
fn start(program: &str, arguments: &[&str], configuration: &str) -> Option<Daemon> {
    if Command::new(program).arg("-v").output().is_err() {
        // The macros write into the output that the test runner hides.
        let _ = writeln!(std::io::stderr(), "a test is skipped: {program} is not installed");
        return None;
    }
    let port = free_port();
    let folder = std::env::temp_dir().join(format!("ray-client-{program}-{port}"));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("conf");
    let name = folder.display().to_string();
    let text = configuration.replace("PORT", &port.to_string()).replace("FOLDER", &name);
    std::fs::write(&file, text).unwrap();
    let child = Command::new(program)
        .args(arguments)
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let daemon = Daemon { port, child, folder };
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "{program} does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    Some(daemon)
}

/// Starts squid with the rules that Debian installs.
fn squid(more: &str) -> Option<Daemon> {
    let configuration = format!(
        "acl SSL_ports port 443\nacl Safe_ports port 80 443 1025-65535\n\
         http_access deny !Safe_ports\nhttp_access deny CONNECT !SSL_ports\n{more}\
         http_access allow localhost\nhttp_access deny all\nhttp_port 127.0.0.1:PORT\n\
         pid_filename none\naccess_log none\ncache_log /dev/null\ncache deny all\n\
         coredump_dir FOLDER\nvisible_hostname squid.example\nshutdown_lifetime 0 seconds\n"
    );
    start("squid", &["-N", "-f"], &configuration)
}

/// Starts nginx, which forwards `/ray/` as HTTP/1.0, its default.
fn nginx(upstream: &str) -> Option<Daemon> {
    let configuration = format!(
        "daemon off; master_process off; pid FOLDER/pid; error_log /dev/null;\n\
         events {{}}\nhttp {{ access_log off; client_body_temp_path FOLDER/a; proxy_temp_path FOLDER/b;\n\
         fastcgi_temp_path FOLDER/c; uwsgi_temp_path FOLDER/d; scgi_temp_path FOLDER/e;\n\
         server {{ listen 127.0.0.1:PORT; location /ray/ {{ proxy_pass {upstream}/; }} }} }}\n"
    );
    start("nginx", &["-c"], &configuration)
}

/// Runs an ignored test in a separate process with this proxy.
fn run(child: &str, address: &str, proxy: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", child])
        .env("RAY_API_SERVER_ADDRESS", address)
        .env("HTTP_PROXY", proxy)
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn client(address: &str) -> RayClient {
    RayClient::builder(address).retry(RetryPolicy::none()).build().unwrap()
}

fn client_by_proxy() -> RayClient {
    client(&std::env::var("RAY_API_SERVER_ADDRESS").unwrap())
}

fn log_of_one_line() -> Server {
    job_with_log("SUCCEEDED", |_, stream| {
        respond(stream, 200, "content-type: text/plain\r\n", "one\n")
    })
}

fn tail(client: &RayClient, protocol: Protocol) -> Result<Vec<String>, ClientError> {
    let options =
        TailOptions::default().protocol(protocol).reconnects(0).limits(StreamLimits::unlimited());
    client.tail_job_logs_with("a", options)?.map(|line| line.map(Into::into)).collect()
}

#[test]
fn calls_and_logs_work_through_squid() {
    let ray = log_of_one_line();
    let Some(squid) = squid("") else { return };
    run("child_reads_by_squid", &ray.address(), &format!("http://127.0.0.1:{}", squid.port));
    assert!(ray.requests().iter().all(|request| request.header("via").is_some()), "all by squid");
    assert!(ray.count("GET /api/v0/logs/file") >= 2);
}

#[test]
#[ignore = "run by calls_and_logs_work_through_squid, in a process of its own"]
fn child_reads_by_squid() {
    let client = client_by_proxy();
    assert_eq!(client.get_job("a").unwrap().id(), "a");
    assert_eq!(client.list_job_logs("a").unwrap(), "one\n");
    assert_eq!(tail(&client, Protocol::Stream).unwrap(), ["one"]);
    // The rules of squid allow CONNECT only to port 443.
    let error = tail(&client, Protocol::WebSocket).unwrap_err();
    assert!(error.to_string().contains("the proxy 127.0.0.1:"), "{error}");
    assert!(error.to_string().contains("status 403"), "{error}");
}

#[test]
fn a_cluster_that_squid_cannot_reach_is_a_retryable_503() {
    let Some(squid) = squid("") else { return };
    let address = format!("http://127.0.0.1:{}", free_port());
    run("child_fails_by_squid", &address, &format!("http://127.0.0.1:{}", squid.port));
}

#[test]
#[ignore = "run by a_cluster_that_squid_cannot_reach_is_a_retryable_503"]
fn child_fails_by_squid() {
    let error = client_by_proxy().get_job("a").unwrap_err();
    assert_eq!(error.status(), 503, "{error}");
    assert!(error.is_retryable() && error.to_string().contains("ERROR"), "{error}");
}

#[test]
fn a_proxy_that_requires_a_password_is_named_and_not_retried() {
    let rules = "auth_param basic program /bin/cat\nacl known proxy_auth REQUIRED\n\
                 http_access deny !known\n";
    let Some(squid) = squid(rules) else { return };
    let ray = log_of_one_line();
    run("child_lacks_a_password", &ray.address(), &format!("http://127.0.0.1:{}", squid.port));
    assert!(ray.requests().is_empty());
}

#[test]
#[ignore = "run by a_proxy_that_requires_a_password_is_named_and_not_retried"]
fn child_lacks_a_password() {
    let error = client_by_proxy().get_job("a").unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    assert!(error.to_string().contains("the proxy 127.0.0.1:"), "{error}");
    assert!(error.to_string().contains("407"), "{error}");
}

#[test]
fn logs_work_through_nginx() {
    let ray = log_of_one_line();
    let Some(nginx) = nginx(&ray.address()) else { return };
    let client = client(&format!("http://127.0.0.1:{}/ray", nginx.port));
    assert_eq!(client.get_job("a").unwrap().id(), "a");
    assert_eq!(client.list_job_logs("a").unwrap(), "one\n");
    assert_eq!(tail(&client, Protocol::Stream).unwrap(), ["one"]);
}

#[test]
fn errors_of_nginx_are_gateway_errors() {
    let dead = format!("http://127.0.0.1:{}", free_port());
    let Some(nginx) = nginx(&dead) else { return };
    let port = nginx.port;
    let error = client(&format!("http://127.0.0.1:{port}/ray")).get_job("a").unwrap_err();
    assert_eq!(error.status(), 502, "{error}");
    assert!(error.is_retryable() && error.to_string().contains("502 Bad Gateway"), "{error}");
    let error = client(&format!("http://127.0.0.1:{port}/elsewhere")).get_job("a").unwrap_err();
    assert!(!matches!(error, ClientError::NotFound { .. }), "{error}");
    assert!(error.is_retryable() && error.to_string().contains("404 Not Found"), "{error}");
}

/// A dashboard whose first responses for a whole file are cut in the middle. It marks the end of a
/// response by closing the connection, as HTTP/1.0 servers do.
fn cuts_whole_files(log: &'static [u8], cuts: usize) -> Server {
    let cuts_left = AtomicUsize::new(cuts);
    let cut = move || cuts_left.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok();
    Server::start(move |request, stream| {
        let (content_type, body) = if request.is("GET /api/version") {
            return version(stream);
        } else if request.is("GET /api/v0/logs/file") {
            ("text/plain", request.part_of(log))
        } else if request.is("GET /api/v0/tasks/timeline") {
            ("application/json", TIMELINE)
        } else if request.is("GET /api/v0/tasks") {
            return respond_json(stream, &no_tasks());
        } else {
            return respond_json(stream, &job("a", "SUCCEEDED"));
        };
        let is_whole = request.last_lines().is_some() || !cut();
        let sent = if is_whole { body } else { &body[..body.len() / 2] };
        let head = format!("HTTP/1.0 200 OK\r\ncontent-type: {content_type}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), sent].concat())?;
        Err(close())
    })
}

/// Returns a client of this dashboard through nginx; `None` if nginx is not installed.
fn behind_nginx(log: &'static [u8], cuts: usize) -> Option<((Server, Daemon), RayClient)> {
    let ray = cuts_whole_files(log, cuts);
    let nginx = nginx(&ray.address())?;
    let client = client(&format!("http://127.0.0.1:{}/ray", nginx.port));
    Some(((ray, nginx), client))
}

const TIMELINE: &[u8] = br#"[{"name": "a", "args": {}}, {"name": "b", "args": {}}]"#;

fn no_tasks() -> serde_json::Value {
    serde_json::json!({"result": true, "msg": "", "data": {"result": {
        "total": 0, "num_after_truncation": 0, "num_filtered": 0, "result": [],
        "partial_failure_warning": "", "warnings": null,
    }}})
}

fn numbered(lines: usize) -> &'static [u8] {
    (0..lines).flat_map(|n| format!("line {n}\n").into_bytes()).collect::<Vec<_>>().leak()
}

#[test]
fn a_response_that_nginx_ends_early_is_not_a_complete_log() {
    let repeated = "the same line\n".repeat(20_000).leak().as_bytes();
    for log in [numbered(20_000), repeated] {
        for cuts in 0..3 {
            let text = std::str::from_utf8(log).unwrap();
            let Some((_behind, client)) = behind_nginx(log, cuts) else { return };
            let lines = tail(&client, Protocol::Stream).unwrap();
            assert!(lines.iter().eq(text.lines()), "{} lines after {cuts} cuts", lines.len());

            let Some((_behind, client)) = behind_nginx(log, cuts) else { return };
            assert!(client.list_job_logs("a").unwrap() == text, "{cuts} cuts");
            let file = LogFile::of_node("aa", "x.log");
            assert!(client.read_log_file(&file).unwrap() == text, "{cuts} cuts");
        }
    }
}

#[test]
fn a_log_that_is_cut_on_every_attempt_is_an_error() {
    let Some((_behind, client)) = behind_nginx(numbered(200_000), usize::MAX) else { return };
    assert_eq!(tail(&client, Protocol::Stream).unwrap_err().status(), 503);
    assert_eq!(client.list_job_logs("a").unwrap_err().status(), 503);
    let error = client.write_task_timeline(None, &mut Vec::new()).unwrap_err();
    assert!(error.status() == 503 && error.to_string().contains("broke off"), "{error}");
}
