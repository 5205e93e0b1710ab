//! The rows of the applied state that are not plain JSON: small, typed, in postcard.

use bytes::Bytes;
use inquisitor_engine::journal::BlobDigest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::ConductorError;

/// What is known of an inquiry beside its plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InquiryRow {
    /// Position in the order of submission.
    pub(crate) sequence: u64,
    pub(crate) submitted: i64,
    pub(crate) manifest: BlobDigest,
    pub(crate) base_dir: Option<String>,
    /// SHA-256 of the plan's JSON.
    pub(crate) plan: [u8; 32],
    /// Number of steps in the plan.
    pub(crate) steps: u32,
    /// How many of them have their final record.
    pub(crate) recorded: u32,
    pub(crate) manifest_id: String,
    pub(crate) name: String,
    pub(crate) tenant: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) stage: Stage,
}

/// How far an inquiry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    Running,
    Concluded { verdict: String, at: i64 },
    Aborted { reason: String, at: i64 },
}

/// How an inquiry ended.
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
}

/// The last lease of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepRow {
    pub(crate) term: u64,
    pub(crate) attempt: u32,
    pub(crate) executor: String,
    /// The attempt that has the final record.
    pub(crate) final_attempt: Option<u32>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordRow {
    /// With the attempt, the token under which it was recorded.
    pub(crate) term: u64,
    pub(crate) is_final: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// These bytes lie in state files and snapshots. When they change, the formats of both must change too.
    #[test]
    fn the_encoding_is_that_of_format_1() {
        let row = InquiryRow {
            sequence: 1,
            submitted: 2,
            manifest: "ab".into(),
            base_dir: None,
            plan: [7; 32],
            steps: 3,
            recorded: 1,
            manifest_id: "m".into(),
            name: "n".into(),
            tenant: Some("t".into()),
            kind: None,
            stage: Stage::Concluded { verdict: "VERIFIED".into(), at: 9 },
        };
        let step = StepRow { term: 1, attempt: 2, executor: "e".into(), final_attempt: Some(2) };
        let record = RecordRow { term: 1, is_final: true, json: Bytes::from_static(b"{}") };
        let ends = [
            EndRow::Concluded {
                finding: Bytes::from_static(b"1"),
                artifacts: vec![("a".into(), "b".into())],
            },
            EndRow::Aborted { reason: Bytes::from_static(b"2") },
        ];
        let mut encoded = vec![encode(&row).unwrap(), encode(&step).unwrap(), encode(&record).unwrap()];
        encoded.extend(ends.iter().map(|end| encode(end).unwrap()));
        let text: Vec<String> = encoded.iter().map(hex::encode).collect();
        insta::assert_snapshot!(text.join("\n"));
    }
}
