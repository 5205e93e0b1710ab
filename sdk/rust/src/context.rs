//! What an instrument may know and do while it works.

use std::rc::Rc;
use std::time::Duration;

use crate::error::Error;
use crate::host::Host;
use crate::random::Random;
use crate::reading::{Observation, Quantity};
use crate::substrate::Substrate;

/// The facts of the step that is running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Identifier of the inquiry.
    pub inquiry: String,
    /// Name of the step; empty outside of `observe`.
    pub step: String,
    /// Identifier that the manifest gives this instrument.
    pub instrument: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When the step was started, nanoseconds since the Unix epoch.
    pub started: i64,
    /// When the host will end the call, nanoseconds since the Unix epoch; none where no limit is set.
    pub deadline: Option<i64>,
}

/// The way to everything outside of the instrument. In a component it is the host, on a
/// test bench it is a fake; the instrument can't tell.
///
/// Log lines do not go through it but through the `log` crate ([`crate::log`]): `log::info!("opened {port}")`.
pub struct Context {
    host: Rc<dyn Host>,
    quantities: Rc<[Quantity]>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Context").field("quantities", &self.quantities).finish_non_exhaustive()
    }
}

impl Context {
    pub(crate) fn new(host: Rc<dyn Host>, quantities: Rc<[Quantity]>) -> Self {
        Self { host, quantities }
    }

    /// An empty observation, to push readings into. It knows the quantities that `about()` declares.
    pub fn observation(&self) -> Observation {
        Observation::new(Rc::clone(&self.quantities))
    }

    /// The facts of the step that is running.
    pub fn facts(&self) -> Facts {
        self.host.facts()
    }

    /// The time of day, nanoseconds since the Unix epoch.
    pub fn now(&self) -> i64 {
        self.host.now()
    }

    /// Time since a moment that does not move during the session; for measuring how long something takes.
    pub fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.host.monotonic())
    }

    /// Wait. The call's limit on wall time goes on running.
    pub fn sleep(&self, duration: Duration) {
        if !duration.is_zero() {
            self.host.sleep(duration);
        }
    }

    /// Random numbers that the host seeds and records. Each call goes on where the session's last one stopped reading.
    pub fn random(&self) -> Random {
        Random::new(Rc::clone(&self.host))
    }

    /// The data under inquiry.
    pub fn substrate(&self) -> Substrate<'_> {
        Substrate::new(&*self.host)
    }

    /// The bytes that an earlier step of this inquiry kept for this instrument, or none.
    pub fn load_state(&self) -> Option<Vec<u8>> {
        self.host.load_state()
    }

    /// Keep bytes for later steps of this inquiry, in place of the ones before. They count only when the step is
    /// recorded: a step that failed has changed nothing.
    ///
    /// # Errors
    /// When there are more than the host keeps (1 MiB unless it says otherwise).
    pub fn store_state(&self, bytes: &[u8]) -> Result<(), Error> {
        self.host.store_state(bytes).map_err(|bound| {
            Error::failed(format!("the state has {} bytes; the host keeps at most {bound}", bytes.len()))
        })
    }

    /// Say how far the work is, 0 to 1, and what is being done. Cheap enough to call for every batch.
    pub fn progress(&self, fraction: f64, message: &str) {
        // Zero of zero rows is no number; nothing was done yet.
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        self.host.progress(fraction, message);
    }

    /// Whether the inquiry no longer wants the answer. An instrument that works for long asks now and then and returns
    /// early, with any error, when it is true.
    pub fn cancelled(&self) -> bool {
        self.host.cancelled()
    }
}
