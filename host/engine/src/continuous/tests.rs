//! A continuous inquiry under a clock that stands still while anything works.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::catalogue::Catalogue;
use crate::drive::Drive;
use crate::events::{Event, Observer, Silent};
use crate::journal::{Abort, Inquiry, Status, StepResult};
use crate::testing::{Heard, Memory, component, engine, engine_of, plan, runtime};
use crate::{Engine, is_continuous, outcomes};

/// Position of the step that is observed again: after the self-test.
const OBSERVED: usize = 1;

async fn drive_for(engine: &Engine, seconds: u64, stop: impl FnOnce(&Drive)) -> Inquiry {
    let drive = Drive::continuous();
    let stopper = async {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        stop(&drive);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = engine.drive("it", Arc::new(Silent), drive.clone()) => ended.unwrap(),
        () = stopper => unreachable!(),
    }
}

fn rounds(inquiry: &Inquiry) -> Vec<u32> {
    let state = &inquiry.steps[&OBSERVED];
    state.history.iter().map(|(round, _)| *round).chain(state.record.iter().map(|_| state.round)).collect()
}

fn submit(journal: &Memory, instrument: &str, more: &str) {
    let plan = plan(instrument, more);
    assert!(is_continuous(&plan));
    journal.submit("it", "default", plan);
}

