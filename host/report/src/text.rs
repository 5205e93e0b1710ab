//! Pieces of text that reports share.

use std::borrow::Cow;

use inquisitor_findings::finding::{Departure, Estimate, Exclusion, Verdict};
use inquisitor_findings::format;
use jiff::Timestamp;

/// Replaces what a terminal or a reader could take for something else than text: control characters, among them the
/// escape of terminal sequences, and marks that turn the direction of writing. Line ends and tabs become spaces.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let replace = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if is_unprintable(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    Cow::Owned(text.chars().map(replace).collect())
}

fn is_unprintable(c: char) -> bool {
    let is_invisible =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_control() || is_invisible
}

/// The verdict in a word.
pub(crate) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Verified => "VERIFIED",
        Verdict::Inconclusive => "INCONCLUSIVE",
        Verdict::Falsified => "FALSIFIED",
    }
}

/// RFC 3339 in UTC.
pub(crate) fn time(nanoseconds: i64) -> String {
    Timestamp::from_nanosecond(i128::from(nanoseconds))
        .map_or_else(|_| format!("{nanoseconds} ns"), |time| time.to_string())
}

/// A stretch of time.
pub(crate) fn span(departure: &Departure) -> String {
    if departure.from == departure.until {
        format!("at {}", time(departure.from))
    } else {
        format!("{} to {}", time(departure.from), time(departure.until))
    }
}

/// A value with its unit; the unit `1` is left out.
pub(crate) fn with_unit(value: &str, unit: &str) -> String {
    if unit == "1" || unit.is_empty() { value.to_owned() } else { format!("{value} {unit}") }
}

/// Value and expanded uncertainty of an estimate with the unit, without the coverage factor.
pub(crate) fn value(estimate: &Estimate) -> String {
    plus_minus(estimate.value, estimate.expanded_uncertainty, &estimate.unit)
}

/// `5.02 ± 0.06 Cel`.
pub(crate) fn plus_minus(value: f64, uncertainty: f64, unit: &str) -> String {
    let (value, uncertainty) = format::with_uncertainty(value, uncertainty);
    with_unit(&format!("{value} ± {uncertainty}"), unit)
}

/// The interval of a method that gives one.
pub(crate) fn interval(estimate: &Estimate) -> Option<String> {
    let (low, high) = estimate.interval?;
    let ends = format!("[{}, {}]", format::significant(low, 6), format::significant(high, 6));
    Some(with_unit(&ends, &estimate.unit))
}

/// A share in percent; a share that is there is never shown as none.
pub(crate) fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent > 0.0 && percent < 0.5 => "< 1 %".to_owned(),
        percent => format!("{percent:.0} %"),
    }
}

/// A noun with its count.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The largest margin among the listed exclusions of an instrument by an axiom.
pub(crate) fn largest_margin(exclusions: &[Exclusion], instrument: &str, rule: &str) -> Option<f64> {
    exclusions
        .iter()
        .filter(|exclusion| exclusion.instrument == instrument && exclusion.rule == rule)
        .filter_map(|exclusion| exclusion.margin)
        .max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_obeys() {
        assert_eq!(printable("plain ± text"), "plain ± text");
        assert_eq!(printable("a\u{1b}[31mb\nc\u{202e}d\u{9b}e"), "a\u{fffd}[31mb c\u{fffd}d\u{fffd}e");
    }

    #[test]
    fn shares_are_never_shown_as_none() {
        assert_eq!(percent(0.5), "50 %");
        assert_eq!(percent(0.001), "< 1 %");
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(1.0), "100 %");
    }
}
