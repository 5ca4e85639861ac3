//! What a package holds and is called, before anything of it is sent.

use std::fs::File;
use std::io::{self, Read};
use std::path::{MAIN_SEPARATOR_STR, Path};

use super::hash::{DirectoryHash, Hashed, hash_of_name, hex};
use super::walk::{Found, Kind, Rules, mode, walk};
use super::zip::{self, Zip};
use super::{Package, Role};
use crate::ClientError;

const ARCHIVES: [&str; 4] = [".zip", ".tar.gz", ".tgz", ".tar.xz"];
const WHEEL: &str = ".whl";
const MIB: f64 = 1024.0 * 1024.0;

/// A package that is ready to be sent.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) uri: String,
    /// What is sent, in bytes.
    pub(super) bytes: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Archive(Hashed),
    Entries(Vec<zip::Entry>),
}

impl Prepared {
    /// The bytes of the package from the start. Reading fails where a file is no longer as it was.
    pub(super) fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match &self.content {
            Content::Archive(file) => Box::new(file.open()?),
            Content::Entries(entries) => Box::new(Zip::new(entries)),
        })
    }

    /// Whether both are the same under the same name: a working directory and a module are not.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let names = |prepared: &Self| match &prepared.content {
            Content::Archive(_) => None,
            Content::Entries(entries) => Some(entries.iter().map(|e| e.name.clone()).collect()),
        };
        let (ours, theirs): (Option<Vec<String>>, _) = (names(self), names(other));
        ours == theirs
    }
}

/// Reads all of the package. With `limit`, one that has so many bytes is refused, before it is read.
pub(super) fn prepare(
    package: &Package,
    rules: &Rules,
    limit: Option<u64>,
) -> Result<Prepared, ClientError> {
    let path = &package.path;
    let refuse = |why: String| ClientError::invalid(format_args!("{}: {why}", package.label()));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if path.is_dir() {
        return directory(package, rules, limit).map_err(refuse);
    }
    let extensions = if package.role == Role::PyModule { &[WHEEL, ".py"][..] } else { &[] };
    let takes = |name: &str| ARCHIVES.iter().chain(extensions).any(|end| name.ends_with(end));
    if !takes(&name) || !path.is_file() {
        let others = extensions.iter().chain(&ARCHIVES).copied().collect::<Vec<_>>().join(", ");
        return Err(refuse(format!("must be a directory that exists, or a file: {others}")));
    }
    if let Some((limit, metadata)) = limit.zip(path.metadata().ok()) {
        check_size(metadata.len(), limit, &[(&name, metadata.len())]).map_err(refuse)?;
    }
    let result =
        if name.ends_with(".py") { single_file(path, &name) } else { archive(path, &name) };
    result.map_err(|error| refuse(format!("cannot be read: {error}")))
}

/// A file that is ready to be unpacked or installed: sent as it is.
fn archive(path: &Path, name: &str) -> io::Result<Prepared> {
    let file = Hashed::read(File::open(path)?, path, "")?;
    let end = match ARCHIVES.iter().find(|end| name.ends_with(**end)) {
        Some(&".tgz") => ".tar.gz",
        Some(end) => end,
        None => WHEEL,
    };
    let uri = match end {
        WHEEL => format!("gcs://{name}"),
        end => format!("gcs://_ray_pkg_{}{end}", hex(&file.sha1)),
    };
    Ok(Prepared { uri, bytes: file.size, content: Content::Archive(file) })
}

/// A module of one file.
fn single_file(path: &Path, name: &str) -> io::Result<Prepared> {
    let file = Hashed::read(File::open(path)?, path, name)?;
    let mut hash = DirectoryHash::new();
    hash.add(&file.sha1);
    let mode = mode(&path.metadata()?);
    Ok(packed(&hash, vec![zip::Entry { name: name.to_owned(), mode, file: Some(file) }]))
}

