//! `random_walk`: a value that wanders, seen by one or more sensors.
//!
//! The walk starts at `initial`; each later moment adds `drift + step · n` and is reflected at `min` and `max`. A
//! sensor sees the walk plus `noise · n`, then what its faults make of it. With `shared` all sensors see the walk of
//! stream 0; without it, each walks by itself on stream `2^20 + s`. Sensor `s` (from 0) draws its noise from stream
//! `1 + s`, and none where `noise` is zero.

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

/// First stream of walks that are not shared; above that of any sensor's noise.
const OWN_WALKS: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Walk {
    initial: f64,
    step: f64,
    drift: f64,
    min: f64,
    max: f64,
    noise: f64,
    is_shared: bool,
    pub(super) unit: Option<String>,
    timeline: Timeline,
    sensors: Vec<String>,
    faults: Vec<Fault>,
}

const KNOWN: &[&str] = &[
    "initial", "step", "drift", "min", "max", "noise", "shared", "unit", "samples", "interval", "start",
    "sensors", "faults", "seed",
];

impl Walk {
    pub(super) fn read(parameters: &Parameters) -> Result<Self, Vec<ParameterProblem>> {
        let mut reader = Reader::new(parameters, "/parameters", KNOWN);
        Seed::check(&mut reader);
        let sensors = sensors(&mut reader);
        let timeline = Timeline::read(&mut reader, 1_000_000_000, sensors.len());
        let any = -MAX_MAGNITUDE..=MAX_MAGNITUDE;
        let walk = Self {
            initial: reader.number("initial", any.clone()).unwrap_or(0.0),
            step: reader.number("step", 0.0..=MAX_MAGNITUDE).unwrap_or(1.0),
            drift: reader.number("drift", any.clone()).unwrap_or(0.0),
            min: reader.number("min", any.clone()).unwrap_or(f64::NEG_INFINITY),
            max: reader.number("max", any).unwrap_or(f64::INFINITY),
            noise: reader.number("noise", 0.0..=MAX_MAGNITUDE).unwrap_or(0.0),
            is_shared: reader.flag("shared").unwrap_or(true),
            unit: reader.unit("unit"),
            faults: fault::read(&mut reader, &timeline, &sensors),
            timeline,
            sensors,
        };
        if walk.min > walk.max {
            reader.problem("min", "must not be above `max`");
        } else if !(walk.min..=walk.max).contains(&walk.initial) {
            reader.problem("initial", "must lie between `min` and `max`");
        }
        if reader.problems.is_empty() { Ok(walk) } else { Err(reader.problems) }
    }

    pub(super) fn records(&self, seed: &Seed) -> WalkRecords {
        let sensors = self.sensors.len();
        let walks = if self.is_shared {
            vec![seed.stream(0)]
        } else {
            (OWN_WALKS..).take(sensors).map(|stream| seed.stream(stream)).collect()
        };
        WalkRecords {
            values: vec![self.initial; walks.len()],
            walks,
            noises: (1_u64..).take(sensors).map(|stream| seed.stream(stream)).collect(),
            faults: Faults::new(&self.faults, sensors, seed),
            walk: self.clone(),
            position: Position::BEFORE,
            sensed: None,
        }
    }

    /// One step on from a value.
    fn step(&self, value: f64, draws: &mut Draws) -> f64 {
        reflect(value + self.drift + self.step * draws.normal(), self.min, self.max)
    }
}

/// Folds a value back between bounds, of which either may be infinite.
fn reflect(value: f64, min: f64, max: f64) -> f64 {
    if (min..=max).contains(&value) {
        return value;
    }
    let width = max - min;
    if width.is_infinite() {
        // Only one bound is there, and the value is beyond it.
        return if value < min { min + (min - value) } else { max - (value - max) };
    }
    if width == 0.0 {
        return min;
    }
    let folded = (value - min).rem_euclid(2.0 * width);
    // Clamped, since rounding may put the sum a hair outside.
    (min + if folded > width { 2.0 * width - folded } else { folded }).clamp(min, max)
}

pub(super) struct WalkRecords {
    walk: Walk,
    walks: Vec<Draws>,
    noises: Vec<Draws>,
    values: Vec<f64>,
    faults: Faults,
    position: Position,
    sensed: Option<f64>,
}

impl Records for WalkRecords {
    fn advance(&mut self) -> Result<bool, SourceError> {
        if !self.position.advance(&self.walk.timeline, self.walk.sensors.len()) {
            return Ok(false);
        }
        let Position { moment, sensor, .. } = self.position;
        let own = if self.walk.is_shared { 0 } else { sensor };
        let is_new = sensor == 0 || !self.walk.is_shared;
        if moment > 0 && is_new {
            self.values[own] = self.walk.step(self.values[own], &mut self.walks[own]);
        }
        let mut sensed = self.values[own];
        if self.walk.noise > 0.0 {
            sensed += self.walk.noise * self.noises[sensor].normal();
        }
        self.sensed = self.faults.apply(sensor, self.walk.timeline.at(moment), sensed);
        Ok(true)
    }

    fn cell(&self, column: usize) -> Result<Cell<'_>, SourceError> {
        Ok(match column {
            0 => Cell::Timestamp(self.walk.timeline.at(self.position.moment)),
            1 => Cell::Text(Cow::Borrowed(&self.walk.sensors[self.position.sensor])),
            _ => self.sensed.map_or(Cell::Absent, Cell::Number),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_step_over_a_bound_comes_back_as_far() {
        assert_eq!(reflect(11.0, 0.0, 10.0), 9.0);
        assert_eq!(reflect(-3.0, 0.0, 10.0), 3.0);
        assert_eq!(reflect(25.0, 0.0, 10.0), 5.0);
        assert_eq!(reflect(-3.0, 0.0, f64::INFINITY), 3.0);
        assert_eq!(reflect(12.0, f64::NEG_INFINITY, 10.0), 8.0);
        assert_eq!(reflect(12.0, 4.0, 4.0), 4.0);
    }

    proptest! {
        #[test]
        fn a_reflected_value_lies_within_its_bounds(value in -1e12..1e12, min in -1e6..1e6, width in 0.0..1e6) {
            let reflected = reflect(value, min, min + width);
            prop_assert!((min..=min + width).contains(&reflected), "{reflected}");
        }
    }
}
