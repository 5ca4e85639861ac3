//! Changing one application by a route that takes the state of all of them.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::ServeApplicationConfig;
use super::details::{ServeApplicationStatus, ServeSource};
use super::raw::members;
use super::{get_request, put_request};
use crate::{ClientError, RayClient};

/// The options beside the applications that a PUT takes, and that have Ray's default again where it
/// leaves them out. Ray 2.60.0 tells the first four.
const OPTIONS: [&str; 7] = [
    "proxy_location",
    "http_options",
    "grpc_options",
    "target_capacity",
    "logging_config",
    "tracing_config",
    "controller_options",
];

/// How often a change is made again that somebody else's took back.
const ROUNDS: u32 = 20;

/// How often in a row Ray may show what was there before a deployment until it is taken for what Ray
/// makes of it: it drops options that it does not know, and writes `INFO` for a log level of 20.
const AS_BEFORE: u32 = 3;

/// How long others may still hold a state that they read before a change, at the least.
const SETTLE: Duration = Duration::from_millis(250);

/// The change of one application. All others stay as they are.
pub(super) struct Change<'a> {
    pub(super) what: String,
    pub(super) name: &'a str,
    /// What it is deployed with from now on; `None` deletes it.
    pub(super) config: Option<&'a ServeApplicationConfig>,
}

