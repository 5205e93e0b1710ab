//! A driver whose executors do what a test wants.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use inquisitor_findings::reading::Observation;
use inquisitor_runtime::outcome::Failure;
use tokio::sync::Notify;

use super::*;
use crate::Engine;
use crate::drive::Drive;
use crate::events::{Observer, Silent};
use crate::journal::{Abort, Applied, Command, Inquiry, Journal as _, Refusal, Status, StepResult};
use crate::testing::{EPOCH, Heard, Memory, engine, plan};

/// What an executor makes of an attempt.
enum Does {
    Record(StepResult),
    Lose,
    LoseAfter(Duration),
    Hang,
}

struct Remote {
    does: Does,
    /// What it was given.
    given: Mutex<Vec<Assignment>>,
    begun: Notify,
    /// Attempts that were dropped before their end.
    dropped: AtomicUsize,
}

impl Remote {
    fn that(does: Does) -> Arc<Self> {
        Arc::new(Self { does, given: Mutex::default(), begun: Notify::new(), dropped: AtomicUsize::new(0) })
    }

    fn calls(&self) -> usize {
        self.given.lock().unwrap().len()
    }
}

struct Dropped<'a>(&'a AtomicUsize, bool);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(usize::from(!self.1), Ordering::SeqCst);
    }
}

#[async_trait]
impl Executor for Remote {
    async fn run(&self, assignment: &Assignment, ear: Ear) -> Result<StepRecord, Lost> {
        self.given.lock().unwrap().push(assignment.clone());
        self.begun.notify_one();
        let mut dropped = Dropped(&self.dropped, false);
        ear(Said::Progress { fraction: 0.5, message: "half".into() });
        match &self.does {
            Does::LoseAfter(time) => tokio::time::sleep(*time).await,
            Does::Hang => std::future::pending().await,
            Does::Record(_) | Does::Lose => {}
        }
        dropped.1 = true;
        match &self.does {
            Does::Record(result) => Ok(StepRecord::without_call(result.clone(), EPOCH, EPOCH)),
            _ => Err(Lost::new("it went away")),
        }
    }
}

fn well() -> Does {
    Does::Record(StepResult::Inline(Observation::default()))
}

fn offer(engine: &Engine, name: &str, executor: &Arc<impl Executor + 'static>, places: u32) {
    engine.pool().offer(name, executor.clone(), Offer { places, busy: 0 });
}

async fn driven(engine: &Engine, observer: Arc<dyn Observer>) -> Inquiry {
    engine.drive("it", observer, Drive::once()).await.unwrap()
}

/// Executor and number of the last attempt at a step.
fn last(inquiry: &Inquiry, step: usize) -> (&str, u32) {
    let state = &inquiry.steps[&step];
    assert!(state.record.is_some(), "step {step} has its record");
    (&state.executor, state.token.attempt)
}

fn records(journal: &Memory, step: usize) -> usize {
    journal.count(&format!("record it {step} "))
}

/// The self-test, and what comes after the observation.
const FIRST: usize = 0;
const ANALYSIS: usize = 2;

#[tokio::test(start_paused = true)]
async fn what_is_lost_with_an_executor_goes_to_another_and_is_recorded_once() {
    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    journal.submit("it", "default", plan("", "execution: { retry_policy: { max_attempts: 1 } }"));
    let (b, c) = (Remote::that(Does::Lose), Remote::that(well()));
    offer(&engine, "b", &b, 300);
    offer(&engine, "c", &c, 200);
    let heard = Arc::new(Heard::default());
    let ended = driven(&engine, heard.clone()).await;
    assert!(matches!(ended.status, Status::Concluded { .. }), "{:?}", ended.status);
    assert_eq!(last(&ended, FIRST), ("c", 2));
    assert!(ended.steps[&FIRST].earlier.is_empty(), "a lost attempt is no failed one");
    assert_eq!((records(&journal, FIRST), b.calls()), (1, 1));
    assert_eq!(last(&ended, ANALYSIS), ("test", 1), "what calls no instrument stays with the driver");
    let heard = heard.0.lock().unwrap();
    let lost: Vec<&Event> = heard.iter().filter(|event| matches!(event, Event::StepLost { .. })).collect();
    let [Event::StepLost { executor, attempt: 1, reason, .. }] = lost.as_slice() else { panic!("{lost:?}") };
    assert_eq!((executor.as_str(), reason.as_str()), ("b", "it went away"));
    assert!(heard.iter().any(|event| matches!(event, Event::StepProgress { fraction: 0.5, .. })));
    let token = c.given.lock().unwrap()[0].token;
    assert_eq!(token.attempt, 2);
}

