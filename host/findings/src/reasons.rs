//! Why a finding is what it is, in sentences; what decided comes first.

use std::collections::{BTreeMap, BTreeSet};

use inquisitor_manifest::plan::Plan;

use crate::StepFailure;
use crate::axioms::Judged;
use crate::belief::Believed;
use crate::estimate::{Estimated, MAX_COURSE};
use crate::finding::{Departure, Estimate, Undetermined, Verdict};
use crate::format;
use crate::table::Table;

/// Sentences of one kind that are given one by one; the rest are counted.
const MAX_LISTED: usize = 20;
/// Characters of a message of an instrument.
const MAX_MESSAGE_CHARS: usize = 300;

/// What there is to tell.
pub(crate) struct Told<'t, 'a> {
    pub(crate) plan: &'t Plan,
    pub(crate) table: &'t Table<'a>,
    pub(crate) judged: &'t Judged,
    pub(crate) failures: &'t [StepFailure],
    pub(crate) estimated: &'t [Estimated],
    pub(crate) undetermined: &'t [Undetermined],
    pub(crate) believed: Option<&'t Believed>,
    pub(crate) belief_note: Option<&'t str>,
    pub(crate) verdict: Verdict,
}

/// All sentences; never none.
pub(crate) fn all(told: &Told<'_, '_>) -> Vec<String> {
    let mut reasons = Vec::new();
    if told.table.len() == 0 {
        reasons.push("there is no reading".to_owned());
    }
    belief(told, &mut reasons);
    undetermined(told, &mut reasons);
    let given = instruments_by_quantity(told.table);
    for one in told.estimated.iter().take(MAX_LISTED) {
        let of = given.get(one.estimate.quantity.as_str()).copied().unwrap_or_default();
        estimate(told, one, of, &mut reasons);
    }
    more(told.estimated.len(), "quantities were determined", &mut reasons);
    exclusions(told, &mut reasons);
    failures(told, &mut reasons);
    reasons.extend(told.judged.notes.iter().cloned());
    if reasons.is_empty() {
        reasons.push(match told.table.len() {
            1 => "one reading was taken, was not excluded, and is no number to estimate".to_owned(),
            count => {
                format!("{count} readings were taken, none was excluded, and none is a number to estimate")
            }
        });
    }
    reasons
}

fn belief(told: &Told<'_, '_>, reasons: &mut Vec<String>) {
    let Some(belief) = &told.plan.belief else { return };
    if let Some(note) = told.belief_note {
        reasons.push(format!("nothing can be believed of {}: {note}", belief.quantity));
    }
    let Some(Believed { finding, unlisted_departures }) = told.believed else { return };
    let quantity = &belief.quantity;
    let held = format::probability_in_words(finding.held_throughout);
    let decide_at = format::plain(belief.decide_at);
    let moments = plural(finding.moments, "moment", "moments");
    match &finding.decision {
        Some(state) if *state == finding.asserted => reasons.push(format!(
            "{state} held throughout with a probability of {held} (decided from {decide_at}), by {quantity} at {moments}"
        )),
        Some(state) => {
            let unit = told.estimated.iter().find(|one| one.estimate.quantity == *quantity);
            let unit = unit.map_or("", |one| one.estimate.unit.as_str());
            reasons.push(match finding.departures.iter().find(|departure| departure.state == *state) {
                Some(departure) => format!(
                    "{} did not hold: {}{}",
                    finding.asserted,
                    in_words(departure, quantity, unit),
                    match finding.departures.len() + unlisted_departures {
                        1 => String::new(),
                        n => format!(", the first of {n} departures"),
                    }
                ),
                None => format!("{state} was decided by {quantity} at {moments}"),
            });
        }
        None if finding.moments == 0 => reasons.push(format!(
            "no state is decided, because there is no estimate of {quantity} to decide it by"
        )),
        None => {
            let last: Vec<String> = finding
                .final_probabilities
                .iter()
                .map(|(state, p)| format!("{state} {}", format::probability_in_words(*p)))
                .collect();
            reasons.push(format!(
                "no state is decided: {} held throughout with a probability of {held}, and {decide_at} is needed; \
                 at the last of {moments}: {}",
                finding.asserted,
                last.join(", ")
            ));
        }
    }
    if *unlisted_departures > 0 {
        reasons.push(format!("{unlisted_departures} further departures are not listed"));
    }
}

fn in_words(departure: &Departure, quantity: &str, unit: &str) -> String {
    let span = if departure.from == departure.until {
        format!("at {}", time(departure.from))
    } else {
        format!("from {} until {}", time(departure.from), time(departure.until))
    };
    let unit = if unit == "1" || unit.is_empty() { String::new() } else { format!(" {unit}") };
    format!(
        "{} {span} with a probability of {}, {quantity} reaching {}{unit}",
        departure.state,
        format::probability_in_words(departure.probability),
        format::significant(departure.extreme, 6)
    )
}

