//! The estimate of one quantity: each instrument's value, arbitrated, and its course over time.
//!
//! - An instrument's own value is the mean of all its readings that are left ([`crate::repeated`]). The estimate is the
//!   arbitration of these, so for readings over time it is one of time means.
//! - The *course* exists where there are at least [`MIN_COURSE`] moments (module `groups`) that can be arbitrated. At
//!   each moment the instruments that have readings there are arbitrated by the same method and the same guarantee; a
//!   moment with too few of them, or with uncertainties that cannot be known, has no entry. A single reading that states no
//!   uncertainty gets the instrument's repeatability over its record.

use inquisitor_manifest::spec::Arbitration;

use crate::arbitration::{self, Combined, Input, Refusal, heterogeneity};
use crate::finding::{Contribution, Estimate, Moment};
use crate::groups::{Group, Moments, by_instrument, mean_time};
use crate::numeric;
use crate::repeated;
use crate::table::Table;

/// Fewer moments are no course.
pub const MIN_COURSE: usize = 3;

/// Moments that a finding lists; a longer course is thinned to the extremes of equal stretches. A chart of a page has
/// fewer points, and a finding is kept for ever.
pub const MAX_COURSE: usize = 10_000;

/// Coverage factor of expanded uncertainties: a level of confidence of about 95 % (GUM 6.3.3).
pub const COVERAGE_FACTOR: f64 = 2.0;

/// An estimate with its course as it was computed, before thinning.
#[derive(Debug)]
pub(crate) struct Estimated {
    pub(crate) estimate: Estimate,
    /// Every moment that could be arbitrated, in time order.
    pub(crate) course: Vec<Moment>,
    /// Moments that could not.
    pub(crate) moments_without: usize,
}

/// Estimate one quantity from the groups that are left of it.
pub(crate) fn estimate(
    table: &Table<'_>,
    groups: &[Group],
    unit: &str,
    arbitration: &Arbitration,
) -> Result<Estimated, Refusal> {
    let first = groups.first().ok_or(Refusal::Nothing)?;
    let inputs: Vec<Input> =
        groups.iter().filter_map(|group| repeated::combine_rows(table, &group.rows, None)).collect();
    let combined = arbitration::combine(arbitration.method, &inputs, arbitration.max_faulty)?;
    let (course, moments_without) = course(table, groups, arbitration);
    let estimate = Estimate {
        quantity: table.quantities[first.quantity as usize].to_owned(),
        unit: unit.to_owned(),
        value: combined.value,
        standard_uncertainty: combined.uncertainty,
        coverage_factor: COVERAGE_FACTOR,
        expanded_uncertainty: COVERAGE_FACTOR * combined.uncertainty,
        interval: combined.interval,
        method: arbitration::method_name(arbitration.method).to_owned(),
        readings: groups.iter().map(|group| group.rows.len()).sum(),
        contributions: contributions(table, groups, &inputs, &combined),
        heterogeneity: heterogeneity::between(&inputs),
        course: thin(&course, MAX_COURSE),
    };
    Ok(Estimated { estimate, course, moments_without })
}

fn contributions(
    table: &Table<'_>,
    groups: &[Group],
    inputs: &[Input],
    combined: &Combined,
) -> Vec<Contribution> {
    // An instrument of unknown uncertainty is as uncertain as a single one among these (GUM 4.2.2).
    let values: Vec<f64> = inputs.iter().map(|input| input.value).collect();
    let spread = numeric::Spread::of(&values).and_then(|spread| spread.variance()).map(f64::sqrt);
    groups
        .iter()
        .zip(inputs)
        .zip(&combined.weights)
        .map(|((group, input), weight)| {
            let u = input.uncertainty.or(spread).unwrap_or(combined.uncertainty);
            Contribution {
                instrument: table.instruments[group.instrument as usize].to_owned(),
                value: input.value,
                standard_uncertainty: u,
                weight: *weight,
                readings: group.rows.len(),
                agrees: (input.value - combined.value).abs()
                    <= COVERAGE_FACTOR * u.hypot(combined.uncertainty),
            }
        })
        .collect()
}

/// The arbitration of each moment, and how many moments have none.
fn course(table: &Table<'_>, groups: &[Group], arbitration: &Arbitration) -> (Vec<Moment>, usize) {
    let moments = Moments::of(table, groups);
    if moments.len() < MIN_COURSE {
        return (Vec::new(), 0);
    }
    let mut singles = vec![None; table.instruments.len()];
    for group in groups {
        let values: Vec<f64> = group.rows.iter().map(|row| table.value[*row as usize]).collect();
        singles[group.instrument as usize] = repeated::repeatability(&values);
    }
    let mut course = Vec::with_capacity(moments.len());
    let mut inputs: Vec<Input> = Vec::new();
    for moment in moments.iter() {
        inputs.clear();
        inputs.extend(by_instrument(table, moment).filter_map(|rows| {
            let instrument = rows.first().map(|row| table.instrument(*row))?;
            repeated::combine_rows(table, rows, singles[instrument as usize])
        }));
        if let Ok(combined) = arbitration::combine(arbitration.method, &inputs, arbitration.max_faulty) {
            course.push(Moment {
                time: mean_time(table, moment),
                value: combined.value,
                standard_uncertainty: combined.uncertainty,
                instruments: inputs.len(),
            });
        }
    }
    if course.len() < MIN_COURSE {
        return (Vec::new(), 0);
    }
    let without = moments.len() - course.len();
    (course, without)
}

/// At most `most` moments: of equal stretches the lowest and the highest each, so that no extreme is lost.
fn thin(course: &[Moment], most: usize) -> Vec<Moment> {
    if course.len() <= most {
        return course.to_vec();
    }
    let stretches = (most / 2).max(1);
    let mut thinned = Vec::with_capacity(2 * stretches);
    for stretch in 0..stretches {
        let from = stretch * course.len() / stretches;
        let until = (stretch + 1) * course.len() / stretches;
        let part = &course[from..until];
        let by_value = |a: &(usize, &Moment), b: &(usize, &Moment)| a.1.value.total_cmp(&b.1.value);
        let lowest = part.iter().enumerate().min_by(by_value).map(|(i, _)| i);
        let highest = part.iter().enumerate().max_by(by_value).map(|(i, _)| i);
        if let (Some(a), Some(b)) = (lowest, highest) {
            thinned.push(part[a.min(b)]);
            if a != b {
                thinned.push(part[a.max(b)]);
            }
        }
    }
    thinned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(time: i64, value: f64) -> Moment {
        Moment { time, value, standard_uncertainty: 0.1, instruments: 1 }
    }

    #[test]
    fn thinning_keeps_extremes_and_order() {
        let mut course: Vec<Moment> = (0..10_000).map(|i| moment(i, 5.0)).collect();
        course[4321].value = 50.0;
        course[8765].value = -50.0;
        let thinned = thin(&course, 100);
        assert!(thinned.len() <= 100);
        assert!(thinned.iter().any(|m| m.value == 50.0) && thinned.iter().any(|m| m.value == -50.0));
        assert!(thinned.windows(2).all(|pair| pair[0].time < pair[1].time));
        assert_eq!(thin(&course[..100], 100), course[..100]);
    }
}