#[tokio::test(start_paused = true)]
async fn lost_attempts_are_none_of_those_that_a_manifest_allows() {
    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    let more = "execution: { retry_policy: { max_attempts: 2, backoff_factor: 2.0 } }";
    journal.submit("it", "default", plan("", more));
    let failure = Failure::Unavailable { message: "busy".into(), retry_after: None };
    let d = Remote::that(Does::Record(StepResult::Failed(failure)));
    offer(&engine, "b", &Remote::that(Does::Lose), 400);
    offer(&engine, "c", &Remote::that(Does::Lose), 300);
    offer(&engine, "d", &d, 200);
    let ended = driven(&engine, Arc::new(Silent)).await;
    assert_eq!(last(&ended, FIRST), ("d", 4));
    assert_eq!(ended.steps[&FIRST].earlier.len(), 1, "two attempts that failed, beside two that were lost");
    assert_eq!(records(&journal, FIRST), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_too_often_runs_here() {
    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    journal.submit("it", "default", plan("", "execution: { retry_policy: { max_attempts: 1 } }"));
    let remotes: Vec<Arc<Remote>> = (0..4).map(|_| Remote::that(Does::Lose)).collect();
    for (remote, name) in remotes.iter().zip(["b", "c", "d", "e"]) {
        offer(&engine, name, remote, 200);
    }
    let ended = driven(&engine, Arc::new(Silent)).await;
    assert_eq!(last(&ended, FIRST), ("test", 4));
    let calls: Vec<usize> = remotes.iter().map(|remote| remote.calls()).collect();
    // The fourth had its turn with the next step.
    assert_eq!(calls, [1, 1, 1, 1]);
    assert_eq!(last(&ended, 1).0, "test");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_elsewhere_ends_when_the_inquiry_does() {
    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    journal.submit("it", "default", plan("", ""));
    let b = Remote::that(Does::Hang);
    offer(&engine, "b", &b, 200);
    let drive = Drive::once();
    let cancel = async {
        b.begun.notified().await;
        drive.end.cancel();
    };
    let (ended, ()) = tokio::join!(engine.drive("it", Arc::new(Silent), drive.clone()), cancel);
    assert!(matches!(ended.unwrap().status, Status::Aborted { reason: Abort::Cancelled, .. }));
    assert_eq!((b.calls(), b.dropped.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_comes_after_the_lease_was_given_to_another_is_refused() {
    /// Has what the lost executor would still bring arrive while it is at work.
    struct Late {
        journal: Arc<Memory>,
        lost: Arc<Remote>,
    }

    #[async_trait]
    impl Executor for Late {
        async fn run(&self, assignment: &Assignment, _: Ear) -> Result<StepRecord, Lost> {
            let nothing = StepResult::Inline(Observation::default());
            let record = StepRecord::without_call(nothing, EPOCH, EPOCH);
            let lost = self.lost.given.lock().unwrap()[0].clone();
            let late = Command::Record {
                inquiry: lost.inquiry,
                step: lost.step,
                round: lost.round,
                token: lost.token,
                record: Box::new(record.clone()),
                is_final: true,
            };
            if lost.step == assignment.step {
                let applied = self.journal.propose(late).await.unwrap();
                assert_eq!(applied, Applied::Refused(Refusal::LeaseLost));
            }
            Ok(record)
        }
    }

    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    journal.submit("it", "default", plan("", ""));
    let lost = Remote::that(Does::Lose);
    offer(&engine, "b", &lost, 300);
    offer(&engine, "c", &Arc::new(Late { journal: journal.clone(), lost: lost.clone() }), 200);
    let ended = driven(&engine, Arc::new(Silent)).await;
    assert_eq!((last(&ended, FIRST), records(&journal, FIRST)), (("c", 2), 1));
}

#[tokio::test(start_paused = true)]
async fn a_round_whose_executor_is_lost_when_its_time_is_over_is_recorded_as_failed() {
    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    journal.submit("it", "default", plan(", probeInterval: 10s", ""));
    // Of the observation alone: the self-test has another name.
    let b = Remote::that(Does::LoseAfter(Duration::from_secs(25)));
    let drive = Drive::continuous();
    let play = async {
        while journal.count("record it 0 ") == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        offer(&engine, "b", &b, 200);
        tokio::time::sleep(Duration::from_secs(60)).await;
        drive.end.cancel();
    };
    let (ended, ()) = tokio::join!(engine.drive("it", Arc::new(Silent), drive.clone()), play);
    let ended = ended.unwrap();
    let failed = ended.steps[&1].history.iter().find_map(|(round, record)| match &record.result {
        StepResult::Failed(Failure::Host { message }) if message.contains("the executor `b` was lost") => {
            Some((*round, message.clone()))
        }
        _ => None,
    });
    let (round, message) = failed.unwrap_or_else(|| panic!("{:?}", ended.steps[&1]));
    assert_eq!(round, 1, "{message}");
    assert!(ended.steps[&1].round >= 5, "it went on: {:?}", ended.steps[&1]);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_waits_for_a_place_is_handed_back_at_once() {
    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    journal.submit("it", "default", plan("", ""));
    let _all = engine.calls.acquire_many(100).await.unwrap();
    engine.pool().offer("b", Remote::that(well()), Offer { places: 1, busy: 1 });
    let drive = Drive::once();
    let hand_back = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drive.hand_back.cancel();
    };
    let (left, ()) = tokio::join!(engine.drive("it", Arc::new(Silent), drive.clone()), hand_back);
    assert_eq!(left.unwrap().status, Status::Running);
    assert_eq!(journal.count("lease"), 0);
}

#[tokio::test(start_paused = true)]
async fn calls_are_told_where_they_were_made() {
    /// Another host on the same journal.
    struct Host {
        engine: Engine,
        heard: Arc<Heard>,
    }

    #[async_trait]
    impl Executor for Host {
        async fn run(&self, assignment: &Assignment, _: Ear) -> Result<StepRecord, Lost> {
            self.engine.run_leased(assignment, self.heard.clone()).await
        }
    }

    let caches = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (journal, engine) = engine(caches.0.path());
    journal.submit("it", "default", plan("", "execution: { retry_policy: { max_attempts: 1 } }"));
    let runtime = crate::testing::runtime(caches.1.path());
    let (_, other) = crate::testing::engine_of(runtime, journal.clone(), Default::default());
    let (there, here) = (Arc::new(Heard::default()), Arc::new(Heard::default()));
    offer(&engine, "c", &Arc::new(Host { engine: other, heard: there.clone() }), 200);
    let ended = driven(&engine, here.clone()).await;
    assert_eq!(last(&ended, FIRST), ("c", 1));
    let calls = |heard: &Heard| {
        heard.0.lock().unwrap().iter().filter(|event| matches!(event, Event::Called { .. })).count()
    };
    assert_eq!((calls(&there), calls(&here)), (2, 0));

    // What no executor can run is no record.
    let (_, other) = crate::testing::engine(caches.1.path());
    let mut assignment = Assignment {
        inquiry: "unknown".into(),
        step: FIRST,
        round: 0,
        token: Token { term: 1, attempt: 1 },
        state: None,
        trace: None,
    };
    let lost = other.run_leased(&assignment, Arc::new(Silent)).await.unwrap_err();
    assert!(lost.reason.contains("unknown is not known there"), "{lost}");
    let (memory, other) = crate::testing::engine(caches.1.path());
    memory.submit("it", "default", plan("", ""));
    (assignment.inquiry, assignment.step) = ("it".into(), ANALYSIS);
    let lost = other.run_leased(&assignment, Arc::new(Silent)).await.unwrap_err();
    assert!(lost.reason.contains("no step 2 for an instrument"), "{lost}");
}
