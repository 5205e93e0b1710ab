//! Agreement: instruments that measure the same at the same moment are not farther apart than a distance.
//!
//! Moments are those of the module `groups`. Each instrument enters a moment with one value, the mean of its readings in
//! it. The centre is the median or the mean of these values. While some value is farther from the centre than the axiom
//! allows, the farthest is excluded (all of them where several are equally far) and the centre is taken anew from the
//! rest, so that one liar does not pull the centre away from honest instruments and get them excluded with it.
//!
//! With three or more instruments the median speaks for the majority. With two, both are equally far from the
//! centre: where they disagree, one is wrong and nothing says which, so both are excluded for that moment. With one
//! there is nothing to compare, and it stays; a manifest that wants more says so with `max_faulty`.
//!
//! The margin is how much farther from the centre of that round the value lies than allowed, in the axiom's unit.

use inquisitor_manifest::spec::Center;

use super::{Judged, comparable};
use crate::groups::{Moments, by_instrument, mean_value};
use crate::numeric;
use crate::table::{Row, Table};

/// What agreement is demanded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// Largest distance from the centre, zero or more.
    pub within: f64,
    /// What the centre is.
    pub of: Center,
}

/// Exclude readings that do not agree with those of other instruments.
pub(super) fn judge(
    table: &Table<'_>,
    units: &[Option<&str>],
    quantity: &str,
    unit: Option<&str>,
    demand: Demand,
    rule: u32,
    judged: &mut Judged,
) {
    let Some((groups, converter)) = comparable(table, units, quantity, unit, rule, judged) else { return };
    if groups.len() < 2 {
        return;
    }
    let moments = Moments::of(table, &groups);
    let mut parts: Vec<&[Row]> = Vec::new();
    let mut values: Vec<f64> = Vec::new();
    for moment in moments.iter() {
        parts.clear();
        parts.extend(by_instrument(table, moment));
        values.clear();
        values.extend(parts.iter().map(|rows| converter.value(mean_value(table, rows))));
        for (i, margin) in disagreeing(&values, demand) {
            for row in parts[i] {
                judged.exclude(*row, rule, Some(margin));
            }
        }
    }
}

/// Which of the values do not agree, one for each instrument: their positions, with the margins.
pub fn disagreeing(values: &[f64], demand: Demand) -> Vec<(usize, f64)> {
    let mut excluded = Vec::new();
    let mut left: Vec<usize> = (0..values.len()).collect();
    let mut held: Vec<f64> = values.to_vec();
    while left.len() >= 2 {
        let center = match demand.of {
            Center::Median => {
                held.sort_unstable_by(f64::total_cmp);
                numeric::median_of_sorted(&held)
            }
            Center::Mean => numeric::mean(&held),
        };
        let Some(center) = center else { break };
        let distance = |i: &usize| (values[*i] - center).abs();
        let farthest = left.iter().map(distance).fold(0.0, f64::max);
        // A hair of rounding is no disagreement.
        let rounding = 8.0 * f64::EPSILON * (center.abs() + farthest);
        if farthest <= demand.within + rounding {
            break;
        }
        let is_far = |i: &usize| distance(i) >= farthest - rounding;
        excluded.extend(left.iter().filter(|i| is_far(i)).map(|i| (*i, distance(i) - demand.within)));
        left.retain(|i| !is_far(i));
        held.clear();
        held.extend(left.iter().map(|i| values[*i]));
    }
    excluded.sort_unstable_by_key(|(position, _)| *position);
    excluded
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEDIAN: Demand = Demand { within: 3.0, of: Center::Median };
    const MEAN: Demand = Demand { within: 3.0, of: Center::Mean };

    fn positions(values: &[f64], demand: Demand) -> Vec<usize> {
        disagreeing(values, demand).into_iter().map(|(i, _)| i).collect()
    }

    #[test]
    fn the_majority_stays() {
        assert_eq!(disagreeing(&[5.0, 5.5, 10.0], MEDIAN), [(2, 1.5)]);
        assert!(positions(&[5.0, 5.5, 8.0], MEDIAN).is_empty());
    }

    #[test]
    fn a_liar_does_not_take_honest_instruments_along() {
        // Against the mean of all four, 28.9, everyone would be out.
        assert_eq!(positions(&[5.0, 5.5, 5.2, 100.0], MEAN), [3]);
        assert_eq!(positions(&[5.0, 5.2, 9.0, 20.0], Demand { within: 2.0, of: Center::Median }), [2, 3]);
    }

    #[test]
    fn two_that_disagree_are_both_out() {
        assert_eq!(positions(&[0.0, 10.0], MEDIAN), [0, 1]);
        assert!(positions(&[0.0, 6.0], MEDIAN).is_empty(), "each is within 3 of the centre");
    }

    #[test]
    fn one_alone_stays() {
        assert!(positions(&[1.0], MEDIAN).is_empty());
        assert!(positions(&[], MEDIAN).is_empty());
    }
}
