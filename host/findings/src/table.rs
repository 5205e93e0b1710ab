//! All readings of an inquiry by the column, in an order that does not depend on which step finished first.
//!
//! A reading is a row number. Text that repeats (quantities, units) is interned, numbers lie in plain vectors, and
//! what is rare (attributes, values that are not numbers) stays where it is in the input and is looked up by the row's
//! source and position. A million readings take about 80 MB.

use std::collections::BTreeMap;

use inquisitor_manifest::plan::{Action, Plan};

use crate::reading::{Observed, Reading, Series, Value};

/// Readings that one finding takes in. Beyond it the arithmetic would still hold, but the memory of the host would
/// not: some 4 GB of columns.
pub const MAX_READINGS: usize = 50_000_000;

/// Largest magnitude of a value or an uncertainty. Squares of differences of such numbers, summed over all readings,
/// stay within the range of 64-bit floating point; no physical quantity comes near in any unit.
pub const MAX_MAGNITUDE: f64 = 1e100;

/// Number of a reading in the table.
pub(crate) type Row = u32;

/// All readings.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    /// Instruments in the order of the plan's first observing step, then those that the plan does not name.
    pub(crate) instruments: Vec<&'a str>,
    /// Quantities in the order of their first reading.
    pub(crate) quantities: Vec<&'a str>,
    /// UCUM codes, as written.
    pub(crate) units: Vec<&'a str>,
    /// Observations that count, in plan order, with the rank of their instrument.
    pub(crate) sources: Vec<(&'a Observed, u32)>,
    /// Observation → position of the first row of each of its series.
    series_starts: Vec<Vec<u32>>,
    /// Row → observation.
    pub(crate) source: Vec<u32>,
    /// Row → position in its observation: readings first, then the rows of each series.
    pub(crate) position: Vec<u32>,
    /// Row → quantity.
    pub(crate) quantity: Vec<u32>,
    /// Row → unit.
    pub(crate) unit: Vec<u32>,
    /// Row → number in the reading's own unit; NaN where the value is not a number.
    pub(crate) raw: Vec<f64>,
    /// Row → standard uncertainty in the reading's own unit; NaN where none is stated.
    pub(crate) raw_uncertainty: Vec<f64>,
    /// Row → confidence.
    pub(crate) confidence: Vec<f64>,
    /// Row → nanoseconds since the Unix epoch.
    pub(crate) time: Vec<i64>,
    /// Row → whether the value is a number.
    pub(crate) numeric: Vec<bool>,
    /// Row → number in the quantity's unit; set once the unit is chosen.
    pub(crate) value: Vec<f64>,
    /// Row → standard uncertainty in the quantity's unit; NaN where none is stated.
    pub(crate) uncertainty: Vec<f64>,
}

