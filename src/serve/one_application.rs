//! Changing one application by a route that takes the state of all of them.

use std::thread;
use std::time::{Duration, Instant};

use super::ServeApplicationConfig;
use super::deadline::Deadline;
use super::details::ServeSource;
use super::raw_state::{RawApplication, RawState, shows};
use super::route::{get_request, put_request, read};
use crate::{ClientError, RayClient};

/// How many times a change is made that somebody else takes back.
const MAX_REVERTS: u32 = 20;

/// Accept the change after Ray has shown the old configuration this many times in a row: Ray drops
/// options that it does not know, and shows `INFO` for a log level of 20.
const MAX_UNCHANGED: u32 = 3;

/// For at least how long others may still hold a state that they read before a change.
const SETTLE: Duration = Duration::from_millis(250);

/// Why a change may not hold although nobody took it back.
pub(super) const SHUTTING_DOWN: &str = "Serve is shutting down, and ignores what is deployed";

/// The change of one application. All others stay as they are.
pub(super) struct Change<'a> {
    pub(super) operation: String,
    pub(super) name: &'a str,
    /// What it is deployed with from now on; `None` deletes it.
    pub(super) config: Option<&'a ServeApplicationConfig>,
    pub(super) deadline: Deadline,
}

#[derive(PartialEq)]
enum Effect {
    Made,
    /// Something was deployed, and Ray shows what was there before.
    Unchanged,
    Reverted,
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
        let (mut reverted, mut unchanged) = (0, 0);
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
            unchanged = if effect == Effect::Unchanged { unchanged + 1 } else { 0 };
            reverted += u32::from(effect == Effect::Reverted);
            if effect == Effect::Made || unchanged == MAX_UNCHANGED {
                return Ok(());
            }
            self.check_time(&effect, reverted)?;
            // Two that take each other's change back in step would do so for ever.
            thread::sleep(settle.mul_f64(rand::random_range(0.0..1.0)));
            is_first = false;
        }
    }

    fn check_time(&self, effect: &Effect, reverted: u32) -> Result<(), ClientError> {
        let why = format!("others took the change back {reverted} times");
        if reverted == MAX_REVERTS {
            return Err(ClientError::rejected(409, format_args!("{}: {why}", self.operation)));
        }
        if !self.deadline.has_passed() {
            return Ok(());
        }
        let why = match effect {
            Effect::ShuttingDown => SHUTTING_DOWN,
            _ if reverted > 0 => &why,
            _ => "Ray does not show the change",
        };
        Err(self.deadline.error(&self.operation, why))
    }

    /// Sends the state with the change in it, and returns what it was before; `None` if there is
    /// nothing to change.
    fn send(&self, client: &RayClient, is_first: bool) -> Result<Option<Before>, ClientError> {
        let _lock = self.deadline.lock_serve(client, &self.operation)?;
        let read_at = Instant::now();
        let body = self.read(client)?;
        let before = RawState::parse(&self.operation, &body)?;
        let application = before.application(self.name);
        if is_first {
            self.check(application)?;
        }
        let applications = self.apply(&before)?;
        if self.config.is_none() && !application.is_some_and(RawApplication::is_declared) {
            return Ok(None);
        }
        // Sent again later, it would take back what others changed in the meantime.
        let request = self.deadline.limit(put_request(&self.operation).idempotent(false));
        client.http().send(&request.json_text(before.body(&applications)))?;
        Ok(Some(Before { read_at, body }))
    }

    /// Whether it can be made at all.
    fn check(&self, application: Option<&RawApplication<'_>>) -> Result<(), ClientError> {
        let operation = &self.operation;
        match (self.config, application) {
            (None, None) => {
                Err(ClientError::not_found(format_args!("{operation}: it does not exist")))
            }
            (None, Some(it)) if it.source == Some(ServeSource::Imperative) => {
                Err(ClientError::rejected(
                    400,
                    format_args!(
                        "{operation}: it was made by serve.run, and only serve.delete in Python can delete it"
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    /// The applications that Serve should have then, all others as Ray wrote them.
    fn apply(&self, before: &RawState<'_>) -> Result<Vec<String>, ClientError> {
        if let Some(lost) = before.applications.iter().find(|it| {
            let is_replaced = it.name == self.name && it.status.is_some();
            !is_replaced && it.would_be_lost()
        }) {
            return Err(ClientError::unexpected(format_args!(
                "{}: Ray does not show the configuration of `{}`, which would be lost",
                self.operation, lost.name
            )));
        }
        let kept = before.applications.iter().filter(|it| it.name != self.name && it.is_declared());
        let mut applications: Vec<_> = kept.filter_map(|it| it.config.map(str::to_owned)).collect();
        if let Some(config) = self.config {
            applications.push(serde_json::to_string(config).map_err(|error| {
                ClientError::invalid(format_args!("{}: {error}", self.operation))
            })?);
        }
        Ok(applications)
    }

    /// What became of the change, as far as can be seen now.
    fn effect(&self, client: &RayClient, before: &Before) -> Result<Effect, ClientError> {
        let before = RawState::parse(&self.operation, &before.body)?;
        let body = self.read(client)?;
        let state = RawState::parse(&self.operation, &body)?;
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
                    Effect::Unchanged
                } else {
                    Effect::Reverted
                }
            }
            (Some(_), None) if state.is_shutting_down(&before) => Effect::ShuttingDown,
            _ => Effect::Reverted,
        })
    }

    fn read(&self, client: &RayClient) -> Result<String, ClientError> {
        read(client, &self.deadline.limit(get_request(&self.operation)))
    }
}
