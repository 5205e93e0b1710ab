//! Reading a backup once, from its beginning to its end, and checking all of it on the way.

use std::collections::HashSet;
use std::io::Read;

use inquisitor_ledger::{Auditor, Checkpoint, Hash};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::archive::{Archive, Body};
use super::{BackupManifest, MANIFEST, MAX_MANIFEST_BYTES, STATE, SUMS, blob_name, sum_line, sums_bytes};
use crate::blobs::MAX_BLOB_BYTES;
use crate::error::{ConductorError, chain};
use crate::keys::number_of;
use crate::raft::LogId;
use crate::record::{Digest, decode};
use crate::rows::Table;
use crate::snapshot::{Hashing, Reader};
use crate::state::{CLUSTER, HEAD, Head};
use crate::sweep::mark_row;

/// A backup whose every byte was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// What it is of.
    pub manifest: BackupManifest,
    /// Its size.
    pub bytes: u64,
}

/// Checks a backup: its form, the SHA-256 of every part, every ledger entry and the root over all of them, and that each blob
/// that the state names is there. Compares the ledger with a checkpoint that was noted before, where one is given; it may be
/// of an earlier size. Takes 40 bytes of memory for each blob, or a little more. Blocking.
///
/// # Errors
/// What is wrong, and with which part.
pub fn verify(input: impl Read, noted: Option<&Checkpoint>) -> Result<Verified, ConductorError> {
    let mut reading = Reading::begin(input, noted)?;
    reading.state(|_, _, _| Ok(()))?;
    reading.blobs(&mut NoBlobs)?;
    reading.end()
}

/// What becomes of the blobs while they are read.
pub(super) trait TakeBlobs {
    /// One begins.
    fn begin(&mut self, digest: &Digest) -> Result<(), ConductorError>;
    /// The next bytes of it.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), ConductorError>;
    /// All its bytes were given, and they match the digest.
    fn end(&mut self) -> Result<(), ConductorError>;
}

struct NoBlobs;

impl TakeBlobs for NoBlobs {
    fn begin(&mut self, _: &Digest) -> Result<(), ConductorError> {
        Ok(())
    }

    fn bytes(&mut self, _: &[u8]) -> Result<(), ConductorError> {
        Ok(())
    }

    fn end(&mut self) -> Result<(), ConductorError> {
        Ok(())
    }
}

/// A backup that is being read: [`Self::state`], [`Self::blobs`] and [`Self::end`] in this order.
pub(super) struct Reading<'a, R> {
    archive: Archive<R>,
    noted: Option<&'a Checkpoint>,
    pub(super) manifest: BackupManifest,
    manifest_digest: Hash,
    /// The last log entry that is in the state.
    pub(super) applied: Option<LogId>,
    /// The blobs that the state names, ascending.
    named: Vec<Digest>,
}

impl<'a, R: Read> Reading<'a, R> {
    /// Reads the manifest.
    pub(super) fn begin(input: R, noted: Option<&'a Checkpoint>) -> Result<Self, ConductorError> {
        let mut archive = Archive::new(input);
        let size = archive.next(MANIFEST)?;
        if size > MAX_MANIFEST_BYTES {
            return Err(ConductorError::backup(MANIFEST, format!("it has {size} bytes")));
        }
        let mut bytes = Vec::new();
        archive.pieces(MANIFEST, size, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        let manifest = BackupManifest::decode(&bytes)?;
        let manifest_digest = Hash::digest(&bytes);
        Ok(Self { archive, noted, manifest, manifest_digest, applied: None, named: Vec::new() })
    }

    /// Reads the state and hands each row on.
    pub(super) fn state(
        &mut self,
        mut row: impl FnMut(Table, &[u8], &[u8]) -> Result<(), ConductorError>,
    ) -> Result<(), ConductorError> {
        let size = self.archive.next(STATE)?;
        if size != self.manifest.state.bytes {
            let problem = format!("it has {size} bytes, and the manifest says {}", self.manifest.state.bytes);
            return Err(ConductorError::backup(STATE, problem));
        }
        let mut check = StateCheck::new(self.noted);
        let body = Hashing::new(self.archive.body(size));
        let (body, sha256) = rows(body, &mut check, &mut row)?.into_parts();
        if body.left() > 0 || sha256 != self.manifest.state.sha256 {
            let problem =
                format!("its SHA-256 is {sha256}, and the manifest says {}", self.manifest.state.sha256);
            return Err(ConductorError::backup(STATE, problem));
        }
        self.archive.padding(STATE, size)?;
        (self.named, self.applied) = check.end(&self.manifest)?;
        Ok(())
    }

    /// Reads the blobs and hands each on.
    pub(super) fn blobs(&mut self, take: &mut impl TakeBlobs) -> Result<(), ConductorError> {
        let (mut bytes, mut hasher) = (0, Sha256::new());
        for digest in &self.named {
            let name = blob_name(digest);
            let size = self.archive.next(&name)?;
            if size > MAX_BLOB_BYTES as u64 {
                let problem = format!("it has {size} bytes, and a blob has {MAX_BLOB_BYTES} at most");
                return Err(ConductorError::backup(&name, problem));
            }
            take.begin(digest)?;
            let mut found = Sha256::new();
            self.archive.pieces(&name, size, |piece| {
                found.update(piece);
                take.bytes(piece)
            })?;
            if found.finalize()[..] != digest[..] {
                return Err(ConductorError::backup(&name, "its bytes do not match its digest"));
            }
            take.end()?;
            bytes += size;
            hasher.update(digest);
            hasher.update(size.to_be_bytes());
        }
        let said = &self.manifest.blobs;
        let sha256 = Hash(hasher.finalize().into());
        if (self.named.len() as u64, bytes, sha256) != (said.count, said.bytes, said.sha256) {
            let problem = format!(
                "there are {} of {bytes} bytes with the hash {sha256}, and the manifest says {} of {} bytes with {}",
                self.named.len(),
                said.count,
                said.bytes,
                said.sha256
            );
            return Err(ConductorError::backup("the blobs", problem));
        }
        Ok(())
    }

    /// Reads the sums and the end.
    pub(super) fn end(mut self) -> Result<Verified, ConductorError> {
        let size = self.archive.next(SUMS)?;
        if size != sums_bytes(self.named.len() as u64) {
            return Err(ConductorError::backup(SUMS, format!("it has {size} bytes")));
        }
        let first = [(self.manifest_digest, MANIFEST), (self.manifest.state.sha256, STATE)];
        let mut lines = first
            .into_iter()
            .map(|(digest, name)| sum_line(&digest, name))
            .chain(self.named.iter().map(|digest| sum_line(&Hash(*digest), &blob_name(digest))));
        let mut expected: Vec<u8> = Vec::new();
        self.archive.pieces(SUMS, size, |piece| {
            while expected.len() < piece.len()
                && let Some(line) = lines.next()
            {
                expected.extend_from_slice(line.as_bytes());
            }
            if expected.get(..piece.len()) != Some(piece) {
                return Err(ConductorError::backup(SUMS, "it is not the list of what is in the file"));
            }
            expected.drain(..piece.len());
            Ok(())
        })?;
        self.archive.end()?;
        Ok(Verified { bytes: self.archive.position(), manifest: self.manifest })
    }
}

/// Walks through the rows of the state.
fn rows<'b, R: Read>(
    body: Hashing<Body<'b, R>>,
    check: &mut StateCheck<'_>,
    row: &mut impl FnMut(Table, &[u8], &[u8]) -> Result<(), ConductorError>,
) -> Result<Hashing<Body<'b, R>>, ConductorError> {
    // What the snapshot's reader calls damaged is a part of the backup here.
    let of_backup = |error| match error {
        known @ (ConductorError::Backup { .. } | ConductorError::NewerFormat { .. }) => known,
        ConductorError::Damaged { what, problem } => {
            ConductorError::backup(STATE, format!("{what}: {problem}"))
        }
        other => ConductorError::backup(STATE, chain(&other)),
    };
    let (mut reader, _) = Reader::new(body).map_err(of_backup)?;
    while let Some((table, (key, value))) = reader.row().map_err(of_backup)? {
        check.row(table, &key, &value).map_err(of_backup)?;
        row(table, &key, &value)?;
    }
    reader.end().map_err(of_backup)
}