fn packed(hash: &DirectoryHash, entries: Vec<zip::Entry>) -> Prepared {
    let sizes = entries.iter().map(|e| (&*e.name, e.file.as_ref().map_or(0, |f| f.size)));
    let bytes = zip::size_of(sizes);
    Prepared {
        uri: format!("gcs://_ray_pkg_{hash}.zip"),
        bytes,
        content: Content::Entries(entries),
    }
}

/// Errors tell what is wrong.
fn directory(package: &Package, rules: &Rules, limit: Option<u64>) -> Result<Prepared, String> {
    let is_working_dir = package.role == Role::WorkingDir;
    let found = walk(&package.path, rules, is_working_dir, &package.excludes)?;
    if found.is_empty() {
        // Ray gives all of these the same name, whatever they hold.
        return Err(
            "nothing is left of it: a pattern leaves out the directory itself, as `*` and \
                    `.*` do; name what is below it, as `*.bin` does"
                .to_owned(),
        );
    }
    let prefix = if is_working_dir { String::new() } else { module_name(&package.path)? + "/" };
    if let Some(limit) = limit {
        check_total(&found, &prefix, limit)?;
    }
    let (mut hash, mut entries) = (DirectoryHash::new(), Vec::new());
    for Found { name, kind } in &found {
        let hashed_name = name.replace('/', MAIN_SEPARATOR_STR);
        let name_in_zip = format!("{prefix}{name}");
        match *kind {
            Kind::File { mode, .. } => {
                let path = package.path.join(name);
                let Ok(file) = File::open(&path) else {
                    // Ray names a package by such a file's name alone, and then cannot pack it.
                    if limit.is_some() {
                        return Err(format!("`{name}` cannot be read"));
                    }
                    hash.add(&hash_of_name(&hashed_name));
                    continue;
                };
                let file = Hashed::read(file, &path, &hashed_name)
                    .map_err(|error| format!("cannot read `{name}`: {error}"))?;
                hash.add(&file.sha1);
                entries.push(zip::Entry { name: name_in_zip, mode, file: Some(file) });
            }
            Kind::Directory { is_empty, mode } => {
                hash.add(&hash_of_name(&hashed_name));
                if is_empty {
                    let name = format!("{}/", name_in_zip.trim_end_matches("/."));
                    entries.push(zip::Entry { name, mode, file: None });
                }
            }
            Kind::Other => hash.add(&hash_of_name(&hashed_name)),
        }
    }
    Ok(packed(&hash, entries))
}

/// What a module is imported by: the last part of the path as it was given.
fn module_name(path: &Path) -> Result<String, String> {
    let mut path = path.to_owned();
    if path.file_name().is_none() {
        // As in `.` and `..`.
        path = path.canonicalize().map_err(|error| error.to_string())?;
    }
    let name = path.file_name().ok_or("the root directory is no module")?;
    name.to_str().map(str::to_owned).ok_or_else(|| "its name is not UTF-8".to_owned())
}

fn check_total(found: &[Found], prefix: &str, limit: u64) -> Result<(), String> {
    let mut files: Vec<(&str, u64)> = found
        .iter()
        .filter_map(|found| match found.kind {
            Kind::File { size, .. } => Some((&*found.name, size)),
            _ => None,
        })
        .collect();
    let prefixes = 2 * (prefix.len() * files.len()) as u64;
    let total = zip::size_of(files.iter().copied()) + prefixes;
    files.sort_unstable_by_key(|(_, size)| std::cmp::Reverse(*size));
    check_size(total, limit, &files)
}

/// `files` begins with the largest.
#[allow(clippy::cast_precision_loss, reason = "sizes are shown with one decimal")]
fn check_size(total: u64, limit: u64, files: &[(&str, u64)]) -> Result<(), String> {
    if total < limit {
        return Ok(());
    }
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / MIB);
    let largest: Vec<_> =
        files.iter().take(3).map(|(name, size)| format!("`{name}` {}", mib(*size))).collect();
    Err(format!(
        "has {}, and the dashboard takes less than {}; the largest files: {}",
        mib(total),
        mib(limit),
        largest.join(", ")
    ))
}
