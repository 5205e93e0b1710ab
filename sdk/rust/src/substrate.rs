//! The data under inquiry: typed batches of columns, pulled from the host one after the other.

use std::borrow::Cow;
use std::rc::Rc;

use crate::host::{BatchSource, Host};
use crate::reading::Value;

/// Rows asked for at a time unless [`Rows::batch_rows`] says otherwise: enough to make the cost of a call vanish, few
/// enough (128 KiB a column of numbers) to stay in a cache.
pub const DEFAULT_BATCH_ROWS: u32 = 16_384;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// 64-bit floating point.
    Number,
    /// 64-bit signed integer.
    Integer,
    /// UTF-8 text.
    Text,
    /// True or false.
    Boolean,
    /// Uninterpreted bytes.
    Bytes,
    /// Nanoseconds since the Unix epoch.
    Timestamp,
}

impl ColumnType {
    /// The name as messages use it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Text => "text",
            Self::Boolean => "boolean",
            Self::Bytes => "bytes",
            Self::Timestamp => "timestamp",
        }
    }
}

/// A column of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Name, unique in the source.
    pub name: String,
    /// Type of the values.
    pub kind: ColumnType,
    /// UCUM code of the values' unit where the source knows it.
    pub unit: Option<String>,
}

/// Why the substrate gave no rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubstrateError {
    /// The inquiry has no substrate.
    #[error("the inquiry has no substrate; add a `substrate` section to the manifest")]
    None,
    /// There is no column of this name.
    #[error("the substrate has no column `{0}`")]
    NoSuchColumn(String),
    /// The source cannot be read now; another attempt may succeed.
    #[error("the substrate is unavailable: {0}")]
    Unavailable(String),
    /// The source holds what cannot be read as declared.
    #[error("the substrate is malformed: {0}")]
    Malformed(String),
    /// The limit of the call on rows or bytes read was reached.
    #[error("a limit on reading the substrate was reached: {0}")]
    LimitExceeded(String),
    /// The column holds values of another type than was asked for.
    #[error("column `{column}` of the substrate holds {} values where {wanted} are needed", .found.name())]
    WrongType {
        /// The column's name.
        column: String,
        /// What it holds.
        found: ColumnType,
        /// What was asked for, in words.
        wanted: &'static str,
    },
}

/// What to read.
///
/// ```
/// # use inquisitor_sdk::Selection;
/// let selection = Selection::columns(["time", "temperature"]).where_equal("sensor", "north");
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Selection {
    pub(crate) columns: Vec<String>,
    pub(crate) where_equal: Vec<(String, Value)>,
    pub(crate) from_row: u64,
}

impl Selection {
    /// All columns in the source's order, all rows.
    pub fn all() -> Self {
        Self::default()
    }

    /// These columns, in this order. A list of none means all.
    pub fn columns(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { columns: names.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Only rows in which this column equals the value; more of these narrow further. The column need not be among
    /// the selected ones. Numbers, integers and texts that read as the same number are equal.
    #[must_use]
    pub fn where_equal(mut self, column: impl Into<String>, value: impl Into<Value>) -> Self {
        self.where_equal.push((column.into(), value.into()));
        self
    }

    /// Start at this row of the source, counted from 0 over all rows.
    #[must_use]
    pub fn from_row(mut self, row: u64) -> Self {
        self.from_row = row;
        self
    }
}

/// The substrate of the inquiry, as [`crate::Context::substrate`] gives it.
pub struct Substrate<'a> {
    host: &'a dyn Host,
}

impl<'a> Substrate<'a> {
    pub(crate) fn new(host: &'a dyn Host) -> Self {
        Self { host }
    }

