//! Verifies that a token gives access to secured clusters and is never shown.

use std::process::Command;

use ray_client::RayClient;

use crate::{TOKEN, exercise, head, refusals};

#[test]
fn the_token_works_for_calls_and_tails() {
    let client = RayClient::builder(&*head().address).bearer_token(TOKEN).build().unwrap();
    exercise(&client).unwrap();
}

#[test]
fn a_missing_token_is_401_and_a_wrong_one_403() {
    let address = &*head().address;
    let wrong = "fedcba9876543210fedcba9876543210";
    for (client, status) in [
        (RayClient::new(address).unwrap(), 401),
        (RayClient::builder(address).bearer_token(wrong).build().unwrap(), 403),
    ] {
        for error in refusals(&client) {
            assert_eq!(error.status(), status, "{error}");
            assert!(!error.is_retryable() && !format!("{error:?}").contains(wrong), "{error:?}");
        }
    }
}

#[test]
fn the_token_is_read_from_the_environment_as_rays_client_does() {
    let folder = std::env::temp_dir().join(format!("ray-client-token-{}", std::process::id()));
    std::fs::create_dir_all(folder.join(".ray")).unwrap();
    let file = folder.join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    std::fs::write(folder.join(".ray").join("auth_token"), format!(" {TOKEN} ")).unwrap();
    let file = file.to_str().unwrap();
    for (variables, works) in [
        (vec![("RAY_AUTH_MODE", "token"), ("RAY_AUTH_TOKEN", TOKEN)], true),
        (vec![("RAY_AUTH_MODE", "TOKEN"), ("RAY_AUTH_TOKEN_PATH", file)], true),
        (vec![("RAY_AUTH_MODE", "token")], true),
        (vec![("RAY_AUTH_TOKEN", TOKEN)], false),
    ] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "tokens::child_uses_the_environment"])
            .env_remove("RAY_AUTH_MODE")
            .env("HOME", &folder)
            .env("RAY_API_SERVER_ADDRESS", &head().address)
            .envs(variables.clone())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.success(), works, "{variables:?}: {said}");
        assert!(works || said.contains("status 401"), "{said}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_replaced_token_file_is_read_again() {
    let file = std::env::temp_dir().join(format!("ray-client-rotated-{}", std::process::id()));
    std::fs::write(&file, "fedcba9876543210fedcba9876543210").unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "tokens::child_replaces_the_token_file"])
        .env("RAY_AUTH_MODE", "token")
        .env("RAY_AUTH_TOKEN_PATH", &file)
        .env("RAY_API_SERVER_ADDRESS", &head().address)
        .env("FINISHED_JOB", &crate::finished_job().0)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    std::fs::remove_file(file).unwrap();
}

#[test]
#[ignore = "run by a_replaced_token_file_is_read_again, in a process of its own"]
fn child_replaces_the_token_file() {
    let file = std::env::var("RAY_AUTH_TOKEN_PATH").unwrap();
    let id = std::env::var("FINISHED_JOB").unwrap();
    let client = RayClient::from_env().unwrap();
    assert_eq!(client.version().unwrap_err().status(), 403);
    let options = || {
        ray_client::TailOptions::default().protocol(ray_client::Protocol::WebSocket).reconnects(0)
    };
    let tail = client.tail_job_logs_with(&id, options()).unwrap();
    assert_eq!(tail.last().unwrap().unwrap_err().status(), 403);
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    assert_eq!(client.version().unwrap().ray_version, "2.60.0");
    assert!(client.tail_job_logs_with(&id, options()).unwrap().all(|line| line.is_ok()));
}

/// An ingress may consume `Authorization`; then only the second header arrives.
#[test]
fn either_token_header_works() {
    for name in ["Authorization", "X-Ray-Authorization"] {
        let client = RayClient::builder(&*head().address)
            .header(name, format!("Bearer {TOKEN}"))
            .build()
            .unwrap();
        exercise(&client).unwrap();
    }
}

#[test]
fn a_variable_that_is_not_utf8_is_400() {
    use std::os::unix::ffi::OsStrExt;

    for name in ["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS", "RAY_JOB_HEADERS", "HTTP_PROXY"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "tokens::child_uses_the_environment"])
            .env(name, std::ffi::OsStr::from_bytes(b"http://\xff"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(name) && said.contains("UTF-8 (status 400)"), "{said}");
    }
}

#[test]
#[ignore = "run by the_token_is_read_from_the_environment_as_rays_client_does, in a process of its own"]
fn child_uses_the_environment() {
    RayClient::from_env().unwrap().version().unwrap();
}
