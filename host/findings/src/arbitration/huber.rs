//! Huber's M-estimate of location: a mean whose far members count less.
//!
//! P. J. Huber 1964, "Robust estimation of a location parameter", Ann. Math. Statist. 35, 73–101. Solves
//! Σ ψ((xᵢ − T)/s) = 0 with ψ(r) = max(−k, min(k, r)), k = 1.345 (95 % efficiency for normal errors) and a scale s fixed
//! beforehand from the median absolute deviation ([`numeric::robust_deviation`]), by iteratively reweighted means with
//! wᵢ = min(1, k/|rᵢ|), starting from the median. The uncertainties of the inputs are not weights here: a liar would
//! state a small one.
//!
//! Uncertainty: the larger of the propagated one (GUM 5.1.2, where all are known) and the sandwich estimate
//! s² · K² · [Σ ψ² / (n − 1)] / [Σ ψ′ / n]² / n with K = 1 + (1 − m)/(n m), m = Σ ψ′ / n (Huber 1981, "Robust statistics",
//! section 7.6, for a single location parameter).

use super::{Combined, Input, Refusal, alone, normalized, propagated, weighted};
use crate::numeric::{self, count};

/// Bend of ψ in units of the scale.
pub const K: f64 = 1.345;

/// Iterations after which the estimate is taken as it is. Each one shrinks the error at least by the share of
/// inputs beyond the bend, which is below one half, so that far fewer are needed.
const MAX_ITERATIONS: usize = 200;

/// Combine the inputs.
///
/// # Errors
/// When there is none, or a single one without an uncertainty.
pub fn combine(inputs: &[Input]) -> Result<Combined, Refusal> {
    combine_with(inputs, K)
}

/// [`combine()`] with another bend `k`, above zero.
///
/// # Errors
/// As for [`combine()`].
pub fn combine_with(inputs: &[Input], k: f64) -> Result<Combined, Refusal> {
    let n = count(inputs.len());
    match inputs {
        [] => return Err(Refusal::Nothing),
        [only] => return alone(only),
        _ => {}
    }
    let values: Vec<f64> = inputs.iter().map(|input| input.value).collect();
    let start = numeric::median(&values).ok_or(Refusal::Nothing)?;
    let scale = numeric::robust_deviation(&values, start);
    let (value, raw) =
        if scale > 0.0 { solve(inputs, start, scale, k) } else { (start, vec![1.0; inputs.len()]) };
    let weights = normalized(&raw);
    let external = if scale > 0.0 {
        let residuals = || values.iter().map(|x| (x - value) / scale);
        let slope = count(residuals().filter(|r| r.abs() <= k).count()) / n;
        let bent = numeric::sum(residuals().map(|r| r.clamp(-k, k).powi(2)));
        // The scale is such that at least about half of the inputs lie within the bend.
        let slope = slope.max(1.0 / n);
        let correction = 1.0 + (1.0 - slope) / (n * slope);
        scale * correction * (bent / (n - 1.0)).sqrt() / slope / n.sqrt()
    } else {
        0.0
    };
    let internal = propagated(inputs, &weights).unwrap_or(0.0);
    Ok(Combined { value, uncertainty: external.max(internal), interval: None, weights })
}

fn solve(inputs: &[Input], start: f64, scale: f64, k: f64) -> (f64, Vec<f64>) {
    let reweigh = |center: f64| -> Vec<f64> {
        inputs
            .iter()
            .map(|input| {
                let r = ((input.value - center) / scale).abs();
                if r <= k { 1.0 } else { k / r }
            })
            .collect()
    };
    let mut center = start;
    let mut weights = reweigh(center);
    for _ in 0..MAX_ITERATIONS {
        let next = weighted(inputs, &normalized(&weights));
        let moved = (next - center).abs();
        center = next;
        weights = reweigh(center);
        if moved <= 1e-13 * scale {
            break;
        }
    }
    (center, weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(values: &[f64]) -> Vec<Input> {
        values.iter().map(|value| Input { value: *value, uncertainty: None, confidence: 1.0 }).collect()
    }

    /// Copper in wholemeal flour, 24 determinations in µg/g (Analytical Methods Committee 1989, "Robust statistics:
    /// how not to reject outliers", Analyst 114, 1693–1697).
    const COPPER: [f64; 24] = [
        2.2, 2.2, 2.4, 2.4, 2.5, 2.7, 2.8, 2.9, 3.03, 3.03, 3.1, 3.37, 3.4, 3.4, 3.4, 3.5, 3.6, 3.7, 3.7,
        3.7, 3.7, 3.77, 5.28, 28.95,
    ];

    #[test]
    fn copper_in_flour() {
        // With k = 1.5 and the scale of the median absolute deviation, Venables and Ripley ("Modern applied
        // statistics with S", section 5.5) give 3.2067; the mean of these is 4.28.
        let combined = combine_with(&inputs(&COPPER), 1.5).unwrap();
        assert!((combined.value - 3.206_724).abs() < 5e-7, "{}", combined.value);
        assert!(combined.uncertainty < 0.2, "{}", combined.uncertainty);
    }

    #[test]
    fn without_outliers_it_is_the_mean() {
        let combined = combine(&inputs(&[1.0, 2.0, 3.0, 4.0])).unwrap();
        assert!((combined.value - 2.5).abs() < 1e-12);
        assert!((combined.uncertainty - (5.0_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
        assert_eq!(combined.weights, vec![0.25; 4]);
    }

    #[test]
    fn a_liar_moves_it_only_so_far() {
        let near = combine(&inputs(&[1.0, 1.1, 0.9, 1.05, 1e3])).unwrap();
        let far = combine(&inputs(&[1.0, 1.1, 0.9, 1.05, 1e9])).unwrap();
        assert!((near.value - far.value).abs() < 1e-6);
        assert!(far.value < 1.1);
    }
}
