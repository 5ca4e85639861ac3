//! The calls of [`RayClient`] that read and change Serve. The calls that wait are in `waiting.rs`.

use std::thread;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::deadline::Deadline;
use super::details::{ServeApplication, ServeDetails};
use super::one_application::{Change, SHUTTING_DOWN};
use super::raw_state::RawState;
use super::route::{delete_request, get_request, put_request, read};
use super::{ServeApplicationConfig, ServeConfig, name};
use crate::rejection_kind::RejectionKind;
use crate::transport::{Request, path};
use crate::{ClientError, Listing, RayClient, json};

/// The pause between two polls of a Serve that is shutting down.
const PAUSE: Duration = Duration::from_millis(100);

/// Serve applications.
impl RayClient {
    /// Returns Serve's whole state: its options, proxies and applications. All are empty if Serve
    /// is not running. Calls `GET /api/serve/applications/`.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let details = client.get_serve_details()?;
    /// for (node, proxy) in &details.proxies {
    ///     println!("{node}: {}", proxy.status);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 501 if the cluster does not have `ray[serve]`; 500 if even one application is unreadable;
    /// otherwise the same errors as [`list_jobs`](Self::list_jobs).
    pub fn get_serve_details(&self) -> Result<ServeDetails, ClientError> {
        let request = get_request("get Serve details");
        let body = read(self, &request)?;
        RawState::parse(&request.operation, &body)?;
        json::from_slice(body.as_bytes()).map_err(|error| {
            let message = format!("{}: the response is unreadable: {error}", request.operation);
            ClientError::unexpected(message).caused_by(error)
        })
    }

    /// Returns all applications, sorted by name, including those created by `serve.run` and those
    /// that are being deleted. Empty if Serve is not running. Unreadable applications are skipped
    /// and named in [`warnings`](Listing::warnings). Calls `GET /api/serve/applications/`.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// for application in client.list_serve_applications()? {
    ///     println!("{}: {}", application.name, application.status);
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 501 if the cluster does not have `ray[serve]`; otherwise the same errors as
    /// [`list_jobs`](Self::list_jobs).
    pub fn list_serve_applications(&self) -> Result<Listing<ServeApplication>, ClientError> {
        let request = get_request("list Serve applications");
        let body = read(self, &request)?;
        let state = RawState::parse(&request.operation, &body)?;
        let mut listing = Listing::complete(Vec::new());
        listing.total = state.applications.len();
        for application in &state.applications {
            match application.model() {
                Ok(application) => listing.results.push(application),
                Err(error) => listing.warnings.push(error.to_string()),
            }
        }
        listing.results.sort_by(|a, b| a.name.cmp(&b.name));
        listing.truncated = !listing.warnings.is_empty();
        Ok(listing)
    }

    /// Returns one application. Calls `GET /api/serve/applications/`.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let application = client.get_serve_application("text")?;
    /// println!("{}: {}", application.status, application.reason().unwrap_or_default());
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 404 if the application does not exist or Serve is not running; 400 if the name is empty; 500
    /// if the application is unreadable; otherwise the same errors as
    /// [`list_serve_applications`](Self::list_serve_applications).
    pub fn get_serve_application(
        &self,
        name: impl AsRef<str>,
    ) -> Result<ServeApplication, ClientError> {
        let name = name::existing("application name", name.as_ref())?;
        self.serve_application(name, &get_request(format_args!("get Serve application `{name}`")))
    }

    pub(super) fn serve_application(
        &self,
        name: &str,
        request: &Request,
    ) -> Result<ServeApplication, ClientError> {
        let operation = &request.operation;
        let body = read(self, request)?;
        match RawState::parse(operation, &body)?.application(name) {
            Some(application) => application.model(),
            None => Err(ClientError::not_found(format_args!("{operation}: it does not exist"))),
        }
    }

