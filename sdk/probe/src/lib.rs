//! A scalar probe: what instruments for one continuous quantity, such as a temperature, have in common.
//!
//! A probe takes the true values from a column of the substrate, or simulates them where there is none, and answers as a
//! real sensor would: with an offset, a gain, noise and a finite resolution. It is not an instrument by itself: the crate
//! of one names its [`Kind`] and hands its calls on.
//!
//! # Uncertainty
//! Each reading `y = gain · x + offset + noise`, rounded to `precision`, has the combined standard uncertainty of the
//! GUM (JCGM 100:2008, 5.1.2), of independent contributions:
//!
//! | contribution | distribution | standard uncertainty | GUM |
//! |---|---|---|---|
//! | `noise`, a standard deviation | normal | noise | 4.2 |
//! | `accuracy` a, the true value lies within ± a | rectangular | a / √3 | 4.3.7 |
//! | `precision` d, the step of the display | rectangular, ± d/2 | d / √12 | F.2.2.1 |
//!
//! Where none of the three is given, the uncertainty of a reading of the substrate is unknown, and it says so by having
//! none. A simulated reading estimates the mean of the simulation, from which it strays by `deviation`: that is a
//! contribution of its own.
//!
//! Where to start reading: [`Parameters`], then [`Probe`].

#![deny(missing_docs, unsafe_code)]

mod parameters;
mod response;

use inquisitor_sdk::{
    Calibration, ColumnInfo, ColumnType, Context, Error, Observation, Reading, Selection, Series, log,
};

pub use parameters::{Parameters, Source};
use response::Response;

/// Rows asked for at a time.
const BATCH_ROWS: u32 = 16_384;
/// Confidence in a simulated reading at most: it says nothing of the world.
pub const SIMULATED_CONFIDENCE: f64 = 0.5;

/// What a probe measures, and what it would find in a room where nothing happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kind {
    /// The quantity; also the default name of the column.
    pub quantity: &'static str,
    /// UCUM code of the unit where the column has none.
    pub unit: &'static str,
    /// Mean of the simulated values.
    pub baseline: f64,
    /// Standard deviation of the simulated values.
    pub deviation: f64,
    /// Simulated values lie between these.
    pub range: (f64, f64),
}

/// An open probe.
#[derive(Debug)]
pub struct Probe {
    kind: Kind,
    parameters: Parameters,
    response: Response,
}

/// Where the true values come from.
enum Origin {
    /// A column with its unit, and the column of the times.
    Column { name: String, unit: String, time: Option<String> },
    /// Nowhere.
    Simulation,
}

impl Probe {
    /// Open a probe.
    ///
    /// # Errors
    /// A pointer to the parameter whose value is out of range.
    pub fn open(kind: Kind, parameters: Parameters) -> Result<Self, Error> {
        parameters.check()?;
        let response = Response::new(&parameters);
        Ok(Self { kind, parameters, response })
    }

    /// Test that there is something to measure, and record the calibration.
    ///
    /// # Errors
    /// A pointer to the parameter that does not fit the substrate.
    pub fn calibrate(&self, context: &Context) -> Result<Calibration, Error> {
        self.origin(context)?;
        let mut calibration = Calibration::default()
            .attribute("offset", self.parameters.offset)
            .attribute("gain", self.parameters.gain);
        if let Some(uncertainty) = self.response.uncertainty() {
            calibration = calibration.attribute("standard_uncertainty", uncertainty);
        }
        Ok(calibration)
    }

    /// Measure: every row of the substrate, or one simulated value.
    ///
    /// # Errors
    /// A pointer to the parameter that does not fit the substrate; what the substrate says.
    pub fn observe(&self, context: &Context) -> Result<Observation, Error> {
        match self.origin(context)? {
            Origin::Column { name, unit, time } => self.measure(&name, &unit, time.as_deref(), context),
            Origin::Simulation => self.simulate(context),
        }
    }

