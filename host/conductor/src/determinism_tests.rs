//! Members that apply the same log have the same state, to the last row: however the entries come together, when they are
//! opened anew in the midst of it, and when they begin from a snapshot.

use bytes::Bytes;
use inquisitor_engine::gating::{Access, KeyRecord, MAX_PLUGINS, MAX_TENANTS, PluginRecord, Role};
use inquisitor_engine::journal::{Applied, Refusal};
use inquisitor_ledger::Hash;
use openraft::RaftSnapshotBuilder;
use openraft::storage::RaftStateMachine;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::change::{Change, Proposal};
use crate::database::Store;
use crate::facts::{PlanFacts, RecordFacts};
use crate::raft::Entry;
use crate::read;
use crate::record::{OriginRow, Rounds};
use crate::registry::Registry;
use crate::rows::{Table, View};
use crate::state::StateMachine;
use crate::storage_tests::{entry, new_tenant, open};

fn digest(number: u8) -> String {
    Hash::digest(&[number]).to_string()
}

fn plugin(number: u8, tenant: Option<String>) -> PluginRecord {
    PluginRecord {
        digest: digest(number),
        name: "p".into(),
        version: number.to_string(),
        size: 1,
        tenant,
        uploaded_by: "k".into(),
        uploaded: 1,
    }
}

fn submit(inquiry: String, tenant: String, history: Option<u32>, key: Option<u8>) -> Change {
    Change::Submit {
        inquiry,
        plan: Bytes::from_static(b"{}"),
        facts: Box::new(PlanFacts {
            manifest_id: "m".into(),
            manifest_digest: "d".into(),
            name: "n".into(),
            tenant,
            kind: None,
            tags: vec![],
            steps: 2,
            rounds: history.map(|history| Rounds::new(history, [0])),
            plugins: vec![Hash::digest(&[history.map_or(0, |history| history as u8)]).0],
            plan: [2; 32],
            content: [3; 32],
            idempotency: key.map(|key| [key; 32]),
        }),
        manifest: digest(9),
        base_dir: None,
        bounds: Bytes::from_static(b"{}"),
        origin: OriginRow::Local,
        at: 1,
    }
}

fn record(inquiry: String, step: u32, round: u32, attempt: u32, is_final: bool) -> Change {
    Change::Record {
        inquiry,
        step,
        round,
        term: 1,
        attempt,
        record: Bytes::from_static(b"{}"),
        facts: RecordFacts {
            outcome: "skipped".into(),
            readings: None,
            transcript: None,
            blobs: vec![[8; 32]],
            ended: 1,
        },
        is_final,
    }
}

fn change() -> impl Strategy<Value = Change> {
    let id = || (0..3_u8).prop_map(|inquiry| format!("q{inquiry}"));
    let tenant = || (0..3_usize).prop_map(|tenant| ["default", "a", "b"][tenant].to_owned());
    let owner = || prop_oneof![Just(None), tenant().prop_map(Some)];
    let place = || (id(), 0..2_u32, 0..3_u32, 1..5_u32);
    let json = Bytes::from_static(b"{}");
    let (finding, reason, other) = (json.clone(), json.clone(), json);
    prop_oneof![
        3 => (id(), tenant(), prop::option::of(1..3_u32), prop::option::of(0..2_u8))
            .prop_map(|(inquiry, tenant, history, key)| submit(inquiry, tenant, history, key)),
        9 => place().prop_map(|(inquiry, step, round, attempt)| Change::Lease {
            inquiry, step, round, attempt, executor: "e".into(), at: 1
        }),
        9 => (place(), prop::bool::weighted(0.8))
            .prop_map(|((inquiry, step, round, attempt), is_final)| record(inquiry, step, round, attempt, is_final)),
        1 => id().prop_map(move |inquiry| Change::Update {
            inquiry, finding: finding.clone(), verdict: "VERIFIED".into(), at: 1
        }),
        1 => id().prop_map(|inquiry| Change::Cancel { inquiry, at: 1 }),
        1 => id().prop_map(move |inquiry| Change::Conclude {
            inquiry, finding: other.clone(), verdict: "VERIFIED".into(), artifacts: vec![], at: 1
        }),
        1 => id().prop_map(move |inquiry| Change::Abort {
            inquiry, reason: reason.clone(), name: "cancelled".into(), at: 1
        }),
        2 => tenant().prop_map(|name| match Proposal::decode(&new_tenant(&name)) {
            Ok(Proposal::Plain(change)) => change,
            other => panic!("{other:?}"),
        }),
        1 => tenant().prop_map(|tenant| Change::RemoveTenant { tenant, at: 1 }),
        2 => (0..3_u8, owner()).prop_map(|(key, tenant)| Change::CreateKey {
            key: KeyRecord {
                id: key.to_string(),
                name: "n".into(),
                secret_hash: digest(key),
                role: Role::Admin,
                tenant,
                created: 1,
                expires: None,
                revoked: None,
            },
            at: 1,
        }),
        1 => (0..3_u8).prop_map(|key| Change::RevokeKey { id: key.to_string(), at: 1 }),
        2 => (0..3_u8, owner())
            .prop_map(|(number, tenant)| Change::InstallPlugin { plugin: plugin(number, tenant), at: 1 }),
        1 => (0..3_u8, owner())
            .prop_map(|(number, tenant)| Change::RemovePlugin { digest: digest(number), tenant, at: 1 }),
    ]
}

