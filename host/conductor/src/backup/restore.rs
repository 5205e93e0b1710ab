//! Restoring: a new disk with the state of a backup, which is the beginning of a new cluster.
//!
//! The disk draws an identity of its own, and a cluster id with it, and is the only voter. So no member of the cluster that was
//! backed up can be taken for one of the new cluster, whichever of them still run: connections between clusters are refused,
//! and ids are of disks. What the log would have brought is in the state, so the log begins behind it, in the same term.
//!
//! What makes a directory a data directory is written last: one that a restore was broken off in cannot be started on.

use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use inquisitor_ledger::Checkpoint;
use serde::Serialize;
use uuid::Uuid;

use super::reading::{Reading, TakeBlobs};
use super::{BackupManifest, Verified};
use crate::blobs::{Blobs, sync_dir};
use crate::database::Commit;
use crate::error::ConductorError;
use crate::identity::{Identity, Layout, show_id};
use crate::log::RaftLog;
use crate::raft::{LogId, Member, Membership, StoredMembership};
use crate::record::{Digest, encode};
use crate::rows::{Table, Writer};
use crate::state::{self, CLUSTER, MEMBERSHIP};

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// What the backup is of.
    pub manifest: BackupManifest,
    /// Id of the new cluster.
    pub cluster: Uuid,
    /// Id of its first member, 16 hexadecimal digits.
    pub node_id: String,
}

/// Restores a backup into an empty directory, or one that does not exist yet, and checks it as [`verify`](super::verify) does on
/// the way. A host that starts on the directory is a new cluster of one with the old one's state; others that start empty can
/// join it. Blocking.
///
/// # Errors
/// When something is in the directory, the backup is not whole, or something cannot be written. What was written is removed
/// again.
pub fn restore(input: impl Read, dir: &Path, noted: Option<&Checkpoint>) -> Result<Restored, ConductorError> {
    // The backup's beginning first: what is none leaves no trace.
    let reading = Reading::begin(input, noted)?;
    let layout = Layout::begin(dir)?;
    let restored = write(reading, dir, &layout);
    if restored.is_err() {
        remove(&layout);
    }
    restored
}

fn write<R: Read>(
    mut reading: Reading<'_, R>,
    dir: &Path,
    layout: &Layout,
) -> Result<Restored, ConductorError> {
    let identity = Identity::draw(&reading.manifest.member);
    let store = state::open(&layout.state)?;
    let applied = store.write(Commit::DurableQuickRepair, |transaction| {
        let mut rows = Writer::new(&store, transaction);
        reading.state(|table, key, value| {
            let is_replaced = table == Table::Meta && (key == CLUSTER || key == MEMBERSHIP);
            if is_replaced { Ok(()) } else { rows.put_quietly(table, key, value) }
        })?;
        let applied =
            reading.applied.ok_or_else(|| ConductorError::backup("the state", "it holds nothing"))?;
        rows.put_quietly(Table::Meta, CLUSTER, identity.cluster.as_bytes())?;
        rows.put_quietly(Table::Meta, MEMBERSHIP, &encode(&membership(&identity, applied))?)?;
        Ok(applied)
    })?;
    identity.write(&store)?;
    store.close()?;
    RaftLog::begin_after(&layout.log, applied, identity.node_id)?;
    let mut blobs = Kept::new(Blobs::open(layout.blobs.clone())?);
    reading.blobs(&mut blobs)?;
    let Verified { manifest, .. } = reading.end()?;
    blobs.sync(&layout.blobs)?;
    Layout::finish(dir)?;
    Ok(Restored { manifest, cluster: identity.cluster, node_id: show_id(identity.node_id) })
}

/// The member that is alone.
fn membership(identity: &Identity, applied: LogId) -> StoredMembership {
    let member = Member { name: identity.name.clone(), address: String::new() };
    let nodes = std::collections::BTreeMap::from([(identity.node_id, member)]);
    let voters = vec![std::collections::BTreeSet::from([identity.node_id])];
    StoredMembership::new(Some(applied), Membership::new(voters, nodes))
}

/// Removes what a restore that failed has written. What cannot be removed stays, and nothing starts on it.
fn remove(layout: &Layout) {
    for file in [&layout.state, &layout.log] {
        let _ = std::fs::remove_file(file);
    }
    for folder in [&layout.blobs, &layout.snapshots] {
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// Keeps the blobs of a backup.
struct Kept {
    blobs: Blobs,
    writing: Option<(tempfile::NamedTempFile, PathBuf)>,
}

impl Kept {
    fn new(blobs: Blobs) -> Self {
        Self { blobs, writing: None }
    }

    /// Makes the names durable; the contents are.
    fn sync(&self, dir: &Path) -> Result<(), ConductorError> {
        let failed = || ConductorError::io("sync", dir);
        for folder in std::fs::read_dir(dir).map_err(failed())? {
            sync_dir(&folder.map_err(failed())?.path()).map_err(failed())?;
        }
        sync_dir(dir).map_err(failed())
    }
}

impl TakeBlobs for Kept {
    fn begin(&mut self, digest: &Digest) -> Result<(), ConductorError> {
        self.writing = Some(self.blobs.draft(digest)?);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), ConductorError> {
        let Some((file, path)) = &mut self.writing else { return Ok(()) };
        file.write_all(bytes).map_err(ConductorError::io("write", path))
    }

    fn end(&mut self) -> Result<(), ConductorError> {
        let Some((file, path)) = self.writing.take() else { return Ok(()) };
        file.as_file().sync_all().map_err(ConductorError::io("sync", &path))?;
        file.persist(&path).map_err(|error| ConductorError::io("rename a file to", &path)(error.error))?;
        Ok(())
    }
}
