//! Verifies that every list, summary and timeline matches Ray's own Python state API, and reports
//! if it is incomplete.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use ray_client::state::{ActorState, TaskState, TaskType};
use ray_client::{ClientError, Filter, JobSubmission, ListOptions, Listing, NodeUsage, RayClient};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client;
use crate::support::{Head, eventually};

/// The task attempts of `cluster_work.py`: 200, 3 twice, and 2 for each of 2 actors.
const ROWS: usize = 210;

/// A job that runs `cluster_work.py` while a test uses it.
struct Work {
    client: RayClient,
    submission_id: String,
    job_id: String,
}

impl Work {
    fn shared() -> Arc<Work> {
        static SHARED: Mutex<Weak<Work>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(work) = shared.upgrade() {
            return work;
        }
        let work = Arc::new(Work::start(Head::shared()));
        *shared = Arc::downgrade(&work);
        work
    }

    fn start(head: &Head) -> Work {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let submission_id = format!("work-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/cluster_work.py");
        let submission = JobSubmission::new(format!("python {program} {submission_id}"));
        let client = head.client();
        client.submit_job(&submission.submission_id(&submission_id)).unwrap();
        let ready = "ready ";
        let line = client
            .stream_tail_job_logs(&submission_id, Duration::from_secs(120))
            .unwrap()
            .map(|line| line.unwrap().to_string())
            .find(|line| line.starts_with(ready))
            .expect("the job is ready");
        let work = Work { client, submission_id, job_id: line[ready.len()..].to_owned() };
        // The driver reports the results of its tasks, and workers their measurements, about once a
        // second.
        eventually("all tasks are reported", || {
            let tasks = work.client.list_tasks_with(&work.rows()).unwrap().results;
            let over = tasks.iter().filter(|task| task.state.is_terminal()).count();
            (over == ROWS).then_some(())
        });
        work
    }

    fn rows(&self) -> ListOptions {
        ListOptions::default().filter("job_id", Filter::Eq, &self.job_id)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = self.client.stop_job(&self.submission_id);
    }
}

/// Evaluates a Python expression that can use Ray's state API.
fn python(expression: &str) -> Value {
    let head = Head::shared();
    head.python_json(&format!(
        "
import json
from ray.util.state import *
from ray.util.state.common import *
import ray.util.state as state
def rows(list_rows, *filters):
    found = list_rows(address='{}', filters=filters, detail=True, limit=10000, raise_on_missing_output=False)
    return [row.asdict() for row in found]
def equal(**columns):
    return [(column, '=', value) for column, value in columns.items()]
print(json.dumps({expression}))
",
        head.address
    ))
}

/// Returns `true` if our value equals Ray's. Numbers may be written differently, and values unknown
/// to Ray are null in ours.
fn same(ours: &Value, rays: &Value) -> bool {
    let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
    match (ours, rays) {
        (Value::Object(ours), Value::Object(rays)) => {
            let keys = ours.keys().chain(rays.keys());
            keys.into_iter().all(|key| {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned();
                same(&of(ours).unwrap_or_default(), &of(rays).unwrap_or_default())
            })
        }
        (Value::Array(ours), Value::Array(rays)) => {
            ours.len() == rays.len() && ours.iter().zip(rays).all(|(ours, rays)| same(ours, rays))
        }
        (Value::Number(_), _) => number(ours) == number(rays),
        (Value::Null, Value::Number(unknown)) => {
            [0.0, -1.0, 2_f64.powi(64)].contains(&unknown.as_f64().unwrap())
        }
        // A nested object that is empty in Ray has only nulls in ours.
        (Value::Null, Value::Array(rays)) => rays.is_empty(),
        (Value::Array(ours), Value::Null) => ours.is_empty(),
        _ => ours == rays,
    }
}