    /// Deploys `config` as the whole state of Serve. Its applications are added or replaced; other
    /// declarative applications are **deleted**. Applications created by `serve.run` stay. Starts
    /// Serve if it is not running.
    ///
    /// Returns when Ray has accepted the configuration, long before the applications run. To wait
    /// for them, call [`wait_for_serve_applications`](Self::wait_for_serve_applications).
    ///
    /// Calls `PUT /api/serve/applications/`, and `GET` before and after it. If Serve was shutting
    /// down and ignored the `PUT`, it is repeated. Takes at most the read timeout plus 60 s,
    /// including the time that it waits for changes of Serve by clones of this client.
    ///
    /// ```no_run
    /// use ray_client::{ServeApplicationConfig, ServeConfig};
    ///
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let config = ServeConfig {
    ///     applications: vec![ServeApplicationConfig::new("text", "models:text")],
    ///     ..ServeConfig::default()
    /// };
    /// client.deploy_serve_applications(&config)?;
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 400 if the configuration is invalid; the message names the field. 408 if the time is up.
    /// Otherwise the same errors as [`list_serve_applications`](Self::list_serve_applications).
    pub fn deploy_serve_applications(&self, config: &ServeConfig) -> Result<(), ClientError> {
        config.check()?;
        self.replace_serve_applications(config, &Deadline::of(self))
    }

    pub(super) fn replace_serve_applications(
        &self,
        config: &ServeConfig,
        deadline: &Deadline,
    ) -> Result<(), ClientError> {
        let operation = "deploy Serve applications";
        let _lock = deadline.lock_serve(self, operation)?;
        let put = put_request(operation).json(config)?;
        loop {
            let before = read(self, &deadline.limit(get_request(operation)))?;
            let before = RawState::parse(operation, &before)?;
            self.http().send(&deadline.limit(put.clone()))?;
            let after = read(self, &deadline.limit(get_request(operation)))?;
            let after = RawState::parse(operation, &after)?;
            if config.applications.is_empty() || !after.is_shutting_down(&before) {
                return Ok(());
            }
            if deadline.has_passed() {
                return Err(deadline.error(operation, SHUTTING_DOWN));
            }
            thread::sleep(PAUSE);
        }
    }

    /// Adds or replaces one application, and leaves all others unchanged. An application created by
    /// `serve.run` can also be replaced, and is then declarative. Starts Serve with Ray's default
    /// options if it is not running.
    ///
    /// Returns when Ray has accepted the configuration, long before the application runs. To wait
    /// for it, call [`wait_for_serve_application`](Self::wait_for_serve_application).
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use ray_client::{RayClient, ServeApplicationConfig};
    ///
    /// let client = RayClient::new("http://127.0.0.1:8265")?;
    /// let text = ServeApplicationConfig::new("text", "models:text").route_prefix("/text");
    /// client.deploy_serve_application(&text)?;
    /// client.wait_for_serve_application("text", Duration::from_secs(120))?;
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// Ray has no route for a single application. The client reads the state of all applications
    /// with `GET /api/serve/applications/`, sends it back by `PUT` with the change, and reads it
    /// twice more, at least 0.25 s apart. If the change was lost, it is repeated. Clones of a
    /// client take turns.
    ///
    /// Ray has no compare-and-swap, so there is no guarantee against other programs that write
    /// within the same milliseconds: a program that does not check its changes may lose one.
    ///
    /// Takes at most the read timeout plus 60 s, including the time that it waits for changes of
    /// Serve by clones of this client.
    ///
    /// # Errors
    /// 400 if the configuration is invalid; the message names the field. 409 if others reverted the
    /// change 20 times. 408 if the time is up, for example because Serve is still shutting down.
    /// Otherwise the same errors as [`list_serve_applications`](Self::list_serve_applications).
    pub fn deploy_serve_application(
        &self,
        application: &ServeApplicationConfig,
    ) -> Result<(), ClientError> {
        application.check()?;
        let name = &*application.name;
        let operation = format!("deploy Serve application `{name}`");
        Change { operation, name, config: Some(application), deadline: Deadline::of(self) }
            .make(self)
    }

    /// Deletes one application, and leaves the options, arguments and replicas of all others
    /// unchanged. Does nothing if the application is already being deleted. Serve keeps running,
    /// even without applications.
    ///
    /// Returns when Ray has accepted the change. Until its replicas have stopped, the application
    /// is listed as [`Deleting`](crate::ServeApplicationStatus::Deleting).
    ///
    /// Works like [`deploy_serve_application`](Self::deploy_serve_application), with the same
    /// guarantees and the same time limit.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// client.delete_serve_application("text")?;
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 404 if the application does not exist or Serve is not running. 400 if the name is empty, or
    /// if the application was created by `serve.run`, which Ray's REST API cannot delete. 409 if
    /// others reverted the change 20 times. 408 if the time is up. Otherwise the same errors as
    /// [`list_serve_applications`](Self::list_serve_applications).
    pub fn delete_serve_application(&self, name: impl AsRef<str>) -> Result<(), ClientError> {
        let name = name::existing("application name", name.as_ref())?;
        let operation = format!("delete Serve application `{name}`");
        Change { operation, name, config: None, deadline: Deadline::of(self) }.make(self)
    }

    /// Shuts down Serve and **all** its applications, including those created by `serve.run`.
    /// Returns when Serve is down. Does nothing if Serve is not running.
    ///
    /// Calls `DELETE /api/serve/applications/`, and then `GET` until Serve is down, because Ray
    /// responds after 30 s whether it is down or not. Takes at most the read timeout plus 60 s,
    /// including the time that it waits for changes of Serve by clones of this client.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// client.shutdown_serve()?;
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 408 if Serve is still running after that time; otherwise the same errors as
    /// [`list_serve_applications`](Self::list_serve_applications).
    pub fn shutdown_serve(&self) -> Result<(), ClientError> {
        self.shutdown_serve_by(&Deadline::of(self))
    }

    pub(super) fn shutdown_serve_by(&self, deadline: &Deadline) -> Result<(), ClientError> {
        let operation = "shut Serve down";
        let _lock = deadline.lock_serve(self, operation)?;
        let get = deadline.limit(get_request(operation));
        // Also avoids the ImportError that DELETE returns if `ray[serve]` is missing.
        let Some(controller) = self.serve_controller(&get)? else { return Ok(()) };
        self.http().send(&deadline.limit(delete_request(operation)))?;
        loop {
            match self.serve_controller(&deadline.limit(get_request(operation))) {
                // Another controller belongs to a Serve that was started after this one ended.
                Ok(now) if now.as_ref() != Some(&controller) => return Ok(()),
                Err(error) if !error.is_retryable() => return Err(error),
                _ if deadline.has_passed() => {
                    return Err(deadline.error(operation, "it still runs"));
                }
                _ => thread::sleep(PAUSE),
            }
        }
    }

    /// Returns the actor id of the controller; `None` if Serve is not running.
    fn serve_controller(&self, request: &Request) -> Result<Option<String>, ClientError> {
        let body = read(self, request)?;
        Ok(RawState::parse(&request.operation, &body)?.controller)
    }

    /// Sets the number of replicas of a deployment, which may be 0. It holds until the deployment
    /// is scaled again or its application is changed; deploying other applications does not affect
    /// it. Only for applications deployed with
    /// [`external_scaler_enabled`](ServeApplicationConfig::external_scaler_enabled). Returns before
    /// the replicas run. Calls
    /// `POST /api/v1/applications/{application}/deployments/{deployment}/scale`.
    ///
    /// ```no_run
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// client.scale_serve_deployment("text", "Translator", 4)?;
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 404 if the application or deployment does not exist, Serve is not running, or Ray is older
    /// than 2.52. 412 if the application has no external scaler or is being deleted. 400 if a name
    /// is empty, `.` or `..`. Otherwise the same errors as
    /// [`list_serve_applications`](Self::list_serve_applications).
    pub fn scale_serve_deployment(
        &self,
        application: impl AsRef<str>,
        deployment: impl AsRef<str>,
        replicas: u32,
    ) -> Result<(), ClientError> {
        #[derive(Serialize)]
        struct Scale {
            target_num_replicas: u32,
        }
        /// Shows that the response is Ray's.
        #[derive(Deserialize)]
        struct Scaled {
            #[serde(rename = "message")]
            _message: IgnoredAny,
        }
        let application = name::in_path("application name", application.as_ref())?;
        let deployment = name::in_path("deployment name", deployment.as_ref())?;
        let segments =
            ["api", "v1", "applications", application, "deployments", deployment, "scale"];
        let operation = format!("scale Serve deployment `{deployment}` of `{application}`");
        let request = Request::post(operation, path(&segments))
            .json(&Scale { target_num_replicas: replicas })?
            .idempotent(true);
        match self.http().send(&request) {
            Err(error) if error.rejection_kind() == RejectionKind::NoServeController => {
                Err(ClientError::not_found(error))
            }
            response => response?.json::<Scaled>().map(drop),
        }
    }
}
