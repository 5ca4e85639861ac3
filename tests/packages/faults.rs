//! Verifies uploads that fail, change during packing or exceed the limit.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ray_client::{ClientError, JobSubmission, Package, RayClient, RetryPolicy};
use serde_json::json;

use crate::Folder;
use crate::server::{Server, respond, respond_json};

const LIMIT: u64 = 100 * 1024 * 1024;
/// More than all buffers along the connection hold.
const LARGE: usize = 8 * 1024 * 1024;
/// More than one read returns.
const SEVERAL_PIECES: usize = 700_000;

fn client(address: &str) -> RayClient {
    RayClient::builder(address).retry(RetryPolicy::none()).build().unwrap()
}

/// A dashboard without packages, which calls `before` before it responds.
fn without_packages(before: impl Fn() + Send + Sync + 'static) -> Server {
    Server::start(move |request, stream| {
        if request.is("GET /api/packages/") {
            before();
            no_package(stream, "")
        } else if request.is("GET /api/jobs/a") {
            respond(stream, 404, "content-type: text/plain\r\n", "Job a does not exist")
        } else if request.is("POST /api/jobs/") {
            respond_json(stream, &json!({"submission_id": "a"}))
        } else {
            respond(stream, 200, "", "")
        }
    })
}

/// Sends Ray's response for a missing package.
fn no_package(stream: &mut TcpStream, headers: &str) -> std::io::Result<()> {
    let headers = format!("content-type: text/plain; charset=utf-8\r\n{headers}");
    respond(stream, 404, &headers, "Package gcs://_ray_pkg_1.zip does not exist")
}

fn assert_refused(result: Result<impl std::fmt::Debug, ClientError>, words: &[&str]) {
    let error = result.unwrap_err();
    assert_eq!(error.status(), 400, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}

#[test]
fn a_broken_upload_is_retried_however_long_it_took() {
    const DEADLINE: Duration = Duration::from_millis(100);
    let folder = Folder::new();
    folder.write("data.bin", vec![b'x'; LARGE]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let dashboard = thread::spawn(move || {
        let mut received = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            let (line, length) = read_head(&mut stream);
            if line.starts_with("GET") {
                no_package(&mut stream, "connection: close\r\n").unwrap();
                continue;
            }
            let most = if received.is_empty() { LARGE as u64 / 2 } else { length };
            let read = std::io::copy(&mut (&stream).take(most), &mut std::io::sink()).unwrap();
            received.push((read, length));
            if received.len() == 2 {
                respond(&mut stream, 200, "", "").unwrap();
                return received;
            }
        }
    });
    let policy = RetryPolicy::default().backoff(Duration::ZERO).deadline(DEADLINE);
    let client = RayClient::builder(address).retry(policy).build().unwrap();
    let mut sent = Vec::new();
    let package = Package::working_dir(folder.path());
    let start = Instant::now();
    let upload = client
        .upload_package_with_progress(&package, |done, all| {
            sent.push((done, all));
            while start.elapsed() <= DEADLINE {
                thread::yield_now();
            }
        })
        .unwrap();
    assert!(upload.uploaded);
    let received = dashboard.join().unwrap();
    assert_eq!(received[1], (upload.bytes, upload.bytes));
    assert!(received[0].0 < received[0].1);
    assert_eq!(sent.last(), Some(&(upload.bytes, upload.bytes)));
    let again = sent.windows(2).filter(|pair| pair[1].0 < pair[0].0).count();
    assert_eq!(again, 1, "progress begins again once");
}

/// Returns the request line and the length of the body.
fn read_head(stream: &mut TcpStream) -> (String, u64) {
    // Reads single bytes, because none of the body may be consumed.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let mut lines = BufReader::new(&head[..]).lines().map(Result::unwrap);
    let line = lines.next().unwrap();
    let length =
        lines.find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    (line, length.unwrap_or(0))
}

#[test]
fn a_file_that_changes_during_packing_is_not_uploaded() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 5] = [
        ("other content", |path| std::fs::write(path, vec![b'y'; SEVERAL_PIECES]).unwrap()),
        ("one other byte at the end", |path| {
            let mut content = vec![b'x'; SEVERAL_PIECES];
            content[SEVERAL_PIECES - 1] = b'y';
            std::fs::write(path, content).unwrap();
        }),
        ("shorter", |path| std::fs::write(path, "x").unwrap()),
        ("longer", |path| std::fs::write(path, vec![b'x'; SEVERAL_PIECES + 1]).unwrap()),
        ("gone", |path| std::fs::remove_file(path).unwrap()),
    ];
    for (what, change) in changes {
        for name in ["first.bin", "zz_last.bin", "app.zip"] {
            let folder = Folder::new();
            folder.write("main.py", "");
            let path = folder.write(name, vec![b'x'; SEVERAL_PIECES]);
            let package = if name == "app.zip" { &path } else { folder.path() }.to_owned();
            let server = without_packages(move || change(&path));
            let package = Package::working_dir(package);
            // A retry would find the same file.
            let client = RayClient::new(server.address()).unwrap();
            assert_refused(client.upload_package(&package), &[name, "changed"]);
            assert_eq!(server.count("PUT"), 0, "{what}: no whole request came");
        }
    }
}

