//! Backups: the whole state with all blobs that it names, of one moment, in one file.
//!
//! # Format
//! A tar file, read as strictly as it is written ([`archive`]). In this order:
//! 1. `inquisitor-backup.json`: what it is a backup of ([`BackupManifest`]).
//! 2. `state.snap`: the applied state, in the format of snapshots.
//! 3. `blobs/ab/cdef…` for each blob that the state names, by digest, ascending.
//! 4. `SHA256SUMS`: the SHA-256 of each file before it, as `sha256sum --check` takes it once all is unpacked.
//!
//! It is not compressed: components and reports are what is large, whoever wants it smaller pipes it through a program for
//! that, and any member of the file can be looked at where it lies.
//!
//! # Parts
//! `create` makes one, of a running member or of a directory; `reading` walks through one and checks everything, and
//! `verify` and `restore` are what it is read for.

mod archive;
mod create;
mod offline;
mod reading;
mod restore;

pub use create::Backup;
pub use reading::{Verified, verify};
pub use restore::{Restored, restore};

use inquisitor_ledger::{Checkpoint, Hash};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::ConductorError;
use crate::record::Digest;

/// Format of a backup. The state in it has one of its own.
const FORMAT: u32 = 1;
const MANIFEST: &str = "inquisitor-backup.json";
const STATE: &str = "state.snap";
const SUMS: &str = "SHA256SUMS";
/// Bytes of the manifest. It has a fixed number of fields; only a name is longer than a line.
const MAX_MANIFEST_BYTES: u64 = 64 << 10;

/// What a backup is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupManifest {
    /// Format of the file.
    pub format: u32,
    /// Version of the program that made it.
    pub program: String,
    /// When it was begun, RFC 3339.
    pub created: String,
    /// Id of the cluster.
    pub cluster: Uuid,
    /// Name of the member that made it.
    pub member: String,
    /// The last log entry that is in it.
    pub applied: AppliedId,
    /// Hash of the state, as `/raft/status` has it for this entry.
    pub state_hash: Hash,
    /// Number of ledger entries, and the hash over all of them.
    pub ledger: Checkpoint,
    /// Inquiries that were ever submitted.
    pub inquiries: u64,
    /// Inquiries that have not ended; they go on where the backup is restored.
    pub unfinished: u64,
    /// The state's file.
    pub state: StatePart,
    /// The blobs.
    pub blobs: BlobPart,
}

/// Position of a log entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppliedId {
    /// Term of the leader that made it.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

/// The state's file in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatePart {
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Hash,
}

/// The blobs in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlobPart {
    /// How many there are.
    pub count: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// SHA-256 over `SHA-256 ‖ size` of each, in their order; the size is 8 bytes, big-endian.
    pub sha256: Hash,
}

impl BackupManifest {
    /// As it lies in the file.
    fn encode(&self) -> Result<Vec<u8>, ConductorError> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| ConductorError::NoBackup(format!("{MANIFEST} cannot be written: {error}")))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    fn decode(bytes: &[u8]) -> Result<Self, ConductorError> {
        // The format first: a newer one may have other fields.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let wrong = |error: serde_json::Error| ConductorError::backup(MANIFEST, error);
        let Format { format } = serde_json::from_slice(bytes).map_err(wrong)?;
        if format != FORMAT {
            return Err(ConductorError::NewerFormat {
                what: "the backup".into(),
                found: format,
                supported: FORMAT,
            });
        }
        serde_json::from_slice(bytes).map_err(wrong)
    }
}

/// The name of a blob.
fn blob_name(digest: &Digest) -> String {
    let text = Hash(*digest).to_string();
    let (folder, file) = text.split_at(2);
    format!("blobs/{folder}/{file}")
}

/// A line of the sums.
fn sum_line(digest: &Hash, name: &str) -> String {
    format!("{digest}  {name}\n")
}

/// Bytes of the sums of so many blobs.
fn sums_bytes(blobs: u64) -> u64 {
    let line = |name: &str| sum_line(&Hash([0; 32]), name).len() as u64;
    line(MANIFEST) + line(STATE) + blobs * line(&blob_name(&[0; 32]))
}
