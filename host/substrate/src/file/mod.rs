//! Files of delimited text and of JSON lines.
//!
//! Parameters, all optional:
//!
//! | name | meaning |
//! |---|---|
//! | `format` | `csv`, `tsv`, `jsonl` or `json-lines`; follows from the extension where that says it |
//! | `delimiter` | one ASCII character, or `comma`, `tab`, `semicolon`, `pipe`, `space`, `whitespace` (any run of spaces and tabs; no quotes) |
//! | `has_header` (or `headers`) | whether the first line names the columns; true unless `columns` are given |
//! | `columns` | names of the columns in order; for JSON lines the members to read, all others being passed over |
//! | `types` | for a column: `number`, `integer`, `text`, `boolean` or `timestamp` |
//! | `units` | for a column: UCUM code of its values |
//! | `null_values` | texts that stand for an absent value, beside the empty one |
//! | `comment` | lines that start with this character are passed over |
//! | `skip_rows` | lines before the first one that is read |
//! | `timestamp_format` | `rfc3339` (default), `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns` |
//!
//! The type of a column that is not declared follows from the first [`SAMPLE_ROWS`] rows. A later value that does not
//! fit is an error with line, column and value; so is a line of another number of fields. Numbers are finite: `NaN` is
//! either one of the `null_values` or malformed. Only columns that are selected are read and checked.

mod delimited;
mod field;
mod jsonl;
mod lines;
mod options;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use inquisitor_manifest::spec::Parameters;

use self::delimited::Delimited;
use self::field::FieldReader;
use self::jsonl::JsonLines;
use self::lines::{Input, unavailable};
use self::options::{Layout, Options};
use crate::OpenError;
use crate::batch::{ColumnInfo, ColumnType, Rows, Selection, Source, SourceError};
use crate::parameters::{nearest, shown};
use crate::reader::Reader;
use inquisitor_manifest::ParameterProblem;

/// Rows from which the types of columns are inferred.
pub const SAMPLE_ROWS: usize = 1000;
/// Bytes of a line, or of a record with line ends in quotes. Longer ones are no table, and each is held in memory.
pub const MAX_LINE_BYTES: usize = 1 << 20;
/// Columns of a file. Each batch holds all that are selected.
pub const MAX_COLUMNS: usize = 1024;
/// Lines that `skip_rows` may skip: a preamble, not a position in the data.
pub const MAX_SKIPPED_ROWS: u64 = 1_000_000;
/// Bytes read from the operating system at a time; larger brings no speed.
const BUFFER_BYTES: usize = 64 << 10;

/// Name and type of a column.
type SchemaColumn = (String, ColumnType);

/// A file whose columns are known.
struct FileSource {
    path: PathBuf,
    options: Options,
    fields: FieldReader,
    columns: Vec<ColumnInfo>,
}

pub(crate) fn check(path: &str, parameters: &Parameters) -> Vec<ParameterProblem> {
    options::read(path, parameters).err().unwrap_or_default()
}

pub(crate) fn open(
    path: &str,
    parameters: &Parameters,
    base_dir: Option<&Path>,
) -> Result<Arc<dyn Source>, OpenError> {
    let options = options::read(path, parameters).map_err(OpenError::Parameters)?;
    let resolved = match base_dir {
        _ if Path::new(path).is_absolute() => PathBuf::from(path),
        Some(base_dir) => base_dir.join(path),
        None => return Err(OpenError::NoBaseDirectory { path: path.to_owned() }),
    };
    let shown_path = resolved.display().to_string();
    let file = open_regular(&resolved)?;
    let fields =
        FieldReader { null_values: options.null_values.clone(), timestamp_format: options.timestamp_format };
    let schema = match options.layout {
        Layout::JsonLines => jsonl::schema(file, &options, &fields),
        _ => delimited::schema(file, &options, &fields),
    };
    let schema = schema.map_err(|error| match error {
        SourceError::Unavailable(message) => OpenError::Unavailable { path: shown_path.clone(), message },
        error => OpenError::Malformed {
            path: shown_path.clone(),
            message: match error {
                SourceError::Malformed(message) => message,
                error => error.to_string(),
            },
        },
    })?;
    let columns = declared(&options, schema).map_err(OpenError::Parameters)?;
    Ok(Arc::new(FileSource { path: resolved, options, fields, columns }))
}

/// The columns with their declared types and units.
fn declared(options: &Options, schema: Vec<SchemaColumn>) -> Result<Vec<ColumnInfo>, Vec<ParameterProblem>> {
    let mut columns: Vec<ColumnInfo> =
        schema.into_iter().map(|(name, kind)| ColumnInfo { name, kind, unit: None }).collect();
    let mut problems = Vec::new();
    for (name, kind) in &options.types {
        match columns.iter_mut().find(|column| column.name == *name) {
            Some(column) => column.kind = *kind,
            None => problems.push(no_such_column("types", name, &columns)),
        }
    }
    for (name, unit) in &options.units {
        match columns.iter_mut().find(|column| column.name == *name) {
            Some(column) => column.unit = Some(unit.clone()),
            None => problems.push(no_such_column("units", name, &columns)),
        }
    }
    if problems.is_empty() { Ok(columns) } else { Err(problems) }
}

fn no_such_column(parameter: &str, name: &str, columns: &[ColumnInfo]) -> ParameterProblem {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let hint =
        nearest(name, &names).map(|near| format!("; did you mean {}?", shown(near))).unwrap_or_default();
    ParameterProblem {
        pointer: format!("/parameters/{parameter}/{}", name.replace('~', "~0").replace('/', "~1")),
        message: format!("the file has no column {}{hint}", shown(name)),
    }
}

/// Opens a file that is one: a pipe would block and a device never end.
fn open_regular(path: &Path) -> Result<Input, OpenError> {
    let shown_path = path.display().to_string();
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => OpenError::NotFound { path: shown_path.clone() },
        _ => OpenError::Unavailable { path: shown_path.clone(), message: error.to_string() },
    };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "a directory" } else { "a device or a pipe" };
        return Err(OpenError::NotAFile { path: shown_path, what });
    }
    Ok(Box::new(File::open(path).map_err(failed)?))
}

impl Source for FileSource {
    fn columns(&self) -> Result<Vec<ColumnInfo>, SourceError> {
        Ok(self.columns.clone())
    }

    fn open(&self, selection: &Selection) -> Result<Box<dyn Rows>, SourceError> {
        // Without the path: an instrument sees this message, and where the file lies is none of its business.
        let file: Input = Box::new(File::open(&self.path).map_err(|error| unavailable(&error))?);
        let schema = self.columns.iter().map(|column| (column.name.clone(), column.kind)).collect();
        let columns = self.columns.clone();
        let fields = self.fields.clone();
        Ok(match self.options.layout {
            Layout::JsonLines => {
                let records = JsonLines::new(file, &self.options, schema, fields)?;
                Box::new(Reader::new(columns, selection, records)?)
            }
            _ => {
                let records = Delimited::new(file, &self.options, schema, fields)?;
                Box::new(Reader::new(columns, selection, records)?)
            }
        })
    }
}