/// Checks that every field of every row matches Ray, that all fields are known, and that serialized
/// rows can be read again.
fn assert_same<T>(listing: &Listing<T>, rays: &Value)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let rays = rays.as_array().unwrap();
    assert_eq!(listing.results.len(), rays.len());
    assert!(!rays.is_empty() && !listing.truncated && listing.total >= rays.len());
    for (row, ray) in listing.results.iter().zip(rays) {
        let ours = serde_json::to_value(row).unwrap();
        for (field, value) in ray.as_object().unwrap() {
            assert!(same(&ours[field], value), "{field}: {} is not {value}", ours[field]);
        }
        assert!(same(&ours, ray), "there is more in {ours} than in {ray}");
        assert!(format!("{row:?}").ends_with("extra: {} }"), "not all is typed: {row:?}");
        assert_eq!(serde_json::from_value::<T>(ours).unwrap(), *row);
    }
}

/// Like `assert_same` for changing state: repeats until both match.
fn assert_same_in_the_end<T>(list: impl Fn() -> Listing<T>, expression: &str)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    eventually(expression, || {
        let before = list();
        let rays = python(expression);
        let listing = list();
        (before == listing).then(|| assert_same(&listing, &rays))
    });
}

#[test]
fn nodes_match_rays_own_client() {
    let client = client();
    let nodes = client.list_nodes_with(&ListOptions::default().detail(true)).unwrap();
    assert_same(&nodes, &python("rows(list_nodes)"));
    let node = &nodes.results[0];
    assert!(node.is_alive() && node.is_head_node == Some(true) && node.ended_at().is_none());
    assert_eq!(node.resources_total.get("CPU"), Some(&4.0));
    assert!(node.started_at().unwrap().elapsed().unwrap() < Duration::from_secs(24 * 60 * 60));
    assert_eq!(client.get_node(&node.node_id).unwrap(), *node);

    let brief = client.list_nodes().unwrap();
    assert_eq!(brief.results[0].node_id, node.node_id);
    assert!(brief.results[0].start_time_ms.is_none());
}

#[test]
fn tasks_match_rays_own_client() {
    let work = Work::shared();
    let list = || work.client.list_tasks_with(&work.rows().detail(true)).unwrap();
    assert_same_in_the_end(list, &format!("rows(list_tasks, *equal(job_id='{}'))", work.job_id));
    let tasks = list();
    assert_eq!(tasks.total, ROWS);

    let with_name = |name: &str, state: TaskState| {
        let tasks = tasks.results.iter();
        tasks
            .filter(|task| task.name.as_deref() == Some(name) && task.state == state)
            .collect::<Vec<_>>()
    };
    assert_eq!(with_name("first", TaskState::Finished).len(), 1);
    assert_eq!(with_name("work", TaskState::Finished).len(), 194);
    assert_eq!(with_name("flaky", TaskState::Finished).len(), 3);
    assert_eq!(with_name("flaky", TaskState::Failed).len(), 3);
    let failed = with_name("work", TaskState::Failed);
    assert_eq!(failed.len(), 5);
    for task in failed {
        assert_eq!(task.error_type.as_deref(), Some("TASK_EXECUTION_EXCEPTION"));
        assert!(task.error_message.as_ref().unwrap().contains("fails"));
        assert!(task.created_at().is_some() && task.created_at() <= task.ended_at());
    }
    let ran = tasks.results.iter().filter(|task| task.duration().is_some()).count();
    assert!(ran > 200, "{ran}");
}

#[test]
fn tasks_without_detail_match_tasks_with_detail() {
    let work = Work::shared();
    let brief = work.client.list_tasks_with(&work.rows()).unwrap();
    let detailed = work.client.list_tasks_with(&work.rows().detail(true)).unwrap();
    for (brief, detailed) in brief.into_iter().zip(detailed) {
        assert_eq!((&brief.task_id, &brief.state), (&detailed.task_id, &detailed.state));
        assert_eq!(brief.worker_pid, detailed.worker_pid);
        assert!(brief.events.is_none() && detailed.events.is_some_and(|events| events.len() > 2));
    }
}

#[test]
fn get_task_returns_the_latest_attempt() {
    let work = Work::shared();
    let options = work.rows().filter("name", Filter::Eq, "flaky");
    let id = work.client.list_tasks_with(&options).unwrap().results.remove(0).task_id;
    let task = work.client.get_task(&id).unwrap();
    assert_eq!((task.attempt_number, &task.state), (1, &TaskState::Finished));
    let attempts = work.client.list_task_attempts(&id).unwrap().results;
    assert_eq!(attempts.len(), 2);
    assert_eq!((attempts[0].attempt_number, &attempts[0].state), (0, &TaskState::Failed));
    assert_eq!(attempts[1], task);
    assert!(!attempts[0].error_message.as_ref().unwrap().is_empty());
}

