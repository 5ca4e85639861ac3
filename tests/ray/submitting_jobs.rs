//! Verifies that jobs run as submitted, that all calls report them alike, and which jobs are
//! rejected.

use std::time::Duration;

use ray_client::jobs::JobType;
use ray_client::{JobStatus, JobSubmission, ListOptions, Protocol};

use crate::support::{self, Head, eventually};
use crate::{client, finish, patient, python, submit};

#[test]
fn a_job_runs_with_everything_that_was_submitted() {
    let client = client();
    let submission = python("import os; print(os.environ[\"GREETING\"])")
        .submission_id("with-everything")
        .metadata("team", "ml")
        .runtime_env(serde_json::json!({"env_vars": {"GREETING": "hello"}}))
        .entrypoint_num_cpus(0.5)
        .entrypoint_num_gpus(0.0)
        .entrypoint_memory(1024 * 1024)
        .entrypoint_resource("node:127.0.0.2", 0.001);
    assert_eq!(client.submit_job(&submission).unwrap(), "with-everything");
    let job = finish(&client, "with-everything");

    assert_eq!(job.status, JobStatus::Succeeded);
    assert_eq!((job.id(), &job.job_type), ("with-everything", &JobType::Submission));
    assert_eq!(job.metadata.as_ref().unwrap()["team"], "ml");
    assert_eq!(job.runtime_env.as_ref().unwrap()["env_vars"]["GREETING"], "hello");
    assert_eq!(job.driver_exit_code, Some(0));
    assert!(job.ended_at() > job.started_at() && job.duration().is_some());
    assert!(client.list_job_logs("with-everything").unwrap().ends_with("\nhello\n"));
    let listed = client.list_jobs().unwrap();
    assert!(!listed.truncated && listed.total == listed.results.len());
    assert!(listed.into_iter().any(|listed| listed == job));
}

#[test]
fn a_job_without_a_matching_node_label_stays_pending() {
    let client = client();
    let submission = python("").entrypoint_label_selector("kind", "none-such");
    let id = client.submit_job(&submission).unwrap();
    let error = client.wait_for_job(&id, Duration::from_secs(2)).unwrap_err();
    assert_eq!(error.status(), 408);
    assert!(error.to_string().contains("PENDING"), "{error}");
    assert_eq!(client.list_job_logs(&id).unwrap(), "");
}

#[test]
fn a_submission_id_is_generated_if_none_is_set() {
    let client = client();
    let id = submit(&client, "");
    assert!(id.starts_with("raysubmit_") && id.len() == 26, "{id}");
    assert_eq!(finish(&client, &id).id(), id);
}

#[test]
fn a_used_submission_id_is_400() {
    let client = client();
    let submission = python("").submission_id("twice");
    client.submit_job(&submission).unwrap();
    let error = client.submit_job(&submission).unwrap_err();
    assert_eq!(error.status(), 400);
    assert_eq!(
        error.to_string(),
        "submit job `twice`: ValueError: Job with submission_id twice already exists. Please use a different submission_id."
    );
}

#[test]
fn ids_with_unusual_characters_work() {
    let client = client();
    for id in ["x.y:z", "täst", "a?b#c", "50%& x=1"] {
        client.submit_job(&python("print(7)").submission_id(id)).unwrap();
        let tail = client.tail_job_logs_with(id, patient(Protocol::Auto)).unwrap();
        assert_eq!(tail.last().unwrap().unwrap(), "7", "{id}");
        assert_eq!(finish(&client, id).submission_id.as_deref(), Some(id));
        assert!(client.list_job_logs(id).unwrap().ends_with("\n7\n"));
        if id.contains('?') {
            continue;
        }
        assert_eq!(client.stop_job(id).unwrap_err().status(), 400);
        client.delete_job(id).unwrap();
        support::delete_for_good(&client, id);
    }
}

/// Ray's head sends an id to the job's node without encoding it. The node reads these ids as
/// `build`.
#[test]
fn an_ambiguous_id_stops_and_deletes_nothing() {
    let client = client();
    let sleep = || python("import time; time.sleep(600)");
    client.submit_job(&sleep().submission_id("build")).unwrap();
    for id in ["build#2", "build?2", "buil%64", "%62uild"] {
        client.submit_job(&sleep().submission_id(id)).unwrap();
        assert_eq!(client.get_job(id).unwrap().id(), id);
        for error in [client.stop_job(id).unwrap_err(), client.delete_job(id).unwrap_err()] {
            assert_eq!(error.status(), 400, "{error}");
            assert!(error.to_string().contains("Ray would act on another job"), "{error}");
        }
        assert!(!client.get_job(id).unwrap().status.is_terminal());
    }
    assert!(!client.get_job("build").unwrap().status.is_terminal());
    for id in ["build;2", "build&2", "build+2", "build 2", "build%", "build%zz", "büild", "build.."]
    {
        client.submit_job(&sleep().submission_id(id)).unwrap();
        client.stop_job(id).unwrap();
        assert_eq!(finish(&client, id).status, JobStatus::Stopped, "{id}");
    }
    assert!(!client.get_job("build").unwrap().status.is_terminal());
    client.stop_job("build").unwrap();
    assert_eq!(finish(&client, "build").status, JobStatus::Stopped);
}

