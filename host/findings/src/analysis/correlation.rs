//! Pearson's correlation of pairs.

use super::{Outcome, two_sided_t};
use crate::format::{p_value, significant};
use crate::numeric::{self, Spread, count};

/// Are two quantities linearly related? t = r √((n − 2) / (1 − r²)) follows Student's t with n − 2 degrees of freedom where
/// normal quantities are not. Values beyond the shorter side are not looked at.
///
/// # Errors
/// When there are fewer than three pairs, or one side does not vary.
pub fn pearson(x: &[f64], y: &[f64], alpha: f64) -> Result<Outcome, String> {
    let n = x.len().min(y.len());
    let (x, y) = (&x[..n], &y[..n]);
    if n < 3 {
        return Err(format!("a correlation needs at least three pairs, and there are {n}"));
    }
    let (Some(sx), Some(sy)) = (Spread::of(x), Spread::of(y)) else {
        return Err("there are no pairs".to_owned());
    };
    if sx.squares <= 0.0 || sy.squares <= 0.0 {
        return Err("one side of the pairs does not vary, so that it cannot be correlated".to_owned());
    }
    let products = numeric::sum(x.iter().zip(y).map(|(x, y)| (x - sx.mean) * (y - sy.mean)));
    let r = (products / sx.squares.sqrt() / sy.squares.sqrt()).clamp(-1.0, 1.0);
    let df = count(n - 2);
    // A perfect line has an infinite t; the largest number stands for it.
    let t = (r * (df / ((1.0 - r) * (1.0 + r))).sqrt()).clamp(-f64::MAX, f64::MAX);
    let p = two_sided_t(t, df)?;
    let says = if p < alpha { "are correlated" } else { "are not shown to be correlated" };
    Ok(Outcome {
        figures: [("r", r), ("n", count(n)), ("t", t), ("df", df), ("p_value", p), ("r_squared", r * r)]
            .map(|(name, figure)| (name.to_owned(), figure))
            .to_vec(),
        conclusion: format!(
            "the two {says}: r = {} over {n} pairs, {} at α = {alpha}",
            significant(r, 4),
            p_value(p)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anscombe() {
        // F. J. Anscombe 1973, "Graphs in statistical analysis", The American Statistician 27, 17–21: first set, r = 0.816.
        let x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68];
        let outcome = pearson(&x, &y, 0.05).unwrap();
        assert!((outcome.figures[0].1 - 0.816_420_5).abs() < 5e-8, "{}", outcome.figures[0].1);
        assert!((outcome.figures[4].1 - 0.002_17).abs() < 5e-6, "{}", outcome.figures[4].1);
    }

    #[test]
    fn a_line_is_perfect_and_finite() {
        let outcome = pearson(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0], 0.05).unwrap();
        assert!((outcome.figures[0].1 - 1.0).abs() < 1e-15);
        assert!(outcome.figures.iter().all(|(_, figure)| figure.is_finite()));
        assert!(pearson(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0], 0.05).is_err());
    }
}
