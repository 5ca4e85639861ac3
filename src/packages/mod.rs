//! Packages: local code, named as Ray's own client names it, and its upload to the cluster. Needs
//! the feature `packages`.
//!
//! [`submit_job`](crate::RayClient::submit_job) uploads the local code of a job itself. A
//! [`Package`] is for uploads without a job, for example for Serve, which accepts only URIs.
//!
//! ```no_run
//! use ray_client::{Package, RayClient};
//!
//! let client = RayClient::new("http://127.0.0.1:8265")?;
//! let upload = client.upload_package(&Package::working_dir("./app").excludes(["*.ckpt"]))?;
//! println!("{}", upload.uri);
//! # Ok::<(), ray_client::ClientError>(())
//! ```
//!
//! The guide's chapter is [sending code](crate::guide::packages).

mod crc;
mod gitwildmatch;
mod hash;
mod prepare;
mod upload;
mod walk;
mod zip;

use std::path::PathBuf;

pub use upload::PackageUpload;

use crate::ClientError;
use prepare::prepare;
use walk::IgnoreRules;

/// Local code for the `working_dir` or `py_modules` of a runtime environment: a directory, an
/// archive, or for `py_modules` also a wheel or a single `.py` file. Needs the feature `packages`.
///
/// A package is named by the hash of its content. Ray's own client computes the same hash, so the
/// cluster stores the same content only once.
///
/// [`submit_job`](crate::RayClient::submit_job) uploads local code itself. Serve accepts only URIs;
/// upload a `Package` first:
///
/// ```no_run
/// use ray_client::{Package, RayClient, RuntimeEnv, ServeApplicationConfig};
///
/// let client = RayClient::from_env()?;
/// let upload = client.upload_package(&Package::working_dir("./app").excludes(["*.ckpt"]))?;
/// let application = ServeApplicationConfig::new("app", "main:app")
///     .runtime_env(RuntimeEnv::new().working_dir(&upload.uri));
/// client.deploy_serve_application(&application)?;
/// # Ok::<(), ray_client::ClientError>(())
/// ```
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    path: PathBuf,
    role: Role,
    excludes: Vec<String>,
}

/// How Ray uses a package. The same directory has one name in both roles, but two different
/// archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    WorkingDir,
    PyModule,
}

impl Package {
    /// Creates a package for `working_dir`: a directory, or an archive (`.zip`, `.tar.gz`, `.tgz`,
    /// `.tar.xz`), which is uploaded unchanged. Ray 2.49 and older unpack only `.zip`.
    pub fn working_dir(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), role: Role::WorkingDir, excludes: Vec::new() }
    }

    /// Creates a package for `py_modules`: a directory, which is imported by its name; a single
    /// `.py` file; a wheel; or an archive that contains the modules.
    pub fn py_module(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), role: Role::PyModule, excludes: Vec::new() }
    }

    /// Adds patterns of files not to pack, as in `.gitignore` and relative to the directory. The
    /// directory's `.gitignore` and `.rayignore` files apply as well. Archives and single files are
    /// not filtered.
    pub fn excludes(mut self, patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.excludes.extend(patterns.into_iter().map(Into::into));
        self
    }

    /// Returns the URI of the package: `gcs://_ray_pkg_` and a hash, or `gcs://` and the name of a
    /// wheel. Reads every file of the package and sends nothing.
    ///
    /// The environment variables `RAY_RUNTIME_ENV_IGNORE_GITIGNORE` and
    /// `RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES` work as in Ray's own client.
    ///
    /// # Errors
    /// 400 if the directory or archive does not exist, a directory in it is unreadable, an ignore
    /// pattern is invalid, or everything is excluded. Of an unreadable file, only the name counts, as in
    /// Ray; it cannot be uploaded.
    pub fn uri(&self) -> Result<String, ClientError> {
        prepare(self, &IgnoreRules::from_env(), None).map(|prepared| prepared.uri)
    }

    /// Returns the name for messages. They show only the last part of a path.
    fn label(&self) -> String {
        let role = match self.role {
            Role::WorkingDir => "working_dir",
            Role::PyModule => "py_module",
        };
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        format!("{role} `{}`", name.to_string_lossy())
    }
}
