//! Continuous inquiries: rounds of their steps, what is kept of them, findings before the end, and being asked to end.
// The lint's exception for tests does not see helpers beside them.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use inquisitor_conductor::Conductor;
use inquisitor_engine::journal::{Abort, Applied, Interim, Journal, Refusal, Status, Token};
use support::*;

async fn watching(dir: &std::path::Path, history: u32) -> Conductor {
    let conductor = open(&dir.join("data")).await;
    let manifest = manifest(&conductor).await;
    let component = conductor.put_blob(b"component".to_vec()).await.unwrap();
    done(&conductor, submit("q", &manifest, continuous(history, &component))).await;
    conductor
}

async fn begun(conductor: &Conductor, round: u32, attempt: u32) -> Token {
    match conductor.propose(lease_round("q", 0, round, attempt)).await.unwrap() {
        Applied::Leased(token) => token,
        other => panic!("round {round}: {other:?}"),
    }
}

/// Leases and records a round of the observing step in one attempt.
async fn observe(conductor: &Conductor, round: u32, attempt: u32) -> Token {
    let token = begun(conductor, round, attempt).await;
    done(conductor, record_round("q", 0, round, token, readings(f64::from(round)), true)).await;
    token
}

#[tokio::test]
async fn rounds_follow_one_another_and_those_in_between_were_missed() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = watching(dir.path(), 10).await;
    let order = |asked, last| Refusal::RoundOutOfOrder { asked, last };
    assert_eq!(refusal(&conductor, lease_round("q", 0, 1, 1)).await, order(1, 0), "0 was not begun");
    let first = begun(&conductor, 0, 1).await;
    assert_eq!(refusal(&conductor, lease_round("q", 0, 1, 2)).await, order(1, 0), "0 is not recorded");
    let early = record_round("q", 0, 1, first, readings(0.0), true);
    assert_eq!(refusal(&conductor, early).await, order(1, 0));
    done(&conductor, record_round("q", 0, 0, first, failed("silent"), false)).await;
    let second = begun(&conductor, 0, 2).await;
    done(&conductor, record_round("q", 0, 0, second, readings(0.0), true)).await;
    assert_eq!(refusal(&conductor, lease_round("q", 0, 0, 3)).await, Refusal::StepDone);

    let attempts = Refusal::AttemptOutOfOrder { asked: 1, last: 2 };
    assert_eq!(refusal(&conductor, lease_round("q", 0, 4, 1)).await, attempts, "attempts go on counting");
    let third = begun(&conductor, 4, 3).await;
    let inquiry = conductor.inquiry("q").await.unwrap().unwrap();
    let step = &inquiry.steps[&0];
    assert_eq!((step.round, step.missed, step.token), (4, 3, third));
    assert_eq!((&step.earlier, &step.record), (&vec![], &None), "those of round 0 are history");
    assert_eq!(step.history, [(0, readings(0.0))]);
    assert_eq!(conductor.summary("q").await.unwrap().unwrap().missed, 3);
    let outline = conductor.outline("q").await.unwrap().unwrap();
    assert!(outline.continuous && outline.running && !outline.cancel_requested);
    assert_eq!(outline, inquiry.into());

    already(&conductor, record_round("q", 0, 0, second, readings(0.0), true)).await;
    let late = record_round("q", 0, 0, second, readings(9.0), true);
    assert_eq!(refusal(&conductor, late).await, Refusal::StepDone);
    assert_eq!(refusal(&conductor, lease_round("q", 0, 2, 4)).await, order(2, 4));
    done(&conductor, record_round("q", 0, 4, third, failed("silent"), false)).await;
    let fourth = begun(&conductor, 4, 4).await;
    done(&conductor, record_round("q", 0, 4, fourth, readings(4.0), true)).await;
    let step = conductor.inquiry("q").await.unwrap().unwrap().steps.remove(&0).unwrap();
    assert_eq!(step.earlier, [failed("silent")]);
    assert_eq!(step.record, Some(readings(4.0)));
    assert_eq!(step.history, [(0, readings(0.0))]);
    let round = entries(&conductor, 0).await.last().unwrap().body["round"].clone();
    assert_eq!(round, 4);

    // A step that observes nothing has one round.
    let token = leased(&conductor, "q", 1, 1).await;
    done(&conductor, record("q", 1, token, readings(0.0), true)).await;
    assert_eq!(refusal(&conductor, lease_round("q", 1, 1, 2)).await, order(1, 0));
    assert_eq!(conductor.summary("q").await.unwrap().unwrap().recorded, 2, "each step counts once");
}

