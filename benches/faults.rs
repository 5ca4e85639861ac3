//! What comes of a job's log, and of its submit, when something breaks; side by side with Ray's own
//! Python client: `cargo bench --bench faults`.
//!
//! Everything runs on a real Ray on this machine, through a proxy that breaks connections; what no
//! healthy Ray does, on a hand-made one. Name some of `connections`, `websockets`, `dashboard`, `bytes`,
//! `node`, `answers` behind `--` to try those only.

#[path = "../tests/support/proxy.rs"]
mod proxy;
#[path = "../tests/support/server.rs"]
mod server;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Read;
use std::time::Duration;

use proxy::{Plan, Proxy};
use ray_client::{JobSubmission, Protocol, RayClient, RetryPolicy, StreamLimits, TailOptions};
use server::{
    CLOSE, FakeRay, Fault, TEXT_TO_BE_CONTINUED, close_frame, frame, half_then, send_half,
};
use support::{Head, eventually, is_wanted};

/// How often each fault is tried.
const RUNS: usize = 3;
const FLOOD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/flood.py");
const SLOW: &str =
    "import time\nfor n in range(400): print(n, \"x\" * (n % 97), flush=True); time.sleep(.02)";

fn main() {
    let head = Head::start(&[]);
    let all = [
        ("connections", broken_connections as fn(&Head)),
        ("websockets", broken_websockets),
        ("dashboard", killed_dashboard),
        ("bytes", unusual_bytes),
        ("node", killed_node),
        ("answers", lost_answers),
    ];
    for (name, run) in all {
        if is_wanted(name) {
            run(&head);
        }
    }
}

fn submit(head: &Head, entrypoint: &str) -> String {
    head.client().submit_job(&JobSubmission::new(entrypoint)).unwrap()
}

/// What this library makes of a log: how much came, and how it ended.
fn ours(address: &str, id: &str, protocol: Protocol) -> (usize, String) {
    let options = TailOptions::default()
        .protocol(protocol)
        .limits(StreamLimits::unlimited())
        .stream_timeout(Duration::from_secs(60))
        .reconnects(10);
    let mut bytes = Vec::new();
    let client = RayClient::new(address).unwrap();
    let tail = client.tail_job_logs_with(id, options).unwrap();
    let end = match tail.into_reader().read_to_end(&mut bytes) {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.to_string(),
    };
    (bytes.len(), end)
}

/// What Ray's own client makes of it.
fn python(head: &Head, address: &str, id: &str) -> (usize, String) {
    let program = format!(
        "import asyncio, json, os\ndel os.environ['RAY_ADDRESS']\nfrom ray.job_submission import JobSubmissionClient\nsize = 0\nend = 'no error'\nasync def main():\n    global size\n    async for text in JobSubmissionClient('{address}').tail_job_logs('{id}'):\n        size += len(text.encode())\ntry:\n    asyncio.run(asyncio.wait_for(main(), 90))\nexcept TimeoutError:\n    end = 'nothing more for 90 s'\nexcept Exception as error:\n    end = f'{{type(error).__name__}}: {{error}}'.splitlines()[0]\nprint(json.dumps([size, end]))"
    );
    let answer = head.python_json(&program);
    let size = usize::try_from(answer[0].as_u64().unwrap()).unwrap();
    (size, answer[1].as_str().unwrap().to_owned())
}

fn report(fault: &str, who: &str, (size, end): (usize, String), of: usize) {
    let end: String = end.chars().take(110).collect();
    println!("  {fault:32} {who:12} {size:>8} of {of} bytes, then {end}");
}

/// A log of 1 MB through a proxy that breaks one connection, and stalls all of them.
fn broken_connections(head: &Head) {
    println!("\na log of 1 MB, and a connection that is");
    let id = submit(head, &format!("python {FLOOD} 11000"));
    head.client().wait_for_job(&id, Duration::from_secs(120)).unwrap();
    let of = head.log_file(&id).len();
    let cut = Plan { cut: Some(200_000), ..Plan::default() };
    let faults = [
        ("cut (FIN) after 200 KB", cut),
        ("cut (reset) after 200 KB", Plan { reset: true, ..cut }),
        ("cut (FIN) before the answer", Plan { cut: Some(0), ..cut }),
        ("refused", Plan { refuse: true, ..Plan::default() }),
        (
            "stalled for 5 s",
            Plan { stall: Some((1000, Duration::from_secs(5))), ..Plan::default() },
        ),
    ];
    for (fault, plan) in faults {
        let proxy = || {
            Proxy::start(&head.address, move |cuts| if cuts == 0 { plan } else { Plan::default() })
        };
        for _ in 0..RUNS {
            report(fault, "Stream", ours(&proxy().address(), &id, Protocol::Stream), of);
            report(fault, "WebSocket", ours(&proxy().address(), &id, Protocol::WebSocket), of);
            report(fault, "Python", python(head, &proxy().address(), &id), of);
        }
    }
}

const WEBSOCKET_FAULTS: [(&str, Fault); 8] = [
    ("closed with 1000", |s, log| half_then(s, log, &close_frame(1000))),
    ("closed with 1001", |s, log| half_then(s, log, &close_frame(1001))),
    ("closed with 1009", |s, log| half_then(s, log, &close_frame(1009))),
    ("closed with 1011", |s, log| half_then(s, log, &close_frame(1011))),
    ("closed without a code", |s, log| half_then(s, log, &frame(CLOSE, b""))),
    ("closed in mid-message", |s, log| {
        let begun = frame(TEXT_TO_BE_CONTINUED, b"never whole");
        half_then(s, log, &[begun, close_frame(1000)].concat())
    }),
    ("a frame of a reserved opcode", |s, log| half_then(s, log, &frame(0x83, b"what"))),
    ("a FIN", send_half),
];

