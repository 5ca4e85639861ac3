//! Verifies behaviour that a real and healthy Ray cannot show.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mockito::{Mock, Server, ServerGuard};
use serde_json::json;

use super::deadline::Deadline;
use super::one_application::Change;
use super::raw_state::RawState;
use crate::serve::ServeDeploymentConfig;
use crate::{ClientError, RayClient, RetryPolicy, ServeApplicationConfig, ServeConfig};

const PATH: &str = "/api/serve/applications/";
const SECOND: Duration = Duration::from_secs(1);
const NOT_RUNNING: &str =
    r#"{"controller_info":{},"proxies":{},"applications":{},"target_capacity":null}"#;

/// How Ray answers if Serve is killed while it handles a request.
const KILLED: &str = "Traceback (most recent call last):\nray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.\n\tclass_name: ServeController\n\tname: SERVE_CONTROLLER_ACTOR\n\tnamespace: serve\nThe actor is dead because it was killed by `ray.kill`.\n";

fn answering(status: usize, body: &str) -> (ServerGuard, RayClient) {
    let mut server = Server::new();
    server.mock("GET", PATH).with_status(status).with_body(body).create();
    let client = RayClient::new(server.url()).unwrap();
    (server, client)
}

/// Returns the state of a running Serve with these members of `applications`.
fn running(applications: &str) -> String {
    format!(
        r#"{{"controller_info":{{"actor_id":"1"}},"proxies":{{}},"http_options":{{"port": 8000, "host":null}},
            "target_capacity":null,"applications":{{{applications}}}}}"#
    )
}

/// Answers with each state in turn, and then repeats the last one.
fn answering_in_turn(states: Vec<String>) -> (ServerGuard, RayClient) {
    let mut server = Server::new();
    let next = AtomicUsize::new(0);
    server
        .mock("GET", PATH)
        .with_body_from_request(move |_| {
            let at = next.fetch_add(1, Ordering::Relaxed);
            states[at.min(states.len() - 1)].clone().into_bytes()
        })
        .create();
    let client = RayClient::new(server.url()).unwrap();
    (server, client)
}

/// Accepts at least this many PUTs or DELETEs.
fn accepting(server: &mut ServerGuard, method: &str, hits: usize) -> Mock {
    server.mock(method, PATH).expect_at_least(hits).create()
}

fn app(name: &str) -> ServeApplicationConfig {
    ServeApplicationConfig::new(name, "m:app")
}

fn deploy_within(client: &RayClient, name: &str, time: Duration) -> Result<(), ClientError> {
    let config = app(name);
    let deadline = Deadline::after(time);
    Change { operation: format!("deploy `{name}`"), name, config: Some(&config), deadline }
        .make(client)
}

#[test]
fn without_serve_installed_every_call_is_501() {
    let why = "Serve dependencies are not installed. Please run `pip install \"ray[serve]\"`.";
    let (mut server, client) = answering(501, why);
    for (method, path) in [("PUT", PATH), ("POST", "/api/v1/applications/a/deployments/d/scale")] {
        server.mock(method, path).with_status(501).with_body(why).create();
    }
    for error in [
        client.get_serve_details().unwrap_err(),
        client.list_serve_applications().unwrap_err(),
        client.get_serve_application("a").unwrap_err(),
        client.deploy_serve_applications(&ServeConfig::default()).unwrap_err(),
        client.deploy_serve_application(&app("a")).unwrap_err(),
        client.delete_serve_application("a").unwrap_err(),
        client.shutdown_serve().unwrap_err(),
        client.scale_serve_deployment("a", "d", 1).unwrap_err(),
        client.wait_for_serve_application("a", SECOND).unwrap_err(),
        client.wait_for_serve_applications(SECOND).unwrap_err(),
    ] {
        assert_eq!(error.status(), 501, "{error}");
        assert!(error.to_string().ends_with(why), "{error}");
    }
}

