//! Which inquiries run when: everything that has not ended is driven, a bounded number at a time, fair between tenants.
//!
//! A dispatcher belongs to one member, and drives while that member is the leader: [`Dispatcher::start`] when it begins,
//! [`Dispatcher::pause`] when it is no longer, [`Dispatcher::resume`] when it is again. It keeps ids and nothing else; what is
//! lost with it is found again in the journal.
//!
//! Inquiries that run once share [`DispatchConfig::max_running`] places, in turns by tenant. Continuous ones mostly wait for
//! their next round, so they take none of these places; they have [`DispatchConfig::max_continuous`] of their own, and the
//! calls of all are bounded by the engine.

mod queue;

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::Engine;
use crate::drive::Drive;
use crate::error::EngineError;
use crate::events::Observer;
use crate::journal::{InquiryId, Outline};

use self::queue::{Queue, Waiting};

/// Inquiries that wait in memory, as ids. Those beyond are read from the journal when there is room again.
pub const MAX_QUEUED: usize = 10_000;

/// The longest wait before an inquiry is driven again whose journal failed.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// How much runs at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DispatchConfig {
    /// Inquiries that run once, driven at the same time; at least 1.
    pub max_running: usize,
    /// Continuous inquiries at the same time; at least 1. More wait until one of them ends.
    pub max_continuous: usize,
}

impl Default for DispatchConfig {
    fn default() -> Self {
        Self { max_running: 64, max_continuous: 1000 }
    }
}

/// How many inquiries there are that have not ended, as far as this dispatcher knows of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Waiting for a place, or for another try after the journal failed.
    pub queued: usize,
    /// Running once, and being driven.
    pub running: usize,
    /// Continuous, and being driven.
    pub continuous: usize,
}

/// Drives everything that has not ended. Clones are the same dispatcher.
#[derive(Clone)]
pub struct Dispatcher(Arc<Shared>);

struct Shared {
    engine: Arc<Engine>,
    observer: Arc<dyn Observer>,
    config: DispatchConfig,
    state: Mutex<State>,
    /// There is something to do for the loop.
    changed: Notify,
    /// A drive has ended.
    ended: Notify,
}

#[derive(Default)]
struct State {
    stage: Stage,
    /// Inquiries of which nothing is known yet but the id, with how often driving them has failed.
    arrived: VecDeque<(InquiryId, u32)>,
    /// The journal may have inquiries that are not here.
    reload: bool,
    once: Queue,
    continuous: Queue,
    active: HashMap<InquiryId, Active>,
    /// The loop.
    task: Option<AbortHandle>,
    drives: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    New,
    Driving,
    Paused,
    Stopped,
}

/// An inquiry that is being driven, or rests after its journal failed.
struct Active {
    /// Tells this drive from an earlier one of the same inquiry.
    number: u64,
    continuous: bool,
    resting: bool,
    drive: Drive,
    task: AbortHandle,
}

impl State {
    fn queued(&self) -> usize {
        self.arrived.len() + self.once.len() + self.continuous.len()
    }

    fn driven(&self, continuous: bool) -> usize {
        self.active.values().filter(|active| active.continuous == continuous && !active.resting).count()
    }

    fn knows(&self, inquiry: &str) -> bool {
        self.active.contains_key(inquiry) || self.once.contains(inquiry) || self.continuous.contains(inquiry)
    }

    fn arrive(&mut self, inquiry: &str, failures: u32) {
        if self.queued() >= MAX_QUEUED {
            self.reload = true;
        } else {
            self.arrived.push_back((inquiry.to_owned(), failures));
        }
    }

    fn forget_waiting(&mut self) {
        self.arrived.clear();
        self.once.clear();
        self.continuous.clear();
        self.reload = false;
    }
}

impl Dispatcher {
    /// A dispatcher that drives nothing yet.
    pub fn new(engine: Arc<Engine>, observer: Arc<dyn Observer>, config: DispatchConfig) -> Self {
        Self(Arc::new(Shared {
            engine,
            observer,
            config,
            state: Mutex::default(),
            changed: Notify::new(),
            ended: Notify::new(),
        }))
    }

    /// Begin to drive everything that has not ended. Must be called within a Tokio runtime. A second call changes nothing.
    pub fn start(&self) {
        let mut state = self.0.state();
        if state.stage == Stage::New {
            state.stage = Stage::Driving;
            state.reload = true;
            state.task = Some(tokio::spawn(Arc::clone(&self.0).serve()).abort_handle());
        }
    }

