//! Lists the paths of a directory that belong to its package: those that no `.gitignore` or
//! `.rayignore`, no pattern and no default excludes.

use std::env;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::Path;

use super::gitwildmatch::Patterns;

/// Excluded from every working directory, unless `RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES` is
/// set.
const DEFAULT_EXCLUDES: &str = ".git,.venv,venv,__pycache__";
/// How many links to one of their parent directories are followed. The system follows such a link
/// about 40 times, and Ray packs the content each time; with two links, the number of paths doubles
/// each time.
const MAX_LOOPS: usize = 1000;
/// A link below this many others counts as one of them: directories whose links lead to each other multiply
/// the paths as well.
const MAX_NESTED_LINKS: usize = 10;

/// The settings that Ray's own client reads from the environment.
pub(super) struct IgnoreRules {
    with_gitignore: bool,
    default_excludes: Vec<String>,
}

impl IgnoreRules {
    pub(super) fn from_env() -> Self {
        Self::from_vars(|name| env::var(name).ok())
    }

    fn from_vars(var: impl Fn(&str) -> Option<String>) -> Self {
        let excludes = var("RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES");
        let excludes = excludes.as_deref().unwrap_or(DEFAULT_EXCLUDES).split(',').map(str::trim);
        Self {
            with_gitignore: var("RAY_RUNTIME_ENV_IGNORE_GITIGNORE").as_deref() != Some("1"),
            default_excludes: excludes.filter(|e| !e.is_empty()).map(str::to_owned).collect(),
        }
    }
}

/// A path that belongs to a package.
#[derive(Debug)]
pub(super) struct WalkEntry {
    /// Relative to the root, with `/` as separator; `.` for the root.
    pub(super) name: String,
    pub(super) kind: EntryKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    File {
        size: u64,
        mode: u32,
    },
    Directory {
        is_empty: bool,
        mode: u32,
    },
    /// A broken link, a pipe or a socket: only its name counts.
    Other,
}

/// Returns `root` and the paths in it, depth first, each directory sorted by name. Follows symbolic
/// links. The error names the path.
pub(super) fn walk(
    root: &Path,
    rules: &IgnoreRules,
    is_working_dir: bool,
    excludes: &[String],
) -> Result<Vec<WalkEntry>, String> {
    let defaults = if is_working_dir { &rules.default_excludes[..] } else { &[] };
    let patterns = Patterns::parse(defaults.iter().chain(excludes).map(String::as_str));
    let patterns = patterns.map_err(|why| format!("excludes: {why}"))?;
    let mut walk = Walk {
        rules,
        ignored: vec![DirectoryPatterns { base: 0, patterns }],
        found: Vec::new(),
        loops: 0,
    };
    walk.visit(root, "", false, 0)?;
    Ok(walk.found)
}

/// The patterns of one directory.
struct DirectoryPatterns {
    /// The length of the directory's name in the name of a path in it.
    base: usize,
    patterns: Patterns,
}

struct Walk<'a> {
    rules: &'a IgnoreRules,
    /// Of all directories from the root to the current one. A path is excluded if any of them
    /// excludes it.
    ignored: Vec<DirectoryPatterns>,
    found: Vec<WalkEntry>,
    /// How many links to a parent directory were followed.
    loops: usize,
}

