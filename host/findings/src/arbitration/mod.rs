//! Arbitration: one estimate from what several instruments say.
//!
//! Every method is a pure function from [`Input`]s, one for each instrument, to a [`Combined`] or a [`Refusal`]. None
//! looks at names, times or units. The result does not depend on the order of the inputs, moves with them when a
//! constant is added, and scales with them (for intervals: together with their uncertainties).
//!
//! # What a method may promise
//! `max_faulty`, f, is how many instruments may say anything at all. Every method needs n ≥ 2f + 1 inputs, so that
//! the honest ones are more than half; Brooks–Iyengar needs n ≥ 3f + 1. The median, Marzullo's and Brooks–Iyengar's
//! results then lie within the range of honest instruments whatever the others say. Huber's estimate is moved by a
//! liar only so far; the weighted mean and DerSimonian–Laird have no such bound, and f is for them only the demand
//! for a majority that agreement axioms can work with.
//!
//! # Uncertainty
//! Where a method knows both a figure propagated from the instruments' own uncertainties (internal consistency) and
//! one from how far the instruments lie apart (external consistency), the larger is given.

pub mod brooks_iyengar;
pub mod dersimonian_laird;
pub mod heterogeneity;
pub mod huber;
mod intervals;
pub mod marzullo;
pub mod median;
pub mod weighted_mean;

use inquisitor_manifest::spec::Method;
use thiserror::Error;

use crate::numeric;

/// What one instrument says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Input {
    /// Its value; finite.
    pub value: f64,
    /// Its standard uncertainty (k = 1), zero or more; none where nothing is known of it.
    pub uncertainty: Option<f64>,
    /// How far it trusts itself, 0 to 1. Only the weighted mean looks at it, and only where uncertainties are lacking.
    pub confidence: f64,
}

impl Input {
    /// The uncertainty where it can weigh: known and above zero.
    fn weighing(&self) -> Option<f64> {
        self.uncertainty.filter(|u| *u > 0.0)
    }
}

/// What several instruments say together.
#[derive(Debug, Clone, PartialEq)]
pub struct Combined {
    /// The estimate.
    pub value: f64,
    /// Standard uncertainty (k = 1).
    pub uncertainty: f64,
    /// The interval of a method that gives one in its own right.
    pub interval: Option<(f64, f64)>,
    /// Share of each input in the estimate, in the order of the inputs; they sum to 1.
    pub weights: Vec<f64>,
}

/// Why there is no estimate.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Refusal {
    /// Nothing to combine.
    #[error("no reading is left")]
    Nothing,
    /// Fewer inputs than the method's guarantee needs.
    #[error("{method} with max_faulty = {f} needs at least {needed} instruments, and {n} {} left",
        if *n == 1 { "is" } else { "are" })]
    TooFew {
        /// Name of the method.
        method: &'static str,
        /// Inputs.
        n: usize,
        /// Faulty instruments to tolerate.
        f: usize,
        /// Inputs needed.
        needed: usize,
    },
    /// The method weighs by uncertainty and an input has none, or zero.
    #[error(
        "{method} weighs by uncertainty, and an instrument has none above zero: it must state one, or give at \
         least two readings that differ"
    )]
    UncertaintyNeeded {
        /// Name of the method.
        method: &'static str,
    },
    /// A single reading without uncertainty: a number without any sign of how sure it is.
    #[error(
        "it rests on one reading without a stated uncertainty: the instrument must state one, or give at least \
         two readings, or a second instrument must measure it too"
    )]
    NoUncertainty,
    /// No point lies in as many intervals as there must be honest instruments.
    #[error(
        "no value lies in {needed} of {n} intervals: more than {f} instruments are faulty, or their uncertainties \
         are too small"
    )]
    NoOverlap {
        /// Inputs.
        n: usize,
        /// Faulty instruments to tolerate.
        f: usize,
        /// Intervals that must share a point.
        needed: usize,
    },
    /// The arithmetic left the range of numbers.
    #[error("the values are too large or too far apart for arithmetic")]
    OutOfRange,
}

