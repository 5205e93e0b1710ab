//! The applied state: one redb file, written by log entries alone.
//!
//! # Durability
//! Entries are applied in one transaction for as many as come together, with the position in the log written in the same
//! transaction. Most of these transactions are not synced: what an unclean stop takes back is applied again from the log,
//! which is durable before anything is applied. That holds because the log is only ever purged up to a snapshot, and a
//! snapshot is not announced before the state that it was made from is durable ([`crate::snapshot`]). So that little has to
//! be repeated, and because redb reuses no page that unsynced commits freed, every [`SYNC_BATCHES`] transactions or
//! [`SYNC_BYTES`] bytes one is synced. These rare ones also pay for redb's quick repair: the state may become large, and
//! without it an unclean stop costs a walk over the whole file. The log's file is small and goes without.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use inquisitor_ledger::{Frontier, Hash};
use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, OptionalSend};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use uuid::Uuid;

use crate::apply::{Progress, apply};
use crate::database::{Commit, Store};
use crate::error::{ConductorError, state_error};
use crate::logged::Logged;
use crate::raft::{
    Answers, COMMAND_FORMAT, Entry, LogId, Snapshot, SnapshotMeta, StorageError, StoredMembership, TypeConfig,
};
use crate::record::{decode, encode};
use crate::registry::Registry;
use crate::rows::{ReadRows, Table, View, Writer};
use crate::snapshot::{self, Builder};

/// Unsynced transactions after which one is synced. Each may hold hundreds of commands; this bounds what a start after an
/// unclean stop has to repeat.
const SYNC_BATCHES: u32 = 256;
/// Bytes written after which a transaction is synced, so that large plans do not pile up in redb's memory.
const SYNC_BYTES: usize = 8 << 20;
/// What redb keeps of the file in memory. The hot rows are few and small; the operating system caches the file as well.
const CACHE_BYTES: usize = 16 << 20;

/// The row that says how far the state is.
pub(crate) const HEAD: &[u8] = b"head";
/// The row of the cluster's id, as 16 bytes.
pub(crate) const CLUSTER: &[u8] = b"cluster";
/// The row of the membership.
pub(crate) const MEMBERSHIP: &[u8] = b"membership";

/// How far the state is. Written with every transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The last log entry applied.
    pub(crate) applied: Option<LogId>,
    /// Hash of the state; see [`Head::step`].
    pub(crate) state_hash: Hash,
    /// Number of ledger entries.
    pub(crate) size: u64,
    /// The ledger's complete subtrees, largest first.
    peaks: Vec<Hash>,
    /// Number of inquiries that were ever submitted.
    pub(crate) next_sequence: u64,
}

impl Head {
    fn new() -> Self {
        Self { applied: None, state_hash: Hash([0; 32]), size: 0, peaks: Vec::new(), next_sequence: 0 }
    }

    pub(crate) fn read(rows: &impl ReadRows) -> Result<Self, ConductorError> {
        match rows.get(Table::Meta, HEAD)? {
            None => Ok(Self::new()),
            Some(bytes) => decode("the position of the state", &bytes),
        }
    }

    pub(crate) fn ledger(&self) -> Result<Frontier, ConductorError> {
        Ok(Frontier::from_parts(self.size, self.peaks.clone())?)
    }

    fn progress(&self) -> Result<Progress, ConductorError> {
        Ok(Progress { ledger: self.ledger()?, next_sequence: self.next_sequence })
    }

    /// Takes in one applied entry: `SHA-256(hash so far ‖ index ‖ SHA-256(every row written and removed))`, 0 for the
    /// empty state. Two members with the same hash at the same index wrote the same rows in the same order, from the first
    /// entry on; reading the whole state would say no more and cost a walk over it.
    fn step(&mut self, id: LogId, written: &Hash) {
        let hash = Sha256::new()
            .chain_update(self.state_hash.0)
            .chain_update(id.index.to_be_bytes())
            .chain_update(written.0)
            .finalize();
        self.state_hash = Hash(hash.into());
        self.applied = Some(id);
    }
}

pub(crate) fn read_membership(rows: &impl ReadRows) -> Result<StoredMembership, ConductorError> {
    match rows.get(Table::Meta, MEMBERSHIP)? {
        None => Ok(StoredMembership::default()),
        Some(bytes) => decode("the membership", &bytes),
    }
}

