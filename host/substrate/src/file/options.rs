//! The parameters of a file, read and checked.

use std::path::Path;

use inquisitor_manifest::spec::Parameters;
use serde_json::Value;

use super::field::TimestampFormat;
use super::{MAX_COLUMNS, MAX_SKIPPED_ROWS};
use crate::batch::ColumnType;
use crate::parameters::{Reader, check_unit, one_of, shown};
use inquisitor_manifest::ParameterProblem;

/// How the file is to be read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Options {
    pub(super) layout: Layout,
    /// Names of the columns as declared.
    pub(super) columns: Option<Vec<String>>,
    /// Declared types by column.
    pub(super) types: Vec<(String, ColumnType)>,
    /// UCUM codes by column.
    pub(super) units: Vec<(String, String)>,
    /// Texts that stand for an absent value, beside the empty one.
    pub(super) null_values: Vec<String>,
    pub(super) timestamp_format: TimestampFormat,
    /// Lines before the first one that is read.
    pub(super) skip_rows: u64,
}

/// How a line is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Fields between delimiters, with quotes after RFC 4180.
    Delimited { delimiter: u8, comment: Option<u8>, has_header: bool },
    /// Fields between spaces and tabs, without quotes.
    Whitespace { comment: Option<u8>, has_header: bool },
    /// One JSON object a line.
    JsonLines,
}

const COMMON: &[&str] =
    &["format", "columns", "types", "units", "null_values", "timestamp_format", "skip_rows"];
const OF_TEXT: &[&str] = &[
    "format",
    "columns",
    "types",
    "units",
    "null_values",
    "timestamp_format",
    "skip_rows",
    "delimiter",
    "comment",
    "has_header",
    "headers",
];

/// Values of `format`.
const FORMATS: &[&str] = &["csv", "tsv", "jsonl", "json-lines"];

/// Reads the parameters of a file.
pub(super) fn read(path: &str, parameters: &Parameters) -> Result<Options, Vec<ParameterProblem>> {
    let is_json = match parameters.get("format").and_then(Value::as_str) {
        Some(format) => is_json_lines(format),
        None => extension(path).is_some_and(|extension| is_json_lines(&extension)),
    };
    let mut reader = Reader::new(parameters, "/parameters", if is_json { COMMON } else { OF_TEXT });
    if path.is_empty() {
        reader
            .problems
            .push(ParameterProblem { pointer: "/path".to_owned(), message: "must not be empty".to_owned() });
    }
    let columns = reader.names("columns", MAX_COLUMNS);
    let layout = if is_json { Some(Layout::JsonLines) } else { delimited(path, &mut reader) };
    let types = by_column(&mut reader, "types", columns.as_deref(), |name| {
        column_type(name).ok_or_else(|| format!("must be {}, not {}", one_of(TYPE_NAMES), shown(name)))
    });
    let units = by_column(&mut reader, "units", columns.as_deref(), |unit| {
        check_unit(unit).map(|()| unit.to_owned())
    });
    let timestamp_format = match reader.text("timestamp_format") {
        None => TimestampFormat::Rfc3339,
        Some(name) => TimestampFormat::from_name(name).unwrap_or_else(|| {
            reader.problem("timestamp_format", format!("must be {}", one_of(TimestampFormat::NAMES)));
            TimestampFormat::Rfc3339
        }),
    };
    let options = Options {
        layout: layout.unwrap_or(Layout::JsonLines),
        columns,
        types,
        units,
        null_values: null_values(&mut reader),
        timestamp_format,
        skip_rows: reader.whole("skip_rows", 0..=MAX_SKIPPED_ROWS).unwrap_or(0),
    };
    if reader.problems.is_empty() { Ok(options) } else { Err(reader.problems) }
}

fn is_json_lines(format: &str) -> bool {
    matches!(format, "jsonl" | "json-lines" | "ndjson")
}

fn extension(path: &str) -> Option<String> {
    Path::new(path).extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase)
}

/// The layout of delimited text; none after a problem.
fn delimited(path: &str, reader: &mut Reader<'_>) -> Option<Layout> {
    let comment = match reader.text("comment") {
        None => None,
        Some(text) => match text.as_bytes() {
            [byte] if byte.is_ascii_graphic() && *byte != b'"' => Some(*byte),
            _ => {
                reader.problem("comment", "must be one ASCII character such as `#`");
                None
            }
        },
    };
    let name = reader.alias("has_header", "headers");
    let has_declared_columns = reader.value("columns").is_some();
    let has_header = reader.flag(name).unwrap_or(!has_declared_columns);
    if !has_header && !has_declared_columns {
        reader.problem("columns", "without a header the columns need names: `columns: [time, temperature]`");
    }
    let of_format = match reader.text("format") {
        None => None,
        Some("csv") => Some(b','),
        Some("tsv") => Some(b'\t'),
        Some(other) => {
            reader.problem("format", format!("must be {}, not {}", one_of(FORMATS), shown(other)));
            return None;
        }
    };
    let of_extension = match extension(path).as_deref() {
        Some("csv") => Some(b','),
        Some("tsv" | "tab") => Some(b'\t'),
        _ => None,
    };
    let delimiter = match reader.text("delimiter") {
        Some("whitespace") => return Some(Layout::Whitespace { comment, has_header }),
        Some(text) => match delimiter_byte(text) {
            Some(byte) if Some(byte) != comment => byte,
            _ => {
                reader.problem(
                    "delimiter",
                    "must be one ASCII character other than a quote and the comment character, or `comma`, `tab`, \
                     `semicolon`, `pipe`, `space` or `whitespace` (any run of spaces and tabs)",
                );
                return None;
            }
        },
        None => match of_format.or(of_extension) {
            Some(byte) => byte,
            None => {
                reader.problem(
                    "format",
                    format!(
                        "the format does not follow from the path; give `format` as {}, or a `delimiter`",
                        one_of(FORMATS)
                    ),
                );
                return None;
            }
        },
    };
    Some(Layout::Delimited { delimiter, comment, has_header })
}