    /// Drive an inquiry that was submitted. One that is known already changes nothing.
    pub fn wake(&self, inquiry: &str) {
        let mut state = self.0.state();
        if state.stage == Stage::Driving && !state.knows(inquiry) {
            state.arrive(inquiry, 0);
            self.0.changed.notify_one();
        }
    }

    /// End an inquiry whose cancellation was committed: at once if it is being driven, else ahead of those that wait.
    pub fn cancel(&self, inquiry: &str) {
        let mut state = self.0.state();
        if state.stage != Stage::Driving {
            return;
        }
        match state.active.get(inquiry) {
            Some(active) => active.drive.end.cancel(),
            None => {
                state.arrived.push_front((inquiry.to_owned(), 0));
                self.0.changed.notify_one();
            }
        }
    }

    /// How many inquiries wait and run.
    pub fn counts(&self) -> Counts {
        let state = self.0.state();
        let resting = state.active.values().filter(|active| active.resting).count();
        Counts {
            queued: state.queued() + resting,
            running: state.driven(false),
            continuous: state.driven(true),
        }
    }

    /// Stop driving at once: another member does it now. Calls under way are dropped; what they would bring could no longer
    /// be recorded.
    pub fn pause(&self) {
        let mut state = self.0.state();
        if state.stage == Stage::Driving {
            state.stage = Stage::Paused;
            state.forget_waiting();
            for (_, active) in state.active.drain() {
                active.task.abort();
            }
        }
    }

    /// Drive again what has not ended.
    pub fn resume(&self) {
        let mut state = self.0.state();
        if state.stage == Stage::Paused {
            state.stage = Stage::Driving;
            state.reload = true;
            self.0.changed.notify_one();
        }
    }

