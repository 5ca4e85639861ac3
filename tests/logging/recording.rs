//! Verifies that requests, retries, reconnects and changes of the source are recorded.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use log::Level;
use ray_client::{AgentAccess, Filter, ListOptions, Protocol, RayClient, RetryPolicy};

use crate::cluster::{Cluster, hurried, next, numbered, rest};
use crate::records::Records;
use crate::server::{
    FakeRay, Fault, Server, close, close_frame, frame, hold, job, respond, respond_json,
    respond_range, upgrade, version,
};
use crate::{client, options};

const HTTP: &str = "ray_client::http";
const TAIL: &str = "ray_client::tail";

/// With `#` for each number.
fn without_numbers(text: &str) -> String {
    let parts = text.split(|c: char| c.is_ascii_digit()).collect::<Vec<_>>();
    let mut shown = parts.join("#");
    while shown.contains("##") {
        shown = shown.replace("##", "#");
    }
    shown
}

#[test]
fn a_request_is_recorded_with_its_route_its_status_and_its_time() {
    let server = Server::start(|request, stream| match &*request.line {
        "GET /api/jobs/none" => respond(stream, 404, "", "Job none does not exist"),
        "GET /api/jobs/gone" => Err(close()),
        _ => respond_json(stream, &job("a", "RUNNING")),
    });
    let records = Records::begin();
    let client = client(&server.address());
    client.get_job("a b").unwrap();
    client.get_job("none").unwrap_err();
    client.get_job("gone").unwrap_err();
    client.list_tasks_with(&ListOptions::default().filter("name", Filter::Eq, "f")).unwrap_err();
    let lines = records.of(Level::Debug, HTTP);
    let address = server.address();
    let start = format!("GET {address}/api/jobs/a%20b: 200, ");
    assert!(lines[0].starts_with(&start) && lines[0].ends_with(" ms"), "{}", lines[0]);
    let (end, start) = ("ms: get job `none`: Job none does not exist", "/api/jobs/none: 404 in ");
    assert!(lines[1].contains(start) && lines[1].ends_with(end), "{}", lines[1]);
    assert!(lines[2].contains("/api/jobs/gone: failed in "), "{}", lines[2]);
    assert!(lines[2].ends_with("broke"), "{}", lines[2]);
    assert!(lines[3].contains("/api/v0/tasks?") && lines[3].contains("=name"), "{}", lines[3]);
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert_eq!(records.all().len(), 4);
}

#[test]
fn each_retry_is_a_warning_with_its_cause_and_its_pause() {
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |_, stream| match asked.fetch_add(1, Ordering::Relaxed) {
        0..=1 => respond(stream, 503, "", "busy"),
        _ => respond_json(stream, &job("a", "RUNNING")),
    });
    let records = Records::begin();
    let quick = RetryPolicy::default().backoff(Duration::from_millis(1));
    RayClient::builder(server.address()).retry(quick).build().unwrap().get_job("a").unwrap();
    let warnings = records.of(Level::Warn, HTTP);
    for (warning, attempt) in warnings.iter().zip(1..) {
        assert!(warning.starts_with("get job `a`: ") && warning.contains("busy"), "{warning}");
        assert!(warning.contains(&format!("(attempt {attempt} of 3, the next in ")), "{warning}");
    }
    assert_eq!((warnings.len(), records.of(Level::Debug, HTTP).len()), (2, 3));
}

#[test]
fn a_tail_tells_what_it_reads_and_how_it_ended() {
    let cluster = Cluster::start(numbered(0..200), respond_range);
    let records = Records::begin();
    let client = cluster.client();
    let mut tail = client.tail_job_logs_with("a", options(Protocol::Auto)).unwrap();
    next(&mut tail);
    records.wait_for(Level::Debug, "reads from the agent");
    cluster.end();
    assert!(rest(tail).1.is_none());
    let bytes = cluster.log.now().len();
    let (dashboard, agent) = (cluster.dashboard.address(), cluster.agent.address());
    assert_eq!(
        records.of(Level::Debug, TAIL),
        [
            "tail job `a`: opened, Auto, agents WithoutToken".to_owned(),
            format!("tail job `a`: reads from the dashboard at {dashboard}, from byte 0"),
            format!("tail job `a`: the agent at {agent} serves this log"),
            format!("tail job `a`: reads from the agent at {agent}, from byte {bytes}"),
            format!("tail job `a`: complete, {bytes} bytes"),
        ]
    );
    assert!(records.all().iter().all(|line| line.0 >= Level::Debug), "{:#?}", records.all());
}

