//! What holds for every source and every selection.
#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Write as _;

use common::{SEED, batches, cells, open_text, rows, synthetic};
use inquisitor_substrate::batch::{Scalar, Selection, Source, SourceError};
use inquisitor_substrate::open;
use proptest::prelude::*;
use serde_json::json;

/// A field as a csv writer would quote it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Rows before the end or the first error, and the error.
fn drain(
    source: &dyn Source,
    selection: &Selection,
    max_rows: usize,
) -> (Vec<Vec<String>>, Option<SourceError>) {
    let mut reader = match source.open(selection) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut all = Vec::new();
    loop {
        match reader.next(max_rows) {
            Ok(Some(batch)) => all.extend(cells(&batch)),
            Ok(None) => return (all, None),
            Err(error) => return (all, Some(error)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_csv_gives_back_what_was_written(
        values in prop::collection::vec((any::<i64>(), prop::num::f64::NORMAL, "\\PC{0,12}", any::<bool>()), 1..40),
        max_rows in 1_usize..50,
    ) {
        let mut text = "i,n,t,b\n".to_owned();
        for (integer, number, words, flag) in &values {
            writeln!(text, "{integer},{number:?},{},{flag}", quoted(words)).unwrap();
        }
        let types = json!({"types": {"i": "integer", "n": "number", "t": "text", "b": "boolean"}});
        let (_folder, source) = open_text("a.csv", &text, &types);
        let expected: Vec<Vec<String>> = values
            .iter()
            .map(|(integer, number, words, flag)| {
                let words = if words.is_empty() { "-".to_owned() } else { format!("{words:?}") };
                vec![integer.to_string(), format!("{number:?}"), words, flag.to_string()]
            })
            .collect();
        prop_assert_eq!(rows(&*source.unwrap(), &Selection::default(), max_rows).unwrap(), expected);
    }

    #[test]
    fn batching_does_not_change_what_is_read(
        values in prop::collection::vec(prop::option::of(0..4_i32), 0..60),
        broken in prop::option::of(0_usize..60),
        max_rows in 1_usize..70,
        from_row in 0_u64..70,
    ) {
        let mut text = "v,w\n".to_owned();
        for (row, value) in values.iter().enumerate() {
            let field = if broken == Some(row) { "x".to_owned() } else { value.map(|v| v.to_string()).unwrap_or_default() };
            writeln!(text, "{field},{row}").unwrap();
        }
        let (_folder, source) = open_text("a.csv", &text, &json!({"types": {"v": "integer"}}));
        let source = source.unwrap();
        let selection = Selection { from_row, ..Selection::default() };
        prop_assert_eq!(drain(&*source, &selection, max_rows), drain(&*source, &selection, 1000));
    }

    #[test]
    fn a_filter_gives_what_looking_at_every_row_gives(
        samples in 1_u64..40,
        sensor in 1_u32..4,
        from_row in 0_u64..50,
        max_rows in 1_usize..20,
        seed: [u8; 32],
    ) {
        let parameters = json!({
            "samples": samples, "sensors": 3, "faults": [{"kind": "dropout", "probability": 0.3}],
        });
        let source = open(&synthetic("random_walk", &parameters), None, seed).unwrap();
        let name = format!("sensor-{sensor}");
        let where_equal = vec![("sensor".to_owned(), Scalar::Text(name.clone()))];
        let selection = Selection { where_equal, from_row, columns: vec!["value".into(), "sensor".into()] };
        let all = rows(&*source, &Selection::default(), 1000).unwrap();
        let expected: Vec<(u64, Vec<String>)> = (0_u64..)
            .zip(all)
            .filter(|(row, cells)| *row >= from_row && cells[1] == format!("{name:?}"))
            .map(|(row, cells)| (row, vec![cells[2].clone(), cells[1].clone()]))
            .collect();
        let read = batches(&*source, &selection, max_rows).unwrap();
        let first_rows: Vec<u64> = read.iter().map(|batch| batch.first_row).collect();
        let expected_first: Vec<u64> = expected.chunks(max_rows).map(|chunk| chunk[0].0).collect();
        prop_assert_eq!(first_rows, expected_first);
        let read: Vec<Vec<String>> = read.iter().flat_map(cells).collect();
        prop_assert_eq!(read, expected.into_iter().map(|(_, cells)| cells).collect::<Vec<_>>());
    }

    #[test]
    fn no_bytes_panic(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b",\"\n\r {}:[]1.".to_vec())], 0..300),
        kind in prop::sample::select(vec!["csv", "tsv", "jsonl", "whitespace"]),
        skip_rows in 0_u32..3,
    ) {
        let parameters = if kind == "whitespace" {
            json!({"delimiter": "whitespace", "skip_rows": skip_rows, "comment": "#"})
        } else {
            json!({"format": kind, "skip_rows": skip_rows})
        };
        let (_folder, source) = open_text("data", &bytes, &parameters);
        if let Ok(source) = source {
            let one = drain(&*source, &Selection::default(), 1);
            let many = drain(&*source, &Selection::default(), 1000);
            prop_assert_eq!(one, many);
        }
    }

    #[test]
    fn generators_take_any_parameters_without_panic(
        generator in prop::sample::select(vec!["echo", "gaussian", "temperature_simulator", "random_walk"]),
        name in prop::sample::select(vec![
            "count", "samples", "mean", "stddev", "step", "min", "max", "interval", "period", "start", "sensors", "seed", "noise",
        ]),
        value in prop_oneof![
            any::<i64>().prop_map(|value| json!(value)),
            any::<f64>().prop_map(|value| json!(value)),
            "\\PC{0,8}".prop_map(|value| json!(value)),
            Just(json!("292y")), Just(json!("106751d")), Just(json!("1678-01-01T00:00:00Z")), Just(json!([])), Just(json!({})),
        ],
    ) {
        if let Ok(source) = open(&synthetic(generator, &json!({name: value})), None, SEED) {
            let mut reader = source.open(&Selection::default()).unwrap();
            let batch = reader.next(100).unwrap();
            prop_assert!(batch.is_none_or(|batch| batch.rows <= 100));
        }
    }
}
