//! What submitting local code costs, side by side with Ray's own clients:
//! `cargo bench --bench packages --features packages`.
//!
//! Every submit is a whole process, on a real Ray on this machine. Name some of `one`, `thousand`, `large`
//! behind `--` to measure those only; `--runs=5` says how often.

#[path = "../logs/counting.rs"]
mod counting;
#[path = "../measuring/mod.rs"]
mod measuring;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use counting::Counted;
use measuring::{Run, Runs, count, load_average, ourselves, ray};
use ray_client::{JobSubmission, RayClient};
use support::{Head, is_wanted};

/// The first arguments that make this program one of its children.
const SUBMIT: &str = "submit";
const IDLE: &str = "idle";

const PYTHON: &str = "
import sys, time
from ray.job_submission import JobSubmissionClient
start = time.time()
client = JobSubmissionClient(sys.argv[1])
id = client.submit_job(entrypoint='true', runtime_env={'working_dir': sys.argv[2]})
print(id, f'call={time.time() - start}')
";

/// A working directory: its name, how many files, how large each.
const FOLDERS: [(&str, u64, u64); 3] =
    [("one", 1, 1_000), ("thousand", 1_000, 1_000), ("large", 9, 10_000_000)];

#[derive(Clone, Copy)]
enum Way {
    Ours,
    /// `ray job submit --no-wait`.
    Cli,
    /// `JobSubmissionClient`.
    Python,
}

const WAYS: [(&str, Way); 3] = [
    ("this library", Way::Ours),
    ("ray job submit", Way::Cli),
    ("Ray's Python client", Way::Python),
];

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments.iter().map(|argument| &**argument).collect::<Vec<_>>()[..] {
        [SUBMIT, address, folder] => return submit(address, folder),
        [IDLE] => {
            let _client = RayClient::new("http://127.0.0.1:8265").unwrap();
            return thread::sleep(Duration::from_millis(100));
        }
        _ => {}
    }
    let head = Head::start(&[]);
    let client = head.client();
    let probe = client.submit_job(&JobSubmission::new("true")).unwrap();
    let job = client.wait_for_job(&probe, Duration::from_secs(60)).unwrap();
    let counted = Counted::start(&head.address, &job.driver_agent_http_address.unwrap());
    let bench = Bench { head, client, counted };
    bench.without_work();
    for (name, files, size) in FOLDERS {
        if is_wanted(name) {
            bench.folder(name, files, size);
        }
    }
    if is_wanted("large") {
        bench.bare_transfer();
    }
}

fn submit(address: &str, folder: &str) {
    let start = Instant::now();
    let client = RayClient::new(address).unwrap();
    let id = client.submit_job(&JobSubmission::new("true").working_dir(folder)).unwrap();
    println!("{id} call={}", start.elapsed().as_secs_f64());
}

struct Bench {
    head: Head,
    client: RayClient,
    counted: Counted,
}

impl Bench {
    /// What the programs take that do nothing.
    fn without_work(&self) {
        println!("\n| nothing to do | process | | memory |\n|---|---|---|---|");
        println!("| this library | {} |", repeated(ourselves().arg(IDLE)).cells());
        let mut ray = ray(&self.head.python);
        let help = ray.args(["job", "submit", "--help"]);
        println!("| ray job submit --help | {} |", repeated(help).cells());
    }

    fn folder(&self, name: &str, files: u64, size: u64) {
        println!("\n## {name}: {files} files of {size} bytes (load average {})\n", load_average());
        println!(
            "| way | first: process | call alone | memory | requests \
             | again: process | call alone | memory | requests |\n|---|---|---|---|---|---|---|---|---|"
        );
        let mut results = WAYS.map(|_| [Runs::default(), Runs::default()]);
        // In turn, so that what else this machine does hits all alike.
        for _ in 0..runs() {
            for ((_, way), results) in WAYS.into_iter().zip(&mut results) {
                let folder = Folder::new(files, size);
                for runs in results {
                    runs.0.extend(self.submit(way, &self.head.address, &folder));
                }
            }
        }
        for ((name, way), [first, again]) in WAYS.into_iter().zip(results) {
            let folder = Folder::new(files, size);
            let requests = [(); 2].map(|()| {
                let [_, before] = self.counted.so_far();
                self.submit(way, &self.counted.address, &folder);
                self.counted.so_far()[1] - before
            });
            println!(
                "| {name} | {} | {} | {} | {} |",
                first.cells(),
                requests[0],
                again.cells(),
                requests[1]
            );
        }
    }

    /// Submits a job with this working directory, and waits until it is over.
    fn submit(&self, way: Way, address: &str, folder: &Folder) -> Option<Run> {
        let folder = &folder.0;
        let mut command = match way {
            Way::Ours => ourselves(),
            Way::Cli => ray(&self.head.python),
            Way::Python => Command::new(&self.head.python),
        };
        match way {
            Way::Ours => command.args([SUBMIT, address]).arg(folder),
            Way::Cli => {
                command.args(["job", "submit", "--no-wait", "--address", address, "--working-dir"]);
                command.arg(folder).args(["--", "true"])
            }
            Way::Python => command.args(["-c", PYTHON, address]).arg(folder),
        };
        let run = Run::of(command.current_dir(&self.head.logs))?;
        let at = run.output.find("raysubmit_").expect("it says the id");
        let id = run.output[at..].split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
        self.client.wait_for_job(id, Duration::from_secs(120)).unwrap();
        // Ray goes on tidying up.
        thread::sleep(Duration::from_secs(1));
        Some(run)
    }

    /// The bytes of the large directory, sent by curl.
    fn bare_transfer(&self) {
        let (_, files, size) = FOLDERS[2];
        let folder = Folder::new(1, files * size);
        let mut runs = Runs::default();
        for n in 0..self::runs() {
            let name = format!("_ray_pkg_{n:016x}.zip");
            let url = format!("{}/api/packages/gcs/{name}", self.head.address);
            let mut curl = Command::new("curl");
            curl.args(["-sS", "--fail", "-T"]).arg(folder.0.join("0")).arg(url);
            runs.0.extend(Run::of(&mut curl));
        }
        println!("| curl of the same bytes, nothing else | {} |", runs.cells());
    }
}

fn runs() -> usize {
    count("runs", 5)
}

fn repeated(command: &mut Command) -> Runs {
    Runs((0..runs()).map_while(|_| Run::of(command)).collect())
}

/// A directory of random content, that no package has had before, until it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(files: u64, size: u64) -> Self {
        let path = std::env::temp_dir().join(format!("ray-client-bench-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        for n in 0..files {
            write_random(&path.join(n.to_string()), size).unwrap();
        }
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write_random(file: &Path, size: u64) -> io::Result<()> {
    let mut random = File::open("/dev/urandom")?.take(size);
    io::copy(&mut random, &mut File::create(file)?)?;
    Ok(())
}
