//! What `ray job submit` does: uploads code, runs a command, shows its log, ends with its exit code.
//!
//! ```text
//! cargo run --features packages --example submit -- --working-dir . -- python main.py
//! ```
//!
//! The address is that of `--address`, or of the environment as Ray's own client reads it. The log goes to
//! standard output, all else to standard error.

use std::error::Error;
use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ray_client::{ClientError, Job, JobStatus, JobSubmission, RayClient, RuntimeEnv};

const USAGE: &str = "\
usage: submit [options] -- command...
  --address URL              the dashboard, for example http://127.0.0.1:8265
  --working-dir PATH|URI     the directory that the command runs in
  --py-module PATH|URI       a module to import; may be repeated
  --exclude PATTERN          leaves files out of local code; may be repeated
  --runtime-env-json JSON    the rest of the runtime environment
  --env NAME=VALUE           an environment variable; may be repeated
  --submission-id ID
  --metadata NAME=VALUE      may be repeated
  --num-cpus N  --num-gpus N  --memory BYTES  --resource NAME=N
  --no-wait                  prints the submission id and ends";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("submit: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let Some(Arguments { address, job, wait }) = Arguments::read(std::env::args().skip(1))? else {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let client = match address {
        Some(address) => RayClient::new(address)?,
        None => RayClient::from_env()?,
    };
    let status = StatusLine { on: io::stderr().is_terminal() };
    let mut shown = None;
    let id = client.submit_job_with_progress(&job, |done, all| {
        let percent = done * 100 / all.max(1);
        if shown.replace(percent) != Some(percent) {
            status.show(&format!("uploading {percent} % of {} KiB", all.div_ceil(1024)));
        }
    })?;
    status.clear();
    if !wait {
        println!("{id}");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("submitted {id}");
    stop_on_ctrl_c(&client, &id)?;
    wait_until_started(&client, &id, &status)?;
    copy_log(&client, &id)?;
    let job = client.get_job(&id)?;
    eprintln!("{id} {}", job.status);
    Ok(exit_code(&job))
}

struct Arguments {
    address: Option<String>,
    job: JobSubmission,
    wait: bool,
}

impl Arguments {
    /// `None` for `--help`.
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, Box<dyn Error>> {
        let (mut address, mut wait, mut options) = (None, true, Vec::new());
        while let Some(name) = arguments.next().filter(|name| name != "--") {
            match name.as_str() {
                "--help" | "-h" => return Ok(None),
                "--no-wait" => wait = false,
                _ => {
                    let value = arguments.next().ok_or(format!("{name} needs a value\n{USAGE}"))?;
                    options.push((name, value));
                }
            }
        }
        let command: Vec<_> = arguments.map(|argument| quoted(&argument)).collect();
        if command.is_empty() {
            return Err(format!("no command\n{USAGE}").into());
        }
        let mut job = JobSubmission::new(command.join(" ")).runtime_env(runtime_env(&options)?);
        for (name, value) in options {
            let pair = || pair(&name, &value);
            job = match name.as_str() {
                "--runtime-env-json" | "--env" => job,
                "--address" => {
                    address = Some(value);
                    job
                }
                "--working-dir" => job.working_dir(value),
                "--py-module" => job.py_module(value),
                "--exclude" => job.excludes([value]),
                "--submission-id" => job.submission_id(value),
                "--metadata" => job.metadata(pair()?.0, pair()?.1),
                "--num-cpus" => job.entrypoint_num_cpus(value.parse()?),
                "--num-gpus" => job.entrypoint_num_gpus(value.parse()?),
                "--memory" => job.entrypoint_memory(value.parse()?),
                "--resource" => job.entrypoint_resource(pair()?.0, pair()?.1.parse()?),
                _ => return Err(format!("{name} is not known\n{USAGE}").into()),
            };
        }
        Ok(Some(Self { address, job, wait }))
    }
}

/// First of all, so that the other options come on top of the JSON, wherever it stands.
fn runtime_env(options: &[(String, String)]) -> Result<RuntimeEnv, Box<dyn Error>> {
    let mut env = RuntimeEnv::new();
    for (_, json) in options.iter().filter(|(name, _)| name == "--runtime-env-json") {
        env = serde_json::from_str(json)?;
    }
    for (name, value) in options.iter().filter(|(name, _)| name == "--env") {
        let (key, value) = pair(name, value)?;
        env = env.env_var(key, value);
    }
    Ok(env)
}

fn pair<'a>(name: &str, value: &'a str) -> Result<(&'a str, &'a str), String> {
    value.split_once('=').ok_or(format!("{name} needs NAME=VALUE"))
}

/// As a shell reads it: the cluster runs the command with one.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

/// One line on a terminal that is written again and again; nothing in a pipe.
struct StatusLine {
    on: bool,
}

impl StatusLine {
    fn show(&self, text: &str) {
        if self.on {
            // Longer than the terminal is wide, it could not be written over.
            eprint!("\r\x1b[K{}", text.chars().take(79).collect::<String>());
        }
    }

    fn clear(&self) {
        self.show("");
    }
}

/// The first Ctrl-C asks, the second stops the job, the third ends this program alone.
fn stop_on_ctrl_c(client: &RayClient, id: &str) -> Result<(), ctrlc::Error> {
    let (client, id) = (client.clone(), id.to_owned());
    let pressed = AtomicUsize::new(0);
    ctrlc::set_handler(move || match pressed.fetch_add(1, Ordering::Relaxed) {
        0 => eprintln!("\nPress Ctrl-C again to stop {id}. It goes on until then."),
        1 => match client.stop_job(&id) {
            Ok(_) => eprintln!("\nstopping {id}"),
            Err(error) => eprintln!("\n{error}"),
        },
        _ => std::process::exit(130),
    })
}

fn wait_until_started(
    client: &RayClient,
    id: &str,
    status: &StatusLine,
) -> Result<(), ClientError> {
    for seconds in 0u64.. {
        let job = client.get_job(id)?;
        if job.status != JobStatus::Pending {
            break;
        }
        let why = job.message.unwrap_or_default();
        status.show(&format!("{id} PENDING for {seconds} s: {}", why.lines().next().unwrap_or("")));
        std::thread::sleep(Duration::from_secs(1));
    }
    status.clear();
    Ok(())
}

/// Copies the log byte for byte, so that a progress bar stays in its line.
fn copy_log(client: &RayClient, id: &str) -> Result<(), Box<dyn Error>> {
    let mut log = client.follow_job_logs(id)?.into_reader();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = log.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(&buffer[..length])?;
        out.flush()?;
    }
}

/// That of the job's command; 1 if it has none, as a job that was stopped.
fn exit_code(job: &Job) -> ExitCode {
    match (&job.status, job.driver_exit_code) {
        (JobStatus::Succeeded, _) => ExitCode::SUCCESS,
        (_, Some(code)) => u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from),
        (_, None) => ExitCode::FAILURE,
    }
}
