//! Steps on other members: leased by the leader, run where there is room, recorded once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use inquisitor_conductor::Conductor;
use inquisitor_engine::catalogue::Catalogue;
use inquisitor_engine::events::{Event, Observer};
use inquisitor_engine::journal::{Inquiry, Journal, Status, StepRecord, StepResult};
use inquisitor_engine::placement::{Assignment, Ear, Executor, Lost, Offer, Said, Worker};
use inquisitor_engine::{Drive, Engine, EngineConfig};
use inquisitor_findings::reading::Observation;
use inquisitor_manifest::plan::{Action, Plan, PlannedInstrument};
use inquisitor_runtime::{Runtime, RuntimeConfig};

use crate::harness::*;
use crate::support::*;

/// A worker of a member that keeps a transcript, or never gets done.
struct Double {
    member: Weak<Conductor>,
    hangs: AtomicBool,
    given: Mutex<Vec<Assignment>>,
    /// Attempts that were dropped before their end.
    dropped: AtomicUsize,
}

impl Double {
    fn given(&self) -> usize {
        self.given.lock().unwrap().len()
    }
}

struct Dropped<'a>(&'a Double, bool);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(usize::from(!self.1), Ordering::SeqCst);
    }
}

#[async_trait]
impl Executor for Double {
    async fn run(&self, assignment: &Assignment, ear: Ear) -> Result<StepRecord, Lost> {
        self.given.lock().unwrap().push(assignment.clone());
        let mut dropped = Dropped(self, false);
        ear(Said::Progress { fraction: 1.0, message: "done".into() });
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let member = self.member.upgrade().ok_or_else(|| Lost::new("gone"))?;
        let transcript = format!("what step {} saw", assignment.step).into_bytes();
        let transcript = member.put_blob(transcript).await.map_err(|error| Lost::new(error.to_string()))?;
        let mut record = StepRecord::without_call(StepResult::Inline(Observation::default()), 1, 2);
        record.transcript = Some(transcript);
        dropped.1 = true;
        Ok(record)
    }
}

impl Worker for Double {
    fn offer(&self) -> Result<Offer, String> {
        Ok(Offer { places: 100, busy: 0 })
    }
}

/// A cluster whose members all take steps; the workers by name.
async fn working() -> (Cluster, Vec<(String, Arc<Double>)>) {
    let cluster = Cluster::three().await;
    let workers = THREE.map(|name| {
        let member = &cluster.members[name];
        let double = Arc::new(Double {
            member: Arc::downgrade(member),
            hangs: AtomicBool::new(false),
            given: Mutex::default(),
            dropped: AtomicUsize::new(0),
        });
        let worker: Arc<dyn Worker> = double.clone();
        member.run_steps_with(&worker);
        (name.to_owned(), double)
    });
    (cluster, workers.into())
}

fn of<'w>(workers: &'w [(String, Arc<Double>)], name: &str) -> &'w Arc<Double> {
    &workers.iter().find(|(worker, _)| worker == name).unwrap().1
}

/// A plan of so many steps that observe at once.
fn observing(steps: usize, component: &str) -> Plan {
    let mut plan = plan("n", steps);
    plan.execution.max_workers = 8;
    let instrument = PlannedInstrument {
        plugin: "thermometer".into(),
        version: "1.0.0".into(),
        digest: component.into(),
        parameters: Default::default(),
        probe_interval: None,
    };
    plan.instruments.insert("probe".into(), instrument);
    for step in &mut plan.steps {
        step.after = Vec::new();
        step.action =
            Action::Observe { instrument: "probe".into(), parameters: Default::default(), counts: true };
    }
    plan
}

async fn submit_steps(cluster: &Cluster, inquiry: &str, steps: usize) {
    let member = cluster.members.values().next().unwrap();
    let manifest = member.put_blob(b"manifest".to_vec()).await.unwrap();
    let component = member.put_blob(b"component".to_vec()).await.unwrap();
    accepted(member, submit(inquiry, &manifest, observing(steps, &component))).await;
}

/// What a driver of a member is made of. It has one place itself, so that the others are asked first.
struct Driver {
    member: Arc<Conductor>,
    engine: Arc<Engine>,
    heard: Arc<Heard>,
    _cache: tempfile::TempDir,
}

#[derive(Default)]
struct Heard(Mutex<Vec<Event>>);

