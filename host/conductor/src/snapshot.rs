//! Snapshots: the whole applied state in one file, `snapshots/current.snap`.
//!
//! # Format
//! `INQSNAP` and a zero byte, the format as u32; the meta data's length as u32 and the meta data (postcard); then each row:
//! table u8, key length u32, key, value length u32, value; at last 255, the number of rows as u64 and the SHA-256 of all
//! bytes before it. Numbers are little-endian.
//!
//! # Long reads
//! The rows must be of one moment, so they are copied under one read transaction, and while that lives redb reuses no page.
//! It lives only as long as the local copy takes, some hundred megabytes a second; what is slow, the way to another member,
//! reads the file. Rows are streamed, so memory does not grow with the state.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use inquisitor_ledger::Hash;
use openraft::RaftSnapshotBuilder;
use sha2::{Digest, Sha256};

use crate::blobs::sync_dir;
use crate::database::{Commit, Store};
use crate::error::{ConductorError, state_error};
use crate::raft::{Snapshot, SnapshotMeta, StorageError, TypeConfig};
use crate::record::{decode, encode};
use crate::rows::{Row, Table, View, Writer};
use crate::state::{Head, blocking, read_membership};

const MAGIC: &[u8; 8] = b"INQSNAP\0";
const FORMAT: u32 = 1;
/// Marks the end of the rows; no table has this number.
const END: u8 = u8::MAX;
/// Bytes of the meta data: members' names and addresses. Larger is damage, not data.
const MAX_META_BYTES: u32 = 1 << 20;
/// Bytes of one key or value. Values are at most a command's parts.
const MAX_ROW_BYTES: u32 = 64 << 20;
/// The last snapshot.
pub(crate) const CURRENT: &str = "current.snap";

/// Builds snapshots beside a running state machine.
pub(crate) struct Builder {
    store: Arc<Store>,
    dir: PathBuf,
}

impl Builder {
    pub(crate) fn new(store: Arc<Store>, dir: PathBuf) -> Self {
        Self { store, dir }
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let (store, dir) = (self.store.clone(), self.dir.clone());
        blocking(move || build(&store, &dir)).await.map_err(|error| state_error(&error))
    }
}

fn build(store: &Store, dir: &Path) -> Result<Snapshot, ConductorError> {
    let view = View::new(store)?;
    let meta = meta(&view)?;
    let file =
        tempfile::NamedTempFile::new_in(dir).map_err(ConductorError::io("create a snapshot in", dir))?;
    write(&view, &meta, file.as_file())?;
    drop(view);
    // The log may be purged up to the snapshot from the moment it is announced; what the file's transaction saw must be
    // on disk by then.
    store.write(Commit::DurableQuickRepair, |_| Ok(()))?;
    keep(dir, file)?;
    current(dir)?.ok_or_else(|| ConductorError::damaged("the snapshot just written", "it is not there"))
}

/// What a snapshot of these rows says of itself.
pub(crate) fn meta(view: &View<'_>) -> Result<SnapshotMeta, ConductorError> {
    let last_log_id = Head::read(view)?.applied;
    Ok(SnapshotMeta {
        last_log_id,
        last_membership: read_membership(view)?,
        snapshot_id: format!(
            "{}-{}",
            last_log_id
                .map_or_else(|| "empty".to_owned(), |id| format!("{}-{}", id.leader_id.term, id.index)),
            uuid::Uuid::new_v4()
        ),
    })
}

/// Gives a whole and synced file the current snapshot's name.
fn keep(dir: &Path, file: tempfile::NamedTempFile) -> Result<(), ConductorError> {
    let path = dir.join(CURRENT);
    file.as_file().sync_all().map_err(ConductorError::io("sync", file.path()))?;
    file.persist(&path).map_err(|error| ConductorError::io("rename a snapshot to", &path)(error.error))?;
    sync_dir(dir).map_err(ConductorError::io("sync", dir))
}

/// Writes, or reads, and hashes.
pub(crate) struct Hashing<W> {
    inner: W,
    hasher: Sha256,
}

