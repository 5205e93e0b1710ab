//! Whether this host should be sent requests, and what is missing if not.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use inquisitor_conductor::Conductor;

/// How long a round trip to the cluster that went well stands for the next ones.
const FRESH: Duration = Duration::from_secs(1);
/// How long a round trip may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How far the host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The plugins of the host's folders, then the uploaded ones, are loaded.
    Loading {
        loaded: usize,
        of: usize,
    },
    Serving,
    Stopping,
}

/// How far the host is, and when the cluster last answered.
pub(crate) struct Readiness {
    stage: Mutex<Stage>,
    /// Held while the cluster is asked, so that many probes are one question.
    answered: tokio::sync::Mutex<Option<Instant>>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            stage: Mutex::new(Stage::Loading { loaded: 0, of: 0 }),
            answered: tokio::sync::Mutex::default(),
        }
    }
}

impl Readiness {
    /// So many plugins are loaded, of so many. Counts at the start alone: a host that serves goes on while some come.
    pub(crate) fn loaded(&self, loaded: usize, of: usize) {
        if let stage @ Stage::Loading { .. } = &mut *self.stage() {
            *stage = Stage::Loading { loaded, of };
        }
    }

    /// Which plugins are still missing, while the host starts.
    pub(crate) fn loading(&self) -> Option<String> {
        match *self.stage() {
            Stage::Loading { loaded, of } => Some(format!("plugins are loading: {loaded} of {of}")),
            Stage::Serving | Stage::Stopping => None,
        }
    }

    /// Everything is there.
    pub(crate) fn serving(&self) {
        self.set(Stage::Serving);
    }

    /// Nothing new is to come here.
    pub(crate) fn stopping(&self) {
        self.set(Stage::Stopping);
    }

    fn set(&self, stage: Stage) {
        let mut current = self.stage();
        // A host that stops does not become ready because its plugins are loaded at last.
        if *current != Stage::Stopping {
            *current = stage;
        }
    }

    /// Why no requests should come; nothing where they may.
    pub(crate) async fn reasons(&self, conductor: &Conductor) -> Vec<String> {
        let mut reasons = Vec::new();
        let stage = *self.stage();
        reasons.extend(self.loading());
        if stage == Stage::Stopping {
            reasons.push("stopping".to_owned());
        }
        reasons.extend(conductor.obstacles());
        // What stands in the way says more than that nothing could be committed.
        if stage != Stage::Stopping
            && reasons.is_empty()
            && let Err(reason) = self.can_commit(conductor).await
        {
            reasons.push(reason);
        }
        reasons
    }

    async fn can_commit(&self, conductor: &Conductor) -> Result<(), String> {
        let mut answered = self.answered.lock().await;
        if answered.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        match tokio::time::timeout(TIMEOUT, conductor.linearize()).await {
            Ok(Ok(())) => {
                *answered = Some(Instant::now());
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("the cluster did not answer within {} s", TIMEOUT.as_secs())),
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
