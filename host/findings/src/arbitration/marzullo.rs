//! Marzullo's fault-tolerant intersection of intervals.
//!
//! K. Marzullo 1990, "Tolerating failures of continuous-valued sensors", ACM Trans. Comput. Syst. 8, 284–304. Each input
//! is the interval value ± 2u. Of n intervals at least n − f are right, so the true value lies where at least n − f
//! overlap; the result is the smallest interval that holds all such points. For n ≥ 2f + 1 it is no wider than some
//! honest interval. The estimate is its middle, and the uncertainty that of a value known only to lie within it:
//! half the width / √3 (GUM 4.3.7).

use super::{Combined, Input, Refusal, intervals};
use crate::numeric::{count, midpoint};

/// Combine the inputs, of which at most `f` are wrong.
///
/// # Errors
/// When there is none, one has no uncertainty, or no point lies in n − f of the intervals.
pub fn combine(inputs: &[Input], f: usize) -> Result<Combined, Refusal> {
    let n = inputs.len();
    if n == 0 {
        return Err(Refusal::Nothing);
    }
    let intervals = intervals::of(inputs, "marzullo")?;
    let (lower, upper) =
        intersect(&intervals, f).ok_or(Refusal::NoOverlap { n, f, needed: n.saturating_sub(f).max(1) })?;
    // Those that have a point in common with the result carry it, in equal shares.
    let carries = |interval: &(f64, f64)| interval.0 <= upper && interval.1 >= lower;
    let carriers = count(intervals.iter().filter(|interval| carries(interval)).count());
    Ok(Combined {
        value: midpoint(lower, upper),
        uncertainty: (upper - lower) / 2.0 / 3.0_f64.sqrt(),
        interval: Some((lower, upper)),
        weights: intervals.iter().map(|i| if carries(i) { 1.0 / carriers } else { 0.0 }).collect(),
    })
}

/// The smallest interval that holds every point covered by at least n − f of the closed intervals (at least by
/// one); none where there is no such point.
pub fn intersect(intervals: &[(f64, f64)], f: usize) -> Option<(f64, f64)> {
    let needed = intervals.len().saturating_sub(f).max(1);
    let regions = intervals::regions(intervals);
    let enough = |region: &&intervals::Region| region.covered_by >= needed;
    let lower = regions.iter().find(enough)?.lower;
    let upper = regions.iter().rev().find(enough)?.upper;
    Some((lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks() {
        // The intervals by which the algorithm is usually explained for network time: 10 ± 2, 12 ± 1, 11 ± 1.
        assert_eq!(intersect(&[(8.0, 12.0), (11.0, 13.0), (10.0, 12.0)], 0), Some((11.0, 12.0)));
        // 10 ± 2, 12 ± 1 and a third that agrees with neither.
        assert_eq!(intersect(&[(8.0, 12.0), (11.0, 13.0), (14.0, 15.0)], 1), Some((11.0, 12.0)));
        assert_eq!(intersect(&[(8.0, 12.0), (11.0, 13.0), (14.0, 15.0)], 0), None);
        // Two regions of two: the result holds both.
        assert_eq!(intersect(&[(8.0, 9.0), (8.0, 12.0), (10.0, 12.0)], 1), Some((8.0, 12.0)));
    }

    #[test]
    fn touching_ends_overlap() {
        assert_eq!(intersect(&[(0.0, 1.0), (1.0, 2.0)], 0), Some((1.0, 1.0)));
    }

    #[test]
    fn the_middle_and_a_rectangular_uncertainty() {
        let input = |value, u| Input { value, uncertainty: Some(u), confidence: 1.0 };
        let combined = combine(&[input(10.0, 1.0), input(12.0, 0.5), input(100.0, 0.5)], 1).unwrap();
        assert_eq!(combined.interval, Some((11.0, 12.0)));
        assert_eq!(combined.value, 11.5);
        assert!((combined.uncertainty - 0.5 / 3.0_f64.sqrt()).abs() < 1e-15);
        assert_eq!(combined.weights, vec![0.5, 0.5, 0.0]);
        let error = combine(&[input(0.0, 1.0), input(10.0, 1.0)], 0).unwrap_err();
        assert_eq!(error, Refusal::NoOverlap { n: 2, f: 0, needed: 2 });
    }
}
