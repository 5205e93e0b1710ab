//! The text of one field as a typed value, and the type of a column from a sample of its texts.

use std::borrow::Cow;

use jiff::fmt::temporal::DateTimeParser;

use crate::batch::ColumnType;
use crate::cell::Cell;
use crate::parameters::shown;

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimestampFormat {
    /// RFC 3339 with an offset.
    Rfc3339,
    /// A decimal number since the Unix epoch, with this many digits from its unit down to the nanosecond.
    Epoch { digits: u32 },
}

impl TimestampFormat {
    pub(super) const NAMES: &'static [&'static str] =
        &["rfc3339", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns"];

    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "rfc3339" => Some(Self::Rfc3339),
            "epoch_s" => Some(Self::Epoch { digits: 9 }),
            "epoch_ms" => Some(Self::Epoch { digits: 6 }),
            "epoch_us" => Some(Self::Epoch { digits: 3 }),
            "epoch_ns" => Some(Self::Epoch { digits: 0 }),
            _ => None,
        }
    }

    /// Nanoseconds since the Unix epoch.
    pub(super) fn read(self, text: &[u8]) -> Option<i64> {
        static PARSER: DateTimeParser = DateTimeParser::new();
        match self {
            Self::Rfc3339 => short_rfc3339(text)
                .or_else(|| i64::try_from(PARSER.parse_timestamp(text).ok()?.as_nanosecond()).ok()),
            Self::Epoch { digits } => scaled_decimal(text, digits),
        }
    }
}

/// The quick way for times as most loggers write them: `2026-01-31T23:59:59Z`, with or without a fraction of up to nine
/// digits, of the years 1970 to 2199. None where the text is anything else.
fn short_rfc3339(text: &[u8]) -> Option<i64> {
    let two = |at: usize| {
        let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
        (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
    };
    if text.len() < 20 || text.len() > 30 {
        return None;
    }
    let marks = [text[4], text[7], text[10], text[13], text[16], text[text.len() - 1]];
    if marks != *b"--T::Z" {
        return None;
    }
    let year = two(0)? * 100 + two(2)?;
    let (month, day) = (two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let is_valid = (1970..2200).contains(&year)
        && (1..=days_of_month).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !is_valid {
        return None;
    }
    let mut fraction = 0;
    if text.len() > 20 {
        // From the point to before the `Z`.
        let digits = &text[20..text.len() - 1];
        if text[19] != b'.' || digits.is_empty() {
            return None;
        }
        for position in 0..9 {
            let digit = digits.get(position).map_or(0, |byte| byte.wrapping_sub(b'0'));
            if digit >= 10 {
                return None;
            }
            fraction = fraction * 10 + i64::from(digit);
        }
    }
    // Days of the years before, counted from March so that the leap day is the last of its year.
    const BEFORE_MONTH: [i64; 12] = [306, 337, 0, 31, 61, 92, 122, 153, 184, 214, 245, 275];
    const EPOCH: i64 = 719_468;
    let marches = if month > 2 { year } else { year - 1 };
    let leap_days = marches / 4 - marches / 100 + marches / 400;
    let month = usize::try_from(month - 1).ok()?;
    let days = marches * 365 + leap_days + BEFORE_MONTH[month] + day - 1 - EPOCH;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second).map(|seconds| seconds * 1_000_000_000 + fraction)
}

/// `text · 10^digits` as an integer, exactly; none where that is not a whole number or does not fit.
fn scaled_decimal(text: &[u8], digits: u32) -> Option<i64> {
    let (is_negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let point = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let (whole, fraction) = (&text[..point], text.get(point + 1..).unwrap_or_default());
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (kept, beyond) = fraction.split_at(fraction.len().min(digits as usize));
    if beyond.iter().any(|byte| *byte != b'0') {
        return None;
    }
    let mut total: i64 = 0;
    for byte in whole.iter().chain(kept) {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        // Counted downwards, where there is room for one value more.
        total = total.checked_mul(10)?.checked_sub(digit)?;
    }
    #[allow(clippy::cast_possible_truncation)]
    let padding = 10_i64.checked_pow(digits - kept.len() as u32)?;
    let total = total.checked_mul(padding)?;
    if is_negative { Some(total) } else { total.checked_neg() }
}

/// A finite number.
pub(super) fn number(text: &[u8]) -> Option<f64> {
    if let Some(number) = short_decimal(text) {
        return Some(number);
    }
    std::str::from_utf8(text).ok()?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The quick way for decimals of few digits and no exponent: both the digits and the power of ten are exact in a
/// double, so that one division rounds correctly (Clinger 1990). None where the text is anything else, also where it
/// has space around it.
#[inline]
pub(super) fn short_decimal(text: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    // Fifteen digits are below 2^53; one byte more for the point.
    if digits.len() > 16 {
        return None;
    }
    let mut mantissa: u64 = 0;
    let mut point = None;
    for (position, byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            mantissa = mantissa * 10 + u64::from(digit);
        } else if *byte == b'.' && point.is_none() {
            point = Some(position);
        } else {
            return None;
        }
    }
    let count = digits.len() - usize::from(point.is_some());
    if count == 0 || count > 15 {
        return None;
    }
    #[allow(clippy::cast_precision_loss)]
    let mantissa = mantissa as f64;
    let magnitude = point.map_or(mantissa, |position| mantissa / POWERS[digits.len() - position - 1]);
    Some(if is_negative { -magnitude } else { magnitude })
}

/// The quick way for integers of few digits. None where the text is anything else, also where it has space around it.
#[inline]
pub(super) fn short_integer(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    // Eighteen digits fit.
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut magnitude: i64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit >= 10 {
            return None;
        }
        magnitude = magnitude * 10 + i64::from(digit);
    }
    Some(if is_negative { -magnitude } else { magnitude })
}

pub(super) fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

pub(super) fn boolean(text: &[u8]) -> Option<bool> {
    if text.eq_ignore_ascii_case(b"true") {
        Some(true)
    } else if text.eq_ignore_ascii_case(b"false") {
        Some(false)
    } else {
        None
    }
}

/// What it takes to read fields.
#[derive(Debug, Clone)]
pub(super) struct FieldReader {
    pub(super) null_values: Vec<String>,
    pub(super) timestamp_format: TimestampFormat,
}

impl FieldReader {
    /// Whether only the empty text stands for an absent value.
    pub(super) fn has_plain_nulls(&self) -> bool {
        self.null_values.is_empty()
    }

    /// Whether the text stands for an absent value.
    pub(super) fn is_absent(&self, text: &[u8]) -> bool {
        text.is_empty() || self.null_values.iter().any(|null| null.as_bytes() == text)
    }

    /// The value of a field. Space around a value that is not text does not count.
    ///
    /// # Errors
    /// What is wrong with it: a continuation of "column `x` ".
    pub(super) fn read<'a>(&self, kind: ColumnType, text: &'a [u8]) -> Result<Cell<'a>, String> {
        let trimmed = text.trim_ascii();
        if self.is_absent(if kind == ColumnType::Text { text } else { trimmed }) {
            return Ok(Cell::Absent);
        }
        let cell = match kind {
            ColumnType::Number => number(trimmed).map(Cell::Number),
            ColumnType::Integer => integer(trimmed).map(Cell::Integer),
            ColumnType::Boolean => boolean(trimmed).map(Cell::Boolean),
            ColumnType::Timestamp => self.timestamp_format.read(trimmed).map(Cell::Timestamp),
            ColumnType::Text | ColumnType::Bytes => {
                std::str::from_utf8(text).ok().map(|text| Cell::Text(Cow::Borrowed(text)))
            }
        };
        cell.ok_or_else(|| refusal(kind, &String::from_utf8_lossy(text)))
    }
}

