//! Commands as they lie in the log, and their conversion from the engine's.
//!
//! What members only keep (plans, records, findings, policies) is JSON made once, by the proposer, and stored byte for byte: a
//! digest taken of it is the same on every member, whatever version it runs, and applying decodes none of it. JSON because
//! those types are tagged enums and free-form parameters, which need a self-describing format; measured on a plan of a thousand
//! steps, CBOR was 27 % smaller and took 1.7 times as long to write and read back. What members decide by lies beside it in
//! typed fields, as postcard. Readings that are not finite have no JSON; such a command is turned away before it is proposed.
//!
//! [`crate::raft::COMMAND_FORMAT`] counts up with every change of these types.

use bytes::Bytes;
use inquisitor_engine::gating::{Access, KeyRecord, PluginRecord};
use inquisitor_engine::journal::{Abort, BlobDigest, Command};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::ConductorError;
use crate::facts::{PlanFacts, RecordFacts, Submitted, TenantFacts, number, record_blobs, to_json, word};
use crate::record::OriginRow;

/// Bytes of one encoded command. A plan of ten thousand steps has about four million; an entry is held in memory and sent
/// to every member as a whole.
pub const MAX_COMMAND_BYTES: usize = 32 << 20;

/// What is proposed: a change, the decision that allowed it, or both. Both are recorded together or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Proposal {
    /// A change that nobody had to allow.
    Plain(Change),
    /// A change that somebody was allowed to make.
    Authorized(Access, Change),
    /// A decision that changes nothing.
    Decided(Access),
    /// The cluster has begun, under this id; changes nothing where it has one. Not in the ledger, as it is about the hosts
    /// and not about inquiries.
    Found(Uuid),
}

/// A command as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    Submit {
        inquiry: String,
        /// JSON of the plan.
        plan: Bytes,
        facts: Box<PlanFacts>,
        manifest: BlobDigest,
        base_dir: Option<String>,
        /// JSON of the bounds.
        bounds: Bytes,
        origin: OriginRow,
        at: i64,
    },
    Lease {
        inquiry: String,
        step: u32,
        round: u32,
        attempt: u32,
        executor: String,
        at: i64,
    },
    Record {
        inquiry: String,
        step: u32,
        round: u32,
        term: u64,
        attempt: u32,
        /// JSON of the record.
        record: Bytes,
        facts: RecordFacts,
        is_final: bool,
    },
    Update {
        inquiry: String,
        /// JSON of the finding.
        finding: Bytes,
        verdict: String,
        at: i64,
    },
    Cancel {
        inquiry: String,
        at: i64,
    },
    Conclude {
        inquiry: String,
        /// JSON of the finding.
        finding: Bytes,
        verdict: String,
        artifacts: Vec<(String, BlobDigest)>,
        at: i64,
    },
    Abort {
        inquiry: String,
        /// JSON of the reason.
        reason: Bytes,
        /// The reason in a word.
        name: String,
        at: i64,
    },
    CreateTenant {
        tenant: TenantFacts,
        at: i64,
    },
    UpdateTenant {
        tenant: TenantFacts,
        at: i64,
    },
    RemoveTenant {
        tenant: String,
        at: i64,
    },
    CreateKey {
        key: KeyRecord,
        at: i64,
    },
    RevokeKey {
        id: String,
        at: i64,
    },
    InstallPlugin {
        plugin: PluginRecord,
        at: i64,
    },
    RemovePlugin {
        digest: String,
        tenant: Option<String>,
        at: i64,
    },
}

impl Proposal {
    /// Converts a command and checks that it can be kept: applying must never fail.
    pub(crate) fn from_command(command: &Command) -> Result<Self, ConductorError> {
        let proposal = match command {
            Command::Authorized { access, change } => {
                Self::Authorized((**access).clone(), Change::from_command(change)?)
            }
            Command::Decide { access } => Self::Decided((**access).clone()),
            plain => Self::Plain(Change::from_command(plain)?),
        };
        proposal.check()?;
        Ok(proposal)
    }

