//! `gaussian`: independent normal values. Moment `i` holds `mean + stddev · n`, with `n` the `i`-th normal draw of
//! stream 0.

use inquisitor_manifest::spec::Parameters;

use super::random::{Draws, Seed};
use super::timeline::{Position, Timeline};
use crate::batch::SourceError;
use crate::cell::Cell;
use crate::parameters::Reader;
use crate::reader::Records;
use inquisitor_manifest::ParameterProblem;

/// Magnitudes beyond this are no measurement, and sums of them would not stay finite.
pub(super) const MAX_MAGNITUDE: f64 = 1e100;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gaussian {
    mean: f64,
    stddev: f64,
    pub(super) unit: Option<String>,
    timeline: Timeline,
}

impl Gaussian {
    pub(super) fn read(parameters: &Parameters) -> Result<Self, Vec<ParameterProblem>> {
        const KNOWN: &[&str] = &["mean", "stddev", "unit", "samples", "interval", "start", "seed"];
        let mut reader = Reader::new(parameters, "/parameters", KNOWN);
        Seed::check(&mut reader);
        let gaussian = Self {
            mean: reader.number("mean", -MAX_MAGNITUDE..=MAX_MAGNITUDE).unwrap_or(0.0),
            stddev: reader.number("stddev", 0.0..=MAX_MAGNITUDE).unwrap_or(1.0),
            unit: reader.unit("unit"),
            timeline: Timeline::read(&mut reader, 1_000_000_000, 1),
        };
        if reader.problems.is_empty() { Ok(gaussian) } else { Err(reader.problems) }
    }

    pub(super) fn records(&self, seed: &Seed) -> GaussianRecords {
        GaussianRecords {
            gaussian: self.clone(),
            draws: seed.stream(0),
            position: Position::BEFORE,
            value: 0.0,
        }
    }
}

pub(super) struct GaussianRecords {
    gaussian: Gaussian,
    draws: Draws,
    position: Position,
    value: f64,
}

impl Records for GaussianRecords {
    fn advance(&mut self) -> Result<bool, SourceError> {
        let is_there = self.position.advance(&self.gaussian.timeline, 1);
        if is_there {
            self.value = self.gaussian.mean + self.gaussian.stddev * self.draws.normal();
        }
        Ok(is_there)
    }

    fn cell(&self, column: usize) -> Result<Cell<'_>, SourceError> {
        Ok(match column {
            0 => Cell::Timestamp(self.gaussian.timeline.at(self.position.moment)),
            _ => Cell::Number(self.value),
        })
    }
}