/// Why a value does not fit its column: a continuation of "column `x` ".
pub(super) fn refusal(kind: ColumnType, value: &str) -> String {
    let expected = match kind {
        ColumnType::Number => "a finite number",
        ColumnType::Integer => "an integer of 64 bits",
        ColumnType::Boolean => "true or false",
        ColumnType::Timestamp => "a time in the declared `timestamp_format`",
        ColumnType::Text | ColumnType::Bytes => "text in UTF-8",
    };
    format!("holds {}, which is not {expected}; see `types` and `null_values`", shown(value))
}

/// Which types all values of a column seen so far have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inference {
    has_values: bool,
    boolean: bool,
    integer: bool,
    number: bool,
    timestamp: bool,
}

impl Inference {
    pub(super) const NEW: Self =
        Self { has_values: false, boolean: true, integer: true, number: true, timestamp: true };

    const TEXT: Self =
        Self { has_values: true, boolean: false, integer: false, number: false, timestamp: false };

    /// Takes in a field; absent ones say nothing.
    pub(super) fn see(&mut self, fields: &FieldReader, text: &[u8]) {
        let text = text.trim_ascii();
        if fields.is_absent(text) {
            return;
        }
        self.has_values = true;
        // Leading zeros mark a code, not a quantity; as a number it would lose them.
        let unsigned = text.strip_prefix(b"-").unwrap_or(text);
        let is_code = matches!(unsigned, [b'0', b'0'..=b'9', ..]);
        self.boolean = self.boolean && boolean(text).is_some();
        self.integer = self.integer && !is_code && integer(text).is_some();
        self.number = self.number && !is_code && number(text).is_some();
        // Epoch numbers are not told from other numbers: such a column must be declared.
        self.timestamp = self.timestamp && TimestampFormat::Rfc3339.read(text).is_some();
    }

    /// Takes in a value that was marked as text: only times are told from other texts.
    pub(super) fn see_quoted(&mut self, text: &[u8]) {
        let is_time = TimestampFormat::Rfc3339.read(text).is_some();
        *self = Self { has_values: true, timestamp: self.timestamp && is_time, ..Self::TEXT };
    }

