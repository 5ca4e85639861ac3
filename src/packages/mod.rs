//! Packages: local code, under the name that Ray's own client gives it, and its upload to the cluster. Needs
//! the feature `packages`.
//!
//! A job uploads what it needs by itself
//! ([`JobSubmission::working_dir`](crate::JobSubmission::working_dir)). A [`Package`] is for what takes URIs
//! only, for example Serve, and for an upload of its own.
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

/// Code on this machine for a `working_dir` or `py_modules` of a runtime environment: a directory, a
/// ready archive, or for `py_modules` also a wheel or a single `.py` file. Needs the feature `packages`.
///
/// Its name is a hash of its content, the one that Ray's own client gives the same content, so that
/// the cluster holds it once for all clients.
///
/// [`JobSubmission::working_dir`](crate::JobSubmission::working_dir) and
/// [`py_module`](crate::JobSubmission::py_module) upload by themselves; a `Package` is for Serve, whose
/// configuration takes URIs only.
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

/// What Ray does with a package. The same directory has one name in both roles, and two archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    WorkingDir,
    PyModule,
}

impl Package {
    /// A working directory: a directory, or an archive (`.zip`, `.tar.gz`, `.tgz`, `.tar.xz`) that is
    /// uploaded as it is. Ray 2.49 and older unpack `.zip` only.
    pub fn working_dir(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), role: Role::WorkingDir, excludes: Vec::new() }
    }

    /// A Python module: a directory, which is imported by its name, a single `.py` file, a wheel, or an
    /// archive of what is to be imported.
    pub fn py_module(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), role: Role::PyModule, excludes: Vec::new() }
    }

    /// Leaves out what these patterns match, beside what the `.gitignore` and `.rayignore` files of a
    /// directory leave out: patterns as in `.gitignore`, relative to the directory. Adds to what was
    /// given before. Archives and single files stay whole.
    pub fn excludes(mut self, patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.excludes.extend(patterns.into_iter().map(Into::into));
        self
    }

    /// The URI of the package: `gcs://_ray_pkg_` and a hash, or `gcs://` and the name of a wheel. Reads
    /// every file that belongs to it, and sends nothing.
    ///
    /// `RAY_RUNTIME_ENV_IGNORE_GITIGNORE` and `RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES` of the
    /// environment mean what they mean to Ray's own client.
    ///
    /// # Errors
    /// 400 if there is no such directory or archive, a file or directory in it cannot be read, an
    /// ignore pattern is not valid, or nothing is left of it.
    pub fn uri(&self) -> Result<String, ClientError> {
        prepare(self, &IgnoreRules::from_env(), None).map(|prepared| prepared.uri)
    }

    /// The name in messages: the last part of the path, since messages show no more of it.
    fn label(&self) -> String {
        let role = match self.role {
            Role::WorkingDir => "working_dir",
            Role::PyModule => "py_module",
        };
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        format!("{role} `{}`", name.to_string_lossy())
    }
}
