//! The life of one inquiry: which steps are ready, how many run, what happens when one fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use inquisitor_manifest::plan::{Action, Plan, PlannedStep};
use inquisitor_runtime::outcome::Failure;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::attempt::Attempt;
use crate::error::EngineError;
use crate::events::{Event, Observer};
use crate::journal::{Abort, Applied, Command, Inquiry, Status, StepRecord, StepResult};
use crate::now;

/// How an inquiry is driven, and how whoever drives it may stop that.
#[derive(Debug, Clone, Default)]
pub struct Drive {
    /// Whether instruments with a probe interval are observed again and again, until the inquiry is stopped. Otherwise every
    /// step runs once.
    pub continuous: bool,
    /// Cancelled when the inquiry is to end: one that runs once is aborted as cancelled, a continuous one concludes with
    /// what it has.
    pub end: CancellationToken,
    /// Cancelled when this host is to let go of the inquiry: steps that run are finished and recorded, no other is started,
    /// and the inquiry goes on when it is driven again.
    pub hand_back: CancellationToken,
}

impl Drive {
    /// Every step once.
    pub fn once() -> Self {
        Self::default()
    }

    /// As the manifest says: continuous where an instrument has a probe interval.
    pub fn continuous() -> Self {
        Self { continuous: true, ..Self::default() }
    }
}

/// Whether the plan wants an instrument observed again and again.
pub fn is_continuous(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| probe_interval(plan, step).is_some())
}

/// The interval in nanoseconds at which a step is observed again, where it is.
pub(crate) fn probe_interval(plan: &Plan, step: &PlannedStep) -> Option<u64> {
    let Action::Observe { instrument, .. } = &step.action else { return None };
    plan.instruments.get(instrument)?.probe_interval.filter(|interval| *interval > 0)
}

/// The longest wait between two attempts, whatever the backoff or the instrument asks for.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// How a step stands to the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    /// It has readings, or had nothing to read.
    Well,
    /// It failed or was skipped.
    Badly,
}

/// Why no further step is started.
enum Stop {
    Cancelled,
    Broken { step: String, message: String },
}

impl Engine {
    /// Run an inquiry from wherever it stands to its end, and return it as it ended. An inquiry that has ended before is
    /// returned as it is. Cancelling ends it as cancelled; dropping this future leaves it to be driven again.
    ///
    /// # Errors
    /// When the journal cannot be reached or refuses; the inquiry can be driven again.
    pub async fn drive(
        &self,
        id: &str,
        observer: Arc<dyn Observer>,
        drive: Drive,
    ) -> Result<Inquiry, EngineError> {
        let cancel = drive.end;
        let inquiry = self.load(id).await?;
        if !matches!(inquiry.status, Status::Running) {
            return Ok(inquiry);
        }
        let recorded = inquiry.steps.values().filter(|step| step.record.is_some()).count();
        observer.event(id, Event::Started { steps: inquiry.plan.steps.len(), recorded });

        let limit = inquiry.plan.execution.timeout.map(|seconds| {
            let elapsed = Duration::from_nanos(u64::try_from(now() - inquiry.submitted).unwrap_or(0));
            Duration::from_secs(seconds).saturating_sub(elapsed)
        });
        // The steps' own token: ending the inquiry for any reason ends the calls that are under way.
        let calls = cancel.child_token();
        let work = self.work(&inquiry, &observer, &calls);
        let stopped = match limit {
            None => work.await?,
            Some(limit) => match tokio::time::timeout(limit, work).await {
                Ok(stopped) => stopped?,
                Err(_) => Some(Abort::TimedOut),
            },
        };
        calls.cancel();
        match stopped {
            Some(reason) => self.abort(id, reason).await?,
            None => self.conclude(id).await?,
        }
        self.load(id).await
    }

    async fn load(&self, id: &str) -> Result<Inquiry, EngineError> {
        self.journal.inquiry(id).await?.ok_or_else(|| EngineError::NoSuchInquiry(id.to_owned()))
    }

    async fn abort(&self, id: &str, reason: Abort) -> Result<(), EngineError> {
        let command = Command::Abort { inquiry: id.to_owned(), reason, at: now() };
        self.accept("ending the inquiry", command).await.map(|_| ())
    }

    /// Propose a command that must be possible.
    pub(crate) async fn accept(&self, doing: &'static str, command: Command) -> Result<Applied, EngineError> {
        match self.journal.propose(command).await? {
            Applied::Refused(refusal) => Err(EngineError::Refused { doing, refusal }),
            applied => Ok(applied),
        }
    }

