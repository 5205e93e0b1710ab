//! Sums, means and order statistics that keep their digits.
//!
//! Sums are compensated (Neumaier 1974, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen",
//! ZAMM 54, 39–51) and variances are taken in two passes with the correction of Chan, Golub and LeVeque (1983,
//! "Algorithms for computing the sample variance", The American Statistician 37, 242–247), so that readings with
//! many equal leading digits do not lose the rest.

/// A sum that carries its own rounding error.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    total: f64,
    lost: f64,
}

impl Sum {
    /// Zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Add a term.
    pub fn add(&mut self, term: f64) {
        let total = self.total + term;
        self.lost += if self.total.abs() >= term.abs() {
            (self.total - total) + term
        } else {
            (term - total) + self.total
        };
        self.total = total;
    }

    /// The sum so far.
    pub fn value(self) -> f64 {
        self.total + self.lost
    }
}

impl FromIterator<f64> for Sum {
    fn from_iter<I: IntoIterator<Item = f64>>(terms: I) -> Self {
        let mut sum = Self::new();
        for term in terms {
            sum.add(term);
        }
        sum
    }
}

/// Compensated sum.
pub fn sum(terms: impl IntoIterator<Item = f64>) -> f64 {
    terms.into_iter().collect::<Sum>().value()
}

/// Number of readings as a real number; exact up to 2^53, which no record reaches.
#[allow(clippy::cast_precision_loss)]
pub fn count(n: usize) -> f64 {
    n as f64
}

/// Arithmetic mean, none of nothing. The mean of the deviations from a first mean is added, which makes it exact to
/// the last digit or nearly so.
pub fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let n = count(values.len());
    let first = sum(values.iter().copied()) / n;
    Some(first + sum(values.iter().map(|value| value - first)) / n)
}

/// Mean and sum of squared deviations from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Number of values.
    pub n: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Sum of squared deviations.
    pub squares: f64,
}

impl Spread {
    /// Of these values; none of nothing.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mean = mean(values)?;
        let squares = sum(values.iter().map(|value| (value - mean).powi(2)));
        let drift = sum(values.iter().map(|value| value - mean));
        Some(Self {
            n: values.len(),
            mean,
            squares: (squares - drift * drift / count(values.len())).max(0.0),
        })
    }

    /// Experimental variance (GUM 4.2.2), none for fewer than two values.
    pub fn variance(&self) -> Option<f64> {
        (self.n >= 2).then(|| self.squares / count(self.n - 1))
    }

    /// Experimental standard deviation of the mean, s/√n (GUM 4.2.3), none for fewer than two values.
    pub fn standard_error(&self) -> Option<f64> {
        self.variance().map(|variance| (variance / count(self.n)).sqrt())
    }
}

/// Median of values that are sorted ascending; the mean of the middle two where their number is even.
pub fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let n = sorted.len();
    let upper = *sorted.get(n / 2)?;
    if n % 2 == 1 {
        return Some(upper);
    }
    let lower = sorted[n / 2 - 1];
    Some(midpoint(lower, upper))
}

/// Median; none of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    median_of_sorted(&sorted)
}

/// Half way between, within the two even where rounding would leave them.
pub fn midpoint(lower: f64, upper: f64) -> f64 {
    (lower + (upper - lower) / 2.0).clamp(lower, upper)
}

/// A robust estimate of the standard deviation of one value about `center`: the median absolute deviation times
/// 1.4826 (Hampel 1974). Where more than half of the values are equal, so that it is zero, the mean absolute
/// deviation times 1.2533 takes its place (Iglewicz and Hoaglin 1993, "How to detect and handle outliers").
/// Both constants make the figure a standard deviation for normal values.
pub fn robust_deviation(values: &[f64], center: f64) -> f64 {
    let deviations: Vec<f64> = values.iter().map(|value| (value - center).abs()).collect();
    match median(&deviations) {
        Some(mad) if mad > 0.0 => MAD_TO_SD * mad,
        _ => MEAN_DEVIATION_TO_SD * mean(&deviations).unwrap_or(0.0),
    }
}

/// 1/Φ⁻¹(3/4).
pub const MAD_TO_SD: f64 = 1.482_602_218_505_602;
/// √(π/2).
pub const MEAN_DEVIATION_TO_SD: f64 = 1.253_314_137_315_500_3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_keeps_what_cancels() {
        assert_eq!(sum([1.0, 1e100, 1.0, -1e100]), 2.0);
    }

    #[test]
    fn a_variance_survives_many_leading_digits() {
        let values: Vec<f64> = [0.1, 0.2, 0.3].iter().map(|d| 1e9 + d).collect();
        let variance = Spread::of(&values).unwrap().variance().unwrap();
        assert!((variance - 0.01).abs() < 1e-8, "{variance}");
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn the_robust_deviation_falls_back_where_most_values_are_equal() {
        assert_eq!(robust_deviation(&[5.0, 5.0, 5.0], 5.0), 0.0);
        assert!(robust_deviation(&[5.0, 5.0, 9.0], 5.0) > 1.0);
    }
}
