//! Commands as they lie in the log, and their conversion from the engine's.
//!
//! What members only keep (plans, records, findings) is JSON made once, by the proposer, and stored byte for byte: a digest
//! taken of it is the same on every member, whatever version it runs, and applying decodes none of it. JSON because those
//! types are tagged enums and free-form parameters, which need a self-describing format; measured on a plan of a thousand
//! steps, CBOR was 27 % smaller and took 1.7 times as long to write and read back. What members decide by lies beside it in
//! typed fields, as postcard. Readings that are not finite have no JSON; such a command is turned away before it is proposed.
//!
//! [`crate::raft::COMMAND_FORMAT`] counts up with every change of these types.

use bytes::Bytes;
use inquisitor_engine::journal::{Abort, BlobDigest, Command, StepRecord, StepResult};
use inquisitor_ledger::{Entry, FORMAT, Hash, rfc3339};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::ConductorError;

/// Bytes of one encoded command. A plan of ten thousand steps has about four million; an entry is held in memory and sent
/// to every member as a whole.
pub const MAX_COMMAND_BYTES: usize = 32 << 20;
/// Bytes of an inquiry's id; part of every key.
pub const MAX_INQUIRY_ID_BYTES: usize = 64;
/// Reports of one inquiry; all are named in one ledger entry.
pub const MAX_ARTIFACTS: usize = 64;

/// Bytes of a ledger entry beside texts of any length: names of members, numbers, two digests, the time. Generous.
const LEDGER_ENTRY_FRAME_BYTES: usize = 1024;

/// A command as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    Submit {
        inquiry: String,
        /// JSON of the plan.
        plan: Bytes,
        facts: PlanFacts,
        manifest: String,
        base_dir: Option<String>,
        at: i64,
    },
    Lease {
        inquiry: String,
        step: u32,
        attempt: u32,
        executor: String,
        at: i64,
    },
    Record {
        inquiry: String,
        step: u32,
        term: u64,
        attempt: u32,
        /// JSON of the record.
        record: Bytes,
        facts: RecordFacts,
        is_final: bool,
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
}

/// What the state machine needs of a plan without decoding it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanFacts {
    pub(crate) manifest_id: String,
    pub(crate) name: String,
    pub(crate) tenant: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) steps: u32,
}

/// What the ledger says of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordFacts {
    /// `readings`, the failure's name, or `skipped`.
    pub(crate) outcome: String,
    /// SHA-256 of the observation's JSON and the number of readings, where there are any: the same digest whether the
    /// readings lie in the record or in a blob.
    pub(crate) readings: Option<(String, u64)>,
    pub(crate) transcript: Option<BlobDigest>,
    pub(crate) ended: i64,
}

impl Change {
    /// Converts a command and checks that it can be kept: applying must never fail.
    pub(crate) fn from_command(command: &Command) -> Result<Self, ConductorError> {
        let change = match command {
            Command::Submit { inquiry, plan, manifest, base_dir, at } => Self::Submit {
                inquiry: inquiry.clone(),
                plan: to_json("the plan", &**plan)?,
                facts: PlanFacts {
                    manifest_id: plan.manifest_id.clone(),
                    name: plan.name.clone(),
                    tenant: plan.tenant.clone(),
                    kind: plan.kind.clone(),
                    steps: number("steps", plan.steps.len())?,
                },
                manifest: manifest.clone(),
                base_dir: base_dir.clone(),
                at: *at,
            },
            Command::Lease { inquiry, step, attempt, executor, at } => Self::Lease {
                inquiry: inquiry.clone(),
                step: number("step", *step)?,
                attempt: *attempt,
                executor: executor.clone(),
                at: *at,
            },
            Command::Record { inquiry, step, token, record, is_final } => Self::Record {
                inquiry: inquiry.clone(),
                step: number("step", *step)?,
                term: token.term,
                attempt: token.attempt,
                record: to_json("the record", &**record)?,
                facts: RecordFacts::of(record)?,
                is_final: *is_final,
            },
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
        };
        change.check()?;
        Ok(change)
    }

