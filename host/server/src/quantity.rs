//! Sizes and lengths of time as manifests have them: `64MiB`, `10s`.

const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const DURATIONS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Bytes, as [`inquisitor_manifest::size`] reads them.
pub(crate) fn size(bytes: u64) -> String {
    in_units(bytes, &SIZES)
}

/// Nanoseconds, as [`inquisitor_manifest::duration`] reads them.
pub(crate) fn duration(nanoseconds: u64) -> String {
    in_units(nanoseconds, &DURATIONS)
}

/// In the largest unit of which it is a whole number.
fn in_units(amount: u64, units: &[(&str, u64)]) -> String {
    let unit = units.iter().find(|(_, factor)| amount > 0 && amount.is_multiple_of(*factor));
    let (name, factor) = unit.or(units.last()).copied().unwrap_or(("", 1));
    format!("{}{name}", amount / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_largest_unit_that_fits() {
        assert_eq!([size(64 << 20), size(1000), size(0)], ["64MiB", "1000B", "0B"]);
        assert_eq!(
            [duration(90_000_000_000), duration(1_500_000_000), duration(1)],
            ["90s", "1500ms", "1ns"]
        );
    }
}