    /// The narrowest type; text where nothing was seen.
    pub(super) fn kind(self) -> ColumnType {
        match self {
            Self { has_values: false, .. } => ColumnType::Text,
            Self { boolean: true, .. } => ColumnType::Boolean,
            Self { integer: true, .. } => ColumnType::Integer,
            Self { number: true, .. } => ColumnType::Number,
            Self { timestamp: true, .. } => ColumnType::Timestamp,
            _ => ColumnType::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn epochs_are_read_exactly() {
        let read = |name: &str, text: &str| TimestampFormat::from_name(name).unwrap().read(text.as_bytes());
        assert_eq!(read("epoch_s", "1767225600"), Some(1_767_225_600_000_000_000));
        assert_eq!(read("epoch_s", "1767225600.123456789"), Some(1_767_225_600_123_456_789));
        assert_eq!(read("epoch_s", "-0.5"), Some(-500_000_000));
        assert_eq!(read("epoch_ms", "1767225600123.5"), Some(1_767_225_600_123_500_000));
        assert_eq!(read("epoch_ns", "-9223372036854775808"), Some(i64::MIN));
        for wrong in ["", "-", ".", "1e9", "1.0000000001", "99999999999", "1-2"] {
            assert_eq!(read("epoch_s", wrong), None, "{wrong:?}");
        }
        assert_eq!(read("rfc3339", "1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(read("rfc3339", "1970-01-01"), None);
        // Beyond the nanoseconds of 64 bits.
        assert_eq!(read("rfc3339", "2500-01-01T00:00:00Z"), None);
    }

    #[test]
    fn types_are_inferred_as_narrow_as_the_values_allow() {
        let fields =
            FieldReader { null_values: vec!["NA".to_owned()], timestamp_format: TimestampFormat::Rfc3339 };
        let infer = |texts: &[&str]| {
            let mut inference = Inference::NEW;
            texts.iter().for_each(|text| inference.see(&fields, text.as_bytes()));
            inference.kind()
        };
        assert_eq!(infer(&["1", "", "-2", "NA"]), ColumnType::Integer);
        assert_eq!(infer(&["1", " 2.5"]), ColumnType::Number);
        assert_eq!(infer(&["1", "nan"]), ColumnType::Text);
        assert_eq!(infer(&["true", "False"]), ColumnType::Boolean);
        assert_eq!(infer(&["2026-01-01T00:00:00Z"]), ColumnType::Timestamp);
        assert_eq!(infer(&["007", "12"]), ColumnType::Text);
        assert_eq!(infer(&["0.5", "-0.25"]), ColumnType::Number);
        assert_eq!(infer(&["", "NA"]), ColumnType::Text);
    }

    proptest! {
        #[test]
        fn a_number_reads_as_the_standard_library_reads_it(text in "-?[0-9]{0,17}\\.?[0-9]{0,17}(e-?[0-9]{1,3})?") {
            let expected = text.parse::<f64>().ok().filter(|number| number.is_finite());
            prop_assert_eq!(number(text.as_bytes()).map(f64::to_bits), expected.map(f64::to_bits));
        }

        #[test]
        fn a_short_time_is_the_time_that_it_names(
            year in 1969_i32..2203, month in 0_u8..14, day in 0_u8..33, hour in 0_u8..26, minute in 0_u8..62,
            second in 0_u8..63, fraction in "(\\.[0-9]{0,10})?", end in "[Zz+]",
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{end}");
            if let Some(time) = short_rfc3339(text.as_bytes()) {
                let expected = text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_nanosecond);
                prop_assert_eq!(Ok(i128::from(time)), expected.map_err(|_| text));
            }
        }

        #[test]
        fn every_day_has_its_short_time(day in 0_i64..84_006, nanoseconds in 0_i64..86_400_000_000_000) {
            let time = day * 86_400_000_000_000 + nanoseconds;
            let text = jiff::Timestamp::from_nanosecond(i128::from(time)).unwrap().to_string();
            prop_assert_eq!(short_rfc3339(text.as_bytes()), Some(time), "{}", text);
        }

        #[test]
        fn a_short_integer_reads_as_the_standard_library_reads_it(text in "[-+]?[0-9]{0,20}[ .]?") {
            if let Some(integer) = short_integer(text.as_bytes()) {
                prop_assert_eq!(Ok(integer), text.parse());
            } else {
                prop_assert!(text.len() > 18 || text.starts_with('+') || text.parse::<i64>().is_err());
            }
        }

        #[test]
        fn no_field_panics(bytes in prop::collection::vec(any::<u8>(), 0..40), digits in 0_u32..10) {
            let format = TimestampFormat::Epoch { digits };
            let fields = FieldReader { null_values: Vec::new(), timestamp_format: format };
            for kind in [ColumnType::Number, ColumnType::Integer, ColumnType::Boolean, ColumnType::Timestamp] {
                let _ = fields.read(kind, &bytes);
            }
        }
    }
}
