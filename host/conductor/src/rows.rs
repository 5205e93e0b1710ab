//! The tables of the applied state, and reading and writing their rows.
//!
//! Every table has byte strings as keys and values, so that a snapshot and the state's hash treat all alike. Keys sort as
//! the reads need them: numbers are big-endian, and an inquiry's rows lie together behind its id and a zero byte, which no
//! id holds.

use inquisitor_ledger::Hash;
use redb::{ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};
use sha2::{Digest, Sha256};

use crate::database::Store;
use crate::error::ConductorError;

/// A table of the applied state, the same on every member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Table {
    /// Position in the log, membership, ledger's edge, hash of the state; by name.
    Meta = 0,
    /// What is known of an inquiry beside its plan; by id.
    Inquiries = 1,
    /// Plans as JSON; by id.
    Plans = 2,
    /// Findings and reasons of ended inquiries; by id.
    Ends = 3,
    /// The last lease of each step; by id and step.
    Steps = 4,
    /// How attempts ended; by id, step and attempt.
    Records = 5,
    /// Ids in the order of submission; by sequence number.
    Order = 6,
    /// Ids of inquiries that have not ended; by sequence number.
    Unfinished = 7,
    /// The ledger's entries; by index.
    Ledger = 8,
    /// The ledger's complete subtrees of two leaves and more; by level and index.
    Nodes = 9,
}

impl Table {
    /// All of them, in the order of their numbers, which are part of the snapshot's format.
    pub(crate) const ALL: [Self; 10] = [
        Self::Meta,
        Self::Inquiries,
        Self::Plans,
        Self::Ends,
        Self::Steps,
        Self::Records,
        Self::Order,
        Self::Unfinished,
        Self::Ledger,
        Self::Nodes,
    ];

    pub(crate) fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(match self {
            Self::Meta => "meta",
            Self::Inquiries => "inquiries",
            Self::Plans => "plans",
            Self::Ends => "ends",
            Self::Steps => "steps",
            Self::Records => "records",
            Self::Order => "order",
            Self::Unfinished => "unfinished",
            Self::Ledger => "ledger",
            Self::Nodes => "nodes",
        })
    }
}

/// Key of everything of one inquiry in the tables that have several rows for it.
pub(crate) fn inquiry_prefix(inquiry: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(inquiry.len() + 9);
    key.extend_from_slice(inquiry.as_bytes());
    key.push(0);
    key
}

/// Key of a step.
pub(crate) fn step_key(inquiry: &str, step: u32) -> Vec<u8> {
    let mut key = inquiry_prefix(inquiry);
    key.extend_from_slice(&step.to_be_bytes());
    key
}

/// Key of an attempt's record.
pub(crate) fn record_key(inquiry: &str, step: u32, attempt: u32) -> Vec<u8> {
    let mut key = step_key(inquiry, step);
    key.extend_from_slice(&attempt.to_be_bytes());
    key
}

/// Key of a subtree of the ledger.
pub(crate) fn node_key(level: u8, index: u64) -> [u8; 9] {
    let mut key = [0; 9];
    key[0] = level;
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

/// The end of the keys that start with a prefix, exclusive. The prefix ends in a byte below 255.
pub(crate) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// A table open for reading.
type OpenTable = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;
/// A key or a value while its page is held.
type Guard<'a> = redb::AccessGuard<'a, &'static [u8]>;

/// A row: key and value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Reading rows, in a read or a write transaction.
pub(crate) trait ReadRows {
    /// One row's value.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ConductorError>;
    /// Rows with keys in `from..to`, at most `limit`, from the first or from the last.
    fn range(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        limit: usize,
        backwards: bool,
    ) -> Result<Vec<Row>, ConductorError>;
}

/// The rows as they were when the transaction began.
pub(crate) struct View<'a> {
    store: &'a Store,
    transaction: ReadTransaction,
}

impl<'a> View<'a> {
    pub(crate) fn new(store: &'a Store) -> Result<Self, ConductorError> {
        let transaction = store.with(|database| database.begin_read().map_err(store.error()))?;
        Ok(Self { store, transaction })
    }

