//! Verifies that recorded responses of real Rays (`tests/corpus`) are readable, and that corrupted
//! ones are read or cause one clear error.
//!
//! Each response is corrupted in 50 ways; `RAY_CLIENT_FUZZ` sets another number. A failure names
//! its file and seed. Add its input to the corpus.

use std::fmt::Debug;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use ray_client::{ClientError, ListOptions, Protocol, RayClient};
use serde_json::{Value, json};

use crate::rng::TestRng;
use crate::server::{FakeRay, Fault, Server, job, respond, respond_json};
use crate::{check_message, client, options};

fn ways() -> u64 {
    std::env::var("RAY_CLIENT_FUZZ").map_or(50, |ways| ways.parse().expect("a number"))
}

/// Returns the files in a folder of the corpus.
fn corpus(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut folders = vec![root.join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    assert!(!files.is_empty());
    files
}

/// A server that sends one given response, and its client.
struct Subject {
    answer: Arc<Mutex<Answer>>,
    client: RayClient,
    _server: Server,
}

#[derive(Default, Clone)]
struct Answer {
    to: String,
    status: u16,
    body: Vec<u8>,
}

impl Subject {
    fn new() -> Self {
        let answer = Arc::new(Mutex::new(Answer::default()));
        let server = Server::start({
            let answer = Arc::clone(&answer);
            move |request, stream| {
                let Answer { to, status, body } = answer.lock().unwrap().clone();
                match &*request.line {
                    // Before Ray 2.45, whole logs have a separate route.
                    "GET /api/version" if to == "whole_log" => {
                        respond_json(stream, &json!({"version": "4", "ray_version": "2.9.3"}))
                    }
                    "GET /api/jobs/a" if to == "whole_log" => {
                        respond_json(stream, &job("a", "SUCCEEDED"))
                    }
                    _ => respond(stream, status, "", body),
                }
            }
        });
        Subject { answer, client: client(&server.address()), _server: server }
    }

    fn read(&self, what: &str, status: u16, body: Vec<u8>) -> Result<(), ClientError> {
        *self.answer.lock().unwrap() = Answer { to: what.to_owned(), status, body };
        read(&self.client, what)
    }
}

/// Calls the function whose response the file contains.
fn read(client: &RayClient, what: &str) -> Result<(), ClientError> {
    fn shown<T: Debug>(answer: T) {
        assert!(!format!("{answer:?}").is_empty());
    }
    match what {
        "version" => client.version().map(shown),
        "list_jobs" => client.list_jobs().map(shown),
        "list_state_jobs" => client.list_jobs_state(&ListOptions::default()).map(shown),
        "list_nodes" => client.list_nodes().map(shown),
        "list_node_usage" => client.list_node_usage().map(shown),
        "cluster_status" => client.cluster_status().map(shown),
        "list_tasks" => client.list_tasks().map(shown),
        "list_actors" => client.list_actors().map(shown),
        "list_workers" => client.list_workers().map(shown),
        "list_objects" => client.list_objects().map(shown),
        "list_placement_groups" => client.list_placement_groups().map(shown),
        "list_runtime_envs" => client.list_runtime_envs().map(shown),
        "list_cluster_events" => client.list_cluster_events().map(shown),
        "list_log_files" => client.list_log_files("ab", "*").map(shown),
        "summarize_tasks" => client.summarize_tasks().map(shown),
        "summarize_actors" => client.summarize_actors().map(shown),
        "summarize_objects" => client.summarize_objects().map(shown),
        "get_serve" => client.get_serve_details().map(shown),
        "whole_log" => client.list_job_logs("a").map(shown),
        get_job => {
            assert!(get_job.starts_with("get_job"), "{get_job}");
            client.get_job("a").map(|job| shown((job.started_at(), job.duration(), job)))
        }
    }
}

fn name(file: &Path) -> &str {
    file.file_stem().unwrap().to_str().unwrap()
}

#[test]
fn every_recorded_response_is_readable() {
    let subject = Subject::new();
    for file in corpus("answers") {
        let result = subject.read(name(&file), 200, fs::read(&file).unwrap());
        assert!(result.is_ok(), "{}: {result:?}", file.display());
    }
}

/// Replaces a random value.
fn break_json(rng: &mut TestRng, value: &mut Value) {
    let deeper = rng.below(8) > 0;
    match value {
        Value::Array(items) if deeper && !items.is_empty() => {
            let at = rng.below(items.len());
            break_json(rng, &mut items[at]);
        }
        Value::Object(fields) if deeper && !fields.is_empty() => {
            let key = fields.keys().nth(rng.below(fields.len())).unwrap().clone();
            if rng.below(8) == 0 {
                fields.remove(&key);
            } else {
                break_json(rng, &mut fields[&key]);
            }
        }
        other => {
            let huge = format!("9{}", "0".repeat(rng.below(25)));
            let values = [
                json!(null),
                json!(true),
                json!(-1),
                json!(u64::MAX),
                json!(i64::MIN),
                json!(1.5e300),
                json!(0.1),
                json!(""),
                json!(huge),
                json!("\u{0}\u{1F600}\u{2028}"),
                json!([]),
                json!({}),
                json!([[], {"": null}]),
            ];
            *other = rng.pick(&values).clone();
        }
    }
}

#[test]
fn a_corrupted_response_is_read_or_is_one_clear_error() {
    let files = corpus("answers");
    let (answers, errors) = (Mutex::new(0), Mutex::new(0));
    let check = |subject: &Subject, file: &Path, seed: u64| {
        let mut rng = TestRng(seed);
        let whole = fs::read(file).unwrap();
        let body = if seed % 2 == 0 {
            rng.mutate(&whole)
        } else {
            let mut value = serde_json::from_slice(&whole).unwrap();
            for _ in 0..=rng.below(3) {
                break_json(&mut rng, &mut value);
            }
            value.to_string().into_bytes()
        };
        match subject.read(name(file), 200, body) {
            Ok(()) => *answers.lock().unwrap() += 1,
            Err(error) => {
                assert!(matches!(error.status(), 400 | 404 | 500), "{error}");
                check_message(&error);
                *errors.lock().unwrap() += 1;
            }
        }
    };
    thread::scope(|scope| {
        for file in &files {
            let check = &check;
            scope.spawn(move || {
                let subject = Subject::new();
                for seed in 0..ways() {
                    // Prints the seed if the check panics.
                    let _on_panic = OnPanic(file, seed);
                    check(&subject, file, seed);
                }
            });
        }
    });
    let (answers, errors) = (answers.into_inner().unwrap(), errors.into_inner().unwrap());
    println!("{answers} answers, {errors} errors");
    assert!(answers > 100 && errors > 100, "{answers} answers, {errors} errors");
}

/// Prints the file and seed if the check panics.
struct OnPanic<'a>(&'a Path, u64);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("{}, seed {}", self.0.display(), self.1);
        }
    }
}

