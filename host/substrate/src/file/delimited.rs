//! Delimited text: a header, then records of as many fields.

use csv::{ByteRecord, ErrorKind, Trim};

use super::field::{FieldReader, Inference, short_decimal, short_integer};
use super::lines::{Input, Limited, Lines, TooLong, malformed, unavailable};
use super::options::{Layout, Options};
use super::{BUFFER_BYTES, MAX_COLUMNS, MAX_LINE_BYTES, SAMPLE_ROWS, SchemaColumn};
use crate::batch::{ColumnType, SourceError};
use crate::cell::{Cell, Gathering};
use crate::parameters::shown;
use crate::reader::Records;

/// Splits a file into records of fields.
enum Splitter {
    Csv {
        reader: Box<csv::Reader<Limited>>,
        /// Lines before those that the reader counts.
        skipped: u64,
    },
    Whitespace {
        lines: Lines,
        comment: Option<u8>,
    },
}

impl Splitter {
    /// A splitter at the first line that is read; the header is a record like others.
    fn new(input: Input, options: &Options) -> Result<Self, SourceError> {
        match options.layout {
            Layout::Delimited { delimiter, comment, .. } => {
                let reader = csv::ReaderBuilder::new()
                    .delimiter(delimiter)
                    .comment(comment)
                    .has_headers(false)
                    .flexible(true)
                    .trim(Trim::None)
                    .buffer_capacity(BUFFER_BYTES)
                    .from_reader(Limited::after_lines(input, options.skip_rows)?);
                Ok(Self::Csv { reader: Box::new(reader), skipped: options.skip_rows })
            }
            Layout::Whitespace { comment, .. } => {
                Ok(Self::Whitespace { lines: Lines::after(input, options.skip_rows)?, comment })
            }
            Layout::JsonLines => Err(SourceError::Malformed("JSON lines are not delimited text".to_owned())),
        }
    }

    /// Reads the next record; false at the end.
    fn read(&mut self, record: &mut ByteRecord) -> Result<bool, SourceError> {
        match self {
            Self::Csv { reader, skipped } => {
                reader.get_mut().allow_record();
                let line = reader.position().line();
                match reader.read_byte_record(record) {
                    Ok(_) if record.as_slice().len() > MAX_LINE_BYTES => {
                        Err(malformed(line + *skipped, TooLong))
                    }
                    Ok(is_there) => Ok(is_there),
                    Err(error) => Err(match error.kind() {
                        ErrorKind::Io(error) if is_too_long(error) => malformed(line + *skipped, TooLong),
                        ErrorKind::Io(error) => unavailable(error),
                        _ => malformed(line + *skipped, error),
                    }),
                }
            }
            Self::Whitespace { lines, comment } => {
                while lines.advance()? {
                    let line = lines.line().trim_ascii();
                    if line.is_empty() || comment.is_some_and(|comment| line[0] == comment) {
                        continue;
                    }
                    record.clear();
                    for field in line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()) {
                        record.push_field(field);
                    }
                    return Ok(true);
                }
                Ok(false)
            }
        }
    }

    /// Line of the file at which the record last read starts, from 1.
    fn line(&self, record: &ByteRecord) -> u64 {
        match self {
            Self::Csv { skipped, .. } => record.position().map_or(0, csv::Position::line) + skipped,
            Self::Whitespace { lines, .. } => lines.number(),
        }
    }
}

/// Whether the bytes that a record may have were used up.
fn is_too_long(error: &std::io::Error) -> bool {
    matches!(error.get_ref(), Some(inner) if inner.is::<TooLong>())
}

