//! Verifies that tails and submits survive connection faults between the client and a real Ray, and
//! report lost data.
//!
//! For the full run, set `RAY_CLIENT_FAULT_JOBS=200`, `RAY_CLIENT_FAULT_RESTARTS=20` and
//! `RAY_CLIENT_FAULT_NODES=10`. `RAY_CLIENT_RAY=2.9.3` selects another version of Ray. A failure
//! prints its seed; `RAY_CLIENT_FAULT_SEED=n RAY_CLIENT_FAULT_JOBS=1` repeats it.

#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/rng.rs"]
#[allow(dead_code, reason = "each user takes what it needs")]
mod rng;
#[path = "../support/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;

mod agents;

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use proxy::{Plan, Proxy};
use ray_client::{
    ClientError, JobSubmission, Protocol, RayClient, RetryPolicy, StreamLimits, TailOptions,
};
use rng::TestRng;
use support::{Head, eventually};

/// Tests take turns, because one test's fault would disturb another.
fn head() -> (&'static Head, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    (Head::shared(), turn)
}

const PROTOCOLS: [Protocol; 4] =
    [Protocol::Agent, Protocol::Auto, Protocol::Stream, Protocol::WebSocket];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

fn patient(protocol: Protocol) -> TailOptions {
    TailOptions::default()
        .protocol(protocol)
        .limits(StreamLimits::unlimited())
        .stream_timeout(Duration::from_secs(300))
        .reconnects(1000)
}

fn read_all(client: &RayClient, id: &str, options: TailOptions) -> (Vec<u8>, Option<ClientError>) {
    let mut bytes = Vec::new();
    let mut reader = client.tail_job_logs_with(id, options).unwrap().into_reader();
    let error = reader.read_to_end(&mut bytes).err();
    (bytes, error.map(|error| error.downcast().expect("errors of the log are ClientErrors")))
}

/// Ray serves a log only from its start, so a tail needs one connection that delivers the whole
/// log. If every connection were cut after 50 to 500 KB, no log of 1 MB could arrive. So only half
/// of the connections are cut; the others have delays and stalls. Over the WebSocket two
/// connections must succeed, because the log is verified at the end.
fn plan(rng: &mut TestRng) -> Plan {
    let mut plan = Plan { reset: rng.below(2) == 0, ..Plan::default() };
    match rng.below(20) {
        0 => plan.refuse = true,
        1 => plan.cut = Some(rng.between(1, 1000)),
        2..=9 => plan.cut = Some(rng.between(50_000, 500_000)),
        10..=12 => {
            plan.stall = Some((rng.between(1, 500_000), Duration::from_millis(500)));
        }
        13..=14 => plan.single_bytes = 2000,
        15..=16 => plan.delay = Duration::from_millis(rng.between(0, 200)),
        _ => {}
    }
    plan
}

#[test]
fn logs_are_exact_through_a_proxy_that_cuts_and_stalls() {
    let (head, _turn) = head();
    // Other seeds cut one tail up to fifteen times in a row, and its pauses then take a minute.
    let first = setting("RAY_CLIENT_FAULT_SEED", 31);
    let end = first + setting("RAY_CLIENT_FAULT_JOBS", 10);
    let flood = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/flood.py");
    let seeds = AtomicU64::new(first);
    let cuts = AtomicU64::new(0);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                loop {
                    let seed = seeds.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let has_bars = seed % 4 >= 2;
                    let bars = if has_bars { "bars" } else { "" };
                    let job = JobSubmission::new(format!("python {flood} 11000 {bars}"));
                    let id = head.client().submit_job(&job).unwrap();
                    let mut rng = TestRng(seed);
                    let protocol =
                        if seed % 2 == 0 { Protocol::Stream } else { Protocol::WebSocket };
                    let proxy = Proxy::start(&head.address, move |_| plan(&mut rng));
                    let client = RayClient::new(proxy.address()).unwrap();
                    let (log, error) = read_all(&client, &id, patient(protocol));
                    assert!(error.is_none(), "seed {seed}: {error:?}");
                    let mut file = head.log_file(&id);
                    assert!(file.len() > 1_000_000);
                    if protocol == Protocol::WebSocket {
                        // Ray's WebSocket sends text.
                        file.iter_mut().filter(|b| **b == b'\r').for_each(|b| *b = b'\n');
                    }
                    assert!(log == file, "seed {seed}: {} of {} bytes", log.len(), file.len());
                    cuts.fetch_add(proxy.cuts() as u64, Ordering::Relaxed);
                }
            });
        }
    });
    let cuts = cuts.into_inner();
    println!("{} jobs byte for byte, {cuts} cuts, {:?}", end - first, start.elapsed());
    assert!(end - first < 10 || cuts > 0);
}

