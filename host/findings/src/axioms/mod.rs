//! Falsification: which readings cannot be true.
//!
//! A reading counts only where it is shown to satisfy every axiom that speaks of it. The order is fixed, each over
//! what the one before has left:
//! 1. intake: numbers are finite, uncertainties and confidences are in range, units convert to the quantity's unit;
//! 2. the manifest's minimum confidence;
//! 3. [`bounds`]; 4. [`expression`]; 5. [`rate`]; 6. [`agreement`]; within each kind in the manifest's order.
//!
//! Bounds without a unit are in the reading's own; rates and distances without one in the quantity's, which is that of its
//! first reading.
//!
//! What needs no other reading comes first, so that an impossible value cannot speak against its neighbours. An axiom
//! that cannot be evaluated for a reading (its unit does not convert, its expression ends in an error) excludes the
//! reading and says so: leaving it in would claim that the axiom was checked.

pub mod agreement;
pub mod bounds;
pub mod expression;
pub mod language;
pub mod rate;

use std::collections::BTreeMap;

use inquisitor_manifest::plan::Plan;
use inquisitor_manifest::spec::{Axiom, Center};

use crate::finding::{Exclusion, ExclusionCount, MAX_LISTED_EXCLUSIONS};
use crate::format::plain;
use crate::groups::{Group, group};
use crate::table::{MAX_MAGNITUDE, Row, Table};
use crate::units::Converter;

/// A rule by which readings are excluded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    /// Position of the axiom in the manifest; none where the rule is the host's own.
    pub(crate) axiom: Option<usize>,
    /// The rule in words.
    pub(crate) words: String,
}

/// An exclusion, small enough to keep for each of millions of readings.
#[derive(Debug, Clone, Copy)]
struct Ruling {
    row: Row,
    rule: u32,
    /// NaN where the rule has no distance.
    margin: f64,
    /// Position in `details`, or `NO_DETAIL`.
    detail: u32,
}

const NO_DETAIL: u32 = u32::MAX;

/// Distinct texts that tell why an axiom could not be evaluated; further ones are not told apart. A text can name the
/// reading's value, so that there could be as many as readings.
const MAX_DETAILS: usize = 100;
const OTHER_DETAIL: &str = "one of many other errors";

/// Why a value could not be compared in the unit of an axiom.
const NO_COUNTERPART: &str = "the value has no counterpart in the axiom's unit";

/// Which readings are left, and why the others are not.
#[derive(Debug)]
pub(crate) struct Judged {
    excluded: Vec<bool>,
    rulings: Vec<Ruling>,
    rules: Vec<Rule>,
    /// Rule → position in `rules`. A plugin chooses its quantities and units, so there may be many.
    rule_numbers: BTreeMap<Rule, u32>,
    details: Vec<String>,
    /// Sentences about axioms that could not be applied as written.
    pub(crate) notes: Vec<String>,
}