    /// Walks a whole table.
    pub(crate) fn for_each(
        &self,
        table: Table,
        mut work: impl FnMut(&[u8], &[u8]) -> Result<(), ConductorError>,
    ) -> Result<(), ConductorError> {
        let Some(open) = self.open(table)? else { return Ok(()) };
        for row in open.iter().map_err(self.store.error())? {
            let (key, value) = row.map_err(self.store.error())?;
            work(key.value(), value.value())?;
        }
        Ok(())
    }

    /// The table, or none where nothing was ever written.
    fn open(&self, table: Table) -> Result<Option<OpenTable>, ConductorError> {
        match self.transaction.open_table(table.definition()) {
            Ok(open) => Ok(Some(open)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(self.store.error()(error)),
        }
    }
}

impl ReadRows for View<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ConductorError> {
        let Some(open) = self.open(table)? else { return Ok(None) };
        let value = open.get(key).map_err(self.store.error())?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn range(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        limit: usize,
        backwards: bool,
    ) -> Result<Vec<Row>, ConductorError> {
        match self.open(table)? {
            None => Ok(Vec::new()),
            Some(open) => collect(self.store, &open, from, to, limit, backwards),
        }
    }
}

fn collect(
    store: &Store,
    open: &impl ReadableTable<&'static [u8], &'static [u8]>,
    from: &[u8],
    to: &[u8],
    limit: usize,
    backwards: bool,
) -> Result<Vec<Row>, ConductorError> {
    let range = open.range(from..to).map_err(store.error())?;
    let copy = |row: Result<(Guard<'_>, Guard<'_>), _>| {
        let (key, value) = row.map_err(store.error())?;
        Ok((key.value().to_vec(), value.value().to_vec()))
    };
    if backwards {
        range.rev().take(limit).map(copy).collect()
    } else {
        range.take(limit).map(copy).collect()
    }
}

/// All tables open for writing, and a hash over what one log entry writes.
pub(crate) struct Writer<'txn> {
    store: &'txn Store,
    tables: Vec<redb::Table<'txn, &'static [u8], &'static [u8]>>,
    hasher: Sha256,
    written: usize,
}

impl<'txn> Writer<'txn> {
    pub(crate) fn new(
        store: &'txn Store,
        transaction: &'txn WriteTransaction,
    ) -> Result<Self, ConductorError> {
        let tables = Table::ALL
            .iter()
            .map(|table| transaction.open_table(table.definition()).map_err(store.error()))
            .collect::<Result<_, _>>()?;
        Ok(Self { store, tables, hasher: Sha256::new(), written: 0 })
    }

    /// Writes a row and counts it into the entry's hash.
    pub(crate) fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), ConductorError> {
        self.hasher.update([1, table as u8]);
        for part in [key, value] {
            self.hasher.update((part.len() as u64).to_be_bytes());
            self.hasher.update(part);
        }
        self.put_quietly(table, key, value)
    }

    /// Writes a row that follows from others and does not enter the hash.
    pub(crate) fn put_quietly(
        &mut self,
        table: Table,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), ConductorError> {
        self.written += key.len() + value.len();
        self.tables[table as usize].insert(key, value).map_err(self.store.error())?;
        Ok(())
    }

    /// Removes a row and counts that into the entry's hash.
    pub(crate) fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), ConductorError> {
        self.hasher.update([0, table as u8]);
        self.hasher.update((key.len() as u64).to_be_bytes());
        self.hasher.update(key);
        self.tables[table as usize].remove(key).map_err(self.store.error())?;
        Ok(())
    }

    /// The hash over what was written since the last call.
    pub(crate) fn take_hash(&mut self) -> Hash {
        Hash(self.hasher.finalize_reset().into())
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> usize {
        self.written
    }
}

impl ReadRows for Writer<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ConductorError> {
        let value = self.tables[table as usize].get(key).map_err(self.store.error())?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn range(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        limit: usize,
        backwards: bool,
    ) -> Result<Vec<Row>, ConductorError> {
        collect(self.store, &self.tables[table as usize], from, to, limit, backwards)
    }
}
