//! Whole findings: what users rely on, from readings to the verdict.

mod common;

use std::collections::BTreeMap;

use common::{
    SECOND, START, agreement, bounds, cold_chain, expression, noise, of_readings, of_series, plan, rate,
    reading, temperatures,
};
use inquisitor_findings::finding::{Finding, MAX_LISTED_EXCLUSIONS, Verdict};
use inquisitor_findings::reading::{Observed, Value};
use inquisitor_findings::{StepFailure, conclude};
use inquisitor_manifest::plan::Plan;
use inquisitor_manifest::spec::{Method, Parameters, StatisticalTest, TestKind};

/// Values about a level, with a scatter of ± `width`.
fn record(level: f64, width: f64, n: usize, seed: u64) -> Vec<f64> {
    noise(seed).take(n).map(|unit| level + width * (2.0 * unit - 1.0)).collect()
}

fn three_good(u: f64) -> (Plan, Vec<Observed>) {
    let observed = [("a", 1), ("b", 2), ("c", 3)]
        .map(|(id, seed)| of_series(id, temperatures(&record(5.0, 0.1, 60, seed), u)));
    (plan(&["a", "b", "c"]), observed.to_vec())
}

fn excluded(finding: &Finding) -> Vec<(&str, usize, Option<usize>)> {
    finding.exclusions.iter().map(|one| (one.instrument.as_str(), one.index, one.axiom)).collect()
}

fn says(finding: &Finding, part: &str) -> bool {
    finding.reasons.iter().any(|reason| reason.contains(part))
}

#[test]
fn a_cold_chain_as_a_whole() {
    let mut plan = plan(&["north", "south", "door"]);
    plan.instruments.extend(common::plan(&["broken"]).instruments);
    plan.falsification.axioms = vec![
        bounds("temperature", "Cel", -273.15, 100.0),
        rate("temperature", 2.0, 60 * SECOND),
        agreement("temperature", 3.0),
        expression("humidity >= 0 && humidity <= 100"),
    ];
    plan.belief = Some(cold_chain());
    plan.analysis.statistical = vec![StatisticalTest {
        test: TestKind::TTest,
        groups: Vec::new(),
        parameters: Parameters::from_iter([("quantity".to_owned(), "temperature".into())]),
    }];
    let mut north = [5.0, 5.1, 4.9, 5.0, 5.2, 5.1];
    north[2] = 450.0;
    let south = [5.1, 5.0, 5.0, 5.2, 5.1, 5.0];
    let mut humidity = reading("humidity", Value::Number(250.0), "%");
    humidity.uncertainty = Some(2.0);
    let door = vec![
        reading("door", Value::Boolean(true), "1"),
        reading("door", Value::Boolean(false), "1"),
        reading("door", Value::Boolean(false), "1"),
    ];
    let mut from_south = of_series("south", temperatures(&south, 0.1));
    from_south.observation.readings = vec![humidity.clone()];
    humidity.value = Value::Number(45.0);
    from_south.observation.readings.push(humidity);
    let finding = conclude(
        &plan,
        &[of_readings("door", door), of_series("north", temperatures(&north, 0.1)), from_south],
        &[StepFailure {
            instrument: "broken".to_owned(),
            step: "observe-broken".to_owned(),
            message: "memory limit: 65536 bytes allowed, 131072 needed".to_owned(),
        }],
    );
    insta::assert_json_snapshot!(finding);
}

#[test]
fn the_order_of_observations_changes_nothing() {
    let (mut plan, mut observed) = three_good(0.1);
    plan.falsification.axioms = vec![agreement("temperature", 0.05), expression("others.all(o, o < 5.09)")];
    plan.belief = Some(cold_chain());
    let one = serde_json::to_string(&conclude(&plan, &observed, &[])).unwrap();
    for _ in 0..3 {
        observed.rotate_left(1);
        assert_eq!(serde_json::to_string(&conclude(&plan, &observed, &[])).unwrap(), one);
    }
    observed.swap(0, 1);
    assert_eq!(serde_json::to_string(&conclude(&plan, &observed, &[])).unwrap(), one);
}

#[test]
fn a_good_record_is_verified() {
    let (mut plan, observed) = three_good(0.1);
    plan.belief = Some(cold_chain());
    let finding = conclude(&plan, &observed, &[]);
    assert_eq!(finding.verdict, Verdict::Verified);
    let estimate = &finding.estimates[0];
    assert!((estimate.value - 5.0).abs() < 0.05);
    assert_eq!((estimate.course.len(), estimate.contributions.len(), estimate.readings), (60, 3, 180));
    assert!(finding.belief.unwrap().held_throughout > 0.99);
}

