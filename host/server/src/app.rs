//! What every handler shares.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use inquisitor_conductor::Conductor;
use inquisitor_engine::Engine;
use inquisitor_engine::catalogue::Catalogue;
use inquisitor_engine::dispatch::Dispatcher;
use inquisitor_engine::journal::{Applied, Command, Journal as _};
use inquisitor_runtime::Runtime;
use tokio::sync::Semaphore;

use crate::api::inquiries::EndedAnswers;
use crate::api::large::LargeAnswers;
use crate::api::uploads::Uploads;
use crate::config::ServerConfig;
use crate::declared::Declared;
use crate::gate::{Gate, Permit};
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::places::Places;
use crate::problem::{Kind, Problem};
use crate::ready::Readiness;
use crate::worker::Leased;

/// The parts of a running host. Handlers get it as axum's state, behind an [`Arc`].
pub(crate) struct App {
    pub(crate) config: ServerConfig,
    pub(crate) conductor: Arc<Conductor>,
    pub(crate) runtime: Runtime,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) dispatcher: Dispatcher,
    /// Attempts that run here for the leader.
    pub(crate) leased: Arc<Leased>,
    pub(crate) gate: Gate,
    pub(crate) hub: Arc<Hub>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Readiness,
    /// Requests that are answered at once.
    pub(crate) requests: Places,
    /// When the host was started.
    pub(crate) started: Instant,
    /// How the declared manifests stand; `declared::start` fills it.
    pub(crate) declared: Arc<Declared>,
    /// Uploads that are under way or that a client may ask about.
    pub(crate) uploads: Uploads,
    /// Answers about inquiries that have ended.
    pub(crate) ended: EndedAnswers,
    /// Turns of answers that hold much memory.
    pub(crate) large: LargeAnswers,
    /// The turn of a backup: each takes a copy of the state on the disk, and keeps blobs from being swept away.
    pub(crate) backups: Arc<Semaphore>,
    /// Where uploads are written while they come in; on the data directory's file system. Made by
    /// `api::install::prepare`.
    pub(crate) incoming: PathBuf,
}

impl App {
    /// The plugins, once all that were there at the start are loaded: before that, a manifest would be told that there is no
    /// such plugin.
    pub(crate) fn plugins(&self) -> Result<&Catalogue, Problem> {
        match self.readiness.loading() {
            None => Ok(&self.catalogue),
            Some(reason) => Err(Problem::new(Kind::Unavailable, reason).retry_after(1)),
        }
    }

    /// Make a change that was permitted: the decision and the change become one entry of the log. A refusal by the state
    /// machine comes back as the problem that it is to a client.
    pub(crate) async fn change(&self, permit: Permit, command: Command) -> Result<Applied, Problem> {
        let command =
            Command::Authorized { access: Box::new(permit.into_access()), change: Box::new(command) };
        match self.conductor.propose(command).await? {
            Applied::Refused(refusal) => Err(refusal.into()),
            applied => Ok(applied),
        }
    }
}

/// Nanoseconds since the Unix epoch, now. Saturates in the year 2262.
pub(crate) fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