#[test]
fn unusable_and_lost_agents_are_logged_with_the_cause() {
    let cluster = Cluster::start(numbered(0..200), |_, s, _| respond(s, 401, "", "Unauthorized"));
    let records = Records::begin();
    let client = cluster.client();
    let tail = client.tail_job_logs_with("a", options(Protocol::Auto)).unwrap();
    let refused = records.wait_for(Level::Debug, "is not used)");
    assert!(refused.contains(&cluster.agent.address()), "{refused}");
    drop(tail);
    records.wait_for(Level::Debug, "closed at byte");

    let client = cluster.client();
    cluster.agent_answers(respond_range);
    let tail = client.tail_job_logs_with("a", hurried(Protocol::Auto)).unwrap();
    records.wait_for(Level::Debug, "reads from the agent");
    cluster.agent_answers(|_, s, _| respond(s, 503, "", "not now"));
    let left = records.wait_for(Level::Info, "continues from the dashboard: ");
    assert!(left.contains("not now"), "{left}");
    cluster.end();
    assert!(rest(tail).1.is_none());
    assert!(records.of(Level::Warn, TAIL).is_empty());
}

#[test]
fn reconnects_are_warnings_and_their_success_is_logged() {
    let faults: [Fault; 2] =
        [|s, _| respond(s, 503, "", "not now"), |s, _| respond(s, 502, "", "nor now")];
    let ray = FakeRay::start(numbered(0..100), faults);
    let records = Records::begin();
    let client = client(&ray.server.address());
    let tail = client.tail_job_logs_with("a", options(Protocol::Stream)).unwrap();
    assert!(rest(tail).1.is_none());
    let warnings = records.of(Level::Warn, TAIL);
    let [first, second] = &*warnings else { panic!("{warnings:#?}") };
    assert!(first.ends_with("not now") && first.contains(": reconnect 1 in "), "{first}");
    assert!(second.ends_with("nor now") && second.contains(": reconnect 2 in "), "{second}");
    assert!(second.contains(" ms, from byte 0: "), "{second}");
    let success = records.of(Level::Info, TAIL);
    assert_eq!(
        success.iter().map(|it| without_numbers(it)).collect::<Vec<_>>(),
        ["tail job `a`: continues after # reconnects, at byte #"]
    );
}

#[test]
fn a_change_to_the_websocket_is_logged_with_the_cause() {
    let server = Server::start(|request, stream| {
        if request.is("GET /api/version") {
            version(stream)
        } else if request.is("GET /api/v0/") {
            respond(stream, 405, "", "not allowed")
        } else if request.line.ends_with("/logs/tail") {
            upgrade(request, stream)?;
            std::io::Write::write_all(stream, &frame(crate::server::TEXT, b"a line\n"))?;
            std::io::Write::write_all(stream, &close_frame(1000))?;
            Err(hold(stream))
        } else if request.line.ends_with("/logs") {
            respond_json(stream, &serde_json::json!({"logs": "a line\n"}))
        } else {
            respond_json(stream, &job("a", "SUCCEEDED"))
        }
    });
    let records = Records::begin();
    let client = client(&server.address());
    let tail = client.tail_job_logs_with("a", options(Protocol::Auto)).unwrap();
    assert_eq!(rest(tail).0, ["a line"]);
    let changes = records.of(Level::Info, TAIL);
    let [change] = &*changes else { panic!("{changes:#?}") };
    assert!(change.contains("not allowed"), "{change}");
    assert!(change.starts_with("tail job `a`: continues from the WebSocket: "), "{change}");
    let open = format!("GET {}/api/jobs/a/logs/tail: a WebSocket in ", server.address());
    assert!(records.of(Level::Debug, HTTP).iter().any(|line| line.starts_with(&open)));
}

#[test]
fn closing_a_tail_is_logged_without_warnings() {
    let silent = Server::start(|request, stream| {
        if request.is("GET /api/version") {
            version(stream)
        } else if request.is("GET /api/v0/logs/file") {
            Err(hold(stream))
        } else {
            respond_json(stream, &job("a", "RUNNING"))
        }
    });
    let records = Records::begin();
    let start = || {
        let client = client(&silent.address());
        let asked = silent.count("GET /api/v0/logs/file");
        let tail = client.tail_job_logs_with("a", options(Protocol::Stream)).unwrap();
        crate::cluster::eventually("the log is asked for", || {
            silent.count("GET /api/v0/logs/file") > asked
        });
        (client, tail)
    };
    let (_client, tail) = start();
    drop(tail);
    records.wait_for(Level::Debug, "closed at byte 0 (Drop)");
    let (_client, tail) = start();
    tail.handle().close();
    records.wait_for(Level::Debug, "closed at byte 0 (Handle)");
    let (client, _tail) = start();
    drop(client);
    records.wait_for(Level::Debug, "closed at byte 0 (Client)");
    assert!(records.all().iter().all(|line| line.0 >= Level::Debug), "{:#?}", records.all());
}

#[test]
fn a_tail_that_may_use_no_agent_says_so_when_it_opens() {
    let cluster = Cluster::start(numbered(0..10), respond_range);
    cluster.end();
    let records = Records::begin();
    let client = RayClient::builder(cluster.dashboard.address());
    let client = client.agent_access(AgentAccess::Never).build().unwrap();
    assert!(rest(client.tail_job_logs("a").unwrap()).1.is_none());
    let opened = "tail job `a`: opened, Auto, agents Never";
    assert_eq!(records.of(Level::Debug, TAIL)[0], opened);
}
