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
