//! Seeded generators of rows. The same parameters and the same seed give the same bytes on every machine and in every
//! version: the algorithms on this page are part of the format, and tests pin their output.
//!
//! **Randomness.** Draws come from ChaCha with 12 rounds, keyed with the 32 bytes of the seed. A `seed` parameter (an
//! integer) is the first 8 bytes of the key in little-endian order and the rest are zero; without it the key is the
//! seed that the inquiry gives. Each purpose has a stream of its own, so that one more sensor or fault changes no
//! other's values. A *uniform* draw is the top 53 bits of the next 64, times 2^-53. A *normal* draw takes two uniform
//! ones, `u` and `v`: `sqrt(-2 ln(1 - u)) · cos(2π v)` (Box and Muller 1958), with the functions of the `libm` crate,
//! which give the same bits everywhere.
//!
//! **Time.** Moment `i` of `samples` is `start + i · interval`; `start` is 2026-01-01T00:00:00Z unless given.
//! **Sensors.** `sensors` is a number (`sensor-1` …) or a list of names; every moment has a row for each, in order.
//!
//! | generator | parameters (default) | columns |
//! |---|---|---|
//! | `echo` | `prefix` (`echo_`), `count` (1) | `index`, `message`: the prefix followed by the index, from 0 |
//! | `gaussian` | `mean` (0), `stddev` (1), `unit`, `samples` (100), `interval` (1 s), `start` | `time`, `value` |
//! | `temperature_simulator` | `baseline` or `mean` (20), `amplitude` (0), `period` (24 h), `noise` or `stddev` (0.1), `humidity` (50), `humidity_noise` (0.5), `samples` (100), `interval` (1 min), `start`, `sensors` (1), `faults` | `time`, `sensor`, `temperature` in Cel, `humidity` in % |
//! | `random_walk` | `initial` (0), `step` (1), `drift` (0), `min`, `max`, `noise` (0), `shared` (true), `unit`, `samples` (100), `interval` (1 s), `start`, `sensors` (1), `faults` | `time`, `sensor`, `value` |
//!
//! All take `seed`. What each computes is in the header of its module; `faults` are in the header of `fault`.

mod echo;
mod fault;
mod gaussian;
mod random;
mod temperature;
mod timeline;
mod walk;

use std::sync::Arc;

use inquisitor_manifest::spec::Parameters;

use self::echo::Echo;
use self::gaussian::Gaussian;
use self::random::Seed;
use self::temperature::Temperature;
use self::walk::Walk;
use crate::OpenError;
use crate::batch::{ColumnInfo, ColumnType, Rows, Selection, Source, SourceError};
use crate::parameters::{nearest, shown};
use crate::reader::{Reader, Records};
use inquisitor_manifest::ParameterProblem;

/// Rows of a generator. More than any instrument reads in its time limit; the bound keeps times within their range.
pub const MAX_ROWS: u64 = 100_000_000;
/// Sensors of a generator; each has a state of its own.
pub const MAX_SENSORS: usize = 1000;

const GENERATORS: &[&str] = &["echo", "gaussian", "temperature_simulator", "random_walk"];

/// A generator with its parameters.
#[derive(Debug, Clone, PartialEq)]
enum Generator {
    Echo(Echo),
    Gaussian(Gaussian),
    Temperature(Temperature),
    Walk(Walk),
}

impl Generator {
    fn read(generator: &str, parameters: &Parameters) -> Result<Self, Vec<ParameterProblem>> {
        match generator {
            "echo" => Echo::read(parameters).map(Self::Echo),
            "gaussian" => Gaussian::read(parameters).map(Self::Gaussian),
            "temperature_simulator" => Temperature::read(parameters).map(Self::Temperature),
            "random_walk" => Walk::read(parameters).map(Self::Walk),
            _ => {
                let hint = nearest(generator, GENERATORS).map_or_else(
                    || format!("there are {}", GENERATORS.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                let message = format!("there is no generator {}; {hint}", shown(generator));
                Err(vec![ParameterProblem { pointer: "/generator".to_owned(), message }])
            }
        }
    }
}

struct SyntheticSource {
    generator: Generator,
    seed: Seed,
    columns: Vec<ColumnInfo>,
}

pub(crate) fn check(generator: &str, parameters: &Parameters) -> Vec<ParameterProblem> {
    Generator::read(generator, parameters).err().unwrap_or_default()
}

pub(crate) fn open(
    generator: &str,
    parameters: &Parameters,
    seed: [u8; 32],
) -> Result<Arc<dyn Source>, OpenError> {
    let generator = Generator::read(generator, parameters).map_err(OpenError::Parameters)?;
    let seed = Seed::of(parameters, seed);
    let columns = match &generator {
        Generator::Echo(_) => {
            vec![column("index", ColumnType::Integer, None), column("message", ColumnType::Text, None)]
        }
        Generator::Gaussian(gaussian) => vec![
            column("time", ColumnType::Timestamp, None),
            column("value", ColumnType::Number, gaussian.unit.as_deref()),
        ],
        Generator::Temperature(_) => vec![
            column("time", ColumnType::Timestamp, None),
            column("sensor", ColumnType::Text, None),
            column("temperature", ColumnType::Number, Some("Cel")),
            column("humidity", ColumnType::Number, Some("%")),
        ],
        Generator::Walk(walk) => vec![
            column("time", ColumnType::Timestamp, None),
            column("sensor", ColumnType::Text, None),
            column("value", ColumnType::Number, walk.unit.as_deref()),
        ],
    };
    Ok(Arc::new(SyntheticSource { generator, seed, columns }))
}

fn column(name: &str, kind: ColumnType, unit: Option<&str>) -> ColumnInfo {
    ColumnInfo { name: name.to_owned(), kind, unit: unit.map(str::to_owned) }
}

impl Source for SyntheticSource {
    fn columns(&self) -> Result<Vec<ColumnInfo>, SourceError> {
        Ok(self.columns.clone())
    }

    fn open(&self, selection: &Selection) -> Result<Box<dyn Rows>, SourceError> {
        match &self.generator {
            Generator::Echo(echo) => self.reader(selection, echo.records()),
            Generator::Gaussian(gaussian) => self.reader(selection, gaussian.records(&self.seed)),
            Generator::Temperature(temperature) => self.reader(selection, temperature.records(&self.seed)),
            Generator::Walk(walk) => self.reader(selection, walk.records(&self.seed)),
        }
    }

    fn may_block(&self) -> bool {
        false
    }
}

impl SyntheticSource {
    fn reader<R: Records + 'static>(
        &self,
        selection: &Selection,
        records: R,
    ) -> Result<Box<dyn Rows>, SourceError> {
        Ok(Box::new(Reader::new(self.columns.clone(), selection, records)?))
    }
}