#[test]
fn a_response_that_is_not_from_ray_is_500_and_nothing_is_sent() {
    let mut answers = vec![
        "[]".to_owned(),
        "{".to_owned(),
        "{}".to_owned(),
        String::new(),
        "null".to_owned(),
        "<!DOCTYPE html><html><title>Sign in</title></html>".to_owned(),
        r#"{"error":"not today"}"#.to_owned(),
        r#"{"applications":{}}"#.to_owned(),
        r#"{"controller_info":{},"proxies":{},"target_capacity":null}"#.to_owned(),
        NOT_RUNNING.replace("\"proxies\":{}", "\"proxies\":[]"),
        NOT_RUNNING.replace("\"applications\":{}", "\"applications\":null"),
        format!("{NOT_RUNNING}{NOT_RUNNING}"),
        NOT_RUNNING[..NOT_RUNNING.len() - 1].to_owned(),
    ];
    answers.extend(
        ["controller_info", "proxies", "applications"]
            .map(|member| NOT_RUNNING.replace(member, "other")),
    );
    for response in answers {
        let (mut server, client) = answering(200, &response);
        let sent = ["PUT", "DELETE"].map(|method| server.mock(method, PATH).expect(0).create());
        for error in [
            client.get_serve_details().unwrap_err(),
            client.list_serve_applications().unwrap_err(),
            client.get_serve_application("a").unwrap_err(),
            client.wait_for_serve_application("a", SECOND).unwrap_err(),
            client.wait_for_serve_applications(SECOND).unwrap_err(),
            client.deploy_serve_application(&app("a")).unwrap_err(),
            client.delete_serve_application("a").unwrap_err(),
            client.shutdown_serve().unwrap_err(),
        ] {
            assert_eq!(error.status(), 500, "{response}: {error}");
        }
        sent.iter().for_each(Mock::assert);
    }
}

#[test]
fn a_slow_response_that_serve_is_not_running_is_not_trusted() {
    let minute = SECOND * 60;
    let none = RawState::parse("", NOT_RUNNING).unwrap();
    assert!(none.is_doubtful(minute) && !none.is_doubtful(SECOND));
    let running = running("");
    assert!(!RawState::parse("", &running).unwrap().is_doubtful(minute));
}

#[test]
fn invalid_configurations_are_refused_before_anything_is_sent() {
    let mut server = Server::new();
    let nothing = server.mock("GET", PATH).expect(0).create();
    let client = RayClient::new(server.url()).unwrap();
    let secret = json!({"env_vars": {"TOKEN": "<redacted>"}});
    let in_a_deployment =
        ServeDeploymentConfig::new("D").ray_actor_options(json!({"runtime_env": secret}));
    for bad in [
        app("täst"),
        app("a/b"),
        app("a").runtime_env(secret.clone()),
        app("a").deployment(in_a_deployment),
    ] {
        let whole =
            ServeConfig { applications: vec![app("good"), bad.clone()], ..Default::default() };
        for error in [
            client.deploy_serve_application(&bad).unwrap_err(),
            client.deploy_serve_applications(&whole).unwrap_err(),
        ] {
            assert!(matches!(error, ClientError::InvalidParameter { .. }), "{error}");
        }
    }
    let options = json!({"runtime_env": secret}).as_object().cloned();
    let whole = ServeConfig { controller_options: options, ..Default::default() };
    let error = client.deploy_serve_applications(&whole).unwrap_err();
    assert!(error.to_string().contains("`TOKEN` as <redacted>"), "{error}");
    nothing.assert();
}

#[test]
fn other_applications_are_sent_back_unchanged() {
    let (mut server, client) = answering(
        200,
        &running(
            r#""a":{"status":"RUNNING","deployed_app_config":{"import_path":"m:a"}},
            "b":{"status":"RUNNING","deployed_app_config":{"n":123456789012345678901234, "f":0.9073038322028689}},
            "c":{"status":"DELETING","deployed_app_config":{"c":1}},
            "d":{"status":"RUNNING","source":"imperative","deployed_app_config":{"d":1}},
            "e":{"status":"DELETING","deployed_app_config":null},
            "f/ä":{"status":"RUNNING","deployed_app_config":{"x":[NaN,Infinity, -Infinity]}}"#,
        ),
    );
    let body = r#"{"http_options":{"port": 8000, "host":null},"applications":[{"n":123456789012345678901234, "f":0.9073038322028689},{"x":[NaN,Infinity, -Infinity]},{"name":"a","import_path":"m:app"}]}"#;
    let put = server.mock("PUT", PATH).match_body(body).expect_at_least(1).create();
    deploy_within(&client, "a", SECOND).unwrap_err();
    put.assert();
}

