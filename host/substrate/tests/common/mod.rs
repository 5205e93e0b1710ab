//! What the tests of this crate share.
#![allow(dead_code, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use inquisitor_manifest::spec::Substrate;
use inquisitor_substrate::batch::{Batch, ColumnValues, Selection, Source, SourceError};
use inquisitor_substrate::{OpenError, open};
use serde_json::Value;

pub(crate) const SEED: [u8; 32] = [42; 32];

/// A file's substrate.
pub(crate) fn file(path: &Path, parameters: &Value) -> Substrate {
    Substrate::File {
        path: path.to_str().unwrap().to_owned(),
        parameters: parameters.as_object().unwrap().clone(),
    }
}

/// A generator's substrate.
pub(crate) fn synthetic(generator: &str, parameters: &Value) -> Substrate {
    Substrate::Synthetic {
        generator: generator.to_owned(),
        parameters: parameters.as_object().unwrap().clone(),
    }
}

/// A temporary file with its source; the file lives as long as the folder.
pub(crate) fn open_text(
    name: &str,
    text: impl AsRef<[u8]>,
    parameters: &Value,
) -> (tempfile::TempDir, Result<Arc<dyn Source>, OpenError>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    let source = open(&file(Path::new(name), parameters), Some(folder.path()), SEED);
    (folder, source)
}

/// All batches of a selection.
pub(crate) fn batches(
    source: &dyn Source,
    selection: &Selection,
    max_rows: usize,
) -> Result<Vec<Batch>, SourceError> {
    let mut rows = source.open(selection)?;
    let mut batches = Vec::new();
    while let Some(batch) = rows.next(max_rows)? {
        assert!((1..=max_rows).contains(&batch.rows));
        batches.push(batch);
    }
    assert_eq!(rows.next(max_rows), Ok(None), "the end is not the end");
    Ok(batches)
}

/// Cells of a batch as text, row by row; `-` where there is no value.
pub(crate) fn cells(batch: &Batch) -> Vec<Vec<String>> {
    let cell = |row: usize, column: usize| {
        let column = &batch.columns[column];
        if let Some(present) = &column.present {
            assert_eq!(present.len(), batch.rows.div_ceil(8));
            if present[row / 8] >> (row % 8) & 1 == 0 {
                return "-".to_owned();
            }
        }
        match &column.values {
            ColumnValues::Number(values) => format!("{:?}", values[row]),
            ColumnValues::Integer(values) => values[row].to_string(),
            ColumnValues::Text(values) => format!("{:?}", values[row]),
            ColumnValues::Boolean(values) => values[row].to_string(),
            ColumnValues::Bytes(values) => format!("{:?}", values[row]),
            ColumnValues::Timestamp(values) => format!("@{}", values[row]),
        }
    };
    (0..batch.rows).map(|row| (0..batch.columns.len()).map(|column| cell(row, column)).collect()).collect()
}

/// All rows of a selection as text, however they were batched.
pub(crate) fn rows(
    source: &dyn Source,
    selection: &Selection,
    max_rows: usize,
) -> Result<Vec<Vec<String>>, SourceError> {
    Ok(batches(source, selection, max_rows)?.iter().flat_map(cells).collect())
}

/// Columns and rows as a text for a snapshot.
pub(crate) fn table(source: &dyn Source) -> String {
    let mut text = String::new();
    for column in source.columns().unwrap() {
        let unit = column.unit.map(|unit| format!("[{unit}]")).unwrap_or_default();
        write!(text, "{}:{:?}{unit}  ", column.name, column.kind).unwrap();
    }
    text = text.trim_end().to_owned();
    for row in rows(source, &Selection::default(), 100).unwrap() {
        write!(text, "\n{}", row.join("  ")).unwrap();
    }
    text
}
