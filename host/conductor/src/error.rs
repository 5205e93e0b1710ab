//! What can go wrong with the conductor's storage and Raft.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use inquisitor_engine::journal::JournalError;
use inquisitor_ledger::{LedgerError, ProofError};
use openraft::{AnyError, StorageIOError};

/// What went wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConductorError {
    /// Another process has the directory.
    #[error("the data directory {} is held by another process; stop that one, or give this one a directory of its own", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory holds something else.
    #[error("{} is not a data directory of inquisitor: {problem}", dir.display())]
    NotOurs {
        /// The directory.
        dir: PathBuf,
        /// What is there or is missing, and what to do.
        problem: String,
    },
    /// Something would be restored over what is there.
    #[error("nothing can be restored into {}: {problem}", dir.display())]
    Occupied {
        /// The directory.
        dir: PathBuf,
        /// What is there, and what to do.
        problem: String,
    },
    /// Data were written by a newer program.
    #[error(
        "{what} has format {found}, this program reads up to format {supported}; run the newer program that wrote it"
    )]
    NewerFormat {
        /// What has the format.
        what: String,
        /// Its format.
        found: u32,
        /// The newest format that this program reads.
        supported: u32,
    },
    /// The operating system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried, as `create`.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The database failed.
    #[error("the database {} failed", path.display())]
    Database {
        /// The database's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<redb::Error>,
    },
    /// Stored data are not what this program writes.
    #[error(
        "{what} is damaged: {problem}; restore the data directory from a backup or let the member join anew"
    )]
    Damaged {
        /// What is damaged.
        what: String,
        /// How it shows.
        problem: String,
    },
    /// A backup is not whole, or not one.
    #[error("the backup cannot be used: {part}: {problem}; take another one")]
    Backup {
        /// The part of it.
        part: String,
        /// How it shows.
        problem: String,
    },
    /// There is nothing that could be backed up, or not here.
    #[error("no backup can be made: {0}")]
    NoBackup(String),
    /// A command has no stored form.
    #[error("the command cannot be stored: {0}")]
    Command(String),
    /// A sweep was asked to delete what may still be in use.
    #[error("blobs cannot be swept: {0}")]
    Sweep(String),
    /// The list of members cannot be used.
    #[error("the list of members: {0}")]
    Peers(String),
    /// Nobody can be listened to on this address.
    #[error("cannot listen for other members on {address}; choose another address or stop what is using it")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The cluster does not do what was asked, or not now.
    #[error("{0}")]
    Cluster(String),
    /// The conductor was shut down.
    #[error("the conductor is shut down")]
    Closed,
    /// Raft gave no answer.
    #[error("consensus: {0}")]
    Consensus(String),
    /// The ledger has no such position, or an entry no canonical form.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl ConductorError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    // By value, so that callers can map an error straight into it.
    #[allow(clippy::needless_pass_by_value)]
    pub(crate) fn damaged(what: impl Into<String>, problem: impl ToString) -> Self {
        Self::Damaged { what: what.into(), problem: problem.to_string() }
    }

    // As above.
    #[allow(clippy::needless_pass_by_value)]
    pub(crate) fn backup(part: &str, problem: impl ToString) -> Self {
        Self::Backup { part: part.to_owned(), problem: problem.to_string() }
    }
}

/// The whole chain of causes in one line, for where only a text can go.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

impl From<ProofError<ConductorError>> for ConductorError {
    fn from(error: ProofError<ConductorError>) -> Self {
        match error {
            ProofError::Ledger(error) => Self::Ledger(error),
            ProofError::Store(error) => error,
            missing @ ProofError::Missing { .. } => Self::damaged("the ledger", missing),
        }
    }
}

impl From<ConductorError> for JournalError {
    fn from(error: ConductorError) -> Self {
        match error {
            ConductorError::Closed
            | ConductorError::Consensus(_)
            | ConductorError::Cluster(_)
            | ConductorError::NoBackup(_) => Self::Unavailable(chain(&error)),
            _ => Self::Storage(chain(&error)),
        }
    }
}

/// For openraft, which stops the member on any such error: a member that cannot read or write its store must not go on.
pub(crate) fn any(error: &ConductorError) -> AnyError {
    AnyError::error(chain(error))
}

/// Wraps an error of the state machine for openraft.
pub(crate) fn state_error(error: &ConductorError) -> openraft::StorageError<u64> {
    StorageIOError::write_state_machine(any(error)).into()
}
