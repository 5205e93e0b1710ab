//! What the engine relies on: which commands change what, which are refused, and what can be read and proved afterwards.
// The lint's exception for tests does not see helpers beside them.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use inquisitor_engine::journal::{Abort, Command, Journal, JournalError, Refusal, Status, StepResult, Token};
use inquisitor_findings::reading::Value;
use inquisitor_ledger::{
    Checkpoint, Entry, Hash, leaf_hash, verify_consistency, verify_export, verify_inclusion,
};
use support::*;

use inquisitor_conductor::{InquiryFilter, SummaryStage};

/// The text with each digest as `#`: most change with every new field of a plan or a record.
fn without_digests(text: &str) -> String {
    text.split('"')
        .map(|part| if part.parse::<Hash>().is_ok() { "#" } else { part })
        .collect::<Vec<_>>()
        .join("\"")
}

#[tokio::test]
async fn an_inquiry_from_submission_to_finding() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    done(&conductor, submit("q", &manifest, plan("n", 2))).await;
    assert_eq!(conductor.unfinished().await.unwrap(), ["q"]);

    let first = leased(&conductor, "q", 0, 1).await;
    done(&conductor, record("q", 0, first, failed("the bus is silent"), false)).await;
    let second = leased(&conductor, "q", 0, 2).await;
    assert!(second > first);
    done(&conductor, record("q", 0, second, readings(4.25), true)).await;
    let skipped = leased(&conductor, "q", 1, 1).await;
    let skip = with_result(StepResult::Skipped { reason: "no need".into() });
    done(&conductor, record("q", 1, skipped, skip.clone(), true)).await;

    let inquiry = conductor.inquiry("q").await.unwrap().unwrap();
    assert_eq!((inquiry.id.as_str(), &inquiry.manifest, inquiry.submitted), ("q", &manifest, 1_000_000_001));
    assert_eq!(inquiry.plan, plan("n", 2));
    assert_eq!(inquiry.status, Status::Running);
    assert_eq!(inquiry.steps[&0].token, second);
    assert_eq!(inquiry.steps[&0].earlier, [failed("the bus is silent")]);
    assert_eq!(inquiry.steps[&0].record, Some(readings(4.25)));
    assert_eq!(inquiry.steps[&1].record, Some(skip));

    done(&conductor, conclude("q", "all well")).await;
    let inquiry = conductor.inquiry("q").await.unwrap().unwrap();
    let expected =
        Status::Concluded { finding: Box::new(finding("all well")), artifacts: vec![], at: 4_000_000_000 };
    assert_eq!(inquiry.status, expected);
    assert!(conductor.unfinished().await.unwrap().is_empty());
    assert_eq!(conductor.inquiry("other").await.unwrap(), None);

    let mut export = Vec::new();
    conductor.export_ledger(&mut export).unwrap();
    let export = String::from_utf8(export).unwrap();
    insta::assert_snapshot!(without_digests(&export));
    let readings_digest = match &readings(4.25).result {
        StepResult::Inline(observation) => {
            Hash::digest(&serde_json::to_vec(observation).unwrap()).to_string()
        }
        other => panic!("{other:?}"),
    };
    assert!(export.contains(&format!("\"readings\":\"{readings_digest}\"")), "{export}");
    let plan_digest = Hash::digest(&serde_json::to_vec(&plan("n", 2)).unwrap());
    assert!(export.contains(&format!("\"plan\":\"{plan_digest}\"")), "{export}");
    let checkpoint = verify_export(export.lines(), None).unwrap();
    let said = conductor.checkpoint().await.unwrap();
    assert_eq!((checkpoint.size, checkpoint.root.to_string()), (said.size, said.root));
    conductor.shutdown().await;
}

#[tokio::test]
async fn submissions_are_idempotent_and_ids_are_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    done(&conductor, submit("q", &manifest, plan("n", 1))).await;
    already(&conductor, submit("q", &manifest, plan("n", 1))).await;
    let mut later = submit("q", &manifest, plan("n", 1));
    if let Command::Submit { at, .. } = &mut later {
        *at += 1;
    }
    already(&conductor, later).await;
    assert_eq!(refusal(&conductor, submit("q", &manifest, plan("n", 2))).await, Refusal::IdTaken);
    let other = conductor.put_blob(b"other manifest".to_vec()).await.unwrap();
    assert_eq!(refusal(&conductor, submit("q", &other, plan("n", 1))).await, Refusal::IdTaken);
    assert_eq!(conductor.checkpoint().await.unwrap().size, 1, "what changed nothing is not in the ledger");
}

