//! What long lists cost, side by side with curl and Ray's own clients: `cargo bench --bench lists`.
//!
//! Every list is asked for by a whole process, of a real Ray on this machine. Name some of `few`, `jobs`,
//! `tasks` behind `--` to measure those only. `--jobs=10000` and `--tasks=10000` say how many there are, and
//! `--runs=5` how often each is measured.

#[path = "../measuring/mod.rs"]
mod measuring;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use measuring::{Run, Runs, count, load_average, ourselves, ray};
use ray_client::{JobSubmission, ListOptions, RayClient};
use support::{Head, eventually, is_wanted};

/// The first argument that makes this program one that lists.
const LIST: &str = "list";
/// For lists that take Ray long.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How many jobs run for real.
const FEW: usize = 10;

const JOBS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/lists/jobs.py");
const TASKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/lists/tasks.py");

const PYTHON_JOBS: &str = "
import sys, time
from ray.job_submission import JobSubmissionClient
start = time.time()
jobs = JobSubmissionClient(sys.argv[1]).list_jobs()
print(f'call={time.time() - start} rows={len(jobs)}')
";

const PYTHON_TASKS: &str = "
import sys, time
from ray.util.state import list_tasks
start = time.time()
tasks = list_tasks(sys.argv[1], limit=10_000, timeout=120)
print(f'call={time.time() - start} rows={len(tasks)}')
";

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [LIST, address, what] =
        arguments.iter().map(|argument| &**argument).collect::<Vec<_>>()[..]
    {
        return list(address, what);
    }
    if is_wanted("few") || is_wanted("jobs") {
        let head = Head::start(&[]);
        let client = head.client();
        if is_wanted("few") {
            for _ in 0..FEW {
                let id = client.submit_job(&JobSubmission::new("true")).unwrap();
                client.wait_for_job(&id, Duration::from_secs(60)).unwrap();
            }
            compare(&head, "jobs");
        }
        if is_wanted("jobs") {
            write_jobs(&head, &client);
            compare(&head, "jobs");
        }
    }
    // On a head of its own: the entries of the jobs would make it slower.
    if is_wanted("tasks") {
        let head = Head::start(&[]);
        run_tasks(&head.client());
        compare(&head, "tasks");
    }
}

/// Lists all that there is, and says how long the call took.
fn list(address: &str, what: &str) {
    let start = Instant::now();
    let client = RayClient::builder(address).read_timeout(TIMEOUT).build().unwrap();
    let rows = match what {
        "jobs" => client.list_jobs().unwrap().results.len(),
        _ => client.list_tasks_with(&ListOptions::default().limit(10_000)).unwrap().results.len(),
    };
    println!("call={} rows={rows}", start.elapsed().as_secs_f64());
}

/// Ten thousand real jobs would take hours. The dashboard answers from these entries, whoever wrote them.
fn write_jobs(head: &Head, client: &RayClient) {
    let node = client.list_nodes().unwrap().results.remove(0).node_id;
    let mut python = Command::new(&head.python);
    let jobs = count("jobs", 10_000).to_string();
    Run::of(python.args([JOBS, &head.gcs, &jobs, &node]).current_dir(&head.logs)).unwrap();
}

fn run_tasks(client: &RayClient) {
    let tasks = count("tasks", 10_000);
    let id = client.submit_job(&JobSubmission::new(format!("python {TASKS} {tasks}"))).unwrap();
    client.wait_for_job(&id, Duration::from_secs(600)).unwrap();
    let options = ListOptions::default().limit(1).timeout(TIMEOUT);
    // Workers tell of their tasks once a second.
    eventually("all tasks are known", || {
        (client.list_tasks_with(&options).unwrap().total >= tasks).then_some(())
    });
}

fn compare(head: &Head, what: &str) {
    let address = &head.address;
    let (path, python) = match what {
        "jobs" => ("/api/jobs/", PYTHON_JOBS),
        _ => ("/api/v0/tasks?limit=10000&timeout=120", PYTHON_TASKS),
    };
    let mut ours = ourselves();
    ours.args([LIST, address, what]);
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "-o", "/dev/null", "-w", "bytes=%{size_download}"]);
    curl.arg(format!("{address}{path}"));
    let mut client = Command::new(&head.python);
    client.args(["-c", python, address]);
    let mut ways = vec![("this library", ours), ("curl", curl), ("Ray's Python client", client)];
    if what == "jobs" {
        let mut cli = ray(&head.python);
        cli.args(["job", "list", "--address", address]);
        ways.push(("ray job list", cli));
    }
    let mut results: Vec<_> = ways.iter().map(|_| Runs::default()).collect();
    // In turn, so that what else this machine does hits all alike.
    for _ in 0..count("runs", 5) {
        for ((_, command), runs) in ways.iter_mut().zip(&mut results) {
            runs.0.extend(Run::of(command.current_dir(&head.logs)));
        }
    }
    let told = |name: &str| {
        let runs = results.iter().flat_map(|runs| &runs.0);
        runs.filter_map(|run| run.told(name)).map(|figure| figure.to_string()).collect::<Vec<_>>()
    };
    let (mut rows, mut bytes) = (told("rows"), told("bytes"));
    rows.dedup();
    bytes.dedup();
    let load = load_average();
    println!(
        "\n## {} {what}, {} bytes (load average {load})\n",
        rows.join(" or "),
        bytes.join(" or ")
    );
    println!("| way | process | call alone | memory |\n|---|---|---|---|");
    for ((name, _), runs) in ways.iter().zip(&results) {
        println!("| {name} | {} |", runs.cells());
    }
}
