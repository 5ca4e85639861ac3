//! Verifies that real Rays run uploaded code.

#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ray_client::{
    JobStatus, JobSubmission, Package, RayClient, RuntimeEnv, ServeApplicationConfig, ServeConfig,
};
use serde_json::json;
use support::Head;

use crate::Folder;
use crate::ports::free_port;

#[test]
fn ray_2_60_runs_uploaded_code() {
    let head = Head::start(&[]);
    runs_uploaded_code(&head, "./run.sh", true);
    serve_runs_uploaded_code(&head.client());
}

#[test]
fn ray_2_9_runs_uploaded_code() {
    // Ray 2.9.3 does not keep file modes, and unpacks only zip archives.
    let Some(head) = Head::start_old("2.9.3") else { return };
    runs_uploaded_code(&head, "sh run.sh", false);
}

fn runs_uploaded_code(head: &Head, run: &str, with_tar: bool) {
    let client = head.client();
    let folder = code();
    let at = |name: &str| folder.path().join(name);
    let python = |program: &str| JobSubmission::new(format!("python -c '{program}'"));

    a_directory_runs_and_is_sent_once(&client, run, &at("app"));

    let modules = python("import größe, second.part; print(größe.VALUE, second.part.VALUE)")
        .py_module(at("größe"))
        .py_module(at("second"));
    assert_prints(&client, &modules, "big 2");

    let single = python("import one_file; print(one_file.VALUE)").py_module(at("one_file.py"));
    assert_prints(&client, &single, "alone");

    let wheel = wheel(head, &folder);
    let wheeled = python("import wheeled; print(wheeled.VALUE)");
    assert_prints(&client, &wheeled.clone().py_module(&wheel), "round");

    let lines = format!("# on this machine\n{}\n", wheel.display());
    let pip = json!({"pip": folder.write("requirements.txt", lines)});
    assert_prints(&client, &wheeled.runtime_env(pip), "round");

    let zip = archive(&folder, "zip", "app.zip");
    assert_prints(&client, &JobSubmission::new("python main.py").working_dir(&zip), "from 3 files");
    let module = python("import main").py_module(zip);
    assert_prints(&client, &module, "from 3 files");

    let tar = archive(&folder, "gztar", "app.tar.gz");
    let job = JobSubmission::new("python main.py").working_dir(tar);
    if with_tar {
        assert_prints(&client, &job, "from 3 files");
    }

    let upload =
        client.upload_package(&Package::working_dir(at("app")).excludes(["*.ckpt"])).unwrap();
    assert!(!upload.uploaded);
    let env = RuntimeEnv::new().working_dir(upload.uri).env_var("SUFFIX", "!");
    let job = JobSubmission::new("python main.py").runtime_env(env);
    assert_prints(&client, &job, "from 3 files!");
}

fn a_directory_runs_and_is_sent_once(client: &RayClient, run: &str, app: &Path) {
    let job = JobSubmission::new(run).working_dir(app).excludes(["*.ckpt"]);
    for sent_the_first_time in [true, false] {
        let mut sent = 0;
        let id = client.submit_job_with_progress(&job, |done, _| sent = done).unwrap();
        assert_eq!(sent > 0, sent_the_first_time, "{sent} bytes");
        assert_printed(client, &id, "from 3 files");
    }
}

/// Returns code that tests how its parts were packed.
fn code() -> Folder {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = Folder::new();
    folder.write(
        "app/main.py",
        "import os\nimport pack\nprint(\"from\", pack.FILES, \"files\" + os.environ.get(\"SUFFIX\", \"\"))\n",
    );
    folder.write("app/pack/__init__.py", "FILES = 3\n");
    folder.write("app/run.sh", "#!/bin/sh\ntest -d empty && test ! -e left.ckpt && test ! -e build && exec python main.py\n");
    let executable = PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path().join("app/run.sh"), executable).unwrap();
    folder.write("app/.gitignore", "/build\n");
    folder.write("app/build/x", "");
    folder.write("app/left.ckpt", "");
    std::fs::create_dir(folder.path().join("app/empty")).unwrap();
    folder.write("größe/__init__.py", "VALUE = \"big\"\n");
    folder.write("linked/value.py", "VALUE = 2\n");
    folder.write("second/__init__.py", "");
    symlink("../linked/value.py", folder.path().join("second/part.py")).unwrap();
    folder.write("one_file.py", "VALUE = \"alone\"\n");
    folder
}

/// Writes a wheel by hand, because packaging tools need network access.
fn wheel(head: &Head, folder: &Folder) -> PathBuf {
    let program = "import json, sys, zipfile\nname = \"wheeled-1.0+local-py3-none-any.whl\"\nwith zipfile.ZipFile(name, \"w\") as wheel:\n    wheel.writestr(\"wheeled.py\", \"VALUE = 'round'\\n\")\n    info = \"wheeled-1.0+local.dist-info/\"\n    wheel.writestr(info + \"METADATA\", \"Metadata-Version: 2.1\\nName: wheeled\\nVersion: 1.0+local\\n\")\n    wheel.writestr(info + \"WHEEL\", \"Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n\")\n    wheel.writestr(info + \"RECORD\", f\"wheeled.py,,\\n{info}METADATA,,\\n{info}WHEEL,,\\n{info}RECORD,,\\n\")\n";
    let made = Command::new(&head.python)
        .args(["-c", program])
        .current_dir(folder.path())
        .status()
        .unwrap();
    assert!(made.success());
    folder.path().join("wheeled-1.0+local-py3-none-any.whl")
}

fn archive(folder: &Folder, format: &str, name: &str) -> PathBuf {
    let program = format!("import shutil; shutil.make_archive(\"app\", \"{format}\", \"app\")");
    let made =
        Command::new("python3").args(["-c", &program]).current_dir(folder.path()).status().unwrap();
    assert!(made.success());
    // The archive contains the files that the directory excludes.
    folder.path().join(name)
}

fn assert_prints(client: &RayClient, job: &JobSubmission, line: &str) {
    assert_printed(client, &client.submit_job(job).unwrap(), line);
}

fn assert_printed(client: &RayClient, id: &str, line: &str) {
    let job = client.wait_for_job(id, Duration::from_secs(120)).unwrap();
    let log = client.list_job_logs(id).unwrap();
    assert_eq!(job.status, JobStatus::Succeeded, "{:?}: {log}", job.message);
    // A line of Ray may follow it.
    assert!(log.lines().any(|printed| printed == line), "{line}: {log}");
}

fn serve_runs_uploaded_code(client: &RayClient) {
    let folder = Folder::new();
    let code = "from ray import serve\n\n@serve.deployment\nclass Hello:\n    def __call__(self, request):\n        return 'hello'\n\napp = Hello.bind()\n";
    folder.write("serving.py", code);
    let upload = client.upload_package(&Package::working_dir(folder.path())).unwrap();
    assert!(upload.uploaded);
    let serve = ServeConfig {
        http_options: json!({"host": "127.0.0.1", "port": free_port()}).as_object().cloned(),
        ..ServeConfig::default()
    };
    client.deploy_serve_applications(&serve).unwrap();
    let env = RuntimeEnv::new().working_dir(upload.uri);
    let application = ServeApplicationConfig::new("hello", "serving:app").runtime_env(env);
    client.deploy_serve_application(&application).unwrap();
    client.wait_for_serve_application("hello", Duration::from_secs(120)).unwrap();
}
