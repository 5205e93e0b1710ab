//! A test bench: run an instrument natively, under a plain `cargo test`, against a host that does exactly what the test
//! says.
//!
//! Nothing on it is real: the clock stands still but for sleeps, which end at once; random numbers come from a seed; the
//! substrate is a table in memory. Parameters go through the same parser as in a component, so that a test also finds
//! what a manifest would be refused for. Not for use in components.
//!
//! ```
//! # use inquisitor_sdk::{About, Context, Error, Instrument, NoParameters, Observation, Reading};
//! # struct Thermometer;
//! # impl Instrument for Thermometer {
//! #     type Parameters = NoParameters;
//! #     type Step = NoParameters;
//! #     fn about() -> About { About::new("thermometer").quantity("temperature", "Cel", "") }
//! #     fn open(_: NoParameters, _: &Context) -> Result<Self, Error> { Ok(Self) }
//! #     fn observe(&mut self, _: NoParameters, context: &Context) -> Result<Observation, Error> {
//! #         let mut observation = context.observation();
//! #         observation.push(Reading::of("temperature", 4.0).at(context.now()))?;
//! #         Ok(observation)
//! #     }
//! # }
//! use inquisitor_sdk::testing::{Bench, json};
//!
//! let bench = Bench::<Thermometer>::new().clock(1_000);
//! let observation = bench.observe(json!({})).unwrap();
//! assert_eq!(observation.readings()[0].time, Some(1_000));
//! ```

mod columns;
mod fake;
mod logger;

use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

pub use columns::Columns;
pub use serde_json::{Value as Json, json};

use crate::about::{Capability, schemas};
use crate::context::{Context, Facts};
use crate::error::Error;
use crate::instrument::{Calibration, Instrument, checked_checkpoint};
use crate::logging::LogLine;
use crate::parameters;
use crate::reading::{Observation, Quantity, check_attributes};
use fake::Fake;

/// What a host would be told of the instrument.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// The other names it goes by.
    pub aliases: Vec<String>,
    /// What it may give readings of.
    pub quantities: Vec<Quantity>,
    /// JSON Schema of the parameters.
    pub parameters_schema: Json,
    /// JSON Schema of a step's parameters.
    pub step_parameters_schema: Json,
    /// The access that it would like to have.
    pub capabilities: Vec<Capability>,
    /// Whether a host calls [`Instrument::calibrate`].
    pub calibrates: bool,
    /// Whether a host calls [`Instrument::checkpoint`] and [`Instrument::restore`].
    pub checkpoints: bool,
}

/// A bench for one instrument. Build it up, then [`Bench::observe`] or, for more than one call, [`Bench::open`].
pub struct Bench<I> {
    parameters: Json,
    fake: Rc<Fake>,
    instrument: PhantomData<I>,
}

