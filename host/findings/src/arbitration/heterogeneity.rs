//! How well instruments agree: Cochran's Q and what follows from it.
//!
//! W. G. Cochran 1954, "The combination of estimates from different experiments", Biometrics 10, 101–129. With
//! wᵢ = uᵢ⁻² and the inverse-variance mean x̂, Q = Σ wᵢ (xᵢ − x̂)² follows χ² with n − 1 degrees of freedom where
//! the instruments agree within their uncertainties. I² = max(0, (Q − ν)/Q) after Higgins and Thompson 2002, Statist.
//! Med. 21, 1539–1558.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::{Input, normalized, weighted};
use crate::finding::Heterogeneity;
use crate::numeric::{self, count};

/// How well the inputs agree; none for fewer than two, or where one has no uncertainty above zero.
pub fn between(inputs: &[Input]) -> Option<Heterogeneity> {
    if inputs.len() < 2 {
        return None;
    }
    let uncertainties = inputs.iter().map(Input::weighing).collect::<Option<Vec<f64>>>()?;
    let smallest = uncertainties.iter().copied().fold(f64::INFINITY, f64::min);
    let precisions: Vec<f64> = uncertainties.iter().map(|u| (smallest / u).powi(2)).collect();
    let value = weighted(inputs, &normalized(&precisions));
    let q =
        numeric::sum(inputs.iter().zip(&uncertainties).map(|(input, u)| ((input.value - value) / u).powi(2)));
    let degrees_of_freedom = inputs.len() - 1;
    let nu = count(degrees_of_freedom);
    let total = numeric::sum(precisions.iter().copied());
    let squares = numeric::sum(precisions.iter().map(|p| p * p));
    // In units of the smallest variance; brought back below.
    let tau_squared = ((q - nu) / (total - squares / total)).max(0.0) * smallest * smallest;
    let between = Heterogeneity {
        q,
        degrees_of_freedom,
        p_value: ChiSquared::new(nu).ok()?.sf(q).clamp(0.0, 1.0),
        i_squared: if q > nu { (q - nu) / q } else { 0.0 },
        tau_squared,
        birge_ratio: (q / nu).sqrt(),
    };
    let finite = [between.q, between.p_value, between.i_squared, between.tau_squared, between.birge_ratio]
        .iter()
        .all(|figure| figure.is_finite());
    finite.then_some(between)
}
