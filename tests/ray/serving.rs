//! Verifies that Serve runs what is deployed, that changing one application leaves the others
//! unchanged, even if several change at once, and that all state matches Ray's Python API.
//!
//! A cluster has a single Serve state, so these tests use a separate head and run one after the
//! other.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ray_client::serve::{
    ServeDeploymentConfig, ServeDetails, ServeProxyLocation, ServeReplicaState, ServeSource,
};
use ray_client::{
    ClientError, RayClient, ServeApplicationConfig, ServeApplicationStatus, ServeConfig,
};
use serde_json::{Value, json};

use crate::ports::free_port;
use crate::support::{Head, eventually};

/// The folder of `serve_apps.py`.
const APPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support");
/// A Serve application starts within seconds, but takes minutes if other programs keep the machine busy.
const PATIENCE: Duration = Duration::from_secs(300);

/// The head of these tests, and the HTTP port of its applications.
struct Serve {
    head: Head,
    port: u16,
}

fn serve() -> (&'static Serve, MutexGuard<'static, ()>) {
    static SERVE: OnceLock<Serve> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let serve = SERVE.get_or_init(|| Serve {
        head: Head::start(&["--env", &format!("PYTHONPATH={APPS}")]),
        port: free_port(),
    });
    (serve, turn)
}

impl Serve {
    /// Deploys exactly these applications and waits until they run. Imperative applications stay.
    fn with(&self, applications: Vec<ServeApplicationConfig>) -> RayClient {
        let client = self.head.client();
        let config = ServeConfig {
            applications,
            proxy_location: Some(ServeProxyLocation::HeadOnly),
            http_options: json!({"host": "127.0.0.1", "port": self.port}).as_object().cloned(),
            target_capacity: Some(100.0),
            ..ServeConfig::default()
        };
        client.deploy_serve_applications(&config).unwrap();
        for application in &config.applications {
            client.wait_for_serve_application(&application.name, PATIENCE).unwrap();
        }
        client
    }

