//! The calls of [`RayClient`] that read and change Serve; those that wait are in `waiting`.

use std::thread;
use std::time::Duration;

use serde::Serialize;

use super::deadline::Deadline;
use super::details::{ServeApplication, ServeDetails};
use super::one_application::{Change, SHUTTING_DOWN};
use super::raw_state::RawState;
use super::route::{delete_request, get_request, put_request, read};
use super::{ServeApplicationConfig, ServeConfig, name};
use crate::rejection_kind::RejectionKind;
use crate::transport::{Request, path};
use crate::{ClientError, Listing, RayClient, json};

/// How long to wait before asking again whether Serve is down.
const PAUSE: Duration = Duration::from_millis(100);

/// # Serve
///
/// Calls to deploy, watch, scale and delete the applications of a cluster.
impl RayClient {
    /// Returns all that Serve shows of itself: its options, proxies and applications. All of them are
    /// empty if Serve does not run. Calls `GET /api/serve/applications/`.
    ///
    /// # Errors
    /// 501 if the cluster does not have `ray[serve]`; 408 or 503 if it does not answer or cannot be
    /// reached; 500 if the answer is not what Ray sends, also if that is so of one application only.
    pub fn get_serve_details(&self) -> Result<ServeDetails, ClientError> {
        let request = get_request("get Serve details");
        let body = read(self, &request)?;
        RawState::parse(&request.operation, &body)?;
        json::from_slice(body.as_bytes()).map_err(|error| {
            let message = format_args!("{}: the answer cannot be read: {error}", request.operation);
            ClientError::unexpected(message).caused_by(error)
        })
    }

    /// Lists all applications by name, including those made by `serve.run` and those that are being deleted.
    /// Empty if Serve does not run. An application that cannot be read is left out, and
    /// [`warnings`](Listing::warnings) says which and why. Calls `GET /api/serve/applications/`.
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
    /// 501 if the cluster does not have `ray[serve]`; 408 or 503 if it does not answer or cannot be
    /// reached; 500 if the answer is not what Ray sends.
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
    /// # Errors
    /// 404 if it does not exist, also if Serve does not run; 400 if the name is empty; 500 if the
    /// application cannot be read; otherwise the same errors as
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

    /// Makes `config` the whole state of Serve: its applications are deployed or replaced, and
    /// declarative ones that it does not have are **deleted**. Those made by `serve.run` stay. Starts
    /// Serve if it does not run. Returns when Ray has accepted the configuration, long before the
    /// applications run: see
    /// [`wait_for_serve_applications`](Self::wait_for_serve_applications). Calls
    /// `PUT /api/serve/applications/`, and `GET` before and after it: if Serve is shutting down and
    /// ignored it, it is sent again.
    ///
    /// Takes at most the read timeout and 60 s, which includes waiting for changes of Serve by clones
    /// of this client.
    ///
    /// # Errors
    /// 400 if the configuration is not valid, naming the field; 408 if the time is over; otherwise the
    /// same errors as [`list_serve_applications`](Self::list_serve_applications).
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

    /// Deploys one application, or replaces it if it exists, and leaves every other as it is. One made
    /// by `serve.run` can be replaced, too, and is declarative from then on. Starts Serve, with Ray's
    /// default options, if it does not run. Returns when Ray has accepted the configuration, long
    /// before the application runs: see
    /// [`wait_for_serve_application`](Self::wait_for_serve_application).
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
    /// Ray has a route for the state of all applications only. So this calls
    /// `GET /api/serve/applications/`, sends the state back by `PUT` with the change in it, and reads
    /// it twice more, 0.25 s apart or more if the server is slow. If the change was lost, it is made
    /// again. Clones of a client take turns. Against other programs that write within the same
    /// milliseconds there is no guarantee, because Ray has no compare-and-swap: a program that does not
    /// check its own changes may lose one.
    ///
    /// Takes at most the read timeout and 60 s, which includes waiting for changes of Serve by clones
    /// of this client.
    ///
    /// # Errors
    /// 400 if the configuration is not valid, naming the field; 409 if others took the change back 20
    /// times; 408 if the time is over, for example because Serve is still shutting down; otherwise the
    /// same errors as [`list_serve_applications`](Self::list_serve_applications).
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