impl<W> Hashing<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256::new() }
    }

    /// What it was made around, and the SHA-256 of what passed.
    pub(crate) fn into_parts(self) -> (W, Hash) {
        (self.inner, Hash(self.hasher.finalize().into()))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.hasher.update(&buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

/// Writes all rows that a transaction sees.
pub(crate) fn write(view: &View<'_>, meta: &SnapshotMeta, file: &File) -> Result<(), ConductorError> {
    let failed = || ConductorError::io("write", Path::new(CURRENT));
    let mut out = Hashing::new(BufWriter::with_capacity(1 << 20, file));
    let meta = encode(meta)?;
    let mut rows = 0_u64;
    out.write_all(MAGIC).map_err(failed())?;
    out.write_all(&FORMAT.to_le_bytes()).map_err(failed())?;
    write_part(&mut out, &meta).map_err(failed())?;
    for table in Table::ALL {
        view.for_each(table, |key, value| {
            rows += 1;
            out.write_all(&[table as u8]).map_err(failed())?;
            write_part(&mut out, key).map_err(failed())?;
            write_part(&mut out, value).map_err(failed())
        })?;
    }
    out.write_all(&[END]).map_err(failed())?;
    out.write_all(&rows.to_le_bytes()).map_err(failed())?;
    let Hashing { mut inner, hasher } = out;
    inner.write_all(&hasher.finalize()).map_err(failed())?;
    inner.flush().map_err(failed())
}

fn write_part(out: &mut impl Write, part: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(part.len()).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(part)
}

/// Reads a snapshot's rows one by one.
pub(crate) struct Reader<R> {
    input: Hashing<BufReader<R>>,
    rows: u64,
}

impl Reader<File> {
    /// Reads the head of a file, from its beginning.
    fn of_file(mut file: File) -> Result<(Self, SnapshotMeta), ConductorError> {
        file.seek(SeekFrom::Start(0)).map_err(damaged)?;
        Self::new(file)
    }
}

impl<R: Read> Reader<R> {
    /// Reads the head.
    pub(crate) fn new(input: R) -> Result<(Self, SnapshotMeta), ConductorError> {
        let input = Hashing::new(BufReader::with_capacity(1 << 20, input));
        let mut reader = Self { input, rows: 0 };
        let mut magic = [0; 8];
        reader.input.read_exact(&mut magic).map_err(damaged)?;
        if &magic != MAGIC {
            return Err(ConductorError::damaged(
                "the snapshot",
                "the file does not begin as a snapshot does",
            ));
        }
        let format = reader.number()?;
        if format != FORMAT {
            return Err(ConductorError::NewerFormat {
                what: "the snapshot".into(),
                found: format,
                supported: FORMAT,
            });
        }
        let meta = reader.part(MAX_META_BYTES)?;
        let meta = decode("the snapshot's head", &meta)?;
        Ok((reader, meta))
    }

    fn number(&mut self) -> Result<u32, ConductorError> {
        let mut bytes = [0; 4];
        self.input.read_exact(&mut bytes).map_err(damaged)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn part(&mut self, limit: u32) -> Result<Vec<u8>, ConductorError> {
        let length = self.number()?;
        if length > limit {
            return Err(ConductorError::damaged("the snapshot", format!("a part of {length} bytes")));
        }
        let mut part = vec![0; length as usize];
        self.input.read_exact(&mut part).map_err(damaged)?;
        Ok(part)
    }

    /// The next row, or none at the end, where number of rows and hash are checked.
    pub(crate) fn row(&mut self) -> Result<Option<(Table, Row)>, ConductorError> {
        let mut tag = [0];
        self.input.read_exact(&mut tag).map_err(damaged)?;
        if tag[0] == END {
            let mut rows = [0; 8];
            self.input.read_exact(&mut rows).map_err(damaged)?;
            let computed: [u8; 32] = self.input.hasher.clone().finalize().into();
            let mut stored = [0; 32];
            self.input.read_exact(&mut stored).map_err(damaged)?;
            if u64::from_le_bytes(rows) != self.rows || computed != stored {
                return Err(ConductorError::damaged(
                    "the snapshot",
                    format!("its hash is {}, it says {}", Hash(computed), Hash(stored)),
                ));
            }
            return Ok(None);
        }
        let table = Table::ALL.get(usize::from(tag[0])).copied().ok_or_else(|| {
            ConductorError::damaged("the snapshot", format!("there is no table {}", tag[0]))
        })?;
        self.rows += 1;
        Ok(Some((table, (self.part(MAX_ROW_BYTES)?, self.part(MAX_ROW_BYTES)?))))
    }
}

impl<R: Read> Reader<R> {
    /// After the last row: nothing may follow. Hands back what was read from.
    pub(crate) fn end(self) -> Result<R, ConductorError> {
        let mut input = self.input.inner;
        let mut more = [0];
        match input.read(&mut more).map_err(damaged)? {
            0 => Ok(input.into_inner()),
            _ => Err(ConductorError::damaged("the snapshot", "something follows its end")),
        }
    }
}

fn damaged(error: std::io::Error) -> ConductorError {
    ConductorError::damaged("the snapshot", error)
}

/// A file to receive a snapshot in; it vanishes when it is closed.
pub(crate) fn receive(dir: &Path) -> Result<File, ConductorError> {
    tempfile::tempfile_in(dir).map_err(ConductorError::io("create a file in", dir))
}

/// Replaces the state by a received snapshot, or leaves it as it is: all rows go in one transaction, so that there is no
/// moment with half a state.
pub(crate) fn install(
    store: &Store,
    dir: &Path,
    file: File,
    meta: &SnapshotMeta,
) -> Result<(), ConductorError> {
    // The whole file is checked before a row is believed.
    let (mut reader, stored) = Reader::of_file(file.try_clone().map_err(damaged)?)?;
    if &stored != meta {
        return Err(ConductorError::damaged("the snapshot", "it is another one than was announced"));
    }
    while reader.row()?.is_some() {}

    let mut copy =
        tempfile::NamedTempFile::new_in(dir).map_err(ConductorError::io("create a snapshot in", dir))?;
    let mut from = file.try_clone().map_err(damaged)?;
    from.seek(SeekFrom::Start(0)).map_err(damaged)?;
    std::io::copy(&mut from, &mut copy).map_err(ConductorError::io("write", copy.path()))?;

    store.write(Commit::DurableQuickRepair, |transaction| {
        for table in Table::ALL {
            transaction.delete_table(table.definition()).map_err(store.error())?;
        }
        let mut rows = Writer::new(store, transaction);
        let (mut reader, _) = Reader::of_file(file)?;
        while let Some((table, (key, value))) = reader.row()? {
            rows.put_quietly(table, &key, &value)?;
        }
        Ok(())
    })?;
    keep(dir, copy)
}

/// The last snapshot built or installed.
pub(crate) fn current(dir: &Path) -> Result<Option<Snapshot>, ConductorError> {
    let path = dir.join(CURRENT);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ConductorError::io("open", &path)(error)),
    };
    let (_, meta) = Reader::of_file(file)?;
    let file = File::open(&path).map_err(ConductorError::io("open", &path))?;
    Ok(Some(Snapshot { meta, snapshot: Box::new(tokio::fs::File::from_std(file)) }))
}
