//! What comes after the first round of a continuous inquiry: the instruments with a probe interval are observed at their
//! times, and the finding is drawn again as readings come.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use inquisitor_findings::finding::Verdict;
use inquisitor_manifest::plan::Plan;

use crate::Engine;
use crate::drive::{Run, Stop, past, probe_interval};
use crate::error::EngineError;
use crate::events::Event;
use crate::history::History;
use crate::journal::Command;
use crate::now;
use crate::rounds::{Due, Rounds, missed};
use crate::schedule::{Standing, broken, skip_reason};

/// The shortest time between two findings of one inquiry.
const MIN_UPDATE: Duration = Duration::from_secs(1);

/// A finding is drawn no sooner than this many times as long as the last one took, so that a long history does not keep a
/// processor and the log busy.
const UPDATE_SHARE: u32 = 20;

/// The longest sleep. The system's clock may be set while a timer runs, and then the next round is due at another time.
const MAX_SLEEP: Duration = Duration::from_secs(30);

type Drawing<'a> = Pin<Box<dyn Future<Output = Result<(History, Verdict), EngineError>> + Send + 'a>>;

impl Run<'_> {
    /// Observe round after round until something stops it.
    pub(crate) async fn observe_again(&self, standing: &mut Standing) -> Result<Stop, EngineError> {
        let plan = Arc::new(self.inquiry.plan.clone());
        let mut idle = self.repeated();
        let mut busy: BTreeMap<usize, Rounds> = BTreeMap::new();
        let mut running = FuturesUnordered::new();
        let mut updates = Updates::new();
        let stop = loop {
            let mut wake = MAX_SLEEP;
            let now = self.engine.clock.now();
            for (position, due) in self.in_turn(&idle, standing, now) {
                let round = match due {
                    Due::At(at) => {
                        wake = wake
                            .min(Duration::from_nanos(u64::try_from(at.saturating_sub(now)).unwrap_or(0)));
                        continue;
                    }
                    Due::Now(_) if running.len() >= self.workers() => continue,
                    Due::Now(round) => round,
                };
                let Some(rounds) = idle.remove(&position) else { continue };
                let step = &plan.steps[position];
                let turn = standing.turn(position);
                let (leased, _) = turn.leased;
                if leased > turn.round && round > leased {
                    // No round begins before the one before it has its record.
                    let reason = "the host was interrupted while this round ran, and its time is over";
                    let mut ran = self.skip(position, leased, turn, reason.to_owned()).await?;
                    standing.note(step, &mut ran);
                    updates.is_due = true;
                    idle.insert(position, rounds);
                    wake = Duration::ZERO;
                    continue;
                }
                if let Some(missing) = standing.missing_need(step) {
                    if probe_interval(&plan, &plan.steps[missing]).is_none() {
                        // What it needs will never have a result.
                        continue;
                    }
                    self.say_missed(position, turn.round, round);
                    let mut ran = self.skip(position, round, turn, skip_reason(&plan.steps, missing)).await?;
                    standing.note(step, &mut ran);
                    updates.is_due = true;
                    idle.insert(position, rounds);
                    wake = Duration::ZERO;
                    continue;
                }
                self.say_missed(position, turn.round, round);
                busy.insert(position, rounds);
                let until = rounds.start(round.saturating_add(1));
                running.push(self.step(position, round, turn, standing.state(step), Some(until)));
            }
            updates.begin(self.engine, &self.inquiry.id, &plan, standing);
            let possible = updates.possible();
            tokio::select! {
                biased;
                stop = self.signals.stopped() => break stop,
                Some(ran) = running.next() => {
                    // None: handed back while it waited for another attempt.
                    let Some(mut ran) = ran? else { continue };
                    let step = &plan.steps[ran.position];
                    if let Some(rounds) = busy.remove(&ran.position) {
                        idle.insert(ran.position, rounds);
                    }
                    updates.is_due |= ran.kept.is_some();
                    standing.note(step, &mut ran);
                    if let Some(broken) = broken(step, &ran.record) {
                        break broken;
                    }
                }
                verdict = updates.drawn(standing) => self.say(Event::Updated { verdict: verdict? }),
                () = tokio::time::sleep(wake) => {}
                () = past(possible) => {}
            }
        };
        if stop == Stop::HandedBack {
            while let Some(ran) = running.next().await {
                if let Some(mut ran) = ran? {
                    standing.note(&plan.steps[ran.position], &mut ran);
                }
            }
        }
        drop(running);
        // The history is with the finding that is being drawn; what concludes the inquiry needs it.
        if updates.drawing.is_some() {
            let verdict = updates.drawn(standing).await?;
            self.say(Event::Updated { verdict });
        }
        Ok(stop)
    }

    /// The rounds of every step that is observed again.
    fn repeated(&self) -> BTreeMap<usize, Rounds> {
        let plan = &self.inquiry.plan;
        let anchor = self.inquiry.submitted;
        let steps = plan.steps.iter().enumerate();
        steps
            .filter_map(|(position, step)| {
                Some((position, Rounds { anchor, interval: probe_interval(plan, step)? }))
            })
            .collect()
    }

    /// What is due of the steps that do not run, the one first that has waited longest: where there are too few workers, all
    /// have their turn.
    fn in_turn(&self, idle: &BTreeMap<usize, Rounds>, standing: &Standing, now: i64) -> Vec<(usize, Due)> {
        let mut due: Vec<(i64, usize, Due)> = idle
            .iter()
            .map(|(position, rounds)| {
                let turn = standing.turn(*position);
                (turn.ended, *position, rounds.due(turn.round, now))
            })
            .collect();
        due.sort_unstable_by_key(|(ended, position, _)| (*ended, *position));
        due.into_iter().map(|(_, position, due)| (position, due)).collect()
    }

    fn say_missed(&self, position: usize, last: u32, round: u32) {
        let rounds = missed(last, round);
        if rounds > 0 {
            self.say(Event::Missed { step: self.inquiry.plan.steps[position].name.clone(), rounds });
        }
    }
}

