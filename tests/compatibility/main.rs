//! Verifies that the client works with old and new versions of Ray. Tests only 2.9.3 unless
//! `RAY_CLIENT_RAYS` names others, for example `RAY_CLIENT_RAYS=2.9.3,2.40.0,2.49.2,2.60.0 cargo
//! test --test compatibility`.

#[path = "../support/mod.rs"]
mod support;

use std::io::Read;
use std::time::Duration;

use ray_client::jobs::JobType;
use ray_client::logs::LogFile;
use ray_client::serve::ServeApplicationStatus;
use ray_client::{
    AgentAccess, ClientError, Filter, JobStatus, JobSubmission, ListOptions, Protocol, RayClient,
    ServeApplicationConfig, StreamLimits, TailOptions,
};
use support::{Head, eventually};

const WORK: &str = "import ray, sys\nray.init()\n@ray.remote(num_cpus=0.01)\ndef work(n):\n    print(n)\n    return n\nprint(sum(ray.get([work.remote(n) for n in range(5)])))";
/// The first version of Ray that serves log files as plain bytes.
const PLAIN: (u32, u32) = (2, 45);

#[test]
fn every_version_of_ray_works() {
    let rays = std::env::var("RAY_CLIENT_RAYS").unwrap_or_else(|_| "2.9.3".to_owned());
    for ray in rays.split(',') {
        println!("Ray {ray}");
        let Some(head) = Head::start_old(ray) else { continue };
        let client = head.client();
        assert_eq!(client.version().unwrap().ray_version, ray);
        let mut parts = ray.split('.').map(|part| part.parse::<u32>().unwrap());
        let plain = (parts.next().unwrap(), parts.next().unwrap()) >= PLAIN;

        jobs_run_and_are_seen(&client);
        logs_arrive_byte_for_byte(&head, plain);
        what_the_websocket_cannot_carry_is_delivered_or_an_error(&head, plain);
        the_agent_gives_every_log_as_it_is_written(&head);
        a_running_job_is_followed_until_it_is_stopped(&client);
        what_does_not_exist_is_404(&client);
        nodes_and_tasks_are_listed(&client);
        log_files_are_read_and_tailed(&client);
        serve_deploys_and_deletes_one_application(&head, &client);
    }
}

fn tail(client: &RayClient, id: &str, protocol: Protocol) -> Result<Vec<u8>, ClientError> {
    let options = TailOptions::default()
        .protocol(protocol)
        .limits(StreamLimits::unlimited())
        .stream_timeout(Duration::from_secs(120));
    let mut log = Vec::new();
    match client.tail_job_logs_with(id, options)?.into_reader().read_to_end(&mut log) {
        Ok(_) => Ok(log),
        Err(error) => Err(*error.into_inner().unwrap().downcast().unwrap()),
    }
}

fn submit(client: &RayClient, program: &str) -> String {
    client.submit_job(&JobSubmission::new(format!("python -c '{program}'"))).unwrap()
}

fn jobs_run_and_are_seen(client: &RayClient) {
    let submission = JobSubmission::new("python -c 'raise SystemExit(3)'")
        .submission_id("acceptance")
        .metadata("team", "ml")
        .runtime_env(serde_json::json!({"env_vars": {"A": "b"}}))
        .entrypoint_num_cpus(0.5);
    assert_eq!(client.submit_job(&submission).unwrap(), "acceptance");
    let job = client.wait_for_job("acceptance", Duration::from_secs(120)).unwrap();
    assert_eq!((job.status, job.job_type), (JobStatus::Failed, JobType::Submission));
    assert_eq!(job.metadata.unwrap()["team"], "ml");
    assert!(job.driver_node_id.is_some() && job.end_time_ms > job.start_time_ms);
    assert_eq!(client.submit_job(&submission).unwrap_err().status(), 400);
    assert!(client.list_jobs().unwrap().iter().any(|job| job.id() == "acceptance"));
    assert_eq!(client.stop_job("acceptance").unwrap_err().status(), 400);
    client.delete_job("acceptance").unwrap();
    support::delete_for_good(client, "acceptance");
}

