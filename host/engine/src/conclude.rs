//! The end of an inquiry: from its records to a finding, from the finding to reports, and both into the journal.

use std::sync::Arc;

use inquisitor_findings::finding::Finding;
use inquisitor_findings::reading::Observed;
use inquisitor_manifest::plan::Plan;
use inquisitor_report::{ReportInput, StepOutcome};

use crate::Engine;
use crate::error::EngineError;
use crate::history::History;
use crate::journal::{Command, Inquiry, StepRecord, StepResult, StepState};
use crate::now;

/// A report as it will be kept: file name and bytes.
pub(crate) type Artifact = (String, Vec<u8>);

impl Engine {
    /// Draw the finding from the records, write the reports, and conclude. `history` is what the driver kept of them; it is read
    /// from the journal where there is none.
    pub(crate) async fn conclude(&self, id: &str, history: Option<History>) -> Result<(), EngineError> {
        let inquiry = self.load(id).await?;
        let history = match history {
            Some(history) => history,
            None => self.history(&inquiry).await?,
        };
        let checkpoint = self.journal.checkpoint().await?;
        let outcomes = outcomes(&inquiry);
        let (id, submitted, plan) = (inquiry.id.clone(), inquiry.submitted, inquiry.plan.clone());
        // A million readings take seconds to weigh; that is no work for an async thread.
        let drawn = tokio::task::spawn_blocking(move || {
            let finding = history.conclude(&plan);
            let input = ReportInput {
                inquiry: &id,
                plan: &plan,
                finding: &finding,
                submitted,
                checkpoint: Some((checkpoint.size, checkpoint.root.as_str())),
                steps: &outcomes,
            };
            render(&input, history.observed()).map(|artifacts| (finding, artifacts))
        })
        .await;
        let (finding, artifacts) = match drawn {
            Ok(drawn) => drawn?,
            Err(error) => {
                return Err(EngineError::Report { name: "finding".into(), message: error.to_string() });
            }
        };
        // Written first, so that a host that is killed in between writes them next time. A folder that cannot be written
        // holds back no finding: the reports are in the journal too, and the inquiry would never end.
        let artifacts = Arc::new(artifacts);
        let written = self.deliver(&inquiry, &artifacts).await;
        self.commit(&inquiry.id, finding, Arc::unwrap_or_clone(artifacts)).await?;
        written
    }

    async fn commit(&self, id: &str, finding: Finding, artifacts: Vec<Artifact>) -> Result<(), EngineError> {
        let mut kept = Vec::with_capacity(artifacts.len());
        for (name, bytes) in artifacts {
            kept.push((name, self.journal.put_blob(bytes).await?));
        }
        let command = Command::Conclude {
            inquiry: id.to_owned(),
            finding: Box::new(finding),
            artifacts: kept,
            at: now(),
        };
        self.accept("concluding the inquiry", command).await.map(|_| ())
    }
}

/// Every artifact and chart that the manifest asks for, in its order.
fn render(input: &ReportInput<'_>, observed: &[Observed]) -> Result<Vec<Artifact>, EngineError> {
    let plan: &Plan = input.plan;
    let mut artifacts = Vec::new();
    for artifact in &plan.reporting.artifacts {
        let name = inquisitor_report::file_name(artifact.kind, artifact.format);
        let bytes = inquisitor_report::render(artifact, input, observed)
            .map_err(|error| EngineError::Report { name: name.clone(), message: error.to_string() })?;
        artifacts.push((unused(&artifacts, &name), bytes));
    }
    for visualization in &plan.analysis.visualizations {
        let name = inquisitor_report::chart_file_name(visualization.kind);
        let svg = inquisitor_report::chart(visualization, input.finding, observed)
            .map_err(|error| EngineError::Report { name: name.clone(), message: error.to_string() })?;
        artifacts.push((unused(&artifacts, &name), svg.into_bytes()));
    }
    Ok(artifacts)
}

/// The name, with `-2`, `-3`, … before its ending where an earlier artifact has it.
fn unused(taken: &[Artifact], name: &str) -> String {
    let is_taken = |candidate: &str| taken.iter().any(|(taken, _)| taken == candidate);
    if !is_taken(name) {
        return name.to_owned();
    }
    let (stem, ending) =
        name.rsplit_once('.').map_or((name, String::new()), |(stem, end)| (stem, format!(".{end}")));
    let mut number = 2_usize;
    loop {
        let candidate = format!("{stem}-{number}{ending}");
        if !is_taken(&candidate) {
            return candidate;
        }
        number += 1;
    }
}

/// How each step ended, for reports and for whoever shows the inquiry. Of a step that was observed again and again, the
/// outcome is that of its last round, the attempts are those of all rounds, and the readings those of the rounds that are
/// kept; the message says how many rounds failed or were missed.
pub fn outcomes(inquiry: &Inquiry) -> Vec<StepOutcome> {
    let steps = inquiry.plan.steps.iter().enumerate();
    steps
        .map(|(position, step)| {
            let state = inquiry.steps.get(&position);
            let (outcome, message, readings) = state.map_or(("not run", None, 0), outcome);
            StepOutcome {
                step: step.name.clone(),
                phase: step.phase.clone(),
                instrument: step.action.instrument().map(str::to_owned),
                attempts: state.map_or(0, |state| state.token.attempt),
                outcome: outcome.to_owned(),
                message,
                readings,
            }
        })
        .collect()
}

fn outcome(state: &StepState) -> (&'static str, Option<String>, usize) {
    let rounds: Vec<&StepRecord> =
        state.history.iter().map(|(_, record)| record).chain(&state.record).collect();
    let Some(last) = rounds.last() else { return ("not run", None, 0) };
    let readings = rounds.iter().map(|record| readings(record)).sum();
    let (outcome, message) = match &last.result {
        StepResult::Inline(_) | StepResult::Blob { .. } => ("completed", None),
        StepResult::Failed(failure) => (failure.name(), Some(failure.to_string())),
        StepResult::Skipped { reason } => ("skipped", Some(reason.clone())),
    };
    if state.round == 0 && state.missed == 0 {
        return (outcome, message, readings);
    }
    let failed = rounds.iter().filter(|record| !is_completed(record)).count();
    let mut told = Vec::new();
    if failed > 0 {
        told.push(format!("{failed} of the last {} rounds brought no readings", rounds.len()));
    }
    if state.missed > 0 {
        told.push(format!("{} rounds were missed", state.missed));
    }
    told.extend(message.map(|message| format!("the last: {message}")));
    let message = if told.is_empty() { None } else { Some(told.join("; ")) };
    (outcome, message, readings)
}

fn is_completed(record: &StepRecord) -> bool {
    matches!(record.result, StepResult::Inline(_) | StepResult::Blob { .. })
}

fn readings(record: &StepRecord) -> usize {
    match &record.result {
        StepResult::Inline(observation) => observation.len(),
        StepResult::Blob { readings, .. } => *readings,
        StepResult::Failed(_) | StepResult::Skipped { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_of_one_name_are_numbered() {
        let mut taken: Vec<Artifact> = Vec::new();
        for expected in ["report.md", "report-2.md", "report-3.md"] {
            let name = unused(&taken, "report.md");
            assert_eq!(name, expected);
            taken.push((name, Vec::new()));
        }
    }
}
