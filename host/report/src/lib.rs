//! Findings as text: markdown, HTML, JSON, charts in SVG, and the summary that a terminal shows.
//!
//! Everything here is a pure function of its arguments: the same finding gives the same bytes, with no clock, no fonts
//! and no files. It decides nothing; what is not in the finding is not in a report. It writes no files either: the
//! engine keeps what [`render`] and [`chart()`] return.
//!
//! Names, messages and values come from manifests and plugins that nobody trusts. They reach a report only through
//! [`document`], whose writers escape all text, through `chart::svg`, which does the same, or through `text::printable`,
//! which leaves no control characters for a terminal.
//!
//! Start with [`render`]; `reports` says what each report contains, [`document`] how it is written.

pub mod chart;
mod console;
pub mod document;
mod json;
mod parameters;
mod reports;
mod text;

use inquisitor_findings::finding::Finding;
use inquisitor_findings::reading::Observed;
use inquisitor_manifest::ParameterProblem;
use inquisitor_manifest::plan::Plan;
use inquisitor_manifest::spec::{Artifact, ArtifactFormat, ArtifactKind, Belief, ChartKind};
use serde::Serialize;

pub use crate::chart::{chart, check_chart};
pub use crate::console::console_summary;
pub use crate::text::printable;

/// Why there is no report or chart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// A parameter of the artifact or the chart is wrong; all problems at once, at least one.
    #[error("wrong parameters: {}", ParameterProblem::list(.0))]
    Parameters(Vec<ParameterProblem>),
    /// The finding cannot be written as JSON.
    #[error("the report cannot be written as JSON: {0}")]
    Json(String),
}

/// How a step of the inquiry ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepOutcome {
    /// Name of the step.
    pub step: String,
    /// The phase it belongs to.
    pub phase: String,
    /// Id of its instrument, if it has one.
    pub instrument: Option<String>,
    /// Attempts made.
    pub attempts: u32,
    /// `completed`, `skipped`, `not run`, or the name of the failure, such as `memory-limit`.
    pub outcome: String,
    /// What went wrong, if anything.
    pub message: Option<String>,
    /// Readings that it brought.
    pub readings: usize,
}

impl StepOutcome {
    /// Whether the step did what it was to do.
    pub fn is_completed(&self) -> bool {
        self.outcome == "completed"
    }
}

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct ReportInput<'a> {
    /// Id of the inquiry.
    pub inquiry: &'a str,
    /// The plan that was run.
    pub plan: &'a Plan,
    /// The answer.
    pub finding: &'a Finding,
    /// When the inquiry was submitted, nanoseconds since the Unix epoch.
    pub submitted: i64,
    /// Number of entries and root (lower-case hex) of the ledger, where there is one.
    pub checkpoint: Option<(u64, &'a str)>,
    /// How each step ended, in the plan's order.
    pub steps: &'a [StepOutcome],
}

/// What the summary for a terminal is made of.
#[derive(Debug, Clone, Copy)]
pub struct Summary<'a> {
    /// Id of the inquiry.
    pub inquiry: &'a str,
    /// The manifest's name.
    pub name: &'a str,
    /// The question of state over time, where it is known; the summary names its unit and threshold.
    pub belief: Option<&'a Belief>,
    /// The answer.
    pub finding: &'a Finding,
    /// Number of entries and root (lower-case hex) of the ledger, where there is one.
    pub checkpoint: Option<(u64, &'a str)>,
    /// How each step ended, in the plan's order.
    pub steps: &'a [StepOutcome],
}

impl<'a> ReportInput<'a> {
    /// What the summary for a terminal needs of it.
    pub fn summary(&self) -> Summary<'a> {
        Summary {
            inquiry: self.inquiry,
            name: &self.plan.name,
            belief: self.plan.belief.as_ref(),
            finding: self.finding,
            checkpoint: self.checkpoint,
            steps: self.steps,
        }
    }
}

/// Writes an artifact. `observed` is what charts in the report are drawn from.
///
/// # Errors
/// When a parameter of the artifact or of one of the plan's charts is wrong.
pub fn render(
    artifact: &Artifact,
    input: &ReportInput<'_>,
    observed: &[Observed],
) -> Result<Vec<u8>, ReportError> {
    let options = parameters::artifact(&artifact.parameters).map_err(ReportError::Parameters)?;
    let title = options.title.as_deref().unwrap_or(&input.plan.name);
    if artifact.format == ArtifactFormat::Json {
        return json::write(artifact.kind, title, input);
    }
    let document = match artifact.kind {
        ArtifactKind::ExecutiveSummary => reports::executive_summary(title, input),
        ArtifactKind::DetailedReport => reports::detailed_report(title, input, observed)?,
        ArtifactKind::ComplianceReport => reports::compliance_report(title, input),
        ArtifactKind::ConsoleSummary => reports::console(title, input),
    };
    Ok(match artifact.format {
        ArtifactFormat::Html => document.html().into_bytes(),
        ArtifactFormat::Markdown | ArtifactFormat::Json => document.markdown().into_bytes(),
    })
}

/// What is wrong with the parameters of an artifact; empty where nothing is. For checks before an inquiry runs.
pub fn check_artifact(artifact: &Artifact) -> Vec<ParameterProblem> {
    parameters::artifact(&artifact.parameters).err().unwrap_or_default()
}

/// Name of the file of an artifact, as `executive_summary.md`.
pub fn file_name(kind: ArtifactKind, format: ArtifactFormat) -> String {
    let ending = match format {
        ArtifactFormat::Markdown => "md",
        ArtifactFormat::Html => "html",
        ArtifactFormat::Json => "json",
    };
    format!("{}.{ending}", kind_name(kind))
}

/// Name of a report's kind, as in the manifest.
pub(crate) fn kind_name(kind: ArtifactKind) -> &'static str {
    match kind {
        ArtifactKind::ExecutiveSummary => "executive_summary",
        ArtifactKind::DetailedReport => "detailed_report",
        ArtifactKind::ConsoleSummary => "console_summary",
        ArtifactKind::ComplianceReport => "compliance_report",
    }
}

/// Name of the file of a chart, as `time_series.svg`.
pub fn chart_file_name(kind: ChartKind) -> String {
    let name = match kind {
        ChartKind::TimeSeries => "time_series",
        ChartKind::ScatterPlot => "scatter_plot",
        ChartKind::Histogram => "histogram",
    };
    format!("{name}.svg")
}