fn logs_arrive_byte_for_byte(head: &Head, plain: bool) {
    let client = head.client();
    let id = submit(&client, "for n in range(3000): print(n, \"x\" * (n % 50))");
    let auto = tail(&client, &id, Protocol::Auto).unwrap();
    let file = head.log_file(&id);
    assert!(file.len() > 80_000 && auto == file);
    assert_eq!(tail(&client, &id, Protocol::WebSocket).unwrap(), file);
    assert_eq!(client.list_job_logs(&id).unwrap().into_bytes(), file);
    match tail(&client, &id, Protocol::Stream) {
        Ok(log) => assert!(plain && log == file),
        Err(error) => {
            assert!(!plain && error.status() == 400, "{error}");
            assert!(error.to_string().contains("2.45"), "{error}");
        }
    }
}

fn what_the_websocket_cannot_carry_is_delivered_or_an_error(head: &Head, plain: bool) {
    let client = head.client();
    let long_line = submit(&client, "print(\"x\" * 6_000_000); print(\"end\")");
    client.wait_for_job(&long_line, Duration::from_secs(120)).unwrap();
    assert!(tail(&client, &long_line, Protocol::Auto).unwrap() == head.log_file(&long_line));
    // Ray 2.9.3 delivers the line, Ray 2.60.0 does not.
    match tail(&client, &long_line, Protocol::WebSocket) {
        Ok(log) => assert!(log == head.log_file(&long_line)),
        Err(error) => assert_eq!(error.status(), 500, "{error}"),
    }

    let bytes = submit(&client, r#"import sys; sys.stdout.buffer.write(b"a\xff\n")"#);
    client.wait_for_job(&bytes, Duration::from_secs(120)).unwrap();
    assert!(tail(&client, &bytes, Protocol::Auto).unwrap() == head.log_file(&bytes));
    let text = client.list_job_logs(&bytes).unwrap();
    assert_eq!(text, String::from_utf8_lossy(&head.log_file(&bytes)));
    let without_agent = RayClient::builder(&head.address).agent_access(AgentAccess::Never);
    match tail(&without_agent.build().unwrap(), &bytes, Protocol::Auto) {
        Ok(log) => assert!(plain && log == head.log_file(&bytes)),
        Err(error) => {
            assert!(!plain && error.status() == 500, "{error}");
            assert!(error.to_string().contains("not UTF-8"), "{error}");
        }
    }
}

/// The agent serves the same bytes on every version of Ray.
fn the_agent_gives_every_log_as_it_is_written(head: &Head) {
    let client = head.client();
    let silent = submit(&client, "");
    let bars = submit(
        &client,
        "import time\nfor n in range(20): print(n, end=\"\\r\", flush=True); time.sleep(0.05)\nprint(\"done\")",
    );
    let large = submit(&client, "for n in range(20_000): print(n, \"x\" * (n % 50))");
    for id in [&silent, &bars, &large] {
        // While the job runs, and again after it ends.
        for _ in 0..2 {
            let delivered = tail(&client, id, Protocol::Agent).unwrap();
            let file = head.log_file(id);
            assert!(delivered == file, "{} of {}", delivered.len(), file.len());
        }
    }
    let last = TailOptions::default().last_lines(2);
    let lines: Vec<_> =
        client.tail_job_logs_with(&bars, last).unwrap().map(|line| line.unwrap()).collect();
    assert_eq!(lines, ["19", "done"]);
    // More than one of Ray's blocks.
    let text = String::from_utf8(head.log_file(&large)).unwrap();
    let expected: String = text.split_inclusive('\n').skip(text.lines().count() - 9999).collect();
    assert!(client.list_last_job_log_lines(&large, 9999).unwrap() == expected);
}

fn a_running_job_is_followed_until_it_is_stopped(client: &RayClient) {
    let id = submit(client, "import time; print(1, flush=True); time.sleep(600)");
    let patient = TailOptions::default().stream_timeout(Duration::from_secs(120));
    let mut tail = client.tail_job_logs_with(&id, patient).unwrap();
    assert!(tail.any(|line| line.unwrap() == "1"));
    client.stop_job(&id).unwrap();
    assert!(tail.all(|line| line.is_ok()), "it ends well");
    assert_eq!(client.get_job(&id).unwrap().status, JobStatus::Stopped);
}

fn what_does_not_exist_is_404(client: &RayClient) {
    for error in [
        client.get_job("none-such").unwrap_err(),
        client.stop_job("none-such").unwrap_err(),
        client.delete_job("none-such").unwrap_err(),
        client.list_job_logs("none-such").unwrap_err(),
        tail(client, "none-such", Protocol::Auto).unwrap_err(),
        client.get_node("0".repeat(56)).unwrap_err(),
        client.get_task("0".repeat(48)).unwrap_err(),
        client.get_serve_application("none-such").unwrap_err(),
    ] {
        assert_eq!(error.status(), 404, "{error}");
    }
}

fn nodes_and_tasks_are_listed(client: &RayClient) {
    let nodes = client.list_nodes_with(&ListOptions::default().detail(true)).unwrap();
    assert!(!nodes.truncated && nodes.results.len() == 1);
    let node = client.get_node(&nodes.results[0].node_id).unwrap();
    assert!(node.is_alive());
    assert!((node.resources_total["CPU"] - 4.0).abs() < 1e-9);

    let id = submit(client, WORK);
    client.wait_for_job(&id, Duration::from_secs(120)).unwrap();
    let finished = ListOptions::default().filter("name", Filter::Eq, "work").detail(true);
    let tasks = eventually("Ray knows of the tasks", || {
        let tasks = client.list_tasks_with(&finished).unwrap();
        tasks
            .iter()
            .all(|task| task.state.as_str() == "FINISHED")
            .then_some(tasks)
            .filter(|tasks| tasks.results.len() == 5)
    });
    let task = client.get_task(&tasks.results[0].task_id).unwrap();
    assert_eq!((task.name.as_deref(), task.attempt_number), (Some("work"), 0));
    assert!(task.started_at() <= task.ended_at());
}

fn log_files_are_read_and_tailed(client: &RayClient) {
    let node = client.list_nodes().unwrap().results.remove(0).node_id;
    let files = client.list_log_files(&node, "raylet.*").unwrap();
    assert!(files.iter().any(|file| file.name == "raylet.out"));
    // Old Rays read it from the node's agent.
    assert!(
        client.read_log_file(&LogFile::of_node(&node, "raylet.out")).unwrap().contains("raylet")
    );
    let absent = client.read_log_file(&LogFile::of_node(&node, "raylet.none")).unwrap_err();
    assert_eq!(absent.status(), 404, "{absent}");
    let options = TailOptions::default().stream_timeout(Duration::from_secs(2));
    let file = LogFile::of_node(&node, "raylet.out");
    let items: Vec<_> = client.tail_log_file_with(&file, options).unwrap().collect();
    let (end, lines) = items.split_last().unwrap();
    assert_eq!(end.as_ref().unwrap_err().status(), 408, "{end:?}");
    assert!(lines.iter().flatten().any(|line| line.contains("raylet")));
}

fn serve_deploys_and_deletes_one_application(head: &Head, client: &RayClient) {
    let app = |name: &str| {
        ServeApplicationConfig::new(name, "ray.serve.tests.test_config_files.pizza:serve_dag")
            .route_prefix(format!("/{name}"))
    };
    // On a busy machine, an old Ray may lose its first proxy or controller, and then responds with
    // 500.
    eventually("Serve starts", || match client.deploy_serve_application(&app("one")) {
        Err(error) if error.status() == 500 => None,
        other => Some(other),
    })
    .unwrap();
    client.deploy_serve_application(&app("two")).unwrap();
    client.delete_serve_application("one").unwrap();
    eventually("the one is gone", || {
        let names = client.list_serve_applications().unwrap();
        (names.results.len() == 1 && names.results[0].name == "two").then_some(())
    });
    an_application_of_serve_run_survives_the_deployment_of_another(head, client, &app("three"));
    client.shutdown_serve().unwrap();
}

/// Ray 2.9.3 deletes every application that a deployment does not contain.
fn an_application_of_serve_run_survives_the_deployment_of_another(
    head: &Head,
    client: &RayClient,
    other: &ServeApplicationConfig,
) {
    head.python_json(
        "import ray\nfrom ray import serve\n\
         @serve.deployment(ray_actor_options={'num_cpus': 0.01})\ndef one(request):\n return 1\n\
         ray.init(log_to_driver=False, logging_level='ERROR')\n\
         serve.run(one.bind(), name='run', route_prefix='/run')\nprint(1)",
    );
    let reports_sources = client.get_serve_application("run").unwrap().source.is_some();
    match client.deploy_serve_application(other) {
        Ok(()) => assert!(reports_sources),
        Err(error) => {
            assert!(!reports_sources && error.status() == 400, "{error}");
            assert!(error.to_string().contains("`run`, which was created by serve.run"), "{error}");
        }
    }
    let error = client.delete_serve_application("run").unwrap_err();
    assert_eq!(error.status(), 400, "{error}");
    assert_eq!(
        client.get_serve_application("run").unwrap().status,
        ServeApplicationStatus::Running
    );
}