/// A WebSocket that ends in the middle of the log, while the job runs.
fn broken_websockets(head: &Head) {
    println!("\na WebSocket that ends after half of the log, while the job runs");
    let log: Vec<u8> = (0..2000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    for (fault, send) in WEBSOCKET_FAULTS {
        for _ in 0..RUNS {
            let address = || FakeRay::start(log.clone(), [send]);
            let (one, other) = (address(), address());
            let came = ours(&one.server.address(), "a", Protocol::WebSocket);
            report(fault, "WebSocket", came, log.len());
            report(fault, "Python", python(head, &other.server.address(), "a"), log.len());
        }
    }
}

/// What three tails of a job make of it when something happens in the middle of its log.
fn in_mid_tail(head: &Head, id: &str, happens: impl FnOnce()) {
    let (stream, websocket, python) = std::thread::scope(|scope| {
        let stream = scope.spawn(|| ours(&head.address, id, Protocol::Stream));
        let websocket = scope.spawn(|| ours(&head.address, id, Protocol::WebSocket));
        let python = scope.spawn(|| python(head, &head.address, id));
        eventually("the job prints", || {
            head.log_file(id).windows(5).any(|bytes| bytes == b"\n199 ").then_some(())
        });
        happens();
        (stream.join().unwrap(), websocket.join().unwrap(), python.join().unwrap())
    });
    let of = head.log_file(id).len();
    report("", "Stream", stream, of);
    report("", "WebSocket", websocket, of);
    report("", "Python", python, of);
}

fn killed_dashboard(head: &Head) {
    println!("\nthe dashboard killed and started again in mid-tail");
    for _ in 0..RUNS {
        let id = submit(head, &format!("python -c '{SLOW}'"));
        in_mid_tail(head, &id, || {
            head.command("kill-dashboard");
            head.command("start-dashboard");
        });
    }
}

fn unusual_bytes(head: &Head) {
    println!("\nlogs that text cannot carry");
    let programs = [
        ("not UTF-8", r#"import sys; sys.stdout.buffer.write(b"a\n\xff\xfe\nb\n")"#),
        ("a line of 6 MB", r#"print("x" * 6_000_000); print("end")"#),
    ];
    for (fault, program) in programs {
        let id = submit(head, &format!("python -c '{program}'"));
        head.client().wait_for_job(&id, Duration::from_secs(120)).unwrap();
        let of = head.log_file(&id).len();
        for _ in 0..RUNS {
            report(fault, "Auto", ours(&head.address, &id, Protocol::Auto), of);
            report(fault, "WebSocket", ours(&head.address, &id, Protocol::WebSocket), of);
            report(fault, "Python", python(head, &head.address, &id), of);
        }
    }
}

fn killed_node(head: &Head) {
    println!("\nthe node of the job killed in mid-tail");
    for _ in 0..RUNS {
        head.command("start-node");
        let program = format!("python -c '{SLOW}\ntime.sleep(600)'");
        let job = JobSubmission::new(program).entrypoint_resource("second", 1.0);
        let id = head.client().submit_job(&job).unwrap();
        in_mid_tail(head, &id, || {
            head.command("kill-node");
        });
    }
}

/// Submits through a proxy that takes the answer to every third connection.
fn lost_answers(head: &Head) {
    println!("\n30 submits of which a third lose their answer");
    let folder = head.logs.join("runs");
    std::fs::create_dir_all(&folder).unwrap();
    let proxy = || {
        let mut connections = 0;
        Proxy::start(&head.address, move |_| {
            connections += 1;
            Plan { cut: (connections % 3 == 0).then_some(0), ..Plan::default() }
        })
    };
    let runs = |name: &str| {
        let file = folder.join(name);
        std::fs::read_to_string(file).map_or(0, |text| text.lines().count())
    };
    let entrypoint = |name: &str| format!("echo ran >> {}", folder.join(name).display());
    let finish = || {
        let client = head.client();
        for job in client.list_jobs().unwrap() {
            client.wait_for_job(job.id(), Duration::from_secs(300)).unwrap();
        }
    };

    let ours = proxy();
    let policy = RetryPolicy::default().attempts(5);
    for _ in 0..30 {
        // A client each, so that each begins a connection.
        let client = RayClient::builder(ours.address()).retry(policy.clone()).build().unwrap();
        client.submit_job(&JobSubmission::new(entrypoint("ours"))).unwrap();
    }
    finish();
    println!("  {:32} {} runs", "ray-client", runs("ours"));

    for (who, attempts) in [("Python, once", 1), ("Python, tried again on errors", 5)] {
        let theirs = proxy();
        let program = format!(
            "import json, os\ndel os.environ['RAY_ADDRESS']\nfrom ray.job_submission import JobSubmissionClient\nclient = JobSubmissionClient('{}')\nerrors = 0\nfor n in range(30):\n    for attempt in range({attempts}):\n        try:\n            client.submit_job(entrypoint='{}')\n            break\n        except Exception: errors += 1\nprint(json.dumps(errors))",
            theirs.address(),
            entrypoint(&attempts.to_string()),
        );
        let errors = head.python_json(&program);
        finish();
        println!("  {who:32} {} runs, {errors} errors", runs(&attempts.to_string()));
    }
}