/// When the finding is drawn again.
struct Updates<'a> {
    /// Something was recorded since the last time.
    is_due: bool,
    drawing: Option<Drawing<'a>>,
    begun: tokio::time::Instant,
    next: tokio::time::Instant,
}

impl<'a> Updates<'a> {
    fn new() -> Self {
        let now = tokio::time::Instant::now();
        Self { is_due: false, drawing: None, begun: now, next: now + MIN_UPDATE }
    }

    /// Draw the finding, where it is time for it.
    fn begin(&mut self, engine: &'a Engine, id: &'a str, plan: &Arc<Plan>, standing: &mut Standing) {
        let now = tokio::time::Instant::now();
        if !self.is_due || self.drawing.is_some() || now < self.next {
            return;
        }
        let Some(history) = standing.history.take() else { return };
        self.is_due = false;
        self.begun = now;
        self.drawing = Some(Box::pin(engine.update(id, plan.clone(), history)));
    }

    /// Waits until the finding that is being drawn is committed, and takes the history back.
    async fn drawn(&mut self, standing: &mut Standing) -> Result<Verdict, EngineError> {
        let Some(drawing) = &mut self.drawing else { return std::future::pending().await };
        let drawn = drawing.await;
        self.drawing = None;
        self.next = self.begun + MIN_UPDATE.max(self.begun.elapsed().saturating_mul(UPDATE_SHARE));
        let (mut history, verdict) = drawn?;
        standing.pending.drain(..).for_each(|round| history.push(round));
        standing.history = Some(history);
        Ok(verdict)
    }

    /// When the finding may be drawn that is due.
    fn possible(&self) -> Option<tokio::time::Instant> {
        (self.is_due && self.drawing.is_none()).then_some(self.next)
    }
}

impl Engine {
    /// Draw the finding over the history and keep it. Gives the history back.
    async fn update(
        &self,
        id: &str,
        plan: Arc<Plan>,
        history: History,
    ) -> Result<(History, Verdict), EngineError> {
        let drawn = tokio::task::spawn_blocking(move || {
            let finding = history.conclude(&plan);
            (history, finding)
        });
        let (history, finding) = drawn
            .await
            .map_err(|error| EngineError::Report { name: "finding".into(), message: error.to_string() })?;
        let verdict = finding.verdict;
        let command = Command::Update { inquiry: id.to_owned(), finding: Box::new(finding), at: now() };
        self.accept("keeping a finding", command).await?;
        Ok((history, verdict))
    }
}

#[cfg(test)]
mod tests;
