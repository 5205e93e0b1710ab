//! The rows of the applied state that are not plain JSON: small, typed, in postcard.

use bytes::Bytes;
use inquisitor_engine::gating::Origin;
use inquisitor_engine::journal::{BlobDigest, InquiryId};
use inquisitor_ledger::Hash;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::ConductorError;

/// SHA-256 as it lies in rows.
pub(crate) type Digest = [u8; 32];

/// What changes of an inquiry, and what lists show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InquiryRow {
    /// Position in the order of submission.
    pub(crate) sequence: u64,
    pub(crate) submitted: i64,
    /// The manifest's text, as a blob.
    pub(crate) manifest: BlobDigest,
    /// SHA-256 of the manifest's text, as the plan says it.
    pub(crate) manifest_digest: String,
    /// SHA-256 over all that was submitted, save for the time.
    pub(crate) content: Digest,
    /// Number of steps in the plan.
    pub(crate) steps: u32,
    /// How many of them have their first final record.
    pub(crate) recorded: u32,
    /// Rounds of all steps that were never leased.
    pub(crate) missed: u64,
    pub(crate) manifest_id: String,
    pub(crate) name: String,
    pub(crate) tenant: String,
    pub(crate) kind: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) origin: OriginRow,
    /// Where the inquiry is continuous.
    pub(crate) rounds: Option<Rounds>,
    pub(crate) cancel_requested: Option<i64>,
    pub(crate) stage: Stage,
}

/// Which steps of a continuous inquiry have more than one round, and how many of them are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rounds {
    /// At least 1.
    pub(crate) history: u32,
    /// A bit for each step, the first is the lowest of the first byte; bytes behind the last one set are left out.
    observing: Bytes,
}

impl Rounds {
    /// From the positions of the steps.
    pub(crate) fn new(history: u32, steps: impl IntoIterator<Item = usize>) -> Self {
        let mut observing = Vec::new();
        for step in steps {
            if observing.len() <= step / 8 {
                observing.resize(step / 8 + 1, 0);
            }
            observing[step / 8] |= 1 << (step % 8);
        }
        Self { history: history.max(1), observing: observing.into() }
    }

    /// Whether any step has more than one round.
    pub(crate) fn has_any(&self) -> bool {
        !self.observing.is_empty()
    }

    /// Whether the step has more than one round.
    pub(crate) fn has(&self, step: u32) -> bool {
        self.observing.get(step as usize / 8).is_some_and(|byte| byte & (1 << (step % 8)) != 0)
    }
}

/// [`Origin`], which has no form in postcard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OriginRow {
    Local,
    Key(String),
    Declared(String),
}

impl OriginRow {
    /// For the ledger: `local`, `key:ID` or `declared:FILE`.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Local => "local".to_owned(),
            Self::Key(key) => format!("key:{key}"),
            Self::Declared(file) => format!("declared:{file}"),
        }
    }
}

impl From<&Origin> for OriginRow {
    fn from(origin: &Origin) -> Self {
        match origin {
            Origin::Local => Self::Local,
            Origin::Key { key } => Self::Key(key.clone()),
            Origin::Declared { file } => Self::Declared(file.clone()),
        }
    }
}

impl From<OriginRow> for Origin {
    fn from(row: OriginRow) -> Self {
        match row {
            OriginRow::Local => Self::Local,
            OriginRow::Key(key) => Self::Key { key },
            OriginRow::Declared(file) => Self::Declared { file },
        }
    }
}

/// What only running an inquiry needs of its submission; never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanRow {
    /// The components that the plan names, ascending.
    pub(crate) plugins: Vec<Digest>,
    pub(crate) base_dir: Option<String>,
    /// JSON of the bounds.
    pub(crate) bounds: Bytes,
    /// JSON of the plan.
    pub(crate) plan: Bytes,
}

/// An inquiry that has not ended, and what its end has to give back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnfinishedRow {
    pub(crate) inquiry: InquiryId,
    /// Whether a file of the directory of declared manifests asked for it.
    pub(crate) declared: bool,
    /// The components that the plan names, ascending.
    pub(crate) plugins: Vec<Digest>,
}

/// What a manifest's id or an idempotency key stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MadeRow {
    /// SHA-256 of the manifest's text, as the plan says it.
    pub(crate) manifest_digest: String,
    pub(crate) inquiry: InquiryId,
}

/// How many inquiries of a tenant have not ended. Each tenant has this row, save for the default one before its first
/// inquiry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct TenantUseRow {
    pub(crate) unfinished: u64,
    /// How many there may be.
    pub(crate) limit: Option<u32>,
}

/// A tenant; its name is the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TenantRow {
    pub(crate) created: i64,
    pub(crate) description: String,
    /// JSON of the policy.
    pub(crate) policy: Bytes,
}

