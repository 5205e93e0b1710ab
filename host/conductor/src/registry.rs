//! Tenants, keys and uploaded plugins in memory: what every request asks for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use inquisitor_engine::gating::{DEFAULT_TENANT, KeyRecord, PluginRecord, Policy, Tenant};

use crate::error::ConductorError;
use crate::record::{TenantRow, decode, decode_json};
use crate::rows::{RegistryChange, Table, View};

/// The tenants, keys and uploaded plugins as they were applied here at one moment.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// Number of ledger entries that were applied when it was made; grows with every change.
    pub version: u64,
    // Each part is shared between one registry and the next until it changes.
    tenants: Arc<BTreeMap<String, Arc<Tenant>>>,
    keys: Arc<Keys>,
    plugins: Arc<BTreeMap<Vec<u8>, Arc<PluginRecord>>>,
}

#[derive(Debug, Clone, Default)]
struct Keys {
    by_id: BTreeMap<Arc<str>, Arc<KeyRecord>>,
    by_hash: HashMap<Arc<str>, Arc<KeyRecord>>,
}

impl Registry {
    /// The tenant of this name. [`DEFAULT_TENANT`] always exists.
    pub fn tenant(&self, name: &str) -> Option<&Tenant> {
        self.tenants.get(name).map(Arc::as_ref)
    }

    /// All tenants by name.
    pub fn tenants(&self) -> impl ExactSizeIterator<Item = &Tenant> {
        self.tenants.values().map(Arc::as_ref)
    }

    /// The key whose secret has this SHA-256, lower-case hex; it may have expired or be revoked.
    pub fn key_by_hash(&self, hash: &str) -> Option<&KeyRecord> {
        self.keys.by_hash.get(hash).map(Arc::as_ref)
    }

    /// The key with this id; it may have expired or be revoked.
    pub fn key(&self, id: &str) -> Option<&KeyRecord> {
        self.keys.by_id.get(id).map(Arc::as_ref)
    }

    /// All keys by id, expired and revoked ones included.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &KeyRecord> {
        self.keys.by_id.values().map(Arc::as_ref)
    }

    /// All uploaded plugins, those that everybody has first, then by tenant.
    pub fn plugins(&self) -> impl ExactSizeIterator<Item = &PluginRecord> {
        self.plugins.values().map(Arc::as_ref)
    }

    /// Reads it from the rows.
    pub(crate) fn load(view: &View<'_>, version: u64) -> Result<Self, ConductorError> {
        let mut changes = Vec::new();
        for table in [Table::Tenants, Table::Keys, Table::Plugins] {
            view.for_each(table, |key, value| {
                changes.push((table, key.to_vec(), Some(value.to_vec())));
                Ok(())
            })?;
        }
        Self::default().changed(changes, version)
    }

    /// The registry after rows were written and removed.
    pub(crate) fn changed(&self, changes: Vec<RegistryChange>, version: u64) -> Result<Self, ConductorError> {
        let mut next = Self { version, ..self.clone() };
        for (table, key, value) in changes {
            match table {
                // The first change of a part copies it, the others change the copy.
                Table::Tenants => set_tenant(Arc::make_mut(&mut next.tenants), key, value)?,
                Table::Keys => Arc::make_mut(&mut next.keys).set(key, value)?,
                Table::Plugins => set_plugin(Arc::make_mut(&mut next.plugins), key, value)?,
                _ => {}
            }
        }
        if !next.tenants.contains_key(DEFAULT_TENANT) {
            Arc::make_mut(&mut next.tenants).insert(DEFAULT_TENANT.to_owned(), Arc::new(default_tenant()));
        }
        Ok(next)
    }
}

/// The default tenant before anybody describes it: it may read all of the host's substrate folder, as whoever works at the
/// host may.
fn default_tenant() -> Tenant {
    Tenant {
        name: DEFAULT_TENANT.to_owned(),
        description: "Everybody without a tenant of their own".to_owned(),
        policy: Policy { substrate_files: BTreeSet::from([".".to_owned()]), ..Policy::default() },
        created: 0,
    }
}

fn set_tenant(
    tenants: &mut BTreeMap<String, Arc<Tenant>>,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
) -> Result<(), ConductorError> {
    let name = String::from_utf8(key).map_err(|error| ConductorError::damaged("a tenant's name", error))?;
    let Some(value) = value else {
        tenants.remove(&name);
        return Ok(());
    };
    let row: TenantRow = decode("a tenant", &value)?;
    let tenant = Tenant {
        name: name.clone(),
        description: row.description,
        policy: decode_json("a policy", &row.policy)?,
        created: row.created,
    };
    tenants.insert(name, Arc::new(tenant));
    Ok(())
}

fn set_plugin(
    plugins: &mut BTreeMap<Vec<u8>, Arc<PluginRecord>>,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
) -> Result<(), ConductorError> {
    match value {
        Some(value) => plugins.insert(key, Arc::new(decode("a plugin", &value)?)),
        None => plugins.remove(&key),
    };
    Ok(())
}

impl Keys {
    fn set(&mut self, id: Vec<u8>, value: Option<Vec<u8>>) -> Result<(), ConductorError> {
        let id = String::from_utf8(id).map_err(|error| ConductorError::damaged("a key's id", error))?;
        if let Some(there) = self.by_id.remove(id.as_str()) {
            self.by_hash.remove(there.secret_hash.as_str());
        }
        let Some(value) = value else { return Ok(()) };
        let key: Arc<KeyRecord> = Arc::new(decode("a key", &value)?);
        self.by_hash.insert(key.secret_hash.as_str().into(), key.clone());
        self.by_id.insert(id.into(), key);
        Ok(())
    }
}