#[tokio::test]
async fn leases_follow_one_another_and_fence_the_earlier_ones() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    assert_eq!(refusal(&conductor, lease("q", 0, 1)).await, Refusal::NoSuchInquiry { inquiry: "q".into() });
    done(&conductor, submit("q", &manifest, plan("n", 2))).await;
    assert_eq!(refusal(&conductor, lease("q", 2, 1)).await, Refusal::NoSuchStep { step: 2 });
    assert_eq!(refusal(&conductor, lease("q", 0, 2)).await, Refusal::AttemptOutOfOrder { asked: 2, last: 0 });
    assert_eq!(refusal(&conductor, lease("q", 0, 0)).await, Refusal::AttemptOutOfOrder { asked: 0, last: 0 });

    let lost = leased(&conductor, "q", 0, 1).await;
    // Whoever got no answer asks again and gets the same lease; nobody else does.
    let size = conductor.checkpoint().await.unwrap().size;
    assert_eq!(leased(&conductor, "q", 0, 1).await, lost);
    assert_eq!(conductor.checkpoint().await.unwrap().size, size);
    let Command::Lease { inquiry, step, round, attempt, at, .. } = lease("q", 0, 1) else { unreachable!() };
    let other = Command::Lease { inquiry, step, round, attempt, executor: "other".into(), at };
    assert_eq!(refusal(&conductor, other).await, Refusal::AttemptOutOfOrder { asked: 1, last: 1 });
    // The executor was taken for dead; its successor holds the step now.
    let held = leased(&conductor, "q", 0, 2).await;
    assert_eq!(refusal(&conductor, record("q", 0, lost, readings(1.0), true)).await, Refusal::LeaseLost);
    let forged = Token { term: held.term + 1, attempt: held.attempt };
    assert_eq!(refusal(&conductor, record("q", 0, forged, readings(1.0), true)).await, Refusal::LeaseLost);
    assert_eq!(refusal(&conductor, record("q", 1, held, readings(1.0), true)).await, Refusal::LeaseLost);
    done(&conductor, record("q", 0, held, readings(2.0), true)).await;
    assert_eq!(refusal(&conductor, lease("q", 0, 3)).await, Refusal::StepDone);
    assert_eq!(conductor.inquiry("q").await.unwrap().unwrap().steps[&0].record, Some(readings(2.0)));
}

#[tokio::test]
async fn a_record_is_kept_once_and_a_retry_of_it_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    let nobody = Token { term: 1, attempt: 1 };
    let missing = Refusal::NoSuchInquiry { inquiry: "q".into() };
    assert_eq!(refusal(&conductor, record("q", 0, nobody, readings(1.0), true)).await, missing);
    done(&conductor, submit("q", &manifest, plan("n", 1))).await;
    assert_eq!(
        refusal(&conductor, record("q", 1, nobody, readings(1.0), true)).await,
        Refusal::NoSuchStep { step: 1 }
    );
    assert_eq!(refusal(&conductor, record("q", 0, nobody, readings(1.0), true)).await, Refusal::LeaseLost);

    let first = leased(&conductor, "q", 0, 1).await;
    done(&conductor, record("q", 0, first, failed("x"), false)).await;
    already(&conductor, record("q", 0, first, failed("x"), false)).await;
    // The attempt is over: it cannot be told differently, nor be made final.
    assert_eq!(refusal(&conductor, record("q", 0, first, failed("y"), false)).await, Refusal::LeaseLost);
    assert_eq!(refusal(&conductor, record("q", 0, first, failed("x"), true)).await, Refusal::LeaseLost);

    let second = leased(&conductor, "q", 0, 2).await;
    done(&conductor, record("q", 0, second, readings(1.0), true)).await;
    already(&conductor, record("q", 0, second, readings(1.0), true)).await;
    already(&conductor, record("q", 0, first, failed("x"), false)).await;
    assert_eq!(refusal(&conductor, record("q", 0, second, readings(2.0), true)).await, Refusal::StepDone);

    done(&conductor, conclude("q", "well")).await;
    already(&conductor, record("q", 0, second, readings(1.0), true)).await;
    assert_eq!(refusal(&conductor, record("q", 0, second, readings(2.0), true)).await, Refusal::Ended);
    assert_eq!(refusal(&conductor, lease("q", 0, 3)).await, Refusal::Ended);
    let size = conductor.checkpoint().await.unwrap().size;
    assert_eq!(size, 6, "submitted, two leases, two records, concluded");
}