fn delimiter_byte(text: &str) -> Option<u8> {
    match text {
        "comma" => Some(b','),
        "tab" => Some(b'\t'),
        "semicolon" => Some(b';'),
        "pipe" => Some(b'|'),
        "space" => Some(b' '),
        _ => match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r' | 0) => Some(*byte),
            _ => None,
        },
    }
}

const TYPE_NAMES: &[&str] = &["number", "integer", "text", "boolean", "timestamp"];

fn column_type(name: &str) -> Option<ColumnType> {
    match name {
        "number" => Some(ColumnType::Number),
        "integer" => Some(ColumnType::Integer),
        "text" => Some(ColumnType::Text),
        "boolean" => Some(ColumnType::Boolean),
        "timestamp" => Some(ColumnType::Timestamp),
        _ => None,
    }
}

/// An object from names of columns to texts, each read by `read`.
fn by_column<T>(
    reader: &mut Reader<'_>,
    name: &str,
    columns: Option<&[String]>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Vec<(String, T)> {
    let object = match reader.value(name) {
        None => return Vec::new(),
        Some(Value::Object(object)) => object,
        Some(_) => {
            reader.problem(name, "must map names of columns to texts");
            return Vec::new();
        }
    };
    let mut all = Vec::with_capacity(object.len());
    let mut problems = Vec::new();
    for (column, value) in object {
        let mut problem = |message| {
            let pointer =
                format!("{}/{}", reader.pointer_to(name), column.replace('~', "~0").replace('/', "~1"));
            problems.push(ParameterProblem { pointer, message });
        };
        if columns.is_some_and(|columns| !columns.contains(column)) {
            problem(format!("there is no column {} in `columns`", shown(column)));
            continue;
        }
        match value.as_str().ok_or_else(|| "must be text".to_owned()).and_then(&read) {
            Ok(value) => all.push((column.clone(), value)),
            Err(message) => problem(message),
        }
    }
    reader.problems.extend(problems);
    all
}

fn null_values(reader: &mut Reader<'_>) -> Vec<String> {
    // More texts that all mean "no value" than this is a mistake.
    const MAX_NULL_VALUES: usize = 64;
    reader.names("null_values", MAX_NULL_VALUES).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problems(path: &str, parameters: &Value) -> Vec<String> {
        let problems = read(path, parameters.as_object().unwrap()).err().unwrap_or_default();
        problems.into_iter().map(|problem| format!("{}: {}", problem.pointer, problem.message)).collect()
    }

    #[test]
    fn the_format_follows_from_the_extension() {
        let layout = |path: &str| read(path, &Parameters::new()).map(|options| options.layout).ok();
        let delimited = |delimiter| Some(Layout::Delimited { delimiter, comment: None, has_header: true });
        assert_eq!(layout("a.csv"), delimited(b','));
        assert_eq!(layout("dir.csv/a.TSV"), delimited(b'\t'));
        assert_eq!(layout("a.ndjson"), Some(Layout::JsonLines));
        assert_eq!(layout("a.dat"), None);
    }

    #[test]
    fn every_problem_is_named_with_its_place() {
        let parameters = json!({
            "delimitr": ";",
            "headers": false,
            "types": {"a": "float", "b": 3},
            "units": {"a": "celsius"},
            "timestamp_format": "unix",
            "skip_rows": -1,
            "null_values": ["NA", "NA"],
        });
        insta::assert_snapshot!(problems("data.csv", &parameters).join("\n"));
    }

    #[test]
    fn types_and_units_speak_of_declared_columns() {
        let parameters = json!({"columns": ["x"], "types": {"y": "number"}, "delimiter": "whitespace"});
        assert_eq!(
            problems("a.dat", &parameters),
            [r#"/parameters/types/y: there is no column "y" in `columns`"#]
        );
    }

    #[test]
    fn json_lines_have_no_delimiter() {
        assert_eq!(problems("a.jsonl", &json!({"delimiter": ";"})).len(), 1);
    }
}