    fn origin(&self, context: &Context) -> Result<Origin, Error> {
        let parameters = &self.parameters;
        if parameters.source == Some(Source::Simulated) {
            return Ok(Origin::Simulation);
        }
        let Some(columns) = context.substrate().columns_if_any()? else {
            return match parameters.source {
                Some(_) => {
                    Err(Error::invalid("/source", "the inquiry has no substrate; leave this out to simulate"))
                }
                None => Ok(Origin::Simulation),
            };
        };
        let name = parameters.column.as_deref().unwrap_or(self.kind.quantity);
        let column = find(&columns, name, "/column")?;
        if !matches!(column.kind, ColumnType::Number | ColumnType::Integer) {
            return Err(Error::invalid("/column", not_of(column, "numbers")));
        }
        let time = match &parameters.time {
            Some(time) => {
                let column = find(&columns, time, "/time")?;
                if column.kind != ColumnType::Timestamp {
                    return Err(Error::invalid("/time", not_of(column, "timestamps")));
                }
                Some(time.clone())
            }
            None => columns
                .iter()
                .find(|column| column.name == "time" && column.kind == ColumnType::Timestamp)
                .map(|column| column.name.clone()),
        };
        if parameters.sensor.is_some() {
            find(&columns, parameters.sensor_column(), "/sensor")?;
        }
        let unit = parameters.unit.as_deref().or(column.unit.as_deref()).unwrap_or(self.kind.unit);
        Ok(Origin::Column { name: name.to_owned(), unit: unit.to_owned(), time })
    }

    fn measure(
        &self,
        name: &str,
        unit: &str,
        time: Option<&str>,
        context: &Context,
    ) -> Result<Observation, Error> {
        let mut selection = Selection::columns([name].into_iter().chain(time));
        if let Some(sensor) = &self.parameters.sensor {
            selection = selection.where_equal(self.parameters.sensor_column(), sensor.as_str());
        }
        let mut random = context.random();
        let (mut values, mut times, mut absent) = (Vec::new(), Vec::new(), 0_u64);
        for batch in context.substrate().rows(&selection)?.batch_rows(BATCH_ROWS) {
            if context.cancelled() {
                return Err(Error::failed("the inquiry was cancelled"));
            }
            let batch = batch?;
            let cells = batch.f64_column(name)?;
            let moments = time.map(|time| batch.time_column(time)).transpose()?;
            for row in 0..batch.rows() {
                let moment = moments.as_ref().map(|moments| moments.get(row).copied());
                match cells.get(row) {
                    Some(value) if value.is_finite() && moment != Some(None) => {
                        values.push(self.response.of(*value, &mut random));
                        times.extend(moment.flatten());
                    }
                    _ => absent += 1,
                }
            }
        }
        if absent > 0 {
            log::warn!(rows = absent; "{absent} rows have no {name} or no time; they are left out");
        }
        if values.is_empty() {
            return Err(Error::failed(match &self.parameters.sensor {
                Some(sensor) => format!("the substrate has no {name} of the sensor `{sensor}`"),
                None => format!("the substrate has no {name}"),
            }));
        }
        let mut series = Series::of(self.kind.quantity, values)
            .unit(unit)
            .times(times)
            .confidence(self.parameters.confidence);
        if let Some(uncertainty) = self.response.uncertainty() {
            series = series.uncertainty(uncertainty);
        }
        if let Some(sensor) = &self.parameters.sensor {
            series = series.attribute("sensor", sensor.as_str());
        }
        let mut observation = context.observation();
        observation.push_series(series)?;
        Ok(observation)
    }

    fn simulate(&self, context: &Context) -> Result<Observation, Error> {
        log::warn!("this {} is simulated: it says nothing of the world", self.kind.quantity);
        let mut random = context.random();
        let mean = self.parameters.baseline.unwrap_or(self.kind.baseline);
        let deviation = self.parameters.deviation.unwrap_or(self.kind.deviation);
        let truth = random.normal(mean, deviation).clamp(self.kind.range.0, self.kind.range.1);
        let mut reading = Reading::of(self.kind.quantity, self.response.of(truth, &mut random))
            .unit(self.parameters.unit.as_deref().unwrap_or(self.kind.unit))
            .confidence(self.parameters.confidence.min(SIMULATED_CONFIDENCE))
            .at(context.now())
            .attribute("simulated", true);
        reading.uncertainty = Some(self.response.uncertainty().unwrap_or(0.0).hypot(deviation));
        let mut observation = context.observation();
        observation.push(reading)?;
        Ok(observation)
    }
}

fn find<'c>(columns: &'c [ColumnInfo], name: &str, pointer: &str) -> Result<&'c ColumnInfo, Error> {
    columns.iter().find(|column| column.name == name).ok_or_else(|| {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        Error::invalid(pointer, format!("the substrate has no column `{name}`; it has {}", names.join(", ")))
    })
}

fn not_of(column: &ColumnInfo, wanted: &str) -> String {
    format!("column `{}` holds {} values where {wanted} are needed", column.name, column.kind.name())
}

#[cfg(test)]
mod tests;