#[test]
fn every_recorded_error_becomes_one_line_without_internals() {
    let subject = Subject::new();
    for file in corpus("errors") {
        let whole = fs::read(&file).unwrap();
        let status = name(&file).rsplit('-').next().unwrap().parse().unwrap();
        let error = subject.read("get_job", status, whole.clone()).unwrap_err();
        check_message(&error);
        let message = error.to_string();
        for inside in ["Traceback", "site-packages", "/opt/", "/tmp/", "File \""] {
            assert!(!message.contains(inside), "{}: {message}", file.display());
        }
        assert!(message.len() > "get job `a`: ".len(), "{}", file.display());
        for seed in 0..ways() {
            let _on_panic = OnPanic(&file, seed);
            let broken = TestRng(seed).mutate(&whole);
            check_message(&subject.read("get_job", status, broken).unwrap_err());
        }
    }
}

#[test]
fn every_recorded_log_is_exact_despite_cut_responses() {
    let cut: Fault = |stream, log| {
        let mut rng = TestRng(log.len() as u64);
        stream.write_all(crate::server::CHUNKED.as_bytes())?;
        let mut left = &log[..rng.below(log.len().max(1))];
        while !left.is_empty() {
            let (piece, rest) = left.split_at(1 + rng.below(left.len().min(40)));
            stream.write_all(&crate::server::chunk(piece))?;
            left = rest;
        }
        Ok(())
    };
    thread::scope(|scope| {
        for file in corpus("logs") {
            scope.spawn(move || {
                let log = fs::read(&file).unwrap();
                let ray = FakeRay::start(log.clone(), [cut]);
                let client = client(&ray.server.address());
                let tail = client.tail_job_logs_with("a", options(Protocol::Stream)).unwrap();
                let mut bytes = Vec::new();
                tail.into_reader().read_to_end(&mut bytes).unwrap();
                assert!(bytes == log, "{}", file.display());
            });
        }
    });
}
