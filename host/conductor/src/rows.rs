//! The tables of the applied state, and reading and writing their rows.
//!
//! Every table has byte strings as keys and values, so that a snapshot and the state's hash treat all alike.

use std::cell::OnceCell;

use inquisitor_ledger::Hash;
use redb::{
    ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, TableError,
    WriteTransaction,
};
use sha2::{Digest, Sha256};

use crate::database::Store;
use crate::error::ConductorError;
use crate::keys::prefix_end;

/// A table of the applied state, the same on every member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Table {
    /// Position in the log, membership, ledger's edge, hash of the state; by name.
    Meta = 0,
    /// What changes of an inquiry and what lists show; by id.
    Inquiries = 1,
    /// Plans as JSON, and what else of a submission only running it needs; by id.
    Plans = 2,
    /// Findings and reasons of ended inquiries, the last finding of continuous ones; by id.
    Ends = 3,
    /// The last lease of each step; by id and step.
    Steps = 4,
    /// How attempts ended; by id, step, round and attempt.
    Records = 5,
    /// Ids in the order of submission; by sequence number.
    Order = 6,
    /// Inquiries that have not ended, and what holds only until they do; by sequence number.
    Unfinished = 7,
    /// The ledger's entries; by index.
    Ledger = 8,
    /// The ledger's complete subtrees of two leaves and more; by level and index.
    Nodes = 9,
    /// Which ledger entries an inquiry has: no values; by id and index.
    Entries = 10,
    /// Ids in the order of submission; by tenant and sequence number.
    TenantOrder = 11,
    /// How many inquiries of a tenant have not ended, and how many may be so; by tenant.
    TenantUse = 12,
    /// Inquiries that have not ended; by tenant, the manifest's id and sequence number.
    ManifestUse = 13,
    /// Inquiries that have not ended; by plugin, tenant and sequence number.
    PluginUse = 14,
    /// What a submission's key made; by the SHA-256 of tenant and key.
    Idempotency = 15,
    /// Tenants and their policies; by name.
    Tenants = 16,
    /// Keys; by id.
    Keys = 17,
    /// Ids of keys; by the hash of the secret.
    KeyHashes = 18,
    /// Uploaded plugins; by tenant and digest.
    Plugins = 19,
    /// Digests of uploaded plugins; by tenant, name and version.
    Versions = 20,
    /// Answers to requests that must act once; by the request's id.
    Requests = 21,
    /// Ids of these requests in the order in which they were answered; by number.
    RequestOrder = 22,
    /// Names of tenants that were removed: no values; by name. As small as the ledger's entry of the removal, and as lasting.
    RemovedTenants = 23,
}

impl Table {
    /// All of them, in the order of their numbers, which are part of the snapshot's format.
    pub(crate) const ALL: [Self; 24] = [
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
        Self::Entries,
        Self::TenantOrder,
        Self::TenantUse,
        Self::ManifestUse,
        Self::PluginUse,
        Self::Idempotency,
        Self::Tenants,
        Self::Keys,
        Self::KeyHashes,
        Self::Plugins,
        Self::Versions,
        Self::Requests,
        Self::RequestOrder,
        Self::RemovedTenants,
    ];