#[tokio::test]
async fn an_inquiry_ends_once() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    let missing = Refusal::NoSuchInquiry { inquiry: "q".into() };
    assert_eq!(refusal(&conductor, conclude("q", "well")).await, missing);
    assert_eq!(refusal(&conductor, abort("q", Abort::Cancelled)).await, missing);

    done(&conductor, submit("q", &manifest, plan("n", 3))).await;
    assert_eq!(refusal(&conductor, conclude("q", "well")).await, Refusal::StepsMissing { step: 0 });
    for step in [0, 2] {
        let token = leased(&conductor, "q", step, 1).await;
        done(&conductor, record("q", step, token, readings(1.0), true)).await;
    }
    assert_eq!(refusal(&conductor, conclude("q", "well")).await, Refusal::StepsMissing { step: 1 });
    let token = leased(&conductor, "q", 1, 1).await;
    assert_eq!(refusal(&conductor, conclude("q", "well")).await, Refusal::StepsMissing { step: 1 });
    done(&conductor, record("q", 1, token, readings(1.0), true)).await;
    done(&conductor, conclude("q", "well")).await;
    already(&conductor, conclude("q", "well")).await;
    assert_eq!(refusal(&conductor, conclude("q", "otherwise")).await, Refusal::Ended);
    assert_eq!(refusal(&conductor, abort("q", Abort::Cancelled)).await, Refusal::Ended);

    done(&conductor, submit("r", &manifest, plan("n", 3))).await;
    let broken = Abort::Broken { step: "step-0".into(), message: "m".into() };
    done(&conductor, abort("r", broken.clone())).await;
    already(&conductor, abort("r", broken.clone())).await;
    assert_eq!(refusal(&conductor, abort("r", Abort::TimedOut)).await, Refusal::Ended);
    assert_eq!(refusal(&conductor, conclude("r", "well")).await, Refusal::Ended);
    let status = conductor.inquiry("r").await.unwrap().unwrap().status;
    assert_eq!(status, Status::Aborted { reason: broken, at: 5_000_000_000 });
}

#[tokio::test]
async fn the_list_is_paged_from_the_newest_and_the_unfinished_from_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    run(&conductor, "first", &manifest, 1).await;
    for inquiry in ["z", "y", "x"] {
        done(&conductor, submit(inquiry, &manifest, plan(inquiry, 1))).await;
    }
    done(&conductor, abort("y", Abort::TimedOut)).await;

    let ids =
        |page: &[inquisitor_conductor::Summary]| page.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
    let all = InquiryFilter::default();
    let page = conductor.inquiries(&all, None, 2).await.unwrap();
    assert_eq!(page.next, Some(page.items[1].sequence));
    let rest = conductor.inquiries(&all, page.next, 100).await.unwrap();
    assert_eq!(rest.next, None);
    let (page, rest) = (page.items, rest.items);
    assert_eq!(ids(&page), ["x", "y"]);
    assert_eq!(ids(&rest), ["z", "first"]);
    assert_eq!(page[0].stage, SummaryStage::Running);
    assert_eq!((page[0].name.as_str(), page[0].steps, page[0].recorded), ("x", 1, 0));
    assert!(matches!(&page[1].stage, SummaryStage::Aborted { reason, .. } if reason == "timed-out"));
    assert!(matches!(rest[1].stage, SummaryStage::Concluded { .. }));
    assert_eq!(rest[1].recorded, 1);
    assert_eq!(conductor.unfinished().await.unwrap(), ["z", "x"]);
}