/// What is checked of the state.
struct StateCheck<'a> {
    noted: Option<&'a Checkpoint>,
    ledger: Auditor,
    named: HashSet<Digest>,
    head: Option<Head>,
    cluster: Option<Vec<u8>>,
    unfinished: u64,
}

impl<'a> StateCheck<'a> {
    fn new(noted: Option<&'a Checkpoint>) -> Self {
        Self {
            noted,
            ledger: Auditor::new(),
            named: HashSet::new(),
            head: None,
            cluster: None,
            unfinished: 0,
        }
    }

    fn row(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), ConductorError> {
        mark_row(table, value, &mut self.named)?;
        match table {
            Table::Meta if key == HEAD => self.head = Some(decode("the position of the state", value)?),
            Table::Meta if key == CLUSTER => self.cluster = Some(value.to_vec()),
            Table::Unfinished => self.unfinished += 1,
            Table::Ledger => {
                self.compare()?;
                let index = number_of(key)?;
                let entry = self.ledger.entry(value);
                entry.map_err(|error| {
                    ConductorError::backup(STATE, format!("ledger entry {index}: {error}"))
                })?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Compares with the noted checkpoint where the ledger is as long as it.
    fn compare(&self) -> Result<(), ConductorError> {
        let Some(noted) = self.noted.filter(|noted| noted.size == self.ledger.checkpoint().size) else {
            return Ok(());
        };
        let compared = self.ledger.compare(noted);
        compared.map_err(|error| ConductorError::backup("the ledger", format!("as it was noted: {error}")))
    }

    /// The blobs that the state names, and the last log entry in it.
    fn end(self, manifest: &BackupManifest) -> Result<(Vec<Digest>, Option<LogId>), ConductorError> {
        let wrong = |problem: &str| ConductorError::backup(STATE, problem);
        self.compare()?;
        let ledger = self.ledger.checkpoint();
        if let Some(noted) = self.noted.filter(|noted| noted.size > ledger.size) {
            let problem = format!("it has {} entries, and {} were noted", ledger.size, noted.size);
            return Err(ConductorError::backup("the ledger", problem));
        }
        self.ledger.compare(&manifest.ledger).map_err(|error| {
            ConductorError::backup("the ledger", format!("as the manifest has it: {error}"))
        })?;
        let head = self.head.ok_or_else(|| wrong("it does not say how far it is"))?;
        let of_head = head.ledger().map(|ledger| ledger.checkpoint());
        if of_head.ok() != Some(ledger) {
            return Err(wrong("what it says of the ledger is not what the entries are"));
        }
        let applied = head.applied.map(|id| (id.leader_id.term, id.index));
        let said = manifest;
        if applied != Some((said.applied.term, said.applied.index))
            || (head.state_hash, head.next_sequence) != (said.state_hash, said.inquiries)
            || self.unfinished != said.unfinished
            || self.cluster.as_deref() != Some(said.cluster.as_bytes().as_slice())
        {
            return Err(wrong("it is another one than the manifest speaks of"));
        }
        let mut named: Vec<Digest> = self.named.into_iter().collect();
        named.sort_unstable();
        Ok((named, head.applied))
    }
}
