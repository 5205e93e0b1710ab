//! Tenants, keys and uploaded plugins.

use inquisitor_engine::gating::{
    DEFAULT_TENANT, KeyRecord, MAX_KEYS, MAX_PLUGINS, MAX_TENANTS, PluginRecord,
};
use inquisitor_engine::journal::{Applied, Refusal};

use super::submission::{put_tenant_use, tenant_use};
use super::{Outcome, already_done, done, refused};
use crate::entry::Note;
use crate::error::ConductorError;
use crate::facts::TenantFacts;
use crate::keys::{plugin_key, plugin_use_prefix, text_key};
use crate::record::{TenantRow, TenantUseRow, decode, digest, encode};
use crate::rows::{ReadRows, Table, Writer};

/// Keys that are looked through at once when a tenant is removed.
const SLICE: usize = 1000;

pub(super) fn create_tenant(rows: &mut Writer<'_>, tenant: &TenantFacts) -> Result<Outcome, ConductorError> {
    let new = tenant_row(tenant, tenant.created);
    if let Some(there) = rows.get(Table::Tenants, tenant.name.as_bytes())?
        && there == encode(&new)?
    {
        return already_done();
    }
    if tenant_use(rows, &tenant.name)?.is_some() {
        return refused(Refusal::TenantExists { tenant: tenant.name.clone() });
    }
    // What the one before left, inquiries and entries of the ledger, goes by the name: nobody else may come to see it.
    if rows.has(Table::RemovedTenants, tenant.name.as_bytes())? {
        return refused(Refusal::TenantRemoved { tenant: tenant.name.clone() });
    }
    // The default one is there even while it has no row.
    let unwritten = !rows.has(Table::Tenants, DEFAULT_TENANT.as_bytes())?;
    if rows.count(Table::Tenants)? + u64::from(unwritten) >= MAX_TENANTS as u64 {
        return refused(Refusal::TooMany { what: "tenants".into(), limit: MAX_TENANTS });
    }
    put_tenant(rows, &tenant.name, &new)?;
    put_tenant_use(rows, &tenant.name, &TenantUseRow { unfinished: 0, limit: tenant.limit })?;
    done()
}

pub(super) fn update_tenant(rows: &mut Writer<'_>, tenant: &TenantFacts) -> Result<Outcome, ConductorError> {
    let Some(mut usage) = tenant_use(rows, &tenant.name)? else { return no_such_tenant(&tenant.name) };
    let there: Option<TenantRow> = rows
        .get(Table::Tenants, tenant.name.as_bytes())?
        .map(|bytes| decode("a tenant", &bytes))
        .transpose()?;
    let new = tenant_row(tenant, there.as_ref().map_or(0, |there| there.created));
    if there.as_ref() == Some(&new) {
        return already_done();
    }
    put_tenant(rows, &tenant.name, &new)?;
    usage.limit = tenant.limit;
    put_tenant_use(rows, &tenant.name, &usage)?;
    done()
}

fn tenant_row(tenant: &TenantFacts, created: i64) -> TenantRow {
    TenantRow { created, description: tenant.description.clone(), policy: tenant.policy.clone() }
}

fn put_tenant(rows: &mut Writer<'_>, name: &str, row: &TenantRow) -> Result<(), ConductorError> {
    rows.put(Table::Tenants, name.as_bytes(), &encode(row)?)
}

fn no_such_tenant(tenant: &str) -> Result<Outcome, ConductorError> {
    refused(Refusal::NoSuchTenant { tenant: tenant.to_owned() })
}

/// Removes a tenant, its keys and its plugins. Its ended inquiries stay, and so its name stays taken.
pub(super) fn remove_tenant(rows: &mut Writer<'_>, tenant: &str) -> Result<Outcome, ConductorError> {
    let in_use = |reason: String| refused(Refusal::TenantInUse { tenant: tenant.to_owned(), reason });
    if tenant == DEFAULT_TENANT {
        return in_use("it is the one that always exists".into());
    }
    let Some(usage) = tenant_use(rows, tenant)? else { return no_such_tenant(tenant) };
    match usage.unfinished {
        0 => {}
        1 => return in_use("one of its inquiries has not ended".into()),
        many => return in_use(format!("{many} of its inquiries have not ended")),
    }
    let mut keys = 0;
    let mut from = Vec::new();
    loop {
        let slice = rows.range(Table::Keys, &from, &[u8::MAX; 256], SLICE, false)?;
        let Some((last, _)) = slice.last() else { break };
        from = [last.as_slice(), &[0]].concat();
        for (id, bytes) in slice {
            let key: KeyRecord = decode("a key", &bytes)?;
            if key.tenant.as_deref() == Some(tenant) {
                rows.delete(Table::Keys, &id)?;
                rows.delete(Table::KeyHashes, key.secret_hash.as_bytes())?;
                keys += 1;
            }
        }
    }
    let prefix = text_key(&[tenant]);
    let plugins = rows.starting_with(Table::Plugins, &prefix, usize::MAX)?;
    for (key, bytes) in &plugins {
        let plugin: PluginRecord = decode("a plugin", bytes)?;
        rows.delete(Table::Plugins, key)?;
        rows.delete(Table::Versions, &version_key(plugin.tenant.as_deref(), &plugin))?;
    }
    rows.delete(Table::Tenants, tenant.as_bytes())?;
    rows.delete(Table::TenantUse, tenant.as_bytes())?;
    rows.put(Table::RemovedTenants, tenant.as_bytes(), &[])?;
    let note = Note::Removed { keys, plugins: plugins.len() as u64 };
    Ok(Outcome { applied: Applied::Done, changed: true, note })
}

