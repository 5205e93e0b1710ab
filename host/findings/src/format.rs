//! Numbers for people: a value and its uncertainty with the digits that mean something.
//!
//! GUM 7.2.6: an uncertainty is given with at most two significant digits, and the value is rounded to agree with it.

/// Decimal places within which numbers are written out; beyond them scientific notation is used.
const MAX_PLACES: i32 = 12;

/// Value and uncertainty, the uncertainty rounded to two significant digits and the value to the same place.
///
/// `(5.0213, 0.0587)` becomes `("5.021", "0.059")`. An uncertainty of zero leaves the value as it is, and so does
/// one that is not finite.
pub fn with_uncertainty(value: f64, uncertainty: f64) -> (String, String) {
    if !(uncertainty.is_finite() && uncertainty > 0.0 && value.is_finite()) {
        return (plain(value), plain(uncertainty));
    }
    let places = places_of(uncertainty);
    // Very large or very small figures share one exponent, so that the digits can be compared.
    if !(-MAX_PLACES..=MAX_PLACES).contains(&places) {
        let leading = if value == 0.0 { uncertainty } else { value };
        let exponent = exponent_of(leading).max(exponent_of(uncertainty));
        let scale = 10_f64.powi(exponent);
        if scale.is_normal() {
            let digits = usize::try_from(places + exponent).unwrap_or(0).min(17);
            return (
                format!("{:.digits$}e{exponent}", value / scale),
                format!("{:.digits$}e{exponent}", uncertainty / scale),
            );
        }
        return (format!("{value:e}"), format!("{uncertainty:.1e}"));
    }
    (rounded(value, places), rounded(uncertainty, places))
}

/// An estimate in words, as `5.021 ± 0.059 Cel (k = 2)`. `expanded` is the expanded uncertainty for the coverage
/// factor `k`; the unit `1` is left out.
pub fn estimate(value: f64, expanded: f64, k: f64, unit: &str) -> String {
    let (value, uncertainty) = with_uncertainty(value, expanded);
    let unit = if unit == "1" { String::new() } else { format!(" {unit}") };
    format!("{value} ± {uncertainty}{unit} (k = {})", plain(k))
}

/// A number in its shortest form that reads back as the same: plain digits, or scientific notation where plain
/// digits would be long.
pub fn plain(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if value.is_finite() && !(1e-6..1e15).contains(&value.abs()) {
        return format!("{value:e}");
    }
    format!("{value}")
}

/// A number with this many significant digits, trailing zeros removed.
pub fn significant(value: f64, digits: u8) -> String {
    if value == 0.0 || !value.is_finite() {
        return plain(value);
    }
    let digits = usize::from(digits.clamp(1, 17));
    let text = format!("{value:.*e}", digits - 1);
    text.parse::<f64>().map_or(text, plain)
}

/// A probability with three significant digits; never `0` or `1` unless it is exactly that.
pub fn probability(p: f64) -> String {
    if p > 0.0 && p < 1e-6 {
        return "< 0.000001".to_owned();
    }
    if p < 1.0 && p > 0.999_999 {
        return "> 0.999999".to_owned();
    }
    let complement_digits = if p > 0.99 { 6 } else { 3 };
    significant(p, complement_digits)
}

/// [`probability`] within a sentence: `more than 0.999999` in place of `> 0.999999`.
pub fn probability_in_words(p: f64) -> String {
    probability(p).replace("> ", "more than ").replace("< ", "less than ")
}

/// `p = 0.0123` or `p < 0.000001`.
pub fn p_value(p: f64) -> String {
    // Never exactly zero, only too small for the arithmetic.
    let p = if p == 0.0 { f64::MIN_POSITIVE } else { p };
    let text = probability(p);
    if text.starts_with(['<', '>']) { format!("p {text}") } else { format!("p = {text}") }
}

/// Decimal places that show two significant digits of `uncertainty`, after rounding: 0.0996 becomes 0.10.
fn places_of(uncertainty: f64) -> i32 {
    let text = format!("{uncertainty:.1e}");
    text.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()).map_or(0, |e| 1 - e)
}

fn exponent_of(value: f64) -> i32 {
    let text = format!("{value:e}");
    text.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()).unwrap_or(0)
}

/// Rounded to this many decimal places, which may be negative.
fn rounded(value: f64, places: i32) -> String {
    if let Ok(digits) = usize::try_from(places) {
        let text = format!("{value:.digits$}");
        return if text.trim_start_matches(['-', '0', '.']).is_empty() {
            text.trim_start_matches('-').to_owned()
        } else {
            text
        };
    }
    let step = 10_f64.powi(-places);
    let rounded = (value / step).round() * step;
    format!("{:.0}", if rounded == 0.0 { 0.0 } else { rounded })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(value: f64, uncertainty: f64) -> String {
        let (value, uncertainty) = with_uncertainty(value, uncertainty);
        format!("{value} ± {uncertainty}")
    }

    #[test]
    fn two_digits_of_uncertainty_decide() {
        assert_eq!(pair(5.0213, 0.0587), "5.021 ± 0.059");
        assert_eq!(pair(5.0213, 0.0996), "5.02 ± 0.10");
        assert_eq!(pair(-0.0001, 0.5), "0.00 ± 0.50");
        assert_eq!(pair(12_345.6, 234.0), "12350 ± 230");
        assert_eq!(pair(5.0, 0.0), "5 ± 0");
        assert_eq!(pair(107.868_136_354_166_7, 1.5e-5), "107.868136 ± 0.000015");
        // GUM 7.2.2: 100.02147 g with u = 0.35 mg is given as 100.02147(35) g.
        assert_eq!(pair(100.021_47, 0.000_35), "100.02147 ± 0.00035");
        assert_eq!(pair(6.022e23, 1.0e17), "6.0220000e23 ± 0.0000010e23");
        assert_eq!(pair(1.602e-19, 2.0e-21), "1.602e-19 ± 0.020e-19");
    }

    #[test]
    fn an_estimate_in_words() {
        assert_eq!(estimate(5.0213, 0.0587, 2.0, "Cel"), "5.021 ± 0.059 Cel (k = 2)");
        assert_eq!(estimate(0.5, 0.1, 2.0, "1"), "0.50 ± 0.10 (k = 2)");
    }

    #[test]
    fn probabilities_never_round_to_certainty() {
        assert_eq!(probability(1.0), "1");
        assert_eq!(probability(0.999_999_9), "> 0.999999");
        assert_eq!(probability(1e-12), "< 0.000001");
        assert_eq!(probability(0.012_34), "0.0123");
        assert_eq!(probability(0.998_765_4), "0.998765");
    }
}
