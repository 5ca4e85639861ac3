//! What a real Ray cannot be made to show on purpose.

use mockito::{Mock, Server, ServerGuard};

use crate::{RayClient, ServeApplicationConfig, ServeConfig};

const PATH: &str = "/api/serve/applications/";

fn answering(status: usize, body: &str) -> (ServerGuard, RayClient) {
    let mut server = Server::new();
    server.mock("GET", PATH).with_status(status).with_body(body).create();
    let client = RayClient::new(server.url()).unwrap();
    (server, client)
}

fn expecting(server: &mut ServerGuard, body: &str) -> Mock {
    server.mock("PUT", PATH).match_body(body).expect_at_least(1).create()
}

#[test]
fn without_serve_installed_every_call_is_501() {
    let why = "Serve dependencies are not installed. Please run `pip install \"ray[serve]\"`.";
    let (mut server, client) = answering(501, why);
    for (method, path) in [("PUT", PATH), ("POST", "/api/v1/applications/a/deployments/d/scale")] {
        server.mock(method, path).with_status(501).with_body(why).create();
    }
    let application = ServeApplicationConfig::new("a", "m:a");
    for error in [
        client.list_serve_applications().unwrap_err(),
        client.get_serve_application("a").unwrap_err(),
        client.deploy_serve_applications(&ServeConfig::default()).unwrap_err(),
        client.deploy_serve_application(&application).unwrap_err(),
        client.delete_serve_application("a").unwrap_err(),
        client.shutdown_serve().unwrap_err(),
        client.scale_serve_deployment("a", "d", 1).unwrap_err(),
    ] {
        assert_eq!(error.status(), 501, "{error}");
        assert!(error.to_string().ends_with(why), "{error}");
    }
}

#[test]
fn what_stays_is_sent_back_to_the_letter() {
    let state = r#"{"proxies":{},"http_options":{"port": 8000, "host":null},"target_capacity":null,
        "applications":{
            "a":{"status":"RUNNING","deployed_app_config":{"import_path":"m:a"}},
            "b":{"status":"RUNNING","deployed_app_config":{"n":123456789012345678901234, "f":0.9073038322028689}},
            "c":{"status":"DELETING","deployed_app_config":{"c":1}},
            "d":{"status":"RUNNING","source":"imperative","deployed_app_config":{"d":1}},
            "e":{"status":"DELETING","deployed_app_config":null}}}"#;
    let (mut server, client) = answering(200, state);
    let put = expecting(
        &mut server,
        r#"{"http_options":{"port": 8000, "host":null},"applications":[{"n":123456789012345678901234, "f":0.9073038322028689},{"name":"a","import_path":"m:new"}]}"#,
    );
    client.deploy_serve_application(&ServeApplicationConfig::new("a", "m:new")).unwrap_err();
    put.assert();
}

#[test]
fn a_change_that_is_taken_back_over_and_over_is_409() {
    let state = r#"{"applications":{"a":{"status":"RUNNING","deployed_app_config":{}}}}"#;
    let (mut server, client) = answering(200, state);
    let put = expecting(&mut server, r#"{"applications":[]}"#);
    let error = client.delete_serve_application("a").unwrap_err();
    assert_eq!(
        (error.status(), error.to_string()),
        (409, "delete Serve application `a`: others took the change back 20 times".to_owned())
    );
    put.assert();
}

#[test]
fn an_application_whose_configuration_is_not_told_is_not_lost() {
    let state = r#"{"applications":{"a":{"status":"RUNNING","deployed_app_config":{}},
        "b":{"status":"DEPLOYING","source":"declarative","deployed_app_config":null}}}"#;
    let (mut server, client) = answering(200, state);
    let put = server.mock("PUT", PATH).expect(0).create();
    let error = client.delete_serve_application("a").unwrap_err();
    assert!(error.status() == 500 && error.to_string().contains("of `b`"), "{error}");
    put.assert();
}

#[test]
fn an_answer_that_is_not_rays_is_500_and_changes_nothing() {
    for body in ["[]", "{", r#"{"applications":{"a":1}}"#, "{\"applications\":{}"] {
        let (_server, client) = answering(200, body);
        let error = client.delete_serve_application("a").unwrap_err();
        assert_eq!(error.status(), 500, "{body}: {error}");
    }
}

#[test]
fn a_float_is_read_to_its_last_digit() {
    for float in ["0.9073038322028689", "0.1", "1e300", "5e-324"] {
        let value: serde_json::Value = serde_json::from_str(float).unwrap();
        assert_eq!(value.as_f64(), Some(float.parse().unwrap()), "{float}");
    }
}