#[test]
fn filters_combine_and_a_limit_truncates() {
    let work = Work::shared();
    let client = &work.client;
    let failed = work.rows().filter("state", Filter::Eq, "failed");
    assert_eq!(client.list_tasks_with(&failed).unwrap().results.len(), 8);
    let of_work = failed.clone().filter("func_or_class_name", Filter::Ne, "flaky");
    assert_eq!(client.list_tasks_with(&of_work).unwrap().results.len(), 5);
    let second = work.rows().filter("attempt_number", Filter::Eq, 1);
    assert_eq!(client.list_tasks_with(&second).unwrap().results.len(), 3);

    let cut = client.list_tasks_with(&failed.clone().limit(7)).unwrap();
    assert!(cut.truncated && cut.results.len() == 7 && cut.total == 8);
    let exact = client.list_tasks_with(&failed.limit(8)).unwrap();
    assert!(!exact.truncated && exact.results.len() == 8);

    let drivers = work.rows().exclude_driver(false).filter("type", Filter::Eq, "DRIVER_TASK");
    let drivers = client.list_tasks_with(&drivers).unwrap().results;
    assert_eq!(drivers.len(), 1);
    assert_eq!(drivers[0].task_type, Some(TaskType::Driver));
    assert_eq!(client.get_task(&drivers[0].task_id).unwrap().job_id, drivers[0].job_id);
}

#[test]
fn actors_match_rays_own_client() {
    let work = Work::shared();
    let list = || work.client.list_actors_with(&work.rows().detail(true)).unwrap();
    assert_same_in_the_end(list, &format!("rows(list_actors, *equal(job_id='{}'))", work.job_id));
    let actors = list();
    let (dead, alive): (Vec<_>, Vec<_>) =
        actors.results.iter().partition(|actor| actor.state == ActorState::Dead);
    assert_eq!((dead.len(), alive.len()), (1, 1));
    assert_eq!(alive[0].name.as_deref(), Some(&*work.submission_id));
    assert_eq!(alive[0].repr_name.as_deref(), Some("Speaker(loud)"));
    assert!(alive[0].death_message().is_none());
    assert!(dead[0].death_message().unwrap().contains("ray.kill"));
    assert_eq!(work.client.get_actor(&alive[0].actor_id).unwrap(), *alive[0]);
}

#[test]
fn placement_groups_match_rays_own_client() {
    let work = Work::shared();
    let options =
        ListOptions::default().detail(true).filter("creator_job_id", Filter::Eq, &work.job_id);
    let groups = work.client.list_placement_groups_with(&options).unwrap();
    let rays = format!("rows(list_placement_groups, *equal(creator_job_id='{}'))", work.job_id);
    assert_same(&groups, &python(&rays));
    let group = &groups.results[0];
    assert_eq!(group.name.as_deref(), Some(&*work.submission_id));
    let bundle = &group.bundles.as_ref().unwrap()[1];
    assert_eq!(bundle.unit_resources.get("CPU"), Some(&0.05));
    assert_eq!(work.client.get_placement_group(&group.placement_group_id).unwrap(), *group);
}

#[test]
fn workers_match_rays_own_client() {
    let work = Work::shared();
    let actors = work.client.list_actors_with(&work.rows()).unwrap().results;
    for actor in actors {
        let pid = actor.pid.unwrap();
        let options = ListOptions::default().detail(true).filter("pid", Filter::Eq, pid);
        let list = || work.client.list_workers_with(&options).unwrap();
        assert_same_in_the_end(list, &format!("rows(list_workers, *equal(pid={pid}))"));
        let worker = list().results.remove(0);
        assert_eq!(worker.is_alive, Some(actor.state == ActorState::Alive));
        assert_eq!(worker.exit_type.is_some(), actor.state == ActorState::Dead);
        assert!(worker.started_at().is_some());
        assert_eq!(worker.ended_at().is_some(), actor.state == ActorState::Dead);
        assert_eq!(work.client.get_worker(&worker.worker_id).unwrap(), worker);
    }
}

