//! What the events of a stream hold.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::inquiries::{InquirySummary, LogItem};

/// Data of a durable event: what the ledger entry says, with names where it has positions. Members that the kind does not have
/// are left out. The whole entry is `GET /v1/ledger/entries?from=INDEX&limit=1`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct DurableEvent {
    /// Position in the ledger.
    pub index: u64,
    /// When (RFC 3339).
    pub time: String,
    /// Name of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Position of the step in the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<usize>,
    /// Id of the step's instrument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instrument: Option<String>,
    /// The round, in continuous inquiries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<u32>,
    /// The attempt, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Who leased the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    /// How the attempt ended: `completed`, `skipped`, or the name of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Whether the step gets no further attempt.
    #[serde(default, rename = "final", skip_serializing_if = "Option::is_none")]
    pub is_final: Option<bool>,
    /// Readings that the attempt brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readings: Option<u64>,
    /// Verdict of a finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// SHA-256 of a finding, lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    /// Why the inquiry was aborted, or why something was not allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What somebody asked to do, as `inquiry.cancel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Whether it was allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<bool>,
}

/// Data of the live event `log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogEvent {
    /// Name of the step.
    pub step: String,
    /// The line.
    #[serde(flatten)]
    pub line: LogItem,
}

/// Data of the live event `progress`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProgressEvent {
    /// Name of the step.
    pub step: String,
    /// 0 to 1.
    pub fraction: f64,
    /// What is being done.
    pub message: String,
}

/// Data of the last event, `end`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndEvent {
    /// The inquiry as it ended.
    #[serde(flatten)]
    pub inquiry: InquirySummary,
}
