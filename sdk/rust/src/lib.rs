//! Write an instrument for Inquisitor: implement [`Instrument`], call [`export!`], build the crate to a component.
//!
//! This crate is the guest's half of the contract in `wit/`. It turns JSON parameters into the author's types, checks
//! readings before they leave, carries the substrate across the sandbox batch by batch, and sends log lines and panics
//! to the host. It is not a host, knows no runtime, and does no input or output of its own.
//!
//! An instrument sees the world through [`Context`] alone, so the same code runs in a component and, natively, on the
//! bench of the `testing` module under a plain `cargo test`.
//!
//! Where to start reading: the trait [`Instrument`], then [`Context`], then [`Observation`]; the README has a tutorial.

#![deny(missing_docs, unsafe_code)]

mod about;
mod context;
mod error;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
mod host;
mod instrument;
mod logging;
mod parameters;
mod random;
mod reading;
mod substrate;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use about::{About, Capability};
pub use context::{Context, Facts};
pub use error::Error;
pub use instrument::{Calibration, Instrument, MAX_CHECKPOINT_BYTES};
pub use logging::LogLine;
pub use parameters::NoParameters;
pub use random::Random;
pub use reading::{
    ANY_QUANTITY, InvalidReading, MAX_ATTRIBUTE_NAME, MAX_ATTRIBUTES, Observation, Quantity, Reading, Series,
    Value, is_quantity_name,
};
pub use substrate::{
    Batch, Cells, ColumnInfo, ColumnType, DEFAULT_BATCH_ROWS, Rows, Selection, Substrate, SubstrateError,
};

/// The `log` crate, whose lines go to the log of the inquiry. Traces do not, until the instrument asks for them with
/// `log::set_max_level(log::LevelFilter::Trace)`.
pub use log;

/// Make a component of an instrument: `inquisitor_sdk::export!(MyInstrument);`, once in a crate of type `cdylib`.
///
/// The version and the summary of the instrument are the crate's version and description, unless `about()` says
/// otherwise. Natively the macro only checks that the type is an instrument.
#[macro_export]
macro_rules! export {
    ($instrument:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Plugin;
            impl $crate::guest::Plugin for Plugin {
                type Instrument = $instrument;
                const VERSION: &'static str = env!("CARGO_PKG_VERSION");
                const SUMMARY: &'static str = env!("CARGO_PKG_DESCRIPTION");
            }
            type Exports = $crate::guest::Exports<Plugin>;
    $crate::guest::bindings::export_instrument!(Exports with_types_in $crate::guest::bindings);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = $crate::must_be_an_instrument::<$instrument>;
    };
}

#[doc(hidden)]
pub fn must_be_an_instrument<I: Instrument>() {}