    /// Refuses what could not be applied or would not fit.
    fn check(&self) -> Result<(), ConductorError> {
        let id = self.inquiry();
        if id.is_empty() || id.len() > MAX_INQUIRY_ID_BYTES || id.chars().any(char::is_control) {
            return Err(ConductorError::Command(format!(
                "an inquiry's id has 1 to {MAX_INQUIRY_ID_BYTES} bytes and no control characters"
            )));
        }
        if let Self::Conclude { artifacts, .. } = self
            && artifacts.len() > MAX_ARTIFACTS
        {
            return Err(ConductorError::Command(format!(
                "{} reports; an inquiry has at most {MAX_ARTIFACTS}",
                artifacts.len()
            )));
        }
        // JSON needs at most six bytes for one of a text. Where that says too little, the entry itself says it, with the
        // longest numbers that it could have.
        if self.ledger_text_bytes() * 6 > inquisitor_ledger::MAX_ENTRY_BYTES - LEDGER_ENTRY_FRAME_BYTES {
            let longest = inquisitor_ledger::MAX_SAFE_INTEGER;
            self.ledger_entry(longest, longest)
                .to_bytes()
                .map_err(|error| ConductorError::Command(format!("its ledger entry: {error}")))?;
        }
        if let Self::Record { facts: RecordFacts { readings: Some((_, count)), .. }, .. } = self
            && *count > inquisitor_ledger::MAX_SAFE_INTEGER
        {
            return Err(ConductorError::Command(format!(
                "{count} readings are more than the ledger can count"
            )));
        }
        Ok(())
    }

    /// Bytes of the texts of any length that its ledger entry will hold.
    fn ledger_text_bytes(&self) -> usize {
        let rest = match self {
            Self::Submit { facts, manifest, .. } => {
                let optional = [&facts.tenant, &facts.kind].map(|text| text.as_ref().map_or(0, String::len));
                facts.manifest_id.len() + facts.name.len() + manifest.len() + optional.iter().sum::<usize>()
            }
            Self::Lease { executor, .. } => executor.len(),
            Self::Record { facts, .. } => {
                let readings = facts.readings.as_ref().map_or(0, |(digest, _)| digest.len());
                facts.outcome.len() + readings + facts.transcript.as_ref().map_or(0, String::len)
            }
            Self::Conclude { verdict, artifacts, .. } => {
                let frame = r#"{"digest":"","name":""},"#.len();
                verdict.len()
                    + artifacts.iter().map(|(name, digest)| frame + name.len() + digest.len()).sum::<usize>()
            }
            Self::Abort { name, .. } => name.len(),
        };
        self.inquiry().len() + rest
    }

    /// The blobs that it names. They must be stored before it is proposed.
    pub(crate) fn blobs(command: &Command) -> Vec<&BlobDigest> {
        match command {
            Command::Submit { manifest, .. } => vec![manifest],
            Command::Record { record, .. } => {
                let readings = match &record.result {
                    StepResult::Blob { digest, .. } => Some(digest),
                    StepResult::Inline(_) | StepResult::Failed(_) | StepResult::Skipped { .. } => None,
                };
                [readings, record.transcript.as_ref(), record.logs.as_ref(), record.state.as_ref()]
                    .into_iter()
                    .flatten()
                    .collect()
            }
            Command::Conclude { artifacts, .. } => artifacts.iter().map(|(_, digest)| digest).collect(),
            Command::Lease { .. } | Command::Abort { .. } => Vec::new(),
        }
    }

