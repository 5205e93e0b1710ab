//! Plans and observations for tests.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;

use inquisitor_findings::reading::{Observation, Observed, Reading, Series, Value};
use inquisitor_manifest::plan::{Action, Plan, PlannedInstrument, PlannedStep};
use inquisitor_manifest::spec::{
    Analysis, Arbitration, Axiom, Belief, Capabilities, Center, Execution, Falsification, Limits, Parameters,
    Reporting, StateRange,
};

pub const SECOND: i64 = 1_000_000_000;
/// 2026-01-01T00:00:00Z.
pub const START: i64 = 1_767_225_600 * SECOND;

/// A plan that observes each instrument once, in this order, in a step named `observe-ID`.
pub fn plan(instruments: &[&str]) -> Plan {
    let planned = PlannedInstrument {
        plugin: "thermal".to_owned(),
        version: "1.0.0".to_owned(),
        digest: "0".repeat(64),
        parameters: Parameters::new(),
        probe_interval: None,
    };
    Plan {
        manifest_id: "test".to_owned(),
        name: "Test".to_owned(),
        manifest_digest: "0".repeat(64),
        tenant: None,
        kind: None,
        tags: Vec::new(),
        instruments: instruments.iter().map(|id| ((*id).to_owned(), planned.clone())).collect(),
        steps: instruments
            .iter()
            .map(|id| PlannedStep {
                name: format!("observe-{id}"),
                phase: "execution".to_owned(),
                action: Action::Observe {
                    instrument: (*id).to_owned(),
                    parameters: Parameters::new(),
                    counts: true,
                },
                after: Vec::new(),
                needs: Vec::new(),
                break_on_failure: false,
            })
            .collect(),
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

pub fn observed(instrument: &str, observation: Observation) -> Observed {
    Observed {
        instrument: instrument.to_owned(),
        step: format!("observe-{instrument}"),
        time: START,
        observation,
    }
}

pub fn reading(quantity: &str, value: Value, unit: &str) -> Reading {
    Reading {
        quantity: quantity.to_owned(),
        value,
        unit: unit.to_owned(),
        uncertainty: None,
        confidence: 1.0,
        time: None,
        attributes: BTreeMap::new(),
    }
}

/// Readings of a temperature, one a minute, each with this uncertainty; none for NaN.
pub fn temperatures(values: &[f64], uncertainty: f64) -> Series {
    Series {
        quantity: "temperature".to_owned(),
        unit: "Cel".to_owned(),
        times: (0..).take(values.len()).map(|i| START + i * 60 * SECOND).collect(),
        values: values.to_vec(),
        uncertainties: if uncertainty.is_nan() { Vec::new() } else { vec![uncertainty] },
        confidence: 1.0,
        attributes: BTreeMap::new(),
    }
}

pub fn of_series(instrument: &str, series: Series) -> Observed {
    observed(instrument, Observation { readings: Vec::new(), series: vec![series] })
}

pub fn of_readings(instrument: &str, readings: Vec<Reading>) -> Observed {
    observed(instrument, Observation { readings, series: Vec::new() })
}

pub fn bounds(quantity: &str, unit: &str, min: f64, max: f64) -> Axiom {
    Axiom::Bounds {
        quantity: quantity.to_owned(),
        unit: Some(unit.to_owned()),
        min: Some(min),
        max: Some(max),
    }
}

pub fn rate(quantity: &str, max_rate: f64, per: i64) -> Axiom {
    Axiom::Rate { quantity: quantity.to_owned(), unit: None, max_rate, per: per.unsigned_abs() }
}

pub fn agreement(quantity: &str, agree_within: f64) -> Axiom {
    Axiom::Agreement { quantity: quantity.to_owned(), unit: None, agree_within, of: Center::Median }
}

pub fn expression(text: &str) -> Axiom {
    Axiom::Expression { expression: text.to_owned() }
}

pub fn cold_chain() -> Belief {
    let to = |state: &str, p: f64| BTreeMap::from([(state.to_owned(), p)]);
    Belief {
        states: vec!["compliant".to_owned(), "excursion".to_owned()],
        quantity: "temperature".to_owned(),
        ranges: BTreeMap::from([(
            "compliant".to_owned(),
            StateRange { min: Some(2.0), max: Some(8.0), unit: Some("Cel".to_owned()) },
        )]),
        transition: BTreeMap::from([
            ("compliant".to_owned(), to("excursion", 0.01)),
            ("excursion".to_owned(), to("compliant", 0.05)),
        ]),
        decide_at: 0.95,
    }
}

/// Numbers from 0 to 1 that look random and are always the same (SplitMix64).
pub fn noise(seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        #[allow(clippy::cast_precision_loss)]
        let unit = (z ^ (z >> 31)) as f64 / u64::MAX as f64;
        unit
    })
}
