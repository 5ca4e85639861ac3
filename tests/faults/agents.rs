//! Verifies that a log is read from the node's agent only if the agent serves this log, and that no
//! byte is lost, duplicated or delayed if the agent is wrong or fails.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use ray_client::logs::LogFile;
use ray_client::{AgentAccess, LogTail, Protocol, RayClient, RetryPolicy, TailOptions};

use crate::cluster::{Answer, Cluster, eventually, hurried, next, numbered, rest};
use crate::server::{Request, close, full_listener, hold, reset, respond, respond_range};
use crate::{check_message, collect, lines_of, options};

const NOT_THE_AGENT: [(&str, Answer); 19] = [
    ("404", |_, s, _| respond(s, 404, "", "404: Not Found")),
    ("another log", |r, s, _| respond_range(r, s, &numbered(5000..15_000))),
    ("the same first bytes and others later", |r, s, log| {
        let mut other = log.to_vec();
        let end = other.len();
        other[8000..end].fill(b'x');
        respond_range(r, s, &other)
    }),
    ("a longer file that begins with the log", |r, s, log| {
        respond_range(r, s, &[log, &numbered(0..9)].concat())
    }),
    ("an old copy", |r, s, log| respond_range(r, s, &log[..log.len().min(20_000)])),
    ("an empty file", |r, s, _| respond_range(r, s, b"")),
    ("silence", |_, s, _| Err(hold(s))),
    ("a FIN", |_, _, _| Err(close())),
    ("a reset", |_, s, _| Err(reset(s))),
    ("401", |_, s, _| respond(s, 401, "", "Unauthorized")),
    ("403", |_, s, _| respond(s, 403, "", "Forbidden")),
    ("503", |_, s, _| respond(s, 503, "", "not now")),
    ("a page", |_, s, _| respond(s, 200, "content-type: text/html\r\n", "<html>Welcome</html>")),
    ("no ranges", |_, s, log| respond(s, 200, "", log)),
    ("a redirect", |_, s, _| respond(s, 302, "location: http://127.0.0.1:1/\r\n", "")),
    ("a range that was not asked for", |_, s, log| {
        let range = format!("content-range: bytes 7-99/{}\r\n", log.len());
        respond(s, 206, &range, &log[7..100])
    }),
    ("less than its range says", |_, s, log| {
        let range = format!("content-range: bytes 0-99/{}\r\n", log.len());
        respond(s, 206, &range, &log[..50])
    }),
    ("a range that makes no sense", |_, s, log| {
        respond(s, 206, "content-range: bytes 99-0/18446744073709551615\r\n", log)
    }),
    ("an answer without an end", |_, s, log| {
        s.write_all(b"HTTP/1.1 206 x\r\ncontent-range: bytes 0-99/100\r\n\r\n")?;
        loop {
            s.write_all(log)?;
        }
    }),
];

#[test]
fn auto_delivers_the_log_once_if_the_agent_is_wrong() {
    thread::scope(|scope| {
        for (name, answer) in NOT_THE_AGENT {
            scope.spawn(move || {
                let cluster = Cluster::start(numbered(0..5000), answer);
                let client = cluster.client();
                let mut tail = client.tail_job_logs_with("a", hurried(Protocol::Auto)).unwrap();
                let mut lines = vec![next(&mut tail)];
                eventually(name, || !cluster.agent.requests().is_empty());
                for n in 5000..5010 {
                    cluster.write(format!("this is line number {n}\n"));
                    while lines.last() != Some(&format!("this is line number {n}")) {
                        lines.push(next(&mut tail));
                    }
                    // Longer than the agent check takes.
                    thread::sleep(Duration::from_millis(300));
                }
                let asked = cluster.agent.requests().len();
                cluster.end();
                let (last, end) = rest(tail);
                assert!(end.is_none(), "{name}: {end:?}");
                lines.extend(last);
                assert!(lines == lines_of(&cluster.log.now()), "{name}: {} lines", lines.len());

                // The client now knows that the agent is wrong.
                let (again, end) = collect(&client, hurried(Protocol::Auto));
                assert!(end.is_none() && again == lines, "{name}: {end:?}");
                assert_eq!(cluster.agent.requests().len(), asked, "{name}");
                assert!(asked < 20, "{name}: asked {asked} times");
            });
        }
    });
}

