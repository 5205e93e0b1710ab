//! Making a backup: the state is copied at one moment, then everything is handed on piece by piece.
//!
//! What is copied at that moment names the blobs, and each of them is made sure of before the first byte is handed on. Until
//! the backup is over this member sweeps no blob away. One that lies on other members alone may be swept there, but only if
//! the state has stopped naming it since; then the state is copied once more.
//!
//! The state's copy takes as much of the data directory's disk as the state, in a file that has no name and so is gone with
//! the process. In memory there are 40 bytes for each blob and one blob at a time.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use inquisitor_ledger::{Hash, rfc3339};
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedRwLockReadGuard;

use super::archive::{END_BYTES, entry_bytes, header, padding};
use super::{
    AppliedId, BackupManifest, BlobPart, FORMAT, MANIFEST, STATE, SUMS, StatePart, blob_name, sum_line,
    sums_bytes,
};
use crate::blobs::Blobs;
use crate::database::Store;
use crate::error::{ConductorError, chain};
use crate::log::Shared;
use crate::node::Node;
use crate::record::Digest;
use crate::rows::{ReadRows, Table, View};
use crate::snapshot;
use crate::state::{Head, blocking, read_cluster};
use crate::sweep::mark_row;

/// Bytes that are handed on at once.
const PIECE: usize = 256 << 10;
/// How often the state is copied anew because a blob that it names was swept away.
const ATTEMPTS: u32 = 3;

/// Where blobs are read from.
pub(super) enum Source {
    /// A running member, which gets what it lacks from the others.
    Member(Arc<Node>),
    /// The directory of a stopped one. The log is held so that no host starts on it meanwhile.
    Directory { blobs: Blobs, log: Arc<Shared> },
}

impl Source {
    async fn blob(&self, digest: &Digest) -> Result<Bytes, ConductorError> {
        let text = Hash(*digest).to_string();
        let bytes = match self {
            Self::Member(node) => node.blob(&text).await,
            Self::Directory { blobs, .. } => {
                let blobs = blobs.clone();
                blocking(move || Ok(blobs.get(&text))).await?
            }
        };
        bytes.map(Bytes::from).map_err(|error| ConductorError::NoBackup(chain(&error)))
    }

    fn blobs(&self) -> &Blobs {
        match self {
            Self::Member(node) => &node.blobs,
            Self::Directory { blobs, .. } => blobs,
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Self::Directory { log, .. } = self
            && let Err(error) = log.close()
        {
            tracing::warn!(
                error = chain(&error),
                "the log was not closed cleanly; it is checked at the next start"
            );
        }
    }
}

/// A copy of the state at one moment.
struct Copied {
    file: File,
    part: StatePart,
    named: Vec<Digest>,
    cluster: uuid::Uuid,
    head: Head,
    applied: AppliedId,
    unfinished: u64,
}

/// A backup that is being made: the bytes of its file, piece by piece.
pub struct Backup {
    manifest: BackupManifest,
    encoded: Bytes,
    state: File,
    /// The blobs and their sizes, in their order.
    blobs: Vec<(Digest, u64)>,
    modified: u64,
    source: Source,
    next: Next,
    /// Not taken where the directory is nobody else's.
    _no_sweeping: Option<OwnedRwLockReadGuard<()>>,
}

/// What comes next.
enum Next {
    Manifest,
    StateHeader,
    /// So many bytes of the state are left.
    State(u64),
    /// The header of the blob at this position.
    BlobHeader(usize),
    /// What is left of it.
    Blob(usize, Bytes),
    SumsHeader,
    /// The lines from the blob at this position on.
    Sums(usize),
    End,
    Over,
}

impl Backup {
    /// Copies the state of a running member and makes sure of its blobs.
    pub(crate) async fn of_member(node: &Arc<Node>, scratch: &Path, at: i64) -> Result<Self, ConductorError> {
        let no_sweeping = node.sweeping.clone().read_owned().await;
        let name = node.identity().name.clone();
        let source = Source::Member(node.clone());
        Self::begin(source, node.state.clone(), &name, scratch, at, Some(no_sweeping)).await
    }