#[test]
fn the_reason_of_a_failed_job_is_one_line() {
    let client = client();
    let nowhere = serde_json::json!({"working_dir": "gcs://_ray_pkg_0000000000000000.zip"});
    for (submission, start) in [
        (JobSubmission::new("exit 3"), "Job entrypoint command failed with exit code 3"),
        (
            python("raise ValueError(1)"),
            "Job entrypoint command failed with exit code 1: ValueError: 1",
        ),
        (
            JobSubmission::new("no-such-command"),
            "Job entrypoint command failed with exit code 127: /bin/sh: 1: no-such-command: not found",
        ),
        (JobSubmission::new("kill -9 $$"), "Job entrypoint command failed with exit code -9"),
        (
            python("").runtime_env(nowhere),
            "runtime_env setup failed: OSError: Failed to download runtime_env file package gcs://",
        ),
    ] {
        let id = client.submit_job(&submission).unwrap();
        let reason = finish(&client, &id).reason().unwrap();
        assert!(reason.starts_with(start), "{reason}");
        assert!(reason.chars().count() <= 300 && !reason.contains('\n'), "{reason}");
    }
    submit_as_others_do("why-invalid", "{'env_vars': {'A': 5}}");
    let reason = finish(&client, "why-invalid").reason().unwrap();
    let start =
        "Failed to start supervisor actor why-invalid: 'runtime_env['env_vars'] must be of type";
    assert!(reason.starts_with(start), "{reason}");
    let id = submit(&client, "import time; time.sleep(600)");
    client.stop_job(&id).unwrap();
    assert_eq!(finish(&client, &id).reason().unwrap(), "Job was intentionally stopped.");
    assert_eq!(finish(&client, &submit(&client, "")).reason(), None);
}

/// Submits a job as a program that does not validate its runtime environment, a Python value.
fn submit_as_others_do(id: &str, runtime_env: &str) {
    let address = &Head::shared().address;
    let program = format!(
        "
import json, urllib.request
body = {{'entrypoint': 'true', 'submission_id': '{id}', 'runtime_env': {runtime_env}}}
data, headers = json.dumps(body).encode(), {{'content-type': 'application/json'}}
request = urllib.request.Request('{address}/api/jobs/', data=data, headers=headers)
print(json.dumps(json.load(urllib.request.urlopen(request))['submission_id']))
"
    );
    assert_eq!(Head::shared().python_json(&program), id);
}

/// Python reads and writes NaN and infinities, which JSON does not have.
#[test]
fn nan_in_a_runtime_environment_does_not_break_a_list() {
    let client = client();
    submit_as_others_do("not-a-number", "{'zz': [float('nan'), -float('inf')]}");
    finish(&client, "not-a-number");
    let jobs = client.list_jobs().unwrap();
    let job = jobs.iter().find(|job| job.id() == "not-a-number").unwrap();
    let env = job.runtime_env.as_ref().unwrap();
    assert_eq!(env["zz"], serde_json::json!(["NaN", "-Infinity"]));
    let detail = ListOptions::default().detail(true);
    let listed = client.list_jobs_state(&detail).unwrap();
    assert!(listed.warnings.is_empty() && listed.iter().any(|job| job.id() == "not-a-number"));
    support::delete_for_good(&client, "not-a-number");
}

#[test]
fn an_id_that_ray_cannot_route_is_rejected() {
    let error = client().submit_job(&python("").submission_id("a{b}")).unwrap_err();
    assert_eq!(error.to_string(), "job id: must not have { or }, which Ray cannot route");
}

#[test]
fn an_unknown_job_is_404_in_every_call_and_protocol() {
    let client = client();
    let id = "none-such";
    for error in [
        client.get_job(id).unwrap_err(),
        client.stop_job(id).unwrap_err(),
        client.delete_job(id).unwrap_err(),
        client.list_job_logs(id).unwrap_err(),
        client.wait_for_job(id, Duration::from_secs(1)).unwrap_err(),
    ] {
        assert_eq!(error.status(), 404, "{error}");
        assert!(error.to_string().contains("`none-such`: Job none-such does not exist"), "{error}");
    }
    for protocol in [Protocol::Auto, Protocol::Stream, Protocol::WebSocket] {
        let mut tail = client.tail_job_logs_with(id, patient(protocol)).unwrap();
        assert_eq!(tail.next().unwrap().unwrap_err().status(), 404);
        assert!(tail.next().is_none());
    }
}

