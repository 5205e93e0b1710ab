//! Inquiries as clients see them.

use std::collections::BTreeMap;

use inquisitor_findings::finding::{Finding, Verdict};
use inquisitor_manifest::Diagnostic;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// How far an inquiry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InquiryStatus {
    /// Steps are running or wait.
    Running,
    /// Ended with a finding.
    Concluded,
    /// Ended without a finding.
    Aborted,
}

/// Who asked for an inquiry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "origin", rename_all = "snake_case")]
pub enum InquiryOrigin {
    /// Somebody at the command line of the host.
    Local,
    /// The holder of a key.
    Key {
        /// The key's id.
        key: String,
    },
    /// A file of the directory of declared manifests.
    Declared {
        /// Path relative to the directory.
        file: String,
    },
}

/// An inquiry in the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InquirySummary {
    /// Identifier.
    #[schema(example = "0190b2f0-0000-7000-8000-000000000000")]
    pub id: String,
    /// The manifest's id.
    pub manifest_id: String,
    /// The manifest's name.
    pub name: String,
    /// SHA-256 of the manifest's text, lower-case hex.
    pub manifest_digest: String,
    /// The tenant.
    pub tenant: String,
    /// The type of inquiry, if one is named.
    pub kind: Option<String>,
    /// The manifest's tags.
    pub tags: Vec<String>,
    /// Who asked for it.
    pub origin: InquiryOrigin,
    /// When it was submitted (RFC 3339).
    pub submitted: String,
    /// How far it is.
    pub status: InquiryStatus,
    /// The answer in a word, once it is concluded: `VERIFIED`, `INCONCLUSIVE` or `FALSIFIED`.
    #[schema(value_type = Option<String>, example = "VERIFIED")]
    pub verdict: Option<Verdict>,
    /// Why there is none, once it is aborted: `cancelled`, `timed-out`, `preflight` or `broken`.
    pub reason: Option<String>,
    /// When it ended (RFC 3339).
    pub ended: Option<String>,
    /// Steps of the plan.
    pub steps: u32,
    /// Steps that have their final record, of the first round where there are more.
    pub recorded: u32,
    /// Whether it observes again and again until somebody asks for its end.
    pub continuous: bool,
    /// Whether somebody asked for its end.
    pub cancel_requested: bool,
    /// Rounds whose time passed unobserved, over all steps.
    pub missed: u64,
}

/// An inquiry that was taken in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SubmittedInquiry {
    /// The inquiry.
    #[serde(flatten)]
    pub inquiry: InquirySummary,
    /// What its author may want to know of the manifest.
    #[schema(value_type = Vec<ManifestDiagnostic>)]
    pub warnings: Vec<Diagnostic>,
}

/// What there is to say of a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ValidationReport {
    /// Whether there is no mistake in the manifest.
    pub valid: bool,
    /// Number of errors.
    pub errors: usize,
    /// Number of warnings.
    pub warnings: usize,
    /// Diagnostics beyond the bound of 1000, counted only.
    pub omitted: usize,
    /// What is wrong, in the order of the text.
    #[schema(value_type = Vec<ManifestDiagnostic>)]
    pub diagnostics: Vec<Diagnostic>,
    /// What the tenant's policy does not allow in it, one by one; a submission would be refused.
    #[schema(value_type = Vec<Object>)]
    pub violations: Vec<serde_json::Value>,
    /// What would be run; none where there are errors.
    pub plan: Option<PlanSummary>,
}

/// One thing that is wrong with a manifest, as `inquisitor validate --output json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ManifestDiagnostic {
    /// `error` or `warning`.
    pub severity: String,
    /// What kind of mistake it is; stable.
    #[schema(example = "unknown-field")]
    pub code: String,
    /// Name of the file: `manifest` for what came over the network.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The stretch of the text that is wrong, in bytes.
    pub span: TextSpan,
    /// The field; empty where the mistake is in no field.
    #[schema(example = "manifest.protocol.phases[0].steps[1].instrument")]
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Another place that belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub related: Option<RelatedPlace>,
}

/// A stretch of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TextSpan {
    /// First byte.
    pub start: usize,
    /// First byte after it.
    pub end: usize,
}

/// Another place that belongs to a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RelatedPlace {
    /// What is there.
    pub message: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The stretch of the text, in bytes.
    pub span: TextSpan,
}

/// What a manifest comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanSummary {
    /// The manifest's id.
    pub manifest_id: String,
    /// The manifest's name.
    pub name: String,
    /// SHA-256 of the manifest's text, lower-case hex.
    pub manifest_digest: String,
    /// The tenant that it would belong to.
    pub tenant: String,
    /// The type of inquiry, if one is named.
    pub kind: Option<String>,
    /// Tags for search.
    pub tags: Vec<String>,
    /// Whether it would observe again and again until somebody asks for its end.
    pub continuous: bool,
    /// Instruments by id.
    pub instruments: BTreeMap<String, InquiryInstrument>,
    /// Steps, each after those that it waits for.
    pub steps: Vec<PlanStep>,
}

/// An instrument of an inquiry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InquiryInstrument {
    /// The plugin's own name.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// SHA-256 of the component, lower-case hex.
    pub digest: String,
    /// Seconds between two observations in a continuous inquiry.
    pub probe_interval_seconds: Option<f64>,
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanStep {
    /// Position in the plan, from 0: what paths name it by.
    pub position: usize,
    /// Name, unique in the plan.
    pub name: String,
    /// The phase it belongs to.
    pub phase: String,
    /// What it does: `self_test`, `observe`, `analyze`, `report` or `close`.
    pub action: String,
    /// Id of its instrument, if it has one.
    pub instrument: Option<String>,
    /// Positions of the steps that it waits for.
    pub after: Vec<usize>,
}

