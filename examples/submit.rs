//! What `ray job submit` does: uploads code, runs a command, shows its log, ends with its exit code.
//!
//! ```text
//! cargo run --features packages --example submit -- --working-dir . -- python main.py
//! ```
//!
//! The address is that of `--address`, or of the environment as Ray's own client reads it. The log goes to
//! standard output, all else to standard error.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::str::FromStr;
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

const OPTIONS: [&str; 12] = [
    "--address",
    "--working-dir",
    "--py-module",
    "--exclude",
    "--runtime-env-json",
    "--env",
    "--submission-id",
    "--metadata",
    "--num-cpus",
    "--num-gpus",
    "--memory",
    "--resource",
];

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
    let Some(Arguments { address, job, wanted, wait }) = Arguments::read(std::env::args().skip(1))?
    else {
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
            status.show(&format!("uploading {percent} % of {}", size(all)));
        }
    })?;
    status.clear();
    if !wait {
        println!("{id}");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("submitted {id}");
    stop_on_ctrl_c(&client, &id)?;
    wait_until_started(&client, &id, &wanted, &status)?;
    copy_log(&client, &id)?;
    let job = client.get_job(&id)?;
    match job.reason() {
        Some(reason) => eprintln!("{id} {}: {reason}", job.status),
        None => eprintln!("{id} {}", job.status),
    }
    Ok(exit_code(&job))
}

fn size(bytes: u64) -> String {
    match bytes.div_ceil(1024) {
        kib @ ..1024 => format!("{kib} KiB"),
        kib => format!("{} MiB", kib.div_ceil(1024)),
    }
}

struct Arguments {
    address: Option<String>,
    job: JobSubmission,
    wanted: BTreeMap<String, f64>,
    wait: bool,
}

impl Arguments {
    /// `None` for `--help`.
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, Box<dyn Error>> {
        let (mut address, mut wait, mut options) = (None, true, Vec::new());
        let mut command = Vec::new();
        while let Some(argument) = arguments.next().filter(|argument| argument != "--") {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (&*argument, None),
            };
            match name {
                "--help" | "-h" => return Ok(None),
                "--no-wait" => wait = false,
                _ if OPTIONS.contains(&name) => {
                    let value = value.or_else(|| arguments.next());
                    let value = value.ok_or_else(|| format!("{name} needs a value"))?;
                    options.push((name.to_owned(), value));
                }
                _ if name.starts_with('-') => {
                    return Err(format!("{name} is not known\n{USAGE}").into());
                }
                _ => {
                    command.push(argument);
                    break;
                }
            }
        }
        command.extend(arguments);
        if command.is_empty() {
            return Err(format!("no command\n{USAGE}").into());
        }
        let mut job =
            JobSubmission::new(shell_command(&command)).runtime_env(runtime_env(&options)?);
        let wanted = wanted(&options)?;
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
                "--num-cpus" => job.entrypoint_num_cpus(number(&name, &value)?),
                "--num-gpus" => job.entrypoint_num_gpus(number(&name, &value)?),
                "--memory" => job.entrypoint_memory(number(&name, &value)?),
                _ => job.entrypoint_resource(pair()?.0, number(&name, pair()?.1)?),
            };
        }
        Ok(Some(Self { address, job, wanted, wait }))
    }
}

/// First of all, so that the other options come on top of the JSON, wherever it stands.
fn runtime_env(options: &[(String, String)]) -> Result<RuntimeEnv, Box<dyn Error>> {
    let mut env = RuntimeEnv::new();
    for (_, json) in options.iter().filter(|(name, _)| name == "--runtime-env-json") {
        env = serde_json::from_str(json).map_err(|error| format!("--runtime-env-json: {error}"))?;
    }
    for (name, value) in options.iter().filter(|(name, _)| name == "--env") {
        let (key, value) = pair(name, value)?;
        env = env.env_var(key, value);
    }
    Ok(env)
}

/// The resources that the command is started with, by Ray's names.
fn wanted(options: &[(String, String)]) -> Result<BTreeMap<String, f64>, String> {
    let mut wanted = BTreeMap::new();
    for (name, value) in options {
        let (resource, amount) = match name.as_str() {
            "--num-cpus" => ("CPU", &**value),
            "--num-gpus" => ("GPU", &**value),
            "--memory" => ("memory", &**value),
            "--resource" => pair(name, value)?,
            _ => continue,
        };
        wanted.insert(resource.to_owned(), number(name, amount)?);
    }
    Ok(wanted)
}

fn pair<'a>(name: &str, value: &'a str) -> Result<(&'a str, &'a str), String> {
    value.split_once('=').ok_or(format!("{name} needs NAME=VALUE"))
}

fn number<T: FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name}: `{text}` is no number"))
}

/// The cluster runs the command with a shell.
fn shell_command(command: &[String]) -> String {
    command.iter().map(|argument| quoted(argument)).collect::<Vec<_>>().join(" ")
}

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
            Ok(_) => eprintln!("\nStopping {id}. Press Ctrl-C again not to wait for that."),
            Err(error) => eprintln!("\n{error}"),
        },
        _ => std::process::exit(130),
    })
}

fn wait_until_started(
    client: &RayClient,
    id: &str,
    wanted: &BTreeMap<String, f64>,
    status: &StatusLine,
) -> Result<(), ClientError> {
    let mut told = None;
    for seconds in 0u64.. {
        let job = client.get_job(id)?;
        if job.status != JobStatus::Pending {
            break;
        }
        let missing = missing(client, wanted);
        let message = job.message.unwrap_or_default();
        let why = missing.as_deref().or(message.lines().next()).unwrap_or_default();
        status.show(&format!("PENDING for {seconds} s: {why}"));
        if !status.on && missing.is_some() && missing != told {
            eprintln!("{id} PENDING: {why}");
            told = missing;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    status.clear();
    Ok(())
}

/// What the cluster says of the resources that this job waits for.
fn missing(client: &RayClient, wanted: &BTreeMap<String, f64>) -> Option<String> {
    let status = client.cluster_status().ok()?;
    let demand = status.pending_demands.iter().find(|demand| demand.resources == *wanted)?;
    let lacking = status.lacking(demand);
    let amounts = |names: &[&str]| {
        names
            .iter()
            .map(|name| format!("{} {name}", wanted[*name]))
            .collect::<Vec<_>>()
            .join(" and ")
    };
    if lacking.is_empty() {
        let names: Vec<_> = wanted.keys().map(String::as_str).collect();
        return Some(format!("waits for {} to become free", amounts(&names)));
    }
    Some(format!("no node has {}", amounts(&lacking)))
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
