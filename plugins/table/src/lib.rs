//! `table`: columns of the substrate become readings.
//!
//! Number columns (and integer ones, where a series of real numbers is asked for by an uncertainty) go out as series, so
//! that a file of any size costs no more memory than its readings; integer, boolean and text columns as readings one by
//! one, each with its row. Absent values are left out and counted in a log line.

#![deny(missing_docs, unsafe_code)]

mod parameters;
mod read;

use inquisitor_sdk::{
    ANY_QUANTITY, About, ColumnInfo, Context, Error, Instrument, NoParameters, Observation,
};

use crate::parameters::{Parameters, Plan};

struct Table {
    parameters: Parameters,
}

impl Instrument for Table {
    type Parameters = Parameters;
    type Step = NoParameters;

    fn about() -> About {
        About::new("table").quantity(
            ANY_QUANTITY,
            "1",
            "Whatever the parameters `value` and `quantity` say, in the unit of `unit` or of the column",
        )
    }

    fn open(parameters: Parameters, _context: &Context) -> Result<Self, Error> {
        parameters.check()?;
        Ok(Self { parameters })
    }

    fn observe(&mut self, _step: NoParameters, context: &Context) -> Result<Observation, Error> {
        let columns: Vec<ColumnInfo> = context.substrate().columns()?;
        let plan = Plan::new(&self.parameters, &columns)?;
        read::read(&plan, context)
    }
}

inquisitor_sdk::export!(Table);

#[cfg(test)]
mod tests;