impl Observer for Heard {
    fn event(&self, _: &str, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Driver {
    fn of(cluster: &Cluster, name: &str) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let member = cluster.members[name].clone();
        let runtime = Runtime::new(RuntimeConfig::new(cache.path())).unwrap();
        let config = EngineConfig { max_calls: 1, ..EngineConfig::new(name) };
        let engine = Engine::new(member.clone(), runtime, Arc::new(Catalogue::default()), config);
        Self { member, engine: Arc::new(engine), heard: Arc::default(), _cache: cache }
    }

    /// Keeps the pool filled; ends when it is dropped.
    fn follow(&self) -> Follows {
        let (member, pool) = (self.member.clone(), self.engine.pool().clone());
        Follows(tokio::spawn(async move { member.follow_executors(&pool).await }))
    }

    async fn knows(&self, executors: usize) {
        until("executors", || async { self.engine.pool().names().len() == executors }).await;
    }

    fn drive(&self, inquiry: &str) -> tokio::task::JoinHandle<Inquiry> {
        let (engine, heard, inquiry) = (self.engine.clone(), self.heard.clone(), inquiry.to_owned());
        tokio::spawn(async move { engine.drive(&inquiry, heard, Drive::once()).await.unwrap() })
    }
}

struct Follows(tokio::task::JoinHandle<()>);

impl Drop for Follows {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Each step has one final record in the ledger; the executors of the last leases.
async fn recorded_once(cluster: &Cluster, inquiry: &str, steps: usize) -> BTreeSet<String> {
    let member = cluster.members.values().next().unwrap();
    let entries = member.inquiry_entries(inquiry, 0, 1000).await.unwrap();
    let mut recorded = Vec::new();
    for (_, entry) in entries {
        let entry: serde_json::Value = serde_json::from_slice(&entry).unwrap();
        if entry["kind"] == "step-recorded" && entry["body"]["final"] == true {
            recorded.push(entry["body"]["step"].as_u64().unwrap() as usize);
        }
    }
    recorded.sort_unstable();
    assert_eq!(recorded, (0..steps).collect::<Vec<_>>());
    let inquiry = member.inquiry(inquiry).await.unwrap().unwrap();
    inquiry.steps.values().map(|step| step.executor.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_run_on_the_members_that_take_them() {
    let (cluster, workers) = working().await;
    submit_steps(&cluster, "q", 8).await;
    let leader = cluster.leader().await;
    let driver = Driver::of(&cluster, &leader);
    let follows = driver.follow();
    driver.knows(2).await;
    let ended = soon("the inquiry ends", driver.drive("q")).await.unwrap();
    assert!(matches!(ended.status, Status::Concluded { .. }), "{:?}", ended.status);
    let others: BTreeSet<String> = cluster.others(&leader).into_iter().collect();
    assert_eq!(recorded_once(&cluster, "q", 8).await, others);
    for other in &others {
        assert_eq!(of(&workers, other).given(), 4, "{other}");
    }
    for step in ended.steps.values() {
        let transcript = step.record.as_ref().unwrap().transcript.as_ref().unwrap();
        for name in THREE {
            assert!(cluster.member(name).blob(transcript).await.unwrap().starts_with(b"what step"));
        }
    }
    let heard = driver.heard.0.lock().unwrap().clone();
    let said = heard.iter().filter(|event| matches!(event, Event::StepProgress { .. })).count();
    assert_eq!(said, 8);
    drop(follows);
    driver.knows(0).await;
    cluster.agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ran_on_a_member_that_is_gone_runs_elsewhere_and_is_recorded_once() {
    let (mut cluster, workers) = working().await;
    submit_steps(&cluster, "q", 8).await;
    let leader = cluster.leader().await;
    let others = cluster.others(&leader);
    let gone = of(&workers, &others[0]);
    gone.hangs.store(true, Ordering::SeqCst);
    let driver = Driver::of(&cluster, &leader);
    let _follows = driver.follow();
    driver.knows(2).await;
    let driven = driver.drive("q");
    until("steps that run", || async { gone.given() == 4 }).await;
    cluster.kill(&others[0]);
    let ended = soon("the inquiry ends", driven).await.unwrap();
    assert!(matches!(ended.status, Status::Concluded { .. }), "{:?}", ended.status);
    let executors = recorded_once(&cluster, "q", 8).await;
    assert!(executors.contains(&others[1]) && !executors.contains(&others[0]), "{executors:?}");
    let heard = driver.heard.0.lock().unwrap().clone();
    let lost = heard.iter().filter(|event| matches!(event, Event::StepLost { .. })).count();
    assert!(lost >= 4, "{heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_ends_what_it_runs_when_the_leader_lets_go_or_leads_no_more() {
    let (cluster, workers) = working().await;
    submit_steps(&cluster, "q", 2).await;
    for (_, worker) in &workers {
        worker.hangs.store(true, Ordering::SeqCst);
    }
    let leader = cluster.leader().await;
    let sum = |count: fn(&Double) -> usize| workers.iter().map(|(_, worker)| count(worker)).sum::<usize>();
    let dropped = |worker: &Double| worker.dropped.load(Ordering::SeqCst);
    let driver = Driver::of(&cluster, &leader);
    let _follows = driver.follow();
    driver.knows(2).await;

    let driven = driver.drive("q");
    until("steps that run", || async { sum(Double::given) == 2 }).await;
    driven.abort();
    until("their end", || async { sum(dropped) == 2 }).await;

    let driven = driver.drive("q");
    until("steps that run again", || async { sum(Double::given) == 4 }).await;
    let heir = cluster.others(&leader).remove(0);
    cluster.member(&leader).transfer_leader(Some(&heir)).await.unwrap();
    until("their end under another leader", || async { sum(dropped) >= 4 }).await;
    driven.abort();
    // Nobody takes steps of one that does not lead.
    driver.knows(0).await;
}