/// Reads the header and a sample, and says what the columns are.
pub(super) fn schema(
    input: Input,
    options: &Options,
    fields: &FieldReader,
) -> Result<Vec<SchemaColumn>, SourceError> {
    let mut splitter = Splitter::new(input, options)?;
    let mut record = ByteRecord::new();
    let header = if has_header(options) { Some(header(&mut splitter, &mut record)?) } else { None };
    let names = match (&options.columns, header) {
        (None, None) => return Err(SourceError::Malformed("the columns have no names".to_owned())),
        (None, Some(header)) => header,
        (Some(columns), None) => columns.clone(),
        (Some(columns), Some(header)) if columns.len() == header.len() => columns.clone(),
        (Some(columns), Some(header)) => {
            return Err(SourceError::Malformed(format!(
                "`columns` names {} columns and the header {}",
                columns.len(),
                header.len()
            )));
        }
    };
    let mut inferred = vec![Inference::NEW; names.len()];
    let is_declared = |name: &String| options.types.iter().any(|(declared, _)| declared == name);
    if !names.iter().all(is_declared) {
        for _ in 0..SAMPLE_ROWS {
            // A record of another length ends the sample; reading will say what is wrong with it.
            if !splitter.read(&mut record)? || record.len() != names.len() {
                break;
            }
            for (inference, field) in inferred.iter_mut().zip(&record) {
                inference.see(fields, field);
            }
        }
    }
    Ok(names.into_iter().zip(inferred).map(|(name, inference)| (name, inference.kind())).collect())
}

fn has_header(options: &Options) -> bool {
    matches!(
        options.layout,
        Layout::Delimited { has_header: true, .. } | Layout::Whitespace { has_header: true, .. }
    )
}

/// Reads the header: distinct, non-empty names.
fn header(splitter: &mut Splitter, record: &mut ByteRecord) -> Result<Vec<String>, SourceError> {
    if !splitter.read(record)? {
        return Err(SourceError::Malformed("the file is empty; a header was expected".to_owned()));
    }
    let line = splitter.line(record);
    if record.len() > MAX_COLUMNS {
        return Err(malformed(
            line,
            format_args!("{} columns; at most {MAX_COLUMNS} are read", record.len()),
        ));
    }
    let mut names: Vec<String> = Vec::with_capacity(record.len());
    for field in &*record {
        let name = std::str::from_utf8(field.trim_ascii()).map_err(|_| {
            malformed(line, format_args!("the header is not UTF-8 at column {}", names.len() + 1))
        })?;
        if name.is_empty() {
            return Err(malformed(
                line,
                format_args!("column {} has no name in the header", names.len() + 1),
            ));
        }
        if names.iter().any(|other| other == name) {
            return Err(malformed(line, format_args!("the header names {} twice", shown(name))));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// The records after the header.
pub(super) struct Delimited {
    splitter: Splitter,
    record: ByteRecord,
    columns: Vec<SchemaColumn>,
    fields: FieldReader,
}

impl Delimited {
    /// Starts to read a file whose columns are known.
    pub(super) fn new(
        input: Input,
        options: &Options,
        columns: Vec<SchemaColumn>,
        fields: FieldReader,
    ) -> Result<Self, SourceError> {
        let mut splitter = Splitter::new(input, options)?;
        let mut record = ByteRecord::new();
        if has_header(options) {
            let names = header(&mut splitter, &mut record)?;
            // With declared names the header's own do not count.
            if options.columns.is_none() && !names.iter().eq(columns.iter().map(|(name, _)| name)) {
                return Err(SourceError::Malformed(
                    "the header has changed since the file was opened".to_owned(),
                ));
            }
        }
        Ok(Self { splitter, record, columns, fields })
    }
}

impl Records for Delimited {
    fn advance(&mut self) -> Result<bool, SourceError> {
        if !self.splitter.read(&mut self.record)? {
            return Ok(false);
        }
        if self.record.len() != self.columns.len() {
            return Err(malformed(
                self.splitter.line(&self.record),
                format_args!("{} fields where there are {} columns", self.record.len(), self.columns.len()),
            ));
        }
        Ok(true)
    }

    fn cell(&self, column: usize) -> Result<Cell<'_>, SourceError> {
        let (name, kind) = &self.columns[column];
        self.fields.read(*kind, &self.record[column]).map_err(|why| {
            malformed(self.splitter.line(&self.record), format_args!("column {} {why}", shown(name)))
        })
    }

    /// Plain numbers, which most fields are, go straight into their column.
    fn gather(&self, column: usize, target: &mut Gathering) -> Result<usize, SourceError> {
        if self.fields.has_plain_nulls() {
            let field = &self.record[column];
            match self.columns[column].1 {
                ColumnType::Number => {
                    if let Some(number) = short_decimal(field) {
                        return Ok(target.push_number(number));
                    }
                }
                ColumnType::Integer => {
                    if let Some(integer) = short_integer(field) {
                        return Ok(target.push_integer(integer));
                    }
                }
                _ => {}
            }
        }
        Ok(target.push(self.cell(column)?))
    }
}
