//! Who this member is: drawn when its disk is first written, and bound to it.
//!
//! A Raft member's id stands for its log. A new disk under an old name has another log, so it must have another id, or the
//! cluster could count one member twice and split. So there are two kinds of ids:
//! - the *disk's id* is a hash of its incarnation, which is random. A disk that joins a cluster, or is alone, acts under it;
//! - the *genesis id* of a name is a hash of the name. Members that form a cluster act under it, so that all of them can
//!   write down the same first membership without having agreed on anything but the list of names. Only one disk may ever
//!   act under a genesis id: the one whose incarnation a majority has recorded as the name's first ([`crate::claims`]).

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
    /// Id in the cluster: the disk's id, or the genesis id of the name where the disk has taken part in forming the cluster.
    /// Never 0.
    pub node_id: u64,
    /// Drawn with the incarnation; becomes the cluster's id if this disk is the first to lead it.
    pub cluster: Uuid,
}

/// The id of the members that form a cluster, by name.
pub(crate) fn genesis_id(name: &str) -> u64 {
    hash_id(&[b"inquisitor genesis member\0", name.as_bytes()])
}

/// The id of a disk.
pub(crate) fn disk_id(incarnation: &Uuid) -> u64 {
    hash_id(&[incarnation.as_bytes()])
}

fn hash_id(parts: &[&[u8]]) -> u64 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    let hash: [u8; 32] = hasher.finalize().into();
    let id = hash.iter().take(8).fold(0, |id, byte| (id << 8) | u64::from(*byte));
    id.max(1)
}

/// An id as people see it.
pub(crate) fn show_id(id: u64) -> String {
    format!("{id:016x}")
}

impl Identity {
    /// That of a new disk.
    pub(crate) fn draw(name: &str) -> Self {
        let incarnation = Uuid::new_v4();
        let node_id = disk_id(&incarnation);
        Self { name: name.to_owned(), incarnation, node_id, cluster: Uuid::new_v4() }
    }

    /// Reads the identity of the disk, or draws and writes it. A new name replaces the old one, save for a disk that acts
    /// under the genesis id of its name.
    pub(crate) fn load(store: &Store, name: &str) -> Result<Self, ConductorError> {
        let stored = Self::read(store)?;
        if let Some(identity) = &stored
            && identity.name == name
        {
            return Ok(identity.clone());
        }
        let identity = match stored {
            None => Self::draw(name),
            Some(identity) if identity.node_id == genesis_id(&identity.name) => {
                return Err(ConductorError::NotOurs {
                    dir: store.path().parent().unwrap_or(store.path()).to_owned(),
                    problem: format!(
                        "it belongs to the member `{}` of a cluster, and this member is named `{name}`; give each \
                         member its own directory and keep its name",
                        identity.name
                    ),
                });
            }
            Some(identity) => Self { name: name.to_owned(), ..identity },
        };
        identity.write(store)?;
        Ok(identity)
    }

    /// From now on the disk acts under this id.
    pub(crate) fn act_as(&mut self, store: &Store, node_id: u64) -> Result<(), ConductorError> {
        if self.node_id != node_id {
            Self { node_id, ..self.clone() }.write(store)?;
            self.node_id = node_id;
        }
        Ok(())
    }

    pub(crate) fn write(&self, store: &Store) -> Result<(), ConductorError> {
        store.write(Commit::Durable, |transaction| {
            let mut table = transaction.open_table(IDENTITY).map_err(store.error())?;
            let mut bytes = FORMAT.to_le_bytes().to_vec();
            bytes.extend(encode(self)?);
            table.insert(MEMBER, bytes.as_slice()).map_err(store.error())?;
            Ok(())
        })
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
        directories().create(dir).map_err(ConductorError::io("create the data directory", dir))?;
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
        let layout = Self::of(dir);
        layout.create_folders(dir)?;
        Ok(layout)
    }

    /// That of a directory which a host has run on.
    pub(crate) fn existing(dir: &Path) -> Result<Self, ConductorError> {
        let marker = dir.join(MARKER);
        match std::fs::read_to_string(&marker) {
            Ok(text) => check_marker(dir, &text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let problem = format!("it has no file `{MARKER}`; name the directory that a host ran on");
                return Err(ConductorError::NotOurs { dir: dir.to_owned(), problem });
            }
            Err(error) => return Err(ConductorError::io("read", &marker)(error)),
        }
        Ok(Self::of(dir))
    }

    /// The folders in an empty directory, which is made where it is not there, without what makes it a data directory:
    /// [`Self::finish`] adds that once everything else is there and on the disk.
    pub(crate) fn begin(dir: &Path) -> Result<Self, ConductorError> {
        directories().create(dir).map_err(ConductorError::io("create the data directory", dir))?;
        if dir.join(MARKER).exists() {
            let problem = "there is a host's data in it already, which nothing is restored over; give an empty \
                           directory or one that does not exist yet";
            return Err(ConductorError::Occupied { dir: dir.to_owned(), problem: problem.to_owned() });
        }
        check_empty(dir).map_err(|error| match error {
            ConductorError::NotOurs { dir, problem } => ConductorError::Occupied { dir, problem },
            other => other,
        })?;
        let layout = Self::of(dir);
        layout.create_folders(dir)?;
        Ok(layout)
    }

    /// Makes it a data directory.
    pub(crate) fn finish(dir: &Path) -> Result<(), ConductorError> {
        sync_dir(dir).map_err(ConductorError::io("sync", dir))?;
        write_marker(dir, &dir.join(MARKER))?;
        sync_dir(dir).map_err(ConductorError::io("sync", dir))
    }

    fn of(dir: &Path) -> Self {
        Self {
            log: dir.join("raft-log.redb"),
            state: dir.join("state.redb"),
            snapshots: dir.join("snapshots"),
            blobs: dir.join("blobs"),
        }
    }

    fn create_folders(&self, dir: &Path) -> Result<(), ConductorError> {
        let parts = [&self.snapshots, &self.blobs];
        if parts.iter().all(|part| part.is_dir()) {
            return Ok(());
        }
        for part in parts {
            directories().create(part).map_err(ConductorError::io("create", part))?;
        }
        sync_dir(dir).map_err(ConductorError::io("sync", dir))
    }
}

/// Makes directories that their owner alone can read.
fn directories() -> std::fs::DirBuilder {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
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