#[test]
fn filtered_workers_are_not_truncated() {
    let work = Work::shared();
    let alive = ListOptions::default().filter("is_alive", Filter::Eq, "True");
    let alive = work.client.list_workers_with(&alive).unwrap();
    assert!(alive.total > alive.results.len() && !alive.truncated);
    assert!(alive.into_iter().all(|worker| worker.is_alive == Some(true)));
}

fn driver_pid(work: &Work) -> String {
    let job = work.client.get_job(&work.submission_id).unwrap();
    job.driver_info.unwrap().pid.unwrap()
}

#[test]
fn objects_match_rays_own_client() {
    let work = Work::shared();
    let pid = driver_pid(&work);
    let options = ListOptions::default().detail(true).filter("pid", Filter::Eq, &pid);
    let list = || work.client.list_objects_with(&options).unwrap();
    assert_same_in_the_end(list, &format!("rows(list_objects, *equal(pid={pid}))"));
    let objects = list();
    assert!(objects.warnings[0].starts_with("Callsite is not being recorded"));
    let size = |object: &ray_client::state::Object| object.object_size.unwrap_or_default();
    assert!(objects.results.iter().any(|object| size(object) > 300_000));
    let one = ListOptions::default().filter("object_id", Filter::Eq, &objects.results[0].object_id);
    assert!(!work.client.list_objects_with(&one).unwrap().results.is_empty());
}

#[test]
fn runtime_environments_match_rays_own_client() {
    let work = Work::shared();
    let marker = &work.submission_id;
    let list = || {
        let mut envs =
            work.client.list_runtime_envs_with(&ListOptions::default().detail(true)).unwrap();
        envs.results.retain(|env| env.runtime_env["env_vars"]["MARKER"] == **marker);
        envs
    };
    let mine = format!(
        "[e for e in rows(list_runtime_envs) if e['runtime_env'].get('env_vars', {{}}).get('MARKER') == '{marker}']"
    );
    assert_same_in_the_end(list, &mine);
    assert_eq!(list().results[0].success, Some(true));
}

#[test]
fn jobs_of_the_state_api_match_rays_own_client() {
    let work = Work::shared();
    let options = ListOptions::default().filter("submission_id", Filter::Eq, &work.submission_id);
    let jobs = work.client.list_jobs_state(&options.clone().detail(true)).unwrap();
    let rays = format!("rows(list_jobs, *equal(submission_id='{}'))", work.submission_id);
    assert_same(&jobs, &python(&rays));
    assert_eq!(jobs.results[0], work.client.get_job(&work.submission_id).unwrap());
    let brief = work.client.list_jobs_state(&options.limit(1)).unwrap();
    assert_eq!(brief.results[0].id(), work.submission_id);
    assert!(brief.results[0].start_time_ms.is_none());
}

#[test]
fn cluster_events_match_rays_own_client() {
    let event = r#"{"event_id": "e-1", "severity": "WARNING", "source_type": "GCS", "message": "one", "timestamp": "1700000000", "custom_fields": {"a": 1}}"#;
    Head::shared().python_json(&format!(
        "
import json, urllib.request
body = json.dumps(['{event}']).encode()
request = urllib.request.Request('{}/report_events', body, {{'Content-Type': 'application/json'}})
print(urllib.request.urlopen(request).read().decode())
",
        Head::shared().address
    ));
    let options = ListOptions::default().detail(true).filter("event_id", Filter::Eq, "e-1");
    let events = client().list_cluster_events_with(&options).unwrap();
    assert_same(&events, &python("rows(list_cluster_events, *equal(event_id='e-1'))"));
    assert_eq!(events.results[0].custom_fields.as_ref().unwrap()["a"], 1);
    assert_eq!(events.results[0].severity.as_deref(), Some("WARNING"));
}