impl Judged {
    fn new(readings: usize) -> Self {
        Self {
            excluded: vec![false; readings],
            rulings: Vec::new(),
            rules: Vec::new(),
            rule_numbers: BTreeMap::new(),
            details: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Whether a reading is left.
    pub(crate) fn survives(&self, row: Row) -> bool {
        !self.excluded[row as usize]
    }

    fn rule(&mut self, axiom: Option<usize>, words: impl Into<String>) -> u32 {
        let rule = Rule { axiom, words: words.into() };
        if let Some(number) = self.rule_numbers.get(&rule) {
            return *number;
        }
        let number = u32::try_from(self.rules.len()).unwrap_or(u32::MAX);
        self.rules.push(rule.clone());
        self.rule_numbers.insert(rule, number);
        number
    }

    /// Exclude a reading; the first rule that excludes it is the one that is kept.
    fn exclude(&mut self, row: Row, rule: u32, margin: Option<f64>) {
        self.exclude_with(row, rule, margin, NO_DETAIL);
    }

    /// Exclude a reading for which the rule could not be evaluated.
    fn exclude_unevaluated(&mut self, row: Row, rule: u32, why: &str) {
        let at = self.details.iter().position(|known| known == why).unwrap_or_else(|| {
            if self.details.len() < MAX_DETAILS {
                self.details.push(why.to_owned());
            } else if self.details.len() == MAX_DETAILS {
                self.details.push(OTHER_DETAIL.to_owned());
            }
            self.details.len() - 1
        });
        self.exclude_with(row, rule, None, u32::try_from(at).unwrap_or(NO_DETAIL));
    }

    fn exclude_with(&mut self, row: Row, rule: u32, margin: Option<f64>, detail: u32) {
        let excluded = &mut self.excluded[row as usize];
        if !*excluded {
            *excluded = true;
            let margin = margin.filter(|margin| margin.is_finite()).unwrap_or(f64::NAN);
            self.rulings.push(Ruling { row, rule, margin, detail });
        }
    }

    /// The exclusions in order of instrument, step and position, at most [`MAX_LISTED_EXCLUSIONS`].
    pub(crate) fn listed(&mut self, table: &Table<'_>) -> Vec<Exclusion> {
        // Rows lie in plan order of the steps, so within an instrument the row is the order.
        self.rulings.sort_unstable_by_key(|ruling| (table.instrument(ruling.row), ruling.row));
        self.rulings.iter().take(MAX_LISTED_EXCLUSIONS).map(|ruling| self.told(table, ruling)).collect()
    }

    fn told(&self, table: &Table<'_>, ruling: &Ruling) -> Exclusion {
        let row = ruling.row as usize;
        let rule = &self.rules[ruling.rule as usize];
        let observed = table.observed(ruling.row);
        let words = match self.details.get(ruling.detail as usize) {
            Some(why) => format!("{}; could not be evaluated: {why}", rule.words),
            None => rule.words.clone(),
        };
        Exclusion {
            instrument: observed.instrument.clone(),
            step: observed.step.clone(),
            index: table.position[row] as usize,
            quantity: table.quantities[table.quantity[row] as usize].to_owned(),
            value: Some(table.raw[row]).filter(|value| value.is_finite()),
            unit: table.units[table.unit[row] as usize].to_owned(),
            time: table.time[row],
            axiom: rule.axiom,
            rule: words,
            margin: Some(ruling.margin).filter(|margin| margin.is_finite()),
        }
    }

    /// How many readings of each instrument each rule excluded, in order of instrument, then of the rules' work.
    pub(crate) fn counts(&self, table: &Table<'_>) -> Vec<ExclusionCount> {
        let mut counts: BTreeMap<(u32, u32), usize> = BTreeMap::new();
        for ruling in &self.rulings {
            *counts.entry((table.instrument(ruling.row), ruling.rule)).or_default() += 1;
        }
        counts
            .into_iter()
            .map(|((instrument, rule), readings)| {
                let rule = &self.rules[rule as usize];
                ExclusionCount {
                    instrument: table.instruments[instrument as usize].to_owned(),
                    axiom: rule.axiom,
                    rule: rule.words.clone(),
                    readings,
                }
            })
            .collect()
    }

    /// Each rule with the number of readings that it excluded, the most first, and one text of why it could not be
    /// evaluated where that is so.
    pub(crate) fn by_rule(&self) -> Vec<(&Rule, usize, Option<&str>)> {
        let mut counts = vec![(0_usize, NO_DETAIL); self.rules.len()];
        for ruling in &self.rulings {
            let (count, detail) = &mut counts[ruling.rule as usize];
            *count += 1;
            if *detail == NO_DETAIL {
                *detail = ruling.detail;
            }
        }
        let mut rules: Vec<_> = self
            .rules
            .iter()
            .zip(counts)
            .filter(|(_, (count, _))| *count > 0)
            .map(|(rule, (count, detail))| {
                (rule, count, self.details.get(detail as usize).map(String::as_str))
            })
            .collect();
        rules.sort_by_key(|(_, count, _)| std::cmp::Reverse(*count));
        rules
    }
}

/// Judge all readings, and fill in their values in the quantities' units.
pub(crate) fn judge<'a>(plan: &'a Plan, table: &mut Table<'a>, units: &[Option<&'a str>]) -> Judged {
    let mut judged = Judged::new(table.len());
    intake(plan, table, units, &mut judged);
    confidence(plan.arbitration.minimum_confidence, table, &mut judged);
    let axioms = || plan.falsification.axioms.iter().enumerate();
    for (at, axiom) in axioms() {
        if let Axiom::Bounds { quantity, unit, min, max } = axiom {
            let rule = judged.rule(Some(at), in_words(axiom));
            let bounds = bounds::Bounds { min: *min, max: *max };
            bounds::judge(table, quantity, unit.as_deref(), bounds, rule, &mut judged);
        }
    }
    let expressions: Vec<(usize, &str)> = axioms()
        .filter_map(|(at, axiom)| match axiom {
            Axiom::Expression { expression } => Some((at, expression.as_str())),
            _ => None,
        })
        .collect();
    expression::judge(table, units, &expressions, &mut judged);
    for (at, axiom) in axioms() {
        if let Axiom::Rate { quantity, unit, max_rate, per } = axiom {
            let rule = judged.rule(Some(at), in_words(axiom));
            let limit = rate::Limit { max_rate: *max_rate, per: *per };
            rate::judge(table, units, quantity, unit.as_deref(), limit, rule, &mut judged);
        }
    }
    for (at, axiom) in axioms() {
        if let Axiom::Agreement { quantity, unit, agree_within, of } = axiom {
            let rule = judged.rule(Some(at), in_words(axiom));
            let demand = agreement::Demand { within: *agree_within, of: *of };
            agreement::judge(table, units, quantity, unit.as_deref(), demand, rule, &mut judged);
        }
    }
    notes(plan, table, &mut judged);
    judged
}