    fn text(&self, route: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET {route} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn answer(&self, route: &str) -> Value {
        let answer = self.text(route);
        let body = answer.lines().find(|line| line.starts_with('{')).unwrap_or_default();
        serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"))
    }
}

fn echo(name: &str) -> ServeApplicationConfig {
    ServeApplicationConfig::new(name, "serve_apps:echo").route_prefix(format!("/{name}"))
}

fn app(name: &str, function: &str) -> ServeApplicationConfig {
    ServeApplicationConfig::new(name, format!("serve_apps:{function}")).without_route()
}

fn idle(name: &str) -> ServeApplicationConfig {
    app(name, "idle")
}

/// Returns the state that must not change: the configuration, and the ids, processes and start
/// times of the replicas.
fn state_of(client: &RayClient, name: &str) -> Value {
    let application = client.get_serve_application(name).unwrap();
    let replicas: Vec<_> = application
        .deployments
        .values()
        .flat_map(|it| &it.replicas)
        .map(|it| json!([it.replica_id, it.pid, it.start_time_s, it.actor.actor_id]))
        .collect();
    json!([application.deployed_app_config, replicas])
}

/// Deploys this Python value as the whole state with `PUT`, as programs without this client do.
fn put_by_python(head: &Head, state: &str) {
    let program = format!(
        "import json, urllib.request; nan, inf = float('nan'), float('inf'); \
         request = urllib.request.Request('{}/api/serve/applications/', json.dumps({state}).encode(), \
         method='PUT'); print(urllib.request.urlopen(request).status)",
        head.address
    );
    assert_eq!(head.python_json(&program), 200);
}

fn status_of(client: &RayClient, name: &str) -> Option<ServeApplicationStatus> {
    client.get_serve_application(name).ok().map(|it| it.status)
}

fn is_gone(client: &RayClient, name: &str) -> bool {
    match client.get_serve_application(name) {
        Ok(application) => application.status == ServeApplicationStatus::Deleting,
        Err(error) => error.status() == 404,
    }
}

fn run_imperative(head: &Head, name: &str) {
    let program = format!(
        "import sys; sys.path.append('{APPS}'); import ray, serve_apps; from ray import serve; \
         ray.init(log_to_driver=False, logging_level='ERROR'); \
         serve.run(serve_apps.echo({{}}), name='{name}', route_prefix='/{name}'); print(1)"
    );
    head.python_json(&program);
}

#[test]
fn without_serve_there_are_no_applications() {
    let (serve, _turn) = serve();
    let client = serve.head.client();
    client.shutdown_serve().unwrap();
    client.shutdown_serve().unwrap();
    let details = client.get_serve_details().unwrap();
    assert!(!details.is_running() && details.config() == ServeConfig::default());
    assert!(client.list_serve_applications().unwrap().results.is_empty());
    for error in [
        client.get_serve_application("none").unwrap_err(),
        client.delete_serve_application("none").unwrap_err(),
        client.scale_serve_deployment("none", "Echo", 1).unwrap_err(),
        client.wait_for_serve_application("none", PATIENCE).unwrap_err(),
    ] {
        assert_eq!(error.status(), 404, "{error}");
    }
}

#[test]
fn applications_match_rays_own_client() {
    let (serve, _turn) = serve();
    let two = idle("two").deployment(ServeDeploymentConfig::new("Idle").max_ongoing_requests(3));
    let client = serve.with(vec![echo("one").args(json!({"n": 1})), two]);
    run_imperative(&serve.head, "three");
    client.wait_for_serve_application("three", PATIENCE).unwrap();

    let details = client.get_serve_details().unwrap();
    let python = serve.head.python_json(
        "import json, dataclasses; from ray import serve; print(json.dumps(dataclasses.asdict(serve.status())))",
    );
    let applications: BTreeMap<_, _> = details
        .applications
        .iter()
        .map(|(name, it)| {
            let deployments: BTreeMap<_, _> = it
                .deployments
                .iter()
                .map(|(name, it)| {
                    let mut states = BTreeMap::new();
                    for replica in &it.replicas {
                        *states.entry(replica.state.as_str()).or_insert(0) += 1;
                    }
                    (
                        name,
                        json!({
                            "status": it.status, "status_trigger": it.status_trigger,
                            "replica_states": states, "message": it.message,
                        }),
                    )
                })
                .collect();
            (
                name,
                json!({
                    "status": it.status, "message": it.message,
                    "last_deployed_time_s": it.last_deployed_time_s, "deployments": deployments,
                }),
            )
        })
        .collect();
    let proxies: BTreeMap<_, _> =
        details.proxies.iter().map(|(node, it)| (node, &it.status)).collect();
    assert_eq!(
        json!({
            "proxies": proxies, "applications": applications,
            "target_capacity": details.target_capacity,
        }),
        python
    );

    let listed = client.list_serve_applications().unwrap();
    assert!(listed.total == 3 && !listed.truncated);
    assert_eq!(listed.results, details.applications.values().cloned().collect::<Vec<_>>());
    let one = client.get_serve_application("one").unwrap();
    assert_eq!(one.source, Some(ServeSource::Declarative));
    assert_eq!(one.deployed_app_config, Some(echo("one").args(json!({"n": 1}))));
    assert!(one.deployed_at().is_some());
    let three = &details.applications["three"];
    assert_eq!(
        (&three.source, &three.deployed_app_config),
        (&Some(ServeSource::Imperative), &None)
    );
    let deployment = &details.applications["two"].deployments["Idle"];
    assert_eq!(deployment.deployment_config.options["max_ongoing_requests"], 3);
}

#[test]
fn redeploying_the_current_state_changes_nothing() {
    let (serve, _turn) = serve();
    let client = serve.with(vec![echo("one"), idle("two")]);
    let details = client.get_serve_details().unwrap();
    let before = state_of(&client, "one");
    client.deploy_serve_applications(&details.config()).unwrap();
    client.wait_for_serve_application("one", PATIENCE).unwrap();
    let again = client.get_serve_details().unwrap();
    assert_eq!(state_of(&client, "one"), before);
    assert_eq!(again.config(), details.config());
    assert!(details.config().http_options.unwrap()["port"] == serve.port);
}

/// Ray shows `INFO` for the level 20, and omits unknown fields.
#[test]
fn a_configuration_that_ray_normalizes_can_be_redeployed() {
    let (serve, _turn) = serve();
    let client = serve.with(vec![idle("two")]);
    let options = json!({"num_cpus": 0.01, "unknown": 1});
    let application = echo("otherwise")
        .option("logging_config", json!({"log_level": 20}))
        .deployment(ServeDeploymentConfig::new("Echo").ray_actor_options(options));
    for _ in 0..2 {
        client.deploy_serve_application(&application).unwrap();
    }
    let shown = client.get_serve_application("otherwise").unwrap();
    let shown = serde_json::to_value(shown.deployed_app_config.unwrap()).unwrap();
    assert_eq!(shown["logging_config"]["log_level"], "INFO");
    client.delete_serve_application("otherwise").unwrap();
}

#[test]
fn deleting_one_application_does_not_change_the_others() {
    let (serve, _turn) = serve();
    // serde_json reads a different float, and this change would restart the replica.
    let exact = json!({"z": 1, "f": 0.907_303_832_202_868_9, "a": {"n": null}});
    let secret = json!({"env_vars": {"SECRET": "s3cret"}});
    serve.with(vec![]);
    run_imperative(&serve.head, "three");
    let client =
        serve.with(vec![echo("one").args(exact).runtime_env(secret), echo("two"), idle("four")]);
    let options = |client: &RayClient| {
        let details = client.get_serve_details().unwrap();
        (
            details.http_options,
            details.grpc_options,
            details.proxy_location,
            details.target_capacity,
        )
    };
    let before = (state_of(&client, "one"), state_of(&client, "three"), options(&client));
    let answer = serve.answer("/one");
    assert_eq!(answer["secret"], "s3cret");

    client.delete_serve_application("two").unwrap();
    assert!(is_gone(&client, "two"));
    eventually("its replicas end", || client.get_serve_application("two").is_err().then_some(()));
    client.wait_for_serve_application("one", PATIENCE).unwrap();
    assert_eq!((state_of(&client, "one"), state_of(&client, "three"), options(&client)), before);
    assert_eq!(serve.answer("/one"), answer, "the same process with the same secret");

    assert_eq!(client.delete_serve_application("two").unwrap_err().status(), 404);
    let error = client.delete_serve_application("three").unwrap_err();
    assert_eq!(error.status(), 400);
    assert!(error.to_string().contains("`three`: it was created by serve.run"), "{error}");

    client.delete_serve_application("four").unwrap();
    client.delete_serve_application("one").unwrap();
    assert!(client.get_serve_details().unwrap().is_running());
    assert_eq!(state_of(&client, "three"), before.1);

    client.deploy_serve_application(&echo("three")).unwrap();
    client.wait_for_serve_application("three", PATIENCE).unwrap();
    client.delete_serve_application("three").unwrap();
    assert!(is_gone(&client, "three"), "now that it is declarative");
}

#[test]
fn deploying_one_application_does_not_change_the_others() {
    let (serve, _turn) = serve();
    let client = serve.with(vec![echo("one")]);
    let before = state_of(&client, "one");
    client.deploy_serve_application(&echo("new").args(json!({"n": 1}))).unwrap();
    client.wait_for_serve_application("new", PATIENCE).unwrap();
    assert_eq!(serve.answer("/new")["args"], json!({"n": 1}));

    let again = echo("new").args(json!({"n": 2}));
    client.deploy_serve_application(&again).unwrap();
    let replaced = client.wait_for_serve_application("new", PATIENCE).unwrap();
    assert_eq!(replaced.deployed_app_config, Some(again));
    assert_eq!(serve.answer("/new")["args"], json!({"n": 2}));
    assert_eq!(state_of(&client, "one"), before);
}

#[test]
fn an_application_that_python_deletes_does_not_come_back() {
    let (serve, _turn) = serve();
    let client = serve.with(vec![echo("one"), idle("two")]);
    // Ray shows the configuration until the replica has ended.
    serve.head.python_json(
        "from ray import serve; import ray; \
         ray.init(log_to_driver=False, logging_level='ERROR'); serve.delete('one', _blocking=False); print(1)",
    );
    assert!(is_gone(&client, "one"));
    client.delete_serve_application("one").unwrap();
    client.delete_serve_application("two").unwrap();
    assert!(is_gone(&client, "one") && is_gone(&client, "two"));
}

#[test]
fn concurrent_changes_of_different_applications_all_succeed() {
    let (serve, _turn) = serve();
    let names: Vec<_> = (0..3).map(|n| format!("app-{n}")).collect();
    let rounds = std::env::var("ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
    let kept = serve.with(vec![echo("kept")]);
    let before = state_of(&kept, "kept");
    let all_at_once = |change: fn(&RayClient, &str) -> Result<(), ClientError>| {
        std::thread::scope(|scope| {
            // Separate clients, because clones would take turns.
            for name in &names {
                scope.spawn(|| change(&serve.head.client(), name).unwrap());
            }
        });
    };
    for round in 0..rounds {
        all_at_once(|client, name| client.deploy_serve_application(&idle(name)));
        for name in &names {
            assert!(!is_gone(&kept, name), "{name} was lost in round {round}");
        }
        for name in &names {
            kept.wait_for_serve_application(name, PATIENCE).unwrap();
        }
        all_at_once(|client, name| client.delete_serve_application(name));
        for name in &names {
            assert!(is_gone(&kept, name), "{name} came back in round {round}");
        }
    }
    kept.wait_for_serve_application("kept", PATIENCE).unwrap();
    assert_eq!(state_of(&kept, "kept"), before);
}

/// Ray accepts and shows NaN and infinities, which are not JSON.
#[test]
fn an_application_with_nan_keeps_its_replicas_if_others_change() {
    let (serve, _turn) = serve();
    let client = serve.with(vec![]);
    put_by_python(
        &serve.head,
        "{'applications': [{'name': 'nan', 'route_prefix': '/nan', 'import_path': 'serve_apps:echo',
          'args': {'n': 123456789012345678901234, 'list': [1, nan]},
          'deployments': [{'name': 'Echo', 'user_config': {'a': nan, 'b': inf, 'c': [-inf]}}]}]}",
    );
    let nan = client.wait_for_serve_application("nan", PATIENCE).unwrap();
    let options = &nan.deployed_app_config.unwrap().options;
    assert_eq!(options["args"]["list"], json!([1, "NaN"]));
    let config = &options["deployments"][0]["user_config"];
    assert_eq!(config, &json!({"a": "NaN", "b": "Infinity", "c": ["-Infinity"]}));
    assert_eq!(client.list_serve_applications().unwrap().warnings, Vec::<String>::new());

    // The configuration and process, as Ray's Python API shows them.
    let seen = || {
        let program = format!(
            "import json, urllib.request; \
             state = json.load(urllib.request.urlopen('{}/api/serve/applications/')); \
             app = state['applications']['nan']; \
             print(json.dumps([repr(app['deployed_app_config']), app['deployments']['Echo']['replicas']]))",
            serve.head.address
        );
        serve.head.python_json(&program)
    };
    let before = seen();
    assert!(before[0].as_str().unwrap().contains("{'a': nan, 'b': inf, 'c': [-inf]}"), "{before}");
    client.deploy_serve_application(&echo("other")).unwrap();
    client.wait_for_serve_application("other", PATIENCE).unwrap();
    client.delete_serve_application("other").unwrap();
    eventually("it ends", || client.get_serve_application("other").is_err().then_some(()));
    client.wait_for_serve_applications(PATIENCE).unwrap();
    assert_eq!(seen(), before);
    // This is not JSON either: the arguments contain NaN.
    let config = serve.text("/nan");
    assert!(config.contains("{'a': nan, 'b': inf, 'c': [-inf]}"), "{config}");
}