/// The cluster's id; none before its first leader has drawn one.
pub(crate) fn read_cluster(rows: &impl ReadRows) -> Result<Option<Uuid>, ConductorError> {
    let Some(bytes) = rows.get(Table::Meta, CLUSTER)? else { return Ok(None) };
    Uuid::from_slice(&bytes).map(Some).map_err(|error| ConductorError::damaged("the cluster's id", error))
}

/// Opens the state's file.
pub(crate) fn open(path: &Path) -> Result<Store, ConductorError> {
    Store::open(path, CACHE_BYTES)
}

/// Whether anything was ever applied to the state.
pub(crate) fn has_applied(store: &Store) -> Result<bool, ConductorError> {
    Ok(Head::read(&View::new(store)?)?.applied.is_some())
}

/// The state machine that openraft drives.
pub(crate) struct StateMachine {
    store: Arc<Store>,
    snapshots: PathBuf,
    head: Head,
    published: Published,
    unsynced_batches: u32,
    unsynced_bytes: usize,
}

/// What others may watch of the applied state. Changes once the rows that it is about can be read.
#[derive(Clone)]
pub(crate) struct Published {
    /// Number of ledger entries.
    pub(crate) ledger: watch::Sender<u64>,
    pub(crate) registry: watch::Sender<Arc<Registry>>,
    /// Index of the last log entry applied.
    pub(crate) applied: watch::Sender<Option<u64>>,
    /// The cluster's id, once there is one.
    pub(crate) cluster: watch::Sender<Option<Uuid>>,
}

/// What is read of the state when it is opened or replaced.
struct Loaded {
    head: Head,
    registry: Registry,
    cluster: Option<Uuid>,
}

impl Loaded {
    fn read(store: &Store) -> Result<Self, ConductorError> {
        let view = View::new(store)?;
        let head = Head::read(&view)?;
        let registry = Registry::load(&view, head.size)?;
        Ok(Self { head, registry, cluster: read_cluster(&view)? })
    }
}

impl Published {
    fn set(&self, head: &Head, registry: Option<Registry>) {
        let size = head.size;
        // The registry first: whoever is woken by the ledger finds what the entries speak of.
        if let Some(registry) = registry {
            self.registry.send_replace(Arc::new(registry));
        }
        self.ledger.send_if_modified(|there| std::mem::replace(there, size) != size);
        self.applied.send_replace(head.applied.map(|id| id.index));
    }
}

impl StateMachine {
    pub(crate) fn new(store: Arc<Store>, snapshots: PathBuf) -> Result<Self, ConductorError> {
        let Loaded { head, registry, cluster } = Loaded::read(&store)?;
        let published = Published {
            ledger: watch::Sender::new(head.size),
            registry: watch::Sender::new(Arc::new(registry)),
            applied: watch::Sender::new(head.applied.map(|id| id.index)),
            cluster: watch::Sender::new(cluster),
        };
        Ok(Self { store, snapshots, head, published, unsynced_batches: 0, unsynced_bytes: 0 })
    }

    /// What others may watch.
    pub(crate) fn published(&self) -> Published {
        self.published.clone()
    }

    /// Whether the transaction with these entries has to be synced.
    fn is_sync_due(&self, entries: &[Entry]) -> bool {
        let bytes: usize = entries
            .iter()
            .map(|entry| match &entry.payload {
                EntryPayload::Normal(batch) => batch.changes.iter().map(bytes::Bytes::len).sum(),
                EntryPayload::Blank | EntryPayload::Membership(_) => 0,
            })
            .sum();
        self.unsynced_batches + 1 >= SYNC_BATCHES || self.unsynced_bytes + bytes >= SYNC_BYTES
    }

