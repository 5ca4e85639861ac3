//! A real Ray for tests and examples.

#![allow(dead_code, reason = "each user takes what it needs")]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use ray_client::{ClientError, RayClient};
use serde_json::Value;

/// A Ray head that runs until it is dropped or this process ends, even by a crash.
pub struct Head {
    pub address: String,
    /// The GCS address, for Ray's own Python API.
    pub gcs: String,
    /// A Python interpreter with this Ray.
    pub python: String,
    /// The folder with the log files of the session.
    pub logs: PathBuf,
    /// `None` only during the drop.
    control: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    child: Child,
}

impl Drop for Head {
    fn drop(&mut self) {
        // At the end of its input, head.py stops Ray and itself.
        self.control.get_mut().expect("no test panics here").take();
        self.child.wait().expect("head.py is a child");
    }
}

impl Head {
    /// Returns the head that all tests of a run share.
    pub fn shared() -> &'static Head {
        static HEAD: OnceLock<Head> = OnceLock::new();
        HEAD.get_or_init(Head::start_selected)
    }

    /// Starts a separate head of the Ray that `RAY_CLIENT_RAY` selects.
    pub fn start_selected() -> Head {
        match std::env::var("RAY_CLIENT_RAY") {
            Ok(version) => Head::start(&["--ray", &version]),
            Err(_) => Head::start(&[]),
        }
    }

    /// Starts a separate head with these further arguments of `head.py`.
    pub fn start(arguments: &[&str]) -> Head {
        Self::try_start(arguments).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Starts a head of an old Ray. Returns `None` if no Python of this machine can run that Ray;
    /// `head.py` reports it even if the output of the test is captured.
    pub fn start_old(ray: &str) -> Option<Head> {
        Self::try_start(&["--ray", ray]).ok()
    }

    fn try_start(arguments: &[&str]) -> Result<Head, String> {
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
        // Ctrl-C must not reach the head directly: the head stops when this process ends.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().expect("python3 can be started");
        let stdin = child.stdin.take().expect("stdin is piped");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let about = read_json(&mut stdout);
        let text = |key: &str| about[key].as_str().unwrap_or_default().to_owned();
        if about.get("unavailable").is_some() {
            child.wait().expect("head.py is a child");
            return Err(text("unavailable"));
        }
        Ok(Head {
            address: text("address"),
            gcs: text("gcs"),
            python: text("python"),
            logs: text("logs").into(),
            control: Mutex::new(Some((stdin, stdout))),
            child,
        })
    }

    /// Sends a command to `head.py`, which documents them.
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

    /// Returns the log file of a job as Ray wrote it.
    pub fn log_file(&self, id: &str) -> Vec<u8> {
        std::fs::read(self.logs.join(format!("job-driver-{id}.log"))).unwrap_or_default()
    }

    /// Runs a Python program with Ray's own API, and returns the JSON that it prints.
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

/// Returns a client of the cluster at `RAY_ADDRESS`, or of a local one if that is not set. The
/// local cluster stops when the head is dropped.
pub fn cluster() -> Result<(RayClient, Option<Head>), ClientError> {
    if std::env::var_os("RAY_ADDRESS").is_some_and(|address| !address.is_empty()) {
        return Ok((RayClient::from_env()?, None));
    }
    let local = Head::start(&[]);
    Ok((local.client(), Some(local)))
}

/// Deletes a job until it is gone. If that is within a second of its end, Ray writes its status again.
pub fn delete_for_good(client: &RayClient, id: &str) {
    eventually("the job is gone", || {
        client.delete_job(id).err()?;
        client.get_job(id).err().filter(|error| error.status() == 404)
    });
}

/// Returns `true` if the command line names this benchmark, or none.
pub fn is_wanted(name: &str) -> bool {
    let mut names =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    names.peek().is_none() || names.any(|wanted| wanted == name)
}

/// Repeats `ask` until it returns a value.
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
