//! Verifies that certificates are verified, for HTTP and WebSocket alike.

use std::time::{Duration, Instant};

use ray_client::RayClient;

use crate::tls::TlsServer;
use crate::{TOKEN, exercise, head, refusals};

fn server(host: &str) -> TlsServer {
    TlsServer::start(host, head().address.strip_prefix("http://").unwrap().to_owned())
}

fn address(server: &TlsServer) -> String {
    format!("https://localhost:{}", server.port)
}

#[test]
fn a_certificate_of_a_trusted_authority_is_accepted() {
    let server = server("localhost");
    let client = RayClient::builder(address(&server))
        .bearer_token(TOKEN)
        .ca_certificate_pem(server.ca.clone())
        .build()
        .unwrap();
    exercise(&client).unwrap();
    let names = server.names.lock().unwrap();
    assert!(names.len() >= 3, "one connection for calls, and one for each tail");
    assert!(names.iter().all(|name| name.as_deref() == Some("localhost")), "{names:?}");
}

#[test]
fn an_invalid_certificate_is_rejected_before_the_token_is_sent() {
    let stranger = server("localhost");
    let other_host = server("other.example");
    for (server, client) in [
        (&stranger, RayClient::builder(address(&stranger))),
        (
            &stranger,
            RayClient::builder(address(&stranger)).ca_certificate_pem(other_host.ca.clone()),
        ),
        (
            &other_host,
            RayClient::builder(address(&other_host)).ca_certificate_pem(other_host.ca.clone()),
        ),
    ] {
        let client = client.bearer_token(TOKEN).build().unwrap();
        for error in refusals(&client) {
            assert_eq!(error.status(), 503, "{error}");
            assert!(error.to_string().contains("certificate"), "{error}");
        }
        // Permanent errors are not retried.
        let start = Instant::now();
        let wait = client.wait_for_job("a", Duration::from_secs(60));
        let error = wait.unwrap_err();
        assert!(error.to_string().contains("certificate") && !error.is_retryable(), "{error}");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert!(server.names.lock().unwrap().is_empty(), "no handshake was completed");
    }
}

#[test]
fn invalid_certificates_are_accepted_if_allowed() {
    let server = server("other.example");
    let client = RayClient::builder(address(&server))
        .bearer_token(TOKEN)
        .accept_invalid_certs(true)
        .build()
        .unwrap();
    exercise(&client).unwrap();
}
