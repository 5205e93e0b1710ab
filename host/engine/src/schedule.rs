//! The order of steps: which are ready, how many run, what happens when one fails.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use inquisitor_manifest::plan::{Action, PlannedStep};

use crate::drive::{Run, Stop};
use crate::error::EngineError;
use crate::history::{History, Round};
use crate::journal::{Inquiry, StepRecord, StepResult};
use crate::step::{Ran, Turn};

/// How the last round of a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// It has readings, or had nothing to read.
    Well,
    /// It failed or was skipped.
    Badly,
}

impl Done {
    fn of(result: &StepResult) -> Self {
        match result {
            StepResult::Inline(_) | StepResult::Blob { .. } => Self::Well,
            StepResult::Failed(_) | StepResult::Skipped { .. } => Self::Badly,
        }
    }
}

/// Where every step stands: what the journal has, kept up to date while the inquiry is driven.
pub(crate) struct Standing {
    pub(crate) done: BTreeMap<usize, Done>,
    states: LastStates,
    turns: BTreeMap<usize, Turn>,
    /// What the interim findings of a continuous inquiry are drawn from. None while one is being drawn.
    pub(crate) history: Option<History>,
    /// Rounds that were recorded meanwhile.
    pub(crate) pending: Vec<Round>,
}

impl Standing {
    pub(crate) fn new(inquiry: &Inquiry, history: Option<History>) -> Self {
        let mut standing = Self {
            done: BTreeMap::new(),
            states: LastStates::new(inquiry),
            turns: BTreeMap::new(),
            history,
            pending: Vec::new(),
        };
        for (position, state) in &inquiry.steps {
            // A round that was leased and not recorded is taken up again while its time lasts.
            let last = match &state.record {
                Some(_) => state.round,
                None => state.round.saturating_sub(1),
            };
            let turn = Turn {
                round: last,
                attempts: state.token.attempt,
                leased: (state.round, u32::try_from(state.earlier.len()).unwrap_or(u32::MAX)),
                ended: state.record.as_ref().map_or(0, |record| record.ended),
            };
            standing.turns.insert(*position, turn);
            let result = state.record.as_ref().or_else(|| state.history.last().map(|(_, record)| record));
            match result {
                Some(record) => standing.done.insert(*position, Done::of(&record.result)),
                // It has been observed before, or it would have no later round.
                None if state.round > 0 => standing.done.insert(*position, Done::Well),
                None => None,
            };
        }
        standing
    }

    /// The step's last round and how many attempts were made.
    pub(crate) fn turn(&self, position: usize) -> Turn {
        self.turns.get(&position).copied().unwrap_or_default()
    }

    /// The state that the step's instrument kept last, as a blob.
    pub(crate) fn state(&self, step: &PlannedStep) -> Option<String> {
        self.states.of(step)
    }

    /// Take note of a round that has ended.
    pub(crate) fn note(&mut self, step: &PlannedStep, ran: &mut Ran) {
        let done = Done::of(&ran.record.result);
        if done == Done::Well {
            self.states.note(step, &ran.record);
        }
        self.done.insert(ran.position, done);
        let turn =
            Turn { round: ran.round, attempts: ran.attempt, leased: (ran.round, 0), ended: ran.record.ended };
        self.turns.insert(ran.position, turn);
        self.pending.extend(ran.kept.take());
        if let Some(history) = &mut self.history {
            self.pending.drain(..).for_each(|round| history.push(round));
        }
    }

    /// The first step that this one needs and that has no result.
    pub(crate) fn missing_need(&self, step: &PlannedStep) -> Option<usize> {
        step.needs.iter().copied().find(|needed| self.done.get(needed) == Some(&Done::Badly))
    }
}

/// Why a step is skipped that needs one without a result.
pub(crate) fn skip_reason(steps: &[PlannedStep], missing: usize) -> String {
    format!("it depends on `{}`, which has no result", steps[missing].name)
}

impl Run<'_> {
    /// Run the first round of the steps that are `wanted` and not done, in the plan's order. The others are as if they were
    /// not there. `Some` says that the inquiry goes no further.
    pub(crate) async fn schedule(
        &self,
        standing: &mut Standing,
        wanted: impl Fn(&PlannedStep) -> bool,
    ) -> Result<Option<Stop>, EngineError> {
        let steps = &self.inquiry.plan.steps;
        let mut board =
            Board::new(steps, |position, step| wanted(step) && !standing.done.contains_key(&position));
        let mut running = FuturesUnordered::new();
        let mut stopped = None;
        loop {
            while stopped.is_none()
                && running.len() < self.workers()
                && let Some(position) = board.take_ready()
            {
                let step = &steps[position];
                let turn = standing.turn(position);
                if let Some(missing) = standing.missing_need(step) {
                    let mut ran = self.skip(position, 0, turn, skip_reason(steps, missing)).await?;
                    standing.note(step, &mut ran);
                    board.finish(position);
                } else {
                    running.push(self.step(position, 0, turn, standing.state(step), None));
                }
            }
            let finished = tokio::select! {
                biased;
                stop = self.signals.stopped(), if stopped.is_none() => match stop {
                    // What runs is finished; nothing else is started.
                    Stop::HandedBack => {
                        stopped = Some(Stop::HandedBack);
                        continue;
                    }
                    stop => return Ok(Some(stop)),
                },
                finished = running.next() => finished,
            };
            let Some(finished) = finished else { return Ok(stopped) };
            let Some(mut ran) = finished? else { continue };
            let step = &steps[ran.position];
            standing.note(step, &mut ran);
            board.finish(ran.position);
            if let Some(broken) = broken(step, &ran.record) {
                return Ok(Some(broken));
            }
        }
    }
}