    pub(crate) fn inquiry(&self) -> &str {
        match self {
            Self::Submit { inquiry, .. }
            | Self::Lease { inquiry, .. }
            | Self::Record { inquiry, .. }
            | Self::Conclude { inquiry, .. }
            | Self::Abort { inquiry, .. } => inquiry,
        }
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

    /// What the ledger says of it once it is accepted. `term` is that of the log entry, the first half of a lease's token.
    pub(crate) fn ledger_entry(&self, index: u64, term: u64) -> Entry {
        let (kind, at, body) = match self {
            Self::Submit { plan, facts, manifest, at, .. } => (
                "inquiry-submitted",
                *at,
                json!({
                    "plan": Hash::digest(plan),
                    "manifest": manifest,
                    "manifest_id": facts.manifest_id,
                    "name": facts.name,
                    "tenant": facts.tenant,
                    "kind": facts.kind,
                    "steps": facts.steps,
                }),
            ),
            Self::Lease { step, attempt, executor, at, .. } => (
                "step-leased",
                *at,
                json!({ "step": step, "attempt": attempt, "executor": executor, "term": term }),
            ),
            Self::Record { step, term, attempt, record, facts, is_final, .. } => (
                "step-recorded",
                facts.ended,
                json!({
                    "step": step,
                    "attempt": attempt,
                    "term": term,
                    "final": is_final,
                    "outcome": facts.outcome,
                    "record": Hash::digest(record),
                    "readings": facts.readings.as_ref().map(|(digest, _)| digest),
                    "count": facts.readings.as_ref().map(|(_, count)| count),
                    "transcript": facts.transcript,
                }),
            ),
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
        };
        let body = match body {
            Value::Object(body) => body,
            // Each arm above makes an object.
            _ => Map::new(),
        };
        Entry {
            v: FORMAT,
            index,
            kind: kind.to_owned(),
            time: rfc3339(at),
            inquiry: self.inquiry().to_owned(),
            body,
        }
    }
}

impl RecordFacts {
    fn of(record: &StepRecord) -> Result<Self, ConductorError> {
        let (outcome, readings) = match &record.result {
            StepResult::Inline(observation) => {
                let digest = Hash::digest(&to_json("the readings", observation)?).to_string();
                ("readings", Some((digest, observation.len() as u64)))
            }
            StepResult::Blob { digest, readings } => ("readings", Some((digest.clone(), *readings as u64))),
            StepResult::Failed(failure) => (failure.name(), None),
            StepResult::Skipped { .. } => ("skipped", None),
        };
        Ok(Self {
            outcome: outcome.to_owned(),
            readings,
            transcript: record.transcript.clone(),
            ended: record.ended,
        })
    }
}

/// JSON that reads back as the same value.
fn to_json<T: Serialize + DeserializeOwned>(what: &str, value: &T) -> Result<Bytes, ConductorError> {
    let cannot = |error: serde_json::Error| {
        ConductorError::Command(format!(
            "{what} has no JSON, perhaps for a number that is not finite: {error}"
        ))
    };
    let bytes = serde_json::to_vec(value).map_err(cannot)?;
    // Not finite numbers are written as null without an error; read back here, not where it would stop a member.
    serde_json::from_slice::<T>(&bytes).map_err(cannot)?;
    Ok(bytes.into())
}

/// A unit variant's name as serde writes it.
fn word<T: Serialize>(value: &T) -> Result<String, ConductorError> {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => Ok(word),
        Ok(other) => Err(ConductorError::Command(format!("{other} is not a word"))),
        Err(error) => Err(ConductorError::Command(error.to_string())),
    }
}

fn number(what: &str, value: usize) -> Result<u32, ConductorError> {
    u32::try_from(value)
        .map_err(|_| ConductorError::Command(format!("{what} {value}; at most {} are possible", u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of_each() -> Vec<Change> {
        vec![
            Change::Submit {
                inquiry: "q".into(),
                plan: Bytes::from_static(b"{}"),
                facts: PlanFacts {
                    manifest_id: "m".into(),
                    name: "n".into(),
                    tenant: Some("t".into()),
                    kind: None,
                    steps: 300,
                },
                manifest: "ab".into(),
                base_dir: Some("/d".into()),
                at: -1,
            },
            Change::Lease { inquiry: "q".into(), step: 1, attempt: 2, executor: "e".into(), at: i64::MAX },
            Change::Record {
                inquiry: "q".into(),
                step: 1,
                term: 3,
                attempt: 2,
                record: Bytes::from_static(b"[]"),
                facts: RecordFacts {
                    outcome: "readings".into(),
                    readings: Some(("cd".into(), 9)),
                    transcript: None,
                    ended: 7,
                },
                is_final: true,
            },
            Change::Conclude {
                inquiry: "q".into(),
                finding: Bytes::from_static(b"1"),
                verdict: "VERIFIED".into(),
                artifacts: vec![("a".into(), "ef".into())],
                at: 0,
            },
            Change::Abort {
                inquiry: "q".into(),
                reason: Bytes::from_static(b"2"),
                name: "cancelled".into(),
                at: 5,
            },
        ]
    }

    /// These bytes lie in logs. When they change, `COMMAND_FORMAT` must change too.
    #[test]
    fn the_encoding_is_that_of_format_1() {
        assert_eq!(crate::raft::COMMAND_FORMAT, 1);
        let encoded: Vec<String> =
            one_of_each().iter().map(|change| hex::encode(change.encode().unwrap())).collect();
        insta::assert_snapshot!(encoded.join("\n"));
    }

    #[test]
    fn decoding_gives_back_what_was_encoded_and_refuses_what_was_cut() {
        for change in one_of_each() {
            let bytes = change.encode().unwrap();
            assert_eq!(Change::decode(&bytes).unwrap(), change);
            assert!(Change::decode(&bytes[..bytes.len() - 1]).is_err());
        }
        assert!(Change::decode(&[200]).is_err());
    }

    #[test]
    fn a_command_is_bounded() {
        let large = Change::Abort {
            inquiry: "q".into(),
            reason: vec![b' '; MAX_COMMAND_BYTES].into(),
            name: "broken".into(),
            at: 0,
        };
        let error = large.encode().unwrap_err().to_string();
        assert!(error.contains(&format!("at most {MAX_COMMAND_BYTES} are allowed")), "{error}");
    }
}
