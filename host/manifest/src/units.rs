//! Numbers with units: sizes in bytes and lengths of time.

/// Units of sizes, with what they are in bytes. Those of Kubernetes (`Mi`) are known beside the usual ones.
const SIZES: &[(&str, f64)] = &[
    ("B", 1.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
];

/// Units of time, with what they are in nanoseconds.
const DURATIONS: &[(&str, f64)] = &[
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("min", 6e10),
    ("m", 6e10),
    ("h", 3.6e12),
    ("d", 8.64e13),
];

/// What a size looks like, as a regular expression for JSON Schema.
pub(crate) const SIZE_PATTERN: &str = "^[0-9]+(\\.[0-9]+)? ?([kKMGT]?B|[KMGT]iB?)$";

/// What a length of time looks like, as a regular expression for JSON Schema.
pub(crate) const DURATION_PATTERN: &str = "^([0-9]+(\\.[0-9]+)? ?(ns|us|µs|ms|s|min|m|h|d))+$";

/// Bytes of a size such as `64MiB`; none where it is no size or not a whole number of bytes.
pub fn size(text: &str) -> Option<u64> {
    let (amount, rest) = amount_with_unit(text, SIZES)?;
    if rest.is_empty() { whole(amount) } else { None }
}

/// Nanoseconds of a length of time such as `10s` or `1h30min`; none where it is none.
pub fn duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0.0;
    // `do … while`: an empty text is no length of time.
    loop {
        let (amount, after) = amount_with_unit(rest, DURATIONS)?;
        total += amount;
        if after.is_empty() {
            return whole(total);
        }
        rest = after;
    }
}

/// Nanoseconds of a number of seconds.
pub(crate) fn seconds(seconds: f64) -> Option<u64> {
    whole((seconds * 1e9).round())
}

fn amount_with_unit<'a>(text: &'a str, units: &[(&str, f64)]) -> Option<(f64, &'a str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number = &text[..digits];
    if number.is_empty() || number.starts_with('.') || number.ends_with('.') {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    let rest = text[digits..].strip_prefix(' ').unwrap_or(&text[digits..]);
    let unit = &rest[..rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len())];
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    Some((number * factor, &rest[unit.len()..]))
}

fn whole(amount: f64) -> Option<u64> {
    // 2^63: what nanoseconds and bytes are kept in; also the bound below which the cast is exact in range.
    (amount.fract() == 0.0 && (0.0..9_223_372_036_854_775_808.0).contains(&amount)).then_some(amount as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("64MiB"), Some(64 << 20));
        assert_eq!(size("64Mi"), Some(64 << 20));
        assert_eq!(size("512KB"), Some(512_000));
        assert_eq!(size("1.5 GiB"), Some(3 << 29));
        assert_eq!(size("10B"), Some(10));
        for wrong in
            ["", "64", "MiB", "64MiBs", "64mib", "0.3B", "1..2MB", "-1MB", "1e9TB", "99999999999999TiB"]
        {
            assert_eq!(size(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("10s"), Some(10_000_000_000));
        assert_eq!(duration("1min"), Some(60_000_000_000));
        assert_eq!(duration("500ms"), Some(500_000_000));
        assert_eq!(duration("1h30min"), Some(5_400_000_000_000));
        assert_eq!(duration("1m30s"), Some(90_000_000_000));
        assert_eq!(duration("20µs"), Some(20_000));
        for wrong in ["", "10", "s", "10sec", "10s ", "-1s", "1e3s", "999999999999d"] {
            assert_eq!(duration(wrong), None, "{wrong:?}");
        }
    }
}