#[test]
fn agent_only_is_an_error_if_the_agent_is_wrong() {
    thread::scope(|scope| {
        for (name, answer) in NOT_THE_AGENT {
            scope.spawn(move || {
                let cluster = Cluster::start(numbered(0..5000), answer);
                let options = hurried(Protocol::Agent).reconnects(0);
                let (lines, end) = collect(&cluster.client(), options);
                let error = end.unwrap_or_else(|| panic!("{name}: as if all were well"));
                assert!(lines.is_empty(), "{name}: {} lines", lines.len());
                assert!([401, 403, 404, 408, 503, 500, 302].contains(&error.status()), "{error}");
                println!("{name}: {} {error}", error.status());
                check_message(&error);
            });
        }
    });
}

/// How an agent fails after it was in use.
const GOES: [(&str, Answer); 13] = [
    ("a FIN", |_, _, _| Err(close())),
    ("a reset", |_, s, _| Err(reset(s))),
    ("silence", |_, s, _| Err(hold(s))),
    ("404", |_, s, _| respond(s, 404, "", "404: Not Found")),
    ("401", |_, s, _| respond(s, 401, "", "Unauthorized")),
    ("500", |_, s, _| respond(s, 500, "", "500 Internal Server Error")),
    ("a page", |_, s, _| respond(s, 200, "content-type: text/html\r\n", "<html>Welcome</html>")),
    ("half an answer", |_, s, log| {
        let range = format!("content-range: bytes 0-{}/{}\r\n", log.len() - 1, log.len());
        let length = log.len();
        let head = format!("HTTP/1.1 206 x\r\ncontent-length: {length}\r\n{range}\r\n");
        s.write_all(&[head.as_bytes(), &log[..length / 2]].concat())?;
        Err(close())
    }),
    ("a shorter file", |r, s, log| respond_range(r, s, &log[..log.len() / 2])),
    ("an empty file", |r, s, _| respond_range(r, s, b"")),
    ("a longer file", |r, s, log| respond_range(r, s, &[&numbered(0..9), log].concat())),
    ("another file as long", |r, s, log| {
        let other: Vec<u8> = log.iter().map(u8::to_ascii_uppercase).collect();
        respond_range(r, s, &other)
    }),
    ("another log", |r, s, _| respond_range(r, s, &numbered(90_000..99_999))),
];

/// Starts a tail and waits until it reads from the agent and has delivered all lines.
fn tail_by_agent(cluster: &Cluster, client: &RayClient, options: TailOptions) -> LogTail {
    let mut tail = client.tail_job_logs_with("a", options).unwrap();
    let last = lines_of(&cluster.log.now()).pop().unwrap();
    while next(&mut tail) != last {}
    cluster.wait_for_agent_requests(8);
    tail
}

#[test]
fn auto_stops_using_an_agent_that_fails_and_loses_no_byte() {
    thread::scope(|scope| {
        for (name, answer) in GOES {
            scope.spawn(move || {
                let cluster = Cluster::start(numbered(0..2000), respond_range);
                let client = cluster.client();
                let mut tail = tail_by_agent(&cluster, &client, hurried(Protocol::Auto));
                cluster.agent_answers(answer);
                for n in 2000..2020 {
                    cluster.write(format!("this is line number {n}\n"));
                    assert_eq!(next(&mut tail), format!("this is line number {n}"), "{name}");
                }
                let asked = cluster.agent.requests().len();
                // The agent is back, but the client does not use it for a minute.
                cluster.agent_answers(respond_range);
                for n in 2020..2040 {
                    cluster.write(format!("this is line number {n}\n"));
                    assert_eq!(next(&mut tail), format!("this is line number {n}"), "{name}");
                }
                thread::sleep(Duration::from_secs(2));
                cluster.end();
                let (lines, end) = rest(tail);
                assert!(lines.is_empty() && end.is_none(), "{name}: {lines:?} {end:?}");
                assert_eq!(cluster.agent.requests().len(), asked, "{name}");
            });
        }
    });
}

