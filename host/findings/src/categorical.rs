//! Readings that are not numbers: counted, with their most frequent values.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::finding::Categorical;
use crate::reading::Value;
use crate::table::{Place, Row, Table};

/// Values listed for an instrument and a quantity.
const MAX_LISTED: usize = 10;
/// Distinct values that are counted one by one; a stream of identifiers would fill memory for a list of ten.
const MAX_DISTINCT: usize = 10_000;
/// Characters of a text, and bytes of a byte string, that are shown and told apart.
const MAX_SHOWN: usize = 100;
/// Under which the values beyond [`MAX_DISTINCT`] are counted.
const OTHER: &str = "(other values)";

/// Summaries in order of instrument and quantity of the readings that are left.
pub(crate) fn summarize(table: &Table<'_>, survives: impl Fn(Row) -> bool) -> Vec<Categorical> {
    let mut counts: BTreeMap<(u32, u32), BTreeMap<String, usize>> = BTreeMap::new();
    for row in table.rows().filter(|row| !table.numeric[*row as usize] && survives(*row)) {
        let Place::Single(reading) = table.place(row) else { continue };
        let values = counts.entry((table.instrument(row), table.quantity[row as usize])).or_default();
        let mut text = shown(&reading.value);
        if values.len() >= MAX_DISTINCT && !values.contains_key(&text) {
            OTHER.clone_into(&mut text);
        }
        *values.entry(text).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|((instrument, quantity), values)| {
            let readings = values.values().sum();
            let mut values: Vec<(String, usize)> = values.into_iter().collect();
            values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            values.truncate(MAX_LISTED);
            Categorical {
                instrument: table.instruments[instrument as usize].to_owned(),
                quantity: table.quantities[quantity as usize].to_owned(),
                readings,
                values,
            }
        })
        .collect()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => {
            let mut shown: String = text.chars().take(MAX_SHOWN).collect();
            if shown.len() < text.len() {
                shown.push('…');
            }
            shown
        }
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Bytes(bytes) => {
            let mut shown = format!("{} bytes ", bytes.len());
            for byte in bytes.iter().take(MAX_SHOWN / 4) {
                // Writing to a string cannot fail.
                let _ = write!(shown, "{byte:02x}");
            }
            if bytes.len() > MAX_SHOWN / 4 {
                shown.push('…');
            }
            shown
        }
        Value::Number(number) => crate::format::plain(*number),
        Value::Integer(integer) => integer.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_within_bounds() {
        assert_eq!(shown(&Value::Boolean(true)), "true");
        assert_eq!(shown(&Value::Bytes(vec![0, 255])), "2 bytes 00ff");
        assert_eq!(shown(&Value::Text("é".repeat(500))).chars().count(), MAX_SHOWN + 1);
    }
}
