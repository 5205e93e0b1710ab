//! Findings that the tests of this crate render.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;

use inquisitor_findings::finding::{
    BeliefFinding, Categorical, Contribution, Departure, Estimate, Exclusion, ExclusionCount, Finding,
    Heterogeneity, InstrumentSummary, Moment, TestResult, Undetermined, Verdict,
};
use inquisitor_findings::reading::{Observation, Observed, Reading, Series, Value};
use inquisitor_manifest::plan::{Plan, PlannedInstrument};
use inquisitor_manifest::spec::{
    Analysis, Arbitration, Axiom, Belief, Capabilities, ChartKind, Execution, Falsification, Limits,
    Parameters, Reporting, StateRange, Visualization,
};
use inquisitor_report::{ReportInput, StepOutcome};

/// 2026-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_767_225_600_000_000_000;
pub(crate) const MINUTE: i64 = 60_000_000_000;
pub(crate) const INQUIRY: &str = "019b76da-a800-7000-8000-000000000001";
pub(crate) const ROOT: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// Everything that a report is made of.
pub(crate) struct Case {
    pub(crate) plan: Plan,
    pub(crate) finding: Finding,
    pub(crate) steps: Vec<StepOutcome>,
    pub(crate) observed: Vec<Observed>,
}

impl Case {
    pub(crate) fn input(&self) -> ReportInput<'_> {
        ReportInput {
            inquiry: INQUIRY,
            plan: &self.plan,
            finding: &self.finding,
            submitted: START,
            checkpoint: Some((14, ROOT)),
            steps: &self.steps,
        }
    }
}

fn plan(name: &str, instruments: &[&str]) -> Plan {
    let instrument = |id: &&str| {
        let planned = PlannedInstrument {
            plugin: "thermal".into(),
            version: "1.2.0".into(),
            digest: "ab".repeat(32),
            parameters: Parameters::new(),
            probe_interval: None,
        };
        ((*id).to_owned(), planned)
    };
    Plan {
        manifest_id: "cold-chain".into(),
        name: name.into(),
        manifest_digest: "cd".repeat(32),
        tenant: None,
        kind: None,
        tags: Vec::new(),
        instruments: instruments.iter().map(instrument).collect(),
        steps: Vec::new(),
        substrate: None,
        execution: Execution::default(),
        preflight: Vec::new(),
        falsification: Falsification::default(),
        arbitration: Arbitration::default(),
        belief: None,
        analysis: Analysis::default(),
        reporting: Reporting::default(),
        limits: Limits::default(),
        capabilities: Capabilities::default(),
    }
}

