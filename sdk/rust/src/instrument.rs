//! The trait that an author implements.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::about::About;
use crate::context::Context;
use crate::error::Error;
use crate::reading::{Observation, Value};

/// Bytes that a checkpoint may have; the contract's bound.
pub const MAX_CHECKPOINT_BYTES: usize = 1 << 20;

/// An instrument: opened with the parameters of the manifest, calibrated where it says so, then observed step by step.
///
/// [`crate::export!`] makes a component of it. Doc comments on the fields of the parameter types become
/// the descriptions in their JSON Schema; put `#[serde(deny_unknown_fields)]` on them, so that a misspelt parameter is
/// an error and not a default.
pub trait Instrument: Sized + 'static {
    /// The parameters in the manifest's list of instruments; [`crate::NoParameters`] where there are none.
    type Parameters: DeserializeOwned + JsonSchema;
    /// The parameters of a step; [`crate::NoParameters`] where there are none.
    type Step: DeserializeOwned + JsonSchema;

    /// What the instrument says of itself. Must not depend on anything but the code.
    fn about() -> About;

    /// Open the instrument.
    ///
    /// # Errors
    /// [`Error::invalid`] for a parameter whose type is right and whose value is not, [`Error::unavailable`] when what
    /// it needs is not there.
    fn open(parameters: Self::Parameters, context: &Context) -> Result<Self, Error>;

    /// Bring the instrument into a known state and test that it can measure. Called once before the first
    /// observation, where [`About::calibrates`] says so.
    ///
    /// # Errors
    /// When the instrument cannot measure.
    fn calibrate(&mut self, context: &Context) -> Result<Calibration, Error> {
        let _ = context;
        Ok(Calibration::default())
    }

    /// Take readings.
    ///
    /// # Errors
    /// When there is no reading to give; see [`Error`] for which error says what.
    fn observe(&mut self, step: Self::Step, context: &Context) -> Result<Observation, Error>;

    /// The session's state, such that [`Instrument::restore`] in a fresh instance goes on where this one stood. At most
    /// [`MAX_CHECKPOINT_BYTES`]. Called only where [`About::checkpoints`] says so.
    ///
    /// # Errors
    /// When the state cannot be saved.
    fn checkpoint(&mut self, context: &Context) -> Result<Vec<u8>, Error> {
        let _ = context;
        Err(Error::failed("this instrument has no checkpoints"))
    }

    /// Go on from a checkpoint that the same version of the instrument made with the same parameters. Called after
    /// `open`, in place of `calibrate`.
    ///
    /// # Errors
    /// When the checkpoint is not one of this version.
    fn restore(&mut self, checkpoint: &[u8], context: &Context) -> Result<(), Error> {
        let _ = (checkpoint, context);
        Err(Error::failed("this instrument has no checkpoints"))
    }
}

/// Take a checkpoint, and check it against the contract's bound.
///
/// # Errors
/// Of the instrument, or when there are too many bytes.
pub(crate) fn checked_checkpoint<I: Instrument>(
    instrument: &mut I,
    context: &Context,
) -> Result<Vec<u8>, Error> {
    let bytes = instrument.checkpoint(context)?;
    if bytes.len() > MAX_CHECKPOINT_BYTES {
        return Err(Error::failed(format!(
            "the checkpoint has {} bytes; at most {MAX_CHECKPOINT_BYTES} are allowed",
            bytes.len()
        )));
    }
    Ok(bytes)
}

/// The result of a calibration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Calibration {
    /// Until when it holds, nanoseconds since the Unix epoch, where that is known.
    pub valid_until: Option<i64>,
    /// Figures for the record: offsets, gains, residuals.
    pub attributes: Vec<(String, Value)>,
}

impl Calibration {
    /// Until when the calibration holds, nanoseconds since the Unix epoch.
    #[must_use]
    pub fn valid_until(mut self, time: i64) -> Self {
        self.valid_until = Some(time);
        self
    }

    /// A figure for the record.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }
}