    /// Preflight, then every step in the plan's order. `Some` says that the inquiry ends here without a finding.
    async fn work(
        &self,
        inquiry: &Inquiry,
        observer: &Arc<dyn Observer>,
        cancel: &CancellationToken,
    ) -> Result<Option<Abort>, EngineError> {
        // An inquiry that has begun passed its checks; after an interruption they would only repeat.
        if inquiry.steps.is_empty()
            && let Err(message) = self.preflight(inquiry, cancel).await
        {
            return Ok(Some(Abort::Preflight { message }));
        }
        let stopped = self.schedule(inquiry, observer, cancel).await?;
        Ok(stopped.map(|stop| match stop {
            Stop::Cancelled => Abort::Cancelled,
            Stop::Broken { step, message } => Abort::Broken { step, message },
        }))
    }

    async fn schedule(
        &self,
        inquiry: &Inquiry,
        observer: &Arc<dyn Observer>,
        cancel: &CancellationToken,
    ) -> Result<Option<Stop>, EngineError> {
        let steps = &inquiry.plan.steps;
        let workers = usize::try_from(inquiry.plan.execution.max_workers).unwrap_or(1).max(1);
        let mut board = Board::new(steps, inquiry);
        let mut states = LastStates::new(inquiry);
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < workers
                && let Some(position) = board.take_ready()
            {
                let step = &steps[position];
                if let Some(reason) = board.skip_reason(step, steps) {
                    self.record_skip(inquiry, position, reason, observer).await?;
                    board.finish(position, Done::Badly);
                    continue;
                }
                let state = states.of(step);
                running.push(self.run_step(inquiry, position, state, observer.clone(), cancel.clone()));
            }
            let finished = tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(Some(Stop::Cancelled)),
                finished = running.next() => finished,
            };
            let Some(finished) = finished else { return Ok(None) };
            let (position, record) = finished?;
            let step = &steps[position];
            if let StepResult::Failed(failure) = &record.result {
                board.finish(position, Done::Badly);
                if step.break_on_failure {
                    return Ok(Some(Stop::Broken { step: step.name.clone(), message: failure.to_string() }));
                }
            } else {
                states.note(step, &record);
                board.finish(position, Done::Well);
            }
        }
    }

    /// Attempts at one step until it has its final record.
    async fn run_step(
        &self,
        inquiry: &Inquiry,
        position: usize,
        state: Option<String>,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> Result<(usize, StepRecord), EngineError> {
        let step = &inquiry.plan.steps[position];
        let before = inquiry.steps.get(&position);
        let mut number = before.map_or(0, |step| step.token.attempt);
        let mut failed = before.map_or(0, |step| u32::try_from(step.earlier.len()).unwrap_or(u32::MAX));
        let state = match state {
            None => None,
            Some(digest) => Some(self.journal.blob(&digest).await?),
        };
        loop {
            number += 1;
            observer.event(
                &inquiry.id,
                Event::StepStarted {
                    step: step.name.clone(),
                    instrument: step.action.instrument().map(str::to_owned),
                    round: 0,
                    attempt: number,
                },
            );
            let token = self.lease(inquiry, position, number).await?;
            let attempt = Attempt {
                inquiry,
                step,
                number,
                state: state.clone(),
                cancel: cancel.clone(),
                observer: observer.clone(),
            };
            let record = self.attempt(attempt).await?;
            let retry = match &record.result {
                StepResult::Failed(failure) if failed + 1 < inquiry.plan.execution.max_attempts => {
                    wait_before_retry(failure, failed, inquiry.plan.execution.backoff_factor)
                }
                _ => None,
            };
            let command = Command::Record {
                inquiry: inquiry.id.clone(),
                step: position,
                round: 0,
                token,
                record: Box::new(record.clone()),
                is_final: retry.is_none(),
            };
            self.accept("recording a step", command).await?;
            match (retry, &record.result) {
                (Some(wait), StepResult::Failed(failure)) => {
                    failed += 1;
                    let event = Event::StepRetried {
                        step: step.name.clone(),
                        attempt: number,
                        failure: failure.to_string(),
                        wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                    };
                    observer.event(&inquiry.id, event);
                    tokio::time::sleep(wait).await;
                }
                _ => {
                    observer.event(&inquiry.id, recorded(step, &record));
                    return Ok((position, record));
                }
            }
        }
    }

    async fn lease(
        &self,
        inquiry: &Inquiry,
        step: usize,
        attempt: u32,
    ) -> Result<crate::journal::Token, EngineError> {
        let command = Command::Lease {
            inquiry: inquiry.id.clone(),
            step,
            round: 0,
            attempt,
            executor: self.config.executor.clone(),
            at: now(),
        };
        match self.accept("leasing a step", command).await? {
            Applied::Leased(token) => Ok(token),
            other => {
                Err(crate::journal::JournalError::Storage(format!("a lease was answered by {other:?}"))
                    .into())
            }
        }
    }

    /// A skipped step is leased and recorded like any other, so that its one record says why it never ran.
    async fn record_skip(
        &self,
        inquiry: &Inquiry,
        position: usize,
        reason: String,
        observer: &Arc<dyn Observer>,
    ) -> Result<(), EngineError> {
        let attempt = inquiry.steps.get(&position).map_or(0, |step| step.token.attempt) + 1;
        let token = self.lease(inquiry, position, attempt).await?;
        let at = now();
        let record = StepRecord::without_call(StepResult::Skipped { reason }, at, at);
        let event = recorded(&inquiry.plan.steps[position], &record);
        let command = Command::Record {
            inquiry: inquiry.id.clone(),
            step: position,
            round: 0,
            token,
            record: Box::new(record),
            is_final: true,
        };
        self.accept("recording a skipped step", command).await?;
        observer.event(&inquiry.id, event);
        Ok(())
    }
}