#[test]
fn an_excursion_falsifies() {
    let (mut plan, mut observed) = three_good(0.1);
    plan.belief = Some(cold_chain());
    for one in &mut observed {
        one.observation.series[0].values[30..35].fill(9.5);
    }
    let finding = conclude(&plan, &observed, &[]);
    assert_eq!(finding.verdict, Verdict::Falsified);
    let belief = finding.belief.as_ref().unwrap();
    assert_eq!(belief.decision.as_deref(), Some("excursion"));
    let departure = &belief.departures[0];
    assert_eq!((departure.from, departure.until), (START + 1800 * SECOND, START + 2040 * SECOND));
    assert!(says(
        &finding,
        "compliant did not hold: excursion from 2026-01-01T00:30:00Z until 2026-01-01T00:34:00Z"
    ));
}

#[test]
fn a_liar_among_three_is_excluded_and_named() {
    let (mut plan, mut observed) = three_good(0.1);
    plan.belief = Some(cold_chain());
    plan.falsification.axioms = vec![agreement("temperature", 1.0)];
    plan.arbitration.method = Method::Marzullo;
    observed[1].observation.series[0].values = vec![20.0; 60];
    let finding = conclude(&plan, &observed, &[]);
    assert_eq!(finding.verdict, Verdict::Verified);
    assert_eq!(finding.exclusion_counts.len(), 1);
    let count = &finding.exclusion_counts[0];
    assert_eq!((count.instrument.as_str(), count.axiom, count.readings), ("b", Some(0), 60));
    assert!(finding.exclusions.iter().all(|one| one.margin.unwrap() > 13.0));
    assert!(says(&finding, "determined by 2 of 3 instruments"));
    // With a guarantee against one liar, two that are left are too few.
    plan.arbitration.max_faulty = 1;
    let finding = conclude(&plan, &observed, &[]);
    assert_eq!(finding.verdict, Verdict::Inconclusive);
    assert!(finding.estimates.is_empty());
    assert!(finding.undetermined[0].reason.contains("needs at least 3 instruments, and 2 are left"));
}

#[test]
fn nothing_left_is_inconclusive_and_never_a_number() {
    let (mut plan, observed) = three_good(0.1);
    plan.falsification.axioms = vec![bounds("temperature", "Cel", 50.0, 60.0)];
    let finding = conclude(&plan, &observed, &[]);
    assert_eq!(finding.verdict, Verdict::Inconclusive);
    assert!(finding.estimates.is_empty());
    assert_eq!(finding.undetermined[0].reason, "all its readings (180) were excluded");
    assert_eq!(finding.instruments[0].excluded, 60);

    let finding = conclude(&plan, &[], &[]);
    assert_eq!(
        (finding.verdict, finding.reasons[0].as_str()),
        (Verdict::Inconclusive, "there is no reading")
    );
}

#[test]
fn failed_steps_are_named_and_matter_only_where_nothing_is_left() {
    let (mut plan, observed) = three_good(0.1);
    let failure = StepFailure {
        instrument: "c".to_owned(),
        step: "observe-c".to_owned(),
        message: "trapped: unreachable".to_owned(),
    };
    let finding = conclude(&plan, &observed[..2], std::slice::from_ref(&failure));
    assert_eq!(finding.verdict, Verdict::Verified);
    assert!(says(&finding, "step observe-c of instrument c brought no readings: trapped: unreachable"));
    plan.falsification.axioms = vec![bounds("humidity", "%", 0.0, 100.0)];
    let finding = conclude(&plan, &observed[..2], &[failure]);
    assert_eq!(finding.verdict, Verdict::Inconclusive);
    assert_eq!(finding.undetermined[0].quantity, "humidity");
}

#[test]
fn one_reading_without_uncertainty_is_no_estimate() {
    let plan = plan(&["a"]);
    let mut one = reading("temperature", Value::Number(5.0), "Cel");
    let finding = conclude(&plan, &[of_readings("a", vec![one.clone()])], &[]);
    assert_eq!(finding.verdict, Verdict::Inconclusive);
    assert!(finding.undetermined[0].reason.contains("one reading without a stated uncertainty"));
    one.uncertainty = Some(0.2);
    let finding = conclude(&plan, &[of_readings("a", vec![one])], &[]);
    assert_eq!((finding.verdict, finding.estimates[0].standard_uncertainty), (Verdict::Verified, 0.2));
    assert_eq!(finding.reasons[0], "temperature was determined by 1 instrument: 5.00 ± 0.40 Cel (k = 2)");
}