fn finding(verdict: Verdict, reasons: &[&str]) -> Finding {
    Finding {
        verdict,
        reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
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

fn step(name: &str, instrument: &str, outcome: &str, message: Option<&str>) -> StepOutcome {
    StepOutcome {
        step: name.into(),
        phase: "execution".into(),
        instrument: Some(instrument.into()),
        attempts: 1,
        outcome: outcome.into(),
        message: message.map(str::to_owned),
        readings: usize::from(outcome == "completed"),
    }
}

fn summary(instrument: &str, readings: usize, excluded: usize) -> InstrumentSummary {
    InstrumentSummary { instrument: instrument.into(), readings, excluded }
}

fn contribution(instrument: &str, value: f64, u: f64, weight: f64, agrees: bool) -> Contribution {
    Contribution {
        instrument: instrument.into(),
        value,
        standard_uncertainty: u,
        weight,
        readings: 40,
        agrees,
    }
}

fn estimate(quantity: &str, unit: &str, value: f64, u: f64, contributions: Vec<Contribution>) -> Estimate {
    Estimate {
        quantity: quantity.into(),
        unit: unit.into(),
        value,
        standard_uncertainty: u,
        coverage_factor: 2.0,
        expanded_uncertainty: 2.0 * u,
        interval: None,
        method: "weighted_mean".into(),
        readings: 40 * contributions.len(),
        contributions,
        heterogeneity: None,
        course: Vec::new(),
    }
}

/// An echo answered; there is nothing to estimate.
pub(crate) fn hello_world() -> Case {
    let mut finding = finding(
        Verdict::Verified,
        &["1 reading was taken, none was excluded, and none is a number to estimate"],
    );
    finding.instruments = vec![summary("echo_probe", 1, 0)];
    finding.observations = vec![Categorical {
        instrument: "echo_probe".into(),
        quantity: "message".into(),
        readings: 1,
        values: vec![("Hello, World!".into(), 1)],
    }];
    Case {
        plan: plan("Hello World Inquiry", &["echo_probe"]),
        finding,
        steps: vec![
            step("greeting", "echo_probe", "completed", None),
            step("hello_world", "echo_probe", "completed", None),
        ],
        observed: Vec::new(),
    }
}

fn cold_chain_plan() -> Plan {
    let mut plan = plan("Cold chain of lot 7", &["north", "south", "door", "lost"]);
    plan.tenant = Some("pharma-eu".into());
    plan.kind = Some("COMPLIANCE".into());
    plan.falsification.axioms = vec![
        Axiom::Bounds {
            quantity: "temperature".into(),
            unit: Some("Cel".into()),
            min: Some(-273.15),
            max: Some(100.0),
        },
        Axiom::Rate { quantity: "temperature".into(), unit: None, max_rate: 2.0, per: 60_000_000_000 },
        Axiom::Expression { expression: "humidity >= 0 && humidity <= 100".into() },
    ];
    plan.belief = Some(Belief {
        states: vec!["compliant".into(), "excursion".into()],
        quantity: "temperature".into(),
        ranges: BTreeMap::from([(
            "compliant".into(),
            StateRange { min: Some(2.0), max: Some(8.0), unit: Some("Cel".into()) },
        )]),
        transition: BTreeMap::new(),
        decide_at: 0.95,
    });
    plan.analysis.visualizations = vec![
        visualization(ChartKind::TimeSeries, "{}"),
        visualization(ChartKind::Histogram, r#"{"bins": 8}"#),
    ];
    plan
}

pub(crate) fn visualization(kind: ChartKind, parameters: &str) -> Visualization {
    Visualization { kind, parameters: serde_json::from_str(parameters).unwrap() }
}

/// Temperatures of one sensor every minute, near 5 Cel.
fn temperatures(instrument: &str, offset: f64, broken_at: Option<usize>) -> Observed {
    let value = |row: usize| 5.0 + offset + 0.3 * ((row * 7 % 12) as f64 / 12.0 - 0.5);
    let values = (0..40).map(|row| if Some(row) == broken_at { 450.0 } else { value(row) }).collect();
    Observed {
        instrument: instrument.into(),
        step: format!("observe-{instrument}"),
        time: START,
        observation: Observation {
            readings: vec![reading("humidity", 45.0 + offset, "%")],
            series: vec![Series {
                quantity: "temperature".into(),
                unit: "Cel".into(),
                times: (0..40).map(|row| START + row * MINUTE).collect(),
                values,
                uncertainties: vec![0.1],
                confidence: 1.0,
                attributes: BTreeMap::new(),
            }],
        },
    }
}

pub(crate) fn reading(quantity: &str, value: f64, unit: &str) -> Reading {
    Reading {
        quantity: quantity.into(),
        value: Value::Number(value),
        unit: unit.into(),
        uncertainty: None,
        confidence: 1.0,
        time: None,
        attributes: BTreeMap::new(),
    }
}

/// A store that stayed cold, seen by sensors of which one has a broken moment and one is lost.
pub(crate) fn cold_chain() -> Case {
    let mut finding = finding(
        Verdict::Verified,
        &[
            "compliant held throughout with a probability of more than 0.999999 (decided from 0.95), by temperature at 40 moments",
            "temperature was determined by 2 instruments: 5.021 ± 0.059 Cel (k = 2)",
            "humidity was determined by 2 instruments: 45.0 ± 4.0 % (k = 2)",
            "3 readings of 86 excluded by: temperature within [-273.15, 100] Cel (axiom 1)",
            "step observe-lost of instrument lost brought no readings: memory limit: 65536 bytes allowed, 131072 needed",
        ],
    );
    let mut temperature = estimate(
        "temperature",
        "Cel",
        5.0213,
        0.0294,
        vec![contribution("north", 5.08, 0.05, 0.62, true), contribution("south", 4.93, 0.064, 0.38, true)],
    );
    temperature.heterogeneity = Some(Heterogeneity {
        q: 3.41,
        degrees_of_freedom: 1,
        p_value: 0.0648,
        i_squared: 0.707,
        tau_squared: 0.0079,
        birge_ratio: 1.847,
    });
    let moment = |row: i64| Moment {
        time: START + row * MINUTE,
        value: 5.02 + 0.05 * (row % 5) as f64,
        standard_uncertainty: 0.07,
        instruments: 2,
    };
    temperature.course = (0..40).map(moment).collect();
    let mut humidity = estimate(
        "humidity",
        "%",
        45.02,
        2.0,
        vec![contribution("north", 45.1, 2.8, 0.5, true), contribution("south", 44.9, 2.8, 0.5, true)],
    );
    humidity.interval = Some((43.0, 47.0));
    finding.estimates = vec![temperature, humidity];
    finding.exclusions = vec![Exclusion {
        instrument: "north".into(),
        step: "observe-north".into(),
        index: 8,
        quantity: "temperature".into(),
        value: Some(450.0),
        unit: "Cel".into(),
        time: START + 7 * MINUTE,
        axiom: Some(0),
        rule: "temperature within [-273.15, 100] Cel".into(),
        margin: Some(350.0),
    }];
    finding.exclusion_counts = vec![ExclusionCount {
        instrument: "north".into(),
        axiom: Some(0),
        rule: "temperature within [-273.15, 100] Cel".into(),
        readings: 3,
    }];
    finding.belief = Some(BeliefFinding {
        decision: Some("compliant".into()),
        asserted: "compliant".into(),
        held_throughout: 0.999_999_94,
        final_probabilities: vec![("compliant".into(), 0.9987), ("excursion".into(), 0.0013)],
        departures: Vec::new(),
        moments: 40,
    });
    finding.tests = vec![
        TestResult {
            test: "t_test".into(),
            quantity: "temperature".into(),
            groups: vec!["north".into(), "south".into()],
            figures: vec![("t".into(), 1.846_2), ("df".into(), 73.2), ("p_value".into(), 0.0689)],
            refused: None,
            conclusion: "the means do not differ at the level 0.05".into(),
        },
        TestResult {
            test: "anova".into(),
            quantity: "humidity".into(),
            groups: vec!["north".into()],
            figures: Vec::new(),
            refused: Some("needs at least two groups".into()),
            conclusion: "not run".into(),
        },
    ];
    finding.instruments = vec![summary("north", 41, 3), summary("south", 41, 0), summary("door", 4, 0)];
    finding.observations = vec![Categorical {
        instrument: "door".into(),
        quantity: "door_open".into(),
        readings: 4,
        values: vec![("false".into(), 3), ("true".into(), 1)],
    }];
    Case {
        plan: cold_chain_plan(),
        finding,
        steps: vec![
            step("observe-north", "north", "completed", None),
            step("observe-south", "south", "completed", None),
            step(
                "observe-lost",
                "lost",
                "memory-limit",
                Some("memory limit: 65536 bytes allowed, 131072 needed"),
            ),
            StepOutcome { attempts: 0, ..step("compare", "lost", "skipped", Some("observe-lost failed")) },
        ],
        observed: vec![temperatures("north", 0.05, Some(7)), temperatures("south", -0.07, None)],
    }
}

/// The same store, too warm for a while.
pub(crate) fn falsified() -> Case {
    let mut case = cold_chain();
    case.finding.verdict = Verdict::Falsified;
    case.finding.reasons = vec![
        "compliant did not hold: excursion from 2026-01-01T00:10:00Z until 2026-01-01T00:25:00Z with a probability of 0.999873, temperature reaching 9.41 Cel, the first of 2 departures".into(),
    ];
    let departure = |from: i64, until: i64, extreme: f64| Departure {
        state: "excursion".into(),
        from: START + from * MINUTE,
        until: START + until * MINUTE,
        probability: 0.999_873,
        extreme,
    };
    case.finding.belief = Some(BeliefFinding {
        decision: Some("excursion".into()),
        asserted: "compliant".into(),
        held_throughout: 1.2e-9,
        final_probabilities: vec![("compliant".into(), 0.97), ("excursion".into(), 0.03)],
        departures: vec![departure(10, 25, 9.41), departure(33, 33, 8.6)],
        moments: 40,
    });
    let temperature = &mut case.finding.estimates[0];
    temperature.contributions[1].agrees = false;
    temperature.heterogeneity.as_mut().unwrap().p_value = 0.0004;
    case
}

/// Nearly nothing is left.
pub(crate) fn inconclusive() -> Case {
    let mut case = cold_chain();
    case.finding = finding(
        Verdict::Inconclusive,
        &[
            "no state is decided: compliant held throughout with a probability of 0.71, and 0.95 is needed; at the last of 3 moments: compliant 0.71, excursion 0.29",
            "humidity could not be determined: fewer than 3 instruments are left, and Marzullo's method with max_faulty 1 needs 3",
        ],
    );
    case.finding.undetermined = vec![Undetermined {
        quantity: "humidity".into(),
        reason: "fewer than 3 instruments are left, and Marzullo's method with max_faulty 1 needs 3".into(),
    }];
    case.finding.belief = Some(BeliefFinding {
        decision: None,
        asserted: "compliant".into(),
        held_throughout: 0.71,
        final_probabilities: vec![("compliant".into(), 0.71), ("excursion".into(), 0.29)],
        departures: Vec::new(),
        moments: 3,
    });
    case.finding.instruments = vec![summary("north", 3, 0)];
    case
}

/// What a plugin and a manifest would write to break out of a report.
pub(crate) const HOSTILE: &str =
    "</title><script>alert('x')</script> | `a` **b** [c](javascript:d) \u{1b}[2J\u{202e}&amp;";

/// A case in which every text is hostile.
pub(crate) fn hostile() -> Case {
    let case = falsified();
    // Every text of the finding and of the steps, whatever its field, through JSON.
    let finding: Finding =
        serde_json::from_value(poisoned(serde_json::to_value(&case.finding).unwrap())).unwrap();
    let mut plan = case.plan.clone();
    plan.name = HOSTILE.into();
    plan.tenant = Some(HOSTILE.into());
    plan.falsification.axioms.push(Axiom::Expression { expression: HOSTILE.into() });
    plan.instruments = BTreeMap::from([(
        HOSTILE.to_owned(),
        PlannedInstrument { plugin: HOSTILE.into(), ..plan.instruments["north"].clone() },
    )]);
    let poison = |step: &StepOutcome| StepOutcome {
        step: HOSTILE.into(),
        phase: HOSTILE.into(),
        instrument: Some(HOSTILE.into()),
        message: Some(HOSTILE.into()),
        outcome: HOSTILE.into(),
        ..step.clone()
    };
    let steps = case.steps.iter().map(poison).collect();
    let mut observed = case.observed.clone();
    for one in &mut observed {
        one.instrument = HOSTILE.into();
        one.observation.series[0].quantity = HOSTILE.into();
    }
    Case { plan, finding, steps, observed }
}

/// Every text replaced, save the verdict.
fn poisoned(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Json::String(text) if ["VERIFIED", "INCONCLUSIVE", "FALSIFIED"].contains(&text.as_str()) => {
            Json::String(text)
        }
        Json::String(_) => Json::String(HOSTILE.into()),
        Json::Array(items) => Json::Array(items.into_iter().map(poisoned).collect()),
        Json::Object(object) => {
            Json::Object(object.into_iter().map(|(name, value)| (name, poisoned(value))).collect())
        }
        other => other,
    }
}