#[test]
fn an_empty_file_that_grows_during_packing_is_not_uploaded() {
    let folder = Folder::new();
    let path = folder.write("empty.py", "");
    let server = without_packages(move || std::fs::write(&path, "x").unwrap());
    let package = Package::working_dir(folder.path());
    assert_refused(client(&server.address()).upload_package(&package), &["empty.py", "changed"]);
    assert_eq!(server.count("PUT"), 0);
}

#[test]
fn packages_above_the_size_limit_are_rejected_before_sending() {
    let server = without_packages(|| {});
    let client = client(&server.address());
    let folder = Folder::new();
    let sparse = |name: &str, size| {
        std::fs::File::create(folder.write(name, "")).unwrap().set_len(size).unwrap();
    };
    sparse("model/weights.bin", LIMIT / 2);
    sparse("model/more.bin", LIMIT / 2);
    sparse("small.bin", 1);
    let words = ["weights.bin` 50.0 MiB", "more.bin", "100.0 MiB"];
    assert_refused(client.upload_package(&Package::working_dir(folder.path())), &words);
    assert_refused(client.upload_package(&Package::py_module(folder.path())), &words);
    let job = JobSubmission::new("x").working_dir(folder.path());
    assert_refused(client.submit_job(&job), &words);
    sparse("app.zip", LIMIT);
    let archive = Package::working_dir(folder.path().join("app.zip"));
    assert_refused(client.upload_package(&archive), &["app.zip"]);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_package_must_be_smaller_than_the_limit() {
    let server = without_packages(|| {});
    let folder = Folder::new();
    // Two headers and the end record: 30 + 46 + 22 bytes, and the name twice.
    let overhead = 98 + 2 * "data.bin".len() as u64;
    let data = folder.write("data.bin", "");
    let file = std::fs::File::create(data).unwrap();
    let package = Package::working_dir(folder.path());
    file.set_len(LIMIT - overhead).unwrap();
    assert_refused(client(&server.address()).upload_package(&package), &["data.bin"]);
    file.set_len(LIMIT - overhead - 1).unwrap();
    let upload = client(&server.address()).upload_package(&package).unwrap();
    assert_eq!(upload.bytes, LIMIT - 1);
}

#[test]
fn a_package_without_files_is_rejected() {
    let server = without_packages(|| {});
    let folder = Folder::new();
    folder.write("main.py", "");
    let package = Package::working_dir(folder.path()).excludes(["*"]);
    assert_refused(client(&server.address()).upload_package(&package), &["nothing is left"]);
    assert_refused(package.uri(), &["nothing is left"]);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn one_directory_in_both_roles_is_rejected() {
    let server = without_packages(|| {});
    let folder = Folder::new();
    folder.write("main.py", "");
    let job = JobSubmission::new("x").working_dir(folder.path()).py_module(folder.path());
    assert_refused(client(&server.address()).submit_job(&job), &["same name"]);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_job_is_submitted_with_the_uris_of_its_packages() {
    let server = without_packages(|| {});
    let folder = Folder::new();
    folder.write("app/main.py", "print(1)");
    folder.write("lib/__init__.py", "");
    let (app, lib) = (folder.path().join("app"), folder.path().join("lib"));
    let job = JobSubmission::new("python main.py")
        .submission_id("a")
        .working_dir(&app)
        .py_module(&lib)
        .py_module(&lib)
        .py_module("s3://bucket/other.zip")
        .excludes(["*.ckpt"]);
    let mut sent = Vec::new();
    let client = client(&server.address());
    client.submit_job_with_progress(&job, |done, all| sent.push((done, all))).unwrap();
    let requests = server.requests();
    let body: serde_json::Value = serde_json::from_slice(&requests.last().unwrap().body).unwrap();
    let app = Package::working_dir(app).uri().unwrap();
    let lib = Package::py_module(lib).uri().unwrap();
    assert_eq!(
        body["runtime_env"],
        json!({
            "working_dir": app, "py_modules": [lib, lib, "s3://bucket/other.zip"],
            "excludes": ["*.ckpt"],
        })
    );
    assert_eq!(server.count("PUT"), 2, "the module given twice is sent once");
    assert!(sent.is_sorted() && sent.iter().all(|(_, all)| *all == sent.last().unwrap().0));
}

#[test]
fn an_existing_package_is_not_uploaded_again() {
    let server = Server::start(|_, stream| respond(stream, 200, "", ""));
    let folder = Folder::new();
    folder.write("main.py", "");
    let package = Package::working_dir(folder.path());
    let upload = client(&server.address())
        .upload_package_with_progress(&package, |_, _| panic!("nothing is sent"))
        .unwrap();
    assert!(!upload.uploaded);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn an_early_response_to_an_upload_is_reported() {
    let folder = Folder::new();
    folder.write("data.bin", vec![b'x'; LARGE]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let gateway = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_head(&mut stream);
        no_package(&mut stream, "connection: close\r\n").unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        read_head(&mut stream);
        respond(&mut stream, 413, "connection: close\r\n", "too large").unwrap();
        // Like nginx, reads and discards the rest for a while.
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let error = client(&address).upload_package(&Package::working_dir(folder.path())).unwrap_err();
    assert_eq!(error.status(), 413, "{error}");
    gateway.join().unwrap();
}

#[test]
fn a_web_page_does_not_mean_that_a_package_exists() {
    let folder = Folder::new();
    folder.write("main.py", "");
    let package = Package::working_dir(folder.path());
    for page_for in ["GET", "PUT"] {
        let server = Server::start(move |request, stream| {
            if request.is(page_for) {
                return respond(stream, 200, "content-type: text/html\r\n", "<html>log in</html>");
            }
            no_package(stream, "")
        });
        let error = client(&server.address()).upload_package(&package).unwrap_err();
        assert_eq!(error.status(), 500, "{error}");
    }
}

#[test]
fn a_large_package_is_not_held_in_memory() {
    let server = without_packages(|| {});
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults::upload_90_mb", "--ignored", "--nocapture"])
        .env("ADDRESS_OF_THE_TEST", server.address())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    let above =
        output.lines().find_map(|line| line.split("KiB above: ").nth(1)?.parse::<u64>().ok());
    assert!(above.unwrap() <= 16 * 1024, "{output}");
}

#[test]
#[ignore = "run in a process of its own"]
fn upload_90_mb() {
    let folder = Folder::new();
    for n in 0..90 {
        folder.write(&format!("{n}.bin"), vec![n; 1_000_000]);
    }
    let client = client(&std::env::var("ADDRESS_OF_THE_TEST").unwrap());
    client.version().unwrap_err();
    let idle = most_memory();
    let upload = client.upload_package(&Package::working_dir(folder.path())).unwrap();
    assert!(upload.uploaded && upload.bytes > 90_000_000);
    println!("KiB above: {}", most_memory() - idle);
}

/// Returns the peak memory of this process, in KiB.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