#[test]
fn an_application_with_a_slash_in_its_name_can_be_read_and_deleted() {
    let (serve, _turn) = serve();
    let client = serve.with(vec![echo("one")]);
    let before = state_of(&client, "one");
    let applications = "{'applications': [{'name': 'a/b', 'import_path': 'serve_apps:idle'},
         {'name': 'one', 'import_path': 'serve_apps:echo', 'route_prefix': '/one'}]}";
    put_by_python(&serve.head, applications);
    assert_eq!(client.get_serve_application("a/b").unwrap().name, "a/b");
    // Ray cannot use the name in the names of its log files.
    let error = client.wait_for_serve_application("a/b", PATIENCE).unwrap_err();
    assert!(error.status() == 400 && error.to_string().contains("FileNotFoundError"), "{error}");
    // The error is about this application: an unknown one is 404.
    assert_eq!(client.scale_serve_deployment("a/b", "Idle", 1).unwrap_err().status(), 412);
    assert_eq!(client.scale_serve_deployment("a/c", "Idle", 1).unwrap_err().status(), 404);
    client.delete_serve_application("a/b").unwrap();
    assert!(is_gone(&client, "a/b"));
    assert_eq!(state_of(&client, "one"), before);
}

#[test]
fn redacted_secrets_cannot_be_deployed() {
    let (serve, _turn) = serve();
    let secret = json!({"env_vars": {"SECRET": "s3cret"}});
    let client = serve.with(vec![echo("one").runtime_env(secret)]);
    let before = state_of(&client, "one");
    let program = format!(
        "import urllib.request; request = urllib.request.Request('{}/api/serve/applications/', \
         headers={{'User-Agent': 'Mozilla/5.0'}}); print(urllib.request.urlopen(request).read().decode())",
        serve.head.address
    );
    let shown: ServeDetails = serde_json::from_value(serve.head.python_json(&program)).unwrap();
    let config = shown.config();
    let env_vars = &config.applications[0].options["runtime_env"]["env_vars"];
    assert_eq!(env_vars, &json!({"SECRET": "<redacted>"}));
    for error in [
        client.deploy_serve_applications(&config).unwrap_err(),
        client.deploy_serve_application(&config.applications[0]).unwrap_err(),
    ] {
        assert_eq!(error.status(), 400, "{error}");
        assert!(error.to_string().contains("`SECRET` as <redacted>"), "{error}");
    }
    assert_eq!(state_of(&client, "one"), before);
    assert_eq!(serve.answer("/one")["secret"], "s3cret");
}

