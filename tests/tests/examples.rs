//! The findings of the examples, checked against what their folders say is expected.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use inquisitor_tests::{repository, run};
use serde_json::Value;

fn finding(example: &str) -> Value {
    let manifest = repository().join("examples").join(example).join("inquiry.yaml");
    let ended = run(["run", manifest.to_str().unwrap(), "--output", "json", "--quiet"]);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    ended.json()["finding"].clone()
}

fn expected(example: &str) -> Value {
    let file = repository().join("examples").join(example).join("expected.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// Everything that `expected` names is there; numbers agree to nine digits.
fn assert_holds(actual: &Value, expected: &Value, path: &str) {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            for (key, value) in expected {
                let found = actual.get(key).unwrap_or_else(|| panic!("{path}.{key} is missing"));
                assert_holds(found, value, &format!("{path}.{key}"));
            }
        }
        (Value::Array(actual), Value::Array(expected)) => {
            assert_eq!(actual.len(), expected.len(), "{path}: {actual:?}");
            for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
                assert_holds(actual, expected, &format!("{path}[{index}]"));
            }
        }
        (Value::Number(actual), Value::Number(expected)) => {
            let (actual, expected) = (actual.as_f64().unwrap(), expected.as_f64().unwrap());
            assert!((actual - expected).abs() <= 1e-9 * expected.abs(), "{path}: {actual} is not {expected}");
        }
        _ => assert_eq!(actual, expected, "{path}"),
    }
}

#[test]
fn hello_world() {
    assert_holds(&finding("hello-world"), &expected("hello-world"), "finding");
}

#[test]
fn cold_chain() {
    assert_holds(&finding("cold-chain"), &expected("cold-chain"), "finding");
}

#[test]
fn silicon_resistivity_meets_the_certified_values() {
    let finding = finding("silicon-resistivity");
    assert_holds(&finding, &expected("silicon-resistivity"), "finding");
    let figures: std::collections::BTreeMap<String, f64> = serde_json::from_value(Value::Object(
        finding["tests"][0]["figures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].clone()))
            .collect(),
    ))
    .unwrap();
    // NIST StRD, SiRstv.dat, lines 41 to 47.
    let certified = [
        ("f", 1.180_462_374_402_55),
        ("ss_between", 5.114_626_160_000_00E-02),
        ("ss_within", 2.166_365_600_000_00E-01),
        ("r_squared", 1.909_990_390_511_29E-01),
        ("residual_standard_deviation", 1.040_760_683_346_56E-01),
    ];
    for (name, value) in certified {
        let found = figures[name];
        assert!((found - value).abs() <= 1e-9 * value, "{name}: {found} is not {value} to nine digits");
    }
}
