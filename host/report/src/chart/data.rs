//! What a chart is drawn from: the points of each instrument in one unit.

use std::collections::{BTreeMap, HashSet};

use inquisitor_findings::finding::{Estimate, Finding};
use inquisitor_findings::reading::Observed;
use inquisitor_findings::units::Converter;

use super::{MAX_POINTS, MAX_SERIES, Options};

/// A reading as drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// Nanoseconds since the Unix epoch.
    pub(super) time: i64,
    pub(super) value: f64,
}

/// The points of one instrument.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    pub(super) instrument: String,
    /// Points by time, those that no axiom excluded.
    pub(super) points: Vec<Point>,
    /// Points that an axiom excluded, as far as the finding lists them.
    pub(super) excluded: Vec<Point>,
}

/// The quantity that a chart shows.
#[derive(Debug)]
pub(super) struct Chosen<'a> {
    pub(super) quantity: String,
    pub(super) unit: String,
    /// In the manifest's order, at most [`MAX_SERIES`].
    pub(super) series: Vec<Series>,
    /// Instruments that are not drawn because there are too many.
    pub(super) left_out: usize,
    /// Readings in units that do not convert.
    pub(super) incomparable: usize,
    pub(super) estimate: Option<&'a Estimate>,
}

/// A reading that is a number, with where it stands.
struct Number<'a> {
    quantity: &'a str,
    unit: &'a str,
    time: i64,
    value: f64,
    /// Position in the step's observation.
    index: usize,
}

/// The numbers of an observation.
fn numbers(observed: &Observed) -> impl Iterator<Item = Number<'_>> {
    let single = observed.observation.readings.iter().enumerate().filter_map(|(index, reading)| {
        let value = reading.value.as_f64()?;
        let time = reading.time.unwrap_or(observed.time);
        Some(Number { quantity: &reading.quantity, unit: &reading.unit, time, value, index })
    });
    let mut start = observed.observation.readings.len();
    let series = observed.observation.series.iter().flat_map(move |series| {
        let first = start;
        start += series.values.len();
        series.values.iter().enumerate().map(move |(row, value)| Number {
            quantity: &series.quantity,
            unit: &series.unit,
            time: series.times.get(row).copied().unwrap_or(observed.time),
            value: *value,
            index: first + row,
        })
    });
    single.chain(series).filter(|number| number.value.is_finite())
}

/// The name and the unit to show: those of the estimate, or of the first reading.
fn quantity_and_unit<'a>(
    wanted: Option<&str>,
    finding: &'a Finding,
    observed: &'a [Observed],
) -> (String, String, Option<&'a Estimate>) {
    let is_wanted = |name: &str| wanted.is_none_or(|wanted| wanted == name);
    if let Some(estimate) = finding.estimates.iter().find(|estimate| is_wanted(&estimate.quantity)) {
        return (estimate.quantity.clone(), estimate.unit.clone(), Some(estimate));
    }
    let first = observed.iter().flat_map(numbers).find(|number| is_wanted(number.quantity));
    match first {
        Some(number) => (number.quantity.to_owned(), number.unit.to_owned(), None),
        None => (wanted.unwrap_or("no quantity").to_owned(), "1".to_owned(), None),
    }
}

/// Instruments with observations, in the manifest's order.
fn instruments<'a>(finding: &'a Finding, observed: &'a [Observed]) -> Vec<&'a str> {
    let mut all: Vec<&str> = finding.instruments.iter().map(|one| one.instrument.as_str()).collect();
    let mut seen: HashSet<&str> = all.iter().copied().collect();
    all.extend(observed.iter().map(|one| one.instrument.as_str()).filter(|name| seen.insert(name)));
    let present: HashSet<&str> = observed.iter().map(|one| one.instrument.as_str()).collect();
    all.retain(|name| present.contains(name));
    all
}

