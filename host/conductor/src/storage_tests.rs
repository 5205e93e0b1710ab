//! Both stores under openraft's own conformance suite, and what the suite does not cover.

use std::sync::Arc;

use bytes::Bytes;
use inquisitor_engine::gating::{DEFAULT_TENANT, Policy};
use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{CommittedLeaderId, EntryPayload, RaftLogReader, RaftSnapshotBuilder};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::change::{Change, Proposal};
use crate::compact;
use crate::database::{Commit, Store};
use crate::facts::{PlanFacts, TenantFacts};
use crate::identity::Layout;
use crate::list::{self, InquiryFilter, Summary};
use crate::log::RaftLog;
use crate::raft::{Batch, COMMAND_FORMAT, Entry, LogId, StorageError, TypeConfig, Vote};
use crate::read;
use crate::record::OriginRow;
use crate::rows::{Table, Writer};
use crate::state::{self, StateMachine};
use crate::waiting::Waiting;

struct Disk;

impl StoreBuilder<TypeConfig, RaftLog, StateMachine, TempDir> for Disk {
    async fn build(&self) -> Result<(TempDir, RaftLog, StateMachine), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        let (log, machine, _) = open(&dir);
        Ok((dir, log, machine))
    }
}

pub(crate) fn open(dir: &TempDir) -> (RaftLog, StateMachine, Arc<Store>) {
    let layout = Layout::prepare(&dir.path().join("data")).unwrap();
    let log = RaftLog::open(&layout.log).unwrap();
    let store = Arc::new(state::open(&layout.state).unwrap());
    let machine = StateMachine::new(store.clone(), layout.snapshots).unwrap();
    (log, machine, store)
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, 7), index)
}

fn submission(inquiry: &str) -> Bytes {
    let change = Change::Submit {
        inquiry: inquiry.into(),
        plan: Bytes::from_static(b"{}"),
        facts: Box::new(PlanFacts {
            manifest_id: "m".into(),
            manifest_digest: "cd".into(),
            name: "n".into(),
            tenant: DEFAULT_TENANT.into(),
            kind: None,
            tags: vec![],
            steps: 1,
            rounds: None,
            plugins: vec![[1; 32]],
            plan: [2; 32],
            content: [3; 32],
            idempotency: None,
        }),
        manifest: "ab".repeat(32),
        base_dir: None,
        bounds: Bytes::from_static(b"{}"),
        origin: OriginRow::Local,
        at: 1,
    };
    Proposal::Plain(change).encode().unwrap()
}

pub(crate) fn new_tenant(name: &str) -> Bytes {
    let tenant = TenantFacts {
        name: name.into(),
        description: String::new(),
        policy: serde_json::to_vec(&Policy::default()).unwrap().into(),
        limit: None,
        created: 1,
    };
    Proposal::Plain(Change::CreateTenant { tenant, at: 1 }).encode().unwrap()
}

fn all(store: &Store) -> Vec<Summary> {
    list::list(store, &InquiryFilter::default(), None, 100).unwrap().items
}

pub(crate) fn entry(term: u64, index: u64, changes: Vec<Bytes>) -> Entry {
    Entry {
        log_id: id(term, index),
        payload: EntryPayload::Normal(Batch { format: COMMAND_FORMAT, changes, waiting: Waiting::default() }),
    }
}

#[test]
fn the_stores_pass_openrafts_suite() {
    Suite::test_all(Disk).unwrap();
}

