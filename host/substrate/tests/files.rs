//! What users rely on when they name a file.
#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Write as _;
use std::path::Path;

use common::{SEED, batches, file, open_text, rows, table};
use inquisitor_substrate::batch::{Scalar, Selection, SourceError};
use inquisitor_substrate::{OpenError, open};
use serde_json::{Value, json};

fn text_of(name: &str, text: &str, parameters: &Value) -> String {
    let (_folder, source) = open_text(name, text, parameters);
    source.map_or_else(|error| error_text(&error), |source| table(&*source))
}

/// The message without the temporary folder.
fn error_text(error: &OpenError) -> String {
    match error {
        OpenError::Malformed { message, .. } => message.clone(),
        error => error.to_string(),
    }
}

fn read_error(name: &str, text: impl AsRef<[u8]>, parameters: &Value) -> String {
    let (_folder, source) = open_text(name, text, parameters);
    match source {
        Err(error) => error_text(&error),
        Ok(source) => batches(&*source, &Selection::default(), 1000).unwrap_err().to_string(),
    }
}

#[test]
fn a_csv_is_read_with_inferred_and_declared_types() {
    let text = "\u{feff}time,sensor,temperature,ok,door,id\r\n\
        2026-01-01T00:00:00Z,a,5.25,true,1,007\r\n\
        2026-01-01T01:00:00+01:00,\"b, \"\"left\"\"\",,FALSE,,012\r\n\
        \r\n\
        2026-01-01T00:00:00.5Z,\"two\nlines\",NA,true,3,1\r\n";
    let parameters = json!({
        "types": {"door": "number"},
        "units": {"temperature": "Cel"},
        "null_values": ["NA"],
    });
    insta::assert_snapshot!(text_of("data.csv", text, &parameters));
}

#[test]
fn other_delimiters_comments_and_names() {
    let text = "made by hand\n# a comment\n1;2.5\n3;4.5\n";
    let parameters = json!({"delimiter": ";", "comment": "#", "skip_rows": 1, "columns": ["a", "b"], "types": {"a": "text"}});
    insta::assert_snapshot!(text_of("data.txt", text, &parameters));
}

#[test]
fn a_table_of_runs_of_spaces() {
    let text = "Data:  y          x\n\n      0.1        0.2\n  338.8\t 337.4\n\n";
    let parameters = json!({"delimiter": "whitespace", "skip_rows": 1, "columns": ["y", "x"]});
    insta::assert_snapshot!(text_of("Norris.dat", text, &parameters));
}

#[test]
fn times_as_numbers() {
    let parameters = json!({"types": {"t": "timestamp"}, "timestamp_format": "epoch_ms"});
    insta::assert_snapshot!(text_of("a.csv", "t\n1767225600000\n1767225600000.25\n", &parameters));
}

#[test]
fn json_lines() {
    let text = r#"{"t": "2026-01-01T00:00:00Z", "v": 1, "n": 1, "note": "x"}
{"v": 2.5, "ok": true, "n": null, "t": "2026-01-01T00:00:01Z"}

{"n": 3, "note": "007"}
"#;
    insta::assert_snapshot!(text_of("a.jsonl", text, &json!({})));
    let parameters = json!({"columns": ["n", "absent"], "types": {"n": "text"}, "units": {"n": "m"}});
    insta::assert_snapshot!(text_of("a.jsonl", text, &parameters));
}

