//! Verifies the JSON that typed runtime environments become.

use super::local_files::is_uri;
#[cfg(feature = "packages")]
use super::local_files::read_requirements;
use super::*;
use crate::RayClient;

#[test]
fn setters_write_the_members_of_ray() {
    let env = RuntimeEnv::new()
        .working_dir("s3://bucket/app.zip")
        .py_module("gcs://lib.whl")
        .py_module("https://host/b.zip")
        .excludes(["*.ckpt"])
        .pip(["six"])
        .pip(["torch"])
        .pip_version("==24.0")
        .uv(["ruff"])
        .uv_check(true)
        .conda("base")
        .env_var("A", "1")
        .env_vars([("B", "2")])
        .py_executable("uv run")
        .image_uri("ray:2.60.0")
        .container("ray:2.9.3", ["--cap-drop SYS_ADMIN"])
        .worker_process_setup_hook("module.set_up")
        .setup_timeout(Some(Duration::from_millis(90_500)))
        .eager_install(false)
        .log_files(["a.log"])
        .nsight([("t", "cuda")])
        .field("mpi", json!({"args": []}));
    assert_eq!(
        *env.as_json(),
        json!({
            "working_dir": "s3://bucket/app.zip",
            "py_modules": ["gcs://lib.whl", "https://host/b.zip"],
            "excludes": ["*.ckpt"],
            "pip": {"packages": ["six", "torch"], "pip_version": "==24.0"},
            "uv": {"packages": ["ruff"], "uv_check": true},
            "conda": "base",
            "env_vars": {"A": "1", "B": "2"},
            "py_executable": "uv run",
            "image_uri": "ray:2.60.0",
            "container": {"image": "ray:2.9.3", "run_options": ["--cap-drop SYS_ADMIN"]},
            "worker_process_setup_hook": "module.set_up",
            "config": {
                "setup_timeout_seconds": 90, "eager_install": false, "log_files": ["a.log"],
            },
            "nsight": {"t": "cuda"},
            "mpi": {"args": []},
        })
    );
    assert_eq!(serde_json::from_value::<RuntimeEnv>(env.as_json().clone()).unwrap(), env);
}

#[test]
fn setters_change_an_environment_from_json() {
    let env = RuntimeEnv::from(json!({"pip": ["six"], "config": {"eager_install": true}}));
    let env = env.pip(["torch"]).setup_timeout(None);
    assert_eq!(
        *env.as_json(),
        json!({
            "pip": {"packages": ["six", "torch"]},
            "config": {"eager_install": true, "setup_timeout_seconds": -1},
        })
    );
}

#[test]
fn known_members_are_checked_and_unknown_ones_accepted() {
    for good in [
        json!({}),
        json!({"my_plugin": [1, {"a": null}], "pip": null, "config": {"new": 1}}),
        json!({"pip": "requirements.txt", "conda": null}),
        json!({"pip": {"packages": ["six"], "pip_version": "==24.0", "new": 1}}),
        json!({"uv": {"packages": "requirements.txt", "uv_check": true}}),
        json!({"conda": {"dependencies": []}}),
        json!({"conda": "/opt/envs/a"}),
        json!({"config": {"setup_timeout_seconds": -1}, "java_jars": ["a"]}),
    ] {
        RuntimeEnv::from(good.clone()).check().unwrap();
        assert_eq!(serde_json::to_value(RuntimeEnv::from(good.clone())).unwrap(), good);
    }
    for (bad, name) in [
        (json!([]), "runtime_env"),
        (json!({"env_vars": {"KEY": 1}}), "env_vars"),
        (json!({"env_vars": [["KEY", "hidden"]]}), "env_vars"),
        (json!({"working_dir": ["."]}), "working_dir"),
        (json!({"py_modules": "lib"}), "py_modules"),
        (json!({"excludes": [1]}), "excludes"),
        (json!({"pip": 1}), "pip"),
        (json!({"uv": [1]}), "uv"),
        (json!({"pip": {}}), "packages"),
        (json!({"pip": {"packages": null}}), "packages"),
        (json!({"pip": {"packages": ["six"], "pip_check": "no"}}), "pip_check"),
        (json!({"uv": {"packages": [1]}}), "packages of uv"),
        (json!({"uv": {"packages": ["six"], "uv_version": 1}}), "uv_version"),
        (json!({"uv": {"packages": ["six"], "uv_pip_install_options": "-U"}}), "options"),
        (json!({"pip": ["six"], "conda": "base"}), "pip and conda"),
        (json!({"pip": ["six"], "uv": ["six"]}), "pip and uv"),
        (json!({"conda": ["a"]}), "conda"),
        (json!({"conda": "envs/env.yml"}), "`env.yml`"),
        (json!({"conda": "environment.yaml"}), "conda_config"),
        (json!({"container": "image"}), "container"),
        (json!({"config": 60}), "config"),
        (json!({"config": {"setup_timeout_seconds": 0}}), "setup_timeout_seconds"),
        (json!({"config": {"setup_timeout_seconds": 1.5}}), "setup_timeout_seconds"),
        (json!({"config": {"eager_install": "yes"}}), "eager_install"),
        (json!({"worker_process_setup_hook": {}}), "worker_process_setup_hook"),
    ] {
        let error = RuntimeEnv::from(bad.clone()).check().unwrap_err();
        assert_eq!(error.status(), 400, "{bad}");
        assert!(error.to_string().contains(name), "{bad}: {error}");
        assert!(!error.to_string().contains("hidden"), "{error}");
    }
}

