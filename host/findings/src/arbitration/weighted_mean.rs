//! Weighted mean: inverse variance, or confidence where uncertainties are lacking.
//!
//! Where every input has an uncertainty above zero, wᵢ = uᵢ⁻² / Σ uⱼ⁻² and x̂ = Σ wᵢ xᵢ, the combination of least
//! variance. Its uncertainty is the larger of
//! - internal, (Σ uᵢ⁻²)^(−1/2): the law of propagation, GUM 5.1.2;
//! - external, internal · R with the Birge ratio R = √(Q / (n − 1)), Q = Σ (xᵢ − x̂)² / uᵢ² (R. T. Birge 1932, "The
//!   calculation of errors by the method of least squares", Phys. Rev. 40, 207–227).
//!
//! Where one lacks an uncertainty, or claims zero, inverse variance would ignore it or obey it alone. Then all are
//! weighed by their confidence, wᵢ = cᵢ / Σ cⱼ (equally where every confidence is zero), and the uncertainty is the
//! larger of the propagated one, where all are known, and the Type A uncertainty of the weighted mean,
//! s²(x̂) = Σ wᵢ² · Σ wᵢ (xᵢ − x̂)² / (1 − Σ wᵢ²), which for equal weights is s²/n (GUM 4.2.3).

use super::{Combined, Input, Refusal, alone, normalized, propagated, weighted};
use crate::numeric::{self, count};

/// Combine the inputs.
///
/// # Errors
/// When there is none, or a single one without an uncertainty.
pub fn combine(inputs: &[Input]) -> Result<Combined, Refusal> {
    match inputs {
        [] => Err(Refusal::Nothing),
        [only] => alone(only),
        _ => match inputs.iter().map(Input::weighing).collect::<Option<Vec<f64>>>() {
            Some(uncertainties) => Ok(by_variance(inputs, &uncertainties)),
            None => by_confidence(inputs),
        },
    }
}

fn by_variance(inputs: &[Input], uncertainties: &[f64]) -> Combined {
    // Relative to the smallest uncertainty, so that neither tiny nor huge ones leave the range of numbers.
    let smallest = uncertainties.iter().copied().fold(f64::INFINITY, f64::min);
    let precisions: Vec<f64> = uncertainties.iter().map(|u| (smallest / u).powi(2)).collect();
    let weights = normalized(&precisions);
    let value = weighted(inputs, &weights);
    let internal = smallest / numeric::sum(precisions.iter().copied()).sqrt();
    let q =
        numeric::sum(inputs.iter().zip(uncertainties).map(|(input, u)| ((input.value - value) / u).powi(2)));
    let birge = (q / count(inputs.len() - 1)).sqrt();
    Combined { value, uncertainty: internal * birge.max(1.0), interval: None, weights }
}

fn by_confidence(inputs: &[Input]) -> Result<Combined, Refusal> {
    let confidences: Vec<f64> = inputs.iter().map(|input| input.confidence).collect();
    let weights = normalized(&confidences);
    let value = weighted(inputs, &weights);
    let concentration = numeric::sum(weights.iter().map(|w| w * w));
    let spread =
        numeric::sum(inputs.iter().zip(&weights).map(|(input, w)| w * (input.value - value).powi(2)));
    let internal = propagated(inputs, &weights);
    // All the confidence in one input leaves no spread to judge by.
    let external = if concentration < 1.0 - 1e-12 {
        Some((concentration * spread / (1.0 - concentration)).sqrt())
    } else {
        None
    };
    let uncertainty = match (internal, external) {
        (Some(internal), Some(external)) => internal.max(external),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return Err(Refusal::NoUncertainty),
    };
    Ok(Combined { value, uncertainty, interval: None, weights })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(value: f64, uncertainty: Option<f64>, confidence: f64) -> Input {
        Input { value, uncertainty, confidence }
    }

    #[test]
    fn precise_instruments_count_more() {
        // 10 ± 1 and 13 ± 2: weights 4/5 and 1/5, mean 10.6, internal √(4/5), Q = 0.36 + 1.44 = 1.8.
        let combined = combine(&[input(10.0, Some(1.0), 1.0), input(13.0, Some(2.0), 1.0)]).unwrap();
        assert!((combined.value - 10.6).abs() < 1e-14);
        assert!((combined.weights[0] - 0.8).abs() < 1e-15);
        assert!((combined.uncertainty - (0.8_f64 * 1.8).sqrt()).abs() < 1e-14, "external is larger");
    }

    #[test]
    fn agreement_does_not_shrink_the_stated_uncertainties() {
        let combined = combine(&[input(10.0, Some(1.0), 1.0), input(10.0, Some(1.0), 1.0)]).unwrap();
        assert!((combined.uncertainty - 0.5_f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn confidence_weighs_where_an_uncertainty_is_lacking() {
        let combined = combine(&[input(10.0, None, 0.9), input(20.0, Some(0.001), 0.3)]).unwrap();
        assert!((combined.value - 12.5).abs() < 1e-14);
        // Σw² = 0.625, Σw(x − x̂)² = 18.75: u² = 0.625 · 18.75 / 0.375.
        assert!((combined.uncertainty - 31.25_f64.sqrt()).abs() < 1e-13);
    }

    #[test]
    fn equal_confidences_give_the_type_a_uncertainty_of_a_mean() {
        let inputs: Vec<Input> = [1.0, 2.0, 3.0, 4.0].map(|x| input(x, None, 1.0)).to_vec();
        let combined = combine(&inputs).unwrap();
        assert!((combined.value - 2.5).abs() < 1e-15);
        assert!((combined.uncertainty - (5.0_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn a_claim_of_no_uncertainty_does_not_take_over() {
        let combined = combine(&[input(10.0, Some(1.0), 1.0), input(99.0, Some(0.0), 1.0)]).unwrap();
        assert!((combined.value - 54.5).abs() < 1e-12);
        assert!(combined.uncertainty > 40.0);
    }

    #[test]
    fn one_reading_without_uncertainty_is_no_estimate() {
        assert_eq!(combine(&[input(1.0, None, 1.0)]), Err(Refusal::NoUncertainty));
        assert_eq!(
            combine(&[input(1.0, None, 1.0), input(2.0, None, 0.0)]),
            Err(Refusal::NoUncertainty),
            "all the confidence in one"
        );
    }
}