/// Coverage factor of the intervals that Marzullo and Brooks–Iyengar intersect: value ± 2u holds the true value with
/// some 95 % where errors are normal, which is what "an honest instrument's interval contains it" is taken to mean.
pub const INTERVAL_COVERAGE: f64 = 2.0;

/// The method's name, as manifests spell it.
pub fn method_name(method: Method) -> &'static str {
    match method {
        Method::WeightedMean => "weighted_mean",
        Method::Median => "median",
        Method::Huber => "huber",
        Method::DersimonianLaird => "dersimonian_laird",
        Method::Marzullo => "marzullo",
        Method::BrooksIyengar => "brooks_iyengar",
    }
}

/// Inputs that the method needs to tolerate `max_faulty` faulty ones.
pub fn needed(method: Method, max_faulty: u32) -> usize {
    let f = max_faulty as usize;
    match method {
        Method::BrooksIyengar => f.saturating_mul(3).saturating_add(1),
        _ => f.saturating_mul(2).saturating_add(1),
    }
}

/// Combine by the method, after checking that there are enough inputs for its guarantee.
///
/// # Errors
/// When there are too few inputs, they lack the uncertainties that the method needs, they contradict each other
/// beyond what it tolerates, or the result would not be a finite number.
pub fn combine(method: Method, inputs: &[Input], max_faulty: u32) -> Result<Combined, Refusal> {
    if inputs.is_empty() {
        return Err(Refusal::Nothing);
    }
    let f = max_faulty as usize;
    let needed = needed(method, max_faulty);
    if inputs.len() < needed {
        return Err(Refusal::TooFew { method: method_name(method), n: inputs.len(), f, needed });
    }
    let combined = match method {
        Method::WeightedMean => weighted_mean::combine(inputs),
        Method::Median => median::combine(inputs),
        Method::Huber => huber::combine(inputs),
        Method::DersimonianLaird => dersimonian_laird::combine(inputs),
        Method::Marzullo => marzullo::combine(inputs, f),
        Method::BrooksIyengar => brooks_iyengar::combine(inputs, f),
    }?;
    let finite = combined.value.is_finite()
        && combined.uncertainty.is_finite()
        && combined.uncertainty >= 0.0
        && combined.weights.iter().all(|weight| weight.is_finite())
        && combined.interval.is_none_or(|(lower, upper)| lower.is_finite() && upper.is_finite());
    if finite { Ok(combined) } else { Err(Refusal::OutOfRange) }
}

/// A single input stands for itself.
fn alone(input: &Input) -> Result<Combined, Refusal> {
    let uncertainty = input.uncertainty.ok_or(Refusal::NoUncertainty)?;
    Ok(Combined { value: input.value, uncertainty, interval: None, weights: vec![1.0] })
}

/// Uncertainty of Σ wᵢ xᵢ for independent inputs, √(Σ wᵢ² uᵢ²) (GUM 5.1.2); none where an input's is unknown.
fn propagated(inputs: &[Input], weights: &[f64]) -> Option<f64> {
    let mut total = numeric::Sum::new();
    for (input, weight) in inputs.iter().zip(weights) {
        total.add((weight * input.uncertainty?).powi(2));
    }
    Some(total.value().sqrt())
}

/// Weights scaled so that they sum to 1; equal ones where they sum to nothing.
fn normalized(weights: &[f64]) -> Vec<f64> {
    let total = numeric::sum(weights.iter().copied());
    if total > 0.0 && total.is_finite() {
        weights.iter().map(|weight| weight / total).collect()
    } else {
        vec![1.0 / numeric::count(weights.len()); weights.len()]
    }
}

/// Σ wᵢ xᵢ about a first value, so that a common offset costs no digits, and kept within the range of the inputs.
fn weighted(inputs: &[Input], weights: &[f64]) -> f64 {
    let Some(origin) = inputs.iter().map(|input| input.value).min_by(f64::total_cmp) else {
        return f64::NAN;
    };
    let top = inputs.iter().map(|input| input.value).fold(origin, f64::max);
    let shift = numeric::sum(inputs.iter().zip(weights).map(|(input, w)| w * (input.value - origin)));
    (origin + shift).clamp(origin, top)
}

#[cfg(test)]
mod properties;
