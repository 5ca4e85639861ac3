//! Serve: its applications and their deployments.

mod change;
mod config;
mod details;
mod raw;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

pub use config::{ServeApplicationConfig, ServeConfig, ServeDeploymentConfig, ServeProxyLocation};
pub use details::{
    ServeActor, ServeApplication, ServeApplicationStatus, ServeDeployment, ServeDeploymentStatus,
    ServeDetails, ServeProxy, ServeProxyStatus, ServeReplica, ServeReplicaState, ServeSource,
};

use crate::transport::{Request, path};
use crate::{ClientError, Listing, RayClient, ray_fault, validate, wait};
use change::Change;

/// The first deployment starts Serve, and a shutdown waits until all replicas have ended.
const PATIENCE: Duration = Duration::from_secs(60);

fn applications_path() -> String {
    path(&["api", "serve", "applications", ""])
}

fn get_request(what: impl fmt::Display) -> Request {
    Request::get(what, applications_path())
}

fn put_request(what: impl fmt::Display) -> Request {
    Request::put(what, applications_path()).extra_time(PATIENCE)
}

/// Checks the code of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../docs/serve.md")]
struct Guide;

impl RayClient {
    /// All that Serve says of itself: its options, its proxies, its applications. Where Serve does
    /// not run, all that is empty. Calls `GET /api/serve/applications/`.
    ///
    /// # Errors
    /// 501 where the cluster is without `ray[serve]`, 408 or 503 where it does not answer or cannot
    /// be reached, 500 where the answer is not Ray's.
    pub fn get_serve_details(&self) -> Result<ServeDetails, ClientError> {
        self.http().send(&get_request("get Serve details"))?.json()
    }

    /// All applications of Serve, imperative ones and those on their way out among them; none where
    /// Serve does not run. Calls `GET /api/serve/applications/`.
    ///
    /// # Errors
    /// As [`get_serve_details`](Self::get_serve_details).
    pub fn list_serve_applications(&self) -> Result<Listing<ServeApplication>, ClientError> {
        let details: ServeDetails =
            self.http().send(&get_request("list Serve applications"))?.json()?;
        Ok(Listing::complete(details.applications.into_values().collect()))
    }

    /// One application. Calls `GET /api/serve/applications/`.
    ///
    /// # Errors
    /// 404 where there is no such application, also where Serve does not run; 400 where the name is
    /// not valid; else as [`get_serve_details`](Self::get_serve_details).
    pub fn get_serve_application(
        &self,
        name: impl AsRef<str>,
    ) -> Result<ServeApplication, ClientError> {
        let name = validate::id("application name", name.as_ref())?;
        self.serve_application(name, &get_request(format_args!("get Serve application `{name}`")))
    }

    fn serve_application(
        &self,
        name: &str,
        request: &Request,
    ) -> Result<ServeApplication, ClientError> {
        let mut details: ServeDetails = self.http().send(request)?.json()?;
        details.applications.remove(name).ok_or_else(|| {
            ClientError::not_found(format_args!("{}: it does not exist", request.what))
        })
    }

    /// Makes this the whole state of Serve: applications in it are deployed or replaced, and
    /// declarative ones that are not in it are **deleted**. Those made by `serve.run` stay. Starts
    /// Serve where it does not run. Returns once Ray has taken the configuration, long before the
    /// applications run: see [`wait_for_serve_application`](Self::wait_for_serve_application). Calls
    /// `PUT /api/serve/applications/`.
    ///
    /// # Errors
    /// 400 where the configuration is not valid, naming the field; else as
    /// [`get_serve_details`](Self::get_serve_details).
    pub fn deploy_serve_applications(&self, config: &ServeConfig) -> Result<(), ClientError> {
        config.applications.iter().try_for_each(ServeApplicationConfig::check)?;
        let request = put_request("deploy Serve applications").json(config)?;
        let _turn = self.serve_turn();
        self.http().send(&request).map(drop)
    }

    /// Deploys one application, or replaces it where it is there (also one made by `serve.run`, which
    /// is a declarative one from then on), and leaves every other as it is.
    /// Starts Serve, with Ray's default options, where it does not run. Returns once Ray has taken
    /// the configuration, as [`deploy_serve_applications`](Self::deploy_serve_applications) does.
    ///
    /// Ray has a route for the state of all applications only. So this calls
    /// `GET /api/serve/applications/`, `PUT`s what that gave with the change in it, and looks twice,
    /// 0.25 s apart or more where the server is slow, whether the change holds; else it makes it
    /// again. The clones of a client take turns. Against others, who may write in the same
    /// milliseconds, this is no guarantee, since Ray has no compare-and-swap: what a program deployed
    /// or deleted that does not look again may be lost.
    ///
    /// # Errors
    /// 400 where the configuration is not valid, naming the field; 409 where others took the change
    /// back over and over; else as [`get_serve_details`](Self::get_serve_details).
    pub fn deploy_serve_application(
        &self,
        application: &ServeApplicationConfig,
    ) -> Result<(), ClientError> {
        application.check()?;
        let name = &*application.name;
        let what = format!("deploy Serve application `{name}`");
        Change { what, name, config: Some(application) }.make(self)
    }

