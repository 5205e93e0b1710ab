//! Reports as JSON: the same content by the field, for programs.

use inquisitor_findings::finding::{
    BeliefFinding, Categorical, Estimate, Exclusion, ExclusionCount, InstrumentSummary, TestResult,
    Undetermined, Verdict,
};
use inquisitor_manifest::plan::PlannedInstrument;
use inquisitor_manifest::spec::{ArtifactKind, Axiom, Belief};
use serde::Serialize;

use crate::{ReportError, ReportInput, StepOutcome, kind_name, text};

/// What every report begins with, and the parts that its kind adds.
#[derive(Serialize)]
struct Report<'a> {
    report: &'static str,
    title: &'a str,
    verdict: Verdict,
    reasons: &'a [String],
    estimates: &'a [Estimate],
    undetermined: &'a [Undetermined],
    #[serde(skip_serializing_if = "Option::is_none")]
    belief: Option<&'a BeliefFinding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<Question<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
    provenance: Provenance<'a>,
}

/// What is asserted, and the rules.
#[derive(Serialize)]
struct Question<'a> {
    belief: Option<&'a Belief>,
    axioms: &'a [Axiom],
}

#[derive(Serialize)]
struct Evidence<'a> {
    exclusion_counts: &'a [ExclusionCount],
    instruments: &'a [InstrumentSummary],
    steps: &'a [StepOutcome],
}

#[derive(Serialize)]
struct Details<'a> {
    exclusions: &'a [Exclusion],
    tests: &'a [TestResult],
    observations: &'a [Categorical],
}

/// What ran, and how to check it.
#[derive(Serialize)]
struct Provenance<'a> {
    inquiry: &'a str,
    submitted: String,
    manifest_id: &'a str,
    manifest_digest: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    instruments: Vec<Instrument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger: Option<Ledger<'a>>,
}

#[derive(Serialize)]
struct Instrument<'a> {
    id: &'a str,
    plugin: &'a str,
    version: &'a str,
    digest: &'a str,
}

#[derive(Serialize)]
struct Ledger<'a> {
    size: u64,
    root: &'a str,
}

/// Writes a report.
pub(crate) fn write(
    kind: ArtifactKind,
    title: &str,
    input: &ReportInput<'_>,
) -> Result<Vec<u8>, ReportError> {
    let finding = input.finding;
    let plan = input.plan;
    let is_detailed = kind == ArtifactKind::DetailedReport;
    let has_evidence = kind != ArtifactKind::ExecutiveSummary;
    let report = Report {
        report: kind_name(kind),
        title,
        verdict: finding.verdict,
        reasons: &finding.reasons,
        estimates: &finding.estimates,
        undetermined: &finding.undetermined,
        belief: finding.belief.as_ref(),
        question: (is_detailed || kind == ArtifactKind::ComplianceReport)
            .then(|| Question { belief: plan.belief.as_ref(), axioms: &plan.falsification.axioms }),
        evidence: has_evidence.then(|| Evidence {
            exclusion_counts: &finding.exclusion_counts,
            instruments: &finding.instruments,
            steps: input.steps,
        }),
        details: is_detailed.then(|| Details {
            exclusions: &finding.exclusions,
            tests: &finding.tests,
            observations: &finding.observations,
        }),
        provenance: Provenance {
            inquiry: input.inquiry,
            submitted: text::time(input.submitted),
            manifest_id: &plan.manifest_id,
            manifest_digest: &plan.manifest_digest,
            tenant: plan.tenant.as_deref(),
            kind: plan.kind.as_deref(),
            instruments: plan.instruments.iter().map(instrument).collect(),
            ledger: input.checkpoint.map(|(size, root)| Ledger { size, root }),
        },
    };
    let mut json =
        serde_json::to_vec_pretty(&report).map_err(|error| ReportError::Json(error.to_string()))?;
    json.push(b'\n');
    Ok(json)
}

fn instrument<'a>((id, planned): (&'a String, &'a PlannedInstrument)) -> Instrument<'a> {
    Instrument { id, plugin: &planned.plugin, version: &planned.version, digest: &planned.digest }
}
