//! Verifies that a package has the same name and content as one from Ray's own client.

use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use ray_client::{Package, RayClient};
use serde_json::{Value, json};

use crate::Folder;
use crate::rng::TestRng;
use crate::server::{Server, respond};
use crate::trees;

const ROLES: [&str; 2] = ["working_dir", "py_module"];
/// The URI of every package whose files are all excluded. The client rejects such packages, because
/// Ray confuses them.
const NOTHING: &str = "gcs://_ray_pkg_3030303030303030.zip";

#[test]
fn generated_directories_match_rays_names_and_contents() {
    compare_generated_directories(300);
}

#[test]
fn environment_variables_work_as_in_ray() {
    for (name, value) in [
        ("RAY_RUNTIME_ENV_IGNORE_GITIGNORE", "1"),
        ("RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES", "foo, *.py,"),
        ("RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES", ""),
    ] {
        let test = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "names::a_few_generated_directories", "--ignored"])
            .env(name, value)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(test.success(), "{name}={value}");
    }
}

#[test]
#[ignore = "run with the variables set"]
fn a_few_generated_directories() {
    compare_generated_directories(60);
}

fn compare_generated_directories(count: u64) {
    let folder = Folder::new();
    let store = Store::start();
    let mut cases = Vec::new();
    let mut ours = Vec::new();
    for seed in 0..count {
        let mut rng = TestRng(seed);
        let path = folder.path().join(seed.to_string()).join("größe");
        trees::write(&path, &mut rng);
        let excludes: Vec<_> = (0..rng.below(3)).map(|_| trees::pattern(&mut rng)).collect();
        for role in ROLES {
            let package = package(role, &path).excludes(excludes.clone());
            let uploaded = store.client.upload_package(&package);
            assert_eq!(uploaded.as_ref().ok().map(|u| &u.uri), package.uri().as_ref().ok());
            let zip = uploaded.as_ref().ok().map(|upload| {
                let zip = store.take(&upload.uri);
                assert_eq!(zip.len() as u64, upload.bytes);
                folder.write(&format!("{seed}-{role}.zip"), zip)
            });
            cases.push(json!({"path": path, "role": role, "excludes": excludes, "zip": zip}));
            ours.push(uploaded.map(|upload| upload.uri));
        }
    }
    let mut same = 0;
    for ((case, ours), ray) in cases.iter().zip(ours).zip(judge(&cases)) {
        match ours {
            Ok(uri) => {
                assert_eq!(ray["uri"], uri, "{case}: {ray}");
                assert!(ray["entries"] == ray["others"], "{case}: {ray}");
                same += 1;
            }
            Err(error) => {
                assert_eq!(error.status(), 400, "{case}");
                let refused = ray.get("error").is_some() || ray["uri"] == NOTHING;
                assert!(refused, "{case}: {error}: {ray}");
            }
        }
    }
    assert!(same * 2 > cases.len(), "{same} of {} are packages", cases.len());
}

#[test]
fn each_pattern_excludes_the_same_files_as_ray() {
    let folder = Folder::new();
    let mut rng = TestRng(7);
    let root = folder.path().join("root");
    trees::write_all_names(&root);
    let cases: Vec<_> = (0..2000)
        .map(|_| {
            let excludes: Vec<_> = (0..=rng.below(6)).map(|_| trees::pattern(&mut rng)).collect();
            json!({"path": root, "role": "working_dir", "excludes": excludes, "zip": null})
        })
        .collect();
    let mut names = HashMap::new();
    for (case, ray) in cases.iter().zip(judge(&cases)) {
        let excludes: Vec<String> = serde_json::from_value(case["excludes"].clone()).unwrap();
        match Package::working_dir(&root).excludes(excludes).uri() {
            Ok(uri) => {
                assert_eq!(ray["uri"], uri, "{case}: {ray}");
                *names.entry(uri).or_insert(0) += 1;
            }
            Err(error) => {
                let refused = ray.get("error").is_some() || ray["uri"] == NOTHING;
                assert!(refused, "{case}: {error}: {ray}");
            }
        }
    }
    assert!(names.len() > 300, "{} different packages", names.len());
}