#[test]
fn agent_only_ends_with_an_error_if_the_agent_fails() {
    thread::scope(|scope| {
        for (name, answer) in GOES {
            scope.spawn(move || {
                let cluster = Cluster::start(numbered(0..2000), respond_range);
                let client = cluster.client();
                let tail = tail_by_agent(&cluster, &client, hurried(Protocol::Agent).reconnects(1));
                cluster.agent_answers(answer);
                cluster.write("one more\n");
                let (lines, end) = rest(tail);
                let error = end.unwrap_or_else(|| panic!("{name}: as if all were well"));
                assert!(lines.is_empty() || lines == ["one more"], "{name}: {lines:?}");
                println!("{name}: {} {error}", error.status());
                check_message(&error);
            });
        }
    });
}

#[test]
fn agent_only_waits_until_the_agent_is_back() {
    for (_, answer) in &GOES[..2] {
        let cluster = Cluster::start(numbered(0..2000), respond_range);
        let client = cluster.client();
        let mut tail = tail_by_agent(&cluster, &client, hurried(Protocol::Agent));
        cluster.agent_answers(*answer);
        cluster.wait_for_agent_requests(1);
        cluster.write("one more\n");
        cluster.agent_answers(respond_range);
        assert_eq!(next(&mut tail), "one more");
        cluster.end();
        assert!(tail.next().is_none());
    }
}

#[test]
fn every_byte_arrives_once_and_polls_keep_the_interval() {
    for protocol in [Protocol::Agent, Protocol::Auto] {
        let cluster = Cluster::start(numbered(0..200_000), respond_range);
        let client = cluster.client();
        let interval = Duration::from_millis(100);
        let options = options(protocol).poll_interval(interval);
        let mut tail = client.tail_job_logs_with("a", options).unwrap();
        let mut lines: Vec<_> = (0..200_000).map(|_| next(&mut tail)).collect();
        let asked = cluster.agent.requests().len();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(3) {
            cluster.write(format!("this is line number {}\n", lines.len()));
            lines.push(next(&mut tail));
        }
        let looks = cluster.agent.requests().len() - asked;
        cluster.end();
        assert!(tail.next().is_none());
        assert!(lines == lines_of(&cluster.log.now()));

        assert!(looks <= 32, "{protocol}: {looks} looks in 3 s");
        let statuses = cluster.dashboard.count("GET /api/jobs/a");
        assert!(statuses <= 3, "{protocol}: a job that writes was asked {statuses} times");
        let by_agent = cluster.by_agent.load(Ordering::Relaxed);
        let by_dashboard = cluster.log.sent.load(Ordering::Relaxed);
        let log = cluster.log.now().len();
        println!("{protocol}: {by_agent} and {by_dashboard} bytes of {log}, {statuses} statuses");
        assert!(by_agent <= log * 11 / 10, "{protocol}: {by_agent} bytes of {log}");
    }
}

#[test]
fn the_agent_check_costs_the_same_for_any_log_length() {
    for lines in [2000, 200_000] {
        let cluster = Cluster::start(numbered(0..lines), respond_range);
        let options = options(Protocol::Agent).from_position(cluster.log.now().len() as u64);
        let client = cluster.client();
        let tail = client.tail_job_logs_with("a", options).unwrap();
        eventually("the agent is read", || cluster.agent.requests().len() > 5);
        drop(tail);
        let by_agent = cluster.by_agent.load(Ordering::Relaxed);
        let dashboard = cluster.dashboard.requests();
        println!("{by_agent}");
        assert!(by_agent < 10_000, "{by_agent} bytes");
        let last_lines: usize = dashboard.iter().filter_map(Request::last_lines).sum();
        assert!(last_lines < 10, "{last_lines} lines");
    }
}

/// Returns the requests that a tail with `Auto` sent to the agent.
fn asked_of_agent(access: AgentAccess) -> Vec<Request> {
    let cluster = Cluster::start(numbered(0..100), respond_range);
    let client = RayClient::builder(cluster.dashboard.address())
        .retry(RetryPolicy::none())
        .bearer_token("the-token")
        .header("X-Team", "ml")
        .header("Cookie", "a=b")
        .agent_access(access)
        .build()
        .unwrap();
    let mut tail = client.tail_job_logs_with("a", hurried(Protocol::Auto)).unwrap();
    for _ in 0..100 {
        next(&mut tail);
    }
    thread::sleep(Duration::from_millis(700));
    cluster.end();
    assert!(tail.next().is_none());
    for request in cluster.dashboard.requests() {
        assert_eq!(request.header("authorization"), Some("Bearer the-token"));
        assert_eq!(request.header("x-team"), Some("ml"));
    }
    cluster.agent.requests()
}