    /// The columns in the source's order, or none where the inquiry has no substrate: for instruments that can do
    /// without.
    ///
    /// # Errors
    /// When there is a substrate that cannot be read.
    pub fn columns_if_any(&self) -> Result<Option<Vec<ColumnInfo>>, SubstrateError> {
        match self.host.columns() {
            Ok(columns) => Ok(Some(columns)),
            Err(SubstrateError::None) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The columns in the source's order.
    ///
    /// # Errors
    /// When there is no substrate or it cannot be read.
    pub fn columns(&self) -> Result<Vec<ColumnInfo>, SubstrateError> {
        self.host.columns()
    }

    /// Start to read. Each reader reads the source anew.
    ///
    /// # Errors
    /// When there is no substrate, it cannot be read, or it lacks a column that the selection names.
    pub fn rows(&self, selection: &Selection) -> Result<Rows, SubstrateError> {
        let names: Vec<String> = if selection.columns.is_empty() {
            self.host.columns()?.into_iter().map(|column| column.name).collect()
        } else {
            selection.columns.clone()
        };
        Ok(Rows { source: self.host.rows(selection)?, names: names.into(), batch_rows: DEFAULT_BATCH_ROWS })
    }
}

/// A reader at a position: an iterator of batches. After an error it is at an end.
pub struct Rows {
    source: Box<dyn BatchSource>,
    names: Rc<[String]>,
    batch_rows: u32,
}

impl Rows {
    /// Ask for this many rows at a time, at least 1; the host may give fewer.
    #[must_use]
    pub fn batch_rows(mut self, rows: u32) -> Self {
        self.batch_rows = rows.max(1);
        self
    }
}

impl Iterator for Rows {
    type Item = Result<Batch, SubstrateError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.source.next(self.batch_rows) {
            Ok(batch) => {
                let (first_row, rows, columns) = batch?;
                Some(Ok(Batch { first_row, rows, names: Rc::clone(&self.names), columns }))
            }
            Err(error) => {
                self.source = Box::new(Ended);
                Some(Err(error))
            }
        }
    }
}

/// A reader that has nothing more to give.
struct Ended;

impl BatchSource for Ended {
    fn next(&mut self, _max_rows: u32) -> Result<Option<(u64, usize, Vec<Column>)>, SubstrateError> {
        Ok(None)
    }
}

/// The values of one column of a batch; an absent value holds a filler.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ColumnValues {
    Number(Vec<f64>),
    Integer(Vec<i64>),
    Text(Vec<String>),
    Boolean(Vec<bool>),
    Bytes(Vec<Vec<u8>>),
    Timestamp(Vec<i64>),
}

impl ColumnValues {
    fn kind(&self) -> ColumnType {
        match self {
            Self::Number(_) => ColumnType::Number,
            Self::Integer(_) => ColumnType::Integer,
            Self::Text(_) => ColumnType::Text,
            Self::Boolean(_) => ColumnType::Boolean,
            Self::Bytes(_) => ColumnType::Bytes,
            Self::Timestamp(_) => ColumnType::Timestamp,
        }
    }
}

/// One column as it crosses the sandbox.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) values: ColumnValues,
    /// Bit `i % 8` of byte `i / 8`; none means that all are present.
    pub(crate) present: Option<Vec<u8>>,
}

/// Consecutive rows of the source, column by column.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    first_row: u64,
    rows: usize,
    names: Rc<[String]>,
    columns: Vec<Column>,
}

impl Batch {
    /// Position in the source of the batch's first row, counted from 0 over all rows, selected or not.
    pub fn first_row(&self) -> u64 {
        self.first_row
    }

    /// Rows in the batch, at least 1.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The names of the columns, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The column's values as real numbers; integers are converted (exact up to 2^53).
    ///
    /// # Errors
    /// When the batch has no such column or its values are neither numbers nor integers.
    pub fn f64_column(&self, name: &str) -> Result<Cells<'_, f64>, SubstrateError> {
        let column = self.column(name)?;
        let values = match &column.values {
            ColumnValues::Number(values) => Cow::Borrowed(values.as_slice()),
            ColumnValues::Integer(values) => values.iter().map(|&value| value as f64).collect(),
            other => return Err(wrong_type(name, other, "numbers")),
        };
        Ok(Cells { values, present: column.present.as_deref() })
    }

    /// The column's values as integers.
    ///
    /// # Errors
    /// When the batch has no such column or its values are not integers.
    pub fn i64_column(&self, name: &str) -> Result<Cells<'_, i64>, SubstrateError> {
        let column = self.column(name)?;
        match &column.values {
            ColumnValues::Integer(values) => Ok(Cells::new(values, column)),
            other => Err(wrong_type(name, other, "integers")),
        }
    }

    /// The column's values as times, nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// When the batch has no such column or its values are not timestamps.
    pub fn time_column(&self, name: &str) -> Result<Cells<'_, i64>, SubstrateError> {
        let column = self.column(name)?;
        match &column.values {
            ColumnValues::Timestamp(values) => Ok(Cells::new(values, column)),
            other => Err(wrong_type(name, other, "timestamps")),
        }
    }

    /// The column's values as text.
    ///
    /// # Errors
    /// When the batch has no such column or its values are not text.
    pub fn text_column(&self, name: &str) -> Result<Cells<'_, String>, SubstrateError> {
        let column = self.column(name)?;
        match &column.values {
            ColumnValues::Text(values) => Ok(Cells::new(values, column)),
            other => Err(wrong_type(name, other, "texts")),
        }
    }

    /// The column's values as booleans.
    ///
    /// # Errors
    /// When the batch has no such column or its values are not booleans.
    pub fn bool_column(&self, name: &str) -> Result<Cells<'_, bool>, SubstrateError> {
        let column = self.column(name)?;
        match &column.values {
            ColumnValues::Boolean(values) => Ok(Cells::new(values, column)),
            other => Err(wrong_type(name, other, "booleans")),
        }
    }

    /// The column's values as bytes.
    ///
    /// # Errors
    /// When the batch has no such column or its values are not bytes.
    pub fn bytes_column(&self, name: &str) -> Result<Cells<'_, Vec<u8>>, SubstrateError> {
        let column = self.column(name)?;
        match &column.values {
            ColumnValues::Bytes(values) => Ok(Cells::new(values, column)),
            other => Err(wrong_type(name, other, "bytes")),
        }
    }

    /// One value, whatever its type; times are integers. None where it is absent or the row lies outside of the batch.
    ///
    /// # Errors
    /// When the batch has no such column.
    pub fn value(&self, name: &str, row: usize) -> Result<Option<Value>, SubstrateError> {
        let column = self.column(name)?;
        if !is_present(column.present.as_deref(), row) {
            return Ok(None);
        }
        Ok(match &column.values {
            ColumnValues::Number(values) => values.get(row).map(|value| Value::Number(*value)),
            ColumnValues::Integer(values) | ColumnValues::Timestamp(values) => {
                values.get(row).map(|value| Value::Integer(*value))
            }
            ColumnValues::Text(values) => values.get(row).map(|value| Value::Text(value.clone())),
            ColumnValues::Boolean(values) => values.get(row).map(|value| Value::Boolean(*value)),
            ColumnValues::Bytes(values) => values.get(row).map(|value| Value::Bytes(value.clone())),
        })
    }

    fn column(&self, name: &str) -> Result<&Column, SubstrateError> {
        self.names
            .iter()
            .position(|known| known == name)
            .and_then(|index| self.columns.get(index))
            .ok_or_else(|| SubstrateError::NoSuchColumn(name.to_owned()))
    }
}