#[tokio::test]
async fn every_entry_and_every_size_can_be_proved() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    run(&conductor, "a", &manifest, 2).await;
    run(&conductor, "b", &manifest, 3).await;
    let said = conductor.checkpoint().await.unwrap();
    let checkpoint = Checkpoint { size: said.size, root: said.root.parse().unwrap() };
    let entries = conductor.ledger_entries(0, 1000).await.unwrap();
    assert_eq!(entries.len() as u64, checkpoint.size);
    for (expected, (index, bytes)) in (0..).zip(&entries) {
        let index = *index;
        assert_eq!(index, expected);
        Entry::parse(bytes, index).unwrap();
        let proof = conductor.inclusion_proof(index, checkpoint.size).await.unwrap();
        verify_inclusion(&leaf_hash(bytes), index, &proof, &checkpoint).unwrap();
        let older = conductor.checkpoint_at(index).await.unwrap();
        let proof = conductor.consistency_proof(index, checkpoint.size).await.unwrap();
        verify_consistency(&older, &checkpoint, &proof).unwrap();
    }
    assert_eq!(conductor.ledger_entries(3, 2).await.unwrap(), entries[3..5]);
    let beyond = checkpoint.size + 1;
    let error = conductor.inclusion_proof(0, beyond).await.unwrap_err().to_string();
    assert!(
        error.contains(&format!("position {beyond} is outside a ledger of {} entries", checkpoint.size)),
        "{error}"
    );
    assert!(conductor.consistency_proof(1, beyond).await.is_err());
    assert!(conductor.checkpoint_at(beyond).await.is_err());
}

#[tokio::test]
async fn what_cannot_be_kept_is_turned_away_before_it_is_proposed() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    done(&conductor, submit("q", &manifest, plan("n", 1))).await;
    let token = leased(&conductor, "q", 0, 1).await;

    let mut infinite = readings(1.0);
    if let StepResult::Inline(observation) = &mut infinite.result {
        observation.readings[0].value = Value::Number(f64::NAN);
    }
    let error = conductor.propose(record("q", 0, token, infinite, true)).await.unwrap_err().to_string();
    assert!(error.contains("not finite"), "{error}");

    let mut unknown = readings(1.0);
    unknown.transcript = Some("00".repeat(32));
    let error = conductor.propose(record("q", 0, token, unknown, true)).await.unwrap_err();
    assert!(matches!(&error, JournalError::Blob { digest, .. } if *digest == "00".repeat(32)), "{error}");
    assert!(error.to_string().contains("put it first"), "{error}");

    for id in ["", "a\0b", &"x".repeat(65)] {
        assert!(conductor.propose(submit(id, &manifest, plan("n", 1))).await.is_err(), "{id:?}");
    }
    let long = submit("r", &manifest, plan(&"n".repeat(100_000), 1));
    let error = conductor.propose(long).await.unwrap_err().to_string();
    assert!(error.contains("ledger entry"), "{error}");
    // All the while the conductor goes on.
    done(&conductor, record("q", 0, token, readings(1.0), true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_commands_each_get_their_own_answer() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    let inquiries: Vec<String> = (0..200).map(|inquiry| format!("q{inquiry}")).collect();
    let each = inquiries.iter().map(|inquiry| async {
        // Two of every id race; one is done, the other was done already.
        let first = conductor.propose(submit(inquiry, &manifest, plan(inquiry, 1)));
        let second = conductor.propose(submit(inquiry, &manifest, plan(inquiry, 1)));
        let (first, second) = futures::join!(first, second);
        let mut answers = [format!("{:?}", first.unwrap()), format!("{:?}", second.unwrap())];
        answers.sort();
        assert_eq!(answers, ["AlreadyDone", "Done"]);
        let token = leased(&conductor, inquiry, 0, 1).await;
        done(&conductor, record(inquiry, 0, token, readings(1.0), true)).await;
    });
    futures::future::join_all(each).await;
    assert_eq!(conductor.checkpoint().await.unwrap().size, 600);
    let status = conductor.status().await.unwrap();
    assert!(status.last_log_index.unwrap() < 400, "commands were committed one by one: {status:?}");
    conductor.shutdown().await;
}