    /// Applies entries in one transaction, and answers those who wait for them.
    fn apply_entries(&mut self, entries: &[Entry], sync: bool) -> Result<Vec<Answers>, ConductorError> {
        let commit = if sync { Commit::DurableQuickRepair } else { Commit::Deferred };

        let mut head = self.head.clone();
        let mut progress = head.progress()?;
        let (mut answers, written, changes) = self.store.write(commit, |transaction| {
            let mut rows = Writer::new(&self.store, transaction);
            let mut answers = Vec::with_capacity(entries.len());
            for entry in entries {
                answers.push(apply_entry(&mut rows, &mut progress, entry)?);
                let written = rows.take_hash();
                head.step(entry.log_id, &written);
            }
            head.size = progress.ledger.size();
            head.peaks = progress.ledger.peaks().to_vec();
            head.next_sequence = progress.next_sequence;
            rows.put_quietly(Table::Meta, HEAD, &encode(&head)?)?;
            Ok((answers, rows.written(), rows.take_registry()))
        })?;
        self.head = head;
        let registry = if changes.is_empty() {
            None
        } else {
            let before = self.published.registry.borrow().clone();
            Some(before.changed(changes, self.head.size)?)
        };
        if self.published.cluster.borrow().is_none()
            && let Some(cluster) = read_cluster(&View::new(&self.store)?)?
        {
            self.published.cluster.send_replace(Some(cluster));
        }
        self.published.set(&self.head, registry);
        if sync {
            self.unsynced_batches = 0;
            self.unsynced_bytes = 0;
        } else {
            self.unsynced_batches += 1;
            self.unsynced_bytes += written;
        }
        for (entry, answers) in entries.iter().zip(&mut answers) {
            if let EntryPayload::Normal(batch) = &entry.payload
                && batch.waiting.is_open()
            {
                batch.waiting.answer(entry.log_id.index, std::mem::take(&mut answers.0));
            }
        }
        Ok(answers)
    }
}

fn apply_entry(
    rows: &mut Writer<'_>,
    progress: &mut Progress,
    entry: &Entry,
) -> Result<Answers, ConductorError> {
    match &entry.payload {
        EntryPayload::Blank => Ok(Answers(Vec::new())),
        EntryPayload::Membership(membership) => {
            let stored = StoredMembership::new(Some(entry.log_id), membership.clone());
            rows.put(Table::Meta, MEMBERSHIP, &encode(&stored)?)?;
            Ok(Answers(Vec::new()))
        }
        EntryPayload::Normal(batch) => {
            if batch.format != COMMAND_FORMAT {
                return Err(ConductorError::NewerFormat {
                    what: format!("the log entry {}", entry.log_id.index),
                    found: batch.format.into(),
                    supported: COMMAND_FORMAT.into(),
                });
            }
            let term = entry.log_id.leader_id.term;
            let apply_one = |bytes: &bytes::Bytes| apply(rows, progress, &Logged::decode(bytes)?, term);
            Ok(Answers(batch.changes.iter().map(apply_one).collect::<Result<_, _>>()?))
        }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let membership = View::new(&self.store)
            .and_then(|view| read_membership(&view))
            .map_err(|error| state_error(&error))?;
        Ok((self.head.applied, membership))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Answers>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        // On this task, which openraft gives the state machine alone: an unsynced transaction takes less than the detour
        // over a blocking thread. A synced one waits for the disk, so the runtime may move its other tasks away.
        let sync = self.is_sync_due(&entries);
        let multi_thread =
            tokio::runtime::Handle::current().runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread;
        let applied = if sync && multi_thread {
            tokio::task::block_in_place(|| self.apply_entries(&entries, sync))
        } else {
            self.apply_entries(&entries, sync)
        };
        applied.map_err(|error| {
            tracing::error!(%error, "the state cannot be written; this member stops");
            state_error(&error)
        })
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder::new(self.store.clone(), self.snapshots.clone())
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<tokio::fs::File>, StorageError> {
        let file = snapshot::receive(&self.snapshots).map_err(|error| state_error(&error))?;
        Ok(Box::new(tokio::fs::File::from_std(file)))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<tokio::fs::File>,
    ) -> Result<(), StorageError> {
        let file = snapshot.into_std().await;
        let (store, dir, meta) = (self.store.clone(), self.snapshots.clone(), meta.clone());
        let Loaded { head, registry, cluster } = blocking(move || {
            snapshot::install(&store, &dir, file, &meta)?;
            Loaded::read(&store)
        })
        .await
        .map_err(|error| state_error(&error))?;
        self.head = head;
        self.published.cluster.send_replace(cluster);
        self.published.set(&self.head, Some(registry));
        self.unsynced_batches = 0;
        self.unsynced_bytes = 0;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        snapshot::current(&self.snapshots).map_err(|error| state_error(&error))
    }
}

/// Runs blocking work on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ConductorError> + Send + 'static,
) -> Result<T, ConductorError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_cancelled() => Err(ConductorError::Closed),
        // redb asserts what it reads; a file that something else wrote to can end here.
        Err(error) => Err(ConductorError::damaged("a file of the data directory", panic_text(error))),
    }
}

/// What a task that panicked said.
fn panic_text(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
            (Some(text), _) => text.clone(),
            (None, Some(text)) => (*text).to_owned(),
            (None, None) => "reading it failed".to_owned(),
        },
        Err(error) => error.to_string(),
    }
}