#[test]
fn agents_get_no_custom_headers_and_the_token_only_if_allowed() {
    for (access, token) in
        [(AgentAccess::WithoutToken, None), (AgentAccess::WithToken, Some("Bearer the-token"))]
    {
        let requests = asked_of_agent(access);
        assert!(!requests.is_empty());
        for request in requests {
            assert_eq!(request.header("authorization"), token, "{:?}", request.headers);
            let is_callers = |name: &str| request.header(name).is_some();
            assert!(!is_callers("x-team") && !is_callers("cookie"), "{:?}", request.headers);
        }
    }
    assert!(asked_of_agent(AgentAccess::Never).is_empty());
    let client = RayClient::builder("https://head").build().unwrap();
    let error = client.tail_job_logs_with("a", options(Protocol::Agent)).unwrap_err();
    assert_eq!(error.status(), 400, "{error}");
}

#[test]
fn agent_only_fails_at_once_if_the_agent_requires_a_token() {
    let answer: Answer = |_, s, _| respond(s, 401, "", "Unauthorized: Missing token");
    let cluster = Cluster::start(numbered(0..3), answer);
    let (lines, end) = collect(&cluster.client(), hurried(Protocol::Agent).reconnects(9));
    let error = end.unwrap();
    assert_eq!((lines.len(), error.status()), (0, 401));
    assert!(error.to_string().contains("agent_access"), "{error}");
    check_message(&error);
    assert_eq!(cluster.agent.requests().len(), 1);
}

#[test]
fn an_agent_check_that_hangs_delays_no_line_and_is_not_repeated() {
    let (_listener, full, _waiting) = full_listener();
    let hangs: Answer = |_, s, _| Err(hold(s));
    for address in [None, Some(format!("http://{full}"))] {
        let cluster = Cluster::start_with(numbered(0..100), hangs, address);
        let client = cluster.client();
        let start = Instant::now();
        let mut tail = client.tail_job_logs_with("a", hurried(Protocol::Auto)).unwrap();
        for _ in 0..100 {
            next(&mut tail);
        }
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        // Lasts longer than the agent check, which takes a second.
        let mut worst = Duration::ZERO;
        for n in 0..25 {
            let written = Instant::now();
            cluster.write(format!("late line {n}\n"));
            assert_eq!(next(&mut tail), format!("late line {n}"));
            worst = worst.max(written.elapsed());
            thread::sleep(Duration::from_millis(100));
        }
        assert!(worst < Duration::from_secs(1), "{worst:?}");
        let asked = cluster.agent.requests().len();
        let mut other = client.tail_job_logs_with("a", hurried(Protocol::Auto)).unwrap();
        for _ in 0..125 {
            next(&mut other);
        }
        thread::sleep(Duration::from_secs(1));
        cluster.end();
        assert!(tail.next().is_none() && other.next().is_none());
        assert_eq!(cluster.agent.requests().len(), asked);
    }
}

#[test]
fn dropping_a_tail_frees_its_connections_at_once() {
    let (_listener, full, _waiting) = full_listener();
    let hangs: Answer = |_, s, _| Err(hold(s));
    for protocol in [Protocol::Agent, Protocol::Auto] {
        for (answer, address) in [
            (respond_range as Answer, None),
            (hangs, None),
            (hangs, Some(format!("http://{full}"))),
        ] {
            let cluster = Cluster::start_with(numbered(0..100), answer, address.clone());
            let client = cluster.client();
            let mut tail = client.tail_job_logs_with("a", options(protocol)).unwrap();
            if protocol == Protocol::Auto {
                next(&mut tail);
            }
            if address.is_none() {
                eventually("the agent is asked", || !cluster.agent.requests().is_empty());
            }
            thread::sleep(Duration::from_millis(50));
            if std::ptr::fn_addr_eq(answer, respond_range as Answer) {
                // The agent becomes silent during the tail.
                cluster.agent_answers(hangs);
                cluster.wait_for_agent_requests(1);
            }
            let start = Instant::now();
            drop(tail);
            eventually("no connection is open", || cluster.open_connections() == 0);
            let took = start.elapsed();
            println!("{protocol} {took:?}");
            // Below the two seconds of a search for an agent, and all other timeouts.
            assert!(took < Duration::from_millis(1500), "100 ms are promised, and took {took:?}");
        }
    }
}

