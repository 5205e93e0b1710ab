//! Who this member is: drawn when its disk is first written, and bound to it.
//!
//! A Raft member's id stands for its log. A new disk under an old name has another log, so it must have another id, or the
//! cluster could count one member twice and split. The id therefore comes from the disk's incarnation, which is random, and
//! the name is only for people.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use redb::{ReadableDatabase, TableDefinition, TableError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::blobs::sync_dir;
use crate::database::{Commit, Store};
use crate::error::ConductorError;
use crate::record::{decode, encode};

const IDENTITY: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("identity");
const MEMBER: &str = "member";
/// Format of the state's file.
const FORMAT: u32 = 1;
/// The file that says whose directory this is. Written first, so that an interrupted first start is taken up again.
const MARKER: &str = "inquisitor-data";
/// What its draft's name begins with, should a first start be interrupted before the renaming.
const MARKER_DRAFT: &str = ".inquisitor-data-";
const MARKER_PREFIX: &str = "inquisitor data directory, format ";

/// The member that a data directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Name for people; survives a change of disk.
    pub name: String,
    /// Drawn when the disk was first written.
    pub incarnation: Uuid,
    /// Id in the cluster, drawn with the incarnation. Never 0.
    pub node_id: u64,
    /// The cluster. Drawn by the member that began it.
    pub cluster: Uuid,
}

impl Identity {
    fn draw(name: &str) -> Self {
        let incarnation = Uuid::new_v4();
        let hash: [u8; 32] = Sha256::digest(incarnation.as_bytes()).into();
        let node_id = hash.iter().take(8).fold(0, |id, byte| (id << 8) | u64::from(*byte));
        Self { name: name.to_owned(), incarnation, node_id: node_id.max(1), cluster: Uuid::new_v4() }
    }

    /// Reads the identity of the disk, or draws and writes it. A new name replaces the old one; the rest never changes.
    pub(crate) fn load(store: &Store, name: &str) -> Result<Self, ConductorError> {
        let stored = Self::read(store)?;
        if let Some(identity) = &stored
            && identity.name == name
        {
            return Ok(identity.clone());
        }
        let identity = match stored {
            None => Self::draw(name),
            Some(identity) => Self { name: name.to_owned(), ..identity },
        };
        store.write(Commit::Durable, |transaction| {
            let mut table = transaction.open_table(IDENTITY).map_err(store.error())?;
            let mut bytes = FORMAT.to_le_bytes().to_vec();
            bytes.extend(encode(&identity)?);
            table.insert(MEMBER, bytes.as_slice()).map_err(store.error())?;
            Ok(())
        })?;
        Ok(identity)
    }

    /// The identity of the disk; none where it is new.
    pub(crate) fn read(store: &Store) -> Result<Option<Self>, ConductorError> {
        store.with(|database| {
            let transaction = database.begin_read().map_err(store.error())?;
            let table = match transaction.open_table(IDENTITY) {
                Ok(table) => table,
                Err(TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(store.error()(error)),
            };
            let Some(value) = table.get(MEMBER).map_err(store.error())? else { return Ok(None) };
            let Some((format, rest)) = value.value().split_first_chunk::<4>() else {
                return Err(ConductorError::damaged("the member's identity", "it has less than four bytes"));
            };
            let found = u32::from_le_bytes(*format);
            if found != FORMAT {
                let what = store.path().display().to_string();
                return Err(ConductorError::NewerFormat { what, found, supported: FORMAT });
            }
            decode("the member's identity", rest).map(Some)
        })
    }
}

/// The places in a data directory.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) log: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) snapshots: PathBuf,
    pub(crate) blobs: PathBuf,
}

impl Layout {
    /// Makes sure that the directory is ours, and makes it where it is not there: readable by its owner alone, for plans and
    /// readings are nobody else's business.
    pub(crate) fn prepare(dir: &Path) -> Result<Self, ConductorError> {
        let new = !dir.exists();
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(dir).map_err(ConductorError::io("create the data directory", dir))?;
        let marker = dir.join(MARKER);
        match std::fs::read_to_string(&marker) {
            Ok(text) => check_marker(dir, &text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if !new {
                    check_empty(dir)?;
                }
                write_marker(dir, &marker)?;
            }
            Err(error) => return Err(ConductorError::io("read", &marker)(error)),
        }
        let layout = Self {
            log: dir.join("raft-log.redb"),
            state: dir.join("state.redb"),
            snapshots: dir.join("snapshots"),
            blobs: dir.join("blobs"),
        };
        let parts = [&layout.snapshots, &layout.blobs];
        if parts.iter().all(|part| part.is_dir()) {
            return Ok(layout);
        }
        for part in parts {
            builder.create(part).map_err(ConductorError::io("create", part))?;
        }
        sync_dir(dir).map_err(ConductorError::io("sync", dir))?;
        Ok(layout)
    }
}

fn check_marker(dir: &Path, text: &str) -> Result<(), ConductorError> {
    let format = text.trim_end().strip_prefix(MARKER_PREFIX).and_then(|format| format.parse::<u32>().ok());
    match format {
        Some(FORMAT) => Ok(()),
        Some(found) => Err(ConductorError::NewerFormat {
            what: format!("the data directory {}", dir.display()),
            found,
            supported: FORMAT,
        }),
        None => Err(ConductorError::NotOurs {
            dir: dir.to_owned(),
            problem: format!("its file `{MARKER}` is not what this program writes"),
        }),
    }
}

/// A directory without the marker may only be taken when nothing is in it; a volume's own `lost+found` does not count.
fn check_empty(dir: &Path) -> Result<(), ConductorError> {
    for entry in std::fs::read_dir(dir).map_err(ConductorError::io("read", dir))? {
        let name = entry.map_err(ConductorError::io("read", dir))?.file_name();
        let text = name.to_string_lossy();
        if text != "lost+found" && !text.starts_with(MARKER_DRAFT) {
            return Err(ConductorError::NotOurs {
                dir: dir.to_owned(),
                problem: format!(
                    "it holds `{text}` and no file `{MARKER}`; give an empty directory or one that does not exist yet"
                ),
            });
        }
    }
    Ok(())
}

fn write_marker(dir: &Path, marker: &Path) -> Result<(), ConductorError> {
    use std::io::Write as _;
    let failed = || ConductorError::io("write", marker);
    let mut file = tempfile::Builder::new().prefix(MARKER_DRAFT).tempfile_in(dir).map_err(failed())?;
    file.write_all(format!("{MARKER_PREFIX}{FORMAT}\n").as_bytes()).map_err(failed())?;
    file.as_file().sync_all().map_err(failed())?;
    file.persist(marker).map_err(|error| failed()(error.error))?;
    Ok(())
}
