//! Changing one application by a route that takes the state of all of them.

use std::thread;
use std::time::{Duration, Instant};

use super::ServeApplicationConfig;
use super::deadline::Deadline;
use super::details::ServeSource;
use super::route::{get_request, put_request, read};
use super::state::{Application, State, shows};
use crate::{ClientError, RayClient};

/// How many times a change is made that somebody else takes back.
const ROUNDS: u32 = 20;

/// Accept the change after Ray has shown the old configuration this many times in a row: Ray drops
/// options that it does not know, and shows `INFO` for a log level of 20.
const AS_BEFORE: u32 = 3;

/// For at least how long others may still hold a state that they read before a change.
const SETTLE: Duration = Duration::from_millis(250);

/// Why a change may not hold although nobody took it back.
pub(super) const SHUTTING_DOWN: &str = "Serve is shutting down, and ignores what is deployed";

/// The change of one application. All others stay as they are.
pub(super) struct Change<'a> {
    pub(super) what: String,
    pub(super) name: &'a str,
    /// What it is deployed with from now on; `None` deletes it.
    pub(super) config: Option<&'a ServeApplicationConfig>,
    pub(super) deadline: Deadline,
}

#[derive(PartialEq)]
enum Effect {
    Made,
    /// Something was deployed, and Ray shows what was there before.
    AsBefore,
    TakenBack,
    ShuttingDown,
}

/// The answer that a change was made of.
struct Before {
    read_at: Instant,
    body: String,
}

impl Change<'_> {
    /// Makes the change, checks whether it holds, and makes it again if not.
    ///
    /// Ray has no compare-and-swap: whoever read the state before this change and writes it after
    /// undoes it. So the state is read right before it is written, and read again for as long as
    /// others may still hold an older one.
    pub(super) fn make(&self, client: &RayClient) -> Result<(), ClientError> {
        let (mut taken_back, mut as_before) = (0, 0);
        let mut is_first = true;
        loop {
            let Some(before) = self.send(client, is_first)? else { return Ok(()) };
            let mut effect = self.effect(client, &before)?;
            // Whoever read the state before this change takes about as long to write it.
            let settle = (before.read_at.elapsed() * 5).clamp(SETTLE, SETTLE * 10);
            if effect == Effect::Made {
                thread::sleep(settle);
                effect = self.effect(client, &before)?;
            }
            as_before = if effect == Effect::AsBefore { as_before + 1 } else { 0 };
            taken_back += u32::from(effect == Effect::TakenBack);
            if effect == Effect::Made || as_before == AS_BEFORE {
                return Ok(());
            }
            self.check_time(&effect, taken_back)?;
            // Two that take each other's change back in step would do so for ever.
            thread::sleep(settle.mul_f64(rand::random_range(0.0..1.0)));
            is_first = false;
        }
    }

    fn check_time(&self, effect: &Effect, taken_back: u32) -> Result<(), ClientError> {
        let why = format!("others took the change back {taken_back} times");
        if taken_back == ROUNDS {
            return Err(ClientError::rejected(409, format_args!("{}: {why}", self.what)));
        }
        if !self.deadline.has_passed() {
            return Ok(());
        }
        let why = match effect {
            Effect::ShuttingDown => SHUTTING_DOWN,
            _ if taken_back > 0 => &why,
            _ => "Ray does not show the change",
        };
        Err(self.deadline.error(&self.what, why))
    }

    /// Sends the state with the change in it, and returns what it was before; `None` if there is
    /// nothing to change.
    fn send(&self, client: &RayClient, is_first: bool) -> Result<Option<Before>, ClientError> {
        let _turn = self.deadline.turn(client, &self.what)?;
        let read_at = Instant::now();
        let body = self.read(client)?;
        let before = State::parse(&self.what, &body)?;
        let application = before.application(self.name);
        if is_first {
            self.check(application)?;
        }
        let applications = self.apply(&before)?;
        if self.config.is_none() && !application.is_some_and(Application::is_declared) {
            return Ok(None);
        }
        // Sent again later, it would take back what others changed in the meantime.
        let request = self.deadline.limit(put_request(&self.what).idempotent(false));
        client.http().send(&request.json_text(before.body(&applications)))?;
        Ok(Some(Before { read_at, body }))
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

    /// The applications that Serve should have then, all others as Ray wrote them.
    fn apply(&self, before: &State<'_>) -> Result<Vec<String>, ClientError> {
        if let Some(lost) = before.applications.iter().find(|it| {
            let is_replaced = it.name == self.name && it.status.is_some();
            !is_replaced && it.would_be_lost()
        }) {
            return Err(ClientError::unexpected(format_args!(
                "{}: Ray does not show the configuration of `{}`, which would be lost",
                self.what, lost.name
            )));
        }
        let kept = before.applications.iter().filter(|it| it.name != self.name && it.is_declared());
        let mut applications: Vec<_> = kept.filter_map(|it| it.config.map(str::to_owned)).collect();
        if let Some(config) = self.config {
            applications.push(
                serde_json::to_string(config).map_err(|error| {
                    ClientError::invalid(format_args!("{}: {error}", self.what))
                })?,
            );
        }
        Ok(applications)
    }

    /// What became of the change, as far as can be seen now.
    fn effect(&self, client: &RayClient, before: &Before) -> Result<Effect, ClientError> {
        let before = State::parse(&self.what, &before.body)?;
        let body = self.read(client)?;
        let state = State::parse(&self.what, &body)?;
        let was = before.application(self.name);
        let now = state.application(self.name).filter(|it| it.is_declared());
        Ok(match (self.config, now) {
            (None, None) => Effect::Made,
            (Some(sent), Some(now)) => {
                let is_other = now.config != was.and_then(|it| it.config);
                let sent = serde_json::to_value(sent).ok();
                let is_shown = now.config.zip(sent).is_some_and(|(now, sent)| shows(now, &sent));
                if is_other || is_shown {
                    Effect::Made
                } else if now.deployed_at != was.and_then(|it| it.deployed_at) {
                    Effect::AsBefore
                } else {
                    Effect::TakenBack
                }
            }
            (Some(_), None) if state.is_shutting_down(&before) => Effect::ShuttingDown,
            _ => Effect::TakenBack,
        })
    }

    fn read(&self, client: &RayClient) -> Result<String, ClientError> {
        read(client, &self.deadline.limit(get_request(&self.what)))
    }
}
