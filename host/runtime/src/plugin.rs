//! A loaded component, ready to be opened any number of times.

use std::sync::Arc;

use inquisitor_findings::reading::Observation;
use inquisitor_manifest::spec::Parameters;
use tokio::sync::Semaphore;
use wasmtime::Engine;

use crate::description::Description;
use crate::guest::{self, Guest};
use crate::outcome::Failure;
use crate::request::{Report, SessionRequest, Transcript, Usage};
use crate::session::{Session, SessionEnd};
use crate::ticker::Ticker;
use crate::world_v1;

/// A loaded plugin; clones share it.
#[derive(Clone)]
pub struct Plugin(pub(crate) Arc<Loaded>);

/// What a plugin and its sessions share.
pub(crate) struct Loaded {
    pub(crate) digest_hex: String,
    pub(crate) description: Description,
    pub(crate) pre: world_v1::Pre,
    pub(crate) engine: Engine,
    pub(crate) ticker: Ticker,
    pub(crate) slots: Arc<Semaphore>,
    /// What no session may have more of, whatever it asks for.
    pub(crate) caps: Caps,
}

/// The host's own bounds on the limits of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    pub(crate) memory: u64,
    pub(crate) table_elements: u64,
    pub(crate) instances: u32,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let description = &self.0.description;
        write!(f, "Plugin({} {} sha256:{})", description.name, description.version, self.0.digest_hex)
    }
}

impl Plugin {
    /// SHA-256 of the component, lower-case hex.
    pub fn digest(&self) -> &str {
        &self.0.digest_hex
    }

    /// What the instrument says of itself.
    pub fn description(&self) -> &Description {
        &self.0.description
    }

    /// Open the instrument in a fresh instance. Waits where as many sessions are open as the host allows.
    ///
    /// # Errors
    /// A report whose result is the failure, with all that the guest said until then.
    #[allow(clippy::result_large_err)] // The failure is a whole report; it is rare and moved once.
    pub async fn open(&self, mut request: SessionRequest) -> Result<Session, Report> {
        let parameters = std::mem::take(&mut request.parameters);
        match self.0.open(request, &parameters).await {
            Ok(session) => Ok(session),
            Err((failure, end)) => Err(report(Err(failure), end)),
        }
    }

    /// Open, calibrate where the lifecycle names it, observe once, close: one step of an inquiry.
    pub async fn run(&self, mut request: SessionRequest, step_parameters: &Parameters) -> Report {
        // The guest hears of the step when it is observed.
        let step = std::mem::take(&mut request.facts.step);
        let mut session = match self.open(request).await {
            Ok(session) => session,
            Err(report) => return report,
        };
        let result = match session.calibrate().await {
            Ok(_) => session.observe(&step, step_parameters).await,
            Err(failure) => Err(failure),
        };
        report(result, session.finish().await)
    }

    /// Open, calibrate where the lifecycle names it, close: can the instrument measure? The observation is empty.
    pub async fn self_test(&self, mut request: SessionRequest) -> Report {
        request.facts.step.clear();
        let mut session = match self.open(request).await {
            Ok(session) => session,
            Err(report) => return report,
        };
        let result = session.calibrate().await.map(|_| Observation::default());
        report(result, session.finish().await)
    }
}

impl Loaded {
    async fn open(
        self: &Arc<Self>,
        mut request: SessionRequest,
        parameters: &Parameters,
    ) -> Result<Session, (Failure, SessionEnd)> {
        let none = |failure| (failure, SessionEnd::default());
        let limits = &mut request.limits;
        limits.memory = limits.memory.min(self.caps.memory);
        limits.table_elements = limits.table_elements.min(self.caps.table_elements);
        limits.instances = limits.instances.min(self.caps.instances);
        // Known without making an instance, and told with both numbers.
        if self.description.minimum_memory > limits.memory {
            let (limit, asked) = (limits.memory, self.description.minimum_memory);
            return Err(none(Failure::MemoryLimit { limit, asked }));
        }
        if self.description.minimum_table_elements > limits.table_elements {
            let (limit, asked) = (limits.table_elements, self.description.minimum_table_elements);
            return Err(none(Failure::TableLimit { limit, asked }));
        }
        let cancel = request.cancel.clone();
        let slot = tokio::select! {
            biased;
            slot = Arc::clone(&self.slots).acquire_owned() => slot,
            () = cancel.cancelled() => return Err(none(Failure::Cancelled)),
        };
        let slot =
            slot.map_err(|_| none(Failure::Host { message: "the runtime is shutting down".to_owned() }))?;
        let mut data = Guest::new(request);
        data.wasi.open_files().map_err(none)?;
        let mut session = Session::new(guest::store(&self.engine, data), Arc::clone(self), slot);
        match session.open(parameters).await {
            Ok(()) => Ok(session),
            Err(failure) => Err((failure, session.finish().await)),
        }
    }
}

fn report(result: Result<Observation, Failure>, end: SessionEnd) -> Report {
    let SessionEnd { logs, usage, transcript, state, denials } = end;
    // State is kept only with a result: a step that failed has changed nothing.
    let state = if result.is_ok() { state } else { None };
    Report { result, logs, usage, transcript, state, denials }
}

// Steps run as tasks that move between threads; these fail to compile if that stops being possible.
const _: () = {
    const fn sendable<T: Send>() {}
    sendable::<Session>();
    sendable::<Plugin>();
    sendable::<Usage>();
    sendable::<Transcript>();
};
