//! The exports of the contract, for any instrument.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use super::bindings::exports::inquisitor::instrument::instrument as wire;
use super::bindings::exports::inquisitor::instrument::metadata;
use super::convert;
use super::sandbox::{Sandbox, set_up};
use crate::Error;
use crate::about::{Capability, schemas};
use crate::context::Context;
use crate::instrument::{Instrument, checked_checkpoint};
use crate::parameters;
use crate::reading::check_attributes;

/// What [`crate::export!`] knows of the crate that it is used in.
pub trait Plugin: 'static {
    /// The instrument.
    type Instrument: Instrument;
    /// Version of the crate.
    const VERSION: &'static str;
    /// Description of the crate; may be empty.
    const SUMMARY: &'static str;
}

/// The exports of one plugin.
pub struct Exports<P>(PhantomData<P>);

impl<P: Plugin> metadata::Guest for Exports<P> {
    fn describe() -> metadata::Description {
        set_up();
        let about = P::Instrument::about();
        if let Err(problem) = about.check() {
            // There is no error to return here: the call ends in a trap, and the host's log says why.
            panic!("`about()` breaks the contract: {problem}");
        }
        let (parameters_schema, step_parameters_schema) = schemas::<P::Instrument>();
        let mut lifecycle = metadata::Lifecycle::empty();
        lifecycle.set(metadata::Lifecycle::CALIBRATE, about.calibrates);
        lifecycle.set(metadata::Lifecycle::CHECKPOINT, about.checkpoints);
        metadata::Description {
            name: about.name,
            version: about.version.unwrap_or_else(|| P::VERSION.to_owned()),
            summary: about.summary.unwrap_or_else(|| P::SUMMARY.to_owned()),
            aliases: about.aliases,
            quantities: about
                .quantities
                .into_iter()
                .map(|quantity| metadata::Quantity {
                    name: quantity.name,
                    unit: quantity.unit,
                    description: quantity.description,
                })
                .collect(),
            parameters_schema: parameters_schema.to_string(),
            step_parameters_schema: step_parameters_schema.to_string(),
            capabilities: about
                .capabilities
                .into_iter()
                .map(|capability| match capability {
                    Capability::Http(authority) => metadata::Capability::Http(authority),
                    Capability::Tcp(address) => metadata::Capability::Tcp(address),
                    Capability::ReadFiles(path) => metadata::Capability::ReadFiles(path),
                    Capability::WriteFiles(path) => metadata::Capability::WriteFiles(path),
                })
                .collect(),
            lifecycle,
        }
    }
}

impl<P: Plugin> wire::Guest for Exports<P> {
    type Session = Session<P::Instrument>;
}

/// One open instrument.
pub struct Session<I> {
    instrument: RefCell<I>,
    context: Context,
}

impl<I: Instrument> wire::GuestSession for Session<I> {
    fn open(parameters: String) -> Result<wire::Session, wire::Error> {
        set_up();
        let context = Context::new(Rc::new(Sandbox), I::about().quantities.into());
        parameters::parse(&parameters)
            .and_then(|parameters| I::open(parameters, &context))
            .map(|instrument| wire::Session::new(Self { instrument: RefCell::new(instrument), context }))
            .map_err(convert::error)
    }

    fn calibrate(&self) -> Result<wire::Calibration, wire::Error> {
        let calibration = self.instrument.borrow_mut().calibrate(&self.context).map_err(convert::error)?;
        check_attributes(&calibration.attributes).map_err(|problem| {
            convert::error(Error::failed(format!("the calibration breaks the contract: {problem}")))
        })?;
        Ok(wire::Calibration {
            valid_until: calibration.valid_until,
            attributes: convert::attributes(calibration.attributes),
        })
    }

    fn observe(&self, step: wire::Step) -> Result<wire::Observation, wire::Error> {
        parameters::parse(&step.parameters)
            .and_then(|step| self.instrument.borrow_mut().observe(step, &self.context))
            .map(convert::observation)
            .map_err(convert::error)
    }

    fn checkpoint(&self) -> Result<Vec<u8>, wire::Error> {
        checked_checkpoint(&mut *self.instrument.borrow_mut(), &self.context).map_err(convert::error)
    }

    fn restore(&self, checkpoint: Vec<u8>) -> Result<(), wire::Error> {
        self.instrument.borrow_mut().restore(&checkpoint, &self.context).map_err(convert::error)
    }
}
