//! The end of an inquiry: from its records to a finding, from the finding to reports, and both into the journal.

use std::path::{Path, PathBuf};

use inquisitor_findings::StepFailure;
use inquisitor_findings::finding::Finding;
use inquisitor_findings::reading::{Observation, Observed};
use inquisitor_manifest::plan::{Action, Plan};
use inquisitor_manifest::spec::Destination;
use inquisitor_report::{ReportInput, StepOutcome};

use crate::Engine;
use crate::error::EngineError;
use crate::journal::{Command, Inquiry, StepRecord, StepResult};
use crate::now;

/// A report as it will be kept: file name and bytes.
type Artifact = (String, Vec<u8>);

impl Engine {
    /// Draw the finding from the records, write the reports, and conclude.
    pub(crate) async fn conclude(&self, id: &str) -> Result<(), EngineError> {
        let inquiry =
            self.journal.inquiry(id).await?.ok_or_else(|| EngineError::NoSuchInquiry(id.to_owned()))?;
        let (observed, failures) = self.gather(&inquiry).await?;
        let checkpoint = self.journal.checkpoint().await?;
        let outcomes = outcomes(&inquiry);
        let (id, submitted, plan) = (inquiry.id.clone(), inquiry.submitted, inquiry.plan.clone());
        // A million readings take seconds to weigh; that is no work for an async thread.
        let drawn = tokio::task::spawn_blocking(move || {
            let finding = inquisitor_findings::conclude(&plan, &observed, &failures);
            let input = ReportInput {
                inquiry: &id,
                plan: &plan,
                finding: &finding,
                submitted,
                checkpoint: Some((checkpoint.size, checkpoint.root.as_str())),
                steps: &outcomes,
            };
            render(&input, &observed).map(|artifacts| (finding, artifacts))
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
        let written = self.write_destinations(&inquiry, &artifacts).await;
        self.commit(&inquiry.id, finding, artifacts).await?;
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

    /// The observations that count, and the counting steps that brought none.
    async fn gather(&self, inquiry: &Inquiry) -> Result<(Vec<Observed>, Vec<StepFailure>), EngineError> {
        let mut observed = Vec::new();
        let mut failures = Vec::new();
        for (position, step) in inquiry.plan.steps.iter().enumerate() {
            let Action::Observe { instrument, counts: true, .. } = &step.action else { continue };
            let Some(record) = inquiry.steps.get(&position).and_then(|state| state.record.as_ref()) else {
                continue;
            };
            let message = match &record.result {
                StepResult::Failed(failure) => failure.to_string(),
                StepResult::Skipped { reason } => format!("skipped: {reason}"),
                StepResult::Inline(_) | StepResult::Blob { .. } => {
                    observed.push(Observed {
                        instrument: instrument.clone(),
                        step: step.name.clone(),
                        time: record.started,
                        observation: self.observation(&step.name, record).await?,
                    });
                    continue;
                }
            };
            failures.push(StepFailure { instrument: instrument.clone(), step: step.name.clone(), message });
        }
        Ok((observed, failures))
    }

    async fn observation(&self, step: &str, record: &StepRecord) -> Result<Observation, EngineError> {
        match &record.result {
            StepResult::Inline(observation) => Ok(observation.clone()),
            StepResult::Blob { digest, .. } => {
                let bytes = self.journal.blob(digest).await?;
                serde_json::from_slice(&bytes).map_err(|error| EngineError::Corrupt {
                    digest: digest.clone(),
                    step: step.to_owned(),
                    message: error.to_string(),
                })
            }
            StepResult::Failed(_) | StepResult::Skipped { .. } => Ok(Observation::default()),
        }
    }

    /// Write the reports to the folders that the manifest names, beside the journal's own copies.
    async fn write_destinations(&self, inquiry: &Inquiry, artifacts: &[Artifact]) -> Result<(), EngineError> {
        for destination in &inquiry.plan.reporting.destinations {
            let Destination::File { path, .. } = destination;
            // The message has the path as written in the manifest: it may hold a secret.
            let failed = |message: String| EngineError::Destination { path: path.clone(), message };
            let resolved = self.resolve_text(path, &mut Vec::new()).map_err(failed)?;
            let folder = inquiry
                .base_dir
                .as_ref()
                .map_or_else(|| PathBuf::from(&resolved), |base| Path::new(base).join(&resolved));
            for (name, bytes) in artifacts {
                let file = folder.join(name);
                let written = async {
                    tokio::fs::create_dir_all(&folder).await?;
                    tokio::fs::write(&file, bytes).await
                };
                written.await.map_err(|error| failed(format!("cannot write {name}: {error}")))?;
            }
        }
        Ok(())
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

/// How each step ended, for reports and for whoever shows the inquiry.
pub fn outcomes(inquiry: &Inquiry) -> Vec<StepOutcome> {
    let steps = inquiry.plan.steps.iter().enumerate();
    steps
        .map(|(position, step)| {
            let state = inquiry.steps.get(&position);
            let record = state.and_then(|state| state.record.as_ref());
            let (outcome, message, readings) = match record.map(|record| &record.result) {
                None => ("not run", None, 0),
                Some(StepResult::Inline(observation)) => ("completed", None, observation.len()),
                Some(StepResult::Blob { readings, .. }) => ("completed", None, *readings),
                Some(StepResult::Failed(failure)) => (failure.name(), Some(failure.to_string()), 0),
                Some(StepResult::Skipped { reason }) => ("skipped", Some(reason.clone()), 0),
            };
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
