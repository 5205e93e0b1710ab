//! The statistical tests against values that NIST certifies, to nine significant digits.

mod common;

use std::collections::BTreeMap;

use common::{of_readings, plan, reading};
use inquisitor_findings::conclude;
use inquisitor_findings::finding::TestResult;
use inquisitor_findings::reading::{Observed, Reading, Value};
use inquisitor_manifest::plan::Plan;
use inquisitor_manifest::spec::{Parameters, StatisticalTest, TestKind};

/// Two columns of numbers after the line that begins with `Data:` for the second time.
fn columns(text: &str) -> Vec<(f64, f64)> {
    let data: Vec<&str> = text.lines().collect();
    let header = data.iter().rposition(|line| line.starts_with("Data:")).expect("a header");
    data[header + 1..]
        .iter()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(|word| word.parse().expect("a number"));
            Some((numbers.next()?, numbers.next().expect("two columns")))
        })
        .collect()
}

fn with_test(mut plan: Plan, test: TestKind, parameters: Parameters) -> Plan {
    plan.analysis.statistical.push(StatisticalTest { test, groups: Vec::new(), parameters });
    plan
}

fn run(plan: &Plan, observed: &[Observed]) -> TestResult {
    let finding = conclude(plan, observed, &[]);
    let result = finding.tests.into_iter().next().expect("a result");
    assert_eq!(result.refused, None);
    result
}

fn nine_digits(result: &TestResult, name: &str, certified: f64) {
    let figure = result.figures.iter().find(|(known, _)| known == name).expect(name).1;
    let error = ((figure - certified) / certified).abs();
    assert!(error < 1e-9, "{name}: {figure:e} is not {certified:e}, relative error {error:e}");
}

/// An analysis of variance of the whole way from readings to the finding, one instrument for each treatment.
fn anova(text: &str, between: (f64, f64), within: (f64, f64), f: f64, r_squared: f64, residual: f64) {
    let mut treatments: BTreeMap<i64, Vec<Reading>> = BTreeMap::new();
    for (treatment, value) in columns(text) {
        #[allow(clippy::cast_possible_truncation)]
        treatments.entry(treatment as i64).or_default().push(reading("response", Value::Number(value), "1"));
    }
    let names: Vec<String> = treatments.keys().map(|treatment| format!("t{treatment}")).collect();
    let ids: Vec<&str> = names.iter().map(String::as_str).collect();
    let observed: Vec<Observed> =
        ids.iter().zip(treatments.into_values()).map(|(id, readings)| of_readings(id, readings)).collect();
    let result = run(&with_test(plan(&ids), TestKind::Anova, Parameters::new()), &observed);
    nine_digits(&result, "df_between", between.0);
    nine_digits(&result, "ss_between", between.1);
    nine_digits(&result, "ms_between", between.1 / between.0);
    nine_digits(&result, "df_within", within.0);
    nine_digits(&result, "ss_within", within.1);
    nine_digits(&result, "ms_within", within.1 / within.0);
    nine_digits(&result, "f", f);
    nine_digits(&result, "r_squared", r_squared);
    nine_digits(&result, "residual_standard_deviation", residual);
}

#[test]
fn resistivity_of_silicon() {
    anova(
        include_str!("data/SiRstv.dat"),
        (4.0, 5.114_626_160_000_00E-02),
        (20.0, 2.166_365_600_000_00E-01),
        1.180_462_374_402_55,
        1.909_990_390_511_29E-01,
        1.040_760_683_346_56E-01,
    );
}

#[test]
fn simon_and_lesage() {
    anova(include_str!("data/SmLs01.dat"), (8.0, 1.68), (180.0, 1.8), 21.0, 4.827_586_206_896_55E-01, 0.1);
}

#[test]
fn atomic_weight_of_silver() {
    // Seven constant leading digits: about eight of the sixteen digits of a number are left for the differences.
    anova(
        include_str!("data/AtmWtAg.dat"),
        (1.0, 3.638_341_875_000_00E-09),
        (46.0, 1.049_517_291_666_67E-08),
        1.594_673_356_779_30E+01,
        2.574_265_445_383_21E-01,
        1.510_483_144_464_10E-05,
    );
}

#[test]
fn calibration_of_ozone_monitors() {
    let readings: Vec<Reading> = columns(include_str!("data/Norris.dat"))
        .into_iter()
        .map(|(y, x)| {
            let mut reading = reading("ozone", Value::Number(y), "1");
            reading.attributes.insert("x".to_owned(), Value::Number(x));
            reading
        })
        .collect();
    assert_eq!(readings.len(), 36);
    let mut parameters = Parameters::new();
    parameters.insert("x_attribute".to_owned(), "x".into());
    let result = run(
        &with_test(plan(&["monitor"]), TestKind::Regression, parameters),
        &[of_readings("monitor", readings)],
    );
    nine_digits(&result, "intercept", -0.262_323_073_774_029);
    nine_digits(&result, "intercept_standard_error", 0.232_818_234_301_152);
    nine_digits(&result, "slope", 1.002_116_818_020_45);
    nine_digits(&result, "slope_standard_error", 0.429_796_848_199_937E-03);
    nine_digits(&result, "residual_standard_deviation", 0.884_796_396_144_373);
    nine_digits(&result, "r_squared", 0.999_993_745_883_712);
    // F of the certified analysis of variance is the square of t.
    let t = result.figures.iter().find(|(name, _)| name == "t").expect("t").1;
    assert!((t * t / 5_436_385.540_797_85 - 1.0).abs() < 1e-9);
}