fn wrong_type(column: &str, found: &ColumnValues, wanted: &'static str) -> SubstrateError {
    SubstrateError::WrongType { column: column.to_owned(), found: found.kind(), wanted }
}

fn is_present(present: Option<&[u8]>, row: usize) -> bool {
    present.is_none_or(|bits| bits.get(row / 8).is_some_and(|byte| byte & (1 << (row % 8)) != 0))
}

/// The values of one column, some of which may be absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells<'a, T: Clone> {
    values: Cow<'a, [T]>,
    present: Option<&'a [u8]>,
}

impl<'a, T: Clone> Cells<'a, T> {
    fn new(values: &'a [T], column: &'a Column) -> Self {
        Self { values: Cow::Borrowed(values), present: column.present.as_deref() }
    }

    /// Rows, absent ones included.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value in this row; none where it is absent or the row lies outside of the batch.
    pub fn get(&self, row: usize) -> Option<&T> {
        if is_present(self.present, row) { self.values.get(row) } else { None }
    }

    /// The values in order, none for an absent one.
    pub fn iter(&self) -> impl Iterator<Item = Option<&T>> {
        (0..self.values.len()).map(|row| self.get(row))
    }

    /// All values as one slice, where none is absent.
    pub fn all_present(&self) -> Option<&[T]> {
        match self.present {
            None => Some(&self.values),
            Some(_) => self.iter().all(|value| value.is_some()).then_some(&*self.values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        let column = |values, present| Column { values, present };
        Batch {
            first_row: 7,
            rows: 3,
            names: ["n".to_owned(), "i".to_owned(), "t".to_owned()].into(),
            columns: vec![
                column(ColumnValues::Number(vec![1.5, 0.0, 3.5]), Some(vec![0b101])),
                column(ColumnValues::Integer(vec![1, 2, 3]), None),
                column(ColumnValues::Text(vec!["a".into(), "b".into(), String::new()]), Some(vec![0b011])),
            ],
        }
    }

    #[test]
    fn absent_values_are_none_and_integers_read_as_numbers() {
        let batch = batch();
        let numbers = batch.f64_column("n").unwrap();
        assert_eq!(numbers.iter().collect::<Vec<_>>(), [Some(&1.5), None, Some(&3.5)]);
        assert_eq!(numbers.all_present(), None);
        let integers = batch.f64_column("i").unwrap();
        assert_eq!(integers.all_present(), Some(&[1.0, 2.0, 3.0][..]));
        assert_eq!(batch.value("t", 1).unwrap(), Some(Value::Text("b".into())));
        assert_eq!(batch.value("t", 2).unwrap(), None);
        assert_eq!(batch.value("i", 99).unwrap(), None);
    }

    #[test]
    fn a_bitmap_that_is_too_short_makes_the_rest_absent() {
        assert!(is_present(Some(&[0xff]), 7));
        assert!(!is_present(Some(&[0xff]), 8));
    }

    #[test]
    fn a_column_of_another_type_or_name_is_refused_by_name() {
        let batch = batch();
        assert_eq!(batch.f64_column("x").unwrap_err().to_string(), "the substrate has no column `x`");
        assert_eq!(
            batch.f64_column("t").unwrap_err().to_string(),
            "column `t` of the substrate holds text values where numbers are needed"
        );
    }
}
