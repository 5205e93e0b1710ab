//! Which commands can be kept. Asked before a command is proposed, for applying one must never fail.

use inquisitor_engine::gating::{KeyRecord, MAX_RECORD_BYTES, PluginRecord};
use inquisitor_ledger::{Hash, MAX_ENTRY_BYTES, MAX_SAFE_INTEGER};
use serde::Serialize;

use crate::change::{Change, Proposal};
use crate::entry::{Note, access_entry};
use crate::error::ConductorError;
use crate::facts::{RecordFacts, TenantFacts};

/// Bytes of an inquiry's id; part of every key.
pub const MAX_INQUIRY_ID_BYTES: usize = 64;
/// Reports of one inquiry; all are named in one ledger entry.
pub const MAX_ARTIFACTS: usize = 64;
/// Bytes of a tenant's name.
const MAX_TENANT_BYTES: usize = 63;
/// Bytes of names that are part of a key: a plugin's name and version, a key's id.
const MAX_NAME_BYTES: usize = 255;
/// Bytes of a ledger entry beside texts of any length: names of members, numbers, two digests, the time. Generous.
const LEDGER_ENTRY_FRAME_BYTES: usize = 1024;

fn refuse<T>(problem: String) -> Result<T, ConductorError> {
    Err(ConductorError::Command(problem))
}

impl Proposal {
    /// Refuses what could not be applied or would not fit.
    pub(crate) fn check(&self) -> Result<(), ConductorError> {
        let (access, change) = match self {
            Self::Plain(change) => (None, Some(change)),
            Self::Authorized(access, change) => (Some(access), Some(change)),
            Self::Decided(access) => (Some(access), None),
            Self::Found(_) => (None, None),
        };
        if let Some(change) = change {
            change.check()?;
        }
        if let Some(access) = access {
            let inquiry = change.and_then(Change::inquiry).unwrap_or_default();
            fits(access_entry(access, inquiry, MAX_SAFE_INTEGER).to_bytes())?;
        }
        Ok(())
    }
}

fn fits(entry: Result<Vec<u8>, inquisitor_ledger::LedgerError>) -> Result<(), ConductorError> {
    entry.map(drop).map_err(|error| ConductorError::Command(format!("its ledger entry: {error}")))
}

impl Change {
    fn check(&self) -> Result<(), ConductorError> {
        if let Some(id) = self.inquiry()
            && (id.is_empty() || id.len() > MAX_INQUIRY_ID_BYTES || id.chars().any(char::is_control))
        {
            return refuse(format!(
                "an inquiry's id has 1 to {MAX_INQUIRY_ID_BYTES} bytes and no control characters"
            ));
        }
        match self {
            Self::Submit { facts, .. } if facts.manifest_id.chars().any(char::is_control) => {
                refuse("the manifest's id has a control character".into())?;
            }
            Self::Conclude { artifacts, .. } if artifacts.len() > MAX_ARTIFACTS => {
                let count = artifacts.len();
                refuse(format!("{count} reports; an inquiry has at most {MAX_ARTIFACTS}"))?;
            }
            Self::Record { facts: RecordFacts { readings: Some((_, count)), .. }, .. }
                if *count > MAX_SAFE_INTEGER =>
            {
                refuse(format!("{count} readings are more than the ledger can count"))?;
            }
            Self::CreateTenant { tenant, .. } | Self::UpdateTenant { tenant, .. } => check_tenant(tenant)?,
            Self::CreateKey { key, .. } => check_key(key)?,
            Self::InstallPlugin { plugin, .. } => check_plugin(plugin)?,
            _ => {}
        }
        // JSON needs at most six bytes for one of a text. Where that says too little, the entry itself says it, with the
        // longest numbers that it could have.
        if self.ledger_text_bytes() * 6 > MAX_ENTRY_BYTES - LEDGER_ENTRY_FRAME_BYTES {
            let longest = MAX_SAFE_INTEGER;
            fits(self.ledger_entry(longest, longest, &Note::Pruned(u32::MAX)).to_bytes())?;
        }
        Ok(())
    }

