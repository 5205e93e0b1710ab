//! The least-squares line y = intercept + slope · x.
//!
//! Sums are taken about the means, so that x and y far from zero lose no digits: NIST's certified values are met to nine
//! digits and more.

use super::{Outcome, two_sided_t};
use crate::format::{p_value, significant};
use crate::numeric::{self, Spread, count};

/// Fit a line. `what` says what x is, for the conclusion. Values beyond the shorter side are not looked at.
///
/// # Errors
/// When there are fewer than three points, or x does not vary.
pub fn line(x: &[f64], y: &[f64], what: &str) -> Result<Outcome, String> {
    let n = x.len().min(y.len());
    let (x, y) = (&x[..n], &y[..n]);
    if n < 3 {
        return Err(format!("a line with its uncertainty needs at least three points, and there are {n}"));
    }
    let (Some(sx), Some(sy)) = (Spread::of(x), Spread::of(y)) else {
        return Err("there are no points".to_owned());
    };
    if sx.squares <= 0.0 {
        return Err(format!("x ({what}) does not vary, so that no line can be drawn"));
    }
    let products = numeric::sum(x.iter().zip(y).map(|(x, y)| (x - sx.mean) * (y - sy.mean)));
    let slope = products / sx.squares;
    let intercept = sy.mean - slope * sx.mean;
    let residuals =
        numeric::sum(x.iter().zip(y).map(|(x, y)| ((y - sy.mean) - slope * (x - sx.mean)).powi(2)));
    let df = count(n - 2);
    let variance = residuals / df;
    let slope_error = (variance / sx.squares).sqrt();
    let intercept_error = (variance * (1.0 / count(n) + sx.mean * sx.mean / sx.squares)).sqrt();
    // Points on a horizontal line are explained in full, by a slope of zero.
    let r_squared = if sy.squares > 0.0 { (1.0 - residuals / sy.squares).max(0.0) } else { 1.0 };
    // A line without residuals has an infinite t; the largest number stands for it.
    let t = if slope == 0.0 { 0.0 } else { (slope / slope_error).clamp(-f64::MAX, f64::MAX) };
    let p = two_sided_t(t, df)?;
    Ok(Outcome {
        figures: [
            ("slope", slope),
            ("slope_standard_error", slope_error),
            ("intercept", intercept),
            ("intercept_standard_error", intercept_error),
            ("r_squared", r_squared),
            ("residual_standard_deviation", variance.sqrt()),
            ("df", df),
            ("t", t),
            ("p_value", p),
            ("n", count(n)),
        ]
        .map(|(name, figure)| (name.to_owned(), figure))
        .to_vec(),
        conclusion: format!(
            "y = {} + {} · x, r² = {}, slope against zero {}; x is {what}",
            significant(intercept, 6),
            significant(slope, 6),
            significant(r_squared, 6),
            p_value(p)
        ),
    })
}
