//! Uploading packages to the cluster.

use std::cell::RefCell;
use std::io::{self, Read};
use std::time::Duration;

use super::prepare::{PreparedPackage, prepare};
use super::walk::IgnoreRules;
use super::{Package, Role};
use crate::rejection_kind::RejectionKind;
use crate::transport::{Request, Response, path};
use crate::{ClientError, JobSubmission, RayClient, RuntimeEnv};

/// The dashboard accepts up to 100 MiB; an older one accepts a byte less, because its aiohttp
/// counts differently.
const LIMIT: u64 = 100 * 1024 * 1024;
/// Added to the read timeout, because Ray needs time to store a large package.
const TIME_TO_STORE: Duration = Duration::from_secs(60);

/// The result of [`RayClient::upload_package`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PackageUpload {
    /// The URI for the `working_dir` or `py_modules` of a runtime environment.
    pub uri: String,
    /// The size of the package, in bytes.
    pub bytes: u64,
    /// Whether the package was sent; `false` if the cluster already had it.
    pub uploaded: bool,
}

/// Packages.
impl RayClient {
    /// Uploads a package unless the cluster already has it. The cluster keeps it for 10 minutes,
    /// and for as long as a job or application uses it. Calls `GET /api/packages/gcs/{name}`, and
    /// `PUT` if the package is missing. Needs the feature `packages`.
    ///
    /// The files are read twice and never held in memory. An upload that breaks off is retried
    /// according to the client's [`RetryPolicy`](crate::RetryPolicy).
    ///
    /// ```no_run
    /// use ray_client::Package;
    ///
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let upload = client.upload_package(&Package::py_module("./lib"))?;
    /// println!("{}: {} bytes, sent now: {}", upload.uri, upload.bytes, upload.uploaded);
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same errors as [`Package::uri`]; 400 if a file changes while it is packed, in which case
    /// the cluster has no part of the package; 400 if the package is 100 MiB or larger, in which
    /// case nothing is sent and the message names the largest files; otherwise the same errors as
    /// [`list_jobs`](Self::list_jobs).
    pub fn upload_package(&self, package: &Package) -> Result<PackageUpload, ClientError> {
        self.upload_package_with_progress(package, |_, _| {})
    }

    /// Uploads a package like [`upload_package`](Self::upload_package), and calls `progress` with
    /// the number of bytes sent and the total. A retry starts again at 0. If there is nothing to
    /// send, `progress` is not called.
    ///
    /// ```no_run
    /// use ray_client::Package;
    ///
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let package = Package::working_dir("./app");
    /// client.upload_package_with_progress(&package, |sent, total| eprint!("\r{sent} of {total}"))?;
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same errors as [`upload_package`](Self::upload_package).
    pub fn upload_package_with_progress(
        &self,
        package: &Package,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<PackageUpload, ClientError> {
        let prepared = prepare(package, &IgnoreRules::from_env(), Some(LIMIT))?;
        let missing = !self.has_package(&prepared)?;
        if missing {
            self.put_package(&prepared, &mut |sent| progress(sent, prepared.bytes))?;
        }
        Ok(PackageUpload { uri: prepared.uri, bytes: prepared.bytes, uploaded: missing })
    }

    /// Submits a job like [`submit_job`](Self::submit_job), and calls `progress` with the number of
    /// bytes of its packages sent and the total. A retry of an upload starts that package again. If
    /// there is nothing to send, `progress` is not called. Needs the feature `packages`.
    ///
    /// ```no_run
    /// use ray_client::JobSubmission;
    ///
    /// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// let job = JobSubmission::new("python main.py").working_dir("./app");
    /// client.submit_job_with_progress(&job, |sent, total| eprint!("\r{sent} of {total} bytes"))?;
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// The same errors as [`submit_job`](Self::submit_job).
    pub fn submit_job_with_progress(
        &self,
        submission: &JobSubmission,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<String, ClientError> {
        self.submit(submission, &mut progress)
    }

    /// Uploads the local packages of `env` and returns it with their URIs. Sends nothing if one of
    /// them cannot be prepared.
    pub(crate) fn upload_local_packages(
        &self,
        env: RuntimeEnv,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<RuntimeEnv, ClientError> {
        let rules = IgnoreRules::from_env();
        let mut all: Vec<PreparedPackage> = Vec::new();
        let env = env.replace_local_paths(|member, path, excludes| {
            let role = if member == "working_dir" { Role::WorkingDir } else { Role::PyModule };
            let package = Package { path: path.into(), role, excludes };
            let prepared = prepare(&package, &rules, Some(LIMIT))?;
            let uri = prepared.uri.clone();
            match all.iter().find(|other| other.uri == uri) {
                None => all.push(prepared),
                Some(other) if other.has_same_content(&prepared) => {}
                Some(_) => {
                    return Err(ClientError::invalid(format_args!(
                        "{}: has the same content, and so the same name, as another package of this job with a different layout; the cluster would keep only one of them",
                        package.label()
                    )));
                }
            }
            Ok(uri)
        })?;
        let mut missing = Vec::new();
        for prepared in &all {
            if !self.has_package(prepared)? {
                missing.push(prepared);
            }
        }
        let total = missing.iter().map(|prepared| prepared.bytes).sum();
        let mut before = 0;
        for prepared in missing {
            self.put_package(prepared, &mut |sent| progress(before + sent, total))?;
            before += prepared.bytes;
        }
        Ok(env)
    }

    fn has_package(&self, package: &PreparedPackage) -> Result<bool, ClientError> {
        let (name, route) = name_and_route(package);
        let request = Request::get(format_args!("look for package `{name}`"), route);
        match self.http().send(&request) {
            Ok(response) => check_empty(&request, &response).map(|()| true),
            Err(error @ ClientError::NotFound { .. })
                if error.rejection_kind() != RejectionKind::NoRoute =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn put_package(
        &self,
        package: &PreparedPackage,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ClientError> {
        let (name, route) = name_and_route(package);
        let operation = format!("upload package `{name}`");
        let request = Request::put(operation, route).extra_time(TIME_TO_STORE);
        let progress = RefCell::new(progress);
        let body = || -> io::Result<Box<dyn Read>> {
            Ok(Box::new(ProgressReader { content: package.open()?, sent: 0, progress: &progress }))
        };
        let response = self.http().upload(&request, package.bytes, body)?;
        check_empty(&request, &response)
    }
}

/// Ray's response is empty. A page comes from a gateway, which does not store packages.
fn check_empty(request: &Request, response: &Response) -> Result<(), ClientError> {
    if response.body.is_empty() {
        return Ok(());
    }
    Err(ClientError::unexpected(format_args!(
        "{}: the response is not from Ray",
        request.operation
    )))
}

fn name_and_route(package: &PreparedPackage) -> (&str, String) {
    let name = package.uri.trim_start_matches("gcs://");
    (name, path(&["api", "packages", "gcs", name]))
}

struct ProgressReader<'a, 'p> {
    content: Box<dyn Read + 'a>,
    sent: u64,
    progress: &'a RefCell<&'p mut dyn FnMut(u64)>,
}

impl Read for ProgressReader<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = self.content.read(buf)?;
        self.sent += length as u64;
        if length > 0 {
            (self.progress.borrow_mut())(self.sent);
        }
        Ok(length)
    }
}