fn recorded(step: &PlannedStep, record: &StepRecord) -> Event {
    let (readings, failure) = match &record.result {
        StepResult::Inline(observation) => (Some(observation.len()), None),
        StepResult::Blob { readings, .. } => (Some(*readings), None),
        StepResult::Failed(failure) => (None, Some(failure.to_string())),
        StepResult::Skipped { reason } => (None, Some(format!("skipped: {reason}"))),
    };
    let took_ms = u64::try_from((record.ended - record.started) / 1_000_000).unwrap_or(0);
    Event::StepRecorded { step: step.name.clone(), round: 0, readings, failure, took_ms }
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

/// Which steps are ready, which wait for what.
struct Board {
    done: BTreeMap<usize, Done>,
    /// For each step that waits: how many of its predecessors are not done.
    waiting: BTreeMap<usize, usize>,
    /// For each step: those that come after it.
    followers: Vec<Vec<usize>>,
    ready: BTreeSet<usize>,
}

impl Board {
    fn new(steps: &[PlannedStep], inquiry: &Inquiry) -> Self {
        let mut board = Self {
            done: BTreeMap::new(),
            waiting: BTreeMap::new(),
            followers: vec![Vec::new(); steps.len()],
            ready: BTreeSet::new(),
        };
        for (position, state) in &inquiry.steps {
            if let Some(record) = &state.record {
                let done = match record.result {
                    StepResult::Inline(_) | StepResult::Blob { .. } => Done::Well,
                    StepResult::Failed(_) | StepResult::Skipped { .. } => Done::Badly,
                };
                board.done.insert(*position, done);
            }
        }
        for (position, step) in steps.iter().enumerate() {
            if board.done.contains_key(&position) {
                continue;
            }
            let open: Vec<usize> =
                step.after.iter().copied().filter(|before| !board.done.contains_key(before)).collect();
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

    fn finish(&mut self, position: usize, done: Done) {
        self.done.insert(position, done);
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

    fn skip_reason(&self, step: &PlannedStep, steps: &[PlannedStep]) -> Option<String> {
        let missing = step.needs.iter().find(|needed| self.done.get(needed) == Some(&Done::Badly))?;
        Some(format!("it depends on `{}`, which has no result", steps[*missing].name))
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
                Some((inquiry.plan.steps.get(*position)?, state.record.as_ref()?))
            })
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

    fn empty_board(steps: &[PlannedStep]) -> Board {
        let mut board = Board {
            done: BTreeMap::new(),
            waiting: BTreeMap::new(),
            followers: vec![Vec::new(); steps.len()],
            ready: BTreeSet::new(),
        };
        for (position, step) in steps.iter().enumerate() {
            if step.after.is_empty() {
                board.ready.insert(position);
            } else {
                board.waiting.insert(position, step.after.len());
                for before in &step.after {
                    board.followers[*before].push(position);
                }
            }
        }
        board
    }

    #[test]
    fn a_step_becomes_ready_when_all_before_it_are_done() {
        let steps = [step("a", &[], &[]), step("b", &[], &[]), step("c", &[0, 1], &[])];
        let mut board = empty_board(&steps);
        assert_eq!((board.take_ready(), board.take_ready(), board.take_ready()), (Some(0), Some(1), None));
        board.finish(1, Done::Well);
        assert_eq!(board.take_ready(), None);
        board.finish(0, Done::Badly);
        assert_eq!(board.take_ready(), Some(2));
        assert_eq!(board.skip_reason(&steps[2], &steps), None, "order alone does not skip");
    }

    #[test]
    fn a_step_that_needs_a_failed_one_is_skipped_and_names_it() {
        let steps = [step("a", &[], &[]), step("b", &[0], &[0])];
        let mut board = empty_board(&steps);
        board.finish(0, Done::Badly);
        assert_eq!(
            board.skip_reason(&steps[1], &steps).as_deref(),
            Some("it depends on `a`, which has no result")
        );
    }
}