    /// Bytes of the texts of any length that its ledger entry will hold.
    fn ledger_text_bytes(&self) -> usize {
        let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let rest = match self {
            Self::Submit { facts, manifest, origin, .. } => {
                facts.manifest_id.len()
                    + facts.name.len()
                    + manifest.len()
                    + facts.tenant.len()
                    + optional(&facts.kind)
                    + origin.text().len()
            }
            Self::Lease { executor, .. } => executor.len(),
            Self::Record { facts, .. } => {
                let readings = facts.readings.as_ref().map_or(0, |(digest, _)| digest.len());
                facts.outcome.len() + readings + optional(&facts.transcript)
            }
            Self::Conclude { verdict, artifacts, .. } => {
                let frame = r#"{"digest":"","name":""},"#.len();
                verdict.len()
                    + artifacts.iter().map(|(name, digest)| frame + name.len() + digest.len()).sum::<usize>()
            }
            Self::Update { verdict, .. } => verdict.len(),
            Self::Abort { name, .. } => name.len(),
            Self::Cancel { .. } => 0,
            Self::CreateTenant { tenant, .. } | Self::UpdateTenant { tenant, .. } => tenant.name.len(),
            Self::RemoveTenant { tenant, .. } => tenant.len(),
            Self::CreateKey { key, .. } => key.id.len() + key.name.len() + optional(&key.tenant),
            Self::RevokeKey { id, .. } => id.len(),
            Self::InstallPlugin { plugin, .. } => {
                plugin.digest.len()
                    + plugin.name.len()
                    + plugin.version.len()
                    + plugin.uploaded_by.len()
                    + optional(&plugin.tenant)
            }
            Self::RemovePlugin { digest, tenant, .. } => digest.len() + optional(tenant),
        };
        self.inquiry().map_or(0, str::len) + rest
    }
}

fn check_tenant(tenant: &TenantFacts) -> Result<(), ConductorError> {
    let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let length = tenant.name.len();
    if length == 0 || length > MAX_TENANT_BYTES || !tenant.name.chars().all(of_name) {
        return refuse(format!(
            "a tenant's name has 1 to {MAX_TENANT_BYTES} lower-case letters, digits and hyphens"
        ));
    }
    bounded("the tenant", tenant.description.len() + tenant.policy.len())
}

fn check_key(key: &KeyRecord) -> Result<(), ConductorError> {
    check_name("a key's id", &key.id)?;
    check_digest("the hash of the key's secret", &key.secret_hash)?;
    bounded("the key", json_bytes(key)?)
}

fn check_plugin(plugin: &PluginRecord) -> Result<(), ConductorError> {
    check_name("a plugin's name", &plugin.name)?;
    check_name("a plugin's version", &plugin.version)?;
    check_digest("the plugin's digest", &plugin.digest)?;
    if plugin.size > MAX_SAFE_INTEGER {
        return refuse(format!("{} bytes are more than the ledger can count", plugin.size));
    }
    bounded("the plugin", json_bytes(plugin)?)
}

fn check_name(what: &str, name: &str) -> Result<(), ConductorError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return refuse(format!("{what} has 1 to {MAX_NAME_BYTES} bytes and no control characters"));
    }
    Ok(())
}

fn check_digest(what: &str, text: &str) -> Result<(), ConductorError> {
    match text.parse::<Hash>() {
        Ok(_) => Ok(()),
        // Without the text: what should be a hash of a secret might be the secret.
        Err(_) => refuse(format!("{what} is not 64 lower-case hexadecimal digits")),
    }
}

fn json_bytes<T: Serialize>(value: &T) -> Result<usize, ConductorError> {
    let json = serde_json::to_vec(value).map_err(|error| ConductorError::Command(error.to_string()))?;
    Ok(json.len())
}

fn bounded(what: &str, bytes: usize) -> Result<(), ConductorError> {
    if bytes > MAX_RECORD_BYTES {
        return refuse(format!("{what} has {bytes} bytes; at most {MAX_RECORD_BYTES} are allowed"));
    }
    Ok(())
}
