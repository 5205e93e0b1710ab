//! Which numbers enter a test.
//!
//! Values are those of the readings that are left, in the quantity's unit, in the order of steps and positions. Pairs
//! are formed moment by moment (module `groups`) where both sides have at least two times, with each side's mean at
//! the moment; else by position, which needs as many values on either side.

use std::collections::BTreeMap;

use inquisitor_manifest::plan::Plan;

use super::parameters::Given;
use super::{MAX_GROUPS, Named};
use crate::groups::{Group, Moments, by_instrument, mean_time, mean_value, of_quantity};
use crate::table::{Row, Table};

/// The quantity that a test speaks of: the one named, else the only one, else that of the belief.
pub(super) fn quantity(
    plan: &Plan,
    table: &Table<'_>,
    groups: &[Group],
    named: Option<&str>,
) -> Result<u32, String> {
    let mut present: Vec<u32> = groups.iter().map(|group| group.quantity).collect();
    present.dedup();
    let names = || {
        let names: Vec<&str> = present.iter().map(|q| table.quantities[*q as usize]).collect();
        if names.is_empty() {
            "there are none".to_owned()
        } else {
            format!("there are: {}", names.join(", "))
        }
    };
    let find = |name: &str| table.quantity_named(name).filter(|quantity| present.contains(quantity));
    if let Some(name) = named {
        return find(name).ok_or_else(|| {
            format!("no reading of {name} that is a number is left; of quantities with numbers {}", names())
        });
    }
    match present.as_slice() {
        [only] => Ok(*only),
        _ => plan.belief.as_ref().and_then(|belief| find(&belief.quantity)).ok_or_else(|| {
            format!("the parameter `quantity` must name one; of quantities with numbers {}", names())
        }),
    }
}

/// The readings of a quantity by instrument.
pub(super) struct Samples<'t, 'a> {
    table: &'t Table<'a>,
    all: &'t [Group],
    quantity: u32,
    unit: &'t str,
    groups: Vec<Group>,
}

impl<'t, 'a> Samples<'t, 'a> {
    /// Those of the named instruments, or of all that have readings.
    pub(super) fn of(
        table: &'t Table<'a>,
        all: &'t [Group],
        quantity: u32,
        unit: Option<&'t str>,
        named: &[String],
    ) -> Result<Self, String> {
        let present = of_quantity(all, quantity);
        let groups: Vec<Group> = if named.is_empty() {
            present.to_vec()
        } else {
            named
                .iter()
                .map(|name| {
                    present
                        .iter()
                        .find(|group| table.instruments[group.instrument as usize] == name)
                        .cloned()
                        .ok_or_else(|| {
                            let quantity = table.quantities[quantity as usize];
                            format!("instrument {name} has no reading of {quantity} that is left")
                        })
                })
                .collect::<Result<_, String>>()?
        };
        if groups.len() > MAX_GROUPS {
            return Err(format!("{} groups are more than {MAX_GROUPS}; name some in `groups`", groups.len()));
        }
        Ok(Self { table, all, quantity, unit: unit.unwrap_or("1"), groups })
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.groups.iter().map(|group| self.table.instruments[group.instrument as usize].to_owned()).collect()
    }

    pub(super) fn named_values(&self) -> Vec<Named> {
        self.groups
            .iter()
            .map(|group| Named {
                name: self.table.instruments[group.instrument as usize].to_owned(),
                values: values(self.table, group),
            })
            .collect()
    }

    /// The values of the two groups in pairs.
    pub(super) fn pairs(&self) -> Result<(Vec<f64>, Vec<f64>), String> {
        match self.groups.as_slice() {
            [a, b] => pair(self.table, a, b),
            groups => Err(format!("pairs are formed of two groups, and there are {}", groups.len())),
        }
    }

    /// The pairs of a correlation: two instruments, or one with another of its quantities.
    pub(super) fn correlated(&self, with: Option<&str>) -> Result<(Vec<f64>, Vec<f64>), String> {
        let Some(with) = with else {
            return self.pairs().map_err(|error| {
                format!("{error}; a correlation takes two instruments, or one and another quantity as `with`")
            });
        };
        let [a] = self.groups.as_slice() else {
            return Err("with another quantity as `with`, `groups` must name one instrument".to_owned());
        };
        pair(self.table, a, &self.other(Some(with), Some(a.instrument))?)
    }

    /// x and y of a regression, and what x and the slope are, in words.
    pub(super) fn regressed(&self, given: &Given<'_>) -> Result<(Vec<f64>, Vec<f64>, String), String> {
        let [group] = self.groups.as_slice() else {
            return Err(format!(
                "a regression takes the readings of one instrument as y, and {} have some; name one in `groups`",
                self.groups.len()
            ));
        };
        let (x, quantity, instrument, attribute) = (
            given.text("x")?,
            given.text("x_quantity")?,
            given.text("x_instrument")?,
            given.text("x_attribute")?,
        );
        let kinds = [x.is_some(), quantity.is_some() || instrument.is_some(), attribute.is_some()];
        if kinds.iter().filter(|given| **given).count() > 1 {
            return Err("give one of `x`, `x_attribute`, or `x_quantity` and `x_instrument`".to_owned());
        }
        if let Some(name) = attribute {
            return self.against_attribute(group, name);
        }
        if quantity.is_some() || instrument.is_some() {
            let rank = match instrument {
                None => group.instrument,
                Some(id) => (0..)
                    .zip(&self.table.instruments)
                    .find(|(_, instrument)| **instrument == id)
                    .map(|(rank, _)| rank)
                    .ok_or_else(|| format!("`x_instrument`: there is no instrument {id}"))?,
            };
            let other = self.other(quantity, Some(rank))?;
            let (y, x) = pair(self.table, group, &other)?;
            let what = format!(
                "{} of {}",
                self.table.quantities[other.quantity as usize], self.table.instruments[rank as usize]
            );
            return Ok((x, y, what));
        }
        match x {
            None | Some("time") => Ok(self.against_time(group)),
            Some("position") => {
                let y = values(self.table, group);
                let x = (0..y.len()).map(crate::numeric::count).collect();
                Ok((x, y, "position, from 0".to_owned()))
            }
            Some(other) => Err(format!("`x` is `time` or `position`, not `{other}`")),
        }
    }