#[test]
fn a_file_from_serve_build_can_be_deployed() {
    let (serve, _turn) = serve();
    let file = std::fs::read_to_string(format!("{APPS}/serve_build.yaml")).unwrap();
    let built: ServeConfig = serde_norway::from_str(&file).unwrap();
    let client = serve.with(built.applications.clone());
    let running = client.wait_for_serve_applications(PATIENCE).unwrap();
    let configs: Vec<_> = running.into_iter().filter_map(|it| it.deployed_app_config).collect();
    assert_eq!(configs, built.applications);
    let config = "{'labels': ['yes', '1'], 'threshold': 0.5}";
    assert_eq!(serve.answer("/app1")["config"], config);
}

#[test]
fn waiting_reports_a_failed_application_and_times_out_on_a_slow_one() {
    let (serve, _turn) = serve();
    let client = serve.with(vec![]);
    client.deploy_serve_application(&app("bad", "none")).unwrap();
    let error = client.wait_for_serve_application("bad", Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.status(), 408);
    assert!(error.to_string().contains("it is DEPLOYING"), "{error}");
    let error = client.wait_for_serve_application("bad", PATIENCE).unwrap_err();
    let why = "wait for Serve application `bad`: AttributeError: module 'serve_apps' has no attribute 'none'";
    assert_eq!((error.status(), error.to_string()), (400, why.to_owned()));
    assert_eq!(client.wait_for_serve_application("bad", Duration::ZERO).unwrap_err().status(), 400);

    client.deploy_serve_application(&app("broken", "broken")).unwrap();
    let error = client.wait_for_serve_application("broken", PATIENCE).unwrap_err();
    let why = "wait for Serve application `broken`: deployment `Broken`: ValueError: no model at gs://models";
    assert_eq!((error.status(), error.to_string()), (400, why.to_owned()));
    client.delete_serve_application("bad").unwrap();
    let error = client.wait_for_serve_applications(PATIENCE).unwrap_err();
    let why =
        "wait for Serve applications: `broken`: DEPLOY_FAILED: deployment `Broken`: ValueError";
    assert!(error.status() == 400 && error.to_string().starts_with(why), "{error}");
}

