//! The dispatcher on a journal in memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::events::Silent;
use crate::journal::{Abort, Command, Journal as _, Status};
use crate::testing::{EPOCH, Memory, engine, plan};

use super::{Counts, DispatchConfig, Dispatcher};

fn dispatcher(config: DispatchConfig) -> (tempfile::TempDir, Arc<Memory>, Dispatcher) {
    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    (cache, journal, Dispatcher::new(Arc::new(engine), Arc::new(Silent), config))
}

/// Waits, in the clock of the test, until this holds.
async fn until(holds: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to hold");
}

fn has_ended(journal: &Memory, id: &str) -> bool {
    journal.get(id).status != Status::Running
}

#[tokio::test(start_paused = true)]
async fn what_has_not_ended_is_driven_at_the_start_and_what_comes_later_when_it_is_woken() {
    let (_cache, journal, dispatcher) = dispatcher(DispatchConfig { max_running: 2, max_continuous: 1 });
    for id in ["a", "b", "c"] {
        journal.submit(id, "default", plan("", ""));
    }
    dispatcher.start();
    until(|| ["a", "b", "c"].iter().all(|id| has_ended(&journal, id))).await;
    journal.submit("d", "default", plan("", ""));
    dispatcher.wake("d");
    until(|| has_ended(&journal, "d")).await;
    until(|| dispatcher.counts() == Counts::default()).await;
}

#[tokio::test(start_paused = true)]
async fn continuous_inquiries_have_places_of_their_own() {
    let (_cache, journal, dispatcher) = dispatcher(DispatchConfig { max_running: 1, max_continuous: 1 });
    for id in ["x", "y"] {
        journal.submit(id, "default", plan(", probeInterval: 10s", ""));
    }
    journal.submit("z", "default", plan("", ""));
    dispatcher.start();
    until(|| has_ended(&journal, "z")).await;
    until(|| dispatcher.counts() == Counts { queued: 1, running: 0, continuous: 1 }).await;
    journal.propose(Command::Cancel { inquiry: "x".into(), at: EPOCH }).await.unwrap();
    dispatcher.cancel("x");
    until(|| has_ended(&journal, "x")).await;
    until(|| dispatcher.counts() == Counts { queued: 0, running: 0, continuous: 1 }).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_is_cancelled_ahead_of_its_turn() {
    let (_cache, journal, dispatcher) = dispatcher(DispatchConfig { max_running: 1, max_continuous: 1 });
    // Retries keep the first one busy for minutes.
    let slow = "execution: { retry_policy: { max_attempts: 10, backoff_factor: 10.0 } }";
    journal.submit("a", "default", plan("", slow));
    journal.submit("b", "default", plan("", ""));
    dispatcher.start();
    until(|| dispatcher.counts() == Counts { queued: 1, running: 1, continuous: 0 }).await;
    journal.propose(Command::Cancel { inquiry: "b".into(), at: EPOCH }).await.unwrap();
    dispatcher.cancel("b");
    until(|| has_ended(&journal, "b")).await;
    assert!(matches!(journal.get("b").status, Status::Aborted { reason: Abort::Cancelled, .. }));
    assert!(!has_ended(&journal, "a"));
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_fails_is_tried_again() {
    let (_cache, journal, dispatcher) = dispatcher(DispatchConfig::default());
    journal.submit("a", "default", plan("", ""));
    journal.unavailable.store(3, Ordering::SeqCst);
    dispatcher.start();
    until(|| has_ended(&journal, "a")).await;
    assert_eq!(journal.unavailable.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_no_longer_leads_drives_nothing_until_it_leads_again() {
    let (_cache, journal, dispatcher) = dispatcher(DispatchConfig::default());
    journal.submit("x", "default", plan(", probeInterval: 10s", ""));
    dispatcher.start();
    until(|| journal.count("record x 1") >= 2).await;
    dispatcher.pause();
    let before = journal.log.lock().unwrap().len();
    dispatcher.wake("x");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(journal.log.lock().unwrap().len(), before);
    assert_eq!(dispatcher.counts(), Counts::default());
    dispatcher.resume();
    until(|| journal.log.lock().unwrap().len() > before).await;
}

#[tokio::test(start_paused = true)]
async fn stopping_starts_nothing_new_and_leaves_the_rest_to_the_next_start() {
    let (_cache, journal, dispatcher) = dispatcher(DispatchConfig::default());
    journal.submit("x", "default", plan(", probeInterval: 10s", ""));
    dispatcher.start();
    until(|| journal.count("record x 1") >= 2).await;
    dispatcher.stop(Duration::from_secs(5)).await;
    assert_eq!(dispatcher.counts(), Counts::default());
    let before = journal.log.lock().unwrap().len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(journal.log.lock().unwrap().len(), before);
    assert_eq!(journal.get("x").status, Status::Running);
}
