//! Median: as many instruments above as below.
//!
//! With n ≥ 2f + 1 inputs it lies between two honest values whatever f others say.
//!
//! Uncertainty: the larger of
//! - external, 1.858 · MAD / √(n − 1) with MAD the median absolute deviation (J. W. Müller 2000, "Possible advantages
//!   of a robust evaluation of comparisons", J. Res. NIST 105, 551–555); where the MAD is zero though values differ,
//!   the fallback of [`numeric::robust_deviation`] takes its place (1.858 = 1.2533 · 1.4826);
//! - internal, where every uncertainty is known: √(π/2) · √(Σ uᵢ²) / n, the propagated uncertainty of a mean widened by
//!   the median's lower efficiency for normal errors; without the factor for two inputs, whose median is their mean.

use super::{Combined, Input, Refusal, alone, propagated};
use crate::numeric::{self, MEAN_DEVIATION_TO_SD, count};

/// Combine the inputs.
///
/// # Errors
/// When there is none, or a single one without an uncertainty.
pub fn combine(inputs: &[Input]) -> Result<Combined, Refusal> {
    let n = inputs.len();
    match inputs {
        [] => return Err(Refusal::Nothing),
        [only] => return alone(only),
        _ => {}
    }
    let mut sorted: Vec<f64> = inputs.iter().map(|input| input.value).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let value = numeric::median_of_sorted(&sorted).ok_or(Refusal::Nothing)?;
    let external = MEAN_DEVIATION_TO_SD * numeric::robust_deviation(&sorted, value) / count(n - 1).sqrt();
    let efficiency = if n == 2 { 1.0 } else { MEAN_DEVIATION_TO_SD };
    let internal = propagated(inputs, &vec![efficiency / count(n); n]);
    Ok(Combined {
        value,
        uncertainty: external.max(internal.unwrap_or(0.0)),
        interval: None,
        weights: shares(inputs, &sorted),
    })
}

/// The middle value, or the middle two, carry the estimate; instruments with equal values share.
fn shares(inputs: &[Input], sorted: &[f64]) -> Vec<f64> {
    let middle = [sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]];
    let mut weights = vec![0.0; inputs.len()];
    for value in middle {
        let holders = inputs.iter().filter(|input| input.value == value).count();
        for (weight, input) in weights.iter_mut().zip(inputs) {
            if input.value == value {
                *weight += 0.5 / count(holders);
            }
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(values: &[f64]) -> Vec<Input> {
        values.iter().map(|value| Input { value: *value, uncertainty: None, confidence: 1.0 }).collect()
    }

    #[test]
    fn the_middle_counts() {
        let combined = combine(&inputs(&[9.0, 1.0, 2.0])).unwrap();
        assert_eq!((combined.value, combined.weights), (2.0, vec![0.0, 0.0, 1.0]));
        // MAD = 1: 1.858 · 1 / √2.
        assert!((combined.uncertainty - 1.858 / 2.0_f64.sqrt()).abs() < 1e-3);
        let combined = combine(&inputs(&[1.0, 2.0, 4.0, 100.0])).unwrap();
        assert_eq!((combined.value, combined.weights), (3.0, vec![0.0, 0.5, 0.5, 0.0]));
    }

    #[test]
    fn equal_values_share() {
        let combined = combine(&inputs(&[5.0, 5.0, 9.0])).unwrap();
        assert_eq!((combined.value, combined.weights), (5.0, vec![0.5, 0.5, 0.0]));
        assert!(combined.uncertainty > 0.0, "a majority of equal values is not certainty");
    }

    #[test]
    fn stated_uncertainties_are_a_floor() {
        let close: Vec<Input> =
            [1.0, 1.0, 1.0].map(|value| Input { value, uncertainty: Some(0.3), confidence: 1.0 }).to_vec();
        let combined = combine(&close).unwrap();
        assert!((combined.uncertainty - MEAN_DEVIATION_TO_SD * 0.3 / 3.0_f64.sqrt()).abs() < 1e-12);
    }
}
