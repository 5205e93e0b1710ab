//! What a finding is drawn from: the readings of the steps that count, of as many rounds as the inquiry keeps.

use std::collections::BTreeMap;

use inquisitor_findings::StepFailure;
use inquisitor_findings::finding::Finding;
use inquisitor_findings::reading::Observed;
use inquisitor_manifest::plan::{Action, Plan, PlannedStep};

use crate::Engine;
use crate::error::EngineError;
use crate::journal::{Inquiry, StepRecord, StepResult};

/// Readings of all rounds that are kept and weighed. Past it the oldest rounds are left out, save the last one of each step.
/// An inquiry that runs once keeps all that its steps brought.
pub(crate) const MAX_KEPT_READINGS: usize = 1_000_000;

/// The outcome of one round of a step that counts.
pub(crate) struct Round {
    position: usize,
    number: u32,
    /// The readings, or why there are none.
    outcome: Result<Observed, String>,
}

/// Rounds that are kept, each step's oldest first.
pub(crate) struct History {
    /// The rounds of `observed`, one for each.
    rounds: Vec<(usize, u32)>,
    /// What they brought; a list of its own, because the finding is drawn from it as it is.
    observed: Vec<Observed>,
    failed: Vec<(usize, u32, String)>,
    /// Rounds of each step that are kept.
    kept: BTreeMap<usize, usize>,
    /// Rounds that are kept of a step at most.
    depth: usize,
    readings: usize,
}

impl History {
    pub(crate) fn new(plan: &Plan) -> Self {
        let depth = usize::try_from(plan.execution.history).unwrap_or(usize::MAX).max(1);
        Self {
            rounds: Vec::new(),
            observed: Vec::new(),
            failed: Vec::new(),
            kept: BTreeMap::new(),
            depth,
            readings: 0,
        }
    }

    pub(crate) fn push(&mut self, round: Round) {
        let Round { position, number, outcome } = round;
        match outcome {
            Ok(observed) => {
                self.readings += observed.observation.len();
                self.rounds.push((position, number));
                self.observed.push(observed);
            }
            Err(message) => self.failed.push((position, number, message)),
        }
        let kept = self.kept.entry(position).or_default();
        if *kept < self.depth {
            *kept += 1;
        } else {
            self.forget_first(position);
        }
        while self.readings > MAX_KEPT_READINGS && self.forget_oldest() {}
    }

    /// Forget the oldest round of a step.
    fn forget_first(&mut self, position: usize) {
        let observed = self.rounds.iter().position(|(step, _)| *step == position);
        let failed = self.failed.iter().position(|(step, ..)| *step == position);
        match (observed, failed) {
            (Some(index), Some(failed)) if self.failed[failed].1 < self.rounds[index].1 => {
                self.failed.remove(failed);
            }
            (Some(index), _) => self.forget(index),
            (None, Some(failed)) => {
                self.failed.remove(failed);
            }
            (None, None) => {}
        }
    }

    /// Forget the oldest round that is not the last of its step; false where there is none.
    fn forget_oldest(&mut self) -> bool {
        let last: BTreeMap<usize, u32> = self.rounds.iter().copied().collect();
        let oldest = (0..self.rounds.len())
            .filter(|index| {
                let (position, number) = self.rounds[*index];
                last.get(&position) != Some(&number)
            })
            .min_by_key(|index| self.observed[*index].time);
        let Some(index) = oldest else { return false };
        if let Some(kept) = self.kept.get_mut(&self.rounds[index].0) {
            *kept -= 1;
        }
        self.forget(index);
        true
    }

    fn forget(&mut self, index: usize) {
        self.rounds.remove(index);
        self.readings -= self.observed.remove(index).observation.len();
    }

    /// What was observed.
    pub(crate) fn observed(&self) -> &[Observed] {
        &self.observed
    }

    /// The finding. Takes seconds for a million readings: no work for an async thread.
    pub(crate) fn conclude(&self, plan: &Plan) -> Finding {
        inquisitor_findings::conclude(plan, &self.observed, &self.failures(plan))
    }

    /// One failure for each step of which rounds failed; where it has more than one round, it says how many did.
    fn failures(&self, plan: &Plan) -> Vec<StepFailure> {
        let mut by_step: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for (position, _, message) in &self.failed {
            by_step.entry(*position).or_default().push(message);
        }
        let failure = |(position, messages): (usize, Vec<&str>)| {
            let step = plan.steps.get(position)?;
            let last = *messages.last()?;
            let well = self.rounds.iter().filter(|(step, _)| *step == position).count();
            let message = match (messages.len(), well) {
                (1, 0) => last.to_owned(),
                (failed, well) => {
                    format!(
                        "{failed} of {} rounds brought no readings; of the last of them: {last}",
                        failed + well
                    )
                }
            };
            let instrument = step.action.instrument()?.to_owned();
            Some(StepFailure { instrument, step: step.name.clone(), message })
        };
        by_step.into_iter().filter_map(failure).collect()
    }
}

