//! `temperature_simulator`: a room or a cold store over the day, seen by one or more sensors.
//!
//! At `t` after the start, the swing is `amplitude · sin(2π t / period)`. A sensor's temperature is `baseline` + swing +
//! `noise · n₁`, then what its faults make of it; its humidity is `humidity` − 2 · swing + `humidity_noise · n₂`, kept
//! within 0 and 100. Air that warms takes up no water, so that its relative humidity falls; the factor 2 is of the
//! order seen in rooms. Sensor `s` (from 0) draws `n₁`, then `n₂`, from stream `1 + s`.

use std::borrow::Cow;

use inquisitor_manifest::spec::Parameters;

use super::fault::{self, Fault, Faults};
use super::gaussian::MAX_MAGNITUDE;
use super::random::{Draws, Seed};
use super::timeline::{Position, Timeline, sensors};
use crate::batch::SourceError;
use crate::cell::Cell;
use crate::parameters::Reader;
use crate::reader::Records;
use inquisitor_manifest::ParameterProblem;

/// Percent of relative humidity lost per kelvin of swing.
const HUMIDITY_PER_KELVIN: f64 = 2.0;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Temperature {
    baseline: f64,
    amplitude: f64,
    /// Nanoseconds.
    period: i64,
    noise: f64,
    humidity: f64,
    humidity_noise: f64,
    timeline: Timeline,
    sensors: Vec<String>,
    faults: Vec<Fault>,
}

const KNOWN: &[&str] = &[
    "baseline",
    "mean",
    "amplitude",
    "period",
    "noise",
    "stddev",
    "humidity",
    "humidity_noise",
    "samples",
    "interval",
    "start",
    "sensors",
    "faults",
    "seed",
];

impl Temperature {
    pub(super) fn read(parameters: &Parameters) -> Result<Self, Vec<ParameterProblem>> {
        let mut reader = Reader::new(parameters, "/parameters", KNOWN);
        Seed::check(&mut reader);
        let baseline = reader.alias("baseline", "mean");
        let noise = reader.alias("noise", "stddev");
        let sensors = sensors(&mut reader);
        let timeline = Timeline::read(&mut reader, 60_000_000_000, sensors.len());
        let temperature = Self {
            baseline: reader.number(baseline, -MAX_MAGNITUDE..=MAX_MAGNITUDE).unwrap_or(20.0),
            amplitude: reader.number("amplitude", 0.0..=MAX_MAGNITUDE).unwrap_or(0.0),
            period: reader.duration("period").unwrap_or(86_400_000_000_000),
            noise: reader.number(noise, 0.0..=MAX_MAGNITUDE).unwrap_or(0.1),
            humidity: reader.number("humidity", 0.0..=100.0).unwrap_or(50.0),
            humidity_noise: reader.number("humidity_noise", 0.0..=100.0).unwrap_or(0.5),
            faults: fault::read(&mut reader, &timeline, &sensors),
            timeline,
            sensors,
        };
        if reader.problems.is_empty() { Ok(temperature) } else { Err(reader.problems) }
    }

    pub(super) fn records(&self, seed: &Seed) -> TemperatureRecords {
        TemperatureRecords {
            draws: (1_u64..).take(self.sensors.len()).map(|stream| seed.stream(stream)).collect(),
            faults: Faults::new(&self.faults, self.sensors.len(), seed),
            temperature: self.clone(),
            position: Position::BEFORE,
            celsius: None,
            humidity: 0.0,
        }
    }
}

pub(super) struct TemperatureRecords {
    temperature: Temperature,
    draws: Vec<Draws>,
    faults: Faults,
    position: Position,
    celsius: Option<f64>,
    humidity: f64,
}

impl Records for TemperatureRecords {
    fn advance(&mut self) -> Result<bool, SourceError> {
        let model = &self.temperature;
        if !self.position.advance(&model.timeline, model.sensors.len()) {
            return Ok(false);
        }
        let sensor = self.position.sensor;
        let time = model.timeline.at(self.position.moment);
        // The remainder first, in integers: exact however long the record is.
        let into_period = i128::from(time) - i128::from(model.timeline.start);
        let into_period = into_period.rem_euclid(i128::from(model.period));
        #[allow(clippy::cast_precision_loss)]
        let turn = into_period as f64 / model.period as f64;
        let swing = model.amplitude * libm::sin(std::f64::consts::TAU * turn);
        let draws = &mut self.draws[sensor];
        let sensed = model.baseline + swing + model.noise * draws.normal();
        let humidity = model.humidity - HUMIDITY_PER_KELVIN * swing + model.humidity_noise * draws.normal();
        self.celsius = self.faults.apply(sensor, time, sensed);
        self.humidity = humidity.clamp(0.0, 100.0);
        Ok(true)
    }

    fn cell(&self, column: usize) -> Result<Cell<'_>, SourceError> {
        Ok(match column {
            0 => Cell::Timestamp(self.temperature.timeline.at(self.position.moment)),
            1 => Cell::Text(Cow::Borrowed(&self.temperature.sensors[self.position.sensor])),
            2 => self.celsius.map_or(Cell::Absent, Cell::Number),
            _ => Cell::Number(self.humidity),
        })
    }
}
