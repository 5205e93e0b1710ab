//! Bounds: the value lies between a lower and an upper one, both inclusive.

use super::{Judged, NO_COUNTERPART};
use crate::table::Table;
use crate::units::Converters;

/// A lower and an upper bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Lower bound, inclusive.
    pub min: Option<f64>,
    /// Upper bound, inclusive.
    pub max: Option<f64>,
}

impl Bounds {
    /// How far beyond the bounds a value lies; none where it lies within.
    pub fn beyond(&self, value: f64) -> Option<f64> {
        let below = self.min.map_or(f64::NEG_INFINITY, |min| min - value);
        let above = self.max.map_or(f64::NEG_INFINITY, |max| value - max);
        Some(below.max(above)).filter(|beyond| *beyond > 0.0)
    }
}

/// Exclude readings beyond the bounds. They are compared in the bounds' own unit, so that a reading in that unit is
/// compared as it was given, without the rounding of a conversion. A reading of the quantity that is not a number
/// violates them.
pub(super) fn judge<'a>(
    table: &Table<'a>,
    quantity: &str,
    unit: Option<&'a str>,
    bounds: Bounds,
    rule: u32,
    judged: &mut Judged,
) {
    let Some(quantity) = table.quantity_named(quantity) else { return };
    let mut converters = Converters::new();
    for row in table.rows() {
        let i = row as usize;
        if table.quantity[i] != quantity || !judged.survives(row) {
            continue;
        }
        if !table.numeric[i] {
            judged.exclude(row, rule, None);
            continue;
        }
        let own = table.units[table.unit[i] as usize];
        match converters.get(own, unit.unwrap_or(own)) {
            Ok(converter) => {
                let value = converter.value(table.raw[i]);
                if value.is_nan() {
                    judged.exclude_unevaluated(row, rule, NO_COUNTERPART);
                } else if let Some(margin) = bounds.beyond(value) {
                    judged.exclude(row, rule, Some(margin));
                }
            }
            Err(error) => judged.exclude_unevaluated(row, rule, &error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_inclusive() {
        let bounds = Bounds { min: Some(2.0), max: Some(8.0) };
        assert_eq!(bounds.beyond(2.0), None);
        assert_eq!(bounds.beyond(8.0), None);
        assert_eq!(bounds.beyond(1.5), Some(0.5));
        assert_eq!(bounds.beyond(9.0), Some(1.0));
        assert_eq!(Bounds { min: None, max: Some(8.0) }.beyond(-1e99), None);
    }
}
