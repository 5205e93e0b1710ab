//! The Raft log, in a redb file of its own so that its churn does not bloat the state's.
//!
//! Whatever changes the file goes, in order, through one writer thread ([`crate::log_writer`]): appends, votes, truncation
//! and purging can neither overtake each other nor block the async runtime, and what has piled up while one transaction was
//! being synced shares the next. Entries can be read from the moment they are handed in: those not on disk yet, and some
//! of the latest that are, are kept in memory, which also spares applying the way through the file.
//! What a leader of others appends is not waited for ([`crate::leading`]); who waits for the disk does so by the index.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend, RaftLogReader, ServerState, StorageIOError};
use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableError};
use tokio::sync::{oneshot, watch};

use crate::compact;
use crate::database::{Commit, Store};
use crate::error::{ConductorError, any, chain};
use crate::leading::Leading;
use crate::log_writer::{Op, Writer};
use crate::raft::{Entry, LogId, ServerMetrics, StorageError, TypeConfig, Vote};
use crate::record::{decode, encode};
use crate::state::blocking;

/// Entries by index.
pub(crate) const ENTRIES: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("entries");
/// Vote, purged and committed position, format; by name.
pub(crate) const FACTS: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("facts");
pub(crate) const VOTE: &str = "vote";
pub(crate) const PURGED: &str = "purged";
pub(crate) const COMMITTED: &str = "committed";
const FORMAT_KEY: &str = "format";
/// Format of the file: of entries and facts, not of the commands in the entries.
const FORMAT: u32 = 1;

/// What redb keeps of the file in memory. It is written and hardly read.
const CACHE_BYTES: usize = 8 << 20;
/// Entries that stay in memory once they are on disk, for members that are a little behind.
const RECENT_ENTRIES: usize = 1024;
/// Bytes of them.
const RECENT_BYTES: usize = 4 << 20;
/// Bytes of entries that one read for replication returns; always at least one entry.
const MAX_READ_BYTES: usize = 4 << 20;

/// The log as openraft writes it.
pub(crate) struct RaftLog {
    shared: Arc<Shared>,
}

/// Reads the log beside the writing.
#[derive(Clone)]
pub(crate) struct LogReader {
    shared: Arc<Shared>,
}

/// What writer, readers and writer thread share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    recent: Mutex<Recent>,
    /// The first index that is not on disk; or why nothing more will be.
    durable: watch::Sender<Result<u64, String>>,
    writer: Writer,
    /// Bytes of the file that were in use after the last purge; none before the first.
    used: AtomicU64,
}

/// What is known without reading the file.
#[derive(Default)]
struct Recent {
    /// The latest entries without a gap, each with the size of its encoding; all that are not on disk yet are here.
    entries: BTreeMap<u64, (Entry, usize)>,
    bytes: usize,
    /// The first index that is not on disk.
    flushed_next: u64,
    last: Option<LogId>,
    purged: Option<LogId>,
    vote: Option<Vote>,
    committed: Option<LogId>,
    leading: Leading,
}

impl Recent {
    /// What the file says; none where it is new.
    fn read(store: &Store) -> Result<Option<Self>, ConductorError> {
        store.with(|database| {
            let transaction = database.begin_read().map_err(store.error())?;
            let facts = match transaction.open_table(FACTS) {
                Ok(facts) => facts,
                Err(TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(store.error()(error)),
            };
            let found: u32 = fact(store, &facts, FORMAT_KEY)?.unwrap_or_default();
            if found != FORMAT {
                let what = store.path().display().to_string();
                return Err(ConductorError::NewerFormat { what, found, supported: FORMAT });
            }
            let entries = transaction.open_table(ENTRIES).map_err(store.error())?;
            let purged = fact(store, &facts, PURGED)?;
            let last = match entries.last().map_err(store.error())? {
                None => purged,
                Some((_, value)) => {
                    let entry: Entry = decode("an entry of the log", value.value())?;
                    Some(entry.log_id)
                }
            };
            Ok(Some(Self {
                flushed_next: last.map_or(0, |id| id.index + 1),
                last,
                purged,
                vote: fact(store, &facts, VOTE)?,
                committed: fact(store, &facts, COMMITTED)?,
                ..Self::default()
            }))
        })
    }

    /// Forgets what is on disk and over the bound.
    fn trim(&mut self) {
        while self.entries.len() > RECENT_ENTRIES || self.bytes > RECENT_BYTES {
            let Some(first) = self.entries.first_entry() else { return };
            if *first.key() >= self.flushed_next {
                return;
            }
            self.bytes -= first.remove().1;
        }
    }

    fn remove(&mut self, index: u64) {
        if let Some((_, size)) = self.entries.remove(&index) {
            self.bytes -= size;
        }
    }
}

impl Shared {
    fn recent(&self) -> MutexGuard<'_, Recent> {
        // No code that holds the lock can leave it half changed.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called by the writer thread when entries below `next` are on disk.
    pub(crate) fn flushed(&self, next: u64) {
        let mut recent = self.recent();
        recent.flushed_next = recent.flushed_next.max(next);
        recent.trim();
        self.tell(&recent);
    }