#[tokio::test(start_paused = true)]
async fn every_round_is_observed_until_somebody_stops_it_and_then_it_concludes() {
    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    submit(&journal, ", probeInterval: 10s", "");
    let ended = drive_for(&engine, 65, |drive| drive.end.cancel()).await;
    assert!(matches!(ended.status, Status::Concluded { .. }), "{:?}", ended.status);
    assert_eq!(rounds(&ended), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(ended.steps[&OBSERVED].missed, 0);
    assert_eq!(ended.steps[&0].round, 0, "a self-test is made once");
    let log = journal.log.lock().unwrap().clone();
    let at = |line: &str| {
        log.iter().position(|found| found == line).unwrap_or_else(|| panic!("{line} in {log:?}"))
    };
    assert!(at("record it 1 6") < at("lease it 2 0"), "the analysis waits for the end");
    assert!(ended.interim.is_some());
    assert!(log.iter().filter(|line| *line == "update it").count() <= 7);
    let outcome = &outcomes(&ended)[OBSERVED];
    assert_eq!(outcome.attempts, 7);
    assert!(outcome.message.as_ref().unwrap().starts_with("7 of the last 7 rounds"), "{:?}", outcome.message);
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_with_the_round_of_the_hour_after_a_pause_and_the_others_are_missed() {
    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    submit(&journal, ", probeInterval: 10s", "");
    let left = drive_for(&engine, 25, |drive| drive.hand_back.cancel()).await;
    assert_eq!(left.status, Status::Running);
    assert_eq!(rounds(&left), [0, 1, 2]);
    tokio::time::sleep(Duration::from_secs(38)).await;
    let ended = drive_for(&engine, 20, |drive| drive.end.cancel()).await;
    // 63 s after the submission the time of round 6 lasts still; 3, 4 and 5 have passed.
    assert_eq!(rounds(&ended), [0, 1, 2, 6, 7, 8]);
    assert_eq!(ended.steps[&OBSERVED].missed, 3);
    assert!(outcomes(&ended)[OBSERVED].message.as_ref().unwrap().contains("3 rounds were missed"));
}

#[tokio::test(start_paused = true)]
async fn a_round_that_was_interrupted_is_recorded_as_such_when_its_time_is_over() {
    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    let more = "execution: { retry_policy: { max_attempts: 2, backoff_factor: 2.0 } }";
    submit(&journal, ", probeInterval: 5s", more);
    // At 6 s, round 1 waits for its second attempt.
    let left = drive_for(&engine, 6, |drive| drive.hand_back.cancel()).await;
    assert_eq!((left.steps[&OBSERVED].round, left.steps[&OBSERVED].record.is_some()), (1, false));
    tokio::time::sleep(Duration::from_secs(27)).await;
    let ended = drive_for(&engine, 1, |drive| drive.end.cancel()).await;
    assert!(matches!(ended.status, Status::Concluded { .. }));
    let state = &ended.steps[&OBSERVED];
    assert_eq!((state.round, state.missed), (6, 4));
    let (round, record) = &state.history[1];
    assert_eq!(*round, 1);
    assert!(matches!(&record.result, StepResult::Skipped { reason } if reason.contains("interrupted")));
}

#[tokio::test(start_paused = true)]
async fn only_the_last_rounds_are_kept() {
    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    submit(&journal, ", probeInterval: 1s", "execution: { history: 3 }");
    let ended = drive_for(&engine, 20, |drive| drive.end.cancel()).await;
    let Status::Concluded { finding, .. } = &ended.status else { panic!("{:?}", ended.status) };
    assert!(finding.reasons.iter().any(|reason| reason.contains("3 of 3 rounds")), "{:?}", finding.reasons);
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_ends_it_as_if_it_was_stopped() {
    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    submit(&journal, ", probeInterval: 10s", "execution: { timeout: 35 }");
    let ended = engine.drive("it", Arc::new(Silent), Drive::continuous()).await.unwrap();
    assert!(matches!(ended.status, Status::Concluded { .. }));
    assert_eq!(rounds(&ended), [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn once_means_once_also_with_an_interval() {
    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    submit(&journal, ", probeInterval: 10s", "");
    let ended = engine.drive("it", Arc::new(Silent), Drive::once()).await.unwrap();
    assert!(matches!(ended.status, Status::Concluded { .. }));
    assert_eq!(rounds(&ended), [0]);
}

#[tokio::test(start_paused = true)]
async fn retries_end_where_the_next_round_begins() {
    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    // Attempts of a round at 0, 2, 6 and 14 s, were there no next one after 5 s.
    let more = "execution: { retry_policy: { max_attempts: 4, backoff_factor: 2.0 } }";
    submit(&journal, ", probeInterval: 5s", more);
    let ended = drive_for(&engine, 44, |drive| drive.end.cancel()).await;
    let state = &ended.steps[&OBSERVED];
    let log = journal.log.lock().unwrap();
    let attempts = |round: u32| log.iter().filter(|line| **line == format!("lease it 1 {round}")).count();
    assert_eq!((attempts(0), attempts(state.round)), (4, 2), "{log:?}");
    drop(log);
    assert_eq!(u64::from(state.round) + 1, rounds(&ended).len() as u64 + state.missed);
}

#[tokio::test(start_paused = true)]
async fn what_never_ran_is_skipped_when_it_is_stopped_at_once() {
    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    submit(&journal, ", probeInterval: 10s", "");
    let drive = Drive::continuous();
    drive.end.cancel();
    let ended = engine.drive("it", Arc::new(Silent), drive).await.unwrap();
    assert!(matches!(ended.status, Status::Concluded { .. }));
    let record = ended.steps[&OBSERVED].record.as_ref().unwrap();
    assert!(matches!(&record.result, StepResult::Skipped { reason } if reason.contains("stopped")));
}

#[tokio::test(start_paused = true)]
async fn an_inquiry_that_runs_once_is_aborted_when_it_is_cancelled() {
    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    journal.submit("it", "default", plan("", ""));
    let drive = Drive::continuous();
    drive.end.cancel();
    let heard = Arc::new(Heard::default());
    let ended = engine.drive("it", heard.clone(), drive).await.unwrap();
    assert!(matches!(ended.status, Status::Aborted { reason: Abort::Cancelled, .. }));
    let events = heard.0.lock().unwrap();
    assert!(matches!(events.last(), Some(Event::Ended { ending, .. }) if ending.name() == "cancelled"));
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_told_with_its_plugin() {
    let cache = tempfile::tempdir().unwrap();
    let (journal, engine) = engine(cache.path());
    submit(&journal, ", probeInterval: 10s", "");
    let heard = Arc::new(Heard::default());
    let drive = Drive::continuous();
    let end = drive.end.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(15)).await;
        end.cancel();
    });
    engine.drive("it", heard.clone(), drive).await.unwrap();
    let events = heard.0.lock().unwrap();
    let called: Vec<(String, String, &str, u32)> = events
        .iter()
        .filter_map(|event| match event {
            Event::Called { step, plugin, outcome, round, .. } => {
                Some((step.clone(), plugin.clone(), *outcome, *round))
            }
            _ => None,
        })
        .collect();
    assert_eq!(called.len(), 3, "{called:?}");
    assert!(called.iter().all(|(_, plugin, outcome, _)| plugin == "gone" && *outcome == "host"));
    assert_eq!(called[2].3, 1);
}

#[tokio::test]
async fn readings_of_all_rounds_enter_the_finding_and_an_instrument_keeps_its_state() {
    let cache = tempfile::tempdir().unwrap();
    let runtime = runtime(cache.path());
    let plugin = runtime.load(&component(0)).await.unwrap();
    let catalogue = Catalogue::of(plugin, "plain.wasm".into());
    let text = "version: \"1.0\"\nid: it\nname: It\nmetadata: { author: Tests }\nprotocol:\n  type: sequential\n  phases:\n    - name: execution\n      steps: [ { name: s, type: measurement, instrument: probe, parameters: { keep: 1 } } ]\n    - analysis\nsubstrate: { source: { type: synthetic, generator: temperature_simulator, parameters: { samples: 5, noise: 0.5 } } }\ninstruments:\n  - { type: plain, id: probe, probeInterval: 100ms }\nexecution: { history: 4 }\n";
    let validated = inquisitor_manifest::validate("it.yaml", text, &catalogue.visible_to("default"));
    let plan = validated.plan.unwrap_or_else(|| panic!("{:?}", validated.diagnostics));
    let (journal, engine) = engine_of(runtime, Arc::default(), catalogue);
    journal.submit("it", "default", plan);
    // A component runs on real threads, so the time is real too: it ends by what happened, not by the clock.
    let drive = Drive::continuous();
    let rounds = Arc::new(EndAfter { calls: AtomicU32::new(0), limit: 7, end: drive.end.clone() });
    let ended = engine.drive("it", rounds.clone(), drive).await.unwrap();
    let calls = rounds.calls.load(Ordering::SeqCst);
    let Status::Concluded { finding, .. } = &ended.status else { panic!("{:?}", ended.status) };
    let state = &ended.steps[&0];
    assert_eq!(
        u64::from(state.round),
        u64::from(calls) - 1 + state.missed,
        "each round was called or missed"
    );
    assert_eq!(finding.estimates[0].readings, 4, "the last rounds that are kept: {:?}", finding.reasons);
    let kept = state.record.as_ref().unwrap().state.as_ref().unwrap();
    assert_eq!(
        crate::journal::Journal::blob(&*journal, kept).await.unwrap(),
        [u8::try_from(calls).unwrap()],
        "one for each round"
    );
    let values: std::collections::BTreeSet<String> =
        finding.estimates[0].course.iter().map(|moment| moment.value.to_string()).collect();
    assert_eq!(values.len(), 4, "each round has data of its own: {values:?}");
}

/// Ends an inquiry after so many calls of its instruments.
struct EndAfter {
    calls: AtomicU32,
    limit: u32,
    end: CancellationToken,
}

impl Observer for EndAfter {
    fn event(&self, _: &str, event: Event) {
        if matches!(event, Event::Called { .. })
            && self.calls.fetch_add(1, Ordering::SeqCst) + 1 >= self.limit
        {
            self.end.cancel();
        }
    }
}