#[test]
fn units_are_converted_and_foreign_ones_excluded() {
    let plan = plan(&["a", "b", "c"]);
    let with_u = |value, unit: &str| {
        let mut one = reading("temperature", Value::Number(value), unit);
        one.uncertainty = Some(0.1);
        one
    };
    let finding = conclude(
        &plan,
        &[
            of_readings("a", vec![with_u(5.0, "Cel")]),
            of_readings("b", vec![with_u(278.15, "K")]),
            of_readings("c", vec![with_u(5.0, "m")]),
        ],
        &[],
    );
    let estimate = &finding.estimates[0];
    assert_eq!((estimate.unit.as_str(), estimate.contributions.len()), ("Cel", 2));
    assert!((estimate.value - 5.0).abs() < 1e-9);
    assert_eq!(excluded(&finding), [("c", 0, None)]);
    assert_eq!(finding.exclusions[0].rule, "temperature has a unit that converts to Cel");
    assert_eq!((finding.exclusions[0].value, finding.exclusions[0].unit.as_str()), (Some(5.0), "m"));
}

#[test]
fn an_axiom_in_another_unit_is_compared_there() {
    let mut plan = plan(&["a"]);
    plan.falsification.axioms = vec![bounds("temperature", "[degF]", 32.0, 50.0)];
    let finding = conclude(&plan, &[of_series("a", temperatures(&[5.0, 9.0, 11.0, 5.0], 0.1))], &[]);
    assert_eq!(excluded(&finding), [("a", 2, Some(0))]);
    assert!((finding.exclusions[0].margin.unwrap() - 1.8).abs() < 1e-9, "in °F");
}

#[test]
fn what_is_no_number_never_gets_in() {
    let mut plan = plan(&["a", "b"]);
    plan.belief = Some(cold_chain());
    let mut series = temperatures(&[5.0, f64::NAN, f64::INFINITY, 5.1, 1e300, 5.2], 0.1);
    series.uncertainties = vec![0.1, 0.1, 0.1, f64::NAN, 0.1, 0.1];
    let mut ragged = temperatures(&[5.0, 5.0, 5.0], 0.1);
    ragged.times.pop();
    let mut doubtful = reading("temperature", Value::Number(5.0), "Cel");
    doubtful.confidence = f64::NAN;
    let mut b = of_readings("b", vec![doubtful]);
    b.observation.series.push(ragged);
    let finding = conclude(&plan, &[of_series("a", series), b], &[]);
    assert_eq!(
        excluded(&finding),
        [
            ("a", 1, None),
            ("a", 2, None),
            ("a", 3, None),
            ("a", 4, None),
            ("b", 0, None),
            ("b", 1, None),
            ("b", 2, None),
            ("b", 3, None)
        ]
    );
    assert_eq!(finding.estimates[0].readings, 2);
    let json = serde_json::to_string(&finding).unwrap();
    let back: Finding = serde_json::from_str(&json).unwrap();
    assert_eq!(back, finding, "JSON has no NaN, so none may come out");
}

#[test]
fn confidence_below_the_minimum_does_not_count() {
    let mut plan = plan(&["a"]);
    plan.arbitration.minimum_confidence = 0.5;
    let mut one = reading("temperature", Value::Number(5.0), "Cel");
    one.uncertainty = Some(0.1);
    let mut other = one.clone();
    other.confidence = 0.3;
    let finding = conclude(&plan, &[of_readings("a", vec![one, other])], &[]);
    assert_eq!(excluded(&finding), [("a", 1, None)]);
    assert_eq!(finding.exclusions[0].rule, "confidence at least 0.5");
    assert!((finding.exclusions[0].margin.unwrap() - 0.2).abs() < 1e-12);
}