/// An inquiry with all that became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InquiryDetails {
    /// As in the list.
    #[serde(flatten)]
    pub inquiry: InquirySummary,
    /// Why it was aborted, in a sentence.
    pub message: Option<String>,
    /// The finding, once it is concluded.
    #[schema(value_type = Option<Object>)]
    pub finding: Option<Finding>,
    /// The last finding of a continuous inquiry that has not ended.
    pub interim: Option<InterimFinding>,
    /// Names of its reports.
    pub artifacts: Vec<String>,
    /// Instruments by id.
    pub instruments: BTreeMap<String, InquiryInstrument>,
    /// Steps in the plan's order. `steps` of the summary is their number.
    pub step_details: Vec<StepDetails>,
}

/// The finding of a continuous inquiry as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InterimFinding {
    /// The finding.
    #[schema(value_type = Object)]
    pub finding: Finding,
    /// When it was drawn (RFC 3339).
    pub at: String,
}

/// A step with what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepDetails {
    /// As in the plan.
    #[serde(flatten)]
    pub step: PlanStep,
    /// `not run`, `running`, `completed`, `skipped`, or the name of a failure, such as `memory-limit`.
    pub outcome: String,
    /// What went wrong, if anything.
    pub message: Option<String>,
    /// Attempts made, over all rounds.
    pub attempts: u32,
    /// The current round, from 0; more than 0 only in continuous inquiries.
    pub round: u32,
    /// Rounds whose time passed unobserved.
    pub missed: u64,
    /// Earlier rounds whose records are kept.
    pub history: usize,
    /// Who holds or held the last lease.
    pub executor: Option<String>,
    /// Readings that the current round brought.
    pub readings: usize,
    /// When its last recorded attempt began (RFC 3339).
    pub started: Option<String>,
    /// When it ended (RFC 3339).
    pub ended: Option<String>,
    /// What that attempt used.
    pub usage: Option<StepUsage>,
    /// What the instrument asked for and was refused.
    pub denials: Vec<String>,
    /// SHA-256 of the transcript of that attempt, lower-case hex, as the ledger has it.
    pub transcript: Option<String>,
}

/// What an attempt used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepUsage {
    /// Seconds of wall time in calls.
    pub wall_seconds: f64,
    /// Fuel consumed, where fuel was asked for.
    pub fuel: Option<u64>,
    /// Largest linear memory, bytes.
    pub peak_memory: u64,
    /// Calls to the host.
    pub host_calls: u64,
    /// Rows pulled from the substrate.
    pub rows: u64,
    /// Log lines dropped over the limit.
    pub dropped_log_lines: u64,
}

/// A finding with how to check it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FindingDocument {
    /// Id of the inquiry.
    pub inquiry: String,
    /// Whether the inquiry goes on and the finding will be replaced.
    pub interim: bool,
    /// When it was drawn (RFC 3339).
    pub at: String,
    /// The finding.
    #[schema(value_type = Object)]
    pub finding: Finding,
    /// Where the ledger has it.
    pub provenance: Provenance,
}

/// A [`FindingDocument`] with the finding as it is stored: what lies there as JSON need not be read to be shown.
#[derive(Serialize)]
pub(super) struct StoredFindingDocument<'a> {
    pub(super) inquiry: String,
    pub(super) interim: bool,
    pub(super) at: String,
    pub(super) finding: &'a RawValue,
    pub(super) provenance: Provenance,
}

/// Where the ledger has a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Provenance {
    /// Position of the entry that committed it. `GET /v1/ledger/proofs/inclusion` proves it.
    pub index: Option<u64>,
    /// SHA-256 of the finding in that entry, lower-case hex.
    pub finding_digest: Option<String>,
    /// SHA-256 of the manifest's text, lower-case hex.
    pub manifest_digest: String,
    /// Size and root of the ledger when this was answered.
    pub checkpoint: LedgerCheckpoint,
}

/// Size and root of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LedgerCheckpoint {
    /// Number of entries.
    pub size: u64,
    /// Merkle tree hash of the entries (RFC 6962), lower-case hex.
    pub root: String,
}

/// What the instrument of a step logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepLogs {
    /// Position of the step.
    pub position: usize,
    /// Name of the step.
    pub step: String,
    /// Attempts that were recorded, oldest first; the last 20 of them.
    pub attempts: Vec<AttemptLogs>,
}

/// What was logged in one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttemptLogs {
    /// The round, from 0.
    pub round: u32,
    /// When the attempt began (RFC 3339).
    pub started: String,
    /// `completed`, `skipped`, or the name of a failure.
    pub outcome: String,
    /// The lines in their order.
    pub lines: Vec<LogItem>,
}

/// A line that an instrument logged, or wrote to stdout (`info`) or stderr (`warn`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogItem {
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// What it says; control characters are escaped.
    pub message: String,
    /// Attributes, name and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_is_as_it_is_described() {
        let parsed = inquisitor_manifest::parse("m", "manifest:\n  id: a\n  id: b\n  nmae: c\n");
        let diagnostics = parsed.diagnostics.as_slice();
        assert!(
            diagnostics.iter().any(|one| one.related.is_some())
                && diagnostics.iter().any(|one| one.help.is_some())
        );
        for one in diagnostics {
            let json = serde_json::to_value(one).unwrap();
            let described: ManifestDiagnostic = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(serde_json::to_value(described).unwrap(), json);
        }
    }
}