    /// Deletes one application and leaves every other as it is: its options, arguments and replicas.
    /// Returns when Ray has accepted that; the application is listed as
    /// [`Deleting`](crate::ServeApplicationStatus::Deleting) until its replicas have ended. Does nothing if it
    /// is being deleted already. Serve goes on running, even without applications.
    ///
    /// Works as [`deploy_serve_application`](Self::deploy_serve_application) does, with the same
    /// guarantees and within the same time.
    ///
    /// # Errors
    /// 404 if it does not exist, also if Serve does not run; 400 if the name is empty, or if the
    /// application was made by `serve.run`, which Ray's REST API cannot delete; 409 if others brought
    /// it back 20 times; 408 if the time is over; otherwise the same errors as
    /// [`list_serve_applications`](Self::list_serve_applications).
    pub fn delete_serve_application(&self, name: impl AsRef<str>) -> Result<(), ClientError> {
        let name = name::existing("application name", name.as_ref())?;
        let operation = format!("delete Serve application `{name}`");
        Change { operation, name, config: None, deadline: Deadline::of(self) }.make(self)
    }

    /// Ends Serve and **all** its applications, including those made by `serve.run`. Returns when Serve
    /// has ended. Does nothing if Serve does not run. Calls `DELETE /api/serve/applications/`, and then
    /// `GET` until Serve is down: Ray itself answers after 30 s, whether it is down or not.
    ///
    /// Takes at most the read timeout and 60 s, which includes waiting for changes of Serve by clones
    /// of this client.
    ///
    /// # Errors
    /// 408 if Serve still runs after that time; otherwise the same errors as
    /// [`list_serve_applications`](Self::list_serve_applications).
    pub fn shutdown_serve(&self) -> Result<(), ClientError> {
        self.shutdown_serve_by(&Deadline::of(self))
    }

    pub(super) fn shutdown_serve_by(&self, deadline: &Deadline) -> Result<(), ClientError> {
        let operation = "shut Serve down";
        let _lock = deadline.lock_serve(self, operation)?;
        let get = deadline.limit(get_request(operation));
        // Also because DELETE answers with an ImportError if ray[serve] is missing.
        let Some(controller) = self.serve_controller(&get)? else { return Ok(()) };
        self.http().send(&deadline.limit(delete_request(operation)))?;
        loop {
            match self.serve_controller(&deadline.limit(get_request(operation))) {
                // Another controller is of a Serve that was started after this one ended.
                Ok(now) if now.as_ref() != Some(&controller) => return Ok(()),
                Err(error) if !error.is_retryable() => return Err(error),
                _ if deadline.has_passed() => {
                    return Err(deadline.error(operation, "it still runs"));
                }
                _ => thread::sleep(PAUSE),
            }
        }
    }

    /// The actor id of the controller; `None` if Serve does not run.
    fn serve_controller(&self, request: &Request) -> Result<Option<String>, ClientError> {
        let body = read(self, request)?;
        Ok(RawState::parse(&request.operation, &body)?.controller)
    }

    /// Sets the number of replicas of a deployment, 0 included, until it is scaled or changed again;
    /// deploying other applications does not undo it. Only for applications that are deployed with
    /// [`external_scaler_enabled`](ServeApplicationConfig::external_scaler_enabled). Returns before
    /// the replicas run. Calls `POST /api/v1/applications/{application}/deployments/{deployment}/scale`.
    ///
    /// # Errors
    /// 404 if there is no such application or deployment, also if Serve does not run or Ray is older
    /// than 2.52; 412 if the application is not scaled from outside, or is being deleted; 400 if a name
    /// is empty, `.` or `..`; otherwise the same errors as
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
            result => result.map(drop),
        }
    }
}