    /// The bytes in the log.
    pub(crate) fn encode(&self) -> Result<Bytes, ConductorError> {
        let bytes = postcard::to_stdvec(self).map_err(|error| ConductorError::Command(error.to_string()))?;
        if bytes.len() > MAX_COMMAND_BYTES {
            return Err(ConductorError::Command(format!(
                "{} bytes; at most {MAX_COMMAND_BYTES} are allowed",
                bytes.len()
            )));
        }
        Ok(bytes.into())
    }

    /// Reads the bytes in the log.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ConductorError> {
        postcard::from_bytes(bytes).map_err(|error| ConductorError::damaged("a command in the log", error))
    }
}

impl Change {
    fn from_command(command: &Command) -> Result<Self, ConductorError> {
        Ok(match command {
            Command::Authorized { .. } | Command::Decide { .. } => {
                return Err(ConductorError::Command(
                    "a decision stands for one change, not for another decision".into(),
                ));
            }
            Command::Submit { inquiry, plan, manifest, base_dir, bounds, origin, idempotency_key, at } => {
                let plan_json = to_json("the plan", &**plan)?;
                let bounds_json = to_json("the bounds", &**bounds)?;
                let submitted = Submitted {
                    plan,
                    plan_json: &plan_json,
                    manifest,
                    base_dir: base_dir.as_deref(),
                    bounds,
                    bounds_json: &bounds_json,
                    origin,
                    idempotency_key: idempotency_key.as_deref(),
                };
                Self::Submit {
                    inquiry: inquiry.clone(),
                    facts: Box::new(PlanFacts::of(&submitted)?),
                    plan: plan_json,
                    manifest: manifest.clone(),
                    base_dir: base_dir.clone(),
                    bounds: bounds_json,
                    origin: origin.into(),
                    at: *at,
                }
            }
            Command::Lease { inquiry, step, round, attempt, executor, at } => Self::Lease {
                inquiry: inquiry.clone(),
                step: number("step", *step)?,
                round: *round,
                attempt: *attempt,
                executor: executor.clone(),
                at: *at,
            },
            Command::Record { inquiry, step, round, token, record, is_final } => Self::Record {
                inquiry: inquiry.clone(),
                step: number("step", *step)?,
                round: *round,
                term: token.term,
                attempt: token.attempt,
                record: to_json("the record", &**record)?,
                facts: RecordFacts::of(record)?,
                is_final: *is_final,
            },
            Command::Update { inquiry, finding, at } => Self::Update {
                inquiry: inquiry.clone(),
                finding: to_json("the finding", &**finding)?,
                verdict: word(&finding.verdict)?,
                at: *at,
            },
            Command::Cancel { inquiry, at } => Self::Cancel { inquiry: inquiry.clone(), at: *at },
            Command::Conclude { inquiry, finding, artifacts, at } => Self::Conclude {
                inquiry: inquiry.clone(),
                finding: to_json("the finding", &**finding)?,
                verdict: word(&finding.verdict)?,
                artifacts: artifacts.clone(),
                at: *at,
            },
            Command::Abort { inquiry, reason, at } => Self::Abort {
                inquiry: inquiry.clone(),
                reason: to_json("the reason", reason)?,
                name: match reason {
                    Abort::Cancelled => "cancelled",
                    Abort::TimedOut => "timed-out",
                    Abort::Preflight { .. } => "preflight",
                    Abort::Broken { .. } => "broken",
                }
                .to_owned(),
                at: *at,
            },
            Command::CreateTenant { tenant, at } => {
                Self::CreateTenant { tenant: TenantFacts::of(tenant)?, at: *at }
            }
            Command::UpdateTenant { tenant, at } => {
                Self::UpdateTenant { tenant: TenantFacts::of(tenant)?, at: *at }
            }
            Command::RemoveTenant { tenant, at } => Self::RemoveTenant { tenant: tenant.clone(), at: *at },
            Command::CreateKey { key, at } => Self::CreateKey { key: (**key).clone(), at: *at },
            Command::RevokeKey { id, at } => Self::RevokeKey { id: id.clone(), at: *at },
            Command::InstallPlugin { plugin, at } => {
                Self::InstallPlugin { plugin: (**plugin).clone(), at: *at }
            }
            Command::RemovePlugin { digest, tenant, at } => {
                Self::RemovePlugin { digest: digest.clone(), tenant: tenant.clone(), at: *at }
            }
        })
    }

