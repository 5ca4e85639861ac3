//! The calls of [`RayClient`] that wait until applications are running.

use std::time::Duration;

use super::details::{ServeApplication, ServeApplicationStatus};
use super::name;
use super::raw_state::{RawApplication, RawState};
use super::route::{get_request, read};
use crate::{ClientError, Listing, RayClient, wait};

/// Waiting for Serve applications.
impl RayClient {
    /// Waits until an application is running and returns it. Calls `GET /api/serve/applications/`,
    /// first every 100 ms, later every second. Keeps waiting while the cluster is unreachable, or
    /// the application is unhealthy, because both may recover.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let application = client.wait_for_serve_application("text", Duration::from_secs(300))?;
    /// println!("{:?}", application.route_prefix);
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// 400 if the application failed to deploy; the message names the deployment and Ray's last
    /// error line. 400 if `timeout` is zero. 408 after `timeout`; the message names the last status
    /// and its reason, or the last error if the cluster did not respond. 404 if the application
    /// does not exist or was deleted meanwhile. Otherwise the same errors as
    /// [`get_serve_application`](Self::get_serve_application).
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

    /// Waits until every application is running and returns them. Applications that are being
    /// deleted are ignored. If there are no applications, returns an empty list immediately. Calls
    /// `GET /api/serve/applications/`, one request for all of them, first every 100 ms, later every
    /// second.
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
    /// 400 as soon as any application failed to deploy; the message names each of them with its
    /// reason. 400 if `timeout` is zero. 408 after `timeout`; the message names the applications
    /// that are not running. 500 if an application is unreadable. Otherwise the same errors as
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
            let failed = describe(&applications, |it| *it == ServeApplicationStatus::DeployFailed);
            if !failed.is_empty() {
                return Err(ClientError::rejected(400, format_args!("{operation}: {failed}")));
            }
            let waiting = describe(&applications, |it| *it != ServeApplicationStatus::Running);
            Ok(if waiting.is_empty() { Ok(Listing::complete(applications)) } else { Err(waiting) })
        })
    }
}

/// Returns the names of the applications with a matching status, and the reason of each.
fn describe(
    applications: &[ServeApplication],
    matches: impl Fn(&ServeApplicationStatus) -> bool,
) -> String {
    let matching: Vec<_> = applications.iter().filter(|it| matches(&it.status)).collect();
    let names: Vec<_> = matching.iter().map(|it| format!("`{}`", it.name)).collect();
    let reasons: Vec<_> = matching.iter().map(|it| it.status_and_reason()).collect();
    if matching.is_empty() {
        String::new()
    } else {
        format!("{}: {}", names.join(", "), reasons.join("; "))
    }
}
