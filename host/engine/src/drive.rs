//! The life of one inquiry, from wherever it stands to its end.

use std::sync::Arc;
use std::time::Duration;

use inquisitor_manifest::plan::{Action, Plan, PlannedStep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::Engine;
use crate::error::EngineError;
use crate::events::{Ending, Event, Observer};
use crate::journal::{Abort, Applied, Command, Inquiry, Status};
use crate::now;
use crate::schedule::Standing;

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

/// Why no further step is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Somebody asked for the inquiry to end.
    Asked,
    /// The time of the whole inquiry is over.
    TimedOut,
    /// This host lets go of it.
    HandedBack,
    /// A step failed whose failure ends the inquiry.
    Broken { step: String, message: String },
}

/// What may stop a drive from outside.
pub(crate) struct Signals {
    end: CancellationToken,
    hand_back: CancellationToken,
    /// When the time of the whole inquiry is over.
    deadline: Option<tokio::time::Instant>,
}

impl Signals {
    /// Waits for the first of them.
    pub(crate) async fn stopped(&self) -> Stop {
        tokio::select! {
            biased;
            () = self.end.cancelled() => Stop::Asked,
            () = past(self.deadline) => Stop::TimedOut,
            () = self.hand_back.cancelled() => Stop::HandedBack,
        }
    }

    /// Waits for this host to let go.
    pub(crate) async fn handed_back(&self) {
        self.hand_back.cancelled().await;
    }

    /// What is left of them when the inquiry is being brought to its end: nothing but letting go of it.
    fn while_ending(&self) -> Self {
        Self { end: CancellationToken::new(), hand_back: self.hand_back.clone(), deadline: None }
    }
}

/// Waits until then; for ever where there is no such time.
pub(crate) async fn past(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// An inquiry that is being driven.
pub(crate) struct Run<'a> {
    pub(crate) engine: &'a Engine,
    /// As it stood at the beginning; the history of its steps is left out.
    pub(crate) inquiry: &'a Inquiry,
    pub(crate) observer: Arc<dyn Observer>,
    /// Whether it observes again and again.
    pub(crate) continuous: bool,
    pub(crate) signals: Signals,
    /// Ends the calls that are under way.
    pub(crate) calls: CancellationToken,
}

impl Run<'_> {
    pub(crate) fn say(&self, event: Event) {
        self.observer.event(&self.inquiry.id, event);
    }

    /// Steps that run at once.
    pub(crate) fn workers(&self) -> usize {
        usize::try_from(self.inquiry.plan.execution.max_workers).unwrap_or(1).max(1)
    }

    /// Preflight, then the steps. None says that every step has its record and the inquiry can conclude.
    async fn work(&mut self, standing: &mut Standing) -> Result<Option<Stop>, EngineError> {
        if !self.continuous {
            return self.schedule(standing, |_| true).await;
        }
        let mut stopped = self.schedule(standing, |step| !is_of_the_end(step)).await?;
        if stopped.is_none() {
            stopped = Some(self.observe_again(standing).await?);
        }
        match stopped {
            Some(Stop::Asked | Stop::TimedOut) => {
                // A call under way would be for nothing.
                self.calls.cancel();
                self.signals = self.signals.while_ending();
                self.wind_up(standing).await
            }
            stopped => Ok(stopped),
        }
    }

    /// The end of a continuous inquiry: what never ran is recorded as such, and the phases of the end have their turn.
    async fn wind_up(&self, standing: &mut Standing) -> Result<Option<Stop>, EngineError> {
        for (position, step) in self.inquiry.plan.steps.iter().enumerate() {
            if !is_of_the_end(step) && !standing.done.contains_key(&position) {
                // An attempt that was under way has taken the next number.
                let turn = self.engine.turn(&self.inquiry.id, position).await?;
                let mut ran = self
                    .skip(position, 0, turn, "the inquiry was stopped before it ended".to_owned())
                    .await?;
                standing.note(step, &mut ran);
            }
        }
        self.schedule(standing, is_of_the_end).await
    }
}

/// Whether the step belongs to the end of an inquiry: to its analysis, its reports and its cleanup.
fn is_of_the_end(step: &PlannedStep) -> bool {
    matches!(step.action, Action::Analyze | Action::Report | Action::Close)
}

impl Engine {
    /// Run an inquiry from wherever it stands to its end, and return it as it ended; as it stands, where it was handed back.
    /// An inquiry that has ended before is returned as it is. Dropping this future leaves it to be driven again.
    ///
    /// # Errors
    /// When the journal cannot be reached or refuses; the inquiry can be driven again. [`EngineError::Destination`] alone says
    /// that it has concluded, and its reports could not be written to a folder.
    pub async fn drive(
        &self,
        id: &str,
        observer: Arc<dyn Observer>,
        drive: Drive,
    ) -> Result<Inquiry, EngineError> {
        let inquiry = self.load(id).await?;
        if !matches!(inquiry.status, Status::Running) {
            return Ok(inquiry);
        }
        let span = tracing::info_span!(
            "inquiry",
            inquiry = id,
            tenant = inquiry.bounds.tenant,
            manifest = inquiry.plan.manifest_id
        );
        self.drive_from(inquiry, observer, drive).instrument(span).await
    }

