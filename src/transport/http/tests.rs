//! Tests of `Http` with small servers.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::transport::{Proxies, Token};

/// Starts a server, and returns its address and the lines of the requests that it receives.
fn server() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|length| length > 2) {
                let _ = sender.send(std::mem::take(&mut line).trim_end().to_lowercase());
            }
            let _ = stream.get_mut().write_all(b"HTTP/1.1 200 x\r\ncontent-length: 2\r\n\r\n{}");
        }
    });
    (address, lines)
}

fn client(base: &str, vars: &[(&str, &str)]) -> Http {
    let var = |name: &str| {
        let found = vars.iter().find(|(n, _)| *n == name);
        Ok(found.map(|(_, value)| (*value).to_owned()))
    };
    let proxies = Proxies::from_vars(var).unwrap();
    let mut headers = super::super::HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("Basic passw0rd"));
    headers.insert("x-team", HeaderValue::from_static("ml"));
    Http::new(Settings {
        proxy: proxies.of(base).unwrap(),
        proxies,
        base: base.to_owned(),
        headers,
        token: Token::new("t0ken", None).map(Arc::new),
        token_header: "x-ray-authorization",
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(5),
        retry: RetryPolicy::none(),
        #[cfg(feature = "tls")]
        roots: None,
        #[cfg(feature = "tls")]
        accept_invalid_certs: false,
    })
}

fn sent_to_agent(client: &Http, agent: &str, with_token: bool, lines: &Receiver<String>) -> String {
    let agent = client.at(agent.to_owned(), with_token).unwrap();
    agent.send(&Request::get("log", "/logs/a".to_owned()).bytes()).unwrap();
    lines.try_iter().collect::<Vec<_>>().join("\n")
}

#[test]
fn a_connection_is_kept_only_after_a_body_with_an_end_and_without_close() {
    let head = |version, headers: &[(&'static str, &'static str)]| {
        let mut head = HttpResponse::new(());
        *head.version_mut() = version;
        for (name, value) in headers {
            head.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        head
    };
    let sized = ("content-length", "2");
    for (headers, expected) in [
        (&[sized][..], true),
        (&[("transfer-encoding", "chunked")], true),
        (&[sized, ("connection", "keep-alive")], true),
        (&[], false),
        (&[sized, ("connection", "Close")], false),
        (&[sized, ("connection", "x, close")], false),
        (&[sized, ("connection", "x"), ("connection", "close")], false),
    ] {
        assert_eq!(keeps_connection(&head(Version::HTTP_11, headers)), expected, "{headers:?}");
        assert!(!keeps_connection(&head(Version::HTTP_10, headers)), "{headers:?}");
    }
}

#[test]
fn a_tail_connects_once_for_each_request_over_https_and_ureq_keeps_the_others() {
    let of = |base: &str, is_tail: bool| {
        let http = client(base, &[]);
        let http = if is_tail { http.for_tail(Duration::from_secs(5)) } else { http };
        let request = Request::get("version", "/api/version".to_owned());
        let with_deadline = request.clone().deadline(Some(Instant::now()));
        [http.is_for_ureq(&request, None), http.is_for_ureq(&with_deadline, None)]
    };
    assert_eq!(of("http://ray.example", true), [true, true]);
    assert_eq!(of("https://ray.example", true), [false, false]);
    assert_eq!(of("http://ray.example", false), [true, false]);
    assert_eq!(of("https://ray.example", false), [true, false]);
}

#[test]
fn an_agent_gets_no_header_except_the_token() {
    let (agent, lines) = server();
    for base in ["http://ray.example:8265", "https://ray.example:8265"] {
        let client = client(base, &[]);
        let without = sent_to_agent(&client, &agent, false, &lines);
        assert!(without.starts_with("get /logs/a http/1.1"), "{without}");
        assert!(!without.contains("authorization") && !without.contains("x-team"), "{without}");
        let with = sent_to_agent(&client, &agent, true, &lines);
        assert!(with.contains("\nauthorization: bearer t0ken"), "{with}");
        assert!(!with.contains("passw0rd") && !with.contains("x-team"), "{with}");
    }
}

#[test]
fn an_agent_uses_the_proxy_for_its_own_address() {
    let (proxy, lines) = server();
    let (direct, direct_lines) = server();
    let vars = [("HTTP_PROXY", &*proxy), ("NO_PROXY", "127.0.0.0/8")];
    let client = client("https://ray.example:8265", &vars);
    let by_proxy = sent_to_agent(&client, "http://10.0.0.5:52365", false, &lines);
    assert!(by_proxy.starts_with("get http://10.0.0.5:52365/logs/a http/1.1"), "{by_proxy}");
    assert!(!sent_to_agent(&client, &direct, false, &direct_lines).is_empty());
    assert!(lines.try_iter().next().is_none());
    let socks = client_with_socks();
    assert_eq!(socks.at("http://10.0.0.5:52365".to_owned(), false).err().unwrap().status(), 400);
}

#[test]
fn the_callers_user_agent_replaces_the_default() {
    for by_proxy in [false, true] {
        let (server, lines) = server();
        let base = if by_proxy { "http://ray.example:8265" } else { &server };
        let proxy = if by_proxy { &*server } else { "" };
        let http = client(base, &[("HTTP_PROXY", proxy)]);
        let mut settings = (*http.settings).clone();
        settings.headers.insert("user-agent", HeaderValue::from_static("me/1"));
        let request = Request::get("version", "/api/version".to_owned());
        Http::new(settings).send(&request).unwrap();
        let agents = lines.try_iter().filter(|line| line.starts_with("user-agent:"));
        assert_eq!(agents.collect::<Vec<_>>(), ["user-agent: me/1"], "{by_proxy}");
    }
}

#[test]
fn the_host_header_has_no_default_port() {
    for (base, expected) in [
        ("http://h:80/x", "h"),
        ("https://h:443", "h"),
        ("https://h:80", "h:80"),
        ("http://h", "h"),
        ("http://h:8265/x", "h:8265"),
        ("http://[::1]:8265", "[::1]:8265"),
        ("http://[::1]:80", "[::1]"),
    ] {
        assert_eq!(client(base, &[]).settings.host_header(), expected);
    }
    let (proxy, lines) = server();
    let http = client("http://ray.example:80", &[("HTTP_PROXY", &proxy)]);
    http.send(&Request::get("version", "/api/version".to_owned())).unwrap();
    let hosts = lines.try_iter().filter(|line| line.starts_with("host:"));
    assert_eq!(hosts.collect::<Vec<_>>(), ["host: ray.example"]);
}

fn stream() -> Stream {
    let (address, _lines) = server();
    let request = Request::get("log", "/logs/a".to_owned());
    client(&address, &[]).stream(&request, Duration::from_secs(5)).unwrap()
}

#[test]
fn a_stream_below_the_minimum_rate_is_a_timeout() {
    let mut stream = stream();
    stream.late = Duration::from_secs(59);
    assert!(matches!(stream.read(&mut [0; 1]), Ok(1)));
    // The byte makes up for a millisecond.
    let late = stream.late;
    assert!(late > Duration::from_millis(58_999) && late < Duration::from_secs(60), "{late:?}");
    stream.late = Duration::from_secs(61);
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.status(), 408, "{error}");
}