impl<'a> Chosen<'a> {
    /// Gathers what the options ask for.
    pub(super) fn new(options: &Options, finding: &'a Finding, observed: &'a [Observed]) -> Self {
        let (quantity, unit, estimate) = quantity_and_unit(options.quantity.as_deref(), finding, observed);
        let excluded: HashSet<(&str, &str, usize)> = finding
            .exclusions
            .iter()
            .map(|one| (one.instrument.as_str(), one.step.as_str(), one.index))
            .collect();
        let mut converters: BTreeMap<&str, Option<Converter>> = BTreeMap::new();
        let mut incomparable = 0;
        let mut series = Vec::new();
        let mut left_out = 0;
        for instrument in instruments(finding, observed) {
            if options.instruments.as_ref().is_some_and(|wanted| !wanted.iter().any(|one| one == instrument))
            {
                continue;
            }
            let mut one =
                Series { instrument: instrument.to_owned(), points: Vec::new(), excluded: Vec::new() };
            for step in observed.iter().filter(|step| step.instrument == instrument) {
                for number in numbers(step).filter(|number| number.quantity == quantity) {
                    let converter = converters
                        .entry(number.unit)
                        .or_insert_with(|| Converter::between(number.unit, &unit).ok());
                    let value = converter.as_ref().map(|converter| converter.value(number.value));
                    let Some(value) = value.filter(|value| value.is_finite()) else {
                        incomparable += 1;
                        continue;
                    };
                    let point = Point { time: number.time, value };
                    if excluded.contains(&(instrument, step.step.as_str(), number.index)) {
                        one.excluded.push(point);
                    } else {
                        one.points.push(point);
                    }
                }
            }
            if one.points.is_empty() && one.excluded.is_empty() {
                continue;
            }
            if series.len() == MAX_SERIES {
                left_out += 1;
                continue;
            }
            one.points.sort_by_key(|point| point.time);
            series.push(one);
        }
        Self { quantity, unit, series, left_out, incomparable, estimate }
    }

    /// All points, also the excluded ones.
    pub(super) fn all_points(&self) -> impl Iterator<Item = Point> + Clone + '_ {
        self.series.iter().flat_map(|series| series.points.iter().chain(&series.excluded)).copied()
    }
}

/// One quantity against another.
#[derive(Debug)]
pub(super) struct Pairs {
    pub(super) x: String,
    pub(super) y: String,
    pub(super) x_unit: String,
    pub(super) y_unit: String,
    /// For each instrument that read both: the pairs of the same moment.
    pub(super) series: Vec<(String, Vec<(f64, f64)>)>,
}

impl Pairs {
    pub(super) fn new(x: &str, y: &str, options: &Options, finding: &Finding, observed: &[Observed]) -> Self {
        let of = |quantity: &str| {
            let options = Options { quantity: Some(quantity.to_owned()), ..options.clone() };
            Chosen::new(&options, finding, observed)
        };
        let (of_x, of_y) = (of(x), of(y));
        let mut series = Vec::new();
        for one in &of_y.series {
            let Some(other) = of_x.series.iter().find(|other| other.instrument == one.instrument) else {
                continue;
            };
            let by_time: BTreeMap<i64, f64> =
                other.points.iter().map(|point| (point.time, point.value)).collect();
            let pairs: Vec<(f64, f64)> = one
                .points
                .iter()
                .filter_map(|point| by_time.get(&point.time).map(|x| (*x, point.value)))
                .collect();
            if !pairs.is_empty() {
                series.push((one.instrument.clone(), pairs));
            }
        }
        Self { x: x.to_owned(), y: y.to_owned(), x_unit: of_x.unit, y_unit: of_y.unit, series }
    }
}

/// At most [`MAX_POINTS`] of many: of each of equally long stretches the smallest and the largest, in their order, so
/// that no excursion is lost.
pub(super) fn thinned<T: Copy>(points: &[T], value: impl Fn(&T) -> f64) -> Vec<T> {
    if points.len() <= MAX_POINTS {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(MAX_POINTS / 2);
    let mut kept = Vec::with_capacity(MAX_POINTS);
    for part in points.chunks(stretch) {
        let compare = |a: &usize, b: &usize| value(&part[*a]).total_cmp(&value(&part[*b]));
        let least = (0..part.len()).min_by(compare).unwrap_or(0);
        let most = (0..part.len()).max_by(compare).unwrap_or(0);
        kept.push(part[least.min(most)]);
        if least != most {
            kept.push(part[least.max(most)]);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn thinning_keeps_the_extremes_and_the_order(values in prop::collection::vec(-1e6..1e6_f64, 1..6000)) {
            let points: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
            let kept = thinned(&points, |point| point.1);
            prop_assert!(kept.len() <= MAX_POINTS);
            prop_assert!(kept.is_sorted_by(|a, b| a.0 < b.0));
            let extremes = |points: &[(usize, f64)]| {
                let values = points.iter().map(|point| point.1);
                (values.clone().fold(f64::MAX, f64::min), values.fold(f64::MIN, f64::max))
            };
            prop_assert_eq!(extremes(&kept), extremes(&points));
        }
    }
}