#[test]
fn archives_wheels_and_single_files_match_rays_names() {
    let folder = Folder::new();
    let files =
        ["a.zip", "b.tar.gz", "c.tgz", "d.tar.xz", "my_lib-1.0+cpu-py3-none-any.whl", "m.py"];
    let mut cases = Vec::new();
    for (file, role) in files.into_iter().flat_map(|file| ROLES.map(|role| (file, role))) {
        let path = folder.write(file, file);
        cases.push(json!({"path": path, "role": role, "excludes": ["*"], "zip": null}));
    }
    for (case, ray) in cases.iter().zip(judge(&cases)) {
        let path = Path::new(case["path"].as_str().unwrap());
        let ours = package(case["role"].as_str().unwrap(), path).excludes(["*"]).uri();
        let more_than_ray = case["role"] == "py_module" && ray.get("error").is_some();
        match ours {
            Ok(uri) if more_than_ray => {
                // Ray accepts an archive of modules only by URI.
                assert_eq!(uri, Package::working_dir(path).uri().unwrap());
            }
            Ok(uri) => assert_eq!(ray["uri"], uri, "{case}"),
            Err(error) => {
                assert_eq!(error.status(), 400);
                assert!(ray.get("error").is_some(), "{case}: {error}: {ray}");
            }
        }
    }
}

fn check_links_are_rejected(folder: &Folder) {
    let error = Package::working_dir(folder.path()).uri().unwrap_err();
    assert_eq!(error.status(), 400);
    assert!(error.to_string().contains("symbolic links"), "{error}");
}

#[test]
fn a_cycle_of_links_is_rejected() {
    let folder = Folder::new();
    for name in ["one", "two"] {
        std::os::unix::fs::symlink(".", folder.path().join(name)).unwrap();
    }
    check_links_are_rejected(&folder);
}

#[test]
fn links_that_lead_to_each_other_are_rejected() {
    let folder = Folder::new();
    let names = ["a", "b", "c"];
    for name in names {
        let links = folder.path().join(name).join("n");
        std::fs::create_dir_all(&links).unwrap();
        for other in names.into_iter().filter(|other| *other != name) {
            std::os::unix::fs::symlink(folder.path().join(other), links.join(other)).unwrap();
        }
    }
    check_links_are_rejected(&folder);
}

#[test]
fn only_a_file_that_belongs_to_the_package_needs_a_utf8_name() {
    use std::os::unix::ffi::OsStrExt;

    let folder = Folder::new();
    folder.write("m.py", "x=1\n");
    let uri = |excludes: &[&str]| {
        Package::working_dir(folder.path()).excludes(excludes.iter().copied()).uri()
    };
    let without = uri(&["*.bin"]).unwrap();
    let name = std::ffi::OsStr::from_bytes(b"\xff.bin");
    std::fs::write(folder.path().join(name), "x").unwrap();
    assert_eq!(uri(&["*.bin"]).unwrap(), without);
    let error = uri(&[]).unwrap_err();
    assert_eq!(error.status(), 400);
    assert!(error.to_string().contains("is not UTF-8"), "{error}");
}

#[test]
fn pipes_and_sockets_are_hashed_by_name() {
    let folder = Folder::new();
    folder.write("m.py", "x=1\n");
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap();
    let made = Command::new("mkfifo").arg(folder.path().join("p")).status().unwrap();
    assert!(made.success());
    let other = Folder::new();
    other.write("m.py", "x=1\n");
    for name in ["s", "p"] {
        std::os::unix::fs::symlink("nowhere", other.path().join(name)).unwrap();
    }
    let uri = |folder: &Folder| Package::working_dir(folder.path()).uri().unwrap();
    assert_eq!(uri(&folder), uri(&other));
}