impl Change<'_> {
    /// Makes the change, looks whether it holds, and makes it again where it does not.
    ///
    /// Ray has no compare-and-swap: whoever read the state before this change and writes it after
    /// undoes it. So the state is read right before it is written, and looked at again for as long
    /// as others may still hold an older one.
    pub(super) fn make(&self, client: &RayClient) -> Result<(), ClientError> {
        let mut as_before = 0;
        for round in 0..ROUNDS {
            let start = Instant::now();
            let before = {
                let _turn = client.serve_turn();
                let body = self.read(client)?;
                let before = State::parse(&body).ok_or_else(|| self.not_rays())?;
                let application = before.application(self.name);
                if round == 0 {
                    self.check(application)?;
                }
                if self.config.is_none() && !application.is_some_and(Application::is_kept) {
                    return Ok(());
                }
                // Sent again later, it would take back what others changed meanwhile.
                let request = put_request(&self.what).idempotent(false);
                client.http().send(&request.json_text(self.apply(&before)?))?;
                application.map(Shown::of).unwrap_or_default()
            };
            let mut effect = self.effect(client, &before)?;
            // Whoever read the state before this change takes about as long to write it.
            let settle = (start.elapsed() * 5).clamp(SETTLE, SETTLE * 10);
            if effect == Effect::Made {
                thread::sleep(settle);
                effect = self.effect(client, &before)?;
            }
            as_before = if effect == Effect::AsBefore { as_before + 1 } else { 0 };
            if effect == Effect::Made || as_before == AS_BEFORE {
                return Ok(());
            }
            // Two that take each other's change back in step would do so for ever.
            thread::sleep(settle.mul_f64(rand::random_range(0.0..1.0)));
        }
        Err(ClientError::rejected(
            409,
            format_args!("{}: others took the change back {ROUNDS} times", self.what),
        ))
    }

    /// Whether it can be made at all.
    fn check(&self, application: Option<&Application<'_>>) -> Result<(), ClientError> {
        let what = &self.what;
        match (self.config, application) {
            (None, None) => Err(ClientError::not_found(format_args!("{what}: it does not exist"))),
            (None, Some(it)) if it.source == Some(ServeSource::Imperative) => {
                Err(ClientError::rejected(
                    400,
                    format_args!(
                        "{what}: it was made by serve.run, and only serve.delete in Python can delete it"
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    /// The whole state with the change in it, and everything else as Ray wrote it.
    fn apply(&self, before: &State<'_>) -> Result<String, ClientError> {
        let others = || before.applications.iter().filter(|it| it.name != self.name);
        if let Some(other) = others().find(|it| it.would_be_lost()) {
            return Err(ClientError::unexpected(format_args!(
                "{}: Ray does not tell the configuration of `{}`, which would be lost",
                self.what, other.name
            )));
        }
        let kept = others().filter(|it| it.is_kept());
        let mut applications: Vec<_> = kept.filter_map(|it| it.config.map(str::to_owned)).collect();
        if let Some(config) = self.config {
            applications.push(
                serde_json::to_string(config).map_err(|error| {
                    ClientError::invalid(format_args!("{}: {error}", self.what))
                })?,
            );
        }
        let options = before.options.iter().map(|(name, value)| format!("\"{name}\":{value},"));
        let options: String = options.collect();
        Ok(format!("{{{options}\"applications\":[{}]}}", applications.join(",")))
    }

    /// What became of the change, as far as can be seen now.
    fn effect(&self, client: &RayClient, before: &Shown) -> Result<Effect, ClientError> {
        let body = self.read(client)?;
        let state = State::parse(&body).ok_or_else(|| self.not_rays())?;
        let now = state.application(self.name).filter(|it| it.is_kept());
        Ok(match (self.config, now) {
            (None, None) => Effect::Made,
            (Some(sent), Some(now)) => {
                let is_other = now.config != before.config.as_deref();
                if is_other || now.config.is_some_and(|config| shows(config, sent)) {
                    Effect::Made
                } else if now.deployed_at != before.deployed_at.as_deref() {
                    Effect::AsBefore
                } else {
                    Effect::TakenBack
                }
            }
            _ => Effect::TakenBack,
        })
    }

    fn read(&self, client: &RayClient) -> Result<String, ClientError> {
        let answer = client.http().send(&get_request(&self.what))?;
        String::from_utf8(answer.body).map_err(|_| self.not_rays())
    }

    fn not_rays(&self) -> ClientError {
        ClientError::unexpected(format_args!(
            "{}: the answer is not the JSON that Ray sends",
            self.what
        ))
    }
}

#[derive(PartialEq)]
enum Effect {
    Made,
    /// Something was deployed, and is shown as what was there before.
    AsBefore,
    TakenBack,
}

/// What Ray showed of an application before a change: its configuration and when that was deployed.
#[derive(Default)]
struct Shown {
    config: Option<String>,
    deployed_at: Option<String>,
}

impl Shown {
    fn of(application: &Application<'_>) -> Self {
        let [config, deployed_at] =
            [application.config, application.deployed_at].map(|text| text.map(str::to_owned));
        Self { config, deployed_at }
    }
}

/// What Serve runs, each part as Ray wrote it.
struct State<'a> {
    options: Vec<(String, &'a str)>,
    applications: Vec<Application<'a>>,
}

struct Application<'a> {
    name: String,
    config: Option<&'a str>,
    deployed_at: Option<&'a str>,
    status: Option<ServeApplicationStatus>,
    source: Option<ServeSource>,
}

impl<'a> State<'a> {
    fn parse(body: &'a str) -> Option<Self> {
        let mut state = State { options: Vec::new(), applications: Vec::new() };
        for (name, value) in members(body)? {
            if name == "applications" {
                state.applications = members(value)?
                    .into_iter()
                    .map(|(name, value)| Application::parse(name, value))
                    .collect::<Option<_>>()?;
            } else if OPTIONS.contains(&&*name) && value != "null" {
                state.options.push((name, value));
            }
        }
        Some(state)
    }

    fn application(&self, name: &str) -> Option<&Application<'a>> {
        self.applications.iter().find(|it| it.name == name)
    }
}

impl<'a> Application<'a> {
    fn parse(name: String, text: &'a str) -> Option<Self> {
        let mut application =
            Application { name, config: None, deployed_at: None, status: None, source: None };
        for (key, value) in members(text)? {
            match key.as_str() {
                "deployed_app_config" if value != "null" => application.config = Some(value),
                "last_deployed_time_s" => application.deployed_at = Some(value),
                "status" => application.status = serde_json::from_str(value).ok()?,
                "source" => application.source = serde_json::from_str(value).ok()?,
                _ => {}
            }
        }
        Some(application)
    }

    /// Whether a PUT must have it, lest it is deleted. One that `serve.delete` deletes still shows
    /// its configuration, and one that `serve.run` took over shows its former one: a PUT that has
    /// these would bring them back.
    fn is_kept(&self) -> bool {
        self.config.is_some()
            && self.source != Some(ServeSource::Imperative)
            && self.status != Some(ServeApplicationStatus::Deleting)
    }

    /// Whether a PUT must have it, but cannot. Not seen yet; Ray's code says that it may happen
    /// before the controller has written its first checkpoint.
    fn would_be_lost(&self) -> bool {
        self.config.is_none()
            && self.source == Some(ServeSource::Declarative)
            && self.status != Some(ServeApplicationStatus::Deleting)
    }
}

/// Whether a configuration that Ray shows says all that was sent.
fn shows(now: &str, sent: &ServeApplicationConfig) -> bool {
    let now = serde_json::from_str::<Value>(now);
    serde_json::to_value(sent).is_ok_and(|sent| now.is_ok_and(|now| covers(&now, &sent)))
}

fn covers(now: &Value, sent: &Value) -> bool {
    match (now, sent) {
        (Value::Object(now), Value::Object(sent)) => {
            sent.iter().all(|(key, sent)| now.get(key).is_some_and(|now| covers(now, sent)))
        }
        (Value::Array(now), Value::Array(sent)) => {
            now.len() == sent.len() && now.iter().zip(sent).all(|(now, sent)| covers(now, sent))
        }
        (Value::Number(now), Value::Number(sent)) => now.as_f64() == sent.as_f64(),
        _ => now == sent,
    }
}
