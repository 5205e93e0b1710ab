//! How many closed intervals cover which part of the line.

use super::{INTERVAL_COVERAGE, Input, Refusal};

/// A maximal stretch of the line that the same number of intervals covers; a point where `lower == upper`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Region {
    pub(super) lower: f64,
    pub(super) upper: f64,
    pub(super) covered_by: usize,
}

/// The interval of each input, value ± 2u.
pub(super) fn of(inputs: &[Input], method: &'static str) -> Result<Vec<(f64, f64)>, Refusal> {
    inputs
        .iter()
        .map(|input| {
            let u = input.uncertainty.ok_or(Refusal::UncertaintyNeeded { method })?;
            Ok((input.value - INTERVAL_COVERAGE * u, input.value + INTERVAL_COVERAGE * u))
        })
        .collect()
}

/// Between each two neighbouring ends a region, and at each end a point, with the number of intervals that cover
/// it; ascending. Quadratic in nothing: the ends are sorted once and counted on the way.
pub(super) fn regions(intervals: &[(f64, f64)]) -> Vec<Region> {
    let mut lowers: Vec<f64> = intervals.iter().map(|interval| interval.0).collect();
    let mut uppers: Vec<f64> = intervals.iter().map(|interval| interval.1).collect();
    lowers.sort_unstable_by(f64::total_cmp);
    uppers.sort_unstable_by(f64::total_cmp);
    let mut ends: Vec<f64> = lowers.iter().chain(&uppers).copied().collect();
    ends.sort_unstable_by(f64::total_cmp);
    ends.dedup();
    let mut regions = Vec::with_capacity(2 * ends.len());
    for (i, &end) in ends.iter().enumerate() {
        let opened = lowers.partition_point(|lower| *lower <= end);
        let closed_before = uppers.partition_point(|upper| *upper < end);
        let closed = uppers.partition_point(|upper| *upper <= end);
        regions.push(Region { lower: end, upper: end, covered_by: opened - closed_before });
        if let Some(&next) = ends.get(i + 1) {
            regions.push(Region { lower: end, upper: next, covered_by: opened - closed });
        }
    }
    regions
}
