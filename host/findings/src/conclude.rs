//! From what was observed to the finding.

use inquisitor_manifest::plan::Plan;
use inquisitor_manifest::spec::Axiom;

use crate::analysis;
use crate::arbitration::Refusal;
use crate::axioms::{self, Judged};
use crate::belief::{self, Believed};
use crate::categorical;
use crate::estimate::{self, Estimated};
use crate::finding::{BeliefFinding, Finding, InstrumentSummary, Moment, Undetermined, Verdict};
use crate::groups::{Group, group, of_quantity};
use crate::quantity_units;
use crate::reading::Observed;
use crate::reasons::{self, Told};
use crate::table::{MAX_READINGS, Table};

/// A measuring step whose readings would count and that ended without any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFailure {
    /// Id of the instrument in the manifest.
    pub instrument: String,
    /// Name of the step.
    pub step: String,
    /// How it ended.
    pub message: String,
}

/// Draw the finding from what was observed.
///
/// The result depends on the plan, the observations and the failures alone, not on the order in which they are given:
/// observations are taken in the plan's order of steps. Observations of steps whose readings do not count are left out.
///
/// Never fails: what cannot be said is said to be undetermined, with the reason.
pub fn conclude(plan: &Plan, observed: &[Observed], failures: &[StepFailure]) -> Finding {
    let total: usize = observed.iter().map(|one| one.observation.len()).sum();
    if total > MAX_READINGS {
        return too_many(total);
    }
    let mut table = Table::new(plan, observed);
    let units = quantity_units::choose(plan, &table);
    let mut judged = axioms::judge(plan, &mut table, &units);
    let groups = group(&table, |row| table.numeric[row as usize] && judged.survives(row));
    let (estimated, mut undetermined) = estimate_all(plan, &table, &units, &groups, &judged);
    undetermined.extend(missing(plan, &table, failures));
    let (believed, belief_note) = believe(plan, &table, &groups, &estimated);
    let tests = analysis::run_all(plan, &table, &units, &groups);

    let verdict =
        verdict(&table, believed.as_ref().map(|b| &b.finding), belief_note.is_some(), &undetermined);
    let reasons = reasons::all(&Told {
        plan,
        table: &table,
        judged: &judged,
        failures,
        estimated: &estimated,
        undetermined: &undetermined,
        believed: believed.as_ref(),
        belief_note: belief_note.as_deref(),
        verdict,
    });
    Finding {
        verdict,
        reasons,
        exclusions: judged.listed(&table),
        exclusion_counts: judged.counts(&table),
        estimates: estimated.into_iter().map(|one| one.estimate).collect(),
        undetermined,
        belief: believed.map(|believed| believed.finding),
        tests,
        instruments: summaries(&table, &judged),
        observations: categorical::summarize(&table, |row| judged.survives(row)),
    }
}

fn verdict(
    table: &Table<'_>,
    belief: Option<&BeliefFinding>,
    belief_is_refused: bool,
    undetermined: &[Undetermined],
) -> Verdict {
    let decision = belief.map(|belief| (belief.decision.as_ref(), &belief.asserted));
    match decision {
        Some((Some(state), asserted)) if state != asserted => Verdict::Falsified,
        Some((None, _)) => Verdict::Inconclusive,
        _ if belief_is_refused || !undetermined.is_empty() || table.len() == 0 => Verdict::Inconclusive,
        _ => Verdict::Verified,
    }
}

fn estimate_all(
    plan: &Plan,
    table: &Table<'_>,
    units: &[Option<&str>],
    groups: &[Group],
    judged: &Judged,
) -> (Vec<Estimated>, Vec<Undetermined>) {
    let mut given = vec![(0_usize, false); table.quantities.len()];
    let mut left = vec![0_usize; table.quantities.len()];
    for row in table.rows() {
        let quantity = table.quantity[row as usize] as usize;
        given[quantity].0 += 1;
        given[quantity].1 |= table.numeric[row as usize];
        left[quantity] += usize::from(judged.survives(row));
    }
    let mut estimated = Vec::new();
    let mut undetermined = Vec::new();
    for (quantity, name) in (0..).zip(&table.quantities) {
        let at = quantity as usize;
        let (readings, is_numeric) = given[at];
        let none_left = |undetermined: &mut Vec<Undetermined>| {
            let reason = format!("all its readings ({readings}) were excluded");
            undetermined.push(Undetermined { quantity: (*name).to_owned(), reason });
        };
        if !is_numeric {
            if left[at] == 0 {
                none_left(&mut undetermined);
            }
            continue;
        }
        let groups = of_quantity(groups, quantity);
        match estimate::estimate(table, groups, units[at].unwrap_or("1"), &plan.arbitration) {
            Ok(one) => estimated.push(one),
            Err(Refusal::Nothing) => none_left(&mut undetermined),
            Err(refusal) => {
                undetermined.push(Undetermined { quantity: (*name).to_owned(), reason: refusal.to_string() });
            }
        }
    }
    (estimated, undetermined)
}

