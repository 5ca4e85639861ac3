//! Reads a package to compute its URI and content. Sends nothing.

use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::hash::{DirectoryHash, Hashed, VerifiedReader, hash_of_name, hashed_name, hex};
use super::walk::{EntryKind, IgnoreRules, WalkEntry, cannot, mode, walk};
use super::zip::{self, Zip, ZipEntry};
use super::{Package, Role};
use crate::ClientError;

const ARCHIVES: [&str; 4] = [".zip", ".tar.gz", ".tgz", ".tar.xz"];
const WHEEL: &str = ".whl";
const NOTHING_LEFT: &str = "nothing is left to pack: a pattern, for example `*` or `.*`, excludes the directory itself; exclude what is in it instead, for example by `*.bin`";
const MIB: f64 = 1024.0 * 1024.0;

/// A package that is ready to send.
#[derive(Debug)]
pub(super) struct PreparedPackage {
    pub(super) uri: String,
    /// The size of the upload.
    pub(super) bytes: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// A file that is sent unchanged.
    File { path: PathBuf, hashed: Hashed },
    /// A zip archive of files below `root`, whose names get this prefix.
    Zip { root: PathBuf, prefix: String, entries: Vec<ZipEntry> },
}

impl PreparedPackage {
    fn packed(hash: &DirectoryHash, root: &Path, prefix: String, entries: Vec<ZipEntry>) -> Self {
        let bytes = Zip::new(root, &prefix, &entries).size();
        let content = Content::Zip { root: root.to_owned(), prefix, entries };
        Self { uri: format!("gcs://_ray_pkg_{hash}.zip"), bytes, content }
    }

    /// Returns the content from the start. Reading fails if a file has changed since it was hashed.
    pub(super) fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match &self.content {
            Content::File { path, hashed } => Box::new(VerifiedReader::open(path, "", *hashed)?),
            Content::Zip { root, prefix, entries } => Box::new(Zip::new(root, prefix, entries)),
        })
    }

    /// Returns whether two packages of the same name have the same content.
    pub(super) fn has_same_content(&self, other: &Self) -> bool {
        let prefix = |prepared: &Self| match &prepared.content {
            Content::File { .. } => None,
            Content::Zip { prefix, .. } => Some(prefix.clone()),
        };
        prefix(self) == prefix(other)
    }
}

/// Reads the whole package. A package of `limit` bytes or more is refused before it is read.
pub(super) fn prepare(
    package: &Package,
    rules: &IgnoreRules,
    limit: Option<u64>,
) -> Result<PreparedPackage, ClientError> {
    let path = &package.path;
    let refuse = |why: String| ClientError::invalid(format_args!("{}: {why}", package.label()));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if path.is_dir() {
        return directory(package, rules, limit).map_err(refuse);
    }
    let extensions = if package.role == Role::PyModule { &[WHEEL, ".py"][..] } else { &[] };
    let is_supported =
        |name: &str| ARCHIVES.iter().chain(extensions).any(|end| name.ends_with(end));
    if !is_supported(&name) || !path.is_file() {
        let supported = extensions.iter().chain(&ARCHIVES).copied().collect::<Vec<_>>().join(", ");
        return Err(refuse(format!(
            "must be an existing directory, or an existing file of one of these types: {supported}"
        )));
    }
    if let Some((limit, metadata)) = limit.zip(path.metadata().ok()) {
        check_size(metadata.len(), limit, &[(&name, metadata.len())]).map_err(refuse)?;
    }
    let result =
        if name.ends_with(".py") { single_file(path, &name) } else { archive(path, &name) };
    result.map_err(|error| refuse(format!("cannot be read: {error}")))
}

/// Prepares a file that Ray unpacks or installs.
fn archive(path: &Path, name: &str) -> io::Result<PreparedPackage> {
    let hashed = Hashed::read(File::open(path)?, "")?;
    let end = match ARCHIVES.iter().find(|end| name.ends_with(**end)) {
        Some(&".tgz") => ".tar.gz",
        Some(end) => end,
        None => WHEEL,
    };
    let uri = match end {
        WHEEL => format!("gcs://{name}"),
        end => format!("gcs://_ray_pkg_{}{end}", hex(&hashed.sha1)),
    };
    let content = Content::File { path: path.to_owned(), hashed };
    Ok(PreparedPackage { uri, bytes: hashed.size, content })
}

