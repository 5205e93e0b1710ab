//! What can be asked of a conductor beside the journal: lists, the ledger and its proofs, what is watched, and how it stands.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use inquisitor_engine::journal::Inquiry;
use inquisitor_ledger::{Checkpoint, Hash};
use openraft::ServerState;
use serde::Serialize;
use tokio::sync::watch;

use super::{Conductor, MemberStatus};
use crate::database::Store;
use crate::error::ConductorError;
use crate::identity::show_id;
use crate::list::{self, InquiryFilter, Page, Summary};
use crate::node::Running;
use crate::raft::Metrics;
use crate::read::{self, Small, StoredFinding};
use crate::registry::Registry;
use crate::snapshot;

/// Rows up to which a list is read without a detour over a thread that may block.
const FEW_ROWS: usize = 64;

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RaftStatus {
    /// Name for people.
    pub name: String,
    /// Id in the cluster, 16 hexadecimal digits.
    pub node_id: String,
    /// The cluster's id; empty before there is one.
    pub cluster: String,
    /// `leader`, `follower`, `candidate`, `learner`, `shutdown`, or `joining` before it has found the others.
    pub role: &'static str,
    /// Whether somebody leads whom this member has heard lately.
    pub has_leader: bool,
    /// Milliseconds since this member heard its leader, or a majority where it leads itself.
    pub last_contact_ms: Option<u64>,
    /// All members, by name.
    pub members: Vec<MemberStatus>,
    /// What keeps this member from being of use; empty where all is well.
    pub obstacles: Vec<String>,
    /// The current term.
    pub term: u64,
    /// Id of the leader, where one is known.
    pub leader: Option<String>,
    /// Index of the last log entry.
    pub last_log_index: Option<u64>,
    /// Index of the last log entry applied.
    pub applied_index: Option<u64>,
    /// Index of the last log entry in the last snapshot.
    pub snapshot_index: Option<u64>,
    /// Index of the last log entry purged.
    pub purged_index: Option<u64>,
    /// Hash over everything that was ever written to the state up to `applied_index`: two members with equal indexes and
    /// different hashes have drifted apart.
    pub state_hash: String,
}

/// How much is stored on this member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct StoreSizes {
    /// Entries of the ledger.
    pub ledger_entries: u64,
    /// Bytes of the Raft log's file.
    pub log_bytes: u64,
    /// Bytes of it that were in use after the last purge; all before the first one since the start.
    pub log_used_bytes: u64,
    /// Bytes of the applied state's file.
    pub state_bytes: u64,
    /// Bytes of the rows in it at the last snapshot; all of the file before the first one.
    pub state_used_bytes: u64,
    /// Bytes of all blobs.
    pub blob_bytes: u64,
    /// Number of blobs.
    pub blobs: u64,
    /// Inquiries that were ever submitted.
    pub inquiries: u64,
    /// Inquiries that have not ended.
    pub unfinished: u64,
}