/// Quantities that the manifest speaks of and of which there is no reading: that of the belief always, those of axioms
/// where steps failed that may have been to bring them.
fn missing(plan: &Plan, table: &Table<'_>, failures: &[StepFailure]) -> Vec<Undetermined> {
    let mut expected: Vec<&str> = plan.belief.iter().map(|belief| belief.quantity.as_str()).collect();
    if !failures.is_empty() {
        expected.extend(plan.falsification.axioms.iter().filter_map(|axiom| match axiom {
            Axiom::Bounds { quantity, .. }
            | Axiom::Rate { quantity, .. }
            | Axiom::Agreement { quantity, .. } => Some(quantity.as_str()),
            Axiom::Expression { .. } => None,
        }));
    }
    let mut missing: Vec<Undetermined> = Vec::new();
    for quantity in expected {
        let is_known = missing.iter().any(|one| one.quantity == quantity);
        if !is_known && table.quantity_named(quantity).is_none() {
            let reason = match failures.len() {
                0 => "no instrument gave a reading of it".to_owned(),
                1 => "no instrument gave a reading of it, and a measuring step failed".to_owned(),
                n => format!("no instrument gave a reading of it, and {n} measuring steps failed"),
            };
            missing.push(Undetermined { quantity: quantity.to_owned(), reason });
        }
    }
    missing
}

/// The belief, or why it could not be formed.
fn believe(
    plan: &Plan,
    table: &Table<'_>,
    groups: &[Group],
    estimated: &[Estimated],
) -> (Option<Believed>, Option<String>) {
    let Some(belief) = &plan.belief else { return (None, None) };
    let Some(one) = estimated.iter().find(|one| one.estimate.quantity == belief.quantity) else {
        let finding = belief::nothing_known(belief);
        return (Some(Believed { finding, unlisted_departures: 0 }), None);
    };
    let single;
    let course: &[Moment] = if one.course.is_empty() {
        let rows = table.quantity_named(&belief.quantity).map(|quantity| of_quantity(groups, quantity));
        let times =
            rows.into_iter().flatten().flat_map(|group| &group.rows).map(|row| table.time[*row as usize]);
        single = [Moment {
            time: times.max().unwrap_or_default(),
            value: one.estimate.value,
            standard_uncertainty: one.estimate.standard_uncertainty,
            instruments: one.estimate.contributions.len(),
        }];
        &single
    } else {
        &one.course
    };
    match belief::believe(belief, &one.estimate.unit, course) {
        Ok(believed) => (Some(believed), None),
        Err(error) => (None, Some(error)),
    }
}

fn summaries(table: &Table<'_>, judged: &Judged) -> Vec<InstrumentSummary> {
    let mut counts = vec![(0_usize, 0_usize); table.instruments.len()];
    for row in table.rows() {
        let (readings, excluded) = &mut counts[table.instrument(row) as usize];
        *readings += 1;
        *excluded += usize::from(!judged.survives(row));
    }
    table
        .instruments
        .iter()
        .zip(counts)
        .map(|(instrument, (readings, excluded))| InstrumentSummary {
            instrument: (*instrument).to_owned(),
            readings,
            excluded,
        })
        .collect()
}

fn too_many(total: usize) -> Finding {
    Finding {
        verdict: Verdict::Inconclusive,
        reasons: vec![format!(
            "there are {total} readings, and a finding takes in at most {MAX_READINGS}; observe for a shorter time or \
             at a longer interval"
        )],
        estimates: Vec::new(),
        undetermined: Vec::new(),
        exclusions: Vec::new(),
        exclusion_counts: Vec::new(),
        belief: None,
        tests: Vec::new(),
        instruments: Vec::new(),
        observations: Vec::new(),
    }
}