fn proposal() -> impl Strategy<Value = Bytes> {
    let access = Access {
        action: "any".into(),
        resource: String::new(),
        tenant: None,
        key: None,
        role: None,
        request: "r".into(),
        allowed: true,
        reason: None,
        count: 1,
        at: 1,
    };
    (change(), 0..10_u8).prop_map(move |(change, kind)| {
        let proposal = match kind {
            0 => Proposal::Decided(access.clone()),
            1 | 2 => Proposal::Authorized(access.clone(), change),
            _ => Proposal::Plain(change),
        };
        proposal.encode().unwrap()
    })
}

/// Every row.
fn everything(store: &Store) -> Vec<(u8, Vec<u8>, Vec<u8>)> {
    let view = View::new(store).unwrap();
    let mut rows = Vec::new();
    for table in Table::ALL {
        view.for_each(table, |key, value| {
            rows.push((table as u8, key.to_vec(), value.to_vec()));
            Ok(())
        })
        .unwrap();
    }
    rows
}

/// All that a registry shows.
fn shown(registry: &Registry) -> String {
    let by_hash: Vec<_> = (0..3).map(|key| registry.key_by_hash(&digest(key))).collect();
    let tenants: Vec<_> = registry.tenants().collect();
    let keys: Vec<_> = registry.keys().collect();
    let plugins: Vec<_> = registry.plugins().collect();
    format!("{tenants:?} {keys:?} {by_hash:?} {plugins:?}")
}

fn published(machine: &StateMachine) -> String {
    shown(&machine.published().registry.borrow())
}

async fn alike(entries: Vec<Entry>) -> Result<(), TestCaseError> {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let middle = entries.len() / 2;
    let (_log, mut at_once, first) = open(&dirs[0]);
    at_once.apply(entries[..middle].to_vec()).await.unwrap();
    let mut snapshot = at_once.get_snapshot_builder().await.build_snapshot().await.unwrap();
    at_once.apply(entries[middle..].to_vec()).await.unwrap();

    let (log, mut one_by_one, before) = open(&dirs[1]);
    for entry in &entries[..middle] {
        one_by_one.apply([entry.clone()]).await.unwrap();
    }
    log.shared().close().unwrap();
    before.close().unwrap();
    drop((log, one_by_one));
    let (_log, mut one_by_one, reopened) = open(&dirs[1]);

    let (_log, mut from_snapshot, late) = open(&dirs[2]);
    let mut received = from_snapshot.begin_receiving_snapshot().await.unwrap();
    let mut bytes = Vec::new();
    snapshot.snapshot.read_to_end(&mut bytes).await.unwrap();
    received.write_all(&bytes).await.unwrap();
    received.flush().await.unwrap();
    from_snapshot.install_snapshot(&snapshot.meta, received).await.unwrap();

    for entry in &entries[middle..] {
        one_by_one.apply([entry.clone()]).await.unwrap();
        from_snapshot.apply([entry.clone()]).await.unwrap();
    }
    let loaded = Registry::load(&View::new(&first).unwrap(), 0).unwrap();
    for (machine, store) in [(&one_by_one, &reopened), (&from_snapshot, &late)] {
        prop_assert_eq!(read::head(store).unwrap(), read::head(&first).unwrap());
        prop_assert!(everything(store) == everything(&first), "the rows differ");
        prop_assert_eq!(published(machine), published(&at_once));
    }
    prop_assert_eq!(shown(&loaded), published(&at_once));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12,
        max_shrink_iters: 100,
        rng_seed: proptest::test_runner::RngSeed::Fixed(4321),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn members_that_apply_the_same_log_are_alike(log in prop::collection::vec(proposal(), 2..160)) {
        let entries = log.chunks(3).zip(0..).map(|(part, index)| entry(1, index, part.to_vec())).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(alike(entries))?;
    }
}

#[tokio::test]
async fn there_are_no_more_tenants_and_plugins_than_there_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let (_log, mut machine, _store) = open(&dir);
    // With the default one, one too many.
    let tenants = (0..MAX_TENANTS).map(|number| new_tenant(&format!("t{number}"))).collect();
    let plugins = (0..=MAX_PLUGINS).map(|number| {
        let mut plugin = plugin(0, None);
        plugin.digest = Hash::digest(&number.to_be_bytes()).to_string();
        plugin.version = number.to_string();
        Proposal::Plain(Change::InstallPlugin { plugin, at: 1 }).encode().unwrap()
    });
    let answers = machine.apply([entry(1, 0, tenants), entry(1, 1, plugins.collect())]).await.unwrap();
    for (answers, what, limit) in
        [(&answers[0], "tenants", MAX_TENANTS), (&answers[1], "uploaded plugins", MAX_PLUGINS)]
    {
        let (last, before) = answers.0.split_last().unwrap();
        assert!(before.iter().all(|answer| *answer == Applied::Done));
        assert_eq!(*last, Applied::Refused(Refusal::TooMany { what: what.into(), limit }));
    }
    assert_eq!(machine.published().registry.borrow().tenants().len(), MAX_TENANTS);
}
