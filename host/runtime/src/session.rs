//! An open instrument: an instance of its component, alive from `open` to the end.

use std::sync::Arc;

use inquisitor_findings::reading::{Observation, Value};
use inquisitor_manifest::spec::Parameters;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;
use wasmtime::component::ResourceAny;

use crate::call::{self, Call, Outcome};
use crate::description::Calibration;
use crate::guest::Guest;
use crate::logs::attribute;
use crate::outcome::Failure;
use crate::plugin::Loaded;
use crate::request::{LogLevel, LogLine, Transcript, Usage};
use crate::world_v1;

/// What a session brought beside its results.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SessionEnd {
    /// Log lines, in order.
    pub logs: Vec<LogLine>,
    /// Resources used.
    pub usage: Usage,
    /// What the guest observed of time and randomness.
    pub transcript: Transcript,
    /// State to keep, if the guest stored any.
    pub state: Option<Vec<u8>>,
    /// What was asked for and refused.
    pub denials: Vec<String>,
}

/// An open instrument. Calls come one after another; a call that traps or meets a limit ends the session, and every call
/// after it gives the same failure. The instrument's own errors (`invalid-parameters`, `unavailable`, `failed`) do not.
///
/// Futures of a session need tokio with its timer. One that is dropped before it is done ends the session too.
pub struct Session {
    store: Store<Guest>,
    instance: Option<world_v1::Instance>,
    session: Option<ResourceAny>,
    plugin: Arc<Loaded>,
    wall: u64,
    fuel: u64,
    /// Why no call can be made any more.
    dead: Option<Failure>,
    /// Whether a call is running, or was when its future was dropped, which left the guest in the middle of it.
    in_call: bool,
    /// The slot that the session holds among all that may be open.
    _slot: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("plugin", &self.plugin.digest_hex)
            .field("dead", &self.dead)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(store: Store<Guest>, plugin: Arc<Loaded>, slot: OwnedSemaphorePermit) -> Self {
        Self {
            store,
            instance: None,
            session: None,
            plugin,
            wall: 0,
            fuel: 0,
            dead: None,
            in_call: false,
            _slot: slot,
        }
    }

    /// Make the instance and open the instrument, as one call under one set of limits.
    pub(crate) async fn open(&mut self, parameters: &Parameters) -> Result<(), Failure> {
        let parameters = json(parameters)?;
        let call = self.begin()?;
        let opened = {
            let (store, plugin, instance) = (&mut self.store, &self.plugin, &mut self.instance);
            call.drive(async move {
                let made = instance.insert(plugin.pre.instantiate(store).await?);
                made.open(store, &parameters).await
            })
            .await
        };
        self.session = Some(self.end(call, opened)?);
        Ok(())
    }

    /// Bring the instrument into a known state. Does nothing where the instrument does not name calibration among its
    /// lifecycle.
    ///
    /// # Errors
    /// When the instrument fails or a limit is met.
    pub async fn calibrate(&mut self) -> Result<Calibration, Failure> {
        if !self.plugin.description.lifecycle.calibrate {
            return Ok(Calibration::default());
        }
        let call = self.begin()?;
        let (Some(instance), Some(session)) = (&self.instance, self.session) else { return Err(not_open()) };
        let calibrated = call.drive(instance.calibrate(&mut self.store, session)).await;
        let calibration = self.end(call, calibrated)?;
        let figures = figures(&calibration);
        if !figures.is_empty() {
            self.store.data().logs.line(LogLevel::Info, "calibrated", figures);
        }
        Ok(calibration)
    }

    /// Take readings.
    ///
    /// # Errors
    /// When the instrument fails, breaks the contract, or a limit is met.
    pub async fn observe(&mut self, step: &str, parameters: &Parameters) -> Result<Observation, Failure> {
        let parameters = json(parameters)?;
        let call = self.begin()?;
        let (Some(instance), Some(session)) = (&self.instance, self.session) else { return Err(not_open()) };
        step.clone_into(&mut self.store.data_mut().facts.step);
        let description = &self.plugin.description;
        let observed =
            call.drive(instance.observe(&mut self.store, session, step, parameters, description)).await;
        self.store.data_mut().facts.step.clear();
        self.end(call, observed)
    }

    /// The session's state, to be restored in a fresh one.
    ///
    /// # Errors
    /// When the instrument cannot, its answer is larger than the limit on state, or a limit is met.
    pub async fn checkpoint(&mut self) -> Result<Vec<u8>, Failure> {
        let call = self.begin()?;
        let (Some(instance), Some(session)) = (&self.instance, self.session) else { return Err(not_open()) };
        let state = call.drive(instance.checkpoint(&mut self.store, session)).await;
        let state = self.end(call, state)?;
        let limit = self.store.data().limits.state_bytes;
        if state.len() as u64 > limit {
            let asked = state.len() as u64;
            return Err(Failure::ResultLimit { what: "checkpoint bytes".to_owned(), limit, asked });
        }
        Ok(state)
    }