impl Conductor {
    /// What this member says of itself.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn status(&self) -> Result<RaftStatus, ConductorError> {
        let head = self.read_few(read::head)?;
        let running = self.node.running();
        let metrics = running.map_or_else(|| Metrics::new_initial(0), Running::metrics);
        let role = match (running, metrics.state) {
            (None, _) => "joining",
            (_, ServerState::Learner) => "learner",
            (_, ServerState::Follower) => "follower",
            (_, ServerState::Candidate) => "candidate",
            (_, ServerState::Leader) => "leader",
            (_, ServerState::Shutdown) => "shutdown",
        };
        let identity = self.identity();
        let cluster = *self.node.published.cluster.borrow();
        Ok(RaftStatus {
            name: identity.name,
            node_id: show_id(identity.node_id),
            cluster: cluster.map(|cluster| cluster.to_string()).unwrap_or_default(),
            has_leader: running.is_some_and(|running| self.has_leader(running)),
            last_contact_ms: self.staleness().last_contact_ms,
            members: self.members(),
            obstacles: self.obstacles(),
            role,
            term: metrics.current_term,
            leader: metrics.current_leader.map(show_id),
            last_log_index: metrics.last_log_index,
            applied_index: head.applied.map(|id| id.index),
            snapshot_index: metrics.snapshot.map(|id| id.index),
            purged_index: metrics.purged.map(|id| id.index),
            state_hash: head.state_hash.to_string(),
        })
    }

    /// The tenants, keys and uploaded plugins as they are applied here. Costs nothing; ask anew for each request.
    pub fn registry(&self) -> Arc<Registry> {
        self.node.published.registry.borrow().clone()
    }

    /// Number of ledger entries applied here. Changes once the rows that the entries are about can be read.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.node.published.ledger.subscribe()
    }

    /// Inquiries that pass the filter, newest first, at most `limit` (and at most [`crate::MAX_PAGE`]) of those that were
    /// submitted before the one with the sequence number `before`; from the newest where none is given. A page looks at no
    /// more than [`crate::MAX_PAGE_SCAN`] inquiries (and less than one slice above it), so it may hold fewer than asked for
    /// and still say where to go on.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn inquiries(
        &self,
        filter: &InquiryFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Page<Summary>, ConductorError> {
        if limit <= FEW_ROWS && !filter.is_narrow() {
            return self.read_few(|store| list::list(store, filter, before, limit));
        }
        let filter = filter.clone();
        self.read(move |store| list::list(store, &filter, before, limit)).await
    }

    /// One inquiry as lists show it; none where there is no such inquiry. Reads one row.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn summary(&self, id: &str) -> Result<Option<Summary>, ConductorError> {
        self.read_few(|store| list::summary(store, id))
    }

    /// The inquiries that have not ended and that a file of the directory of declared manifests asked for, oldest first.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn declared(&self) -> Result<Vec<Summary>, ConductorError> {
        self.read(list::declared).await
    }

    /// How many inquiries of a tenant have not ended. Reads one row.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn unfinished_of(&self, tenant: &str) -> Result<usize, ConductorError> {
        self.read_few(|store| list::unfinished_of(store, tenant))
    }

    /// Index and canonical bytes of ledger entries from an index on, at most `limit` (and at most [`crate::MAX_PAGE`]).
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn ledger_entries(
        &self,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, ConductorError> {
        if limit <= FEW_ROWS {
            return self.read_few(|store| read::ledger_entries(store, from, limit));
        }
        self.read(move |store| read::ledger_entries(store, from, limit)).await
    }

    /// Index and canonical bytes of the ledger entries of one inquiry from an index on, at most `limit` (and at most
    /// [`crate::MAX_PAGE`]); none where there is no such inquiry.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn inquiry_entries(
        &self,
        id: &str,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, ConductorError> {
        if limit <= FEW_ROWS {
            return self.read_few(|store| read::inquiry_entries(store, id, from, limit));
        }
        let id = id.to_owned();
        self.read(move |store| read::inquiry_entries(store, &id, from, limit)).await
    }

    /// Index and canonical bytes of the ledger entries of one inquiry before an index, the last one first, at most `limit` (and
    /// at most 64).
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn last_entries(
        &self,
        id: &str,
        before: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, ConductorError> {
        self.read_few(|store| read::last_entries(store, id, before, limit.min(FEW_ROWS)))
    }

    /// The last finding of an inquiry, as it is kept; none where it has none.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn finding(&self, id: &str) -> Result<Option<StoredFinding>, ConductorError> {
        self.read_few(|store| read::finding(store, id))
    }

    /// How much is stored on this member. Cheap enough for every scrape of metrics.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn sizes(&self) -> Result<StoreSizes, ConductorError> {
        let (log, state, blobs) =
            (self.files.log.clone(), self.files.state.clone(), self.node.blobs.totals());
        let log_used = self.log.used();
        let snapshot = self.files.snapshots.join(snapshot::CURRENT);
        self.read(move |store| {
            let size = |path: &Path| {
                std::fs::metadata(path).map(|file| file.len()).map_err(ConductorError::io("read", path))
            };
            let counts = read::counts(store)?;
            let (log_bytes, state_bytes) = (size(&log)?, size(&state)?);
            Ok(StoreSizes {
                ledger_entries: counts.ledger_entries,
                log_bytes,
                log_used_bytes: log_used.unwrap_or(log_bytes).min(log_bytes),
                state_bytes,
                state_used_bytes: size(&snapshot).unwrap_or(state_bytes).min(state_bytes),
                blob_bytes: blobs.bytes,
                blobs: blobs.blobs,
                inquiries: counts.inquiries,
                unfinished: counts.unfinished,
            })
        })
        .await
    }

    /// The ledger's checkpoint when it had `size` entries.
    ///
    /// # Errors
    /// When it has not so many yet, or the state cannot be read.
    pub async fn checkpoint_at(&self, size: u64) -> Result<Checkpoint, ConductorError> {
        self.read_few(|store| read::checkpoint_at(store, size))
    }

    /// The proof that an entry is in the ledger of `size` entries, for [`inquisitor_ledger::verify_inclusion`].
    ///
    /// # Errors
    /// When there is no such position, or the state cannot be read.
    pub async fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, ConductorError> {
        self.read_few(|store| read::inclusion(store, index, size))
    }

    /// The proof that the ledger of `from` entries is the beginning of the one of `to` entries, for
    /// [`inquisitor_ledger::verify_consistency`].
    ///
    /// # Errors
    /// When there are no such sizes, or the state cannot be read.
    pub async fn consistency_proof(&self, from: u64, to: u64) -> Result<Vec<Hash>, ConductorError> {
        self.read_few(|store| read::consistency(store, from, to))
    }

    /// Writes the whole ledger as JSON lines, the checkpoint last, for [`inquisitor_ledger::verify_export`]. Blocking.
    ///
    /// # Errors
    /// When the state cannot be read or `out` not written.
    pub fn export_ledger(&self, out: &mut dyn Write) -> Result<Checkpoint, ConductorError> {
        read::export(&self.node.state, out)
    }

    /// Reads an inquiry and makes something of it, both on one thread that may block unless it is small: one with thousands of
    /// steps takes long to read and as long to show. None where there is no such inquiry.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn inquiry_into<T: Send + 'static>(
        &self,
        id: &str,
        make: impl FnOnce(Inquiry) -> T + Send + 'static,
    ) -> Result<Option<T>, ConductorError> {
        if let Small::Read(inquiry) = self.read_few(|store| read::small_inquiry(store, id))? {
            return Ok(inquiry.map(|inquiry| make(*inquiry)));
        }
        let id = id.to_owned();
        self.read(move |store| Ok(read::inquiry(store, &id)?.map(make))).await
    }

    /// The ledger's checkpoint now.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn ledger_checkpoint(&self) -> Result<Checkpoint, ConductorError> {
        self.read_few(read::checkpoint)
    }

    /// Reads a few rows on this task: what lies in memory, and mostly it does, takes less than the detour over a thread that
    /// may block.
    pub(super) fn read_few<T>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, ConductorError>,
    ) -> Result<T, ConductorError> {
        catch_unwind(AssertUnwindSafe(|| read(&self.node.state))).unwrap_or_else(|panic| {
            // As where a thread that may block reads: redb asserts what it reads.
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("reading it failed");
            Err(ConductorError::damaged("a file of the data directory", said))
        })
    }
}
