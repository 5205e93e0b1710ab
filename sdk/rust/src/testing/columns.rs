//! A substrate in memory.

use crate::host::BatchSource;
use crate::reading::Value;
use crate::substrate::{Column, ColumnInfo, ColumnType, ColumnValues, Selection, SubstrateError};

/// A table, column by column. Values are given as they are or as options, where none is an absent value.
///
/// ```
/// # use inquisitor_sdk::testing::Columns;
/// let table = Columns::new()
///     .timestamps("time", [0, 1_000_000_000])
///     .numbers("temperature", [Some(4.2), None])
///     .unit("Cel")
///     .texts("sensor", ["north", "south"]);
/// let same = Columns::from_csv("time,temperature,sensor\n1970-01-01T00:00:00Z,4.2,north\n1970-01-01T00:00:01Z,,south\n");
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Columns {
    columns: Vec<(ColumnInfo, Vec<Option<Value>>)>,
}

/// Methods that add a column of one type.
macro_rules! column {
    ($($(#[$doc:meta])* $name:ident: $kind:ident, $value:ty => $variant:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Panics
        /// When the column is not as long as the ones before it.
        #[must_use]
        pub fn $name<T: Into<Option<$value>>>(
            self,
            name: impl Into<String>,
            values: impl IntoIterator<Item = T>,
        ) -> Self {
            let values = values.into_iter().map(|value| value.into().map(|value| Value::$variant(value.into())));
            self.add(name.into(), ColumnType::$kind, values.collect())
        }
    )*};
}

impl Columns {
    /// A table without columns.
    pub fn new() -> Self {
        Self::default()
    }

    column! {
        /// Add a column of real numbers.
        numbers: Number, f64 => Number;
        /// Add a column of integers.
        integers: Integer, i64 => Integer;
        /// Add a column of texts.
        texts: Text, &'static str => Text;
        /// Add a column of booleans.
        booleans: Boolean, bool => Boolean;
        /// Add a column of times, nanoseconds since the Unix epoch.
        timestamps: Timestamp, i64 => Integer;
    }

    /// The UCUM code of the last column's unit.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        if let Some((info, _)) = self.columns.last_mut() {
            info.unit = Some(unit.into());
        }
        self
    }

    /// Read CSV with a header, as a host reads a file whose columns the manifest does not type. An empty field is an absent
    /// value; a column is of the narrowest type that fits all its values: boolean (`true`, `False`), integer, finite
    /// number, timestamp (RFC 3339), else text. Numbers with leading zeros are text: they are codes.
    ///
    /// # Panics
    /// When the text is not CSV or a row is not as long as the header.
    pub fn from_csv(text: &str) -> Self {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header: Vec<String> = match reader.headers() {
            Ok(header) => header.iter().map(str::to_owned).collect(),
            Err(error) => panic!("the header is not CSV: {error}"),
        };
        let mut fields = vec![Vec::new(); header.len()];
        for row in reader.records() {
            let row = row.unwrap_or_else(|error| panic!("not CSV: {error}"));
            for (column, field) in fields.iter_mut().zip(&row) {
                column.push(field.to_owned());
            }
        }
        header.into_iter().zip(fields).fold(Self::new(), |table, (name, fields)| {
            let (kind, values) = typed(&fields);
            table.add(name, kind, values)
        })
    }

    fn add(mut self, name: String, kind: ColumnType, values: Vec<Option<Value>>) -> Self {
        let rows = self.rows();
        assert!(
            self.columns.is_empty() || values.len() == rows,
            "column `{name}` has {} rows, the ones before it have {rows}",
            values.len()
        );
        self.columns.push((ColumnInfo { name, kind, unit: None }, values));
        self
    }

    fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, values)| values.len())
    }

    pub(super) fn infos(&self) -> Vec<ColumnInfo> {
        self.columns.iter().map(|(info, _)| info.clone()).collect()
    }

    fn position(&self, name: &str) -> Result<usize, SubstrateError> {
        self.columns
            .iter()
            .position(|(info, _)| info.name == name)
            .ok_or_else(|| SubstrateError::NoSuchColumn(name.to_owned()))
    }

    /// A reader of the selected rows.
    pub(super) fn select(&self, selection: &Selection) -> Result<Selected, SubstrateError> {
        let columns = if selection.columns.is_empty() {
            (0..self.columns.len()).collect()
        } else {
            selection.columns.iter().map(|name| self.position(name)).collect::<Result<Vec<_>, _>>()?
        };
        let mut conditions = Vec::new();
        for (name, wanted) in &selection.where_equal {
            conditions.push((self.position(name)?, wanted));
        }
        let first = usize::try_from(selection.from_row).unwrap_or(usize::MAX);
        let rows = (first..self.rows())
            .filter(|&row| {
                conditions.iter().all(|(column, wanted)| {
                    self.columns[*column].1[row].as_ref().is_some_and(|value| equal(value, wanted))
                })
            })
            .collect();
        Ok(Selected { table: self.clone(), columns, rows, next: 0 })
    }
}