impl<I: Instrument> Default for Bench<I> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I: Instrument> Bench<I> {
    /// A bench with empty parameters, no substrate, no kept state, seed 0, and the clock at 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        logger::install();
        Self { parameters: json!({}), fake: Rc::new(Fake::new()), instrument: PhantomData }
    }

    /// The instrument's parameters, a JSON object.
    #[must_use]
    pub fn parameters(mut self, parameters: Json) -> Self {
        self.parameters = parameters;
        self
    }

    /// The data under inquiry.
    #[must_use]
    pub fn substrate(self, columns: Columns) -> Self {
        *self.fake.substrate.borrow_mut() = Some(columns);
        self
    }

    /// The time of day, nanoseconds since the Unix epoch.
    #[must_use]
    pub fn clock(self, now: i64) -> Self {
        self.fake.wall.set(now);
        self
    }

    /// The seed of the random numbers.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.fake.seed(seed);
        self
    }

    /// The facts of the step. Its name is there only while the instrument observes.
    #[must_use]
    pub fn facts(self, facts: Facts) -> Self {
        *self.fake.facts.borrow_mut() = facts;
        self
    }

    /// The bytes that an earlier step kept.
    #[must_use]
    pub fn state(self, bytes: impl Into<Vec<u8>>) -> Self {
        *self.fake.state.borrow_mut() = Some(bytes.into());
        self
    }

    /// Whether the inquiry no longer wants the answer.
    #[must_use]
    pub fn cancelled(self, cancelled: bool) -> Self {
        self.fake.cancelled.set(cancelled);
        self
    }

    /// What a host would be told of the instrument.
    ///
    /// # Panics
    /// When `about()` breaks the contract: a bad name, no quantity, a quantity without a unit. A component would trap.
    pub fn describe(&self) -> Description {
        let about = I::about();
        if let Err(problem) = about.check() {
            panic!("`about()` breaks the contract: {problem}");
        }
        let (parameters_schema, step_parameters_schema) = schemas::<I>();
        Description {
            name: about.name,
            aliases: about.aliases,
            quantities: about.quantities,
            parameters_schema,
            step_parameters_schema,
            capabilities: about.capabilities,
            calibrates: about.calibrates,
            checkpoints: about.checkpoints,
        }
    }

    /// Open the instrument.
    ///
    /// # Errors
    /// As the host would get them: of the parameters, or of the instrument.
    ///
    /// # Panics
    /// When `about()` breaks the contract.
    pub fn open(&self) -> Result<Session<I>, Error> {
        let quantities = self.describe().quantities;
        logger::capture(Rc::clone(&self.fake.logs));
        let context = Context::new(Rc::clone(&self.fake) as _, quantities.into());
        let parameters = parameters::parse(&self.parameters.to_string())?;
        let instrument = I::open(parameters, &context)?;
        Ok(Session { instrument, context, fake: Rc::clone(&self.fake) })
    }

    /// Open the instrument, calibrate it where its lifecycle says so, and take readings once.
    ///
    /// # Errors
    /// Of whichever call fails first.
    ///
    /// # Panics
    /// When `about()` breaks the contract.
    pub fn observe(&self, step: Json) -> Result<Observation, Error> {
        let mut session = self.open()?;
        if I::about().calibrates {
            session.calibrate()?;
        }
        session.observe(step)
    }

    /// What was logged so far.
    pub fn logs(&self) -> Vec<LogLine> {
        self.fake.logs.borrow().clone()
    }

    /// The progress reported so far.
    pub fn progress(&self) -> Vec<(f64, String)> {
        self.fake.progress.borrow().clone()
    }

    /// How long it slept each time; no time passed.
    pub fn sleeps(&self) -> Vec<Duration> {
        self.fake.sleeps.borrow().clone()
    }

    /// The bytes it keeps for later steps: those that its last successful observation stored, else those that
    /// [`Bench::state`] gave.
    pub fn kept_state(&self) -> Option<Vec<u8>> {
        self.fake.state.borrow().clone()
    }
}

/// An instrument that was opened on a bench.
pub struct Session<I> {
    instrument: I,
    context: Context,
    fake: Rc<Fake>,
}

impl<I: Instrument> Session<I> {
    /// Calibrate the instrument.
    ///
    /// # Errors
    /// Of the instrument, or when the calibration breaks the contract.
    ///
    /// # Panics
    /// When `about()` does not say [`crate::About::calibrates`]: no host would make this call.
    pub fn calibrate(&mut self) -> Result<Calibration, Error> {
        assert!(I::about().calibrates, "no host calls `calibrate`, because `about()` lacks `.calibrates()`");
        self.capture();
        let calibration = self.instrument.calibrate(&self.context)?;
        check_attributes(&calibration.attributes)
            .map_err(|problem| Error::failed(format!("the calibration breaks the contract: {problem}")))?;
        Ok(calibration)
    }

    /// Take readings, with the parameters of a step, a JSON object. State that it stores is kept only where it succeeds.
    ///
    /// # Errors
    /// As the host would get them: of the parameters, or of the instrument.
    pub fn observe(&mut self, step: Json) -> Result<Observation, Error> {
        self.capture();
        let step = parameters::parse(&step.to_string())?;
        self.fake.in_step(|| self.instrument.observe(step, &self.context))
    }

    /// The session's state.
    ///
    /// # Errors
    /// Of the instrument, or when the state is larger than a host takes.
    ///
    /// # Panics
    /// When `about()` does not say [`crate::About::checkpoints`]: no host would make this call.
    pub fn checkpoint(&mut self) -> Result<Vec<u8>, Error> {
        must_have_checkpoints::<I>();
        self.capture();
        checked_checkpoint(&mut self.instrument, &self.context)
    }

    /// Go on from a checkpoint.
    ///
    /// # Errors
    /// Of the instrument.
    ///
    /// # Panics
    /// When `about()` does not say [`crate::About::checkpoints`]: no host would make this call.
    pub fn restore(&mut self, checkpoint: &[u8]) -> Result<(), Error> {
        must_have_checkpoints::<I>();
        self.capture();
        self.instrument.restore(checkpoint, &self.context)
    }

    fn capture(&self) {
        logger::capture(Rc::clone(&self.fake.logs));
    }
}

impl<I: std::fmt::Debug> std::fmt::Debug for Session<I> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Session").field("instrument", &self.instrument).finish_non_exhaustive()
    }
}

fn must_have_checkpoints<I: Instrument>() {
    assert!(
        I::about().checkpoints,
        "no host calls `checkpoint` or `restore`, because `about()` lacks `.checkpoints()`"
    );
}

#[cfg(test)]
mod tests;
