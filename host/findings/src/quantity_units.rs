//! The unit in which a quantity is estimated.
//!
//! It is that of the first reading of the quantity, with two provisos, so that one instrument that speaks in a wrong
//! unit cannot exclude all others by speaking first. Where the manifest names a unit for the quantity, in an axiom
//! or for a state, only units that convert to it are considered. Of units that do not convert to each other, those
//! that most instruments use are taken; where it is a tie, the first reading decides.

use std::collections::{BTreeMap, BTreeSet};

use inquisitor_manifest::plan::Plan;
use inquisitor_manifest::spec::Axiom;

use crate::table::Table;
use crate::units::{is_comparable, validate};

/// Distinct units of one quantity that are considered. Each is compared with each, and a plugin chooses its units.
const MAX_CANDIDATES: usize = 32;

/// The unit of each quantity, in the table's order; none where no reading has a unit that fits.
pub(crate) fn choose<'a>(plan: &Plan, table: &Table<'a>) -> Vec<Option<&'a str>> {
    // For each quantity its units in the order of appearance, each with the instruments that use it.
    let mut candidates: Vec<Vec<(u32, BTreeSet<u32>)>> = vec![Vec::new(); table.quantities.len()];
    // Readings come in runs of one source, quantity and unit; only the first of a run is looked at.
    let mut last = None;
    for row in table.rows() {
        let i = row as usize;
        let run = (table.source[i], table.quantity[i], table.unit[i]);
        if !table.numeric[i] || last.replace(run) == Some(run) {
            continue;
        }
        let units = &mut candidates[table.quantity[i] as usize];
        match units.iter().position(|(unit, _)| *unit == table.unit[i]) {
            Some(known) => {
                units[known].1.insert(table.instrument(row));
            }
            None if units.len() < MAX_CANDIDATES => {
                units.push((table.unit[i], BTreeSet::from([table.instrument(row)])));
            }
            None => {}
        }
    }
    let declared = declared(plan);
    candidates
        .into_iter()
        .zip(&table.quantities)
        .map(|(units, quantity)| {
            let named: Vec<(&'a str, BTreeSet<u32>)> =
                units.into_iter().map(|(unit, by)| (table.units[unit as usize], by)).collect();
            choose_one(&named, declared.get(quantity).copied())
        })
        .collect()
}

fn choose_one<'a>(units: &[(&'a str, BTreeSet<u32>)], declared: Option<&str>) -> Option<&'a str> {
    let fits = |unit: &str| match declared {
        Some(declared) if validate(declared).is_ok() => is_comparable(unit, declared),
        _ => validate(unit).is_ok(),
    };
    let fitting: Vec<&(&'a str, BTreeSet<u32>)> = units.iter().filter(|(unit, _)| fits(unit)).collect();
    let support = |unit: &str| -> usize {
        let comparable = fitting.iter().filter(|(other, _)| is_comparable(unit, other));
        comparable.flat_map(|(_, instruments)| instruments).collect::<BTreeSet<_>>().len()
    };
    // The first of those with the most support.
    let mut best: Option<(&'a str, usize)> = None;
    for (unit, _) in &fitting {
        let support = support(unit);
        if best.is_none_or(|(_, most)| support > most) {
            best = Some((unit, support));
        }
    }
    best.map(|(unit, _)| unit)
}

/// The first unit that the manifest names for each quantity.
pub(crate) fn declared(plan: &Plan) -> BTreeMap<&str, &str> {
    let mut declared = BTreeMap::new();
    for axiom in &plan.falsification.axioms {
        if let Axiom::Bounds { quantity, unit: Some(unit), .. }
        | Axiom::Rate { quantity, unit: Some(unit), .. }
        | Axiom::Agreement { quantity, unit: Some(unit), .. } = axiom
        {
            declared.entry(quantity.as_str()).or_insert(unit.as_str());
        }
    }
    if let Some(belief) = &plan.belief {
        for unit in belief.ranges.values().filter_map(|range| range.unit.as_deref()) {
            declared.entry(belief.quantity.as_str()).or_insert(unit);
        }
    }
    declared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose_from(units: &[(&'static str, &[u32])], declared: Option<&str>) -> Option<&'static str> {
        let units: Vec<_> =
            units.iter().map(|(unit, by)| (*unit, by.iter().copied().collect::<BTreeSet<u32>>())).collect();
        choose_one(&units, declared)
    }

    #[test]
    fn the_first_reading_decides() {
        assert_eq!(choose_from(&[("K", &[0]), ("Cel", &[1])], None), Some("K"));
        assert_eq!(choose_from(&[("m", &[0]), ("s", &[1])], None), Some("m"));
    }

    #[test]
    fn unless_it_stands_alone_or_does_not_fit() {
        assert_eq!(choose_from(&[("m", &[0]), ("Cel", &[1]), ("K", &[2])], None), Some("Cel"));
        assert_eq!(choose_from(&[("m", &[0, 1, 2]), ("K", &[3])], Some("Cel")), Some("K"));
        assert_eq!(choose_from(&[("nonsense", &[0])], None), None);
        assert_eq!(choose_from(&[("m", &[0])], Some("Cel")), None);
    }
}