    fn against_time(&self, group: &Group) -> (Vec<f64>, Vec<f64>, String) {
        let first = group.rows.first().map_or(0, |row| self.table.time[*row as usize]);
        #[allow(clippy::cast_precision_loss)]
        let seconds = |row: &Row| self.table.time[*row as usize].abs_diff(first) as f64 / 1e9;
        let x = group.rows.iter().map(seconds).collect();
        let y = group.rows.iter().map(|row| self.table.value[*row as usize]).collect();
        (x, y, format!("seconds since the first reading; the slope is in {} per second", self.unit))
    }

    fn against_attribute(&self, group: &Group, name: &str) -> Result<(Vec<f64>, Vec<f64>, String), String> {
        let mut rows = group.rows.clone();
        rows.sort_unstable();
        let mut x = Vec::with_capacity(rows.len());
        for row in &rows {
            let value = self.table.attributes(*row).get(name).and_then(crate::reading::Value::as_f64);
            x.push(value.filter(|value| value.is_finite()).ok_or_else(|| {
                format!(
                    "a reading of step {} has no number as attribute `{name}`",
                    self.table.observed(*row).step
                )
            })?);
        }
        let y = rows.iter().map(|row| self.table.value[*row as usize]).collect();
        Ok((x, y, format!("attribute {name}")))
    }

    /// The readings of another quantity (the same where none is named) of an instrument.
    fn other(&self, quantity: Option<&str>, instrument: Option<u32>) -> Result<Group, String> {
        let number = match quantity {
            None => Some(self.quantity),
            Some(name) => self.table.quantity_named(name),
        };
        number
            .and_then(|number| {
                of_quantity(self.all, number)
                    .iter()
                    .find(|group| Some(group.instrument) == instrument)
                    .cloned()
            })
            .ok_or_else(|| {
                let quantity = quantity.unwrap_or(self.table.quantities[self.quantity as usize]);
                let instrument = instrument.map_or("", |rank| self.table.instruments[rank as usize]);
                format!("instrument {instrument} has no reading of {quantity} that is left")
            })
    }
}

/// Values in the order of steps and positions.
fn values(table: &Table<'_>, group: &Group) -> Vec<f64> {
    let mut rows = group.rows.clone();
    rows.sort_unstable();
    rows.iter().map(|row| table.value[*row as usize]).collect()
}

fn pair(table: &Table<'_>, a: &Group, b: &Group) -> Result<(Vec<f64>, Vec<f64>), String> {
    if a.interval(table).is_some() && b.interval(table).is_some() {
        return Ok(if a.instrument == b.instrument { by_time(table, a, b) } else { by_moment(table, a, b) });
    }
    let (x, y) = (values(table, a), values(table, b));
    if x.len() != y.len() {
        return Err(format!(
            "the readings have no times to pair them by, and there are {} and {} of them",
            x.len(),
            y.len()
        ));
    }
    Ok((x, y))
}

/// Of two instruments, their means at the moments that both have.
fn by_moment(table: &Table<'_>, a: &Group, b: &Group) -> (Vec<f64>, Vec<f64>) {
    let moments = Moments::of(table, &[a.clone(), b.clone()]);
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for moment in moments.iter() {
        let mut of_a = None;
        let mut of_b = None;
        for rows in by_instrument(table, moment) {
            let instrument = rows.first().map(|row| table.instrument(*row));
            if instrument == Some(a.instrument) {
                of_a = Some(mean_value(table, rows));
            } else {
                of_b = Some(mean_value(table, rows));
            }
        }
        if let (Some(of_a), Some(of_b)) = (of_a, of_b) {
            x.push(of_a);
            y.push(of_b);
        }
    }
    (x, y)
}

/// Of two quantities of one instrument, each reading of the first with the nearest of the second within half of the
/// latter's interval; each of the second is used once, with the nearest of the first.
fn by_time(table: &Table<'_>, a: &Group, b: &Group) -> (Vec<f64>, Vec<f64>) {
    let tolerance = b.interval(table).unwrap_or(0) / 2;
    let mut nearest: BTreeMap<Row, (u64, Row)> = BTreeMap::new();
    for row in &a.rows {
        let time = mean_time(table, &[*row]);
        if let Some(other) = b.nearest(table, time, tolerance) {
            let distance = table.time[other as usize].abs_diff(time);
            nearest
                .entry(other)
                .and_modify(|held| {
                    if distance < held.0 {
                        *held = (distance, *row);
                    }
                })
                .or_insert((distance, *row));
        }
    }
    nearest
        .into_iter()
        .map(|(other, (_, row))| (table.value[row as usize], table.value[other as usize]))
        .unzip()
}
