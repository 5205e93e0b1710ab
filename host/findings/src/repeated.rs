//! One instrument's readings as one value with an uncertainty.
//!
//! The value is the arithmetic mean x̄ of the n readings (GUM 4.2.1). Its uncertainty has two parts, combined as
//! √(u_A² + u_B²) (GUM 4.3, 5.1.2):
//! - u_A = s/√n from the scatter of the readings, for n ≥ 2 (Type A, GUM 4.2.3);
//! - u_B from the uncertainties that the instrument states. Readings of one instrument share its calibration, so their
//!   errors are taken as fully correlated and do not shrink with n: u_B = Σ uᵢ / n (GUM 5.2.2, note 1), over the readings
//!   that state one.
//!
//! An instrument that counts its repeatability into what it states has it counted twice, which errs to the safe side.
//! For readings over time, scatter holds the real course too: the mean is then one over time, and its uncertainty that of
//! a sample of that time.
//!
//! A single reading without a stated uncertainty has none. Within a course the instrument's record can supply it
//! ([`repeatability`]).

use crate::arbitration::Input;
use crate::numeric::{self, Spread, count};
use crate::table::{Row, Table};

/// One instrument's readings as an input to arbitration. None for no readings.
///
/// `values` are in one unit; `stated` are the standard uncertainties of those readings that have one, `confidences` those
/// of all.
pub fn combine(values: &[f64], stated: &[f64], confidences: &[f64]) -> Option<Input> {
    let spread = Spread::of(values)?;
    let type_a = spread.standard_error();
    let type_b = numeric::mean(stated);
    let uncertainty = match (type_a, type_b) {
        (Some(a), Some(b)) => Some(a.hypot(b)),
        (one, other) => one.or(other),
    };
    let confidence = numeric::mean(confidences).unwrap_or(0.0).clamp(0.0, 1.0);
    Some(Input { value: spread.mean, uncertainty, confidence })
}

/// [`combine`] for rows of the table, in the quantity's unit. `single` is the uncertainty of one reading that states
/// none, where it is known.
pub(crate) fn combine_rows(table: &Table<'_>, rows: &[Row], single: Option<f64>) -> Option<Input> {
    if let [row] = rows {
        let i = *row as usize;
        let stated = Some(table.uncertainty[i]).filter(|u| !u.is_nan());
        return Some(Input {
            value: table.value[i],
            uncertainty: stated.or(single),
            confidence: table.confidence[i],
        });
    }
    let column = |of: &[f64]| -> Vec<f64> { rows.iter().map(|row| of[*row as usize]).collect() };
    let mut stated = column(&table.uncertainty);
    stated.retain(|u| !u.is_nan());
    combine(&column(&table.value), &stated, &column(&table.confidence))
}

/// Standard deviation of a single reading from the differences of successive ones,
/// √(Σ (xᵢ₊₁ − xᵢ)² / (2 (n − 1))): unlike the standard deviation it does not take a slow course for scatter
/// (J. von Neumann and others 1941, "The mean square successive difference", Ann. Math. Statist. 12, 153–162). None for
/// fewer than three readings.
pub fn repeatability(values: &[f64]) -> Option<f64> {
    if values.len() < 3 {
        return None;
    }
    let squares = numeric::sum(values.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)));
    Some((squares / (2.0 * count(values.len() - 1))).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scatter_gives_a_type_a_uncertainty() {
        let input = combine(&[1.0, 2.0, 3.0, 4.0], &[], &[1.0, 0.5, 1.0, 0.5]).unwrap();
        assert_eq!((input.value, input.confidence), (2.5, 0.75));
        assert!((input.uncertainty.unwrap() - (5.0_f64 / 12.0).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn stated_uncertainties_do_not_shrink_with_repetition() {
        let input = combine(&[5.0; 100], &[0.3; 100], &[1.0; 100]).unwrap();
        assert!((input.uncertainty.unwrap() - 0.3).abs() < 1e-15);
    }

    #[test]
    fn both_parts_combine() {
        // s/√n = 0.4 for 4.6 and 5.4.
        let input = combine(&[4.6, 5.4], &[0.3, 0.3], &[1.0, 1.0]).unwrap();
        assert!((input.uncertainty.unwrap() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn one_reading_says_nothing_of_its_scatter() {
        assert_eq!(combine(&[5.0], &[], &[1.0]).unwrap().uncertainty, None);
        assert_eq!(combine(&[], &[], &[]), None);
    }

    #[test]
    fn a_slow_course_is_no_scatter() {
        let climb: Vec<f64> = (0..1000).map(|i| f64::from(i) * 0.01).collect();
        assert!(repeatability(&climb).unwrap() < 0.008);
        let scatter: Vec<f64> = (0..1000).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        assert!((repeatability(&scatter).unwrap() - 2.0_f64.sqrt()).abs() < 1e-12);
    }
}