/// Numbers, integers and texts that read as the same number are equal.
fn equal(left: &Value, right: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Text(text) => text.parse::<f64>().ok(),
        other => other.as_f64(),
    };
    left == right || matches!((number(left), number(right)), (Some(left), Some(right)) if left == right)
}

/// Reads a field as one type.
type Parse = fn(&str) -> Option<Value>;

fn typed(fields: &[String]) -> (ColumnType, Vec<Option<Value>>) {
    let attempts: [(ColumnType, Parse); 4] = [
        (ColumnType::Boolean, |field| field.to_ascii_lowercase().parse().ok().map(Value::Boolean)),
        (ColumnType::Integer, |field| field.parse().ok().filter(|_| !is_code(field)).map(Value::Integer)),
        (ColumnType::Number, |field| {
            let number = field.parse().ok().filter(|number: &f64| number.is_finite() && !is_code(field));
            number.map(Value::Number)
        }),
        (ColumnType::Timestamp, |field| {
            let time: jiff::Timestamp = field.parse().ok()?;
            i64::try_from(time.as_nanosecond()).ok().map(Value::Integer)
        }),
    ];
    // Where nothing was seen, nothing speaks against text.
    if fields.iter().any(|field| !field.trim_ascii().is_empty()) {
        for (kind, parse) in attempts {
            let values: Option<Vec<Option<Value>>> = fields
                .iter()
                .map(|field| match field.trim_ascii() {
                    "" => Some(None),
                    field => parse(field).map(Some),
                })
                .collect();
            if let Some(values) = values {
                return (kind, values);
            }
        }
    }
    let text = |field: &String| (!field.is_empty()).then(|| Value::Text(field.clone()));
    (ColumnType::Text, fields.iter().map(text).collect())
}

/// Whether leading zeros mark it as a code, which would lose them as a number.
fn is_code(field: &str) -> bool {
    matches!(field.strip_prefix('-').unwrap_or(field).as_bytes(), [b'0', b'0'..=b'9', ..])
}

/// A reader of selected rows.
pub(super) struct Selected {
    table: Columns,
    columns: Vec<usize>,
    rows: Vec<usize>,
    next: usize,
}

impl BatchSource for Selected {
    fn next(&mut self, max_rows: u32) -> Result<Option<(u64, usize, Vec<Column>)>, SubstrateError> {
        let end = self.rows.len().min(self.next + max_rows as usize);
        let rows = &self.rows[self.next..end];
        let Some(&first) = rows.first() else { return Ok(None) };
        let columns = self
            .columns
            .iter()
            .map(|&index| {
                let (info, values) = &self.table.columns[index];
                column(info.kind, rows.iter().map(|&row| values[row].as_ref()).collect())
            })
            .collect();
        self.next = end;
        Ok(Some((first as u64, rows.len(), columns)))
    }
}

fn column(kind: ColumnType, cells: Vec<Option<&Value>>) -> Column {
    let mut bits = vec![0_u8; cells.len().div_ceil(8)];
    for (row, cell) in cells.iter().enumerate() {
        if cell.is_some() {
            bits[row / 8] |= 1 << (row % 8);
        }
    }
    let present = if cells.iter().all(Option::is_some) { None } else { Some(bits) };
    let integers = || {
        cells
            .iter()
            .map(|cell| if let Some(Value::Integer(value)) = cell { *value } else { 0 })
            .collect::<Vec<_>>()
    };
    let values = match kind {
        ColumnType::Number => ColumnValues::Number(
            cells.iter().map(|cell| cell.and_then(Value::as_f64).unwrap_or(0.0)).collect(),
        ),
        ColumnType::Integer => ColumnValues::Integer(integers()),
        ColumnType::Timestamp => ColumnValues::Timestamp(integers()),
        ColumnType::Text => ColumnValues::Text(
            cells.iter().map(|cell| cell.and_then(Value::as_str).unwrap_or("").to_owned()).collect(),
        ),
        ColumnType::Boolean => ColumnValues::Boolean(
            cells.iter().map(|cell| matches!(cell, Some(Value::Boolean(true)))).collect(),
        ),
        ColumnType::Bytes => ColumnValues::Bytes(
            cells
                .iter()
                .map(|cell| if let Some(Value::Bytes(bytes)) = cell { bytes.clone() } else { Vec::new() })
                .collect(),
        ),
    };
    Column { values, present }
}