#[tokio::test]
async fn a_reopened_log_is_the_log_that_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _, _) = open(&dir);
    log.save_vote(&Vote::new_committed(3, 7)).await.unwrap();
    let entries: Vec<Entry> =
        (0..5000).map(|index| entry(3, index, vec![submission(&format!("q{index}"))])).collect();
    for part in entries.chunks(500) {
        log.blocking_append(part.to_vec()).await.unwrap();
    }
    log.save_committed(Some(id(3, 4000))).await.unwrap();
    log.truncate(id(3, 4990)).await.unwrap();
    log.purge(id(3, 99)).await.unwrap();
    log.shared().close().unwrap();
    drop(log);

    let (mut log, _, _) = open(&dir);
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(3, 99)), Some(id(3, 4989))));
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new_committed(3, 7)));
    assert_eq!(log.read_committed().await.unwrap(), Some(id(3, 4000)));
    let read = log.try_get_log_entries(0..u64::MAX).await.unwrap();
    assert_eq!(read, entries[100..4990]);
    // Entries in memory and entries in the file read as one.
    log.blocking_append([entry(4, 4990, vec![])]).await.unwrap();
    let read = log.get_log_reader().await.try_get_log_entries(4988..4991).await.unwrap();
    assert_eq!(
        read.iter().map(|entry| entry.log_id).collect::<Vec<_>>(),
        [id(3, 4988), id(3, 4989), id(4, 4990)]
    );
}

#[tokio::test]
async fn truncation_below_what_is_in_memory_finds_the_last_entry_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _, _) = open(&dir);
    let entries: Vec<Entry> = (0..3000).map(|index| entry(1, index, vec![])).collect();
    log.blocking_append(entries).await.unwrap();
    log.truncate(id(1, 10)).await.unwrap();
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(id(1, 9)));
    assert_eq!(log.try_get_log_entries(..).await.unwrap().len(), 10);
    log.blocking_append([entry(2, 10, vec![])]).await.unwrap();
    assert_eq!(log.try_get_log_entries(9..).await.unwrap().last().map(|entry| entry.log_id), Some(id(2, 10)));
}

#[tokio::test]
async fn a_read_for_replication_is_bounded_and_never_empty() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _, _) = open(&dir);
    let large = Bytes::from(vec![0_u8; 3 << 20]);
    log.blocking_append((0..3).map(|index| entry(1, index, vec![large.clone()]))).await.unwrap();
    let read = log.get_log_reader().await.limited_get_log_entries(0, 3).await.unwrap();
    assert_eq!(read.len(), 1);
}

#[tokio::test]
async fn a_snapshot_carries_everything_and_damage_is_refused_whole() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_log, mut source, source_store) = open(&from);
    let mut changes: Vec<Bytes> = (0..50).map(|inquiry| submission(&format!("q{inquiry}"))).collect();
    changes.push(new_tenant("pharma"));
    source.apply([entry(1, 0, changes)]).await.unwrap();
    let snapshot = source.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let mut bytes = Vec::new();
    let mut file = *snapshot.snapshot;
    file.read_to_end(&mut bytes).await.unwrap();

    let (_log, mut target, target_store) = open(&to);
    target.apply([entry(1, 0, vec![submission("other")])]).await.unwrap();
    let before = read::head(&target_store).unwrap();
    for at in [3, 9, bytes.len() / 2, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        let mut received = target.begin_receiving_snapshot().await.unwrap();
        received.write_all(&damaged).await.unwrap();
        received.flush().await.unwrap();
        assert!(target.install_snapshot(&snapshot.meta, received).await.is_err(), "byte {at}");
        assert_eq!(read::head(&target_store).unwrap(), before);
    }
    let mut received = target.begin_receiving_snapshot().await.unwrap();
    received.write_all(&bytes).await.unwrap();
    received.seek(std::io::SeekFrom::Start(5)).await.unwrap();
    target.install_snapshot(&snapshot.meta, received).await.unwrap();

    assert_eq!(read::head(&target_store).unwrap(), read::head(&source_store).unwrap());
    let published = target.published();
    assert_eq!(*published.ledger.borrow(), 51);
    assert!(published.registry.borrow().tenant("pharma").is_some());
    assert_eq!(all(&target_store), all(&source_store));
    assert_eq!(target.get_current_snapshot().await.unwrap().unwrap().meta, snapshot.meta);
    // Both go on alike.
    for machine in [&mut source, &mut target] {
        machine.apply([entry(1, 1, vec![submission("next")])]).await.unwrap();
    }
    assert_eq!(read::head(&target_store).unwrap(), read::head(&source_store).unwrap());
    assert_eq!(read::checkpoint(&target_store).unwrap().size, 52);
}

