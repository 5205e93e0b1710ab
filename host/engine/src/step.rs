//! One round of one step: lease, attempt, record, until it has its final record.

use std::sync::Arc;
use std::time::Duration;

use inquisitor_manifest::plan::PlannedStep;
use inquisitor_runtime::outcome::Failure;

use crate::attempt::Attempt;
use crate::drive::Run;
use crate::error::EngineError;
use crate::events::Event;
use crate::history::{Round, counts};
use crate::journal::{Applied, Command, JournalError, StepRecord, StepResult, Token};
use crate::now;
use crate::placement::{Assignment, Ear, Lost, Own, Place};
use crate::text::bounded;

/// The longest wait between two attempts, whatever the backoff or the instrument asks for.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// Attempts in a row that may be lost with their executors; the next one runs here.
const MAX_LOST: u32 = 3;

/// How far a step is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Turn {
    /// Its last recorded round; 0 also before the first.
    pub(crate) round: u32,
    /// Attempts made, over all rounds.
    pub(crate) attempts: u32,
    /// The round that was leased last, and how many of its attempts failed without a final record.
    pub(crate) leased: (u32, u32),
    /// When its last record ended, in nanoseconds since the Unix epoch.
    pub(crate) ended: i64,
}

/// What became of an attempt.
struct Attempted {
    token: Token,
    executor: String,
    outcome: Result<StepRecord, Lost>,
}

/// A round of a step that has its final record.
pub(crate) struct Ran {
    pub(crate) position: usize,
    pub(crate) round: u32,
    /// The attempt that was recorded last.
    pub(crate) attempt: u32,
    pub(crate) record: StepRecord,
    /// What it adds to the history of a continuous inquiry.
    pub(crate) kept: Option<Round>,
}