    /// Deletes one application and leaves every other as it is: its options, its arguments, its
    /// replicas. Returns once Ray has taken it over; the application is listed as
    /// [`Deleting`](ServeApplicationStatus::Deleting) until its replicas have ended. Deleting one that
    /// is on its way out already does nothing. Serve goes on running, also without applications.
    ///
    /// It goes about it, and holds against others, as
    /// [`deploy_serve_application`](Self::deploy_serve_application) does.
    ///
    /// # Errors
    /// 404 where there is no such application, also where Serve does not run; 400 where the name is
    /// not valid, or the application was made by `serve.run`, which Ray's REST API cannot delete; 409
    /// where others brought it back over and over; else as
    /// [`get_serve_details`](Self::get_serve_details).
    pub fn delete_serve_application(&self, name: impl AsRef<str>) -> Result<(), ClientError> {
        let name = validate::id("application name", name.as_ref())?;
        let what = format!("delete Serve application `{name}`");
        Change { what, name, config: None }.make(self)
    }

    /// Ends Serve and **all** its applications, those made by `serve.run` among them, and returns once
    /// they have ended. Does nothing where Serve does not run. Calls
    /// `DELETE /api/serve/applications/`.
    ///
    /// # Errors
    /// As [`get_serve_details`](Self::get_serve_details).
    pub fn shutdown_serve(&self) -> Result<(), ClientError> {
        let what = "shut Serve down";
        // Without ray[serve] Ray answers this call, other than the rest, with an ImportError.
        self.http().send(&get_request(what))?;
        let _turn = self.serve_turn();
        let request = Request::delete(what, applications_path()).extra_time(PATIENCE);
        self.http().send(&request).map(drop)
    }

    /// Gives a deployment this many replicas, 0 among them, until it is scaled or changed again;
    /// deploying other applications does not undo it. Only for applications that are deployed with
    /// [`external_scaler_enabled`](ServeApplicationConfig::external_scaler_enabled). Returns before
    /// the replicas run. Calls `POST /api/v1/applications/{application}/deployments/{deployment}/scale`.
    ///
    /// # Errors
    /// 404 where there is no such application or deployment, also where Serve does not run, or where
    /// Ray is too old; 412 where the application is not scaled from outside, or is on its way out; 400
    /// where a name is not valid; else as [`get_serve_details`](Self::get_serve_details).
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
        let application = validate::id("application name", application.as_ref())?;
        let deployment = validate::id("deployment name", deployment.as_ref())?;
        let segments =
            ["api", "v1", "applications", application, "deployments", deployment, "scale"];
        let what = format!("scale Serve deployment `{deployment}` of `{application}`");
        let request = Request::post(what, path(&segments))
            .json(&Scale { target_num_replicas: replicas })?
            .idempotent(true);
        match self.http().send(&request) {
            Err(ClientError::Rejected { status: 503, message, .. })
                if message.ends_with("Serve controller is not available") =>
            {
                Err(ClientError::not_found(message))
            }
            result => result.map(drop),
        }
    }

    /// Waits until an application runs, and returns it as it is then. Calls
    /// `GET /api/serve/applications/`, at first every 100 ms, later every second. A cluster that cannot
    /// be reached meanwhile is asked again, and an application that is unhealthy may recover.
    ///
    /// # Errors
    /// 400 where it failed to deploy, with Ray's last error line, or where `timeout` is zero; 408
    /// after `timeout`, naming the last status (or the last error, where the cluster did not answer);
    /// 404 where there is no such application, or it was deleted meanwhile; else as
    /// [`get_serve_details`](Self::get_serve_details).
    pub fn wait_for_serve_application(
        &self,
        name: impl AsRef<str>,
        timeout: Duration,
    ) -> Result<ServeApplication, ClientError> {
        let name = validate::id("application name", name.as_ref())?;
        let what = format!("wait for Serve application `{name}`");
        wait::until(timeout, format_args!("{what}: not running"), |deadline| {
            let application =
                self.serve_application(name, &get_request(&what).deadline(deadline))?;
            match application.status {
                ServeApplicationStatus::Running => Ok(Ok(application)),
                ServeApplicationStatus::DeployFailed => {
                    let why = ray_fault::reason(&application.message);
                    Err(ClientError::rejected(400, format_args!("{what}: {why}")))
                }
                status => Ok(Err(status.to_string())),
            }
        })
    }
}
