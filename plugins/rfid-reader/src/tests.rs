use inquisitor_sdk::Value;
use inquisitor_sdk::testing::{Bench, Columns, Json, json};

use super::*;

const GATE: &str = "time,tag,rssi\n\
    2026-01-01T00:00:03Z,pallet-7,-60\n\
    2026-01-01T00:00:01Z,pallet-7,-50\n\
    2026-01-01T00:00:02Z,pallet-9,\n\
    2026-01-01T00:00:02Z,,-70\n";

fn bench(parameters: Json) -> Bench<RfidReader> {
    Bench::new().parameters(parameters).substrate(Columns::from_csv(GATE))
}

/// The presence of each tag with its confidence.
fn presences(observation: &Observation) -> Vec<(String, bool, f64)> {
    observation
        .readings()
        .iter()
        .filter(|reading| reading.quantity == "presence")
        .map(|reading| {
            let tag = reading.attributes[0].1.as_str().unwrap().to_owned();
            (tag, reading.value == Value::Boolean(true), reading.confidence)
        })
        .collect()
}

#[test]
fn tags_that_answered_are_present_and_missing_ones_absent_with_less_confidence() {
    let bench = bench(json!({ "expected": ["pallet-7", "pallet-8"], "confidence": 0.8 }));
    let observation = bench.observe(json!({})).unwrap();
    assert_eq!(
        presences(&observation),
        [
            ("pallet-7".to_owned(), true, 0.8),
            ("pallet-9".to_owned(), true, 0.8),
            ("pallet-8".to_owned(), false, 0.8 * 0.95)
        ]
    );
    assert_eq!(observation.readings()[0].value, Value::Integer(2));
    assert_eq!(bench.logs()[0].message, "1 rows have no tag; they are left out");
}

#[test]
fn the_last_answer_is_the_latest_in_time_and_signal_strengths_are_averaged() {
    let observation = bench(json!({})).observe(json!({})).unwrap();
    let last = observation.readings().last().unwrap();
    assert_eq!((last.quantity.as_str(), last.value.as_str()), ("last_tag", Some("pallet-7")));
    assert_eq!(last.time, Some(1_767_225_603_000_000_000));
    let seven = &observation.readings()[1].attributes;
    assert_eq!(
        seven[1..],
        [("answers".to_owned(), Value::Integer(2)), ("rssi".to_owned(), Value::Number(-55.0))]
    );
}

#[test]
fn events_drop_out_with_the_chance_asked_for() {
    let rows = 10_000;
    let table = Columns::new().integers("tag", (0..rows).map(|row| row % 3));
    let bench = Bench::<RfidReader>::new().parameters(json!({ "dropout": 0.25 })).substrate(table).seed(5);
    let observation = bench.observe(json!({})).unwrap();
    let answers: i64 = observation.readings()[1..4]
        .iter()
        .map(|reading| if let Value::Integer(answers) = reading.attributes[1].1 { answers } else { 0 })
        .sum();
    // Five standard deviations of a binomial count.
    assert!((answers as f64 - 7_500.0).abs() < 5.0 * (10_000.0_f64 * 0.25 * 0.75).sqrt(), "{answers}");
    let all = bench.parameters(json!({ "dropout": 1.0, "expected": ["0"] })).observe(json!({})).unwrap();
    assert_eq!(presences(&all), [("0".to_owned(), false, 0.0)]);
}

#[test]
fn without_a_substrate_it_simulates_and_says_so() {
    let bench = Bench::<RfidReader>::new().parameters(json!({ "dropout": 0.0 })).clock(9);
    let observation = bench.observe(json!({})).unwrap();
    assert_eq!(observation.readings()[0].value, Value::Integer(3));
    assert!(observation.readings().iter().all(|reading| reading.confidence <= SIMULATED_CONFIDENCE));
    assert!(observation.readings().iter().all(|reading| {
        reading.time == Some(9) && reading.attributes.last() == Some(&("simulated".to_owned(), true.into()))
    }));
    assert_eq!(bench.logs()[0].level, log::Level::Warn);
}

#[test]
fn a_wrong_parameter_is_pointed_at() {
    let cases = [
        (json!({ "tag": "label" }), "/tag"),
        (json!({ "tag": "time" }), "/tag"),
        (json!({ "time": "rssi" }), "/time"),
        (json!({ "rssi": "tag" }), "/rssi"),
        (json!({ "dropout": 1.5 }), "/dropout"),
        (json!({ "confidence": -0.5 }), "/confidence"),
        (json!({ "expected": vec!["x"; 1_001] }), "/expected"),
    ];
    for (parameters, expected) in cases {
        let error = bench(parameters).observe(json!({})).unwrap_err();
        assert!(matches!(&error, Error::InvalidParameters { pointer, .. } if pointer == expected), "{error}");
    }
}

#[test]
fn a_count_is_as_uncertain_as_tags_are_easily_missed() {
    assert_eq!(missed(10, 0.0), 0.0);
    assert_eq!(missed(8, 0.5), 4.0);
    assert_eq!(missed(0, 1.0), 1e9);
    assert_eq!(missed(3, 1.0), 1e9);
}
