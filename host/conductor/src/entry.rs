//! What the ledger says of each command: small values, and digests of what is large. Never the hash of a key's secret.

use inquisitor_engine::gating::Access;
use inquisitor_ledger::{Entry, FORMAT, Hash, rfc3339};
use serde_json::{Map, Value, json};

use crate::change::Change;
use crate::facts::TenantFacts;

/// What applying a change found, for the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// Nothing that the change itself does not say.
    None,
    /// The records of this round had to make room.
    Pruned(u32),
    /// What went with a tenant.
    Removed { keys: u64, plugins: u64 },
}

/// The entry of a decision. `inquiry` is empty where it is about none.
pub(crate) fn access_entry(access: &Access, inquiry: &str, index: u64) -> Entry {
    let body = json!({
        "action": access.action,
        "resource": access.resource,
        "tenant": access.tenant,
        "key": access.key,
        "role": access.role,
        "request": access.request,
        "allowed": access.allowed,
        "reason": access.reason,
        "count": access.count,
    });
    entry("access-decided", access.at, inquiry, index, body)
}

fn entry(kind: &str, at: i64, inquiry: &str, index: u64, body: Value) -> Entry {
    let body = match body {
        Value::Object(body) => body,
        // Every body here is made as an object.
        _ => Map::new(),
    };
    Entry { v: FORMAT, index, kind: kind.to_owned(), time: rfc3339(at), inquiry: inquiry.to_owned(), body }
}

impl Change {
    /// What the ledger says of it once it is accepted. `term` is that of the log entry, the first half of a lease's token.
    pub(crate) fn ledger_entry(&self, index: u64, term: u64, note: &Note) -> Entry {
        let (kind, at, body) = match self {
            Self::Submit { facts, manifest, origin, at, .. } => (
                "inquiry-submitted",
                *at,
                json!({
                    "plan": Hash(facts.plan),
                    "manifest": manifest,
                    "manifest_id": facts.manifest_id,
                    "name": facts.name,
                    "tenant": facts.tenant,
                    "kind": facts.kind,
                    "steps": facts.steps,
                    "continuous": facts.rounds.is_some(),
                    "origin": origin.text(),
                }),
            ),
            Self::Lease { step, round, attempt, executor, at, .. } => (
                "step-leased",
                *at,
                json!({
                    "step": step, "round": round, "attempt": attempt, "executor": executor, "term": term
                }),
            ),
            Self::Record { step, round, term, attempt, record, facts, is_final, .. } => {
                let mut body = json!({
                    "step": step,
                    "round": round,
                    "attempt": attempt,
                    "term": term,
                    "final": is_final,
                    "outcome": facts.outcome,
                    "record": Hash::digest(record),
                    "readings": facts.readings.as_ref().map(|(digest, _)| digest),
                    "count": facts.readings.as_ref().map(|(_, count)| count),
                    "transcript": facts.transcript,
                });
                if let Note::Pruned(round) = note {
                    body["pruned"] = json!(round);
                }
                ("step-recorded", facts.ended, body)
            }
            Self::Update { finding, verdict, at, .. } => {
                ("finding-updated", *at, json!({ "finding": Hash::digest(finding), "verdict": verdict }))
            }
            Self::Cancel { at, .. } => ("inquiry-cancel-requested", *at, json!({})),
            Self::Conclude { finding, verdict, artifacts, at, .. } => (
                "inquiry-concluded",
                *at,
                json!({
                    "finding": Hash::digest(finding),
                    "verdict": verdict,
                    "artifacts": artifacts
                        .iter()
                        .map(|(name, digest)| json!({ "name": name, "digest": digest }))
                        .collect::<Vec<_>>(),
                }),
            ),
            Self::Abort { reason, name, at, .. } => {
                ("inquiry-aborted", *at, json!({ "reason": name, "detail": Hash::digest(reason) }))
            }
            Self::CreateTenant { tenant, at } => ("tenant-created", *at, tenant_body(tenant)),
            Self::UpdateTenant { tenant, at } => ("tenant-updated", *at, tenant_body(tenant)),
            Self::RemoveTenant { tenant, at } => {
                let (keys, plugins) = match note {
                    Note::Removed { keys, plugins } => (*keys, *plugins),
                    Note::None | Note::Pruned(_) => (0, 0),
                };
                ("tenant-removed", *at, json!({ "tenant": tenant, "keys": keys, "plugins": plugins }))
            }
            Self::CreateKey { key, at } => (
                "key-created",
                *at,
                json!({
                    "key": key.id,
                    "name": key.name,
                    "role": key.role,
                    "tenant": key.tenant,
                    "expires": key.expires.map(rfc3339),
                }),
            ),
            Self::RevokeKey { id, at } => ("key-revoked", *at, json!({ "key": id })),
            Self::InstallPlugin { plugin, at } => (
                "plugin-installed",
                *at,
                json!({
                    "plugin": plugin.digest,
                    "name": plugin.name,
                    "version": plugin.version,
                    "size": plugin.size,
                    "tenant": plugin.tenant,
                    "by": plugin.uploaded_by,
                }),
            ),
            Self::RemovePlugin { digest, tenant, at } => {
                ("plugin-removed", *at, json!({ "plugin": digest, "tenant": tenant }))
            }
        };
        entry(kind, at, self.inquiry().unwrap_or_default(), index, body)
    }
}

fn tenant_body(tenant: &TenantFacts) -> Value {
    json!({
        "tenant": tenant.name,
        "description": Hash::digest(tenant.description.as_bytes()),
        "policy": Hash::digest(&tenant.policy),
    })
}
