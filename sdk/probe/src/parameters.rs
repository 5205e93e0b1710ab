//! Parameters of a probe.

use inquisitor_sdk::Error;
use schemars::JsonSchema;
use serde::Deserialize;

/// Where the true values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A column of the substrate.
    Substrate,
    /// A simulation.
    Simulated,
}

/// Parameters of a probe.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// `substrate` or `simulated`. By default the substrate where the inquiry has one, else a simulation.
    pub source: Option<Source>,
    /// The substrate's column to read. By default the one that is named like the quantity.
    pub column: Option<String>,
    /// The substrate's column of times. By default `time`, where there is such a column of timestamps.
    pub time: Option<String>,
    /// Read only the rows of this sensor.
    pub sensor: Option<String>,
    /// The substrate's column that names the sensor. By default `sensor`.
    pub sensor_column: Option<String>,
    /// UCUM code of the unit of the values, where it is not the column's or the usual one. Every other number here is
    /// in this unit.
    pub unit: Option<String>,
    /// Added to each value after the gain.
    pub offset: f64,
    /// Each value is multiplied by this.
    pub gain: f64,
    /// Standard deviation of the noise that is added to each value.
    #[schemars(range(min = 0.0))]
    pub noise: f64,
    /// The step to which values are rounded; it contributes step/√12 to the uncertainty.
    pub precision: Option<f64>,
    /// The true value lies within ± this of the reading; it contributes accuracy/√3 to the uncertainty.
    #[schemars(range(min = 0.0))]
    pub accuracy: Option<f64>,
    /// How far to trust the readings, 0 to 1. Simulated ones get at most 0.5.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub confidence: f64,
    /// Mean of the simulated values.
    pub baseline: Option<f64>,
    /// Standard deviation of the simulated values.
    #[schemars(range(min = 0.0))]
    pub deviation: Option<f64>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            source: None,
            column: None,
            time: None,
            sensor: None,
            sensor_column: None,
            unit: None,
            offset: 0.0,
            gain: 1.0,
            noise: 0.0,
            precision: None,
            accuracy: None,
            confidence: 1.0,
            baseline: None,
            deviation: None,
        }
    }
}

impl Parameters {
    /// The column that names the sensor.
    pub(crate) fn sensor_column(&self) -> &str {
        self.sensor_column.as_deref().unwrap_or("sensor")
    }

    /// What is wrong without a look at the substrate.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let at_least_zero =
            [("/noise", Some(self.noise)), ("/accuracy", self.accuracy), ("/deviation", self.deviation)];
        for (pointer, value) in at_least_zero {
            if value.is_some_and(|value| !(value.is_finite() && value >= 0.0)) {
                return Err(Error::invalid(pointer, "must be zero or more"));
            }
        }
        if self.precision.is_some_and(|step| !(step.is_finite() && step > 0.0)) {
            return Err(Error::invalid("/precision", "must be more than zero; leave it out to not round"));
        }
        if !self.gain.is_finite() || self.gain == 0.0 {
            return Err(Error::invalid("/gain", "must not be zero: every reading would be the offset"));
        }
        if !(0.0..=1.0).contains(&self.confidence) {
            return Err(Error::invalid("/confidence", "must lie between 0 and 1"));
        }
        if self.unit.as_deref() == Some("") {
            return Err(Error::invalid("/unit", "must be a UCUM code"));
        }
        Ok(())
    }
}
