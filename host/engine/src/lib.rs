//! Runs a plan: leases its steps, calls the instruments, retries, records, and draws the finding.
//!
//! It is not a store and knows no consensus: what must survive goes through the [`journal::Journal`] trait, which a
//! conductor implements. It is not a sandbox either: [`inquisitor_runtime`] is. Everything here may be killed at any
//! moment; [`Engine::drive`] on the same journal goes on where the last record stands.
//!
//! Start at [`Engine`]. The life of one inquiry is `drive.rs`: the order of its steps is `schedule.rs`, what comes after
//! the first round of a continuous one `continuous.rs`. One step is `step.rs`, one attempt `attempt.rs`, and where it runs
//! [`placement`]. Which inquiries run when is [`dispatch`].

mod attempt;
pub mod breaker;
pub mod catalogue;
mod clock;
mod conclude;
pub mod confine;
mod continuous;
mod deliver;
pub mod dispatch;
mod drive;
pub mod error;
pub mod events;
pub mod gating;
mod history;
pub mod journal;
pub mod placement;
mod preflight;
mod rounds;
mod schedule;
pub mod secrets;
mod step;
mod stored;
mod submit;
#[cfg(test)]
mod testing;
mod text;

use std::path::PathBuf;
use std::sync::Arc;

use inquisitor_runtime::Runtime;
use inquisitor_runtime::request::Limits;

use crate::breaker::{BreakerPolicy, Breakers};
use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::journal::Journal;
use crate::placement::{Pool, Propagation, Subjects, Untraced};
use crate::secrets::{AllowedSecrets, Secrets};
use crate::stored::Stored;

pub use crate::conclude::outcomes;
pub use crate::drive::{Drive, is_continuous};
pub use crate::error::EngineError;
pub use crate::submit::{Submission, Submitted};

/// What the engine is made of, given once at start.
pub struct EngineConfig {
    /// The name under which leases are given to this engine, by itself and by others.
    pub executor: String,
    /// The most that any call may use; a manifest can only ask for less.
    pub limits: Limits,
    /// Calls of instruments that run at once, over all inquiries.
    pub max_calls: usize,
    /// When a plugin is left alone for a while.
    pub breaker: BreakerPolicy,
    /// Where secret references are looked up.
    pub secrets: Arc<dyn Secrets>,
    /// The folder that reports are confined to which manifests want written to files, a folder for each tenant below it;
    /// none for a host of one user, whose manifests write where they say. See [`confine`].
    pub artifact_root: Option<PathBuf>,
    /// The folder that file substrates of inquiries submitted with a key are confined to, on this host; none means the folder
    /// that was recorded with the inquiry. See [`confine`].
    pub substrate_root: Option<PathBuf>,
    /// How traces go on where attempts run elsewhere.
    pub traces: Arc<dyn Propagation>,
}

impl EngineConfig {
    /// The usual settings: the limits of the runtime, 100 calls at once, no secrets, files where manifests say.
    pub fn new(executor: impl Into<String>) -> Self {
        Self {
            executor: executor.into(),
            limits: Limits::default(),
            max_calls: 100,
            breaker: BreakerPolicy::default(),
            secrets: Arc::new(AllowedSecrets::default()),
            artifact_root: None,
            substrate_root: None,
            traces: Arc::new(Untraced),
        }
    }
}

/// Runs inquiries. Cheap to share behind an [`Arc`].
pub struct Engine {
    journal: Arc<dyn Journal>,
    runtime: Runtime,
    catalogue: Arc<Catalogue>,
    breakers: Breakers,
    calls: tokio::sync::Semaphore,
    stored: Stored,
    /// Where attempts may run beside here.
    pool: Arc<Pool>,
    /// Inquiries whose attempts run here for others.
    subjects: Subjects,
    clock: Clock,
    config: EngineConfig,
}

impl Engine {
    /// An engine that records in `journal` and takes plugins from `catalogue`.
    pub fn new(
        journal: Arc<dyn Journal>,
        runtime: Runtime,
        catalogue: Arc<Catalogue>,
        config: EngineConfig,
    ) -> Self {
        Self {
            journal,
            runtime,
            catalogue,
            breakers: Breakers::new(config.breaker.clone()),
            calls: tokio::sync::Semaphore::new(config.max_calls.max(1)),
            stored: Stored::default(),
            pool: Arc::default(),
            subjects: Subjects::default(),
            clock: Clock::Wall,
            config,
        }
    }

    /// The journal that this engine records in.
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.journal
    }

    /// The plugins that it runs.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// The executors that attempts of this engine's inquiries may run at. Empty at first: then everything runs here.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Calls of instruments that run at once here, at most.
    pub fn max_calls(&self) -> usize {
        self.config.max_calls.max(1)
    }

    /// Calls of instruments that are under way now, over all inquiries; at most [`Engine::max_calls`].
    pub fn calls_in_flight(&self) -> usize {
        self.max_calls() - self.calls.available_permits()
    }
}

/// Nanoseconds since the Unix epoch, now. Saturates in the year 2262.
pub(crate) fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