    /// The inquiry that it is about, if it is about one.
    pub(crate) fn inquiry(&self) -> Option<&str> {
        match self {
            Self::Submit { inquiry, .. }
            | Self::Lease { inquiry, .. }
            | Self::Record { inquiry, .. }
            | Self::Update { inquiry, .. }
            | Self::Cancel { inquiry, .. }
            | Self::Conclude { inquiry, .. }
            | Self::Abort { inquiry, .. } => Some(inquiry),
            Self::CreateTenant { .. }
            | Self::UpdateTenant { .. }
            | Self::RemoveTenant { .. }
            | Self::CreateKey { .. }
            | Self::RevokeKey { .. }
            | Self::InstallPlugin { .. }
            | Self::RemovePlugin { .. } => None,
        }
    }
}

/// The blobs that a command names. They must be stored before it is proposed.
pub(crate) fn blobs(command: &Command) -> Vec<&BlobDigest> {
    match command {
        Command::Submit { manifest, plan, .. } => {
            let mut named: Vec<_> = plan.instruments.values().map(|instrument| &instrument.digest).collect();
            named.sort_unstable();
            named.dedup();
            named.push(manifest);
            named
        }
        Command::Record { record, .. } => record_blobs(record).collect(),
        Command::Conclude { artifacts, .. } => artifacts.iter().map(|(_, digest)| digest).collect(),
        Command::InstallPlugin { plugin, .. } => vec![&plugin.digest],
        Command::Authorized { change, .. } => blobs(change),
        Command::Lease { .. }
        | Command::Update { .. }
        | Command::Cancel { .. }
        | Command::Abort { .. }
        | Command::Decide { .. }
        | Command::CreateTenant { .. }
        | Command::UpdateTenant { .. }
        | Command::RemoveTenant { .. }
        | Command::CreateKey { .. }
        | Command::RevokeKey { .. }
        | Command::RemovePlugin { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use inquisitor_engine::gating::Role;

    use super::*;
    use crate::record::Rounds;

    fn one_of_each() -> Vec<Change> {
        let bytes = Bytes::from_static;
        let q = || "q".to_owned();
        vec![
            Change::Submit {
                inquiry: q(),
                plan: bytes(b"{}"),
                facts: Box::new(PlanFacts {
                    manifest_id: "m".into(),
                    manifest_digest: "cd".into(),
                    name: "n".into(),
                    tenant: "t".into(),
                    kind: None,
                    tags: vec!["g".into()],
                    steps: 300,
                    rounds: Some(Rounds::new(7, [2])),
                    plugins: vec![[3; 32]],
                    plan: [4; 32],
                    content: [5; 32],
                    idempotency: Some([6; 32]),
                }),
                manifest: "ab".into(),
                base_dir: Some("/d".into()),
                bounds: bytes(b"{}"),
                origin: OriginRow::Declared("f".into()),
                at: -1,
            },
            Change::Lease { inquiry: q(), step: 1, round: 4, attempt: 2, executor: "e".into(), at: i64::MAX },
            Change::Record {
                inquiry: q(),
                step: 1,
                round: 4,
                term: 3,
                attempt: 2,
                record: bytes(b"[]"),
                facts: RecordFacts {
                    outcome: "completed".into(),
                    readings: Some(("cd".into(), 9)),
                    transcript: None,
                    blobs: vec![[1; 32]],
                    ended: 7,
                },
                is_final: true,
            },
            Change::Update { inquiry: q(), finding: bytes(b"3"), verdict: "VERIFIED".into(), at: 1 },
            Change::Cancel { inquiry: q(), at: 2 },
            Change::Conclude {
                inquiry: q(),
                finding: bytes(b"1"),
                verdict: "VERIFIED".into(),
                artifacts: vec![("a".into(), "ef".into())],
                at: 0,
            },
            Change::Abort { inquiry: q(), reason: bytes(b"2"), name: "cancelled".into(), at: 5 },
            Change::CreateTenant { tenant: tenant(), at: 1 },
            Change::UpdateTenant { tenant: tenant(), at: 2 },
            Change::RemoveTenant { tenant: "t".into(), at: 3 },
            Change::CreateKey {
                key: KeyRecord {
                    id: "k".into(),
                    name: "n".into(),
                    secret_hash: "ab".into(),
                    role: Role::Author,
                    tenant: Some("t".into()),
                    created: 1,
                    expires: Some(2),
                    revoked: None,
                },
                at: 4,
            },
            Change::RevokeKey { id: "k".into(), at: 5 },
            Change::InstallPlugin {
                plugin: PluginRecord {
                    digest: "ab".into(),
                    name: "echo".into(),
                    version: "1.0.0".into(),
                    size: 9,
                    tenant: None,
                    uploaded_by: "k".into(),
                    uploaded: 1,
                },
                at: 6,
            },
            Change::RemovePlugin { digest: "ab".into(), tenant: Some("t".into()), at: 7 },
        ]
    }

    fn tenant() -> TenantFacts {
        TenantFacts {
            name: "t".into(),
            description: "d".into(),
            policy: Bytes::from_static(b"{}"),
            limit: Some(3),
            created: 8,
        }
    }

    fn access() -> Access {
        Access {
            action: "inquiry.submit".into(),
            resource: "q".into(),
            tenant: Some("t".into()),
            key: Some("k".into()),
            role: Some(Role::Operator),
            request: "r".into(),
            allowed: false,
            reason: Some("because".into()),
            count: 2,
            at: 9,
        }
    }

    fn proposals() -> Vec<Proposal> {
        let mut proposals: Vec<Proposal> = one_of_each().into_iter().map(Proposal::Plain).collect();
        proposals.push(Proposal::Authorized(access(), Change::Cancel { inquiry: "q".into(), at: 2 }));
        proposals.push(Proposal::Decided(access()));
        proposals
    }

    /// These bytes lie in logs. When they change, `COMMAND_FORMAT` must change too.
    #[test]
    fn the_encoding_is_that_of_format_1() {
        assert_eq!(crate::raft::COMMAND_FORMAT, 1);
        let encoded: Vec<String> = proposals().iter().map(|one| hex::encode(one.encode().unwrap())).collect();
        insta::assert_snapshot!(encoded.join("\n"));
    }

    #[test]
    fn decoding_gives_back_what_was_encoded_and_refuses_what_was_cut() {
        for proposal in proposals() {
            let bytes = proposal.encode().unwrap();
            assert_eq!(Proposal::decode(&bytes).unwrap(), proposal);
            assert!(Proposal::decode(&bytes[..bytes.len() - 1]).is_err());
        }
        assert!(Proposal::decode(&[200]).is_err());
    }

    #[test]
    fn a_command_is_bounded() {
        let large = Change::Abort {
            inquiry: "q".into(),
            reason: vec![b' '; MAX_COMMAND_BYTES].into(),
            name: "broken".into(),
            at: 0,
        };
        let error = Proposal::Plain(large).encode().unwrap_err().to_string();
        assert!(error.contains(&format!("at most {MAX_COMMAND_BYTES} are allowed")), "{error}");
    }
}
