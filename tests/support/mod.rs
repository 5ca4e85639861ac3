//! A real Ray for tests and examples.

#![allow(dead_code, reason = "each user takes what it needs")]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use ray_client::{ClientError, RayClient};
use serde_json::Value;

/// A Ray head that lives until it is dropped or this process ends, however that happens.
pub struct Head {
    pub address: String,
    /// The address of the cluster itself, for Ray's own Python API.
    pub gcs: String,
    /// A Python that has this Ray.
    pub python: String,
    /// The folder of the session's log files.
    pub logs: PathBuf,
    /// `None` only once it is being dropped.
    control: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    child: Child,
}

impl Drop for Head {
    fn drop(&mut self) {
        // The end of its input is what makes head.py end Ray and itself.
        self.control.get_mut().expect("no test panics here").take();
        self.child.wait().expect("head.py is a child");
    }
}

impl Head {
    /// The one head that all tests of a run share, of the Ray that `RAY_CLIENT_RAY` names if that is set.
    pub fn shared() -> &'static Head {
        static HEAD: OnceLock<Head> = OnceLock::new();
        HEAD.get_or_init(|| match std::env::var("RAY_CLIENT_RAY") {
            Ok(version) => Head::start(&["--ray", &version, "--extras", "default"]),
            Err(_) => Head::start(&[]),
        })
    }

    /// A head of its own, with further arguments of `head.py`.
    pub fn start(arguments: &[&str]) -> Head {
        let manifest = env!("CARGO_MANIFEST_DIR");
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| PathBuf::from(manifest).join("target"), PathBuf::from);
        let mut command = Command::new("python3");
        command
            .arg(format!("{manifest}/tests/support/head.py"))
            .arg("--target")
            .arg(target)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // Ctrl-C ends this process, and by that the head; it must not reach the head first.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().expect("python3 can be started");
        let stdin = child.stdin.take().expect("stdin is piped");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let about = read_json(&mut stdout);
        let text = |key: &str| about[key].as_str().unwrap_or_default().to_owned();
        Head {
            address: text("address"),
            gcs: text("gcs"),
            python: text("python"),
            logs: text("logs").into(),
            control: Mutex::new(Some((stdin, stdout))),
            child,
        }
    }

    /// Has `head.py` do this; see there.
    pub fn command(&self, command: &str) -> Value {
        let mut control = self.control.lock().expect("no test panics here");
        let (stdin, stdout) = control.as_mut().expect("it is not being dropped");
        writeln!(stdin, "{command}").expect("head.py runs");
        let answer = read_json(stdout);
        assert!(answer.get("error").is_none(), "{command}: {answer}");
        answer
    }

    pub fn client(&self) -> RayClient {
        RayClient::new(&*self.address).expect("the address is valid")
    }

    /// What Ray wrote as the log of a job.
    pub fn log_file(&self, id: &str) -> Vec<u8> {
        std::fs::read(self.logs.join(format!("job-driver-{id}.log"))).unwrap_or_default()
    }

    /// What a Python program that uses Ray's own API prints as JSON.
    pub fn python_json(&self, program: &str) -> Value {
        let output = Command::new(&self.python)
            .args(["-c", program])
            .env("RAY_ADDRESS", &self.gcs)
            .env("RAY_AUTH_MODE", "disabled")
            .current_dir(&self.logs)
            .stderr(Stdio::inherit())
            .output()
            .expect("python can be started");
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

fn read_json(from: &mut impl BufRead) -> Value {
    let mut line = String::new();
    from.read_line(&mut line).expect("head.py answers");
    serde_json::from_str(&line).expect("head.py answers, or says on stderr why it cannot")
}

/// The cluster of `RAY_ADDRESS` where that is set, else a local one, which ends with what is given.
pub fn cluster() -> Result<(RayClient, Option<Head>), ClientError> {
    if std::env::var_os("RAY_ADDRESS").is_some_and(|address| !address.is_empty()) {
        return Ok((RayClient::from_env()?, None));
    }
    let local = Head::start(&[]);
    Ok((local.client(), Some(local)))
}

/// Deletes a job until it does not come back: Ray may write its last status once more.
pub fn delete_for_good(client: &RayClient, id: &str) {
    eventually("the job is gone", || client.delete_job(id).err().filter(|e| e.status() == 404));
}

/// Whether a benchmark is to run: each is where the command line names none.
pub fn is_wanted(name: &str) -> bool {
    let mut names =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    names.peek().is_none() || names.any(|wanted| wanted == name)
}

/// Asks again until there is an answer.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within 60 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