/// Ray's own Python client ignores the filters of a summary, so the test builds the summary from
/// its parts.
#[test]
fn summaries_match_rays_own_client() {
    let work = Work::shared();
    let pid = driver_pid(&work);
    let rays = format!(
        "[asdict(s) for s in (
    TaskSummaries.to_summary_by_func_name(tasks=rows(list_tasks, *equal(job_id='{job}'))),
    ActorSummaries.to_summary(actors=rows(list_actors, *equal(job_id='{job}'))),
    ObjectSummaries.to_summary(objects=rows(list_objects, *equal(pid={pid}))),
)]",
        job = work.job_id
    );
    let of_driver = ListOptions::default().filter("pid", Filter::Eq, &pid);
    let (tasks, objects) = eventually("both summaries are the same", || {
        let tasks = work.client.summarize_tasks_with(&work.rows()).unwrap();
        let actors = work.client.summarize_actors_with(&work.rows()).unwrap();
        let objects = work.client.summarize_objects_with(&of_driver).unwrap();
        let ours = serde_json::json!([tasks.summary, actors.summary, objects.summary]);
        same(&ours, &python(&rays)).then_some((tasks, objects))
    });
    assert_eq!(tasks.summary.groups["work"].state_counts["FAILED"], 5);
    assert_eq!((tasks.total, tasks.truncated, tasks.warnings.len()), (ROWS, false, 0));
    assert!(objects.warnings[0].starts_with("Callsite"));
    assert!(work.client.summarize_tasks().unwrap().total >= ROWS);
    assert!(work.client.summarize_actors().unwrap().summary.total_actors >= 2);
    assert!(!work.client.summarize_objects().unwrap().truncated);
}

#[test]
fn the_timeline_matches_rays_own() {
    let work = Work::shared();
    let rays = format!(
        "import urllib.request; print(urllib.request.urlopen('{}/api/v0/tasks/timeline?job_id={}').read().decode())",
        Head::shared().address,
        work.job_id
    );
    let timeline = eventually("both write the same", || {
        let mut bytes = Vec::new();
        let timeline = work.client.write_task_timeline(Some(&work.job_id), &mut bytes).unwrap();
        assert_eq!((timeline.bytes, timeline.truncated), (bytes.len() as u64, false));
        let ours: Value = serde_json::from_slice(&bytes).unwrap();
        (ours == Head::shared().python_json(&rays)).then(|| {
            assert!(ours.as_array().unwrap().len() > 100);
            timeline
        })
    });

    let mut all = Vec::new();
    assert!(work.client.write_task_timeline(None, &mut all).unwrap().bytes >= timeline.bytes);
    let mut nothing = Vec::new();
    work.client.write_task_timeline(Some("ffffff7f"), &mut nothing).unwrap();
    assert_eq!(nothing, b"[]");

    let mut full = [0; 1000];
    let error = work.client.write_task_timeline(None, &mut &mut full[..]).unwrap_err();
    assert_eq!(error.status(), 500, "{error}");
    assert!(error.to_string().contains("the writer failed"), "{error}");
}

fn assert_status<T: Debug>(result: Result<T, ClientError>, status: u16, words: &str) {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.status(), status, "{text}");
    assert!(text.contains(words) && text.len() <= 400 && !text.contains('\n'), "{text}");
}

#[test]
fn unknown_ids_are_404_and_invalid_ids_are_400_or_404() {
    let client = client();
    let zeros = |digits: usize| "0".repeat(digits);
    assert_status(client.get_node(zeros(56)), 404, "get node `0");
    assert_status(client.get_task(zeros(48)), 404, "no such task");
    assert_status(client.list_task_attempts(zeros(48)), 404, "no such task");
    assert_status(client.get_actor(zeros(32)), 404, "no such actor");
    assert_status(client.get_worker(zeros(56)), 404, "no such worker");
    assert_status(client.get_placement_group(zeros(36)), 404, "no such placement group");
    for (bad, words) in [
        ("zz", "Non-hexadecimal digit found"),
        ("abc", "Odd-length string"),
        ("ab", "ID string needs to have length"),
    ] {
        assert_status(client.get_node(bad), 400, words);
        assert_status(client.get_task(bad), 400, words);
        assert_status(client.get_actor(bad), 400, words);
        assert_status(client.get_worker(bad), 404, "no such worker");
        assert_status(client.get_placement_group(bad), 404, "no such placement group");
        assert_status(client.write_task_timeline(Some(bad), &mut Vec::new()), 400, words);
    }
    for bad in ["", "a/b", "a\n"] {
        assert_status(client.get_node(bad), 400, "node_id: must ");
        assert_status(client.get_task(bad), 400, "task_id: must ");
        assert_status(client.get_placement_group(bad), 400, "placement_group_id: must ");
    }
}