/// The guide documents this behaviour.
#[test]
fn a_change_redeploys_only_failed_applications() {
    let (serve, _turn) = serve();
    let client = serve.with(vec![]);
    let failed = |name: &str| {
        eventually("it fails", || {
            let application = client.get_serve_application(name).unwrap();
            (application.status == ServeApplicationStatus::DeployFailed).then_some(application)
        })
    };
    let replicas = || -> Vec<_> {
        let broken = &client.get_serve_application("broken").unwrap().deployments["Broken"];
        let ended = broken.recent_dead_replicas.iter();
        let ended = ended.filter(|it| it.state == ServeReplicaState::Stopped);
        ended.map(|it| it.replica_id.clone()).collect()
    };
    client.deploy_serve_application(&app("none", "none")).unwrap();
    client.deploy_serve_application(&app("broken", "broken")).unwrap();
    failed("none");
    failed("broken");
    // Ray gives up after three attempts.
    let before = eventually("all have ended", || Some(replicas()).filter(|it| it.len() == 3));

    client.deploy_serve_application(&idle("other")).unwrap();
    assert_eq!(status_of(&client, "none"), Some(ServeApplicationStatus::Deploying));
    client.deploy_serve_application(&app("broken", "broken")).unwrap();
    failed("none");
    failed("broken");
    assert_eq!(replicas(), before, "the same configuration starts nothing again");

    let other = ServeDeploymentConfig::new("Broken").max_ongoing_requests(3);
    client.deploy_serve_application(&app("broken", "broken").deployment(other)).unwrap();
    eventually("another one is started", || (replicas() != before).then_some(()));
}