    /// Called by the writer thread when something cannot be written.
    pub(crate) fn failed(&self, problem: String) {
        let _before = self.durable.send_replace(Err(problem));
    }

    /// Says how far the disk is to those that wait.
    fn tell(&self, recent: &Recent) {
        self.durable.send_if_modified(|there| match there {
            Ok(there) => std::mem::replace(there, recent.flushed_next) != recent.flushed_next,
            Err(_) => false,
        });
    }

    /// Waits until the entry with this index is on disk.
    pub(crate) async fn durable(&self, index: u64) -> Result<(), String> {
        let mut durable = self.durable.subscribe();
        let there = durable.wait_for(|there| !matches!(there, Ok(next) if *next <= index)).await;
        there.map_err(|_| "the log is closed".to_owned())?.clone().map(drop)
    }

    /// What keeps the file from being written.
    fn check(&self) -> Result<(), ConductorError> {
        match &*self.durable.borrow() {
            Ok(_) => Ok(()),
            Err(problem) => Err(ConductorError::Consensus(problem.clone())),
        }
    }

    /// Notes under which membership this member leads, if it does.
    pub(crate) fn observe(&self, metrics: &ServerMetrics) {
        let mut recent = self.recent();
        if metrics.state == ServerState::Leader && recent.vote == Some(metrics.vote) {
            let stored = &metrics.membership_config;
            recent.leading.learn(stored.log_id().map(|id| id.index), stored.membership());
        }
    }

    /// Called by the writer thread after a purge.
    pub(crate) fn purged(&self) {
        match compact::after_purge(&self.store) {
            Ok(used) => self.used.store(used, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(error = chain(&error), "free space of the log could not be given back");
            }
        }
    }

    /// Bytes of the file that were in use after the last purge; none before the first since the start.
    pub(crate) fn used(&self) -> Option<u64> {
        Some(self.used.load(Ordering::Relaxed)).filter(|used| *used > 0)
    }

    /// Writes what is left, ends the writer thread and closes the file.
    pub(crate) fn close(&self) -> Result<(), ConductorError> {
        self.writer.stop();
        self.store.close()
    }

    /// Reads entries from the file.
    fn stored(&self, from: u64, to: u64) -> Result<Vec<(Entry, usize)>, ConductorError> {
        self.store.with(|database| {
            let transaction = database.begin_read().map_err(self.store.error())?;
            let table = match transaction.open_table(ENTRIES) {
                Ok(table) => table,
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(self.store.error()(error)),
            };
            let mut entries = Vec::new();
            for row in table.range(from..to).map_err(self.store.error())? {
                let (_, value) = row.map_err(self.store.error())?;
                entries.push((decode("an entry of the log", value.value())?, value.value().len()));
            }
            Ok(entries)
        })
    }

    /// Whether the entries from this one on are in memory.
    fn is_in_memory(&self, from: u64) -> bool {
        self.recent().entries.first_key_value().is_some_and(|(first, _)| *first <= from)
    }