#[test]
fn expressions_see_the_reading_and_its_neighbours() {
    let mut plan = plan(&["a", "b"]);
    let both = |id: &str, t: [f64; 4], h: [f64; 4]| {
        let mut humidity = temperatures(&h, 1.0);
        humidity.quantity = "humidity".to_owned();
        humidity.unit = "%".to_owned();
        let mut one = of_series(id, temperatures(&t, 0.1));
        one.observation.series.push(humidity);
        one
    };
    let observed =
        [both("a", [5.0, 6.0, 7.0, 30.0], [50.0, 101.0, 40.0, 45.0]), both("b", [5.0; 4], [50.0; 4])];
    let run = |text: &str| {
        let mut plan = plan.clone();
        plan.falsification.axioms = vec![expression(text)];
        conclude(&plan, &observed, &[])
    };
    // Names a quantity only: speaks of its readings, and not of the temperatures of the same moment.
    assert_eq!(excluded(&run("humidity >= 0 && humidity <= 100")), [("a", 5, Some(0))]);
    // The first reading of each record has no previous one.
    assert_eq!(excluded(&run("quantity != 'temperature' || value - previous < 5.0")), [("a", 3, Some(0))]);
    assert_eq!(
        excluded(&run("quantity != 'temperature' || others.all(o, o - value < 1.5 && value - o < 1.5)")),
        [("a", 2, Some(0)), ("a", 3, Some(0)), ("b", 2, Some(0)), ("b", 3, Some(0))]
    );
    // Another quantity of the same instrument at the same moment.
    assert_eq!(excluded(&run("quantity != 'temperature' || value < humidity - 20.0")), [("a", 3, Some(0))]);
    assert_eq!(
        excluded(&run("instrument == 'b' || step == 'observe-b' || time < 1767225780000000000")).len(),
        2
    );

    // A name that nothing measures applies to nothing, and says so.
    let finding = run("humidty <= 100");
    assert!(finding.exclusions.is_empty());
    assert!(says(&finding, "axiom 1 names humidty, of which there is no reading"));

    // An error excludes, and is told.
    let finding = run("attributes.channel == 1");
    assert_eq!(finding.instruments[0].excluded, 8);
    assert!(finding.exclusions[0].rule.contains("could not be evaluated: No such key: channel"));
    assert!(says(&finding, "could not be evaluated: No such key: channel"));
    plan.falsification.axioms = vec![expression("value >")];
    assert_eq!(conclude(&plan, &observed, &[]).verdict, Verdict::Inconclusive);
}

#[test]
fn axioms_apply_in_a_fixed_order() {
    // The spike is beyond the bounds, so the rate axiom, which comes first in the manifest, never sees it.
    let mut plan = plan(&["a"]);
    plan.falsification.axioms =
        vec![rate("temperature", 2.0, 60 * SECOND), bounds("temperature", "Cel", 0.0, 100.0)];
    let finding = conclude(&plan, &[of_series("a", temperatures(&[5.0, 500.0, 5.0, 20.0, 5.0], 0.1))], &[]);
    assert_eq!(excluded(&finding), [("a", 1, Some(1)), ("a", 3, Some(0))]);
    assert_eq!(finding.exclusions[1].rule, "temperature changes by at most 2 in 1 min");
}

#[test]
fn a_list_of_exclusions_is_cut_and_the_counts_are_not() {
    let mut plan = plan(&["a"]);
    plan.falsification.axioms = vec![bounds("temperature", "Cel", 0.0, 1.0)];
    let finding = conclude(&plan, &[of_series("a", temperatures(&vec![5.0; 5000], 0.1))], &[]);
    assert_eq!(finding.exclusions.len(), MAX_LISTED_EXCLUSIONS);
    assert_eq!(finding.exclusion_counts[0].readings, 5000);
    assert_eq!(finding.instruments[0].excluded, 5000);
}

#[test]
fn categorical_readings_are_counted() {
    let tag = |text: &str| reading("tag", Value::Text(text.to_owned()), "1");
    let finding = conclude(&plan(&["rfid"]), &[of_readings("rfid", vec![tag("x"), tag("y"), tag("x")])], &[]);
    assert_eq!(finding.verdict, Verdict::Verified);
    assert_eq!(finding.observations[0].values, [("x".to_owned(), 2), ("y".to_owned(), 1)]);
    assert!(!finding.reasons.is_empty());
}