#[test]
fn dropping_a_tail_during_a_request_to_the_agent_does_not_make_other_tails_avoid_it() {
    let hangs: Answer = |_, s, _| Err(hold(s));
    for is_found in [true, false] {
        let cluster =
            Cluster::start(numbered(0..100), if is_found { respond_range } else { hangs });
        let client = cluster.client();
        let tail = if is_found {
            let tail = tail_by_agent(&cluster, &client, hurried(Protocol::Auto));
            cluster.agent_answers(hangs);
            cluster.wait_for_agent_requests(1);
            tail
        } else {
            let mut tail = client.tail_job_logs_with("a", hurried(Protocol::Auto)).unwrap();
            next(&mut tail);
            eventually("the agent is asked", || !cluster.agent.requests().is_empty());
            tail
        };
        drop(tail);
        eventually("no connection is open", || cluster.open_connections() == 0);

        cluster.agent_answers(respond_range);
        drop(tail_by_agent(&cluster, &client, hurried(Protocol::Auto)));
    }
}

#[test]
fn last_lines_of_a_finished_job_do_not_read_the_whole_log() {
    let cluster = Cluster::start(numbered(0..200_000), respond_range);
    cluster.end();
    let client = cluster.client();
    let tail = client.tail_job_logs_with("a", options(Protocol::Auto).last_lines(2)).unwrap();
    let (lines, end) = rest(tail);
    assert!(end.is_none(), "{end:?}");
    assert_eq!(lines, ["this is line number 199998", "this is line number 199999"]);
    let by_agent = cluster.by_agent.load(Ordering::Relaxed);
    assert!(by_agent > 0 && by_agent < 100_000, "{by_agent} bytes");
    assert_eq!(
        cluster.dashboard.full_reads(),
        1,
        "of which only the head is read, for the agent check"
    );
}

/// The link delivers 200 KB per second, and a request may take a second.
#[test]
fn a_log_is_read_over_a_slow_link() {
    let slowly: Answer = |request, stream, log| {
        let (range, total) = (request.range_of(log.len()), log.len());
        if range.is_empty() {
            return respond_range(request, stream, log);
        }
        let (start, last, length) = (range.start, range.end - 1, range.len());
        let head = "HTTP/1.1 206 x\r\ncontent-range: bytes";
        write!(stream, "{head} {start}-{last}/{total}\r\ncontent-length: {length}\r\n\r\n")?;
        log[range].chunks(4000).try_for_each(|piece| {
            stream.write_all(piece)?;
            thread::sleep(Duration::from_millis(20));
            Ok(())
        })
    };
    let log = numbered(0..20_000);
    let cluster = Cluster::start(log.clone(), slowly);
    cluster.end();
    let (lines, end) = collect(&cluster.client(), hurried(Protocol::Agent).reconnects(0));
    assert!(end.is_none() && lines == lines_of(&log), "{} lines: {end:?}", lines.len());
}