    pub(super) async fn begin(
        source: Source,
        store: Arc<Store>,
        member: &str,
        scratch: &Path,
        at: i64,
        no_sweeping: Option<OwnedRwLockReadGuard<()>>,
    ) -> Result<Self, ConductorError> {
        let mut attempt = 1;
        let (copied, blobs) = loop {
            let (store, scratch) = (store.clone(), scratch.to_owned());
            let copied = blocking(move || copy(&store, &scratch)).await?;
            match sizes(&source, &copied.named).await {
                Ok(blobs) => break (copied, blobs),
                Err(_) if matches!(source, Source::Member(_)) && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        };
        let mut hasher = Sha256::new();
        let mut bytes = 0;
        for (digest, size) in &blobs {
            hasher.update(digest);
            hasher.update(size.to_be_bytes());
            bytes += size;
        }
        let manifest = BackupManifest {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            created: rfc3339(at),
            cluster: copied.cluster,
            member: member.to_owned(),
            applied: copied.applied,
            state_hash: copied.head.state_hash,
            ledger: copied.head.ledger()?.checkpoint(),
            inquiries: copied.head.next_sequence,
            unfinished: copied.unfinished,
            state: copied.part,
            blobs: BlobPart { count: blobs.len() as u64, bytes, sha256: Hash(hasher.finalize().into()) },
        };
        let encoded = Bytes::from(manifest.encode()?);
        let modified = u64::try_from(at / 1_000_000_000).unwrap_or(0);
        let state = copied.file;
        Ok(Self {
            manifest,
            encoded,
            state,
            blobs,
            modified,
            source,
            next: Next::Manifest,
            _no_sweeping: no_sweeping,
        })
    }

    /// What it is a backup of.
    pub fn manifest(&self) -> &BackupManifest {
        &self.manifest
    }

    /// The size of the file.
    pub fn bytes(&self) -> u64 {
        let blobs: u64 = self.blobs.iter().map(|(_, size)| entry_bytes(*size)).sum();
        entry_bytes(self.encoded.len() as u64)
            + entry_bytes(self.manifest.state.bytes)
            + blobs
            + entry_bytes(sums_bytes(self.blobs.len() as u64))
            + END_BYTES
    }

    /// The next bytes of the file; none once it is whole. After an error there is nothing more to be had.
    ///
    /// # Errors
    /// When a blob cannot be read any more, or the disk fails.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ConductorError> {
        loop {
            match self.step().await? {
                Some(bytes) if bytes.is_empty() => {}
                bytes => return Ok(bytes),
            }
        }
    }

    /// The bytes of one step, which may be none yet.
    async fn step(&mut self) -> Result<Option<Bytes>, ConductorError> {
        let (bytes, next) = match std::mem::replace(&mut self.next, Next::Over) {
            Next::Manifest => {
                let mut bytes = self.header(MANIFEST, self.encoded.len() as u64)?;
                bytes.extend_from_slice(&self.encoded);
                pad(&mut bytes, self.encoded.len() as u64);
                (bytes.into(), Next::StateHeader)
            }
            Next::StateHeader => {
                let size = self.manifest.state.bytes;
                (self.header(STATE, size)?.into(), Next::State(size))
            }
            Next::State(0) => {
                let mut bytes = Vec::new();
                pad(&mut bytes, self.manifest.state.bytes);
                (bytes.into(), Next::BlobHeader(0))
            }
            Next::State(left) => {
                let piece = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                (self.state_piece(piece).await?, Next::State(left - piece as u64))
            }
            Next::BlobHeader(at) => match self.blobs.get(at).copied() {
                None => (Bytes::new(), Next::SumsHeader),
                Some((digest, size)) => {
                    let blob = self.source.blob(&digest).await?;
                    if blob.len() as u64 != size {
                        let problem = format!("the blob {} has changed its size", Hash(digest));
                        return Err(ConductorError::NoBackup(problem));
                    }
                    (self.header(&blob_name(&digest), size)?.into(), Next::Blob(at, blob))
                }
            },
            Next::Blob(at, mut left) if left.len() > PIECE => (left.split_to(PIECE), Next::Blob(at, left)),
            Next::Blob(at, last) => {
                let mut bytes = last.to_vec();
                pad(&mut bytes, self.blobs.get(at).map_or(0, |(_, size)| *size));
                (bytes.into(), Next::BlobHeader(at + 1))
            }
            Next::SumsHeader => {
                let mut bytes = self.header(SUMS, sums_bytes(self.blobs.len() as u64))?;
                bytes.extend_from_slice(sum_line(&Hash::digest(&self.encoded), MANIFEST).as_bytes());
                bytes.extend_from_slice(sum_line(&self.manifest.state.sha256, STATE).as_bytes());
                (bytes.into(), Next::Sums(0))
            }
            Next::Sums(from) => {
                let mut bytes = Vec::new();
                let mut at = from;
                while let Some((digest, _)) = self.blobs.get(at)
                    && bytes.len() < PIECE
                {
                    bytes.extend_from_slice(sum_line(&Hash(*digest), &blob_name(digest)).as_bytes());
                    at += 1;
                }
                (bytes.into(), if at < self.blobs.len() { Next::Sums(at) } else { Next::End })
            }
            Next::End => {
                let mut bytes = Vec::new();
                pad(&mut bytes, sums_bytes(self.blobs.len() as u64));
                bytes.extend_from_slice(&[0; END_BYTES as usize]);
                (bytes.into(), Next::Over)
            }
            Next::Over => return Ok(None),
        };
        self.next = next;
        Ok(Some(bytes))
    }

