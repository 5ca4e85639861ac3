//! Verifies that a system that creates no more threads causes an error, not a panic. The program is a
//! separate process.

use std::process::Command;

use ray_client::{RayClient, RetryPolicy};

use crate::server::{Server, version};

#[test]
fn a_call_or_tail_that_needs_a_thread_is_an_error_if_there_is_none() {
    let server = Server::start(|_, stream| version(stream));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "threads::child_without_threads", "--test-threads", "1"])
        .env("RAY_API_SERVER_ADDRESS", format!("http://localhost:{}", server.addr.port()))
        // No system has memory for such a stack, so it creates no thread.
        .env("RUST_MIN_STACK", (1_usize << 50).to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[ignore = "run by a_call_or_tail_that_needs_a_thread_is_an_error_if_there_is_none"]
fn child_without_threads() {
    let address = std::env::var("RAY_API_SERVER_ADDRESS").unwrap();
    assert!(std::thread::Builder::new().spawn(|| ()).is_err());
    let by_name = RayClient::builder(&address).retry(RetryPolicy::none()).build().unwrap();
    // A call looks the name up in a thread.
    let error = by_name.version().unwrap_err();
    assert_eq!(error.status(), 503, "{error}");
    assert!(error.to_string().contains("thread"), "{error}");
    let by_number = RayClient::new(address.replace("localhost", "127.0.0.1")).unwrap();
    assert!(by_number.version().is_ok());
    for client in [by_name, by_number] {
        let error = client.tail_job_logs("a").unwrap_err();
        assert_eq!(error.status(), 429, "{error}");
        assert!(error.to_string().contains("thread"), "{error}");
    }
}
