//! Programs that write a job's log to their standard output as it grows: this library by each way, and
//! what a user would take instead.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ray_client::{NextLine, Protocol, RayClient, TailOptions};

use crate::support::Head;

/// The first argument that makes this program a follower.
pub const FOLLOW: &str = "follow";

const PYTHON: &str = "
import asyncio, sys
from ray.job_submission import JobSubmissionClient
async def main():
    async for text in JobSubmissionClient(sys.argv[1]).tail_job_logs(sys.argv[2]):
        print(text, end='', flush=True)
    print('the end', flush=True)
asyncio.run(main())
";

#[derive(Clone, Copy)]
pub enum Follower {
    /// This library, and how often it polls, in milliseconds.
    Ours(Protocol, u64),
    /// The example of Ray's documentation. It prints `the end` once its loop is over.
    Python,
    /// `ray job logs -f`.
    Cli,
    /// `tail -f` of the file: the limit.
    Tail,
}

impl Follower {
    pub const ALL: [(&str, Follower); 8] = [
        ("agent", Follower::Ours(Protocol::Agent, 50)),
        ("agent every 10 ms", Follower::Ours(Protocol::Agent, 10)),
        ("auto", Follower::Ours(Protocol::Auto, 50)),
        ("stream", Follower::Ours(Protocol::Stream, 50)),
        ("websocket", Follower::Ours(Protocol::WebSocket, 50)),
        ("Ray's Python client", Follower::Python),
        ("ray job logs -f", Follower::Cli),
        ("tail -f", Follower::Tail),
    ];

    /// Whether it ends with the job.
    pub fn ends(self) -> bool {
        !matches!(self, Self::Tail)
    }

    /// `None` if there is no such program here.
    pub fn start(self, head: &Head, address: &str, id: &str) -> Option<Child> {
        let mut command = match self {
            Self::Ours(protocol, interval) => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                let protocol = protocol.to_string();
                command.args([FOLLOW, address, id, &protocol, &interval.to_string()]);
                command
            }
            Self::Python => {
                let mut command = Command::new(&head.python);
                command.args(["-c", PYTHON, address, id]);
                command
            }
            Self::Cli => {
                let mut command = Command::new(Path::new(&head.python).with_file_name("ray"));
                command.args(["job", "logs", "-f", "--address", address, id]);
                command
            }
            Self::Tail => {
                let mut command = Command::new("tail");
                command.args(["-n", "+1", "-f"]);
                command.arg(head.logs.join(format!("job-driver-{id}.log")));
                command
            }
        };
        // `ray job logs -f` does not flush what it prints into a pipe.
        command.env("PYTHONUNBUFFERED", "1").env("RAY_AUTH_MODE", "disabled");
        command.env_remove("RAY_ADDRESS").env_remove("RAY_API_SERVER_ADDRESS");
        command.current_dir(&head.logs).stdout(Stdio::piped()).spawn().ok()
    }
}

/// Writes a job's log, as the arguments say.
pub fn follow(arguments: &[String]) {
    let [address, id, protocol, interval] = arguments else { panic!("{arguments:?}") };
    let options = TailOptions::until_done()
        .protocol(protocol.parse().unwrap())
        .poll_interval(Duration::from_millis(interval.parse().unwrap()));
    let client = RayClient::new(&**address).unwrap();
    let mut tail = client.tail_job_logs_with(id, options).unwrap();
    let mut output = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    loop {
        let line = match tail.next_within(Duration::ZERO).unwrap() {
            NextLine::NotYet => {
                output.flush().unwrap();
                let Some(line) = tail.next() else { break };
                line.unwrap()
            }
            NextLine::Line(line) => line,
            _ => break,
        };
        output.write_all(line.as_bytes()).unwrap();
        output.write_all(b"\n").unwrap();
    }
    output.flush().unwrap();
}
