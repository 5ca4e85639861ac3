//! Changes one application, through a route that replaces all: reads the state, sends the other
//! applications back exactly as Ray wrote them, and checks that the change holds.

use std::thread;
use std::time::{Duration, Instant};

use super::ServeApplicationConfig;
use super::deadline::Deadline;
use super::raw_state::{RawApplication, RawState, contains_sent};
use super::route::{get_request, put_request, read};
use crate::rejection_kind::RejectionKind;
use crate::{ClientError, RayClient};

/// How many times to repeat a change that others revert.
const MAX_REVERTS: u32 = 20;

/// How many times to repeat a change during which Serve was killed. A Serve that cannot start, for example
/// because its port is in use, looks the same.
const MAX_KILLED: u32 = 3;

/// Accept the change after Ray has shown the old configuration this many times in a row. Ray drops
/// unknown options, and shows `INFO` for a log level of 20.
const MAX_UNCHANGED: u32 = 3;

/// The minimum time in which others may still write a state that they read before the change.
const SETTLE: Duration = Duration::from_millis(250);

/// Why a change may be lost although nobody reverted it.
pub(super) const SHUTTING_DOWN: &str = "Serve is shutting down and ignores deployments";

/// A change of one application that leaves all others unchanged.
pub(super) struct Change<'a> {
    pub(super) operation: String,
    pub(super) name: &'a str,
    /// The new configuration; `None` deletes the application.
    pub(super) config: Option<&'a ServeApplicationConfig>,
    pub(super) deadline: Deadline,
}

#[derive(PartialEq)]
enum Effect {
    Made,
    /// Something was deployed, but Ray shows the old configuration.
    Unchanged,
    Reverted,
    ShuttingDown,
}

/// The state that a change was applied to.
struct Before {
    read_at: Instant,
    body: String,
}

impl Change<'_> {
    /// Makes the change, checks that it holds, and repeats it if not.
    ///
    /// Ray has no compare-and-swap: a client that read the state before this change and writes it
    /// afterwards reverts the change. The state is therefore read right before the write, and again
    /// for as long as others may still hold an older state.
    pub(super) fn make(&self, client: &RayClient) -> Result<(), ClientError> {
        let (mut reverted, mut unchanged, mut killed) = (0, 0, 0);
        let mut was_sent = false;
        loop {
            let before = match self.send(client, &mut was_sent) {
                Ok(Some(before)) => before,
                Ok(None) => return Ok(()),
                // A shutdown ended Serve while it handled the change. Sent again, the change starts Serve.
                Err(error)
                    if error.rejection_kind() == RejectionKind::NoServeController
                        && killed < MAX_KILLED
                        && !self.deadline.has_passed() =>
                {
                    killed += 1;
                    thread::sleep(SETTLE);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut effect = self.effect(client, &before)?;
            // A client that read the state earlier takes about as long to write it.
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
            // At a random time, because two clients in step would revert each other forever.
            thread::sleep(settle.mul_f64(rand::random_range(0.0..1.0)));
        }
    }

    fn check_time(&self, effect: &Effect, reverted: u32) -> Result<(), ClientError> {
        let why = format!("others reverted the change {reverted} times");
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

    /// Sends the state with the change and returns the state before; `None` if there is nothing to
    /// change. Sets `was_sent`, also if the server then fails: after that, the state may show the change.
    fn send(&self, client: &RayClient, was_sent: &mut bool) -> Result<Option<Before>, ClientError> {
        let _lock = self.deadline.lock_serve(client, &self.operation)?;
        let read_at = Instant::now();
        let body = self.read(client)?;
        let before = RawState::parse(&self.operation, &body)?;
        let application = before.application(self.name);
        if !*was_sent {
            self.check(application)?;
        }
        let applications = self.apply(&before)?;
        if self.config.is_none() && !application.is_some_and(RawApplication::is_declared) {
            return Ok(None);
        }
        // Not idempotent: sent again later, it would revert what others changed meanwhile.
        let request = self.deadline.limit(put_request(&self.operation).idempotent(false));
        *was_sent = true;
        client.http().send(&request.json_text(before.body(&applications)))?;
        Ok(Some(Before { read_at, body }))
    }

    /// Checks that the change is possible.
    fn check(&self, application: Option<&RawApplication<'_>>) -> Result<(), ClientError> {
        let operation = &self.operation;
        match (self.config, application) {
            (None, None) => {
                Err(ClientError::not_found(format_args!("{operation}: it does not exist")))
            }
            (None, Some(it)) if it.is_imperative() => Err(ClientError::rejected(
                400,
                format_args!(
                    "{operation}: it was created by serve.run; only serve.delete in Python can delete it"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Returns the applications after the change, all others as Ray sent them.
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
        if let Some(lost) =
            before.applications.iter().find(|it| it.name != self.name && it.is_unprotected())
        {
            return Err(ClientError::rejected(
                400,
                format_args!(
                    "{}: this old Ray would delete `{}`, which was created by serve.run",
                    self.operation, lost.name
                ),
            ));
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

    /// Returns the current effect of the change.
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
                let is_shown =
                    now.config.zip(sent).is_some_and(|(now, sent)| contains_sent(now, &sent));
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