#[test]
fn tests_that_cannot_run_say_why() {
    let (mut plan, observed) = three_good(0.1);
    let test = |test, groups: &[&str], parameters: &[(&str, serde_json::Value)]| StatisticalTest {
        test,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
    };
    plan.analysis.statistical = vec![
        test(TestKind::Anova, &[], &[("alhpa", 0.1.into())]),
        test(TestKind::TTest, &[], &[]),
        test(TestKind::TTest, &["a", "z"], &[]),
        test(TestKind::Correlation, &["a", "b"], &[]),
        test(TestKind::TTest, &["a", "b"], &[("paired", true.into())]),
        test(TestKind::Regression, &["a"], &[]),
        test(TestKind::MeanComparison, &[], &[("quantity", "temperature".into())]),
        test(TestKind::TTest, &["a"], &[("mu", 4.0.into())]),
    ];
    let finding = conclude(&plan, &observed, &[]);
    let refused: Vec<Option<&str>> = finding.tests.iter().map(|test| test.refused.as_deref()).collect();
    assert_eq!(refused[0], Some("anova has no parameter `alhpa`; it knows quantity, alpha"));
    assert!(refused[1].unwrap().contains("and 3 have readings"));
    assert_eq!(refused[2], Some("instrument z has no reading of temperature that is left"));
    assert_eq!(refused[3..], [None; 5]);
    assert_eq!(finding.verdict, Verdict::Verified, "tests are an extra");
    let figure = |at: usize, name: &str| {
        finding.tests[at]
            .figures
            .iter()
            .find(|(known, _)| known == name)
            .unwrap_or_else(|| panic!("{name}"))
            .1
    };
    assert_eq!(figure(3, "n"), 60.0);
    assert_eq!(figure(4, "pairs"), 60.0);
    assert!(figure(5, "slope").abs() < 1e-3);
    assert_eq!(figure(6, "n(a)"), 60.0);
    assert!(figure(7, "p_value") < 1e-9);
}

#[test]
fn instruments_that_sample_at_their_own_times_meet_in_moments() {
    let mut plan = plan(&["a", "b", "c"]);
    plan.arbitration.max_faulty = 1;
    let shifted = |id: &str, by: i64| {
        let mut series = temperatures(&record(5.0, 0.05, 30, by.unsigned_abs()), 0.1);
        for time in &mut series.times {
            *time += by * SECOND;
        }
        of_series(id, series)
    };
    let finding = conclude(&plan, &[shifted("a", 0), shifted("b", 7), shifted("c", 20)], &[]);
    let course = &finding.estimates[0].course;
    assert_eq!(course.len(), 30);
    assert!(course.iter().all(|moment| moment.instruments == 3));
    assert_eq!(course[0].time, START + 9 * SECOND, "the mean of 0, 7 and 20 s");
}

#[test]
fn readings_of_diagnostic_steps_do_not_count() {
    let (mut plan, observed) = three_good(0.1);
    for step in &mut plan.steps {
        if let inquisitor_manifest::plan::Action::Observe { counts, instrument, .. } = &mut step.action {
            *counts = instrument != "c";
        }
    }
    let finding = conclude(&plan, &observed, &[]);
    assert_eq!(finding.estimates[0].contributions.len(), 2);
    assert_eq!(finding.instruments[2].readings, 0);
}