    async fn drive_from(
        &self,
        mut inquiry: Inquiry,
        observer: Arc<dyn Observer>,
        drive: Drive,
    ) -> Result<Inquiry, EngineError> {
        let id = inquiry.id.clone();
        let recorded = inquiry.steps.values().filter(|step| step.record.is_some()).count();
        observer.event(&id, Event::Started { steps: inquiry.plan.steps.len(), recorded });

        let continuous = drive.continuous && is_continuous(&inquiry.plan);
        let history = if continuous { Some(self.history(&inquiry).await?) } else { None };
        let mut standing = Standing::new(&inquiry, history);
        for step in inquiry.steps.values_mut() {
            step.history = Vec::new();
        }
        let end = drive.end.child_token();
        if inquiry.cancel_requested.is_some() {
            end.cancel();
        }
        let deadline = inquiry.plan.execution.timeout.map(|seconds| {
            let elapsed = u64::try_from(self.clock.now().saturating_sub(inquiry.submitted)).unwrap_or(0);
            let left = Duration::from_secs(seconds).saturating_sub(Duration::from_nanos(elapsed));
            tokio::time::Instant::now() + left
        });
        // Whatever ends the work ends the calls that are under way, also if this future is dropped.
        let calls = CancellationToken::new();
        let _ends_calls = calls.clone().drop_guard();
        let mut run = Run {
            engine: self,
            inquiry: &inquiry,
            observer: observer.clone(),
            continuous,
            signals: Signals { end, hand_back: drive.hand_back, deadline },
            calls,
        };
        let delivered = match self.run(&mut run, &mut standing).await? {
            Some(Outcome::HandedBack) => return self.load(&id).await,
            Some(Outcome::Aborted(reason)) => self.abort(&id, reason).await,
            None => self.conclude(&id, standing.history).await,
        };
        if let Err(error) = &delivered
            && !matches!(error, EngineError::Destination { .. })
        {
            return delivered.map(|()| inquiry);
        }
        let ended = self.load(&id).await?;
        if let Some(event) = ended_event(&ended) {
            observer.event(&id, event);
        }
        delivered.map(|()| ended)
    }

    /// None says that the inquiry can conclude.
    async fn run(&self, run: &mut Run<'_>, standing: &mut Standing) -> Result<Option<Outcome>, EngineError> {
        // An inquiry that has begun passed its checks; after an interruption they would only repeat.
        if run.inquiry.steps.is_empty() {
            let checked = tokio::select! {
                biased;
                stop = run.signals.stopped() => Err(stop),
                checked = self.preflight(run.inquiry, &run.calls) => Ok(checked),
            };
            match checked {
                Ok(Ok(())) => {}
                Ok(Err(message)) => {
                    return Ok(Some(Outcome::Aborted(Abort::Preflight {
                        message: crate::text::bounded(message),
                    })));
                }
                // What is to end has to end in the way of its kind, which the work knows.
                Err(Stop::HandedBack) => return Ok(Some(Outcome::HandedBack)),
                Err(_) => {}
            }
        }
        Ok(run.work(standing).await?.map(|stop| match stop {
            Stop::Asked => Outcome::Aborted(Abort::Cancelled),
            Stop::TimedOut => Outcome::Aborted(Abort::TimedOut),
            Stop::Broken { step, message } => Outcome::Aborted(Abort::Broken { step, message }),
            Stop::HandedBack => Outcome::HandedBack,
        }))
    }

    pub(crate) async fn load(&self, id: &str) -> Result<Inquiry, EngineError> {
        self.journal.inquiry(id).await?.ok_or_else(|| EngineError::NoSuchInquiry(id.to_owned()))
    }

    /// How far a step is, as the journal has it now.
    async fn turn(&self, id: &str, position: usize) -> Result<crate::step::Turn, EngineError> {
        let inquiry = self.load(id).await?;
        Ok(Standing::new(&inquiry, None).turn(position))
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
}

/// How the work on an inquiry ends that does not conclude.
enum Outcome {
    HandedBack,
    Aborted(Abort),
}

fn ended_event(inquiry: &Inquiry) -> Option<Event> {
    let (ending, at) = match &inquiry.status {
        Status::Running => return None,
        Status::Concluded { finding, at, .. } => (Ending::Concluded { verdict: finding.verdict }, *at),
        Status::Aborted { reason, at } => (Ending::Aborted { reason: reason.clone() }, *at),
    };
    let took_ms = u64::try_from(at.saturating_sub(inquiry.submitted) / 1_000_000).unwrap_or(0);
    Some(Event::Ended { ending, took_ms })
}
