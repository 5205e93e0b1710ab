use inquisitor_sdk::Value;
use inquisitor_sdk::testing::{Bench, Columns, Json, json};

use super::*;

const WAFER: &str =
    "instrument,resistivity,u,day\n1,196.3052,0.1,3\n1,196.1240,0.2,3\n2,196.3042,0.1,4\n2,,0.1,5\n";

fn observe(csv: &str, parameters: Json) -> Result<Observation, Error> {
    Bench::<Table>::new().parameters(parameters).substrate(Columns::from_csv(csv)).observe(json!({}))
}

#[test]
fn a_column_becomes_a_series() {
    let parameters = json!({
        "value": "resistivity", "quantity": "resistivity", "unit": "Ohm.cm", "where": { "instrument": "1" }, "confidence": 0.9,
    });
    let observation = observe(WAFER, parameters).unwrap();
    let series = &observation.series()[0];
    assert_eq!(series.values, [196.3052, 196.1240]);
    assert_eq!(
        (series.quantity.as_str(), series.unit.as_str(), series.confidence),
        ("resistivity", "Ohm.cm", 0.9)
    );
    assert!(series.times.is_empty() && series.uncertainties.is_empty());
}

#[test]
fn absent_values_are_left_out_and_counted() {
    let bench = Bench::<Table>::new()
        .parameters(json!({ "value": "resistivity", "uncertainty": "u" }))
        .substrate(Columns::from_csv(WAFER));
    let observation = bench.observe(json!({})).unwrap();
    assert_eq!(observation.series()[0].values.len(), 3);
    assert_eq!(observation.series()[0].uncertainties, [0.1, 0.2, 0.1]);
    let logs = bench.logs();
    assert_eq!(logs[0].message, "column `resistivity` has no value in 1 rows; they are left out");
    assert_eq!(logs[0].attributes, [("rows".to_owned(), Value::Integer(1))]);
}

#[test]
fn the_time_column_and_the_units_of_the_source_are_taken_up() {
    let table = Columns::new().timestamps("time", [10, 20]).numbers("temperature", [4.0, 5.0]).unit("Cel");
    let bench = Bench::<Table>::new()
        .parameters(json!({ "value": "temperature", "uncertainty": 0.5 }))
        .substrate(table);
    let observation = bench.observe(json!({})).unwrap();
    let series = &observation.series()[0];
    assert_eq!((series.times.as_slice(), series.unit.as_str()), (&[10, 20][..], "Cel"));
    assert_eq!(series.uncertainties, [0.5]);
}

#[test]
fn integers_booleans_and_texts_become_readings() {
    let csv = "n,open,name\n1,true,a\n,false,b\n3,true,\n";
    let observation = observe(csv, json!({ "value": ["n", "open", "name"] })).unwrap();
    let of = |quantity: &str| -> Vec<_> {
        let readings = observation.readings().iter().filter(|reading| reading.quantity == quantity);
        readings.map(|reading| (reading.value.clone(), reading.attributes[0].1.clone())).collect()
    };
    assert_eq!(of("n"), [(Value::Integer(1), Value::Integer(0)), (Value::Integer(3), Value::Integer(2))]);
    assert_eq!(of("open").len(), 3);
    assert_eq!(of("name"), [("a".into(), Value::Integer(0)), ("b".into(), Value::Integer(1))]);
    assert!(observation.series().is_empty());
}

#[test]
fn integers_with_an_uncertainty_are_measured_numbers() {
    let observation = observe(WAFER, json!({ "value": "day", "uncertainty": 0.5 })).unwrap();
    assert_eq!(observation.series()[0].values, [3.0, 3.0, 4.0, 5.0]);
}

#[test]
fn many_rows_come_in_batches_and_none_is_lost() {
    let rows = 50_000;
    let table = Columns::new().numbers("value", (0..rows).map(f64::from));
    let observation = Bench::<Table>::new()
        .parameters(json!({ "value": "value" }))
        .substrate(table)
        .observe(json!({}))
        .unwrap();
    let series = &observation.series()[0];
    assert_eq!(series.values.len(), rows as usize);
    assert_eq!(series.values.last(), Some(&f64::from(rows - 1)));
}

#[test]
fn a_wrong_parameter_is_pointed_at() {
    let cases = [
        (json!({ "value": "restivity" }), "/value", "it has instrument, resistivity, u, day"),
        (json!({ "value": ["resistivity", "x"] }), "/value/1", "no column `x`"),
        (json!({ "value": [] }), "/value", "1 to 64 columns"),
        (json!({ "value": "resistivity", "time": "day" }), "/time", "holds integer values where timestamps"),
        (json!({ "value": "resistivity", "uncertainty": "v" }), "/uncertainty", "no column `v`"),
        (json!({ "value": "resistivity", "uncertainty": -1.0 }), "/uncertainty", "zero or more"),
        (json!({ "value": "resistivity", "confidence": 1.5 }), "/confidence", "between 0 and 1"),
        (json!({ "value": "resistivity", "where": { "a/b": 1 } }), "/where/a~1b", "no column `a/b`"),
        (json!({ "value": ["day", "u"], "quantity": "q" }), "/quantity", "only for one column"),
        (json!({ "value": "day", "quantity": "Day" }), "/quantity", "lower-case"),
        (json!({ "value": "day", "unit": "" }), "/unit", "UCUM"),
    ];
    for (parameters, expected, message) in cases {
        match observe(WAFER, parameters).unwrap_err() {
            Error::InvalidParameters { pointer, message: text } => {
                assert_eq!(pointer, expected, "{text}");
                assert!(text.contains(message), "{text:?} should contain {message:?}");
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_text_column_with_a_unit_is_refused() {
    let error = observe("name\na\n", json!({ "value": "name", "unit": "Cel" })).unwrap_err();
    let expected = Error::invalid(
        "/value",
        "column `name` holds text values where numbers are needed, and `unit` is Cel",
    );
    assert_eq!(error, expected);
}

#[test]
fn without_a_substrate_it_says_what_is_missing() {
    let error = Bench::<Table>::new().parameters(json!({ "value": "x" })).observe(json!({})).unwrap_err();
    assert!(error.to_string().contains("add a `substrate` section"), "{error}");
}
