//! A backup of the data directory of a host that does not run.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use openraft::RaftLogReader as _;
use openraft::storage::{RaftLogStorage as _, RaftStateMachine as _};

use super::create::{Backup, Source};
use crate::blobs::Blobs;
use crate::error::ConductorError;
use crate::identity::{Identity, Layout};
use crate::log::RaftLog;
use crate::raft::StorageError;
use crate::state::{self, StateMachine, blocking};

/// Log entries that are applied at a time.
const SLICE: u64 = 256;

impl Backup {
    /// Begins the backup of a stopped host's data directory, and how many log entries are left out. What is in its log is
    /// applied first, as the host's start would do it: all of it where the member was alone; where it was one of several, as
    /// much as it knows to be committed, or, with `uncommitted`, all as well.
    ///
    /// # Errors
    /// When a host runs on the directory, it is not one, nothing was ever committed in it, or it lacks a blob.
    pub async fn of_directory(dir: &Path, uncommitted: bool, at: i64) -> Result<(Self, u64), ConductorError> {
        let layout = Layout::existing(dir)?;
        let opening = layout.clone();
        let (mut log, store) = blocking(move || {
            // The log first: whoever holds the directory holds it from here on.
            let log = RaftLog::open(&opening.log)?;
            Ok((log, Arc::new(state::open(&opening.state)?)))
        })
        .await?;
        let shared = log.shared();
        let begun = async {
            let identity = Identity::read(&store)?
                .ok_or_else(|| ConductorError::NoBackup("no host ever ran on this directory".to_owned()))?;
            let mut machine = StateMachine::new(store.clone(), layout.snapshots.clone())?;
            let left_out = catch_up(&mut log, &mut machine, identity.node_id, uncommitted)
                .await
                .map_err(|error| ConductorError::NoBackup(error.to_string()))?;
            let blobs_dir = layout.blobs.clone();
            let blobs = blocking(move || Blobs::open(blobs_dir)).await?;
            Ok((identity, blobs, left_out))
        };
        let (identity, blobs, left_out) = match begun.await {
            Ok(begun) => begun,
            Err(error) => {
                let closed = blocking(move || store.close().and(shared.close())).await;
                return Err(closed.err().unwrap_or(error));
            }
        };
        let source = Source::Directory { blobs, log: shared };
        let backup = Self::begin(source, store.clone(), &identity.name, &layout.snapshots, at, None).await;
        // All that is read from here on are the copy and the blobs.
        blocking(move || store.close()).await?;
        Ok((backup?, left_out))
    }
}

/// Applies what is in the log and returns how many entries are left out.
async fn catch_up(
    log: &mut RaftLog,
    machine: &mut StateMachine,
    own: u64,
    uncommitted: bool,
) -> Result<u64, StorageError> {
    let last = log.get_log_state().await?.last_log_id.map_or(0, |id| id.index + 1);
    let committed = log.read_committed().await?.map_or(0, |id| id.index + 1);
    let applied = apply(log, machine, committed.min(last)).await?;
    // Who the voters are is in the state by now.
    let (_, membership) = machine.applied_state().await?;
    let voters: BTreeSet<u64> = membership.membership().voter_ids().collect();
    let is_alone = voters == BTreeSet::from([own]);
    let applied = if is_alone || uncommitted { apply(log, machine, last).await? } else { applied };
    Ok(last.saturating_sub(applied))
}

/// Applies the log's entries below an index; returns the index that comes after what is applied.
async fn apply(log: &mut RaftLog, machine: &mut StateMachine, end: u64) -> Result<u64, StorageError> {
    let (applied, _) = machine.applied_state().await?;
    let mut next = applied.map_or(0, |id| id.index + 1);
    let mut reader = log.get_log_reader().await;
    while next < end {
        let upto = end.min(next + SLICE);
        let entries = reader.try_get_log_entries(next..upto).await?;
        machine.apply(entries).await?;
        next = upto;
    }
    Ok(next)
}