#[test]
fn debug_hides_the_values_of_environment_variables() {
    for env in [
        RuntimeEnv::new().env_var("TOKEN", "s3cret"),
        RuntimeEnv::from(json!({"env_vars": {"TOKEN": "s3cret"}})),
        RuntimeEnv::from(json!({"env_vars": ["TOKEN", "s3cret"]})),
        RuntimeEnv::from(json!("TOKEN s3cret")),
    ] {
        let job = crate::JobSubmission::new("x").runtime_env(env.clone());
        for shown in [format!("{env:?}"), format!("{env:#?}"), format!("{job:?}")] {
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }
    let env = RuntimeEnv::new()
        .working_dir("https://me:s3cret@h/a.zip")
        .pip(["--index-url https://me:s3cret@h/simple", "six"]);
    let shown = format!("{env:?}");
    assert!(!shown.contains("s3cret") && shown.contains("https://h/a.zip"), "{shown}");
    assert!(shown.contains("https://h/simple") && shown.contains("six"), "{shown}");
    let shown = format!("{:?}", RuntimeEnv::new().env_var("TOKEN", "x").working_dir("gcs://a"));
    assert!(shown.contains("TOKEN") && shown.contains("gcs://a"), "{shown}");
}

#[test]
fn only_text_with_a_scheme_is_a_uri() {
    for uri in ["s3://b/a.zip", "gcs://_ray_pkg_1.zip", "local:///app", "FILE:///a.zip"] {
        assert!(is_uri(uri), "{uri}");
    }
    for path in [".", "./a", "/a/b", "C:\\a", "://b", "1a://b", "a/b://c"] {
        assert!(!is_uri(path), "{path}");
    }
}

#[test]
fn a_file_of_requirements_stays_when_an_option_is_set() {
    let env = RuntimeEnv::from(json!({"pip": "requirements.txt"})).pip_check(true);
    let pip = json!({"packages": "requirements.txt", "pip_check": true});
    assert_eq!(*env.as_json(), json!({"pip": pip}));
}

#[cfg(feature = "packages")]
#[test]
fn requirements_files_are_read_as_ray_reads_them() {
    let path = std::env::temp_dir().join(format!("requirements-{}.txt", std::process::id()));
    std::fs::write(&path, "\n# for the model\r\ntorch==2.5.1 \\\n  --hash=sha256:1\n\nsix\n\n")
        .unwrap();
    let lines = json!(["# for the model", "torch==2.5.1 \\", "  --hash=sha256:1", "", "six"]);
    for (given, read) in [
        (json!({"pip": path}), json!({"pip": lines})),
        (json!({"uv": path}), json!({"uv": lines})),
        (json!({"pip": {"packages": path}}), json!({"pip": {"packages": lines}})),
        (json!({"pip": ["six"], "conda": "base"}), json!({"pip": ["six"], "conda": "base"})),
    ] {
        let env = RuntimeEnv::from(given).replace_requirements_files(read_requirements).unwrap();
        assert_eq!(*env.as_json(), read);
    }
    std::fs::remove_file(&path).unwrap();
    let job = crate::JobSubmission::new("x").runtime_env(json!({"pip": path}));
    let error = RayClient::new("http://127.0.0.1:1").unwrap().submit_job(&job).unwrap_err();
    assert_eq!(error.status(), 400);
    assert!(error.to_string().contains("pip names the file `requirements-"), "{error}");
}

#[cfg(not(feature = "packages"))]
#[test]
fn without_the_feature_a_local_path_is_refused() {
    let client = RayClient::new("http://127.0.0.1:1").unwrap();
    for env in [
        RuntimeEnv::new().working_dir("."),
        RuntimeEnv::new().py_module("s3://b/a.zip").py_module("lib"),
        RuntimeEnv::from(json!({"working_dir": "/app"})),
        RuntimeEnv::from(json!({"pip": "requirements.txt"})),
        RuntimeEnv::from(json!({"uv": {"packages": "requirements.txt"}})),
    ] {
        let job = crate::JobSubmission::new("x").runtime_env(env);
        let error = client.submit_job(&job).unwrap_err();
        assert_eq!(error.status(), 400);
        assert!(error.to_string().contains("feature `packages`"), "{error}");
    }
}