#[tokio::test]
async fn the_oldest_round_makes_room_and_the_ledger_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = watching(dir.path(), 2).await;
    let mut tokens = Vec::new();
    for (round, attempt) in [(0, 1), (1, 2), (3, 3), (4, 4)] {
        tokens.push(observe(&conductor, round, attempt).await);
    }
    let step = conductor.inquiry("q").await.unwrap().unwrap().steps.remove(&0).unwrap();
    assert_eq!((step.history, step.record), (vec![(3, readings(3.0))], Some(readings(4.0))));
    let pruned: Vec<_> = entries(&conductor, 0)
        .await
        .into_iter()
        .filter(|entry| entry.kind == "step-recorded")
        .map(|entry| entry.body.get("pruned").and_then(serde_json::Value::as_u64))
        .collect();
    assert_eq!(pruned, [None, None, Some(0), Some(1)]);
    // It is gone, so whether it is the same cannot be told.
    let gone = record_round("q", 0, 0, tokens[0], readings(0.0), true);
    assert_eq!(refusal(&conductor, gone).await, Refusal::StepDone);
}

#[tokio::test]
async fn a_finding_stands_until_the_next_one_or_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = watching(dir.path(), 2).await;
    assert_eq!(
        refusal(&conductor, update("r", "so far")).await,
        Refusal::NoSuchInquiry { inquiry: "r".into() }
    );
    for reason in ["so far", "further on"] {
        done(&conductor, update("q", reason)).await;
        already(&conductor, update("q", reason)).await;
        let interim = conductor.inquiry("q").await.unwrap().unwrap().interim;
        assert_eq!(interim, Some(Interim { finding: finding(reason), at: 3_500_000_000 }));
    }
    assert_eq!(refusal(&conductor, conclude("q", "well")).await, Refusal::StepsMissing { step: 0 });
    observe(&conductor, 0, 1).await;
    let open = begun(&conductor, 1, 2).await;
    // The first step is in its second round, so it is the other one that is missing.
    assert_eq!(refusal(&conductor, conclude("q", "well")).await, Refusal::StepsMissing { step: 1 });
    let token = leased(&conductor, "q", 1, 1).await;
    done(&conductor, record("q", 1, token, readings(0.0), true)).await;
    done(&conductor, conclude("q", "well")).await;
    let inquiry = conductor.inquiry("q").await.unwrap().unwrap();
    assert_eq!(inquiry.interim, None);
    assert!(matches!(inquiry.status, Status::Concluded { .. }));
    assert_eq!(refusal(&conductor, update("q", "late")).await, Refusal::Ended);
    assert_eq!(refusal(&conductor, record_round("q", 0, 1, open, readings(1.0), true)).await, Refusal::Ended);
}

#[tokio::test]
async fn an_inquiry_is_asked_to_end_once() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = watching(dir.path(), 2).await;
    assert_eq!(refusal(&conductor, cancel("r")).await, Refusal::NoSuchInquiry { inquiry: "r".into() });
    done(&conductor, cancel("q")).await;
    already(&conductor, cancel("q")).await;
    let summary = conductor.summary("q").await.unwrap().unwrap();
    assert_eq!((summary.cancel_requested, summary.continuous), (Some(3_600_000_000), true));
    let inquiry = conductor.inquiry("q").await.unwrap().unwrap();
    assert_eq!((inquiry.cancel_requested, inquiry.status), (Some(3_600_000_000), Status::Running));
    done(&conductor, abort("q", Abort::Cancelled)).await;
    assert_eq!(refusal(&conductor, cancel("q")).await, Refusal::Ended);
    assert_eq!(
        kinds(&conductor, 0).await,
        ["inquiry-submitted", "inquiry-cancel-requested", "inquiry-aborted"]
    );
}