/// Where a reading lies in the input.
pub(crate) enum Place<'a> {
    Single(&'a Reading),
    Of(&'a Series),
}

impl<'a> Table<'a> {
    /// Lay out the observations that count: those of steps that the plan lets count, in the plan's order, and those of
    /// steps that it does not name, after the others.
    pub(crate) fn new(plan: &'a Plan, observed: &'a [Observed]) -> Self {
        let instruments = instrument_order(plan, observed);
        let rank: BTreeMap<&str, u32> = instruments.iter().copied().zip(0..).collect();
        let steps: BTreeMap<&str, (usize, bool)> = plan
            .steps
            .iter()
            .enumerate()
            .map(|(i, step)| {
                let counts = matches!(step.action, Action::Observe { counts: true, .. });
                (step.name.as_str(), (i, counts))
            })
            .collect();
        let mut ordered: Vec<(usize, u32, &'a Observed)> = observed
            .iter()
            .filter_map(|one| {
                let (position, counts) =
                    steps.get(one.step.as_str()).copied().unwrap_or((plan.steps.len(), true));
                counts.then(|| (position, rank.get(one.instrument.as_str()).copied().unwrap_or(0), one))
            })
            .collect();
        ordered.sort_by(|a, b| (a.0, a.1, &a.2.step, a.2.time).cmp(&(b.0, b.1, &b.2.step, b.2.time)));

        let mut table = Self {
            instruments,
            quantities: Vec::new(),
            units: Vec::new(),
            sources: ordered.iter().map(|(_, rank, one)| (*one, *rank)).collect(),
            series_starts: Vec::new(),
            source: Vec::new(),
            position: Vec::new(),
            quantity: Vec::new(),
            unit: Vec::new(),
            raw: Vec::new(),
            raw_uncertainty: Vec::new(),
            confidence: Vec::new(),
            time: Vec::new(),
            numeric: Vec::new(),
            value: Vec::new(),
            uncertainty: Vec::new(),
        };
        table.fill();
        table
    }

    fn fill(&mut self) {
        let mut quantities = Names::default();
        let mut units = Names::default();
        for (source, (one, _)) in (0..).zip(self.sources.clone()) {
            let mut position = 0;
            for reading in &one.observation.readings {
                let (quantity, unit) = (quantities.id(&reading.quantity), units.id(&reading.unit));
                let number = reading.value.as_f64();
                self.push(&Cells {
                    source,
                    position,
                    quantity,
                    unit,
                    number: number.unwrap_or(f64::NAN),
                    is_number: number.is_some(),
                    uncertainty: reading.uncertainty,
                    confidence: reading.confidence,
                    time: reading.time.unwrap_or(one.time),
                });
                position += 1;
            }
            let mut starts = Vec::with_capacity(one.observation.series.len());
            for series in &one.observation.series {
                starts.push(position);
                let n = series.values.len();
                let is_well_formed = (series.times.is_empty() || series.times.len() == n)
                    && (series.uncertainties.len() <= 1 || series.uncertainties.len() == n);
                let (quantity, unit) = (quantities.id(&series.quantity), units.id(&series.unit));
                for (i, value) in series.values.iter().enumerate() {
                    let uncertainty = match series.uncertainties.as_slice() {
                        // Lists of unequal length do not say what belongs to which value; none of it is admitted.
                        _ if !is_well_formed => Some(f64::INFINITY),
                        [] => None,
                        [all] => Some(*all),
                        each => each.get(i).copied(),
                    };
                    self.push(&Cells {
                        source,
                        position,
                        quantity,
                        unit,
                        number: *value,
                        is_number: true,
                        uncertainty,
                        confidence: series.confidence,
                        time: series.times.get(i).copied().unwrap_or(one.time),
                    });
                    position += 1;
                }
            }
            self.series_starts.push(starts);
        }
        self.quantities = quantities.list;
        self.units = units.list;
        self.value = vec![f64::NAN; self.raw.len()];
        self.uncertainty = vec![f64::NAN; self.raw.len()];
    }

    fn push(&mut self, cells: &Cells) {
        self.source.push(cells.source);
        self.position.push(cells.position);
        self.quantity.push(cells.quantity);
        self.unit.push(cells.unit);
        self.raw.push(cells.number);
        self.numeric.push(cells.is_number);
        // A stated uncertainty that is not a number must not pass for one that is not stated.
        self.raw_uncertainty.push(match cells.uncertainty {
            None => f64::NAN,
            Some(stated) if stated.is_nan() => f64::INFINITY,
            Some(stated) => stated,
        });
        self.confidence.push(cells.confidence);
        self.time.push(cells.time);
    }

    /// Number of readings.
    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }

    /// All rows.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> + use<> {
        // The number of rows is bounded by `MAX_READINGS`.
        0..Row::try_from(self.len()).unwrap_or(Row::MAX)
    }

    /// Rank of the instrument of a row.
    pub(crate) fn instrument(&self, row: Row) -> u32 {
        self.sources[self.source[row as usize] as usize].1
    }

    /// The observation of a row.
    pub(crate) fn observed(&self, row: Row) -> &'a Observed {
        self.sources[self.source[row as usize] as usize].0
    }

    /// The reading or the series that a row stands for.
    pub(crate) fn place(&self, row: Row) -> Place<'a> {
        let observation = &self.observed(row).observation;
        let position = self.position[row as usize] as usize;
        match observation.readings.get(position) {
            Some(reading) => Place::Single(reading),
            None => {
                let starts = &self.series_starts[self.source[row as usize] as usize];
                let series = starts.partition_point(|start| *start as usize <= position) - 1;
                Place::Of(&observation.series[series])
            }
        }
    }

    /// What belongs to the reading of a row.
    pub(crate) fn attributes(&self, row: Row) -> &'a BTreeMap<String, Value> {
        match self.place(row) {
            Place::Single(reading) => &reading.attributes,
            Place::Of(series) => &series.attributes,
        }
    }

    /// Number of a quantity by name.
    pub(crate) fn quantity_named(&self, name: &str) -> Option<u32> {
        (0..).zip(&self.quantities).find(|(_, quantity)| **quantity == name).map(|(id, _)| id)
    }
}

struct Cells {
    source: u32,
    position: u32,
    quantity: u32,
    unit: u32,
    number: f64,
    is_number: bool,
    uncertainty: Option<f64>,
    confidence: f64,
    time: i64,
}

/// Names with numbers in the order of their first appearance.
#[derive(Default)]
struct Names<'a> {
    list: Vec<&'a str>,
    ids: BTreeMap<&'a str, u32>,
}

impl<'a> Names<'a> {
    fn id(&mut self, name: &'a str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(name);
        self.ids.insert(name, id);
        id
    }
}

/// Instruments in the order in which the plan first observes them, then the plan's others by id, then those that only
/// the observations name.
fn instrument_order<'a>(plan: &'a Plan, observed: &'a [Observed]) -> Vec<&'a str> {
    let observing = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Observe { instrument, .. } => Some(instrument.as_str()),
        _ => None,
    });
    let declared = plan.instruments.keys().map(String::as_str);
    let mut others: Vec<&str> = observed.iter().map(|one| one.instrument.as_str()).collect();
    others.sort_unstable();
    let mut names = Names::default();
    for name in observing.chain(declared).chain(others) {
        names.id(name);
    }
    names.list
}