/// The end of the inquiry, where this record of a step brings it.
pub(crate) fn broken(step: &PlannedStep, record: &StepRecord) -> Option<Stop> {
    match &record.result {
        StepResult::Failed(failure) if step.break_on_failure => {
            Some(Stop::Broken { step: step.name.clone(), message: failure.to_string() })
        }
        _ => None,
    }
}

/// Which steps are ready, which wait for what.
struct Board {
    /// For each step that waits: how many of its predecessors are not done.
    waiting: BTreeMap<usize, usize>,
    /// For each step: those that come after it.
    followers: Vec<Vec<usize>>,
    ready: BTreeSet<usize>,
}

impl Board {
    /// A board of the steps that are to run; the others hold nothing back.
    fn new(steps: &[PlannedStep], runs: impl Fn(usize, &PlannedStep) -> bool) -> Self {
        let runs: Vec<bool> = steps.iter().enumerate().map(|(position, step)| runs(position, step)).collect();
        let mut board = Self {
            waiting: BTreeMap::new(),
            followers: vec![Vec::new(); steps.len()],
            ready: BTreeSet::new(),
        };
        for (position, step) in steps.iter().enumerate().filter(|(position, _)| runs[*position]) {
            let open: Vec<usize> = step.after.iter().copied().filter(|before| runs[*before]).collect();
            if open.is_empty() {
                board.ready.insert(position);
            } else {
                board.waiting.insert(position, open.len());
                for before in open {
                    board.followers[before].push(position);
                }
            }
        }
        board
    }

    /// The first step of the plan that is ready.
    fn take_ready(&mut self) -> Option<usize> {
        self.ready.pop_first()
    }

    fn finish(&mut self, position: usize) {
        for follower in std::mem::take(&mut self.followers[position]) {
            if let Some(open) = self.waiting.get_mut(&follower) {
                *open -= 1;
                if *open == 0 {
                    self.waiting.remove(&follower);
                    self.ready.insert(follower);
                }
            }
        }
    }
}

/// The state that each instrument kept last, as blob digests.
struct LastStates(BTreeMap<String, String>);

impl LastStates {
    fn new(inquiry: &Inquiry) -> Self {
        let mut states = Self(BTreeMap::new());
        let mut records: Vec<(&PlannedStep, &StepRecord)> = inquiry
            .steps
            .iter()
            .filter_map(|(position, state)| {
                let step = inquiry.plan.steps.get(*position)?;
                let earlier = state.history.iter().map(|(_, record)| record);
                Some(earlier.chain(&state.record).map(move |record| (step, record)))
            })
            .flatten()
            .collect();
        records.sort_by_key(|(_, record)| record.ended);
        for (step, record) in records {
            states.note(step, record);
        }
        states
    }

    fn note(&mut self, step: &PlannedStep, record: &StepRecord) {
        // A self-test leaves no trace in what is measured.
        if let (Action::Observe { instrument, .. }, Some(state)) = (&step.action, &record.state) {
            self.0.insert(instrument.clone(), state.clone());
        }
    }

    fn of(&self, step: &PlannedStep) -> Option<String> {
        self.0.get(step.action.instrument()?).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, after: &[usize], needs: &[usize]) -> PlannedStep {
        PlannedStep {
            name: name.into(),
            phase: "execution".into(),
            action: Action::Close,
            after: after.to_vec(),
            needs: needs.to_vec(),
            break_on_failure: false,
        }
    }

    #[test]
    fn a_step_becomes_ready_when_all_before_it_are_done() {
        let steps = [step("a", &[], &[]), step("b", &[], &[]), step("c", &[0, 1], &[])];
        let mut board = Board::new(&steps, |_, _| true);
        assert_eq!((board.take_ready(), board.take_ready(), board.take_ready()), (Some(0), Some(1), None));
        board.finish(1);
        assert_eq!(board.take_ready(), None);
        board.finish(0);
        assert_eq!(board.take_ready(), Some(2));
    }

    #[test]
    fn steps_that_do_not_run_hold_nothing_back() {
        let steps = [step("a", &[], &[]), step("b", &[0], &[]), step("c", &[0, 1], &[])];
        let mut board = Board::new(&steps, |position, _| position != 0);
        assert_eq!(board.take_ready(), Some(1));
        board.finish(1);
        assert_eq!(board.take_ready(), Some(2));
    }
}