/// Prepares a module that is one `.py` file.
fn single_file(path: &Path, name: &str) -> io::Result<PreparedPackage> {
    let hashed = Hashed::read(File::open(path)?, name)?;
    let mut hash = DirectoryHash::new();
    hash.add(&hashed.sha1);
    let mode = mode(&path.metadata()?);
    let entries = vec![ZipEntry { name: name.to_owned(), mode, file: Some(hashed) }];
    let root = path.parent().unwrap_or(Path::new(""));
    Ok(PreparedPackage::packed(&hash, root, String::new(), entries))
}

fn directory(
    package: &Package,
    rules: &IgnoreRules,
    limit: Option<u64>,
) -> Result<PreparedPackage, String> {
    let (root, is_working_dir) = (&package.path, package.role == Role::WorkingDir);
    let found = walk(root, rules, is_working_dir, &package.excludes)?;
    if found.is_empty() {
        // Ray gives every package without entries the same name.
        return Err(NOTHING_LEFT.to_owned());
    }
    let prefix = if is_working_dir { String::new() } else { module_name(root)? + "/" };
    if let Some(limit) = limit {
        check_total(&found, &prefix, limit)?;
    }
    let (mut hash, mut entries) = (DirectoryHash::new(), Vec::new());
    for WalkEntry { name, kind } in found {
        match kind {
            EntryKind::File { mode, .. } => {
                // For an unreadable file, Ray hashes only its name, and then fails to pack it.
                let file = match File::open(root.join(&name)) {
                    Err(error) if limit.is_some() => return Err(cannot("read", &name, &error)),
                    file => file.ok(),
                };
                let hashed = file.map(|file| Hashed::read(file, &hashed_name(&name))).transpose();
                let hashed = hashed.map_err(|error| cannot("read", &name, &error))?;
                hash.add(&hashed.map_or_else(|| hash_of_name(&hashed_name(&name)), |h| h.sha1));
                entries.extend(hashed.map(|hashed| ZipEntry { name, mode, file: Some(hashed) }));
            }
            EntryKind::Directory { is_empty, mode } => {
                hash.add(&hash_of_name(&hashed_name(&name)));
                if is_empty {
                    entries.push(ZipEntry { name, mode, file: None });
                }
            }
            EntryKind::Other => hash.add(&hash_of_name(&hashed_name(&name))),
        }
    }
    Ok(PreparedPackage::packed(&hash, root, prefix, entries))
}

/// Returns the name by which a directory is imported: the last part of the given path.
fn module_name(path: &Path) -> Result<String, String> {
    let mut path = path.to_owned();
    if path.file_name().is_none() {
        // For example `.` or `..`.
        path = path.canonicalize().map_err(|error| error.to_string())?;
    }
    let name = path.file_name().ok_or("the root directory cannot be a module")?;
    name.to_str().map(str::to_owned).ok_or_else(|| "its name is not UTF-8".to_owned())
}

fn check_total(found: &[WalkEntry], prefix: &str, limit: u64) -> Result<(), String> {
    let mut files: Vec<(&str, u64)> = found
        .iter()
        .filter_map(|found| match found.kind {
            EntryKind::File { size, .. } => Some((&*found.name, size)),
            _ => None,
        })
        .collect();
    let total = zip::size_of(files.iter().map(|(name, size)| (prefix.len() + name.len(), *size)));
    files.sort_unstable_by_key(|(_, size)| Reverse(*size));
    check_size(total, limit, &files)
}

/// `files` must begin with the largest.
#[allow(clippy::cast_precision_loss, reason = "sizes are shown with one decimal")]
fn check_size(total: u64, limit: u64, files: &[(&str, u64)]) -> Result<(), String> {
    if total < limit {
        return Ok(());
    }
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / MIB);
    let largest: Vec<_> =
        files.iter().take(3).map(|(name, size)| format!("`{name}` {}", mib(*size))).collect();
    Err(format!(
        "has {}, but the dashboard accepts only less than {}; the largest files: {}",
        mib(total),
        mib(limit),
        largest.join(", ")
    ))
}