fn undetermined(told: &Told<'_, '_>, reasons: &mut Vec<String>) {
    for one in told.undetermined.iter().take(MAX_LISTED) {
        reasons.push(format!("{} could not be determined: {}", one.quantity, one.reason));
    }
    more(told.undetermined.len(), "quantities could not be determined", reasons);
}

fn estimate(told: &Told<'_, '_>, one: &Estimated, of: usize, reasons: &mut Vec<String>) {
    let Estimate { quantity, unit, value, expanded_uncertainty, coverage_factor, .. } = &one.estimate;
    let instruments = one.estimate.contributions.len();
    let by = if instruments == of {
        plural(instruments, "instrument", "instruments")
    } else {
        format!("{instruments} of {}", plural(of, "instrument", "instruments"))
    };
    reasons.push(format!(
        "{quantity} was determined by {by}: {}",
        format::estimate(*value, *expanded_uncertainty, *coverage_factor, unit)
    ));
    if let Some(between) = &one.estimate.heterogeneity
        && between.p_value < 0.05
    {
        reasons.push(format!(
            "the instruments differ in {quantity} by more than their uncertainties explain (Q = {} with {} degrees of \
             freedom, {}), which the uncertainty takes into account as far as the method does",
            format::significant(between.q, 3),
            between.degrees_of_freedom,
            format::p_value(between.p_value)
        ));
    }
    let apart: Vec<&str> = one
        .estimate
        .contributions
        .iter()
        .filter(|contribution| !contribution.agrees)
        .map(|contribution| contribution.instrument.as_str())
        .collect();
    if !apart.is_empty() && told.verdict != Verdict::Falsified {
        reasons.push(format!("not compatible with the estimate of {quantity}: {}", apart.join(", ")));
    }
    if one.course.len() > MAX_COURSE {
        reasons.push(format!(
            "the course of {quantity} lists the extremes of equal stretches, {} of {} moments",
            one.estimate.course.len(),
            one.course.len()
        ));
    }
    if one.moments_without > 0 {
        reasons.push(format!(
            "{} of {quantity} had too few instruments or no uncertainty, and have no place in its course",
            plural(one.moments_without, "moment", "moments")
        ));
    }
}

/// How many instruments gave readings of each quantity, before falsification.
fn instruments_by_quantity<'a>(table: &Table<'a>) -> BTreeMap<&'a str, usize> {
    let pairs: BTreeSet<(u32, u32)> =
        table.rows().map(|row| (table.quantity[row as usize], table.instrument(row))).collect();
    let mut given = BTreeMap::new();
    for (quantity, _) in pairs {
        *given.entry(table.quantities[quantity as usize]).or_default() += 1;
    }
    given
}

fn exclusions(told: &Told<'_, '_>, reasons: &mut Vec<String>) {
    let rules = told.judged.by_rule();
    let total = told.table.len();
    for (rule, readings, error) in rules.iter().take(MAX_LISTED) {
        let axiom = rule.axiom.map_or(String::new(), |at| format!(" (axiom {})", at + 1));
        let error = error.map_or(String::new(), |why| format!("; it could not be evaluated: {why}"));
        reasons.push(format!(
            "{} of {total} excluded by: {}{axiom}{error}",
            plural(*readings, "reading", "readings"),
            rule.words
        ));
    }
    more(rules.len(), "rules excluded readings", reasons);
}

fn failures(told: &Told<'_, '_>, reasons: &mut Vec<String>) {
    // In the plan's order, whatever order they came in.
    let position = |failure: &StepFailure| {
        told.plan.steps.iter().position(|step| step.name == failure.step).unwrap_or(usize::MAX)
    };
    let mut failures: Vec<(usize, &StepFailure)> =
        told.failures.iter().map(|failure| (position(failure), failure)).collect();
    failures.sort_by(|a, b| {
        (a.0, &a.1.step, &a.1.instrument, &a.1.message).cmp(&(b.0, &b.1.step, &b.1.instrument, &b.1.message))
    });
    for (_, failure) in failures.iter().take(MAX_LISTED) {
        let message: String = failure.message.chars().take(MAX_MESSAGE_CHARS).collect();
        reasons.push(format!(
            "step {} of instrument {} brought no readings: {message}",
            failure.step, failure.instrument
        ));
    }
    more(failures.len(), "steps brought no readings", reasons);
}

fn more(total: usize, what: &str, reasons: &mut Vec<String>) {
    if total > MAX_LISTED {
        reasons.push(format!("{} more {what}", total - MAX_LISTED));
    }
}

fn plural(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// RFC 3339.
fn time(nanoseconds: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(nanoseconds))
        .map_or_else(|_| format!("{nanoseconds} ns"), |time| time.to_string())
}