/// An axiom in words.
pub fn in_words(axiom: &Axiom) -> String {
    let with_unit = |unit: &Option<String>| unit.as_ref().map_or(String::new(), |unit| format!(" {unit}"));
    match axiom {
        Axiom::Bounds { quantity, unit, min, max } => {
            let unit = with_unit(unit);
            match (min, max) {
                (Some(min), Some(max)) => {
                    format!("{quantity} within [{}, {}]{unit}", plain(*min), plain(*max))
                }
                (Some(min), None) => format!("{quantity} at least {}{unit}", plain(*min)),
                (None, Some(max)) => format!("{quantity} at most {}{unit}", plain(*max)),
                (None, None) => format!("{quantity} is a number{unit}"),
            }
        }
        Axiom::Rate { quantity, unit, max_rate, per } => {
            format!(
                "{quantity} changes by at most {}{} in {}",
                plain(*max_rate),
                with_unit(unit),
                duration(*per)
            )
        }
        Axiom::Agreement { quantity, unit, agree_within, of } => format!(
            "{quantity} within {}{} of the instruments' {}",
            plain(*agree_within),
            with_unit(unit),
            match of {
                Center::Median => "median",
                Center::Mean => "mean",
            }
        ),
        Axiom::Expression { expression } => expression.clone(),
    }
}

/// A length of time in the largest unit in which it is a whole number.
fn duration(nanoseconds: u64) -> String {
    const UNITS: [(u64, &str); 6] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "min"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "µs"),
    ];
    UNITS
        .iter()
        .find(|(size, _)| nanoseconds > 0 && nanoseconds.is_multiple_of(*size))
        .map_or_else(|| format!("{nanoseconds} ns"), |(size, name)| format!("{} {name}", nanoseconds / size))
}