    /// Stop for good: nothing new is started, and steps that run may be finished and recorded for as long as `deadline`; then
    /// they are dropped. Everything is driven again after the next start.
    pub async fn stop(&self, deadline: Duration) {
        {
            let mut state = self.0.state();
            state.stage = Stage::Stopped;
            state.forget_waiting();
            if let Some(task) = state.task.take() {
                task.abort();
            }
            state.active.retain(|_, active| {
                active.drive.hand_back.cancel();
                if active.resting {
                    active.task.abort();
                }
                !active.resting
            });
        }
        let all_ended = async {
            loop {
                let ended = self.0.ended.notified();
                if self.0.state().active.is_empty() {
                    return;
                }
                ended.await;
            }
        };
        if tokio::time::timeout(deadline, all_ended).await.is_err() {
            for (inquiry, active) in self.0.state().active.drain() {
                tracing::warn!(
                    inquiry,
                    "dropped while steps were running; they are run again after the next start"
                );
                active.task.abort();
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_driving(&self) -> bool {
        self.state().stage == Stage::Driving
    }

    /// The loop: learn of inquiries, and start them where there is a place.
    async fn serve(self: Arc<Self>) {
        let mut failures = 0;
        loop {
            match self.take_in().await {
                Ok(()) => {
                    failures = 0;
                    self.admit();
                    self.changed.notified().await;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot read which inquiries have not ended; trying again");
                    tokio::time::sleep(backoff(failures)).await;
                    failures += 1;
                }
            }
        }
    }

    /// Put everything that arrived where it waits for its turn.
    async fn take_in(self: &Arc<Self>) -> Result<(), EngineError> {
        if self.is_driving() && std::mem::take(&mut self.state().reload) {
            let unfinished = self.engine.journal().unfinished().await.inspect_err(|_| {
                self.state().reload = true;
            })?;
            let mut state = self.state();
            for inquiry in unfinished {
                if state.queued() >= MAX_QUEUED {
                    state.reload = true;
                    break;
                }
                if !state.knows(&inquiry) {
                    state.arrived.push_back((inquiry, 0));
                }
            }
        }
        loop {
            let Some((id, failures)) = self.state().arrived.front().cloned() else { return Ok(()) };
            let inquiry = self.engine.journal().outline(&id).await?;
            let mut state = self.state();
            // Unless it was forgotten meanwhile.
            if state.arrived.front().is_some_and(|(front, _)| *front == id) {
                state.arrived.pop_front();
                self.sort_in(&mut state, id, failures, inquiry);
            }
            drop(state);
            self.admit();
        }
    }

    fn sort_in(self: &Arc<Self>, state: &mut State, id: InquiryId, failures: u32, inquiry: Option<Outline>) {
        let Some(Outline { tenant, continuous, running, cancel_requested }) = inquiry else { return };
        if !running || state.stage != Stage::Driving {
            return;
        }
        let mut waiting = Waiting { inquiry: id, tenant, failures };
        if cancel_requested {
            // Ending it takes no time, and whoever asked for it waits.
            if let Some(active) = state.active.get(&waiting.inquiry) {
                active.drive.end.cancel();
                return;
            }
            let taken = state.once.take(&waiting.inquiry).or_else(|| state.continuous.take(&waiting.inquiry));
            waiting.failures = taken.map_or(failures, |taken| taken.failures);
            self.start_one(state, waiting, continuous);
        } else if !state.knows(&waiting.inquiry) {
            if continuous { state.continuous.push(waiting) } else { state.once.push(waiting) }
        }
    }

    /// Start what waits and has a place.
    fn admit(self: &Arc<Self>) {
        let mut state = self.state();
        if state.stage != Stage::Driving {
            return;
        }
        while state.driven(false) < self.config.max_running.max(1)
            && let Some(waiting) = state.once.pop()
        {
            self.start_one(&mut state, waiting, false);
        }
        while state.driven(true) < self.config.max_continuous.max(1)
            && let Some(waiting) = state.continuous.pop()
        {
            self.start_one(&mut state, waiting, true);
        }
    }

    fn start_one(self: &Arc<Self>, state: &mut State, waiting: Waiting, continuous: bool) {
        let drive = Drive::continuous();
        let inquiry = waiting.inquiry.clone();
        state.drives += 1;
        let number = state.drives;
        // It cannot end before it is noted: ending takes the lock that is held here.
        let task = tokio::spawn(Arc::clone(self).run(number, waiting, drive.clone())).abort_handle();
        state.active.insert(inquiry, Active { number, continuous, resting: false, drive, task });
    }

    async fn run(self: Arc<Self>, number: u64, waiting: Waiting, drive: Drive) {
        let Waiting { inquiry, tenant, failures } = waiting;
        let driven = self.engine.drive(&inquiry, self.observer.clone(), drive);
        let again = match AssertUnwindSafe(driven).catch_unwind().await {
            Ok(Ok(_)) => false,
            Ok(Err(error @ (EngineError::Destination { .. } | EngineError::NoSuchInquiry(_)))) => {
                tracing::warn!(inquiry, tenant, %error, "the inquiry has ended");
                false
            }
            Ok(Err(error)) => {
                tracing::warn!(inquiry, tenant, failures, %error, "the inquiry cannot go on now; trying again");
                true
            }
            Err(_) => {
                tracing::error!(inquiry, tenant, failures, "driving the inquiry panicked; trying again");
                true
            }
        };
        if again {
            if self.rest(&inquiry, number) {
                tokio::time::sleep(backoff(failures)).await;
            }
            self.remove(&inquiry, number, Some(failures.saturating_add(1)));
        } else {
            self.remove(&inquiry, number, None);
        }
    }

    /// Give the place to another while this one waits for its next try. False where there is none.
    fn rest(&self, inquiry: &str, number: u64) -> bool {
        let mut state = self.state();
        let driving = state.stage == Stage::Driving;
        match state.active.get_mut(inquiry).filter(|active| active.number == number) {
            Some(active) if driving => {
                active.resting = true;
                self.changed.notify_one();
                true
            }
            _ => false,
        }
    }

    /// Take note that a drive has ended; `again` says how often it has failed where it is to be tried again.
    fn remove(&self, inquiry: &str, number: u64, again: Option<u32>) {
        let mut state = self.state();
        if state.active.get(inquiry).is_none_or(|active| active.number != number) {
            return;
        }
        state.active.remove(inquiry);
        if state.stage == Stage::Driving {
            if let Some(failures) = again {
                state.arrive(inquiry, failures);
            }
            self.changed.notify_one();
        }
        self.ended.notify_waiters();
    }
}

/// How long to wait after so many failures.
fn backoff(failures: u32) -> Duration {
    Duration::from_millis(500).saturating_mul(2_u32.saturating_pow(failures)).min(MAX_BACKOFF)
}

#[cfg(test)]
mod tests;