#[test]
fn a_file_that_cannot_be_read_counts_by_its_name_and_is_not_sent() {
    const NOBODY: u32 = 65534;
    let folder = Folder::new();
    let closed = folder.write("closed", "");
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    if std::fs::File::open(&closed).is_ok() {
        // Root reads everything. The copy is where everybody can run it.
        let copy = folder.path().join("test");
        std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        command = Command::new(copy);
        command.uid(NOBODY).gid(NOBODY);
    }
    let test = command
        .args(["--exact", "names::an_unreadable_file", "--ignored"])
        .current_dir("/")
        .output()
        .unwrap();
    assert!(test.status.success(), "{}", String::from_utf8_lossy(&test.stdout));
}

#[test]
#[ignore = "run as a user who cannot read every file"]
fn an_unreadable_file() {
    let (folder, other, store) = (Folder::new(), Folder::new(), Store::start());
    for folder in [&folder, &other] {
        folder.write("m.py", "x=1\n");
    }
    let secret = folder.write("secret.txt", "x");
    std::fs::set_permissions(secret, PermissionsExt::from_mode(0o000)).unwrap();
    std::os::unix::fs::symlink("nowhere", other.path().join("secret.txt")).unwrap();
    let package = Package::working_dir(folder.path());
    assert_eq!(package.uri().unwrap(), Package::working_dir(other.path()).uri().unwrap());
    let error = store.client.upload_package(&package).unwrap_err();
    assert_eq!(error.status(), 400, "{error}");
    assert!(error.to_string().contains("secret.txt"), "{error}");
    assert!(store.packages.lock().unwrap().is_empty());
}

#[test]
fn invalid_package_paths_are_rejected() {
    let folder = Folder::new();
    let text = folder.write("notes.txt", "x");
    for package in [
        Package::working_dir(folder.path().join("nowhere")),
        Package::working_dir(&text),
        Package::py_module(&text),
        Package::working_dir(folder.write("lib-1-py3-none-any.whl", "x")),
    ] {
        assert_eq!(package.uri().unwrap_err().status(), 400, "{package:?}");
    }
}

fn package(role: &str, path: &Path) -> Package {
    if role == "working_dir" { Package::working_dir(path) } else { Package::py_module(path) }
}

/// Returns Ray's results for these cases; see `judge.py`.
fn judge(cases: &[Value]) -> Vec<Value> {
    let manifest = env!("CARGO_MANIFEST_DIR");
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| format!("{manifest}/target"));
    let about = Command::new("python3")
        .args([&format!("{manifest}/tests/support/head.py"), "--target", &target, "--only-install"])
        .output()
        .unwrap();
    let about: Value = serde_json::from_slice(&about.stdout).unwrap();
    let mut ray = Command::new(about["python"].as_str().unwrap())
        .arg(format!("{manifest}/tests/packages/judge.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    ray.stdin.take().unwrap().write_all(json!(cases).to_string().as_bytes()).unwrap();
    let output = ray.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A dashboard that keeps packages.
struct Store {
    client: RayClient,
    packages: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    _server: Server,
}

impl Store {
    fn start() -> Store {
        let packages: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
        let kept = Arc::clone(&packages);
        let server = Server::start(move |request, stream| {
            let (method, name) = request.line.split_once(" /api/packages/gcs/").unwrap();
            let mut kept = kept.lock().unwrap();
            if method == "PUT" {
                kept.insert(name.to_owned(), request.body.clone());
            }
            if kept.contains_key(name) {
                return respond(stream, 200, "", "");
            }
            let text = format!("Package gcs://{name} does not exist");
            respond(stream, 404, "content-type: text/plain; charset=utf-8\r\n", text)
        });
        Store { client: RayClient::new(server.address()).unwrap(), packages, _server: server }
    }

    fn take(&self, uri: &str) -> Vec<u8> {
        let name = uri.strip_prefix("gcs://").unwrap();
        self.packages.lock().unwrap().remove(name).unwrap()
    }
}
