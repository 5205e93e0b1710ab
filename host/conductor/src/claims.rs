//! Which disk owns a name: for each name the first incarnation that this member ever heard.
//!
//! A member that has lost its disk has lost its vote and its log with it, and must not act under the id that they belong to.
//! It cannot know this by itself, but the others do: each of them has recorded the incarnation that had the name before.
//! A claim is durable before it is told, and never changes. Claims lie in the state's file, beside the identity, and not in
//! the replicated state: they are needed before there is one.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use inquisitor_peer::MemberName;
use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableError};
use uuid::Uuid;

use crate::database::{Commit, Store};
use crate::error::ConductorError;
use crate::state::blocking;

const CLAIMS: TableDefinition<'static, &'static str, u128> = TableDefinition::new("claims");
/// Names that are recorded. Far more than a cluster ever has; whoever knows the cluster's secret may claim any.
const MAX_CLAIMS: usize = 1024;

/// The recorded claims.
pub(crate) struct Claims {
    store: Arc<Store>,
    known: RwLock<BTreeMap<MemberName, Uuid>>,
}

impl Claims {
    /// Reads them. Blocking.
    pub(crate) fn open(store: Arc<Store>) -> Result<Self, ConductorError> {
        let known = read(&store)?;
        Ok(Self { store, known: RwLock::new(known) })
    }

    /// The incarnation that owns the name, if anybody was ever heard under it.
    pub(crate) fn owner(&self, name: &MemberName) -> Option<Uuid> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// Records that a name was heard, if it is the first time, and returns who owns it.
    ///
    /// # Errors
    /// When it cannot be made durable, or there are too many.
    pub(crate) async fn hear(&self, name: &MemberName, incarnation: Uuid) -> Result<Uuid, ConductorError> {
        if let Some(owner) = self.owner(name) {
            return Ok(owner);
        }
        let (store, key) = (self.store.clone(), name.clone());
        let owner = blocking(move || record(&store, &key, incarnation)).await?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), owner);
        Ok(owner)
    }
}

fn read(store: &Store) -> Result<BTreeMap<MemberName, Uuid>, ConductorError> {
    store.with(|database| {
        let transaction = database.begin_read().map_err(store.error())?;
        let table = match transaction.open_table(CLAIMS) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(BTreeMap::new()),
            Err(error) => return Err(store.error()(error)),
        };
        let mut known = BTreeMap::new();
        for row in table.iter().map_err(store.error())? {
            let (name, incarnation) = row.map_err(store.error())?;
            let name = name.value().parse().map_err(|error| ConductorError::damaged("a claim", error))?;
            known.insert(name, Uuid::from_u128(incarnation.value()));
        }
        Ok(known)
    })
}

fn record(store: &Store, name: &MemberName, incarnation: Uuid) -> Result<Uuid, ConductorError> {
    store.write(Commit::Durable, |transaction| {
        let mut table = transaction.open_table(CLAIMS).map_err(store.error())?;
        // Two may be heard at once.
        if let Some(owner) = table.get(name.as_str()).map_err(store.error())? {
            return Ok(Uuid::from_u128(owner.value()));
        }
        if redb::ReadableTableMetadata::len(&table).map_err(store.error())? >= MAX_CLAIMS as u64 {
            return Err(ConductorError::Cluster(format!(
                "`{name}` cannot be recorded: {MAX_CLAIMS} names of members were heard already"
            )));
        }
        table.insert(name.as_str(), incarnation.as_u128()).map_err(store.error())?;
        Ok(incarnation)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state;

    #[tokio::test]
    async fn the_first_that_was_heard_owns_the_name_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.redb");
        let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let a: MemberName = "a".parse().unwrap();
        let store = Arc::new(state::open(&path).unwrap());
        let claims = Claims::open(store.clone()).unwrap();
        assert_eq!(claims.owner(&a), None);
        assert_eq!(claims.hear(&a, first).await.unwrap(), first);
        assert_eq!(claims.hear(&a, second).await.unwrap(), first);
        store.close().unwrap();

        let claims = Claims::open(Arc::new(state::open(&path).unwrap())).unwrap();
        assert_eq!(claims.owner(&a), Some(first));
        assert_eq!(claims.hear(&a, second).await.unwrap(), first);
    }
}
