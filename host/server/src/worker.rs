//! Attempts at steps that run here because the leader leased them to this member.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use inquisitor_engine::Engine;
use inquisitor_engine::events::{Event, Observer};
use inquisitor_engine::journal::StepRecord;
use inquisitor_engine::placement::{Assignment, Ear, Executor, Lost, Offer, Said, Worker};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Runs them with the host's engine.
pub(crate) struct Leased {
    engine: Arc<Engine>,
    /// Hears what is this member's own of an attempt: calls are counted where they are made.
    observer: Arc<dyn Observer>,
    stage: Mutex<Stage>,
    running: AtomicUsize,
    /// One of those that run has ended.
    ended: Notify,
    /// Cancelled: those that run end without a record.
    broken_off: CancellationToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The plugins are loading.
    Starting,
    Open,
    Stopping,
}

impl Leased {
    /// One that takes nothing yet.
    pub(crate) fn new(engine: Arc<Engine>, observer: Arc<dyn Observer>) -> Arc<Self> {
        Arc::new(Self {
            engine,
            observer,
            stage: Mutex::new(Stage::Starting),
            running: AtomicUsize::new(0),
            ended: Notify::new(),
            broken_off: CancellationToken::new(),
        })
    }

    /// Take what comes from now on.
    pub(crate) fn open(&self) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if *stage == Stage::Starting {
            *stage = Stage::Open;
        }
    }

    /// Attempts that run here for the leader.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// Take nothing more, and let what runs finish for so long; what does not is handed back, and runs elsewhere.
    pub(crate) async fn stop(&self, deadline: Duration) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = Stage::Stopping;
        let all_ended = async {
            loop {
                let mut ended = std::pin::pin!(self.ended.notified());
                ended.as_mut().enable();
                if self.running() == 0 {
                    return;
                }
                ended.await;
            }
        };
        if tokio::time::timeout(deadline, all_ended).await.is_err() {
            tracing::warn!(steps = self.running(), "steps that ran here for the leader are handed back");
        }
        // Also one that was let in while the stage changed.
        self.broken_off.cancel();
    }

    /// # Errors
    /// Why nothing is taken.
    fn is_open(&self) -> Result<(), String> {
        match *self.stage.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Starting => Err("its plugins are loading".to_owned()),
            Stage::Open => Ok(()),
            Stage::Stopping => Err("it is stopping".to_owned()),
        }
    }
}

#[async_trait]
impl Executor for Leased {
    async fn run(&self, assignment: &Assignment, ear: Ear) -> Result<StepRecord, Lost> {
        let _counted = Counted::new(self);
        self.is_open().map_err(Lost::new)?;
        let observer = Arc::new(Split { own: self.observer.clone(), ear });
        tokio::select! {
            done = self.engine.run_leased(assignment, observer) => done,
            () = self.broken_off.cancelled() => Err(Lost::new("it stops, and the attempt was not done in time")),
        }
    }
}

impl Worker for Leased {
    fn offer(&self) -> Result<Offer, String> {
        self.is_open()?;
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        // The leader knows best what it leased itself, and what it is told is old when it hears it.
        let busy = self.engine.calls_in_flight().saturating_sub(self.running());
        Ok(Offer { places: count(self.engine.max_calls()), busy: count(busy) })
    }
}

struct Counted<'a>(&'a Leased);

impl<'a> Counted<'a> {
    fn new(leased: &'a Leased) -> Self {
        leased.running.fetch_add(1, Ordering::SeqCst);
        Self(leased)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.ended.notify_waiters();
    }
}

/// What the instrument says goes to the leader, all else is this member's own.
struct Split {
    own: Arc<dyn Observer>,
    ear: Ear,
}

impl Observer for Split {
    fn event(&self, inquiry: &str, event: Event) {
        match Said::of(&event) {
            Some(said) => (self.ear)(said),
            None => self.own.event(inquiry, event),
        }
    }
}

#[cfg(test)]
mod tests {
    use inquisitor_conductor::{Conductor, ConductorConfig};
    use inquisitor_engine::EngineConfig;
    use inquisitor_engine::events::Silent;
    use inquisitor_engine::journal::Token;
    use inquisitor_runtime::{Runtime, RuntimeConfig};

    use super::*;

    #[tokio::test]
    async fn it_takes_steps_between_its_start_and_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let conductor = Conductor::open(ConductorConfig::new(folder.path().join("data"), "a")).await.unwrap();
        let conductor = Arc::new(conductor);
        let runtime = Runtime::new(RuntimeConfig::new(folder.path().join("cache"))).unwrap();
        let engine = Engine::new(conductor.clone(), runtime, Arc::default(), EngineConfig::new("a"));
        let leased = Leased::new(Arc::new(engine), Arc::new(Silent));
        let assignment = Assignment {
            inquiry: "q".into(),
            step: 0,
            round: 0,
            token: Token { term: 1, attempt: 1 },
            state: None,
            trace: None,
        };
        let lost = async || leased.run(&assignment, Arc::new(|_: Said| {})).await.unwrap_err().reason;
        assert_eq!(leased.offer(), Err("its plugins are loading".to_owned()));
        assert_eq!(lost().await, "its plugins are loading");
        leased.open();
        assert_eq!(leased.offer(), Ok(Offer { places: 100, busy: 0 }));
        assert_eq!(lost().await, "the inquiry q is not known there");
        leased.stop(Duration::from_secs(60)).await;
        leased.open();
        assert_eq!(leased.offer(), Err("it is stopping".to_owned()));
        assert_eq!(lost().await, "it is stopping");
        assert_eq!(leased.running(), 0);
        conductor.shutdown().await;
    }
}