#[tokio::test]
async fn a_command_of_a_newer_format_stops_the_member_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (_log, mut machine, store) = open(&dir);
    let mut newer = entry(1, 0, vec![submission("q")]);
    if let EntryPayload::Normal(batch) = &mut newer.payload {
        batch.format = COMMAND_FORMAT + 1;
    }
    let error = machine.apply([newer]).await.unwrap_err().to_string();
    assert!(error.contains("the log entry 0 has format 2") && error.contains("up to format 1"), "{error}");
    assert_eq!(read::head(&store).unwrap().applied, None);
}

#[tokio::test]
async fn the_state_hash_tells_histories_apart_that_end_alike() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut hashes = Vec::new();
    for (position, dir) in dirs.iter().enumerate() {
        let (_log, mut machine, store) = open(dir);
        let order = if position == 2 { ["b", "a"] } else { ["a", "b"] };
        // However entries are gathered into transactions, the hash is the same.
        let entries: Vec<Entry> =
            order.iter().zip(0..).map(|(name, index)| entry(1, index, vec![submission(name)])).collect();
        if position == 0 {
            machine.apply(entries).await.unwrap();
        } else {
            for entry in entries {
                machine.apply([entry]).await.unwrap();
            }
        }
        hashes.push(read::head(&store).unwrap().state_hash);
    }
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[1], hashes[2]);
}

#[tokio::test]
async fn a_purge_gives_back_what_a_large_log_no_longer_needs() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _machine, _store) = open(&dir);
    let shared = log.shared();
    let large = Bytes::from(vec![7; 1 << 20]);
    for index in 0..80 {
        log.blocking_append([entry(1, index, vec![large.clone()])]).await.unwrap();
    }
    assert!(shared.store.size().unwrap() > compact::LARGE && shared.used().is_none());
    log.purge(id(1, 76)).await.unwrap();
    // What is written next comes after the compacting.
    log.save_vote(&Vote::new(2, 7)).await.unwrap();
    let (file, used) = (shared.store.size().unwrap(), shared.used().unwrap());
    assert!((3 << 20..16 << 20).contains(&used) && (used..20 << 20).contains(&file), "{used} of {file}");
    let left = log.get_log_reader().await.try_get_log_entries(77..80).await.unwrap();
    assert_eq!(left, [77, 78, 79].map(|index| entry(1, index, vec![large.clone()])));
    log.blocking_append([entry(2, 80, vec![large])]).await.unwrap();
}

#[test]
fn a_start_gives_back_what_a_large_state_no_longer_needs() {
    let dir = tempfile::tempdir().unwrap();
    let (log, state) = (dir.path().join("log.redb"), dir.path().join("state.redb"));
    let (log, state) = (Store::open(&log, 1 << 20).unwrap(), state::open(&state).unwrap());
    let rows = |keys: std::ops::Range<u8>, keep: bool| {
        state.write(Commit::Durable, |transaction| {
            let mut rows = Writer::new(&state, transaction);
            for key in keys {
                match keep {
                    true => rows.put_quietly(Table::Plans, &[key], &[key; 1 << 20])?,
                    false => rows.delete(Table::Plans, &[key])?,
                }
            }
            Ok(())
        })
    };
    rows(0..80, true).unwrap();
    rows(0..78, false).unwrap();
    let (before, snapshot) = (state.size().unwrap(), dir.path().join("current.snap"));
    assert!(before > compact::LARGE);
    compact::at_start(&log, &state, &snapshot);
    assert_eq!(state.size().unwrap(), before, "nothing is known of how much there is to move");
    std::fs::write(&snapshot, vec![0; 2 << 20]).unwrap();
    compact::at_start(&log, &state, &snapshot);
    assert!(state.size().unwrap() < 16 << 20, "{}", state.size().unwrap());
    use crate::rows::{ReadRows, View};
    let view = View::new(&state).unwrap();
    assert_eq!(view.count(Table::Plans).unwrap(), 2);
    assert_eq!(view.get(Table::Plans, &[79]).unwrap().unwrap(), [79; 1 << 20]);
}
