//! Verifies that the log files of nodes, actors, tasks and workers can be listed, read and
//! followed.

use std::time::Duration;

use ray_client::logs::LogFile;
use ray_client::{JobSubmission, LogTail, Protocol, RayClient};
use serde_json::Value;

use crate::support::{Head, eventually};
use crate::{client, patient};

/// The ids that a running `printers.py` printed.
struct Printers {
    client: RayClient,
    job: String,
    places: Value,
}

impl Printers {
    fn start(marker: &str) -> Self {
        let client = client();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/printers.py");
        let marker = Head::shared().logs.join(marker);
        let entrypoint = format!("python {script} {}", marker.display());
        let job = client.submit_job(&JobSubmission::new(entrypoint)).unwrap();
        let mut tail = client.tail_job_logs_with(&job, patient(Protocol::Auto)).unwrap();
        let places = tail.find_map(|line| serde_json::from_str(&line.unwrap()).ok()).unwrap();
        Self { client, job, places }
    }

    fn text(&self, key: &str) -> &str {
        self.places[key].as_str().unwrap()
    }

    fn worker(&self) -> LogFile {
        let pid = self.places["pid"].as_u64().unwrap().try_into().unwrap();
        LogFile::of_worker(self.text("node"), pid)
    }
}

impl Drop for Printers {
    fn drop(&mut self) {
        self.client.stop_job(&self.job).expect("it runs until it is stopped");
    }
}

#[test]
fn actor_output_is_followed_by_actor_id_and_by_worker_id() {
    let printers = Printers::start("actor");
    let actor = LogFile::of_actor(printers.text("actor"));
    for file in [actor.clone(), printers.worker()] {
        let options = patient(Protocol::Auto);
        let mut tail = printers.client.tail_log_file_with(&file, options).unwrap();
        let mut counted = 0;
        while counted < 20 {
            let line = tail.next().unwrap().unwrap();
            if let Some(count) = line.strip_prefix("count ") {
                assert_eq!(count.parse::<u64>().unwrap(), counted, "no line twice, none lost");
                counted += 1;
            } else {
                assert!(counted == 0 && (line.starts_with(':') || line == "hello"), "{line}");
            }
        }
        let read = printers.client.read_log_file(&file).unwrap();
        assert!(read.contains("hello\ncount 0\n"), "{read}");
    }
    let errors = printers.client.read_log_file(&actor.stderr()).unwrap();
    assert!(errors.contains("error hello\nerror count 0\n"), "{errors}");
}

#[test]
fn a_file_tail_supports_last_lines_and_positions() {
    let printers = Printers::start("last");
    let file = printers.worker();
    eventually("some lines are there", || {
        printers.client.read_log_file(&file).unwrap().contains("count 9\n").then_some(())
    });
    let options = patient(Protocol::Auto).last_lines(3);
    let mut tail = printers.client.tail_log_file_with(&file, options).unwrap();
    let count = |tail: &mut LogTail| -> u64 {
        tail.next().unwrap().unwrap().strip_prefix("count ").unwrap().parse().unwrap()
    };
    let first = count(&mut tail);
    assert!(first >= 7);
    let noted = tail.position();
    drop(tail);
    let options = patient(Protocol::Auto).from_position(noted);
    let mut tail = printers.client.tail_log_file_with(&file, options).unwrap();
    assert_eq!(count(&mut tail), first + 1);
    assert_eq!(count(&mut tail), first + 2);
}

#[test]
fn each_attempt_of_a_task_has_its_own_output() {
    let printers = Printers::start("attempts");
    for attempt in 0..2 {
        let file = LogFile::of_task(printers.text("task"), attempt);
        let text = eventually("Ray knows the task's log", || {
            printers.client.read_log_file(&file).ok().filter(|text| !text.is_empty())
        });
        assert_eq!(text, "attempt on attempts\n");
    }
    let error = printers.client.read_log_file(&LogFile::of_task(printers.text("task"), 7));
    assert_eq!(error.unwrap_err().status(), 404);
}

#[test]
fn the_files_of_a_node_are_listed_by_glob_and_read_by_name() {
    let client = client();
    let node = client.list_nodes().unwrap().results.remove(0).node_id;
    let files = client.list_log_files(&node, "raylet.*").unwrap();
    let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["raylet.err", "raylet.out"]);
    assert!(files.iter().all(|file| file.component == "raylet"));
    assert!(client.list_log_files(&node, "none-such*").unwrap().results.is_empty());

    let raylet = LogFile::of_node(&node, "raylet.out");
    let whole = client.read_log_file(&raylet).unwrap();
    let mut tail = client.tail_log_file_with(&raylet, patient(Protocol::Auto)).unwrap();
    for line in whole.lines().take(100) {
        assert_eq!(tail.next().unwrap().unwrap(), line);
    }
}

#[test]
fn a_silent_file_ends_its_tail_with_408() {
    let client = client();
    let node = client.list_nodes().unwrap().results.remove(0).node_id;
    std::fs::write(Head::shared().logs.join("silent.txt"), "one\ntwo").unwrap();
    let options = patient(Protocol::Auto).stream_timeout(Duration::from_secs(3));
    let tail = client.tail_log_file_with(&LogFile::of_node(&node, "silent.txt"), options).unwrap();
    let mut items: Vec<_> = tail.collect();
    assert_eq!(items.pop().unwrap().unwrap_err().status(), 408);
    let lines: Vec<_> = items.into_iter().map(Result::unwrap).collect();
    assert!(lines.len() == 2 && lines[0] == "one" && lines[1] == "two" && lines[1].is_partial());
}

#[test]
fn a_truncated_file_ends_its_tail_with_503() {
    let client = client();
    let node = client.list_nodes().unwrap().results.remove(0).node_id;
    let path = Head::shared().logs.join("rotated.txt");
    std::fs::write(&path, "one\ntwo\n").unwrap();
    let file = LogFile::of_node(&node, "rotated.txt");
    let mut tail = client.tail_log_file_with(&file, patient(Protocol::Auto)).unwrap();
    assert_eq!(tail.next().unwrap().unwrap(), "one");
    assert_eq!(tail.next().unwrap().unwrap(), "two");
    std::fs::write(&path, "new\n").unwrap();
    let error = tail.next().unwrap().unwrap_err();
    assert_eq!(error.status(), 503);
    assert!(error.to_string().contains("became shorter"), "{error}");
    assert!(tail.next().is_none());
}

#[test]
fn missing_files_are_404_when_read_and_when_followed() {
    let client = client();
    let node = client.list_nodes().unwrap().results.remove(0).node_id;
    let no_node = "0".repeat(56);
    for file in [
        LogFile::of_node(&node, "none-such.log"),
        LogFile::of_node(&no_node, "raylet.out"),
        LogFile::of_actor("ab".repeat(16)),
        LogFile::of_task("ab".repeat(24), 0),
        LogFile::of_worker(&node, 1),
        LogFile::of_worker(&no_node, 1),
    ] {
        let error = client.read_log_file(&file).expect_err(&format!("{file:?}"));
        assert_eq!(error.status(), 404, "{file:?}: {error}");
        let mut tail = client.tail_log_file(&file).unwrap();
        let error = tail.next().unwrap().unwrap_err();
        assert_eq!(error.status(), 404, "{file:?}: {error}");
        assert!(!error.to_string().contains("/tmp"), "{error}");
        assert!(tail.next().is_none());
    }
    assert_eq!(client.list_log_files(&no_node, "*").unwrap_err().status(), 404);
}
