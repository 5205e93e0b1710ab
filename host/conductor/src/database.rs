//! A redb file that can be closed while others still hold it.

use std::path::{Path, PathBuf};
use std::sync::RwLock;

use redb::{CompactionError, Database, DatabaseError, Durability, WriteTransaction};

use crate::error::ConductorError;

/// A database and its file's name, for messages.
pub(crate) struct Store {
    path: PathBuf,
    // openraft's tasks keep handles past shutdown; the file's lock must be free by then, so closing takes the database
    // out of everybody's hands.
    database: RwLock<Option<Database>>,
}

impl Store {
    /// Opens or creates the file. `cache` bounds what redb keeps in memory, in bytes.
    pub(crate) fn open(path: &Path, cache: usize) -> Result<Self, ConductorError> {
        let file = path.to_owned();
        let mut builder = Database::builder();
        builder.set_cache_size(cache);
        builder.set_repair_callback(move |session| {
            tracing::info!(file = %file.display(), progress = session.progress(), "checking a file after an unclean stop");
        });
        let database = builder.create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => {
                ConductorError::InUse { dir: path.parent().unwrap_or(path).to_owned() }
            }
            DatabaseError::UpgradeRequired(found) => ConductorError::damaged(
                path.display().to_string(),
                format!("it is a redb file of the old format {found}, which this program never wrote"),
            ),
            other => ConductorError::Database { path: path.to_owned(), source: Box::new(other.into()) },
        })?;
        Ok(Self { path: path.to_owned(), database: RwLock::new(Some(database)) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Turns an error of redb into ours.
    pub(crate) fn error<E: Into<redb::Error>>(&self) -> impl Fn(E) -> ConductorError {
        move |error| ConductorError::Database { path: self.path.clone(), source: Box::new(error.into()) }
    }

    /// Works on the open database.
    pub(crate) fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, ConductorError>,
    ) -> Result<T, ConductorError> {
        // A poisoned lock only says that another thread panicked; redb guards its own data.
        let guard = self.database.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        work(guard.as_ref().ok_or(ConductorError::Closed)?)
    }

    /// Runs one write transaction, durable or not.
    pub(crate) fn write<T>(
        &self,
        commit: Commit,
        work: impl FnOnce(&WriteTransaction) -> Result<T, ConductorError>,
    ) -> Result<T, ConductorError> {
        self.with(|database| {
            let mut transaction = database.begin_write().map_err(self.error())?;
            match commit {
                Commit::Deferred => transaction.set_durability(Durability::None).map_err(self.error())?,
                Commit::Durable => {}
                Commit::DurableQuickRepair => transaction.set_quick_repair(true),
            }
            let value = work(&transaction)?;
            transaction.commit().map_err(self.error())?;
            Ok(value)
        })
    }

    /// The file's size, and how much of it holds something. Walks through all that is in it.
    pub(crate) fn room(&self) -> Result<Room, ConductorError> {
        let used = self.with(|database| {
            let transaction = database.begin_write().map_err(self.error())?;
            let stats = transaction.stats().map_err(self.error())?;
            transaction.abort().map_err(self.error())?;
            Ok(stats.allocated_pages() * stats.page_size() as u64)
        })?;
        Ok(Room { file: self.size()?, used })
    }

    /// The file's size.
    pub(crate) fn size(&self) -> Result<u64, ConductorError> {
        std::fs::metadata(&self.path)
            .map(|metadata| metadata.len())
            .map_err(ConductorError::io("read", &self.path))
    }

    /// Moves what is in the file to its beginning and cuts off the rest; returns the bytes that were given back. Everybody else
    /// waits meanwhile. Nothing happens while somebody reads in a transaction that was begun before.
    pub(crate) fn compact(&self) -> Result<u64, ConductorError> {
        let before = self.size()?;
        let mut guard = self.database.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        match guard.as_mut().ok_or(ConductorError::Closed)?.compact() {
            Ok(_) => Ok(before.saturating_sub(self.size()?)),
            Err(CompactionError::TransactionInProgress) => Ok(0),
            Err(error) => Err(self.error()(error)),
        }
    }

    /// Closes the file and frees its lock. What was committed without durability is durable then: redb's closing is itself a
    /// durable commit.
    pub(crate) fn close(&self) -> Result<(), ConductorError> {
        let mut guard = self.database.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(database) = guard.take() else { return Ok(()) };
        database.close().map_err(self.error())
    }
}

/// How a file is filled, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) file: u64,
    pub(crate) used: u64,
}

/// When a transaction reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    /// With the next durable one.
    Deferred,
    /// Before the commit returns.
    Durable,
    /// Before the commit returns, and with what redb needs to open the file after an unclean stop without walking it.
    DurableQuickRepair,
}