    /// Entries in `from..to` with the sizes of their encodings.
    fn entries(&self, from: u64, to: u64) -> Result<Vec<(Entry, usize)>, ConductorError> {
        let mut in_memory = Vec::new();
        let in_file_to = {
            let recent = self.recent();
            let last_next = recent.last.map_or(0, |id| id.index + 1);
            let first = recent.entries.first_key_value().map_or(last_next, |(index, _)| *index);
            if from.max(first) < to {
                in_memory.extend(recent.entries.range(from.max(first)..to).map(|(_, entry)| entry.clone()));
            }
            to.min(first)
        };
        if from >= in_file_to {
            return Ok(in_memory);
        }
        let mut entries = self.stored(from, in_file_to)?;
        entries.append(&mut in_memory);
        Ok(entries)
    }
}

impl RaftLog {
    /// Opens or creates the file and starts its writer thread.
    pub(crate) fn open(path: &Path) -> Result<Self, ConductorError> {
        let store = Store::open(path, CACHE_BYTES)?;
        let recent = match Recent::read(&store)? {
            Some(recent) => recent,
            None => {
                store.write(Commit::Durable, |transaction| {
                    let mut facts = transaction.open_table(FACTS).map_err(store.error())?;
                    facts.insert(FORMAT_KEY, encode(&FORMAT)?.as_slice()).map_err(store.error())?;
                    transaction.open_table(ENTRIES).map_err(store.error())?;
                    Ok(())
                })?;
                Recent::default()
            }
        };
        let shared = Arc::new_cyclic(|weak| Shared {
            store,
            durable: watch::Sender::new(Ok(recent.flushed_next)),
            recent: Mutex::new(recent),
            writer: Writer::start(weak.clone()),
            used: AtomicU64::new(0),
        });
        Ok(Self { shared })
    }

    /// Makes the file of a disk whose state has all up to an entry, and that has voted for nobody after its term. Blocking.
    pub(crate) fn begin_after(path: &Path, applied: LogId, node_id: u64) -> Result<(), ConductorError> {
        let log = Self::open(path)?;
        let store = &log.shared.store;
        // Terms only grow, so that what is leased and recorded from here on outlasts what was before.
        let vote = Vote::new(applied.leader_id.term, node_id);
        store.write(Commit::Durable, |transaction| {
            let mut facts = transaction.open_table(FACTS).map_err(store.error())?;
            for (name, value) in
                [(PURGED, encode(&applied)?), (COMMITTED, encode(&applied)?), (VOTE, encode(&vote)?)]
            {
                facts.insert(name, value.as_slice()).map_err(store.error())?;
            }
            Ok(())
        })?;
        log.shared.close()
    }

    /// Whether nothing was ever written to it: no entry, no vote.
    pub(crate) fn is_new(&self) -> bool {
        let recent = self.shared.recent();
        recent.last.is_none() && recent.vote.is_none()
    }

    /// This member takes part in a cluster, under this id. If it led when it stopped it does not lead on, as openraft would
    /// have it: others may have entries of its term that its own disk does not, and it would give their places to others.
    pub(crate) fn act_as(&self, id: u64) {
        let mut recent = self.shared.recent();
        recent.leading.act_as(id);
        if let Some(vote) = &mut recent.vote
            && vote.leader_id.node_id == id
        {
            vote.committed = false;
        }
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Hands an operation to the writer thread and waits until it is durable.
    async fn durable(
        &self,
        op: impl FnOnce(oneshot::Sender<Result<(), String>>) -> Op,
    ) -> Result<(), ConductorError> {
        let (done, durable) = oneshot::channel();
        self.shared.writer.send(op(done))?;
        match durable.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(problem)) => Err(ConductorError::Consensus(problem)),
            Err(_) => Err(ConductorError::Closed),
        }
    }
}

fn fact<T: serde::de::DeserializeOwned>(
    store: &Store,
    facts: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<T>, ConductorError> {
    let value = facts.get(name).map_err(store.error())?;
    value.map(|value| decode("the log's file", value.value())).transpose()
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(to) => *to,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

fn read_error(error: &ConductorError) -> StorageError {
    StorageIOError::read_logs(any(error)).into()
}

fn write_error(error: &ConductorError) -> StorageError {
    StorageIOError::write_logs(any(error)).into()
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let (from, to) = bounds(&range);
        let entries = self.read(from, to).await?;
        Ok(entries.into_iter().map(|(entry, _)| entry).collect())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        let entries = self.read(start, end).await?;
        let mut bytes = 0;
        let fitting = entries.into_iter().enumerate().take_while(|(position, (_, size))| {
            bytes += size;
            *position == 0 || bytes <= MAX_READ_BYTES
        });
        Ok(fitting.map(|(_, (entry, _))| entry).collect())
    }
}

impl LogReader {
    /// Entries with the sizes of their encodings. What was just appended, which is what is applied and sent to other members,
    /// is in memory; only the rest is worth a thread that may block.
    async fn read(&self, from: u64, to: u64) -> Result<Vec<(Entry, usize)>, StorageError> {
        // What cannot be written must not be sent either; openraft stops when it hears so.
        self.shared.check().map_err(|error| read_error(&error))?;
        let entries = if self.shared.is_in_memory(from) {
            self.shared.entries(from, to)
        } else {
            let shared = self.shared.clone();
            blocking(move || shared.entries(from, to)).await
        };
        entries.map_err(|error| read_error(&error))
    }
}

impl RaftLogReader<TypeConfig> for RaftLog {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        LogReader { shared: self.shared.clone() }.try_get_log_entries(range).await
    }
}