pub(super) fn create_key(rows: &mut Writer<'_>, key: &KeyRecord) -> Result<Outcome, ConductorError> {
    if let Some(tenant) = &key.tenant
        && tenant_use(rows, tenant)?.is_none()
    {
        return no_such_tenant(tenant);
    }
    let encoded = encode(key)?;
    match rows.get(Table::Keys, key.id.as_bytes())? {
        Some(there) if there == encoded => return already_done(),
        Some(_) => return refused(Refusal::KeyTaken),
        None if rows.has(Table::KeyHashes, key.secret_hash.as_bytes())? => {
            return refused(Refusal::KeyTaken);
        }
        None => {}
    }
    if rows.count(Table::Keys)? >= MAX_KEYS as u64 {
        return refused(Refusal::TooMany { what: "keys".into(), limit: MAX_KEYS });
    }
    rows.put(Table::Keys, key.id.as_bytes(), &encoded)?;
    rows.put(Table::KeyHashes, key.secret_hash.as_bytes(), key.id.as_bytes())?;
    done()
}

pub(super) fn revoke_key(rows: &mut Writer<'_>, id: &str, at: i64) -> Result<Outcome, ConductorError> {
    let Some(bytes) = rows.get(Table::Keys, id.as_bytes())? else {
        return refused(Refusal::NoSuchKey { id: id.to_owned() });
    };
    let mut key: KeyRecord = decode("a key", &bytes)?;
    if key.revoked.is_some() {
        return already_done();
    }
    key.revoked = Some(at);
    rows.put(Table::Keys, id.as_bytes(), &encode(&key)?)?;
    done()
}

pub(super) fn install_plugin(
    rows: &mut Writer<'_>,
    plugin: &PluginRecord,
) -> Result<Outcome, ConductorError> {
    if let Some(tenant) = &plugin.tenant
        && tenant_use(rows, tenant)?.is_none()
    {
        return no_such_tenant(tenant);
    }
    // What the tenant sees: its own, and everybody's. For everybody only the latter.
    let seen = match plugin.tenant.as_deref() {
        None => vec![None],
        own => vec![own, None],
    };
    for tenant in &seen {
        if rows.has(Table::Plugins, &plugin_key(*tenant, &plugin.digest))? {
            return already_done();
        }
    }
    for tenant in &seen {
        if let Some(digest) = rows.get(Table::Versions, &version_key(*tenant, plugin))? {
            return refused(Refusal::VersionTaken {
                name: plugin.name.clone(),
                version: plugin.version.clone(),
                digest: String::from_utf8_lossy(&digest).into_owned(),
            });
        }
    }
    if rows.count(Table::Plugins)? >= MAX_PLUGINS as u64 {
        return refused(Refusal::TooMany { what: "uploaded plugins".into(), limit: MAX_PLUGINS });
    }
    let tenant = plugin.tenant.as_deref();
    rows.put(Table::Plugins, &plugin_key(tenant, &plugin.digest), &encode(plugin)?)?;
    rows.put(Table::Versions, &version_key(tenant, plugin), plugin.digest.as_bytes())?;
    done()
}

fn version_key(tenant: Option<&str>, plugin: &PluginRecord) -> Vec<u8> {
    text_key(&[tenant.unwrap_or_default(), &plugin.name, &plugin.version])
}

pub(super) fn remove_plugin(
    rows: &mut Writer<'_>,
    digest_text: &str,
    tenant: Option<&str>,
) -> Result<Outcome, ConductorError> {
    // Without this, an empty name would be everybody's.
    if let Some(tenant) = tenant
        && tenant_use(rows, tenant)?.is_none()
    {
        return no_such_tenant(tenant);
    }
    let key = plugin_key(tenant, digest_text);
    let Some(bytes) = rows.get(Table::Plugins, &key)? else {
        return refused(Refusal::NoSuchPlugin { plugin: digest_text.to_owned() });
    };
    // A tenant's own plugin is held by that tenant's inquiries, everybody's by anybody's.
    let users = plugin_use_prefix(&digest(digest_text)?, tenant);
    if let Some((_, inquiry)) = rows.starting_with(Table::PluginUse, &users, 1)?.pop() {
        let inquiry = String::from_utf8_lossy(&inquiry).into_owned();
        return refused(Refusal::PluginInUse { inquiry });
    }
    let plugin: PluginRecord = decode("a plugin", &bytes)?;
    rows.delete(Table::Plugins, &key)?;
    rows.delete(Table::Versions, &version_key(tenant, &plugin))?;
    done()
}