#[test]
fn a_million_readings_of_every_axiom() {
    let n = 1_000_000;
    let mut plan = plan(&["a"]);
    plan.falsification.axioms = vec![
        bounds("temperature", "Cel", -50.0, 50.0),
        rate("temperature", 2.0, 60 * SECOND),
        agreement("temperature", 3.0),
    ];
    plan.belief = Some(cold_chain());
    let mut values = record(5.0, 0.1, n, 7);
    values[123_456] = 99.0;
    values[654_321] = 12.0;
    let finding = conclude(&plan, &[of_series("a", temperatures(&values, 0.1))], &[]);
    assert_eq!(excluded(&finding), [("a", 123_456, Some(0)), ("a", 654_321, Some(1))]);
    assert_eq!(finding.verdict, Verdict::Verified);
    assert_eq!(finding.estimates[0].course.len(), 10_000);
    assert_eq!(finding.estimates[0].readings, n - 2);
    assert!(says(&finding, "10000 of 999998 moments"));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn one_of(values: &'static [f64]) -> impl Strategy<Value = f64> {
        prop_oneof![3 => 4.0..6.0_f64, 1 => prop::sample::select(values)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_reading_that_satisfies_everything_is_never_excluded(
            records in prop::collection::vec(prop::collection::vec(4.9..5.1_f64, 1..20), 1..5),
        ) {
            // All within bounds, within rate of each other, and within the distance of any centre.
            let ids = ["a", "b", "c", "d", "e"];
            let mut plan = plan(&ids[..records.len()]);
            plan.falsification.axioms = vec![
                bounds("temperature", "Cel", 4.9, 5.1),
                rate("temperature", 0.2, 60 * SECOND),
                agreement("temperature", 0.2),
                expression("value >= 4.9 && others.all(o, o < 6.0)"),
            ];
            let observed: Vec<Observed> =
                ids.iter().zip(&records).map(|(id, values)| of_series(id, temperatures(values, 0.1))).collect();
            let finding = conclude(&plan, &observed, &[]);
            prop_assert!(finding.exclusions.is_empty(), "{:?}", finding.exclusions);
            prop_assert_eq!(finding.verdict, Verdict::Verified);
        }

        #[test]
        fn whatever_is_said_the_finding_is_sound(
            records in prop::collection::vec(
                prop::collection::vec(
                    one_of(&[f64::NAN, f64::INFINITY, 1e308, -1e308, 1e99, -1e-300, 0.0, 200.0]), 0..12),
                0..5),
            uncertainty in one_of(&[f64::NAN, 0.0, -1.0, 1e-300, 1e308]),
            confidence in one_of(&[f64::NAN, 0.0, 1.0, 2.0]),
            method in prop::sample::select(&[
                Method::WeightedMean, Method::Median, Method::Huber,
                Method::DersimonianLaird, Method::Marzullo, Method::BrooksIyengar,
            ][..]),
            max_faulty in 0..2_u32,
        ) {
            let ids = ["a", "b", "c", "d", "e"];
            let mut plan = plan(&ids);
            plan.arbitration.method = method;
            plan.arbitration.max_faulty = max_faulty;
            plan.belief = Some(cold_chain());
            plan.falsification.axioms = vec![
                bounds("temperature", "K", 0.0, 400.0),
                rate("temperature", 5.0, 60 * SECOND),
                agreement("temperature", 3.0),
            ];
            plan.analysis.statistical = [
                TestKind::MeanComparison, TestKind::TTest, TestKind::Anova, TestKind::Correlation, TestKind::Regression,
            ].map(|test| StatisticalTest { test, groups: Vec::new(), parameters: Parameters::new() }).to_vec();
            let observed: Vec<Observed> = ids
                .iter()
                .zip(&records)
                .map(|(id, values)| {
                    let mut series = temperatures(values, uncertainty);
                    series.confidence = confidence.min(1.0);
                    of_series(id, series)
                })
                .collect();
            let finding = conclude(&plan, &observed, &[]);
            // NaN and infinities become null in JSON, and null does not read back as a number.
            let json = serde_json::to_string(&finding).unwrap();
            let back: Finding = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&back, &finding);
            prop_assert!(!finding.reasons.is_empty());
            let given: usize = records.iter().map(Vec::len).sum();
            let counted: usize = finding.instruments.iter().map(|one| one.readings).sum();
            prop_assert_eq!(given, counted);
            let excluded: usize = finding.exclusion_counts.iter().map(|one| one.readings).sum();
            let summed: usize = finding.instruments.iter().map(|one| one.excluded).sum();
            prop_assert_eq!(excluded, summed);
            prop_assert_eq!(finding.exclusions.len(), excluded);
            let kept: usize = finding.estimates.iter().map(|one| one.readings).sum();
            prop_assert!(kept == given - excluded || !finding.undetermined.is_empty());
        }

        #[test]
        fn the_number_of_instruments_and_their_order_do_not_break_determinism(
            records in prop::collection::vec(prop::collection::vec(4.0..6.0_f64, 1..8), 2..5),
            rotation in 0..4_usize,
        ) {
            let ids = ["a", "b", "c", "d", "e"];
            let plan = plan(&ids);
            let mut observed: Vec<Observed> =
                ids.iter().zip(&records).map(|(id, values)| of_series(id, temperatures(values, 0.1))).collect();
            let one = conclude(&plan, &observed, &[]);
            let by = rotation % observed.len();
            observed.rotate_left(by);
            prop_assert_eq!(conclude(&plan, &observed, &[]), one);
        }
    }
}

#[test]
fn attributes_reach_expressions() {
    let mut plan = plan(&["a"]);
    plan.falsification.axioms =
        vec![expression("attributes.channel == 1 && attributes.tag.startsWith('E2')")];
    let with = |channel, tag: &str| {
        let mut one = reading("temperature", Value::Number(5.0), "Cel");
        one.attributes = BTreeMap::from([
            ("channel".to_owned(), Value::Integer(channel)),
            ("tag".to_owned(), Value::Text(tag.to_owned())),
        ]);
        one
    };
    let finding =
        conclude(&plan, &[of_readings("a", vec![with(1, "E200"), with(2, "E200"), with(1, "A0")])], &[]);
    assert_eq!(excluded(&finding), [("a", 1, Some(0)), ("a", 2, Some(0))]);
}