impl RaftLogStorage<TypeConfig> for RaftLog {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let recent = self.shared.recent();
        Ok(LogState { last_purged_log_id: recent.purged, last_log_id: recent.last })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader { shared: self.shared.clone() }
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let failed = |error| StorageError::from(StorageIOError::write_vote(any(&error)));
        let value = encode(vote).map_err(failed)?;
        self.durable(|done| Op::Fact { name: VOTE, value, done: Some(done) }).await.map_err(failed)?;
        let mut recent = self.shared.recent();
        if recent.vote != Some(*vote) {
            recent.leading.voted();
        }
        recent.vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.shared.recent().vote)
    }

    /// Not waited for: it goes to disk with whatever is written next. A start after an unclean stop then finds an older
    /// position, which is a correct one, and the rest is committed again once there is a leader.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        let Some(id) = committed else { return Ok(()) };
        let value = encode(&id).map_err(|error| write_error(&error))?;
        self.shared
            .writer
            .send(Op::Fact { name: COMMITTED, value, done: None })
            .map_err(|error| write_error(&error))?;
        self.shared.recent().committed = Some(id);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.shared.recent().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.shared.check().map_err(|error| write_error(&error))?;
        let (mut rows, mut waiting) = (Vec::new(), Vec::new());
        let mut at_once = true;
        {
            let mut recent = self.shared.recent();
            for entry in entries {
                if let EntryPayload::Membership(membership) = &entry.payload {
                    recent.leading.learn(Some(entry.log_id.index), membership);
                }
                at_once &= recent.leading.counts_at_once(recent.vote.as_ref(), &entry.log_id);
                if let EntryPayload::Normal(batch) = &entry.payload {
                    waiting.push(batch.waiting.clone());
                }
                let bytes = encode(&entry).map_err(|error| write_error(&error))?;
                let index = entry.log_id.index;
                recent.remove(index);
                recent.last = Some(entry.log_id);
                recent.bytes += bytes.len();
                recent.entries.insert(index, (entry, bytes.len()));
                rows.push((index, bytes));
            }
        }
        let (done, now) = if at_once { (None, Some(callback)) } else { (Some(callback), None) };
        self.shared.writer.send(Op::Append { rows, waiting, done }).map_err(|error| write_error(&error))?;
        if let Some(callback) = now {
            callback.log_io_completed(Ok(()));
        }
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let before = log_id.index.checked_sub(1);
        let in_file = {
            let mut recent = self.shared.recent();
            let removed: Vec<u64> = recent.entries.range(log_id.index..).map(|(index, _)| *index).collect();
            for index in removed {
                recent.remove(index);
            }
            recent.flushed_next = recent.flushed_next.min(log_id.index);
            let in_memory =
                before.and_then(|index| recent.entries.get(&index)).map(|(entry, _)| entry.log_id);
            recent.last = in_memory.or(recent.purged);
            in_memory.is_none()
        };
        if let (true, Some(index)) = (in_file, before) {
            let stored = self.shared.stored(index, log_id.index).map_err(|error| read_error(&error))?;
            if let Some((entry, _)) = stored.last() {
                self.shared.recent().last = Some(entry.log_id);
            }
        }
        self.durable(|done| Op::Truncate { from: log_id.index, done })
            .await
            .map_err(|error| write_error(&error))?;
        // Appends that were under way may have been told meanwhile.
        let mut recent = self.shared.recent();
        recent.flushed_next = recent.flushed_next.min(log_id.index);
        self.shared.tell(&recent);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        {
            let mut recent = self.shared.recent();
            let removed: Vec<u64> = recent.entries.range(..=log_id.index).map(|(index, _)| *index).collect();
            for index in removed {
                recent.remove(index);
            }
            recent.purged = recent.purged.max(Some(log_id));
            recent.last = recent.last.max(Some(log_id));
            recent.flushed_next = recent.flushed_next.max(log_id.index + 1);
            self.shared.tell(&recent);
        }
        let value = encode(&log_id).map_err(|error| write_error(&error))?;
        self.durable(|done| Op::Purge { upto: log_id.index, value, done })
            .await
            .map_err(|error| write_error(&error))
    }
}