#[test]
fn what_is_malformed_is_named_with_its_place() {
    let csv = |text: &str, parameters: Value| read_error("a.csv", text, &parameters);
    let jsonl = |text: &str, parameters: Value| read_error("a.jsonl", text, &parameters);
    let mut later = "a,b\n".to_owned();
    (0..1000).for_each(|row| writeln!(later, "{row},{row}").unwrap());
    later.push_str("1,2\n3,4.5\n");
    let all = [
        csv("", json!({})),
        csv("a,b,a\n", json!({})),
        csv("a,,c\n", json!({})),
        csv("a,b\n1,2\n1,2,3\n", json!({})),
        csv("a,b\n1,\"2\n\n\"\n1\n", json!({"skip_rows": 0})),
        csv("x\na,b\n1,2\n1\n", json!({"skip_rows": 1})),
        csv(&later, json!({})),
        csv("a\n1\nNaN\n", json!({"types": {"a": "number"}})),
        csv("a\nyes\n", json!({"types": {"a": "boolean"}})),
        csv("a\n2026-01-01\n", json!({"types": {"a": "timestamp"}})),
        csv("temperature\n1\n", json!({"units": {"temprature": "Cel"}})),
        csv("a,b\n1,2\n", json!({"columns": ["x"], "has_header": true})),
        jsonl("{\"a\": 1}\n[1]\n", json!({})),
        jsonl("{\"a\": 1}\n{\"a\": {\"b\": 1}}\n", json!({})),
        jsonl("{\"a\": 1, \"a\": 2}\n", json!({})),
        jsonl("{\"a\": 1}\n{\"a\": \"x\"}\n", json!({})),
        jsonl("{\"a\": 1}\n{\"a\": 2.5}\n", json!({"types": {"a": "integer"}})),
        jsonl("{}\n", json!({})),
        jsonl(&format!("{}{{\"b\": 1}}\n", "{\"a\": 1}\n".repeat(1000)), json!({})),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn text_that_is_not_utf8_is_refused_only_where_it_is_read() {
    let (_folder, source) = open_text("a.csv", b"a,b\n1,\xff\n", &json!({}));
    let source = source.unwrap();
    let only_a = Selection { columns: vec!["a".into()], ..Selection::default() };
    assert_eq!(rows(&*source, &only_a, 10).unwrap(), [["1"]]);
    let error = batches(&*source, &Selection::default(), 10).unwrap_err().to_string();
    assert!(error.contains("line 2: column \"b\"") && error.contains("UTF-8"), "{error}");
}

#[test]
fn good_rows_come_before_the_error_and_the_error_stays() {
    let (_folder, source) = open_text("a.csv", "a\n1\n2\nx\n4\n", &json!({"types": {"a": "integer"}}));
    let mut reader = source.unwrap().open(&Selection::default()).unwrap();
    assert_eq!(reader.next(100).unwrap().unwrap().rows, 2);
    let error = reader.next(100).unwrap_err();
    assert!(matches!(&error, SourceError::Malformed(message) if message.contains("line 4")), "{error}");
    assert_eq!(reader.next(100), Err(error));
}

#[test]
fn endless_records_end() {
    let long = "x".repeat(2 << 20);
    // An open quote swallows the rest of the file.
    let quoted = format!("a\n1\n\"{long}\n");
    let error = read_error("a.csv", &quoted, &json!({"types": {"a": "text"}}));
    assert!(error.contains("line 3: a record is longer than"), "{error}");
    let error = read_error(
        "a.csv",
        format!("a\n{long}\n"),
        &json!({"delimiter": "whitespace", "types": {"a": "text"}}),
    );
    assert!(error.contains("line 2: longer than"), "{error}");
    let error = read_error("a.jsonl", format!("{{\"a\": \"{long}\"}}\n"), &json!({}));
    assert!(error.contains("line 1: longer than"), "{error}");
    let columns: Vec<String> = (0..1025).map(|column| column.to_string()).collect();
    let error = read_error("a.csv", columns.join(","), &json!({}));
    assert!(error.contains("at most 1024"), "{error}");
}

#[test]
fn paths() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "a\n1\n").unwrap();
    let no_parameters = json!({});
    let open_at = |path: &Path, base: Option<&Path>| open(&file(path, &no_parameters), base, SEED).err();
    assert_eq!(open_at(&path, None), None, "an absolute path needs no folder");
    assert_eq!(open_at(Path::new("a.csv"), Some(folder.path())), None);
    assert_eq!(open_at(Path::new("a.csv"), None), Some(OpenError::NoBaseDirectory { path: "a.csv".into() }));
    let missing = folder.path().join("b.csv");
    assert_eq!(open_at(&missing, None), Some(OpenError::NotFound { path: missing.to_str().unwrap().into() }));
    let directory = folder.path().join("d.csv");
    std::fs::create_dir(&directory).unwrap();
    assert_eq!(
        open_at(&directory, None),
        Some(OpenError::NotAFile { path: directory.to_str().unwrap().into(), what: "a directory" })
    );
}

#[test]
fn a_file_that_vanishes_is_unavailable_and_its_path_is_not_told() {
    let (folder, source) = open_text("a.csv", "a\n1\n", &json!({}));
    std::fs::remove_file(folder.path().join("a.csv")).unwrap();
    let error = source.unwrap().open(&Selection::default()).err().unwrap();
    assert!(matches!(error, SourceError::Unavailable(_)), "{error}");
    assert!(!error.to_string().contains("a.csv"));
}

#[test]
fn a_changed_header_is_noticed() {
    let (folder, source) = open_text("a.csv", "a,b\n1,2\n", &json!({}));
    std::fs::write(folder.path().join("a.csv"), "b,a\n1,2\n").unwrap();
    let error = source.unwrap().open(&Selection::default()).err().unwrap();
    assert!(
        matches!(&error, SourceError::Malformed(message) if message.contains("header has changed")),
        "{error}"
    );
}

#[test]
fn selections() {
    let (_folder, source) =
        open_text("a.csv", "n,s,v\n1,a,0.5\n2,b,1.0\n3,a,1\n4,b,\n5,a,1.0e0\n", &json!({}));
    let source = source.unwrap();
    let selection = Selection {
        columns: vec!["v".into(), "n".into(), "n".into()],
        where_equal: vec![("s".into(), Scalar::Text("a".into())), ("v".into(), Scalar::Integer(1))],
        from_row: 1,
    };
    let all = batches(&*source, &selection, 1).unwrap();
    assert_eq!(all.iter().map(|batch| batch.first_row).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(rows(&*source, &selection, 9).unwrap(), [["1.0", "3", "3"], ["1.0", "5", "5"]]);
    let wrong = Selection { columns: vec!["w".into()], ..Selection::default() };
    assert_eq!(source.open(&wrong).err(), Some(SourceError::NoSuchColumn("w".into())));
    let wrong = Selection { where_equal: vec![("w".into(), Scalar::Boolean(true))], ..Selection::default() };
    assert_eq!(source.open(&wrong).err(), Some(SourceError::NoSuchColumn("w".into())));
    let beyond = Selection { from_row: 99, ..Selection::default() };
    assert_eq!(batches(&*source, &beyond, 9).unwrap(), []);
}

#[test]
fn a_batch_is_bounded_in_bytes() {
    let long = "x".repeat(900 << 10);
    let mut text = "a\n".to_owned();
    (0..20).for_each(|_| writeln!(text, "{long}").unwrap());
    let (_folder, source) = open_text("a.csv", &text, &json!({}));
    let sizes: Vec<usize> = batches(&*source.unwrap(), &Selection::default(), 1000)
        .unwrap()
        .iter()
        .map(|batch| batch.rows)
        .collect();
    // Nine of them are 8.1 MB, ten are more than 8 MiB.
    assert_eq!(sizes, [9, 9, 2]);
}
