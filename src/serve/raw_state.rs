//! The state that Serve reports, as text, so it can be sent back unchanged.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::details::{ServeActor, ServeApplication, ServeApplicationStatus, ServeSource};
use super::raw_json::members;
use crate::{ClientError, json};

/// The options that a PUT accepts beside the applications. It resets missing ones to Ray's
/// defaults. Ray 2.60.0 reports the first four.
const OPTIONS: [&str; 7] = [
    "proxy_location",
    "http_options",
    "grpc_options",
    "target_capacity",
    "logging_config",
    "tracing_config",
    "controller_options",
];

/// A response "Serve is not running" that took longer is not trusted.
const MAX_TRUSTED_TIME: Duration = Duration::from_secs(30);

/// A response to `GET /api/serve/applications/`.
pub(super) struct RawState<'a> {
    /// The actor id of Serve's controller; `None` if Serve is not running.
    pub(super) controller: Option<String>,
    options: Vec<(String, &'a str)>,
    pub(super) applications: Vec<RawApplication<'a>>,
}

pub(super) struct RawApplication<'a> {
    pub(super) name: String,
    text: &'a str,
    pub(super) config: Option<&'a str>,
    pub(super) deployed_at: Option<&'a str>,
    pub(super) status: Option<ServeApplicationStatus>,
    pub(super) source: Option<ServeSource>,
}

impl<'a> RawState<'a> {
    /// Fails with 500 if the response lacks one of the three members that every Ray from 2.9 to
    /// 2.60 sends, even without a running Serve. Otherwise another server's response could mean "no
    /// applications".
    pub(super) fn parse(operation: &str, body: &'a str) -> Result<Self, ClientError> {
        Self::read(body).ok_or_else(|| not_from_ray(operation))
    }

    fn read(body: &'a str) -> Option<Self> {
        let all = members(body)?;
        let object = |name: &str| {
            let (_, value) = all.iter().find(|(key, _)| key == name)?;
            Some((*value, members(value)?))
        };
        object("proxies")?;
        let controller: ServeActor = parse(object("controller_info")?.0)?;
        let applications = object("applications")?.1.into_iter();
        Some(Self {
            controller: controller.actor_id,
            applications: applications
                .map(|(name, text)| RawApplication::read(name, text))
                .collect(),
            options: all
                .into_iter()
                .filter(|(name, value)| OPTIONS.contains(&&**name) && *value != "null")
                .collect(),
        })
    }

    /// Returns whether "Serve is not running" may be wrong. After failing to reach its GCS for 60
    /// s, Ray sends the same response (measured on 2.60.0), and the next change would delete
    /// everything.
    pub(super) fn is_doubtful(&self, took: Duration) -> bool {
        self.controller.is_none() && took > MAX_TRUSTED_TIME
    }

    pub(super) fn application(&self, name: &str) -> Option<&RawApplication<'a>> {
        self.applications.iter().find(|it| it.name == name)
    }

    /// Returns whether Serve is shutting down, given that something was deployed since `before`.
    /// Ray then ignores the deployment and answers 200. All applications are being deleted and none
    /// was deployed since; an application that another client deletes after its deployment has a
    /// later time.
    pub(super) fn is_shutting_down(&self, before: &RawState<'_>) -> bool {
        let was_ignored = |now: &RawApplication<'_>| {
            let before = before.application(&now.name);
            now.status == Some(ServeApplicationStatus::Deleting)
                && before.is_some_and(|it| it.deployed_at == now.deployed_at)
        };
        self.controller.is_some() && self.applications.iter().all(was_ignored)
    }

    /// Returns the body of a PUT with these options and applications.
    pub(super) fn body(&self, applications: &[String]) -> String {
        let options = self.options.iter().map(|(name, value)| format!("\"{name}\":{value},"));
        let options: String = options.collect();
        format!("{{{options}\"applications\":[{}]}}", applications.join(","))
    }
}

impl<'a> RawApplication<'a> {
    fn read(name: String, text: &'a str) -> Self {
        let mut application =
            Self { name, text, config: None, deployed_at: None, status: None, source: None };
        for (key, value) in members(text).unwrap_or_default() {
            match key.as_str() {
                "deployed_app_config" if value != "null" => application.config = Some(value),
                "last_deployed_time_s" => application.deployed_at = Some(value),
                "status" => application.status = parse(value),
                "source" => application.source = parse(value),
                _ => {}
            }
        }
        application
    }

    /// Returns the public model of the application.
    pub(super) fn model(&self) -> Result<ServeApplication, ClientError> {
        json::from_slice(self.text.as_bytes()).map_err(|error| {
            let message = format!("Serve application `{}` is unreadable: {error}", self.name);
            ClientError::unexpected(message).caused_by(error)
        })
    }

    /// Returns whether a PUT without the application deletes it. Ray still reports the
    /// configuration of an application that `serve.delete` is deleting, and the former one of an
    /// application that `serve.run` replaced. Sending these would bring them back.
    pub(super) fn is_declared(&self) -> bool {
        (self.config.is_some() || self.source == Some(ServeSource::Declarative))
            && self.source != Some(ServeSource::Imperative)
            && self.status != Some(ServeApplicationStatus::Deleting)
    }

    /// Returns whether `serve.run` made the application. A Ray that does not report sources, such as 2.9.3,
    /// reports no configuration for it.
    pub(super) fn is_imperative(&self) -> bool {
        self.source == Some(ServeSource::Imperative) || self.is_unprotected()
    }

    /// Returns whether a PUT without the application deletes it, although `serve.run` made it, as in Ray
    /// 2.9.3.
    pub(super) fn is_unprotected(&self) -> bool {
        self.source.is_none()
            && self.config.is_none()
            && self.status.as_ref().is_some_and(|it| *it != ServeApplicationStatus::Deleting)
    }

    /// Returns whether a PUT needs the application but cannot contain it, because it is unreadable
    /// or its configuration is missing. The latter has not been observed; according to Ray's code
    /// it may happen before the controller writes its first checkpoint.
    pub(super) fn would_be_lost(&self) -> bool {
        self.status.is_none() || (self.is_declared() && self.config.is_none())
    }
}

pub(super) fn not_from_ray(operation: &str) -> ClientError {
    ClientError::unexpected(format_args!("{operation}: the response is not from Ray"))
}

/// Returns whether the configuration that Ray reports contains everything that was sent.
pub(super) fn contains_sent(now: &str, sent: &Value) -> bool {
    parse::<Map<_, _>>(now).is_some_and(|now| covers(&Value::Object(now), sent))
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

fn parse<T: DeserializeOwned>(text: &str) -> Option<T> {
    json::from_slice(text.as_bytes()).ok()
}