/// Whether the readings of a step enter the finding.
pub(crate) fn counts(step: &PlannedStep) -> bool {
    matches!(step.action, Action::Observe { counts: true, .. })
}

impl Engine {
    /// The history of an inquiry as the journal has it.
    pub(crate) async fn history(&self, inquiry: &Inquiry) -> Result<History, EngineError> {
        let mut history = History::new(&inquiry.plan);
        for (position, step) in inquiry.plan.steps.iter().enumerate().filter(|(_, step)| counts(step)) {
            let Some(state) = inquiry.steps.get(&position) else { continue };
            let earlier = state.history.iter().map(|(number, record)| (*number, record));
            let last = state.record.iter().map(|record| (state.round, record));
            for (number, record) in earlier.chain(last) {
                history.push(self.round(position, step, number, record).await?);
            }
        }
        Ok(history)
    }

    /// What a record adds to the history.
    pub(crate) async fn round(
        &self,
        position: usize,
        step: &PlannedStep,
        number: u32,
        record: &StepRecord,
    ) -> Result<Round, EngineError> {
        let outcome = match &record.result {
            StepResult::Failed(failure) => Err(failure.to_string()),
            StepResult::Skipped { reason } => Err(format!("skipped: {reason}")),
            StepResult::Inline(observation) => Ok(observation.clone()),
            StepResult::Blob { digest, .. } => {
                let bytes = self.journal.blob(digest).await?;
                Ok(serde_json::from_slice(&bytes).map_err(|error| EngineError::Corrupt {
                    digest: digest.clone(),
                    step: step.name.clone(),
                    message: error.to_string(),
                })?)
            }
        };
        let outcome = outcome.map(|observation| Observed {
            instrument: step.action.instrument().unwrap_or_default().to_owned(),
            step: step.name.clone(),
            time: record.started,
            observation,
        });
        Ok(Round { position, number, outcome })
    }
}

#[cfg(test)]
mod tests {
    use inquisitor_findings::reading::{Observation, Series};

    use super::*;

    fn history(depth: usize) -> History {
        History {
            rounds: Vec::new(),
            observed: Vec::new(),
            failed: Vec::new(),
            kept: BTreeMap::new(),
            depth,
            readings: 0,
        }
    }

    fn round(position: usize, number: u32, time: i64, readings: usize) -> Round {
        let series = Series {
            quantity: "t".into(),
            unit: "K".into(),
            times: Vec::new(),
            values: vec![0.0; readings],
            uncertainties: Vec::new(),
            confidence: 1.0,
            attributes: BTreeMap::new(),
        };
        let observation = Observation { readings: Vec::new(), series: vec![series] };
        let observed = Observed { instrument: "i".into(), step: "s".into(), time, observation };
        Round { position, number, outcome: Ok(observed) }
    }

    fn failed(position: usize, number: u32) -> Round {
        Round { position, number, outcome: Err("gone".into()) }
    }

    #[test]
    fn each_step_keeps_its_last_rounds_failed_ones_included() {
        let mut history = history(3);
        history.push(round(7, 0, 0, 1));
        for number in 0..5 {
            history.push(if number == 3 { failed(0, 3) } else { round(0, number, i64::from(number), 2) });
        }
        assert_eq!(history.rounds, [(7, 0), (0, 2), (0, 4)]);
        assert_eq!(history.failed, [(0, 3, "gone".to_owned())]);
        assert_eq!((history.readings, history.observed.len()), (5, 3));
    }

    #[test]
    fn past_the_bound_the_oldest_rounds_of_all_steps_go_first_and_the_last_of_each_stays() {
        let mut history = history(100);
        let half = MAX_KEPT_READINGS / 2;
        history.push(round(0, 0, 10, half));
        history.push(round(1, 0, 5, 1));
        history.push(round(1, 1, 20, half - 1));
        assert_eq!(history.readings, MAX_KEPT_READINGS);
        history.push(round(1, 2, 30, 1));
        assert_eq!(history.rounds, [(0, 0), (1, 1), (1, 2)], "round 0 of the second step is the oldest");
        history.push(round(1, 3, 40, MAX_KEPT_READINGS));
        assert_eq!(history.rounds, [(0, 0), (1, 3)]);
    }
}