#[test]
fn tails_lose_nothing_if_the_dashboard_restarts() {
    let (head, _turn) = head();
    for round in 0..setting("RAY_CLIENT_FAULT_RESTARTS", 2) {
        let client = head.client();
        let program = "import time\nfor n in range(600): print(n, \"x\" * (n % 97), flush=True); time.sleep(.02)";
        let id = client.submit_job(&JobSubmission::new(format!("python -c '{program}'"))).unwrap();
        thread::scope(|scope| {
            let tails = PROTOCOLS.map(|protocol| {
                let (client, id) = (&client, &id);
                scope.spawn(move || read_all(client, id, patient(protocol)))
            });
            eventually("the job prints", || {
                head.log_file(&id).windows(4).any(|bytes| bytes == b"\n99 ").then_some(())
            });
            head.command("kill-dashboard");
            head.command("start-dashboard");
            for (tail, protocol) in tails.into_iter().zip(PROTOCOLS) {
                let (log, error) = tail.join().unwrap();
                assert!(error.is_none(), "round {round}, {protocol}: {error:?}");
                let length = log.len();
                assert!(log == head.log_file(&id), "round {round}, {protocol}: {length} bytes");
                assert!(log.windows(5).any(|bytes| bytes == b"\n599 "));
            }
        });
    }
}

#[test]
fn tails_of_a_killed_node_end_with_an_error() {
    // A head of its own, because Ray takes most of a minute to notice the death of a node.
    let head = Head::start_selected();
    for round in 0..setting("RAY_CLIENT_FAULT_NODES", 1) {
        head.command("start-node");
        let client = RayClient::builder(&head.address).tail_workers(8).build().unwrap();
        let program = "import time; print(1, flush=True); time.sleep(600)";
        let job = JobSubmission::new(format!("python -c '{program}'"));
        let id = client.submit_job(&job.entrypoint_resource("second", 1.0)).unwrap();
        eventually("the job prints", || {
            client.list_job_logs(&id).ok().filter(|log| log.contains('1'))
        });
        let tail = |options| client.tail_job_logs_with(&id, options).unwrap();
        // The patient tails wait until Ray notices the end of the job, the default ones do not.
        let patient = PROTOCOLS.map(|protocol| (patient(protocol), true));
        let default = PROTOCOLS.map(|p| (TailOptions::default().protocol(p), false));
        let all: Vec<_> = patient
            .into_iter()
            .chain(default)
            .map(|(options, is_patient)| {
                let mut tail = tail(options);
                assert!(tail.next().unwrap().is_ok());
                (tail, is_patient)
            })
            .collect();
        head.command("kill-node");
        let killed = Instant::now();
        thread::scope(|scope| {
            for (tail, is_patient) in all {
                let id = &id;
                scope.spawn(move || {
                    let last = tail.last().unwrap();
                    let error = last.expect_err("it did not end as if all were well");
                    println!("round {round}, after {:?}: {error}", killed.elapsed());
                    if is_patient {
                        assert_eq!(error.status(), 503, "{error}");
                        assert!(matches!(error, ClientError::LogLost { .. }), "{error}");
                        let message = error.to_string();
                        assert!(message.contains(&**id) && message.contains("FAILED"), "{error}");
                    } else {
                        assert!(matches!(error.status(), 408 | 503), "{error}");
                        assert!(killed.elapsed() < Duration::from_secs(30), "10 s are promised");
                    }
                });
            }
        });
    }
}

#[test]
fn submits_with_lost_responses_run_exactly_once() {
    let (head, _turn) = head();
    let folder = std::env::temp_dir().join(format!("ray-client-runs-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut connection = 0;
    // The connection is cut before the first byte of the response.
    let proxy = Proxy::start(&head.address, move |_| {
        connection += 1;
        Plan { cut: (connection % 3 == 0).then_some(0), ..Plan::default() }
    });
    let policy = RetryPolicy::default().attempts(10).backoff(Duration::from_millis(20));
    let submitted: Vec<String> = (0..20)
        .map(|n| {
            // A new client for each, because each must open a connection.
            let client = RayClient::builder(proxy.address()).retry(policy.clone()).build().unwrap();
            let entrypoint = format!("echo ran >> {}/{n}", folder.display());
            client.submit_job(&JobSubmission::new(entrypoint)).unwrap()
        })
        .collect();
    assert!(proxy.cuts() >= 6, "{}", proxy.cuts());
    let client = head.client();
    for id in &submitted {
        client.wait_for_job(id, Duration::from_secs(120)).unwrap();
    }
    for n in 0..20 {
        assert_eq!(std::fs::read_to_string(folder.join(n.to_string())).unwrap(), "ran\n");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
