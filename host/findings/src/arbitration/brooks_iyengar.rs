//! Brooks and Iyengar's hybrid of approximate agreement and fusion.
//!
//! R. R. Brooks and S. S. Iyengar 1996, "Robust distributed computing and sensing algorithm", IEEE Computer 29(6), 53–60.
//! Each input is the interval value ± 2u. Of the regions that at least n − f intervals cover, the estimate is the mean of
//! the middles, each weighed by the number of intervals that cover it; the interval runs from the lowest to the highest
//! such region. Needs n ≥ 3f + 1. The uncertainty is that of a value known only to lie in the interval: half
//! the width / √3 (GUM 4.3.7).

use super::intervals::{self, Region};
use super::{Combined, Input, Refusal};
use crate::numeric::{self, count, midpoint};

/// Combine the inputs, of which at most `f` are wrong.
///
/// # Errors
/// When there is none, one has no uncertainty, or no point lies in n − f of the intervals.
pub fn combine(inputs: &[Input], f: usize) -> Result<Combined, Refusal> {
    let n = inputs.len();
    if n == 0 {
        return Err(Refusal::Nothing);
    }
    let intervals = intervals::of(inputs, "brooks_iyengar")?;
    let needed = n.saturating_sub(f).max(1);
    let regions = agreed(&intervals, needed);
    let (Some(first), Some(last)) = (regions.first(), regions.last()) else {
        return Err(Refusal::NoOverlap { n, f, needed });
    };
    let (lower, upper) = (first.lower, last.upper);
    let votes = numeric::sum(regions.iter().map(|region| count(region.covered_by)));
    // About the lower end, so that a common offset costs no digits.
    let shift =
        numeric::sum(regions.iter().map(|r| count(r.covered_by) * (midpoint(r.lower, r.upper) - lower)))
            / votes;
    let weights = intervals
        .iter()
        .map(|interval| {
            let covers = |r: &&Region| interval.0 <= r.lower && r.upper <= interval.1;
            count(regions.iter().filter(covers).count()) / votes
        })
        .collect();
    Ok(Combined {
        value: (lower + shift).clamp(lower, upper),
        uncertainty: (upper - lower) / 2.0 / 3.0_f64.sqrt(),
        interval: Some((lower, upper)),
        weights,
    })
}

/// The regions that at least `needed` intervals cover; points only where no stretch is covered as much.
fn agreed(intervals: &[(f64, f64)], needed: usize) -> Vec<Region> {
    let all = intervals::regions(intervals);
    let of = |points: bool| -> Vec<Region> {
        all.iter().filter(|r| (r.lower == r.upper) == points && r.covered_by >= needed).copied().collect()
    };
    let stretches = of(false);
    if stretches.is_empty() { of(true) } else { stretches }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_five_sensors() {
        // The worked example of the literature: five intervals, of which one is wrong.
        let inputs: Vec<Input> = [(2.7, 6.7), (0.0, 3.2), (1.5, 4.5), (0.8, 2.8), (1.4, 4.6)]
            .iter()
            .map(|(lower, upper): &(f64, f64)| Input {
                value: f64::midpoint(*lower, *upper),
                uncertainty: Some((upper - lower) / 4.0),
                confidence: 1.0,
            })
            .collect();
        let combined = combine(&inputs, 1).unwrap();
        // (4 · 2.1 + 5 · 2.75 + 4 · 3.0) / 13
        assert!((combined.value - 34.15 / 13.0).abs() < 1e-12, "{}", combined.value);
        let (lower, upper) = combined.interval.unwrap();
        assert!((lower - 1.5).abs() < 1e-12 && (upper - 3.2).abs() < 1e-12);
        assert!((combined.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn exact_instruments_agree_in_a_point() {
        let inputs =
            [3.0, 3.0, 3.0, 8.0].map(|value| Input { value, uncertainty: Some(0.0), confidence: 1.0 });
        let combined = combine(&inputs, 1).unwrap();
        assert_eq!((combined.value, combined.uncertainty), (3.0, 0.0));
        assert!((combined.weights[0] - 1.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn contradiction_is_refused() {
        let inputs =
            [0.0, 10.0, 20.0, 30.0].map(|value| Input { value, uncertainty: Some(1.0), confidence: 1.0 });
        assert_eq!(combine(&inputs, 1), Err(Refusal::NoOverlap { n: 4, f: 1, needed: 3 }));
    }
}
