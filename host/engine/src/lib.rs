//! Runs a plan: leases its steps, calls the instruments, retries, records, and draws the finding.
//!
//! It is not a store and knows no consensus: what must survive goes through the [`journal::Journal`] trait, which a
//! conductor implements. It is not a sandbox either: [`inquisitor_runtime`] is. Everything here may be killed at any
//! moment; [`Engine::drive`] on the same journal goes on where the last record stands.
//!
//! Start at [`Engine`]; the life of one inquiry is `drive.rs`, of one attempt `attempt.rs`.

mod attempt;
pub mod breaker;
pub mod catalogue;
mod conclude;
mod drive;
pub mod error;
pub mod events;
pub mod gating;
pub mod journal;
mod preflight;
pub mod secrets;
mod submit;

use std::sync::Arc;

use inquisitor_runtime::Runtime;
use inquisitor_runtime::request::Limits;

use crate::breaker::{BreakerPolicy, Breakers};
use crate::catalogue::Catalogue;
use crate::journal::Journal;
use crate::secrets::Secrets;

pub use crate::conclude::outcomes;
pub use crate::error::EngineError;
pub use crate::submit::{Submission, Submitted};

/// What the engine is made of, given once at start.
pub struct EngineConfig {
    /// The name under which this engine takes leases.
    pub executor: String,
    /// The most that any call may use; a manifest can only ask for less.
    pub limits: Limits,
    /// Calls of instruments that run at once, over all inquiries.
    pub max_calls: usize,
    /// When a plugin is left alone for a while.
    pub breaker: BreakerPolicy,
    /// Where secret references are looked up.
    pub secrets: Arc<dyn Secrets>,
}

/// Runs inquiries. Cheap to share behind an [`Arc`].
pub struct Engine {
    journal: Arc<dyn Journal>,
    runtime: Runtime,
    catalogue: Arc<Catalogue>,
    breakers: Breakers,
    calls: tokio::sync::Semaphore,
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
            config,
        }
    }

    /// The journal that this engine records in.
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.journal
    }
}

/// Nanoseconds since the Unix epoch, now. Saturates in the year 2262.
pub(crate) fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