#[test]
fn a_deployment_waits_until_a_shutdown_ends() {
    let (serve, _turn) = serve();
    let client = serve.with(vec![app("slow", "slow").args(json!({"seconds": 3}))]);
    let first = client.get_serve_details().unwrap().controller_info.actor_id;
    std::thread::scope(|scope| {
        // Ray's dashboard does not respond to Serve requests while it handles a DELETE.
        scope.spawn(|| {
            serve.head.python_json(
                "from ray import serve; import ray; \
                 ray.init(log_to_driver=False, logging_level='ERROR'); serve.shutdown(); print(1)",
            )
        });
        eventually("it begins", || {
            (status_of(&client, "slow") == Some(ServeApplicationStatus::Deleting)).then_some(())
        });
        client.deploy_serve_application(&idle("new")).unwrap();
    });
    let second = client
        .wait_for_serve_application("new", PATIENCE)
        .map(|_| client.get_serve_details().unwrap().controller_info.actor_id);
    assert_ne!(second.unwrap(), first);
    assert!(is_gone(&client, "slow"));
    client.shutdown_serve().unwrap();
    assert!(!client.get_serve_details().unwrap().is_running());
}

#[test]
fn a_rejected_configuration_is_400_and_names_the_field() {
    let (serve, _turn) = serve();
    let client = serve.with(vec![]);
    let secret = json!({"env_vars": {"SECRET": "s3cret"}, "working_dir": "here"});
    for (config, why) in [
        (
            ServeApplicationConfig::new("a", "nothing"),
            "import_path: Value error, Got invalid import",
        ),
        (echo("a").option("port", 1), "Value error, Port 1 is set in the config for application"),
        (
            echo("a").runtime_env(secret),
            "runtime_env: Value error, runtime_envs in the Serve config",
        ),
        (
            echo("a").deployment(ServeDeploymentConfig::new("Echo").max_ongoing_requests(0)),
            "deployments.0.max_ongoing_requests: Input should be greater than 0",
        ),
        (echo("a").args(json!([])), "args of `a`: must be a JSON object"),
        (echo("a/b"), "application name `a/b`: must not have /"),
    ] {
        let error = client.deploy_serve_application(&config).unwrap_err();
        assert_eq!(error.status(), 400, "{error}");
        let error = error.to_string();
        assert!(error.contains(why) && !error.contains("s3cret"), "{error}");
    }
    let twice = ServeConfig { applications: vec![echo("a"), echo("a")], ..ServeConfig::default() };
    let error = client.deploy_serve_applications(&twice).unwrap_err();
    assert!(error.status() == 400 && error.to_string().contains("multiple configs"), "{error}");
    for error in [
        client.get_serve_application("").unwrap_err(),
        client.delete_serve_application("").unwrap_err(),
        client.scale_serve_deployment("a", "..", 1).unwrap_err(),
    ] {
        assert_eq!(error.status(), 400, "{error}");
    }
}

#[test]
fn a_scaled_deployment_keeps_its_replicas_if_others_are_deleted() {
    let (serve, _turn) = serve();
    let client = serve.with(vec![echo("one").external_scaler_enabled(true), idle("two")]);
    let replicas_run = |count: usize| {
        let application = client.get_serve_application("one").unwrap();
        let replicas = &application.deployments["Echo"].replicas;
        let run = replicas.iter().all(|it| it.state == ServeReplicaState::Running);
        (run && replicas.len() == count).then_some(())
    };
    client.scale_serve_deployment("one", "Echo", 2).unwrap();
    eventually("a second replica runs", || replicas_run(2));
    let before = state_of(&client, "one");
    client.delete_serve_application("two").unwrap();
    client.wait_for_serve_application("one", PATIENCE).unwrap();
    assert_eq!(state_of(&client, "one"), before);
    client.scale_serve_deployment("one", "Echo", 1).unwrap();
    eventually("the second replica ends", || replicas_run(1));

    client.deploy_serve_application(&idle("two")).unwrap();
    for (application, deployment, status) in
        [("one", "none", 404), ("none", "Echo", 404), ("two", "Idle", 412)]
    {
        let error = client.scale_serve_deployment(application, deployment, 1).unwrap_err();
        assert_eq!(error.status(), status, "{error}");
    }
}
