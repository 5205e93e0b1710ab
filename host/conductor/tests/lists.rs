//! What can be listed, watched and counted.
// The lint's exception for tests does not see helpers beside them.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use inquisitor_conductor::{Conductor, InquiryFilter, InquiryState, MAX_PAGE_SCAN};
use inquisitor_engine::gating::Origin;
use inquisitor_engine::journal::{Abort, Command, Journal};
use inquisitor_findings::finding::Verdict;
use inquisitor_ledger::Entry;
use support::*;

async fn ids(conductor: &Conductor, filter: &InquiryFilter) -> Vec<String> {
    let page = conductor.inquiries(filter, None, 100).await.unwrap();
    assert_eq!(page.next, None);
    page.items.into_iter().map(|one| one.id).collect()
}

#[tokio::test]
async fn a_filter_passes_those_that_match_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    done(&conductor, create_tenant("a", None)).await;
    // A name that begins like another one.
    done(&conductor, create_tenant("a-b", None)).await;
    for (number, tenant) in ["a", "a-b", "a", "default"].into_iter().enumerate() {
        let mut plan = plan("n", 0);
        plan.tags = vec![format!("tag-{number}"), "all".into()];
        plan.kind = (number % 2 == 0).then(|| "audit".into());
        plan.manifest_id = format!("m{number}");
        done(&conductor, submit_as(tenant, &format!("q{number}"), &manifest, plan, None)).await;
    }
    done(&conductor, conclude("q0", "well")).await;
    done(&conductor, abort("q1", Abort::TimedOut)).await;

    let all = InquiryFilter::default;
    let of = |tenant: &str| InquiryFilter { tenant: Some(tenant.into()), ..all() };
    let state = |state| InquiryFilter { state: Some(state), ..all() };
    for (filter, expected) in [
        (all(), vec!["q3", "q2", "q1", "q0"]),
        (of("a"), vec!["q2", "q0"]),
        (of("a-b"), vec!["q1"]),
        (of("nobody"), vec![]),
        (state(InquiryState::Running), vec!["q3", "q2"]),
        (state(InquiryState::Concluded), vec!["q0"]),
        (state(InquiryState::Aborted), vec!["q1"]),
        (InquiryFilter { state: Some(InquiryState::Running), ..of("a") }, vec!["q2"]),
        (InquiryFilter { tag: Some("tag-2".into()), ..all() }, vec!["q2"]),
        (InquiryFilter { tag: Some("tag-2".into()), ..of("a-b") }, vec![]),
        (InquiryFilter { kind: Some("audit".into()), ..all() }, vec!["q2", "q0"]),
        (InquiryFilter { manifest: Some("m1".into()), ..all() }, vec!["q1"]),
        (InquiryFilter { verdict: Some(Verdict::Verified), ..all() }, vec!["q0"]),
        (InquiryFilter { verdict: Some(Verdict::Falsified), ..all() }, vec![]),
    ] {
        assert_eq!(ids(&conductor, &filter).await, expected, "{filter:?}");
    }
    let summary = conductor.summary("q2").await.unwrap().unwrap();
    assert_eq!((summary.tenant.as_str(), summary.manifest_digest), ("a", "ab".repeat(32)));
    assert_eq!((summary.manifest, summary.origin), (manifest, Origin::Key { key: "k".into() }));
    assert_eq!(conductor.summary("q9").await.unwrap(), None);
}

#[tokio::test]
async fn a_page_looks_at_no_more_than_it_says_and_names_where_to_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    let mut wanted = plan("wanted", 0);
    wanted.kind = Some("audit".into());
    done(&conductor, submit("wanted", &manifest, wanted)).await;
    let others = (0..MAX_PAGE_SCAN)
        .map(|number| conductor.propose(submit(&format!("q{number}"), &manifest, plan("n", 0))));
    for answer in futures::future::join_all(others).await {
        answer.unwrap();
    }
    let audits = InquiryFilter { kind: Some("audit".into()), ..InquiryFilter::default() };
    let page = conductor.inquiries(&audits, None, 10).await.unwrap();
    assert_eq!((page.items.len(), page.next), (0, Some(1)));
    let page = conductor.inquiries(&audits, page.next, 10).await.unwrap();
    assert_eq!((page.items.len(), page.next), (1, None));
    // A full page that ends with the last one is the last page.
    let page = conductor.inquiries(&InquiryFilter::default(), Some(2), 2).await.unwrap();
    assert_eq!((page.items.len(), page.next), (2, None));
    let page = conductor.inquiries(&InquiryFilter::default(), Some(3), 2).await.unwrap();
    assert_eq!((page.items.len(), page.next), (2, Some(1)));
}