impl Run<'_> {
    /// Attempts at one round of a step until it has its final record; no attempt begins at or after `until`, in nanoseconds
    /// since the Unix epoch. None if the inquiry was handed back before another attempt.
    pub(crate) async fn step(
        &self,
        position: usize,
        round: u32,
        turn: Turn,
        state: Option<String>,
        until: Option<i64>,
    ) -> Result<Option<Ran>, EngineError> {
        let execution = &self.inquiry.plan.execution;
        let step = &self.inquiry.plan.steps[position];
        let mut number = turn.attempts;
        let (leased, failed_before) = turn.leased;
        let mut failed = if leased == round { failed_before } else { 0 };
        let mut lost = 0;
        loop {
            let place = tokio::select! {
                biased;
                place = self.place(step, lost) => place,
                () = self.signals.handed_back() => return Ok(None),
            };
            number += 1;
            let span = self.span(step, round, number, self.executor(&place));
            let attempt = self.attempt(position, round, number, state.clone(), place);
            let Attempted { token, executor, outcome } =
                tracing::Instrument::instrument(attempt, span).await?;
            let record = match outcome {
                Ok(record) => record,
                Err(Lost { reason }) => {
                    lost += 1;
                    tracing::warn!(
                        step = step.name,
                        executor,
                        reason,
                        "an attempt was lost with its executor"
                    );
                    let reason = bounded(reason);
                    self.say(Event::StepLost {
                        step: step.name.clone(),
                        executor: executor.clone(),
                        round,
                        attempt: number,
                        reason: reason.clone(),
                    });
                    if until.is_none_or(|until| self.begins_before(Duration::ZERO, until)) {
                        continue;
                    }
                    // The lease is this driver's still, and the round has to have a record.
                    let message =
                        format!("the executor `{executor}` was lost, and the round's time is over: {reason}");
                    let at = now();
                    StepRecord::without_call(StepResult::Failed(Failure::Host { message }), at, at)
                }
            };
            lost = 0;
            let wait = match &record.result {
                StepResult::Failed(failure) if failed + 1 < execution.max_attempts => {
                    wait_before_retry(failure, failed, execution.backoff_factor)
                }
                _ => None,
            };
            let wait = wait.filter(|wait| until.is_none_or(|until| self.begins_before(*wait, until)));
            self.record(position, round, token, record.clone(), wait.is_none()).await?;
            let (Some(wait), StepResult::Failed(failure)) = (wait, &record.result) else {
                return self.ran(position, round, number, record).await.map(Some);
            };
            failed += 1;
            self.say(Event::StepRetried {
                step: step.name.clone(),
                attempt: number,
                failure: bounded(failure.to_string()),
                wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            });
            tokio::select! {
                () = self.signals.handed_back() => return Ok(None),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Where the next attempt runs. What calls no instrument needs no place, and what was lost too often is better off where
    /// nothing can come between.
    async fn place(&self, step: &PlannedStep, lost: u32) -> Place {
        let engine = self.engine;
        if step.action.instrument().is_none() || lost >= MAX_LOST {
            return engine.pool.here();
        }
        let own = || Own { places: engine.max_calls(), in_flight: engine.calls_in_flight() };
        engine.pool.place(own).await
    }

    fn executor<'p>(&'p self, place: &'p Place) -> &'p str {
        place.elsewhere.as_ref().map_or(&self.engine.config.executor, |(name, _)| name)
    }

    async fn attempt(
        &self,
        position: usize,
        round: u32,
        number: u32,
        state: Option<String>,
        place: Place,
    ) -> Result<Attempted, EngineError> {
        let step = &self.inquiry.plan.steps[position];
        let executor = self.executor(&place).to_owned();
        let token = self.lease(position, round, number, executor.clone()).await?;
        self.say(Event::StepStarted {
            step: step.name.clone(),
            instrument: step.action.instrument().map(str::to_owned),
            executor: executor.clone(),
            round,
            attempt: number,
        });
        let outcome = match &place.elsewhere {
            None => Ok(self.attempt_here(step, round, number, state).await?),
            Some((_, executor)) => {
                let assignment = Assignment {
                    inquiry: self.inquiry.id.clone(),
                    step: position,
                    round,
                    token,
                    state,
                    trace: self.engine.config.traces.current(),
                };
                executor.run(&assignment, self.ear(step)).await
            }
        };
        if outcome.is_err() {
            // It may have been the executor's fault, so it gets nothing more before it says anew that it takes something.
            self.engine.pool.withdraw(&executor);
        }
        Ok(Attempted { token, executor, outcome })
    }

    /// Tells the observer what the instrument of a step says elsewhere.
    fn ear(&self, step: &PlannedStep) -> Ear {
        let (observer, inquiry, name) = (self.observer.clone(), self.inquiry.id.clone(), step.name.clone());
        Arc::new(move |said| observer.event(&inquiry, said.into_event(name.clone())))
    }

    async fn attempt_here(
        &self,
        step: &PlannedStep,
        round: u32,
        number: u32,
        state: Option<String>,
    ) -> Result<StepRecord, EngineError> {
        let state = match state {
            None => None,
            Some(digest) => Some(self.engine.journal.blob(&digest).await?),
        };
        let attempt = Attempt {
            inquiry: self.inquiry,
            step,
            number,
            round,
            state,
            cancel: self.calls.clone(),
            observer: self.observer.clone(),
        };
        self.engine.attempt(attempt).await
    }

    fn span(&self, step: &PlannedStep, round: u32, attempt: u32, executor: &str) -> tracing::Span {
        let instrument = step.action.instrument();
        let plugin = instrument
            .and_then(|id| self.inquiry.plan.instruments.get(id))
            .map(|instrument| format!("{}@{}", instrument.plugin, instrument.version));
        tracing::info_span!("step", step = step.name, instrument, plugin, attempt, round, executor)
    }

    fn begins_before(&self, wait: Duration, until: i64) -> bool {
        let wait = i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX);
        self.engine.clock.now().saturating_add(wait) < until
    }

    /// A skipped round is leased and recorded like any other, so that its one record says why it never ran.
    pub(crate) async fn skip(
        &self,
        position: usize,
        round: u32,
        turn: Turn,
        reason: String,
    ) -> Result<Ran, EngineError> {
        let number = turn.attempts + 1;
        let executor = self.engine.config.executor.clone();
        let token = self.lease(position, round, number, executor).await?;
        let at = now();
        let record = StepRecord::without_call(StepResult::Skipped { reason }, at, at);
        self.record(position, round, token, record.clone(), true).await?;
        self.ran(position, round, number, record).await
    }

    /// Say that a round has its record, and make of it what the driver needs.
    async fn ran(
        &self,
        position: usize,
        round: u32,
        attempt: u32,
        record: StepRecord,
    ) -> Result<Ran, EngineError> {
        let step = &self.inquiry.plan.steps[position];
        self.say(recorded(step, round, &record));
        let kept = if self.continuous && counts(step) {
            Some(self.engine.round(position, step, round, &record).await?)
        } else {
            None
        };
        Ok(Ran { position, round, attempt, record, kept })
    }

    async fn lease(
        &self,
        step: usize,
        round: u32,
        attempt: u32,
        executor: String,
    ) -> Result<Token, EngineError> {
        let command =
            Command::Lease { inquiry: self.inquiry.id.clone(), step, round, attempt, executor, at: now() };
        match self.engine.accept("leasing a step", command).await? {
            Applied::Leased(token) => Ok(token),
            other => Err(JournalError::Storage(format!("a lease was answered by {other:?}")).into()),
        }
    }

    async fn record(
        &self,
        step: usize,
        round: u32,
        token: Token,
        record: StepRecord,
        is_final: bool,
    ) -> Result<(), EngineError> {
        let inquiry = self.inquiry.id.clone();
        let command = Command::Record { inquiry, step, round, token, record: Box::new(record), is_final };
        self.engine.accept("recording a step", command).await.map(|_| ())
    }
}

fn recorded(step: &PlannedStep, round: u32, record: &StepRecord) -> Event {
    let (readings, failure) = match &record.result {
        StepResult::Inline(observation) => (Some(observation.len()), None),
        StepResult::Blob { readings, .. } => (Some(*readings), None),
        StepResult::Failed(failure) => (None, Some(failure.to_string())),
        StepResult::Skipped { reason } => (None, Some(format!("skipped: {reason}"))),
    };
    let took_ms = u64::try_from((record.ended - record.started) / 1_000_000).unwrap_or(0);
    Event::StepRecorded { step: step.name.clone(), round, readings, failure: failure.map(bounded), took_ms }
}

/// How long to wait before another attempt; none where another attempt is pointless.
fn wait_before_retry(failure: &Failure, failed_before: u32, backoff_factor: f64) -> Option<Duration> {
    if !failure.is_transient() {
        return None;
    }
    let backoff = backoff_factor * f64::from(2_u32.saturating_pow(failed_before));
    let asked = match failure {
        Failure::Unavailable { retry_after: Some(nanoseconds), .. } => Duration::from_nanos(*nanoseconds),
        _ => Duration::ZERO,
    };
    let backoff = Duration::try_from_secs_f64(backoff).unwrap_or(MAX_WAIT);
    Some(backoff.max(asked).min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_honour_what_the_instrument_asks() {
        let gone = Failure::Unavailable { message: String::new(), retry_after: None };
        assert_eq!(wait_before_retry(&gone, 0, 1.0), Some(Duration::from_secs(1)));
        assert_eq!(wait_before_retry(&gone, 2, 0.5), Some(Duration::from_secs(2)));
        let later = Failure::Unavailable { message: String::new(), retry_after: Some(7_000_000_000) };
        assert_eq!(wait_before_retry(&later, 0, 1.0), Some(Duration::from_secs(7)));
        assert_eq!(wait_before_retry(&gone, 31, 10.0), Some(MAX_WAIT));
        assert_eq!(wait_before_retry(&gone, 200, 10.0), Some(MAX_WAIT));
    }

    #[test]
    fn what_will_fail_again_is_not_tried_again() {
        assert_eq!(wait_before_retry(&Failure::Failed { message: String::new() }, 0, 1.0), None);
        assert_eq!(wait_before_retry(&Failure::Trap { message: String::new() }, 0, 1.0), None);
    }
}