    /// Go on from a checkpoint of the same version of the instrument with the same parameters.
    ///
    /// # Errors
    /// When the instrument cannot, or a limit is met.
    pub async fn restore(&mut self, checkpoint: &[u8]) -> Result<(), Failure> {
        let call = self.begin()?;
        let (Some(instance), Some(session)) = (&self.instance, self.session) else { return Err(not_open()) };
        let restored = call.drive(instance.restore(&mut self.store, session, checkpoint)).await;
        self.end(call, restored)
    }

    /// Close the instrument and take what the session brought. A guest that fails while it is being closed has a line in
    /// the log; its readings stand.
    pub async fn finish(mut self) -> SessionEnd {
        if self.dead.is_none()
            && !self.in_call
            && let Some(session) = self.session.take()
            && let Ok(call) = self.begin()
        {
            let dropped =
                call.drive(async { Ok(Ok(session.resource_drop_async(&mut self.store).await?)) }).await;
            if let Err(failure) = self.end::<()>(call, dropped) {
                let message = format!("closing the instrument failed: {failure}");
                self.store.data().logs.line(LogLevel::Warn, &message, Vec::new());
            }
        }
        let fuel = self.store.data().limits.fuel.map(|_| self.fuel);
        let mut guest = self.store.into_data();
        // Streams and answers that the guest left open are closed first: they have last words for log and record.
        drop(std::mem::take(&mut guest.table));
        let mut transcript = guest.recorder.transcript();
        transcript.complete &= !guest.wasi.reached_out();
        SessionEnd {
            logs: guest.logs.take(),
            usage: Usage {
                wall: self.wall,
                fuel,
                peak_memory: guest.limiter.peak_memory(),
                host_calls: guest.meter.host_calls,
                rows: guest.meter.rows,
                dropped_log_lines: guest.logs.dropped(),
            },
            transcript,
            state: if guest.stored { guest.state } else { None },
            denials: guest.wasi.denials(),
        }
    }

    fn begin(&mut self) -> Result<Call, Failure> {
        if let Some(dead) = &self.dead {
            return Err(dead.clone());
        }
        if self.in_call {
            return Err(Failure::Host { message: "the call before was abandoned".to_owned() });
        }
        if self.store.data().cancel.is_cancelled() {
            return Err(Failure::Cancelled);
        }
        let call = call::begin(&mut self.store, &self.plugin.ticker).map_err(|error| Failure::Host {
            message: format!("cannot set the limits of a call: {error:#}"),
        })?;
        self.in_call = true;
        Ok(call)
    }

    fn end<T>(&mut self, call: Call, outcome: Outcome<Result<T, Failure>>) -> Result<T, Failure> {
        self.in_call = false;
        let used = call.end(&self.store);
        self.wall += u64::try_from(used.wall.as_nanos()).unwrap_or(u64::MAX);
        self.fuel = self.fuel.saturating_add(used.fuel);
        let ended = match outcome {
            Outcome::Returned(answer) => {
                return answer.map_err(|failure| call::returned(&mut self.store, failure));
            }
            Outcome::Error(error) => Outcome::Error(error),
            Outcome::OutOfTime => Outcome::OutOfTime,
            Outcome::Cancelled => Outcome::Cancelled,
        };
        let mut failure = call::failure(&mut self.store, ended);
        // A guest that was asked to stop and traps instead has stopped.
        if self.store.data().cancel.is_cancelled() {
            failure = Failure::Cancelled;
        }
        self.dead = Some(failure.clone());
        Err(failure)
    }
}

/// A calibration for the log of the session, which is kept with the step: the figures are for the record.
fn figures(calibration: &Calibration) -> Vec<(String, String)> {
    let valid_until = calibration.valid_until.map(|time| attribute("valid_until_ns", &time.to_string()));
    let figures = calibration.attributes.iter().map(|(name, value)| attribute(name, &value_text(value)));
    figures.chain(valid_until).collect()
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Integer(integer) => integer.to_string(),
        Value::Text(text) => text.clone(),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
    }
}

/// Cannot be: a session is handed out once it is open.
fn not_open() -> Failure {
    Failure::Host { message: "the session is not open".to_owned() }
}

fn json(parameters: &Parameters) -> Result<String, Failure> {
    serde_json::to_string(parameters)
        .map_err(|error| Failure::Host { message: format!("cannot write the parameters as JSON: {error}") })
}