#[tokio::test]
async fn the_entries_of_an_inquiry_are_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    done(&conductor, submit("q-2", &manifest, plan("n", 1))).await;
    done(&conductor, create_key("k", None)).await;
    run(&conductor, "q", &manifest, 1).await;
    done(&conductor, authorized("inquiry.cancel", "q-2", cancel("q-2"))).await;
    let shown = |entries: Vec<(u64, Vec<u8>)>| {
        entries
            .into_iter()
            .map(|(index, bytes)| (index, Entry::parse(&bytes, index).unwrap().kind))
            .collect::<Vec<_>>()
    };
    let own = shown(conductor.inquiry_entries("q-2", 0, 100).await.unwrap());
    let expected = [(0, "inquiry-submitted"), (6, "access-decided"), (7, "inquiry-cancel-requested")];
    assert_eq!(own, expected.map(|(index, kind)| (index, kind.to_owned())));
    assert_eq!(shown(conductor.inquiry_entries("q-2", 1, 1).await.unwrap()), own[1..2]);
    assert_eq!(conductor.inquiry_entries("q", 0, 100).await.unwrap().len(), 4);
    let last = shown(conductor.last_entries("q-2", u64::MAX, 2).await.unwrap());
    assert_eq!(last, [own[2].clone(), own[1].clone()]);
    assert_eq!(shown(conductor.last_entries("q-2", 6, 2).await.unwrap()), own[..1]);
    assert!(conductor.last_entries("none", u64::MAX, 2).await.unwrap().is_empty());

    let cancelled = conductor.outline("q-2").await.unwrap().unwrap();
    assert_eq!(cancelled, conductor.inquiry("q-2").await.unwrap().unwrap().into());
    assert!(cancelled.running && cancelled.cancel_requested && !cancelled.continuous);
    let ran = conductor.outline("q").await.unwrap().unwrap();
    assert_eq!(ran, conductor.inquiry("q").await.unwrap().unwrap().into());
    assert_eq!(conductor.outline("none").await.unwrap(), None);
    assert!(conductor.inquiry_entries("", 0, 100).await.unwrap().is_empty());
}

#[tokio::test]
async fn whoever_watches_sees_what_was_applied_and_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    let mut size = conductor.subscribe();
    assert_eq!(*size.borrow_and_update(), 0);
    done(&conductor, submit("q", &manifest, plan("n", 1))).await;
    assert!(size.has_changed().unwrap());
    assert_eq!(*size.borrow_and_update(), 1);
    assert_eq!(conductor.ledger_entries(0, 10).await.unwrap().len(), 1);
    already(&conductor, submit("q", &manifest, plan("n", 1))).await;
    assert!(!size.has_changed().unwrap(), "nothing new is in the ledger");
}

#[tokio::test]
async fn sizes_and_declared_inquiries_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let conductor = open(&data).await;
    let manifest = manifest(&conductor).await;
    conductor.put_blob(b"manifest".to_vec()).await.unwrap();
    run(&conductor, "ended", &manifest, 1).await;
    let mut declared = submit("q", &manifest, plan("n", 1));
    if let Command::Submit { origin, .. } = &mut declared {
        *origin = Origin::Declared { file: "a.yaml".into() };
    }
    done(&conductor, declared).await;
    done(&conductor, submit("r", &manifest, plan("n", 1))).await;
    let sizes = conductor.sizes().await.unwrap();
    assert_eq!((sizes.ledger_entries, sizes.inquiries, sizes.unfinished), (6, 3, 2));
    assert_eq!((sizes.blobs, sizes.blob_bytes), (1, 8), "the same bytes are one blob");
    assert!(sizes.log_bytes > 0 && sizes.state_bytes > 0);
    conductor.shutdown().await;

    let conductor = open(&data).await;
    let again = conductor.sizes().await.unwrap();
    assert_eq!((again.blobs, again.blob_bytes, again.inquiries, again.unfinished), (1, 8, 3, 2));
    let declared = conductor.declared().await.unwrap();
    assert_eq!(declared.len(), 1);
    assert_eq!((declared[0].id.as_str(), &declared[0].manifest), ("q", &manifest));
    assert_eq!(*conductor.subscribe().borrow(), 6);
}
