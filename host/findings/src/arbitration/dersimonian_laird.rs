//! Random effects: every instrument has a bias of its own, drawn from a common distribution.
//!
//! R. DerSimonian and N. Laird 1986, "Meta-analysis in clinical trials", Controlled Clinical Trials 7, 177–188. With
//! wᵢ = uᵢ⁻² and Q as in [`super::heterogeneity`], the variance between instruments is
//! τ² = max(0, (Q − (n − 1)) / (Σ wᵢ − Σ wᵢ² / Σ wᵢ)); the estimate weighs by 1 / (uᵢ² + τ²) and its uncertainty is
//! (Σ 1 / (uᵢ² + τ²))^(−1/2).

use super::{Combined, Input, Refusal, alone, heterogeneity, normalized, weighted};
use crate::numeric;

/// Combine the inputs.
///
/// # Errors
/// When there is none, or one has no uncertainty above zero.
pub fn combine(inputs: &[Input]) -> Result<Combined, Refusal> {
    match inputs {
        [] => return Err(Refusal::Nothing),
        [only] => return alone(only),
        _ => {}
    }
    let needs = Refusal::UncertaintyNeeded { method: "dersimonian_laird" };
    let uncertainties =
        inputs.iter().map(Input::weighing).collect::<Option<Vec<f64>>>().ok_or_else(|| needs.clone())?;
    let tau = heterogeneity::between(inputs).ok_or(needs)?.tau_squared.sqrt();
    let totals: Vec<f64> = uncertainties.iter().map(|u| u.hypot(tau)).collect();
    // Relative to the smallest, so that neither tiny nor huge ones leave the range of numbers.
    let smallest = totals.iter().copied().fold(f64::INFINITY, f64::min);
    let precisions: Vec<f64> = totals.iter().map(|u| (smallest / u).powi(2)).collect();
    let weights = normalized(&precisions);
    Ok(Combined {
        value: weighted(inputs, &weights),
        uncertainty: smallest / numeric::sum(precisions.iter().copied()).sqrt(),
        interval: None,
        weights,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thirteen trials of the BCG vaccine (Colditz and others 1994, JAMA 271, 698–702): cases and non-cases among
    /// the vaccinated, then among the others.
    const BCG: [[f64; 4]; 13] = [
        [4.0, 119.0, 11.0, 128.0],
        [6.0, 300.0, 29.0, 274.0],
        [3.0, 228.0, 11.0, 209.0],
        [62.0, 13536.0, 248.0, 12619.0],
        [33.0, 5036.0, 47.0, 5761.0],
        [180.0, 1361.0, 372.0, 1079.0],
        [8.0, 2537.0, 10.0, 619.0],
        [505.0, 87886.0, 499.0, 87892.0],
        [29.0, 7470.0, 45.0, 7232.0],
        [17.0, 1699.0, 65.0, 1600.0],
        [186.0, 50448.0, 141.0, 27197.0],
        [5.0, 2493.0, 3.0, 2338.0],
        [27.0, 16886.0, 29.0, 17825.0],
    ];

    fn log_risk_ratios() -> Vec<Input> {
        BCG.iter()
            .map(|[a, b, c, d]| {
                let value = ((a / (a + b)) / (c / (c + d))).ln();
                let variance = 1.0 / a - 1.0 / (a + b) + 1.0 / c - 1.0 / (c + d);
                Input { value, uncertainty: Some(variance.sqrt()), confidence: 1.0 }
            })
            .collect()
    }

    #[test]
    fn trials_of_the_bcg_vaccine() {
        // Published for these data: log risk ratio −0.7141 with standard error 0.1787, τ² = 0.3088, Q = 152.2330,
        // I² = 92.12 % (Viechtbauer 2010, J. Statist. Software 36(3), for the DerSimonian–Laird estimator).
        let inputs = log_risk_ratios();
        let combined = combine(&inputs).unwrap();
        assert!((combined.value + 0.7141).abs() < 5e-5, "{}", combined.value);
        assert!((combined.uncertainty - 0.1787).abs() < 5e-5, "{}", combined.uncertainty);
        let between = heterogeneity::between(&inputs).unwrap();
        assert!((between.q - 152.2330).abs() < 5e-5, "{}", between.q);
        assert!((between.tau_squared - 0.3088).abs() < 5e-5, "{}", between.tau_squared);
        assert!((between.i_squared - 0.9212).abs() < 5e-5, "{}", between.i_squared);
        assert!(between.p_value < 1e-20);
    }

    #[test]
    fn homogeneous_instruments_give_the_weighted_mean() {
        let inputs = [10.0, 10.1].map(|value| Input { value, uncertainty: Some(1.0), confidence: 1.0 });
        let combined = combine(&inputs).unwrap();
        assert!((combined.value - 10.05).abs() < 1e-12);
        assert!((combined.uncertainty - 0.5_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn an_unknown_uncertainty_is_refused() {
        let mut inputs = log_risk_ratios();
        inputs[3].uncertainty = None;
        assert_eq!(combine(&inputs), Err(Refusal::UncertaintyNeeded { method: "dersimonian_laird" }));
    }
}
