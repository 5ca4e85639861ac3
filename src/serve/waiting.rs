//! The calls of [`RayClient`] that wait until applications run.

use std::time::Duration;

use super::details::{ServeApplication, ServeApplicationStatus};
use super::name;
use super::raw_state::{RawApplication, RawState};
use super::route::{get_request, read};
use crate::{ClientError, Listing, RayClient, wait};

/// # Serve: waiting
///
/// Calls that wait until what was deployed runs.
impl RayClient {
    /// Waits until an application runs, and returns it as it is then. Calls
    /// `GET /api/serve/applications/`, at first every 100 ms, later every second. Goes on if the
    /// cluster cannot be reached for a while, or if the application is unhealthy, since it may recover.
    ///
    /// # Errors
    /// 400 if it failed to deploy, with the deployment and Ray's last error line, or if `timeout` is
    /// zero; 408 after `timeout`, naming the last status and its reason (or the last error, if the
    /// cluster did not answer); 404 if it does not exist, or was deleted in the meantime; otherwise the
    /// same errors as [`get_serve_application`](Self::get_serve_application).
    pub fn wait_for_serve_application(
        &self,
        name: impl AsRef<str>,
        timeout: Duration,
    ) -> Result<ServeApplication, ClientError> {
        let name = name::existing("application name", name.as_ref())?;
        let operation = format!("wait for Serve application `{name}`");
        wait::until(timeout, format_args!("{operation}: not running"), |deadline| {
            let application =
                self.serve_application(name, &get_request(&operation).deadline(deadline))?;
            match application.status {
                ServeApplicationStatus::Running => Ok(Ok(application)),
                ServeApplicationStatus::DeployFailed => {
                    let why = application.reason().unwrap_or_else(|| "Ray gives no reason".into());
                    Err(ClientError::rejected(400, format_args!("{operation}: {why}")))
                }
                _ => Ok(Err(application.status_and_reason())),
            }
        })
    }

    /// Waits until every application runs, and returns them as they are then. Those that are being
    /// deleted are not waited for and not returned; none at all is an empty list at once. One request
    /// asks for all of them: `GET /api/serve/applications/`, at first every 100 ms, later every second.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// # let config = ray_client::ServeConfig::default();
    /// client.deploy_serve_applications(&config)?;
    /// client.wait_for_serve_applications(Duration::from_secs(300))?;
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 400 as soon as one or more failed to deploy, naming each of them with its reason, or if
    /// `timeout` is zero; 408 after `timeout`, naming those that do not run; 500 if an application
    /// cannot be read; otherwise the same errors as
    /// [`list_serve_applications`](Self::list_serve_applications).
    pub fn wait_for_serve_applications(
        &self,
        timeout: Duration,
    ) -> Result<Listing<ServeApplication>, ClientError> {
        let operation = "wait for Serve applications";
        wait::until(timeout, format_args!("{operation}: not all running"), |deadline| {
            let body = read(self, &get_request(operation).deadline(deadline))?;
            let state = RawState::parse(operation, &body)?;
            let applications = state.applications.iter().map(RawApplication::model);
            let mut applications = applications.collect::<Result<Vec<_>, _>>()?;
            applications.retain(|it| it.status != ServeApplicationStatus::Deleting);
            applications.sort_by(|a, b| a.name.cmp(&b.name));
            let failed = named(&applications, |it| *it == ServeApplicationStatus::DeployFailed);
            if !failed.is_empty() {
                return Err(ClientError::rejected(400, format_args!("{operation}: {failed}")));
            }
            let waiting = named(&applications, |it| *it != ServeApplicationStatus::Running);
            Ok(if waiting.is_empty() { Ok(Listing::complete(applications)) } else { Err(waiting) })
        })
    }
}

/// Names the applications with such a status, and then says why they have it.
fn named(
    applications: &[ServeApplication],
    is_such: impl Fn(&ServeApplicationStatus) -> bool,
) -> String {
    let such: Vec<_> = applications.iter().filter(|it| is_such(&it.status)).collect();
    let names: Vec<_> = such.iter().map(|it| format!("`{}`", it.name)).collect();
    let reasons: Vec<_> = such.iter().map(|it| it.status_and_reason()).collect();
    if such.is_empty() {
        String::new()
    } else {
        format!("{}: {}", names.join(", "), reasons.join("; "))
    }
}
