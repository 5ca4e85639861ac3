//! Tests tokens, TLS and proxies with a real Ray that requires a token.

#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "tls")]
#[path = "../support/tls.rs"]
mod tls;

mod proxies;
#[cfg(feature = "tls")]
mod tls_connections;
mod tokens;

use std::sync::OnceLock;

use ray_client::{ClientError, JobSubmission, Protocol, RayClient, TailOptions};
use support::Head;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Returns a head that requires [`TOKEN`].
fn head() -> &'static Head {
    static HEAD: OnceLock<Head> = OnceLock::new();
    let token = format!("RAY_AUTH_TOKEN={TOKEN}");
    HEAD.get_or_init(|| Head::start(&["--env", "RAY_AUTH_MODE=token", "--env", &token]))
}

/// Returns a finished job of this head, and its log.
fn finished_job() -> &'static (String, Vec<u8>) {
    static JOB: OnceLock<(String, Vec<u8>)> = OnceLock::new();
    JOB.get_or_init(|| {
        let client = RayClient::builder(&*head().address).bearer_token(TOKEN).build().unwrap();
        let id = client.submit_job(&JobSubmission::new("echo done")).unwrap();
        client.wait_for_job(&id, std::time::Duration::from_secs(120)).unwrap();
        let log = head().log_file(&id);
        (id, log)
    })
}

/// Uses every kind of connection: a call, and a tail with each protocol.
fn exercise(client: &RayClient) -> Result<(), ClientError> {
    assert_eq!(client.version()?.ray_version, "2.60.0");
    let (id, log) = finished_job();
    for protocol in [Protocol::Stream, Protocol::WebSocket] {
        let options = TailOptions::default().protocol(protocol);
        let mut text = String::new();
        for line in client.tail_job_logs_with(id, options)? {
            text.push_str(&line?);
            text.push('\n');
        }
        assert_eq!(text.as_bytes(), log);
    }
    Ok(())
}

/// Returns the errors of the three connections of [`exercise`].
fn refusals(client: &RayClient) -> [ClientError; 3] {
    let tail = |protocol| {
        let options = TailOptions::default().protocol(protocol).reconnects(0);
        let mut tail = client.tail_job_logs_with(&finished_job().0, options).unwrap();
        let error = tail.next().unwrap().unwrap_err();
        assert!(tail.next().is_none());
        error
    };
    [client.version().unwrap_err(), tail(Protocol::Stream), tail(Protocol::WebSocket)]
}