#[test]
fn on_old_rays_the_websocket_replaces_a_failed_agent() {
    thread::scope(|scope| {
        for (name, answer) in NOT_THE_AGENT {
            scope.spawn(move || {
                let cluster = Cluster::start(numbered(0..2000), answer);
                cluster.log.is_old.store(true, Ordering::Relaxed);
                let client = cluster.client();
                let mut tail = client.tail_job_logs_with("a", hurried(Protocol::Auto)).unwrap();
                let mut lines: Vec<_> = (0..2000).map(|_| next(&mut tail)).collect();
                cluster.write("one more\n");
                lines.push(next(&mut tail));
                cluster.end();
                assert!(tail.next().is_none(), "{name}");
                assert!(lines == lines_of(&cluster.log.now()), "{name}");
                // The client now knows that the agent is wrong, and does not wait for it.
                let asked = cluster.agent.requests().len();
                let start = Instant::now();
                let (again, end) = collect(&client, hurried(Protocol::Auto));
                assert!(end.is_none() && again == lines, "{name}: {end:?}");
                assert_eq!(cluster.agent.requests().len(), asked, "{name}");
                assert!(start.elapsed() < Duration::from_secs(1), "{name}");
            });
        }
        for (name, answer) in GOES {
            scope.spawn(move || {
                let cluster = Cluster::start(numbered(0..2000), respond_range);
                cluster.log.is_old.store(true, Ordering::Relaxed);
                let client = cluster.client();
                let mut tail = tail_by_agent(&cluster, &client, hurried(Protocol::Auto));
                cluster.agent_answers(answer);
                for n in 0..20 {
                    cluster.write(format!("later line {n}\n"));
                    assert_eq!(next(&mut tail), format!("later line {n}"), "{name}");
                }
                assert_eq!(cluster.dashboard.count("GET /api/jobs/a/logs/tail"), 1, "{name}");
                cluster.end();
                assert!(tail.next().is_none(), "{name}");
            });
        }
    });
}

#[test]
fn on_old_rays_a_tail_that_can_read_nothing_else_returns_to_a_failed_agent() {
    type Open = fn(&RayClient) -> LogTail;
    let opens: [Open; 2] = [
        |client| {
            let options = hurried(Protocol::Auto).from_position(numbered(0..1000).len() as u64);
            client.tail_job_logs_with("a", options).unwrap()
        },
        |client| {
            let file = LogFile::of_node("aa", "job-driver-a.log");
            client.tail_log_file_with(&file, hurried(Protocol::Auto)).unwrap()
        },
    ];
    thread::scope(|scope| {
        for open in opens {
            scope.spawn(move || {
                let cluster = Cluster::start(numbered(0..2000), respond_range);
                cluster.log.is_old.store(true, Ordering::Relaxed);
                let client = cluster.client();
                let mut tail = open(&client);
                while next(&mut tail) != "this is line number 1999" {}
                cluster.agent_answers(|_, stream, _| Err(reset(stream)));
                // The second of them was certainly reset.
                cluster.wait_for_agent_requests(2);
                cluster.agent_answers(respond_range);
                cluster.write("one more\n");
                assert_eq!(next(&mut tail), "one more");
                let mut another = open(&client);
                while next(&mut another) != "one more" {}
            });
        }
    });
}

#[test]
fn the_agent_is_not_blamed_for_a_dashboard_that_fails_at_the_end() {
    let cluster = Cluster::start(numbered(0..100), respond_range);
    let client = cluster.client();
    let tail = tail_by_agent(&cluster, &client, options(Protocol::Auto));
    cluster.log.failures.store(1, Ordering::Relaxed);
    cluster.end();
    let (lines, end) = rest(tail);
    assert!(lines.is_empty() && end.is_none(), "{lines:?} {end:?}");
    assert_eq!(cluster.log.failures.load(Ordering::Relaxed), 0);
    // The next tail uses it.
    cluster.set_status("RUNNING");
    drop(tail_by_agent(&cluster, &client, hurried(Protocol::Auto)));
}

#[test]
fn on_old_rays_whole_files_are_read_only_from_the_agent() {
    let log = LogFile::of_node("aa", "job-driver-a.log");
    thread::scope(|scope| {
        for (name, answer) in
            [("the agent", respond_range as Answer)].into_iter().chain(NOT_THE_AGENT)
        {
            let log = &log;
            scope.spawn(move || {
                let cluster = Cluster::start(numbered(0..5000), answer);
                cluster.log.is_old.store(true, Ordering::Relaxed);
                let client = RayClient::builder(cluster.dashboard.address())
                    .read_timeout(Duration::from_secs(2))
                    .build()
                    .unwrap();
                let start = Instant::now();
                match client.read_log_file(log) {
                    Ok(text) => {
                        assert!(name == "the agent" && text.as_bytes() == numbered(0..5000));
                    }
                    Err(error) => assert!(name != "the agent", "{error}"),
                }
                assert!(start.elapsed() < Duration::from_secs(8), "{name}: {:?}", start.elapsed());
            });
        }
    });
}
