//! Random directories from a seed: unusual names, links, and ignore files at every level.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::rng::TestRng;

const NAMES: [&str; 36] = [
    "a",
    "b",
    "c.py",
    "main.py",
    "foo",
    "bar",
    "build",
    "x.log",
    "data.bin",
    "täst",
    "e\u{301}",
    "名前",
    "😀.txt",
    "sp ace",
    "trailing ",
    " leading",
    "[a]",
    "!neg",
    "#hash",
    "back\\slash",
    "-",
    ".hidden",
    "new\nline",
    "tab\t",
    "__pycache__",
    ".git",
    ".venv",
    "venv",
    "*star",
    "q?",
    "UPPER",
    "{b}",
    "$x",
    "a^b",
    "foo.txt",
    "end\n",
];

const SEGMENTS: [&str; 30] = [
    "*",
    "**",
    "*.py",
    "*.l?g",
    "?",
    "[a-c]",
    "[!a]",
    "[^a]",
    "[]-]",
    "[a-]x",
    "f*",
    "*o",
    "**o",
    "[[]a]",
    "\\*star",
    "\\#hash",
    "\\!neg",
    "[b",
    "b]",
    "a**b",
    "*.*",
    ".*",
    "?*",
    "[!.]*",
    "[+--]",
    "\\",
    "[!/]",
    "[\\-a]",
    ".",
    "t\u{e4}st",
];

/// Returns a random line of an ignore file.
pub fn pattern(rng: &mut TestRng) -> String {
    let mut pattern = String::new();
    if rng.below(5) == 0 {
        pattern.push('!');
    }
    if rng.below(20) == 0 {
        pattern.push('\\');
    }
    if rng.below(4) == 0 {
        pattern.push('/');
    }
    for i in 0..=rng.below(3) {
        if i > 0 {
            pattern.push('/');
        }
        // A star alone excludes the root, and so all files.
        let names = i == 0 && rng.below(8) > 0 || rng.below(2) == 0;
        let from = if names { &NAMES[..] } else { &SEGMENTS[..] };
        pattern += *rng.pick(from);
    }
    if rng.below(5) == 0 {
        pattern.push('/');
    }
    match rng.below(40) {
        0 => format!("# {pattern}"),
        1 => format!("  {pattern}\u{1f}\t"),
        2 => String::new(),
        3 => "[z-a]".to_owned(),
        4 => "!".to_owned(),
        _ => pattern,
    }
}

/// Writes a directory in which every name is a file, or a directory with files.
pub fn write_all_names(root: &Path) {
    for (i, name) in NAMES.iter().enumerate() {
        let path = root.join(name);
        if i % 2 == 0 {
            fs::create_dir_all(path.join("foo")).unwrap();
            fs::write(path.join("foo/c.py"), "").unwrap();
            fs::write(path.join(NAMES[(i * 7 + 1) % NAMES.len()]), "").unwrap();
        } else {
            fs::create_dir_all(root).unwrap();
            fs::write(path, "").unwrap();
        }
    }
}

/// Writes a directory of one to about a hundred paths.
pub fn write(root: &Path, rng: &mut TestRng) {
    fs::create_dir_all(root).unwrap();
    let circle = rng.below(10) == 0;
    fill(root, rng, 3, circle);
    if circle {
        symlink(".", root.join("circle")).unwrap();
    }
}

/// If there is a cycle of links, no other link points to a directory, because each would double the
/// number of paths.
fn fill(folder: &Path, rng: &mut TestRng, depth: usize, circle: bool) {
    for (file, among) in [(".gitignore", 3), (".rayignore", 5)] {
        if rng.below(among) == 0 {
            let end = *rng.pick(&["\n", "\r\n", "\r"]);
            let lines: Vec<_> = (0..=rng.below(4)).map(|_| pattern(rng)).collect();
            fs::write(folder.join(file), lines.join(end) + end).unwrap();
        }
    }
    let mut folders = Vec::new();
    for _ in 0..rng.below(7) {
        let name = *rng.pick(&NAMES);
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            continue;
        }
        match rng.below(20) {
            0 => symlink("nowhere", path).unwrap(),
            1 => symlink(".gitignore", path).unwrap(),
            2 if !circle && !folders.is_empty() => symlink(rng.pick(&folders), path).unwrap(),
            3..8 if depth > 0 => {
                fs::create_dir(&path).unwrap();
                fill(&path, rng, depth - 1, circle);
                folders.push(name);
            }
            8 => fs::create_dir(&path).unwrap(),
            _ => {
                fs::write(&path, "content ".repeat(rng.below(9))).unwrap();
                if rng.below(3) == 0 {
                    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
                }
            }
        }
    }
}