/// Returns the output of `ray status`, and the dashboard's response to a program of Ray's own
/// environment.
fn status_and_nodes(head: &Head) -> (String, Value) {
    let both = head.python_json(&format!(
        "
import json, os, subprocess, sys, urllib.request
ray = os.path.join(os.path.dirname(sys.executable), 'ray')
status = subprocess.check_output([ray, 'status', '--address', os.environ['RAY_ADDRESS']], text=True)
nodes = json.load(urllib.request.urlopen('{}/nodes?view=summary'))['data']['summary']
print(json.dumps([status, nodes, os.cpu_count()]))
",
        head.address
    ));
    (both[0].as_str().unwrap().to_owned(), both)
}

fn cluster_status_is_what_ray_status_shows(head: &Head) {
    let client = head.client();
    head.command("start-node");
    let sleep = || JobSubmission::new("sleep 600");
    client.submit_job(&sleep().entrypoint_num_cpus(1.5)).unwrap();
    client.submit_job(&sleep().entrypoint_num_cpus(100.0)).unwrap();
    client.submit_job(&sleep().entrypoint_resource("no_such", 2.0)).unwrap();
    let status = eventually("the cluster's status has all of it", || {
        let status = client.cluster_status().unwrap();
        let used = status.resources.get("CPU").map(|cpu| cpu.used);
        let is_whole = status.pending_demands.len() == 2 && status.active_nodes.len() == 2;
        (used == Some(1.5) && is_whole).then_some(status)
    });
    let (shown, both) = status_and_nodes(head);
    let cpu = status.resources["CPU"];
    let mut expected = vec![format!(" {}/{:.1} CPU", cpu.used, cpu.total)];
    for (node_type, count) in &status.active_nodes {
        expected.push(format!(" {count} {node_type}"));
    }
    expected.push(format!(" 0.0/{:.1} second", status.resources["second"].total));
    expected.push(" {'CPU': 100.0}: 1+ pending tasks/actors".to_owned());
    for line in &expected {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let lacking: Vec<_> = status.pending_demands.iter().flat_map(|d| status.lacking(d)).collect();
    assert!(lacking.contains(&"CPU") && lacking.contains(&"no_such"), "{status:?}");
    let stored: f64 = status.resources["object_store_memory"].total;
    assert!(
        shown.contains(&format!("/{:.2}MiB object_store_memory", stored / 1024.0 / 1024.0)),
        "{shown}"
    );
    assert_eq!(status.resources_by_node.len(), 2);
    assert!(status.updated_at().is_some() && status.autoscaler_error.is_none());

    let usage = eventually("both nodes have measured", || {
        let usage = client.list_node_usage().unwrap();
        let is_measured =
            |node: &&NodeUsage| node.memory_used.is_some() && node.object_store_total.is_some();
        let measured = usage.iter().filter(is_measured).count();
        (measured == 2).then_some(usage)
    });
    assert!(usage.warnings.is_empty(), "{usage:?}");
    for rays in both[1].as_array().unwrap() {
        let id = &rays["raylet"]["nodeId"];
        let ours = usage.iter().find(|node| *id == *node.node_id).unwrap();
        assert_eq!(ours.memory_total, rays["mem"][0].as_u64());
        assert_eq!(ours.cpus, both[2].as_u64());
        assert_eq!(ours.is_head_node, rays["raylet"]["isHeadNode"].as_bool());
        assert_eq!(ours.disks["/"].total, rays["disk"]["/"]["total"].as_u64().unwrap());
        assert!(ours.is_head_node.is_some() && ours.cpu_percent.is_some() && ours.gpus.is_empty());
        assert!(ours.network_received_per_second.is_some() && ours.disk_read_per_second.is_some());
        let named = status.resources_by_node[&ours.node_id]["object_store_memory"].total;
        assert_eq!(ours.object_store_total.unwrap().to_string(), named.to_string());
    }
}

#[test]
fn cluster_status_and_node_usage_match_ray() {
    cluster_status_is_what_ray_status_shows(&Head::start(&[]));
}

#[test]
fn cluster_status_and_node_usage_match_ray_2_9() {
    if let Some(head) = Head::start_old("2.9.3") {
        cluster_status_is_what_ray_status_shows(&head);
    }
}

#[test]
fn options_that_ray_rejects_are_400() {
    let work = Work::shared();
    let client = &work.client;
    let by = |column: &str, value: &str| ListOptions::default().filter(column, Filter::Eq, value);
    let unknown = "filter column mood is not supported";
    assert_status(client.list_nodes_with(&by("mood", "1")), 400, unknown);
    assert_status(client.list_tasks_with(&by("mood", "1")), 400, unknown);
    assert_status(client.list_actors_with(&by("mood", "1")), 400, unknown);
    assert_status(client.list_workers_with(&by("mood", "1")), 400, unknown);
    assert_status(client.list_objects_with(&by("mood", "1")), 400, unknown);
    assert_status(client.list_placement_groups_with(&by("mood", "1")), 400, unknown);
    assert_status(client.list_runtime_envs_with(&by("mood", "1")), 400, unknown);
    assert_status(client.list_jobs_state(&by("mood", "1")), 400, "jobs can be filtered by job_id");
    assert_status(client.summarize_tasks_with(&by("mood", "1")), 400, unknown);
    assert_status(client.summarize_actors_with(&by("mood", "1")), 400, unknown);
    assert_status(client.summarize_objects_with(&by("mood", "1")), 400, unknown);
    assert_status(client.summarize_tasks_with(&by("job_id", "zz")), 400, "Non-hexadecimal");
    assert_status(client.list_nodes_with(&by("state", "SLEEPING")), 400, "Invalid node state");
    assert_status(client.list_workers_with(&by("pid", "one")), 400, "Invalid filter");

    let limit = "limit: must be from 1 to 10000, is ";
    for rows in [0, 10_001] {
        assert_status(client.list_tasks_with(&ListOptions::default().limit(rows)), 400, limit);
    }
    let detail = ListOptions::default().detail(true);
    assert_status(client.summarize_tasks_with(&detail), 400, "no meaning for a summary");
}

/// Uses a separate head with a second node, whose data sources return at most 50 rows.
#[test]
fn rows_omitted_by_the_data_source_truncate_a_list() {
    let head = Head::start(&["--env", "RAY_MAX_LIMIT_FROM_DATA_SOURCE=50"]);
    let client = head.client();
    head.command("start-node");
    let id = client.list_nodes().unwrap().into_iter().find(|n| n.is_head_node == Some(false));
    let id = id.unwrap().node_id;
    head.command("kill-node");
    let node = eventually("the node is dead", || {
        client.get_node(&id).ok().filter(|node| !node.is_alive())
    });
    assert!(node.ended_at().is_some() && node.state_message.is_some());
    let dead = ListOptions::default().filter("state", Filter::Eq, "DEAD");
    let dead = client.list_nodes_with(&dead).unwrap();
    assert!(!dead.truncated && dead.results.len() == 1 && dead.total == 2);

    head.python_json(
        "
import ray; ray.init(log_to_driver=False)
@ray.remote(num_cpus=0.01)
def task(): pass
for n in range(60): ray.get(task.options(name='other' if n % 6 == 0 else 'task').remote())
print(1)",
    );
    let all = eventually("all tasks are reported", || {
        Some(client.list_tasks().unwrap()).filter(|tasks| tasks.total == 60)
    });
    assert!(all.truncated && all.results.len() == 50);
    let others = ListOptions::default().filter("name", Filter::Eq, "other");
    let others = client.list_tasks_with(&others).unwrap();
    assert!(!others.truncated && others.results.len() == 10 && others.total == 10);
    // Ray applies this filter after the truncation, so the list may lack matching rows.
    let by_function = ListOptions::default().filter("func_or_class_name", Filter::Eq, "none");
    let by_function = client.list_tasks_with(&by_function).unwrap();
    assert!(by_function.truncated && by_function.results.is_empty());
    let summary = client.summarize_tasks().unwrap();
    assert!(summary.truncated && summary.total == 60 && summary.summary.total_tasks == 50);
    assert!(client.write_task_timeline(None, &mut Vec::new()).unwrap().truncated);
}