/// Admit what is a reading at all, and express it in the quantity's unit.
fn intake<'a>(plan: &Plan, table: &mut Table<'a>, units: &[Option<&'a str>], judged: &mut Judged) {
    let declared = crate::quantity_units::declared(plan);
    let magnitude =
        judged.rule(None, format!("value is finite, at most {} in magnitude", plain(MAX_MAGNITUDE)));
    let uncertainty =
        judged.rule(None, "uncertainty is finite and zero or more, lists of a series are of one length");
    let confidence = judged.rule(None, "confidence within [0, 1]");
    let mut converters = crate::units::Converters::new();
    for row in table.rows() {
        let i = row as usize;
        if !(0.0..=1.0).contains(&table.confidence[i]) {
            judged.exclude(row, confidence, None);
        }
        if !table.numeric[i] {
            continue;
        }
        if table.raw[i].is_nan() || table.raw[i].abs() > MAX_MAGNITUDE {
            judged.exclude(row, magnitude, None);
            continue;
        }
        let stated = table.raw_uncertainty[i];
        if !stated.is_nan() && !(0.0..=MAX_MAGNITUDE).contains(&stated) {
            judged.exclude(row, uncertainty, None);
            continue;
        }
        let from = table.units[table.unit[i] as usize];
        let Some(to) = units[table.quantity[i] as usize] else {
            let fits = match declared.get(table.quantities[table.quantity[i] as usize]) {
                Some(unit) => {
                    format!("unit is a UCUM code that converts to {unit}, which the manifest names")
                }
                None => "unit is a UCUM code that fits the quantity".to_owned(),
            };
            let rule = judged.rule(None, fits);
            judged.exclude(row, rule, None);
            continue;
        };
        match converters.get(from, to) {
            Ok(converter) => {
                let value = converter.value(table.raw[i]);
                let converted = converter.uncertainty(table.raw[i], stated);
                let in_range = |number: f64| number.abs() <= MAX_MAGNITUDE;
                if in_range(value) && (stated.is_nan() || in_range(converted)) {
                    table.value[i] = value;
                    table.uncertainty[i] = converted;
                } else {
                    let rule = judged.rule(None, format!("value can be expressed in {to}"));
                    judged.exclude(row, rule, None);
                }
            }
            Err(_) => {
                let quantity = table.quantities[table.quantity[i] as usize];
                let rule = judged.rule(None, format!("{quantity} has a unit that converts to {to}"));
                judged.exclude(row, rule, None);
            }
        }
    }
}

fn confidence(minimum: f64, table: &Table<'_>, judged: &mut Judged) {
    if minimum <= 0.0 {
        return;
    }
    let rule = judged.rule(None, format!("confidence at least {}", plain(minimum)));
    for row in table.rows() {
        let confidence = table.confidence[row as usize];
        if judged.survives(row) && confidence < minimum {
            judged.exclude(row, rule, Some(minimum - confidence));
        }
    }
}

/// The surviving numeric readings of a quantity by instrument, and the converter from the quantity's unit to the
/// axiom's. Readings that cannot be expressed in it are excluded.
fn comparable(
    table: &Table<'_>,
    units: &[Option<&str>],
    quantity: &str,
    unit: Option<&str>,
    rule: u32,
    judged: &mut Judged,
) -> Option<(Vec<Group>, Converter)> {
    let quantity = table.quantity_named(quantity)?;
    let own = units[quantity as usize]?;
    let mut groups = group(table, |row| {
        table.numeric[row as usize] && table.quantity[row as usize] == quantity && judged.survives(row)
    });
    match Converter::between(own, unit.unwrap_or(own)) {
        Ok(converter) => {
            for group in &mut groups {
                group.rows.retain(|row| {
                    let converts = !converter.value(table.value[*row as usize]).is_nan();
                    if !converts {
                        judged.exclude_unevaluated(*row, rule, NO_COUNTERPART);
                    }
                    converts
                });
            }
            groups.retain(|group| !group.rows.is_empty());
            Some((groups, converter))
        }
        Err(error) => {
            for row in groups.iter().flat_map(|group| &group.rows) {
                judged.exclude_unevaluated(*row, rule, &error.to_string());
            }
            None
        }
    }
}

/// Say of which axioms there was nothing to judge.
fn notes(plan: &Plan, table: &Table<'_>, judged: &mut Judged) {
    for (at, axiom) in plan.falsification.axioms.iter().enumerate() {
        let (Axiom::Bounds { quantity, .. }
        | Axiom::Rate { quantity, .. }
        | Axiom::Agreement { quantity, .. }) = axiom
        else {
            continue;
        };
        if table.quantity_named(quantity).is_none() {
            judged.notes.push(format!("axiom {} speaks of {quantity}, of which there is no reading", at + 1));
        }
    }
}
