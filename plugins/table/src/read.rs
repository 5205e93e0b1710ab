//! From batches of rows to readings.

use inquisitor_sdk::{Batch, ColumnType, Context, Error, Observation, Reading, Selection, Series, log};

use crate::parameters::{Plan, Uncertainty, ValueColumn, is_numeric};

/// Rows asked for at a time: the cost of a call vanishes, and a batch of a few columns fits in a second-level cache.
const BATCH_ROWS: u32 = 16_384;
/// Most readings that are no series. Each costs some hundred bytes on both sides of the sandbox.
const MAX_SINGLE_READINGS: usize = 100_000;

/// What becomes of one column.
struct Output<'p> {
    column: &'p ValueColumn,
    values: Vec<f64>,
    times: Vec<i64>,
    uncertainties: Vec<f64>,
    /// Rows left out because the value is not there, or is not a finite number.
    absent: u64,
    /// Rows left out because the time or the uncertainty of the value is not there.
    incomplete: u64,
}

/// Whether the column goes out as a series. Integers stay integers unless they have an uncertainty, which makes them
/// measured numbers.
fn is_series(column: &ValueColumn, plan: &Plan<'_>) -> bool {
    column.kind == ColumnType::Number || (column.kind == ColumnType::Integer && plan.uncertainty.is_some())
}

pub(crate) fn read(plan: &Plan<'_>, context: &Context) -> Result<Observation, Error> {
    let mut selection = Selection::columns(selected(plan));
    for (column, wanted) in plan.conditions {
        selection = selection.where_equal(column.as_str(), wanted.value());
    }
    let mut observation = context.observation();
    let mut outputs: Vec<Output<'_>> = plan
        .values
        .iter()
        .map(|column| Output {
            column,
            values: Vec::new(),
            times: Vec::new(),
            uncertainties: Vec::new(),
            absent: 0,
            incomplete: 0,
        })
        .collect();
    let mut rows = 0;
    for batch in context.substrate().rows(&selection)?.batch_rows(BATCH_ROWS) {
        if context.cancelled() {
            return Err(Error::failed("the inquiry was cancelled"));
        }
        let batch = batch?;
        rows += batch.rows();
        for output in &mut outputs {
            if is_series(output.column, plan) {
                output.extend(&batch, plan)?;
            } else {
                output.push_each(&batch, plan, &mut observation)?;
            }
        }
    }
    if rows == 0 {
        log::warn!("the substrate has no row that the parameters select");
    }
    for output in outputs {
        output.finish(plan, &mut observation)?;
    }
    Ok(observation)
}

/// The columns to read, each once.
fn selected<'p>(plan: &'p Plan<'_>) -> Vec<&'p str> {
    let mut names: Vec<&str> = plan.values.iter().map(|column| column.name.as_str()).collect();
    names.extend(plan.time.as_deref());
    if let Some(Uncertainty::Column(name)) = plan.uncertainty {
        names.push(name);
    }
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

impl Output<'_> {
    /// Take a batch's values into the series.
    fn extend(&mut self, batch: &Batch, plan: &Plan<'_>) -> Result<(), Error> {
        let values = batch.f64_column(&self.column.name)?;
        let times = plan.time.as_deref().map(|name| batch.time_column(name)).transpose()?;
        let uncertainties = match plan.uncertainty {
            Some(Uncertainty::Column(name)) => Some(batch.f64_column(name)?),
            _ => None,
        };
        // The usual case, a copy of memory: everything is there.
        if let Some(all) = values.all_present()
            && all.iter().all(|value| value.is_finite())
            && uncertainties.is_none()
        {
            match &times {
                None => {
                    self.values.extend_from_slice(all);
                    return Ok(());
                }
                Some(times) => {
                    if let Some(times) = times.all_present() {
                        self.values.extend_from_slice(all);
                        self.times.extend_from_slice(times);
                        return Ok(());
                    }
                }
            }
        }
        for row in 0..batch.rows() {
            let Some(&value) = values.get(row).filter(|value| value.is_finite()) else {
                self.absent += 1;
                continue;
            };
            let time = times.as_ref().map(|times| times.get(row).copied());
            let uncertainty = uncertainties
                .as_ref()
                .map(|column| column.get(row).copied().filter(|one| one.is_finite() && *one >= 0.0));
            if time == Some(None) || uncertainty == Some(None) {
                self.incomplete += 1;
                continue;
            }
            self.values.push(value);
            self.times.extend(time.flatten());
            self.uncertainties.extend(uncertainty.flatten());
        }
        Ok(())
    }

    /// Take a batch's values as readings one by one.
    fn push_each(
        &mut self,
        batch: &Batch,
        plan: &Plan<'_>,
        observation: &mut Observation,
    ) -> Result<(), Error> {
        let times = plan.time.as_deref().map(|name| batch.time_column(name)).transpose()?;
        for row in 0..batch.rows() {
            let Some(value) = batch.value(&self.column.name, row)? else {
                self.absent += 1;
                continue;
            };
            if observation.readings().len() == MAX_SINGLE_READINGS {
                return Err(Error::failed(format!(
                    "there are more than {MAX_SINGLE_READINGS} readings of {} columns; select fewer with `where`",
                    self.column.kind.name()
                )));
            }
            let mut reading = Reading::of(self.column.quantity.as_str(), value)
                .unit(self.column.unit.as_str())
                .confidence(plan.confidence);
            // Selected rows need not follow one another, so the position is known only where all are read.
            if plan.conditions.is_empty() {
                reading =
                    reading.attribute("row", i64::try_from(batch.first_row())?.saturating_add(row as i64));
            }
            reading.time = times.as_ref().and_then(|times| times.get(row).copied());
            observation.push(reading)?;
        }
        Ok(())
    }

    /// Say what was left out and give the series.
    fn finish(self, plan: &Plan<'_>, observation: &mut Observation) -> Result<(), Error> {
        let column = self.column;
        if self.absent > 0 {
            log::warn!(rows = self.absent; "column `{}` has no value in {} rows; they are left out", column.name, self.absent);
        }
        if self.incomplete > 0 {
            log::warn!(
                rows = self.incomplete;
                "{} values of column `{}` have no time or no uncertainty; they are left out", self.incomplete, column.name
            );
        }
        if !is_numeric(column.kind) || self.values.is_empty() {
            return Ok(());
        }
        let mut series = Series::of(column.quantity.as_str(), self.values)
            .unit(column.unit.as_str())
            .times(self.times)
            .uncertainties(self.uncertainties)
            .confidence(plan.confidence);
        if let Some(Uncertainty::Constant(uncertainty)) = plan.uncertainty {
            series = series.uncertainty(*uncertainty);
        }
        if plan.values.len() > 1 {
            series = series.attribute("column", column.name.as_str());
        }
        Ok(observation.push_series(series)?)
    }
}