impl Walk<'_> {
    /// `name` is empty for the root. `links` is the number of links in the path above.
    fn visit(
        &mut self,
        path: &Path,
        name: &str,
        is_link: bool,
        links: usize,
    ) -> Result<(), String> {
        let metadata = metadata(path).map_err(|error| cannot("access", name, &error))?;
        let is_dir = metadata.as_ref().is_some_and(Metadata::is_dir);
        let outer = self.ignored.len();
        if is_dir {
            // Loaded before the directory itself is tested, because its own `*` excludes it.
            self.load_ignore_files(path, name)?;
        }
        if !self.is_excluded(name) {
            let is_loop = || links >= MAX_NESTED_LINKS || links_to_parent(path);
            if is_dir && is_link && is_loop() {
                self.loops += 1;
                if self.loops > MAX_LOOPS {
                    return Err(format!(
                        "`{name}`: too many symbolic links lead to directories that contain them or each other"
                    ));
                }
            }
            let children = if is_dir { children(path, name)? } else { Vec::new() };
            let kind = kind_of(metadata.as_ref(), children.is_empty());
            let shown = if name.is_empty() { "." } else { name };
            self.found.push(WalkEntry { name: shown.to_owned(), kind });
            for (child, child_is_link) in children {
                let unicode = child.to_string_lossy();
                let below =
                    if name.is_empty() { unicode.to_string() } else { format!("{name}/{unicode}") };
                if child.to_str().is_none() {
                    // Ray also refuses it.
                    if self.is_excluded(&below) {
                        continue;
                    }
                    return Err(format!("the name {child:?} in `{name}` is not UTF-8"));
                }
                self.visit(
                    &path.join(&child),
                    &below,
                    child_is_link,
                    links + usize::from(is_link),
                )?;
            }
        }
        self.ignored.truncate(outer);
        Ok(())
    }

    fn load_ignore_files(&mut self, path: &Path, name: &str) -> Result<(), String> {
        let names = [".gitignore", ".rayignore"];
        for file in &names[usize::from(!self.rules.with_gitignore)..] {
            let is_file = metadata(&path.join(file)).is_ok_and(|m| m.is_some_and(|m| m.is_file()));
            if !is_file {
                continue;
            }
            let shown = if name.is_empty() { (*file).to_owned() } else { format!("{name}/{file}") };
            let text = fs::read_to_string(path.join(file))
                .map_err(|error| cannot("read", &shown, &error))?;
            let patterns = Patterns::parse(text.split(['\n', '\r']))
                .map_err(|why| format!("`{shown}`: {why}"))?;
            let base = if name.is_empty() { 0 } else { name.len() + 1 };
            self.ignored.push(DirectoryPatterns { base, patterns });
        }
        Ok(())
    }

    fn is_excluded(&self, name: &str) -> bool {
        self.ignored.iter().any(|ignored| {
            let relative = name.get(ignored.base..).filter(|relative| !relative.is_empty());
            ignored.patterns.excludes(relative.unwrap_or("."))
        })
    }
}

/// Returns the sorted names in a directory, and whether each is a symbolic link.
fn children(path: &Path, name: &str) -> Result<Vec<(OsString, bool)>, String> {
    let mut children = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| cannot("list", name, &error))? {
        let entry = entry.map_err(|error| cannot("list", name, &error))?;
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        children.push((entry.file_name(), is_link));
    }
    children.sort_unstable();
    Ok(children)
}

/// Returns whether a link leads to a directory that contains it.
fn links_to_parent(link: &Path) -> bool {
    let parent = link.parent().and_then(|parent| parent.canonicalize().ok());
    match (parent, link.canonicalize()) {
        (Some(parent), Ok(target)) => parent.starts_with(target),
        _ => false,
    }
}

pub(super) fn cannot(action: &str, name: &str, error: &std::io::Error) -> String {
    let name = if name.is_empty() { "." } else { name };
    format!("cannot {action} `{name}`: {error}")
}

/// Returns `None` if the path does not exist, or is a broken or circular link.
fn metadata(path: &Path) -> Result<Option<Metadata>, std::io::Error> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => {
            let is_link = fs::symlink_metadata(path).is_ok_and(|link| link.is_symlink());
            if is_link && error.kind() != ErrorKind::PermissionDenied {
                Ok(None)
            } else {
                Err(error)
            }
        }
    }
}

fn kind_of(metadata: Option<&Metadata>, is_empty: bool) -> EntryKind {
    match metadata {
        Some(metadata) if metadata.is_file() => {
            EntryKind::File { size: metadata.len(), mode: mode(metadata) }
        }
        Some(metadata) if metadata.is_dir() => {
            EntryKind::Directory { is_empty, mode: mode(metadata) }
        }
        _ => EntryKind::Other,
    }
}

#[cfg(unix)]
pub(super) fn mode(metadata: &Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(metadata)
}

#[cfg(not(unix))]
pub(super) fn mode(metadata: &Metadata) -> u32 {
    if metadata.is_dir() { 0o40755 } else { 0o100_644 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_variables_change_the_default_excludes() {
        let rules = IgnoreRules::from_vars(|_| None);
        assert!(rules.with_gitignore);
        assert_eq!(rules.default_excludes, [".git", ".venv", "venv", "__pycache__"]);
        let rules = IgnoreRules::from_vars(|name| match name {
            "RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES" => Some(" a , ,b".to_owned()),
            "RAY_RUNTIME_ENV_IGNORE_GITIGNORE" => Some("1".to_owned()),
            _ => None,
        });
        assert!(!rules.with_gitignore);
        assert_eq!(rules.default_excludes, ["a", "b"]);
        let none = |name: &str| name.contains("EXCLUDES").then(String::new);
        assert!(IgnoreRules::from_vars(none).default_excludes.is_empty());
    }
}