    /// Whether the [`Registry`](crate::registry::Registry) shows its rows.
    fn is_registry(self) -> bool {
        matches!(self, Self::Tenants | Self::Keys | Self::Plugins)
    }

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
            Self::Entries => "entries",
            Self::TenantOrder => "tenant-order",
            Self::TenantUse => "tenant-use",
            Self::ManifestUse => "manifest-use",
            Self::PluginUse => "plugin-use",
            Self::Idempotency => "idempotency",
            Self::Tenants => "tenants",
            Self::Keys => "keys",
            Self::KeyHashes => "key-hashes",
            Self::Plugins => "plugins",
            Self::Versions => "versions",
            Self::Requests => "requests",
            Self::RequestOrder => "request-order",
            Self::RemovedTenants => "removed-tenants",
        })
    }
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
    /// Number of rows; known without walking.
    fn count(&self, table: Table) -> Result<u64, ConductorError>;

    /// Whether there is a row.
    fn has(&self, table: Table, key: &[u8]) -> Result<bool, ConductorError> {
        Ok(self.get(table, key)?.is_some())
    }

    /// The rows whose keys begin so, in order, at most `limit`.
    fn starting_with(&self, table: Table, prefix: &[u8], limit: usize) -> Result<Vec<Row>, ConductorError> {
        self.range(table, prefix, &prefix_end(prefix), limit, false)
    }
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

    fn count(&self, table: Table) -> Result<u64, ConductorError> {
        match self.open(table)? {
            None => Ok(0),
            Some(open) => open.len().map_err(self.store.error()),
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

/// A row of a table that the registry shows: written, or removed.
pub(crate) type RegistryChange = (Table, Vec<u8>, Option<Vec<u8>>);

/// A table open for writing.
type WriteTable<'txn> = redb::Table<'txn, &'static [u8], &'static [u8]>;

/// The tables for writing, and a hash over what one log entry writes.
pub(crate) struct Writer<'txn> {
    store: &'txn Store,
    transaction: &'txn WriteTransaction,
    // Opened when first used: most batches touch half of them, and each that is open costs at the commit.
    tables: [OnceCell<WriteTable<'txn>>; Table::ALL.len()],
    hasher: Sha256,
    written: usize,
    registry: Vec<RegistryChange>,
}

impl<'txn> Writer<'txn> {
    pub(crate) fn new(store: &'txn Store, transaction: &'txn WriteTransaction) -> Self {
        Self {
            store,
            transaction,
            tables: [const { OnceCell::new() }; Table::ALL.len()],
            hasher: Sha256::new(),
            written: 0,
            registry: Vec::new(),
        }
    }

    fn table(&self, table: Table) -> Result<&WriteTable<'txn>, ConductorError> {
        let cell = &self.tables[table as usize];
        if let Some(open) = cell.get() {
            return Ok(open);
        }
        let open = self.transaction.open_table(table.definition()).map_err(self.store.error())?;
        Ok(cell.get_or_init(|| open))
    }

    fn table_mut(&mut self, table: Table) -> Result<&mut WriteTable<'txn>, ConductorError> {
        self.table(table)?;
        self.tables[table as usize].get_mut().ok_or(ConductorError::Closed)
    }

    /// Writes a row and counts it into the entry's hash.
    pub(crate) fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), ConductorError> {
        self.hasher.update([1, table as u8]);
        for part in [key, value] {
            self.hasher.update((part.len() as u64).to_be_bytes());
            self.hasher.update(part);
        }
        if table.is_registry() {
            self.registry.push((table, key.to_vec(), Some(value.to_vec())));
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
        let failed = self.store.error();
        self.table_mut(table)?.insert(key, value).map_err(failed)?;
        Ok(())
    }

    /// Removes a row and counts that into the entry's hash.
    pub(crate) fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), ConductorError> {
        self.hasher.update([0, table as u8]);
        self.hasher.update((key.len() as u64).to_be_bytes());
        self.hasher.update(key);
        if table.is_registry() {
            self.registry.push((table, key.to_vec(), None));
        }
        let failed = self.store.error();
        self.table_mut(table)?.remove(key).map_err(failed)?;
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

    /// What was changed of the registry since the last call.
    pub(crate) fn take_registry(&mut self) -> Vec<RegistryChange> {
        std::mem::take(&mut self.registry)
    }
}

impl ReadRows for Writer<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ConductorError> {
        let value = self.table(table)?.get(key).map_err(self.store.error())?;
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
        collect(self.store, self.table(table)?, from, to, limit, backwards)
    }

    fn count(&self, table: Table) -> Result<u64, ConductorError> {
        self.table(table)?.len().map_err(self.store.error())
    }
}