#[test]
fn a_running_job_can_be_stopped_once() {
    let client = client();
    let id = submit(&client, "import time; print(1, flush=True); time.sleep(600)");
    let mut tail = client.tail_job_logs_with(&id, patient(Protocol::Auto)).unwrap();
    assert!(tail.any(|line| line.unwrap() == "1"));

    let error = client.delete_job(&id).unwrap_err();
    assert_eq!((error.status(), error.job_status()), (400, Some(&JobStatus::Running)));
    assert!(error.to_string().contains("non-terminal state RUNNING"), "{error}");

    let outcome = client.stop_job(&id).unwrap();
    assert_eq!(outcome.job_id, id);
    assert_eq!(finish(&client, &id).status, JobStatus::Stopped);
    assert!(tail.next().is_none(), "the tail of a stopped job ends");
    let error = client.stop_job(&id).unwrap_err();
    assert_eq!(
        (error.status(), error.to_string()),
        (400, format!("stop job `{id}`: it is already STOPPED"))
    );
    client.delete_job(&id).unwrap();
    support::delete_for_good(&client, &id);
}

#[test]
fn many_jobs_can_be_waited_for_at_once() {
    let client = client();
    let mut ids: Vec<String> =
        ["", "raise SystemExit(1)", ""].iter().map(|program| submit(&client, program)).collect();
    let mut ended: Vec<String> = client
        .wait_for_jobs(&ids, Duration::from_secs(120))
        .unwrap()
        .map(|job| job.unwrap())
        .inspect(|job| assert!(job.status.is_terminal()))
        .map(|job| job.id().to_owned())
        .collect();
    ids.sort();
    ended.sort();
    assert_eq!(ended, ids);
}

#[test]
fn a_failed_job_reports_its_exit_code() {
    let client = client();
    let id = submit(&client, "raise SystemExit(3)");
    let job = finish(&client, &id);
    assert_eq!((job.status, job.driver_exit_code), (JobStatus::Failed, Some(3)));
    assert!(job.message.unwrap().contains("exit code 3"));
}

#[test]
fn a_job_whose_environment_fails_has_an_empty_log() {
    let client = client();
    let nowhere = serde_json::json!({"working_dir": "gcs://_ray_pkg_0000000000000000.zip"});
    let id = client.submit_job(&python("").runtime_env(nowhere)).unwrap();
    for protocol in [Protocol::Stream, Protocol::WebSocket] {
        assert!(client.tail_job_logs_with(&id, patient(protocol)).unwrap().next().is_none());
    }
    let job = finish(&client, &id);
    assert_eq!(job.status, JobStatus::Failed);
    assert_eq!(job.error_type.as_deref(), Some("RUNTIME_ENV_SETUP_FAILURE"));
    assert_eq!(client.list_job_logs(&id).unwrap(), "");
}

#[test]
fn a_job_started_outside_the_job_api_is_listed_without_a_log() {
    let client = client();
    let program = "import json, ray; ray.init(log_to_driver=False); print(json.dumps(ray.get_runtime_context().get_job_id()))";
    let id = Head::shared().python_json(program).as_str().unwrap().to_owned();
    let job = eventually("the driver is listed", || client.get_job(&id).ok());
    assert_eq!((&job.job_type, job.id()), (&JobType::Driver, &*id));
    assert!(job.driver_info.is_some() && job.submission_id.is_none());
    for error in [
        client.list_job_logs(&id).unwrap_err(),
        client.delete_job(&id).unwrap_err(),
        client.tail_job_logs(&id).unwrap().next().unwrap().unwrap_err(),
        client
            .websocket_tail_job_logs(&id, Duration::from_secs(5))
            .unwrap()
            .next()
            .unwrap()
            .unwrap_err(),
    ] {
        assert_eq!(error.status(), 400, "{error}");
    }
    assert_eq!(client.stop_job(&id).unwrap_err().status(), 400);
}

#[test]
fn version_returns_the_version_of_the_cluster() {
    assert_eq!(client().version().unwrap().ray_version, "2.60.0");
}

/// Ray's head sends this id to the job's node without encoding it, and finds no log.
#[test]
fn an_id_that_the_websocket_does_not_support_is_an_error() {
    let client = client();
    let id = client.submit_job(&python("print(7)").submission_id("web?socket#id")).unwrap();
    finish(&client, &id);
    let options = patient(Protocol::WebSocket).reconnects(0);
    let error = client.tail_job_logs_with(&id, options).unwrap_err();
    assert_eq!(error.status(), 400, "{error}");
    let tail = client.tail_job_logs_with(&id, patient(Protocol::Auto)).unwrap();
    assert_eq!(tail.last().unwrap().unwrap(), "7", "by the other ways it arrives");
}
