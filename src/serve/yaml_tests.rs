//! Verifies that a configuration is read from YAML as `serve build` writes it.

use serde_json::json;

use crate::ServeConfig;
use crate::serve::ServeProxyLocation;

const BUILT: &str = include_str!("../../tests/support/serve_build.yaml");

fn read(yaml: &str) -> Result<ServeConfig, String> {
    serde_norway::from_str(yaml).map_err(|error| error.to_string())
}

#[test]
fn a_file_from_serve_build_is_read_completely() {
    let config = read(BUILT).unwrap();
    assert_eq!(config.proxy_location, Some(ServeProxyLocation::EveryNode));
    let sent = json!({
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": 8000},
        "grpc_options": {"port": 9000, "grpc_servicer_functions": [], "enable_reflection": true},
        "logging_config": {
            "encoding": "TEXT", "log_level": "INFO", "logs_dir": null, "enable_access_log": true,
            "additional_log_standard_attrs": [],
        },
        "applications": [
            {
                "name": "app1", "route_prefix": "/app1", "import_path": "serve_apps:built",
                "runtime_env": {},
                "deployments": [{
                    "name": "Echo", "user_config": {"labels": ["yes", "1"], "threshold": 0.5},
                    "ray_actor_options": {"num_cpus": 0.01},
                }],
            },
            {
                "name": "app2", "route_prefix": "/app2", "import_path": "serve_apps:idle",
                "runtime_env": {},
                "deployments": [{
                    "name": "Idle", "autoscaling_config": {"min_replicas": 0},
                    "ray_actor_options": {"num_cpus": 0.01},
                }],
            },
        ],
    });
    assert_eq!(serde_json::to_value(&config).unwrap(), sent);
    assert!(config.check().is_ok());
    assert_eq!(read(&serde_norway::to_string(&config).unwrap()).unwrap(), config);
}

#[test]
fn unknown_members_are_kept() {
    let config = read(
        "new_option: {a: [1, null, -0.5]}\nhttp_options:\napplications: [{import_path: 'm:a', later: 1}]",
    )
    .unwrap();
    assert_eq!(config.extra["new_option"], json!({"a": [1, null, -0.5]}));
    assert_eq!(config.http_options, None);
    let application = &config.applications[0];
    assert_eq!((&*application.name, &application.options["later"]), ("default", &json!(1)));
}

#[test]
fn errors_name_the_invalid_member() {
    for (yaml, why) in [
        // A configuration of one application, from before Ray 2.
        ("import_path: m:a\n", "missing field `applications`"),
        ("applications: [{name: a}]", "applications[0]: missing field `import_path`"),
        ("applications: []\nhttp_options: 8000\n", "http_options: invalid type: integer `8000`"),
        (
            "applications: []\ntarget_capacity: all\n",
            "target_capacity: invalid type: string \"all\"",
        ),
        ("applications: [\n", "line 2"),
        ("applications: [{import_path: 'm:a', args: {1: x}}]", "integer `1`"),
    ] {
        let error = read(yaml).unwrap_err();
        assert!(error.contains(why), "{yaml}: {error}");
    }
}