#[test]
fn an_unreadable_application_does_not_affect_others() {
    let good = |name: &str| {
        format!(r#""{name}":{{"name":"{name}","status":"RUNNING","deployed_app_config":null}}"#)
    };
    let (_server, client) = answering(
        200,
        &running(&format!(r#"{},"odd":{{"name":"odd","status":5}},{}"#, good("a"), good("z"))),
    );
    let listed = client.list_serve_applications().unwrap();
    let names: Vec<_> = listed.iter().map(|it| &*it.name).collect();
    assert_eq!((names, listed.total, listed.truncated), (vec!["a", "z"], 3, true));
    assert!(listed.warnings.len() == 1 && listed.warnings[0].contains("`odd` is unreadable"));
    assert_eq!(client.get_serve_application("z").unwrap().name, "z");
    for error in [
        client.get_serve_application("odd").unwrap_err(),
        client.wait_for_serve_applications(SECOND).unwrap_err(),
        // Deploying these details again would delete the unreadable application.
        client.get_serve_details().unwrap_err(),
    ] {
        assert_eq!(error.status(), 500, "{error}");
    }
}

#[test]
fn nothing_is_sent_if_an_application_would_be_lost() {
    for lost in [
        r#"{"status":"DEPLOYING","source":"declarative","deployed_app_config":null}"#,
        r#"{"status":5,"deployed_app_config":{}}"#,
        "1",
    ] {
        let a = r#""a":{"status":"RUNNING","deployed_app_config":{}}"#;
        let (mut server, client) = answering(200, &running(&format!("{a},\"b\":{lost}")));
        let put = server.mock("PUT", PATH).expect(0).create();
        for error in [
            client.delete_serve_application("a").unwrap_err(),
            client.deploy_serve_application(&app("new")).unwrap_err(),
        ] {
            assert!(error.status() == 500 && error.to_string().contains("of `b`"), "{error}");
        }
        put.assert();
    }
}

#[test]
fn a_change_that_is_reverted_repeatedly_is_409() {
    let (mut server, client) =
        answering(200, &running(r#""a":{"status":"RUNNING","deployed_app_config":{}}"#));
    let put = accepting(&mut server, "PUT", 20);
    let error = client.delete_serve_application("a").unwrap_err();
    assert_eq!(
        (error.status(), error.to_string()),
        (409, "delete Serve application `a`: others reverted the change 20 times".to_owned())
    );
    put.assert();
}

#[test]
fn a_deployment_waits_until_serve_has_shut_down() {
    let ending = running(r#""old":{"status":"DELETING","deployed_app_config":{"old":1}}"#);
    let new = r#""new":{"status":"DEPLOYING","deployed_app_config":{"name":"new","import_path":"m:app"}}"#;
    let states = [vec![ending; 6], vec![NOT_RUNNING.to_owned(), running(new)]].concat();
    let (mut server, client) = answering_in_turn(states.clone());
    let put = accepting(&mut server, "PUT", 4);
    client.deploy_serve_application(&app("new")).unwrap();
    put.assert();

    let (mut server, client) = answering_in_turn(states);
    let put = accepting(&mut server, "PUT", 4);
    let whole = ServeConfig { applications: vec![app("new")], ..Default::default() };
    client.deploy_serve_applications(&whole).unwrap();
    put.assert();
}

#[test]
fn a_deployment_is_repeated_if_a_shutdown_kills_serve_meanwhile() {
    let new = r#""new":{"status":"DEPLOYING","deployed_app_config":{"name":"new","import_path":"m:app"}}"#;
    let whole = ServeConfig { applications: vec![app("new")], ..Default::default() };
    for is_whole in [false, true] {
        let deploy = |client: &RayClient| {
            if is_whole {
                client.deploy_serve_applications(&whole)
            } else {
                client.deploy_serve_application(&app("new"))
            }
        };
        let states = vec![NOT_RUNNING.to_owned(), NOT_RUNNING.to_owned(), running(new)];
        let (mut server, client) = answering_in_turn(states);
        let killed = server.mock("PUT", PATH).with_status(500).with_body(KILLED).expect(1).create();
        let put = server.mock("PUT", PATH).expect(1).create();
        deploy(&client).unwrap();
        killed.assert();
        put.assert();

        let (mut server, client) = answering(200, NOT_RUNNING);
        let killed = server.mock("PUT", PATH).with_status(500).with_body(KILLED).expect_at_least(3);
        let killed = killed.create();
        let error = deploy(&client).unwrap_err();
        assert_eq!(error.status(), 503, "{error}");
        assert!(error.to_string().contains("it was killed by `ray.kill`"), "{error}");
        killed.assert();
    }
}

#[test]
fn deleting_an_application_that_does_not_exist_is_404_even_if_serve_was_killed_at_first() {
    let mut server = Server::new();
    let killed = server.mock("GET", PATH).with_status(500).with_body(KILLED).expect(1).create();
    server.mock("GET", PATH).with_body(NOT_RUNNING).create();
    let put = server.mock("PUT", PATH).expect(0).create();
    let client = RayClient::builder(server.url()).retry(RetryPolicy::none()).build().unwrap();
    assert_eq!(client.delete_serve_application("a").unwrap_err().status(), 404);
    killed.assert();
    put.assert();
}

#[test]
fn deleting_a_new_application_is_not_mistaken_for_a_shutdown() {
    let application = |deployed_at: u32| {
        running(&format!(
            r#""a":{{"status":"DELETING","deployed_app_config":null,"last_deployed_time_s":{deployed_at}}}"#
        ))
    };
    let states = (1..100).map(application).collect();
    let (mut server, client) = answering_in_turn(states);
    accepting(&mut server, "PUT", 20);
    let error = client.deploy_serve_application(&app("a")).unwrap_err();
    assert_eq!(error.status(), 409, "{error}");
    let whole = ServeConfig { applications: vec![app("a")], ..Default::default() };
    client.deploy_serve_applications(&whole).unwrap();
}

#[test]
fn a_shutdown_that_does_not_end_is_named_in_the_408() {
    let ending = running(r#""old":{"status":"DELETING","deployed_app_config":{"old":1}}"#);
    let (mut server, client) = answering(200, &ending);
    accepting(&mut server, "PUT", 1);
    let whole = ServeConfig { applications: vec![app("new")], ..Default::default() };
    for error in [
        deploy_within(&client, "new", SECOND / 10).unwrap_err(),
        client.replace_serve_applications(&whole, &Deadline::after(SECOND / 10)).unwrap_err(),
    ] {
        assert_eq!(error.status(), 408, "{error}");
        assert!(error.to_string().contains("Serve is shutting down"), "{error}");
    }
}

#[test]
fn a_call_that_waits_too_long_for_its_turn_is_408_and_sends_nothing() {
    let (mut server, client) = answering(200, NOT_RUNNING);
    let sent = ["PUT", "DELETE"].map(|method| server.mock(method, PATH).expect(0).create());
    let _lock = client.serve_lock().lock_until(Instant::now());
    let client = client.clone();
    let soon = || Deadline::after(Duration::from_millis(20));
    for error in [
        deploy_within(&client, "a", Duration::from_millis(20)).unwrap_err(),
        client.replace_serve_applications(&ServeConfig::default(), &soon()).unwrap_err(),
        client.shutdown_serve_by(&soon()).unwrap_err(),
    ] {
        assert_eq!(error.status(), 408, "{error}");
        let why = "not done within 20ms: clones of this client were still changing Serve";
        assert!(error.to_string().contains(why), "{error}");
    }
    sent.iter().for_each(Mock::assert);
}

#[test]
fn calls_to_a_stuck_server_time_out_in_parallel() {
    let stuck = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = RayClient::new(format!("http://{}", stuck.local_addr().unwrap())).unwrap();
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let error = deploy_within(&client, "a", SECOND / 10).unwrap_err();
                assert_eq!(error.status(), 408, "{error}");
            });
        }
    });
    // One after the other, each of them would wait a second at least.
    assert!(start.elapsed() < SECOND * 10, "{:?}", start.elapsed());
}

#[test]
fn a_shutdown_returns_ok_only_when_serve_is_down() {
    let other = running("").replace("\"1\"", "\"2\"");
    for down in [NOT_RUNNING.to_owned(), other] {
        let states = [vec![running(""); 3], vec![down]].concat();
        let (mut server, client) = answering_in_turn(states);
        let delete = accepting(&mut server, "DELETE", 1);
        client.shutdown_serve().unwrap();
        delete.assert();
    }
    let (mut server, client) = answering(200, &running(""));
    accepting(&mut server, "DELETE", 1);
    let error = client.shutdown_serve_by(&Deadline::after(SECOND / 10)).unwrap_err();
    assert_eq!(error.status(), 408, "{error}");
    assert!(error.to_string().ends_with("not done within 100ms: it still runs"), "{error}");
}

/// aiohttp before 3.10.1, which old images have, gives an empty response the type of a file.
#[test]
fn an_empty_response_may_have_a_content_type() {
    let (mut server, client) =
        answering_in_turn(vec![running(""), running(""), NOT_RUNNING.to_owned()]);
    let delete =
        server.mock("DELETE", PATH).with_header("content-type", "application/octet-stream");
    let delete = delete.expect(1).create();
    client.shutdown_serve().unwrap();
    delete.assert();
}

#[test]
fn a_failed_application_is_400_with_its_reason() {
    let traceback = r"The deployment failed to start 3 times in a row. Error:\nTraceback (most recent call last):\n  File \u0022/a.py\u0022, line 1\nValueError: no model at gs://x";
    let application = |name: &str, status: &str, deployment: &str, message: &str| {
        format!(
            r#""{name}":{{"name":"{name}","status":"{status}","message":"Failed to update the deployments ['Bad'].",
            "deployments":{{
                "A":{{"name":"A","status":"HEALTHY","message":"fine","deployment_config":{{"name":"A"}}}},
                "B":{{"name":"B","status":"UPDATING","message":"starts","deployment_config":{{"name":"B"}}}},
                "Bad":{{"name":"Bad","status":"{deployment}","message":"{message}","deployment_config":{{"name":"Bad"}}}}}}}}"#
        )
    };
    let failed = |name: &str| application(name, "DEPLOY_FAILED", "DEPLOY_FAILED", traceback);
    let good = application("good", "RUNNING", "HEALTHY", "");
    let leaving = application("leaving", "DELETING", "DEPLOY_FAILED", traceback);
    let all = [good.clone(), leaving.clone(), failed("one"), failed("two")].join(",");
    let (_server, client) = answering(200, &running(&all));
    let error = client.wait_for_serve_application("one", SECOND).unwrap_err();
    let why = "deployment `Bad`: ValueError: no model at gs://x";
    assert_eq!(
        (error.status(), error.to_string()),
        (400, format!("wait for Serve application `one`: {why}"))
    );
    let error = client.wait_for_serve_applications(SECOND).unwrap_err();
    let both = format!("`one`, `two`: DEPLOY_FAILED: {why}; DEPLOY_FAILED: {why}");
    assert_eq!(
        (error.status(), error.to_string()),
        (400, format!("wait for Serve applications: {both}"))
    );

    let slow = application("slow", "DEPLOYING", "UPDATING", "");
    let (_server, client) =
        answering(200, &running(&[good.clone(), slow, leaving.clone()].join(",")));
    let error = client.wait_for_serve_applications(SECOND / 100).unwrap_err();
    assert_eq!(error.status(), 408);
    assert!(error.to_string().ends_with("`slow`: DEPLOYING: deployment `B`: starts"), "{error}");

    let (_server, client) = answering(200, &running(&[good, leaving].join(",")));
    let listed = client.wait_for_serve_applications(SECOND).unwrap();
    assert!(listed.total == 1 && listed.results[0].name == "good");
}

#[test]
fn floats_keep_all_digits() {
    for float in ["0.9073038322028689", "0.1", "1e300", "5e-324"] {
        let value: serde_json::Value = serde_json::from_str(float).unwrap();
        assert_eq!(value.as_f64(), Some(float.parse().unwrap()), "{float}");
    }
}