    fn header(&self, name: &str, size: u64) -> Result<Vec<u8>, ConductorError> {
        Ok(header(name, size, self.modified)?.to_vec())
    }

    /// The next bytes of the state's copy.
    async fn state_piece(&mut self, length: usize) -> Result<Bytes, ConductorError> {
        let mut file = self.state.try_clone().map_err(ConductorError::io("read", Path::new(STATE)))?;
        let read = move || {
            let mut bytes = vec![0; length];
            file.read_exact(&mut bytes).map_err(ConductorError::io("read", Path::new(STATE)))?;
            Ok(Bytes::from(bytes))
        };
        blocking(read).await
    }
}

fn pad(bytes: &mut Vec<u8>, size: u64) {
    let zeros = usize::try_from(padding(size)).unwrap_or(0);
    bytes.resize(bytes.len() + zeros, 0);
}

/// Copies the state as it is now. Blocking.
fn copy(store: &Store, scratch: &Path) -> Result<Copied, ConductorError> {
    let nothing =
        || ConductorError::NoBackup("nothing was ever committed here; there is nothing to keep".into());
    let mut file = snapshot::receive(scratch)?;
    let view = View::new(store)?;
    let head = Head::read(&view)?;
    let id = head.applied.ok_or_else(nothing)?;
    let cluster = read_cluster(&view)?.ok_or_else(nothing)?;
    let unfinished = view.count(Table::Unfinished)?;
    snapshot::write(&view, &snapshot::meta(&view)?, &file)?;
    drop(view);
    let failed = || ConductorError::io("read", Path::new(STATE));
    let mut named = HashSet::new();
    file.seek(SeekFrom::Start(0)).map_err(failed())?;
    let input = snapshot::Hashing::new(file.try_clone().map_err(failed())?);
    let (mut reader, _) = snapshot::Reader::new(input)?;
    while let Some((table, (_, value))) = reader.row()? {
        mark_row(table, &value, &mut named)?;
    }
    let (_, sha256) = reader.end()?.into_parts();
    let bytes = file.metadata().map_err(failed())?.len();
    file.seek(SeekFrom::Start(0)).map_err(failed())?;
    let mut named: Vec<Digest> = named.into_iter().collect();
    named.sort_unstable();
    Ok(Copied {
        file,
        part: StatePart { bytes, sha256 },
        named,
        cluster,
        applied: AppliedId { term: id.leader_id.term, index: id.index },
        head,
        unfinished,
    })
}

/// The sizes of all blobs, each of which is here afterwards.
async fn sizes(source: &Source, named: &[Digest]) -> Result<Vec<(Digest, u64)>, ConductorError> {
    let (blobs, digests) = (source.blobs().clone(), named.to_vec());
    let found: Vec<(Digest, Option<u64>)> = blocking(move || {
        let size = |digest: Digest| Ok((digest, blobs.size(&Hash(digest))?));
        digests.into_iter().map(size).collect()
    })
    .await?;
    let mut sizes = Vec::with_capacity(found.len());
    for (digest, size) in found {
        let size = match size {
            Some(size) => size,
            // Not here, so it is got from another member.
            None => source.blob(&digest).await?.len() as u64,
        };
        sizes.push((digest, size));
    }
    Ok(sizes)
}