#[test]
fn a_stream_that_does_not_end_is_a_timeout() {
    let mut stream = stream();
    stream.taken = Duration::from_secs(599);
    assert!(matches!(stream.read(&mut [0; 1]), Ok(1)));
    assert!(stream.taken > Duration::from_secs(599), "the time of each read counts");
    stream.taken = Duration::from_secs(601);
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.status(), 408, "{error}");
    assert!(error.to_string().ends_with("has not ended after 600s"), "{error}");
}

#[cfg(feature = "tls")]
#[test]
fn a_tls_handshake_that_stops_midway_is_a_connect_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // The head of a record, and no more of it.
        let _ = stream.write_all(b"\x16\x03\x03\x00\x7a\x02");
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let mut settings = (*client(&address, &[]).settings).clone();
    settings.connect_timeout = Duration::from_millis(300);
    let request = Request::get("log", "/logs/a".to_owned());
    let error = Http::new(settings).stream(&request, Duration::from_secs(5)).err().unwrap();
    assert_eq!(error.timeout_kind(), Some(crate::TimeoutKind::Connect), "{error}");
}

fn client_with_socks() -> Http {
    client("https://ray.example:8265", &[("HTTP_PROXY", "socks5://proxy.example")])
}

#[test]
fn shutdown_is_final_and_includes_copies_for_other_addresses() {
    let (address, _lines) = server();
    let tail = client(&address, &[]).for_tail(Duration::from_secs(5));
    let agent = tail.at(address.clone(), false).unwrap();
    let request = Request::get("log", "/logs/a".to_owned());
    assert!(agent.send(&request).is_ok() && tail.send(&request).is_ok());
    tail.shutdown();
    for http in [&agent, &tail, &tail.at(address, false).unwrap()] {
        assert_eq!(http.send(&request).err().unwrap().status(), 503);
    }
}
