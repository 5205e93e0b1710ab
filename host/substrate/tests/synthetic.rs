//! Generated rows never change: what these tests pin is part of the format.
#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Write as _;

use common::{SEED, batches, rows, synthetic, table};
use inquisitor_substrate::batch::{Batch, ColumnValues, Scalar, Selection};
use inquisitor_substrate::{check_parameters, open};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn table_of(generator: &str, parameters: &Value) -> String {
    table(&*open(&synthetic(generator, parameters), None, SEED).unwrap())
}

#[test]
fn echo_is_pinned() {
    insta::assert_snapshot!(table_of("echo", &json!({"prefix": "demo_"})));
    insta::assert_snapshot!(table_of("echo", &json!({"count": 3})));
    insta::assert_snapshot!(table_of("echo", &json!({"count": 0})));
}

#[test]
fn gaussian_is_pinned() {
    let parameters =
        json!({"mean": 5, "stddev": 0.5, "unit": "mol/L", "samples": 4, "interval": "1min", "seed": 1});
    insta::assert_snapshot!(table_of("gaussian", &parameters));
}

#[test]
fn temperature_is_pinned() {
    let parameters = json!({
        "baseline": 5, "amplitude": 1, "period": "4h", "noise": 0.05, "interval": "1h", "samples": 4,
        "start": "2026-03-01T12:00:00+01:00", "sensors": ["left", "right"],
    });
    insta::assert_snapshot!(table_of("temperature_simulator", &parameters));
}

#[test]
fn random_walk_is_pinned() {
    let shared = json!({"initial": 1, "min": 0, "max": 2, "noise": 0.01, "samples": 4, "sensors": 2});
    insta::assert_snapshot!(table_of("random_walk", &shared));
    let own = json!({"drift": 0.1, "step": 0.5, "samples": 3, "sensors": 2, "shared": false});
    insta::assert_snapshot!(table_of("random_walk", &own));
}

#[test]
fn faults_are_pinned() {
    let parameters = json!({
        "step": 0, "samples": 6, "interval": "1h", "sensors": ["a", "b", "c"],
        "faults": [
            {"kind": "drift", "sensor": "a", "rate": 2, "from": "1h", "until": "4h"},
            {"kind": "noise", "sensor": "b", "stddev": 1, "until": "2h"},
            {"kind": "stuck", "sensor": "b", "from": "2026-01-01T01:00:00Z", "until": "4h"},
            {"kind": "dropout", "sensor": "c", "from": "2h", "until": "4h"},
            {"kind": "spike", "magnitude": 100, "probability": 0.3},
            {"kind": "stuck", "sensor": "c", "from": "5h", "value": -7},
        ],
    });
    insta::assert_snapshot!(table_of("random_walk", &parameters));
}

/// Digest of every value, bit by bit.
fn digest(batches: &[Batch]) -> String {
    let mut hash = Sha256::new();
    for column in batches.iter().flat_map(|batch| &batch.columns) {
        match &column.values {
            ColumnValues::Number(values) => {
                values.iter().for_each(|value| hash.update(value.to_bits().to_le_bytes()));
            }
            ColumnValues::Integer(values) | ColumnValues::Timestamp(values) => {
                values.iter().for_each(|value| hash.update(value.to_le_bytes()));
            }
            ColumnValues::Text(values) => values.iter().for_each(|value| hash.update(value)),
            other => panic!("{other:?}"),
        }
        hash.update(column.present.clone().unwrap_or_default());
    }
    hex::encode(&hash.finalize()[..8])
}

#[test]
fn long_runs_are_pinned_to_the_bit() {
    let faults = json!([
        {"kind": "dropout", "probability": 0.1},
        {"kind": "spike", "magnitude": 9},
        {"kind": "noise", "sensor": "sensor-2", "stddev": 0.5, "from": "1d"},
    ]);
    let mut pinned = String::new();
    for (generator, parameters) in [
        ("gaussian", json!({"samples": 10_000})),
        (
            "temperature_simulator",
            json!({"samples": 5_000, "amplitude": 3, "sensors": 2, "faults": faults.clone()}),
        ),
        (
            "random_walk",
            json!({"samples": 5_000, "min": -5, "max": 5, "noise": 0.1, "sensors": 2, "interval": "1min", "faults": faults}),
        ),
    ] {
        let source = open(&synthetic(generator, &parameters), None, SEED).unwrap();
        let batches = batches(&*source, &Selection::default(), 10_000).unwrap();
        writeln!(pinned, "{generator} {}", digest(&batches)).unwrap();
    }
    insta::assert_snapshot!(pinned);
}

#[test]
fn the_seed_comes_from_the_inquiry_unless_the_manifest_gives_one() {
    let values = |parameters: Value, seed| {
        let source = open(&synthetic("gaussian", &parameters), None, seed).unwrap();
        rows(&*source, &Selection::default(), 1000).unwrap()
    };
    assert_eq!(values(json!({}), [1; 32]), values(json!({}), [1; 32]));
    assert_ne!(values(json!({}), [1; 32]), values(json!({}), [2; 32]));
    assert_eq!(values(json!({"seed": 7}), [1; 32]), values(json!({"seed": 7}), [2; 32]));
    assert_ne!(values(json!({"seed": 7}), [1; 32]), values(json!({"seed": 8}), [1; 32]));
}

#[test]
fn one_more_sensor_changes_no_other() {
    let of_first = |sensors: u32| {
        let parameters = json!({"sensors": sensors, "samples": 50, "noise": 0.1});
        let selection = Selection {
            where_equal: vec![("sensor".into(), Scalar::Text("sensor-1".into()))],
            ..Selection::default()
        };
        let source = open(&synthetic("random_walk", &parameters), None, SEED).unwrap();
        rows(&*source, &selection, 1000).unwrap()
    };
    assert_eq!(of_first(1), of_first(3));
    assert_eq!(of_first(3).len(), 50);
}

#[test]
fn wrong_parameters_are_all_named() {
    let problems = |generator: &str, parameters: Value| {
        let problems = check_parameters(&synthetic(generator, &parameters));
        problems
            .into_iter()
            .map(|problem| format!("{}: {}", problem.pointer, problem.message))
            .collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    all.extend(problems("gausian", json!({})));
    all.extend(problems("noise", json!({})));
    all.extend(problems("echo", json!({"prefix": 1, "cuont": 1, "seed": -1})));
    all.extend(problems(
        "gaussian",
        json!({"stddev": -1, "unit": "flurble", "samples": 0, "start": "yesterday"}),
    ));
    all.extend(problems("gaussian", json!({"samples": 100_000_000, "interval": "1d"})));
    all.extend(problems(
        "temperature_simulator",
        json!({"mean": 1, "baseline": 2, "sensors": 0, "humidity": 101}),
    ));
    all.extend(problems("random_walk", json!({"min": 2, "max": 1, "sensors": ["a", "a", 3]})));
    all.extend(problems(
        "random_walk",
        json!({"max": -1, "sensors": ["left"], "faults": [
            {"kind": "drift"}, {"kind": "drfit"}, {"kind": "noise", "stddev": 1, "sensor": "lef"},
            {"kind": "dropout", "probability": 2, "from": "2h", "until": "1h", "rate": 3}, "stuck",
        ]}),
    ));
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn the_bound_on_rows_counts_all_sensors() {
    let at = |samples: u64| {
        check_parameters(&synthetic("random_walk", &json!({"sensors": 1000, "samples": samples})))
    };
    assert_eq!(at(100_000), []);
    assert_eq!(at(100_001).len(), 1);
}