/// How far an inquiry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    Running,
    Concluded { verdict: String, at: i64 },
    Aborted { reason: String, at: i64 },
}

/// How an inquiry ended, or what it says before that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EndRow {
    Concluded {
        /// JSON of the finding.
        finding: Bytes,
        artifacts: Vec<(String, BlobDigest)>,
    },
    Aborted {
        /// JSON of the reason.
        reason: Bytes,
    },
    /// A continuous inquiry that has not: its finding as it stands.
    Interim {
        /// JSON of the finding.
        finding: Bytes,
        at: i64,
    },
}

/// The last lease of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepRow {
    pub(crate) term: u64,
    pub(crate) attempt: u32,
    pub(crate) executor: String,
    /// The round that was leased.
    pub(crate) round: u32,
    /// The attempt that has the final record of this round.
    pub(crate) final_attempt: Option<u32>,
    /// Rounds that were never leased.
    pub(crate) missed: u64,
    /// Rounds with a final record that are still kept.
    pub(crate) kept: u32,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordRow {
    /// With the attempt, the token under which it was recorded.
    pub(crate) term: u64,
    pub(crate) is_final: bool,
    /// The blobs that the record names.
    pub(crate) blobs: Vec<Digest>,
    /// JSON of the record.
    pub(crate) json: Bytes,
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, ConductorError> {
    postcard::to_stdvec(value).map_err(|error| ConductorError::damaged("a row to be written", error))
}

pub(crate) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, ConductorError> {
    postcard::from_bytes(bytes).map_err(|error| ConductorError::damaged(what, error))
}

pub(crate) fn decode_json<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, ConductorError> {
    serde_json::from_slice(bytes).map_err(|error| ConductorError::damaged(what, error))
}

/// A digest of a command as it lies in rows.
pub(crate) fn digest(text: &str) -> Result<Digest, ConductorError> {
    let hash: Hash = text.parse().map_err(|error| ConductorError::Command(format!("a digest: {error}")))?;
    Ok(hash.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_with_rounds_are_those_that_were_named() {
        let rounds = Rounds::new(0, [1, 8, 17]);
        let found: Vec<u32> = (0..64).filter(|step| rounds.has(*step)).collect();
        assert_eq!((rounds.history, found), (1, vec![1, 8, 17]));
        assert!(!Rounds::new(3, []).has(0));
    }

    /// These bytes lie in state files and snapshots. When they change, the formats of both must change too.
    #[test]
    fn the_encoding_is_that_of_format_1() {
        let row = InquiryRow {
            sequence: 1,
            submitted: 2,
            manifest: "ab".into(),
            manifest_digest: "cd".into(),
            content: [7; 32],
            steps: 3,
            recorded: 1,
            missed: 5,
            manifest_id: "m".into(),
            name: "n".into(),
            tenant: "t".into(),
            kind: None,
            tags: vec!["g".into()],
            origin: OriginRow::Key("k".into()),
            rounds: Some(Rounds::new(9, [1])),
            cancel_requested: Some(8),
            stage: Stage::Concluded { verdict: "VERIFIED".into(), at: 9 },
        };
        let bytes = Bytes::from_static;
        let plan = PlanRow {
            plugins: vec![[1; 32]],
            base_dir: Some("/d".into()),
            bounds: bytes(b"{}"),
            plan: bytes(b"[]"),
        };
        let unfinished = UnfinishedRow { inquiry: "q".into(), declared: true, plugins: vec![] };
        let step = StepRow {
            term: 1,
            attempt: 2,
            executor: "e".into(),
            round: 3,
            final_attempt: Some(2),
            missed: 4,
            kept: 2,
        };
        let record = RecordRow { term: 1, is_final: true, blobs: vec![[2; 32]], json: bytes(b"{}") };
        let ends = [
            EndRow::Concluded { finding: bytes(b"1"), artifacts: vec![("a".into(), "b".into())] },
            EndRow::Aborted { reason: bytes(b"2") },
            EndRow::Interim { finding: bytes(b"3"), at: 1 },
        ];
        let mut encoded = vec![
            encode(&row).unwrap(),
            encode(&plan).unwrap(),
            encode(&unfinished).unwrap(),
            encode(&MadeRow { manifest_digest: "d".into(), inquiry: "q".into() }).unwrap(),
            encode(&TenantUseRow { unfinished: 1, limit: Some(2) }).unwrap(),
            encode(&TenantRow { created: 1, description: "x".into(), policy: bytes(b"{}") }).unwrap(),
            encode(&step).unwrap(),
            encode(&record).unwrap(),
        ];
        encoded.extend(ends.iter().map(|end| encode(end).unwrap()));
        let text: Vec<String> = encoded.iter().map(hex::encode).collect();
        insta::assert_snapshot!(text.join("\n"));
    }
}
