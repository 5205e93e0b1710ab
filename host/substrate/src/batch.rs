//! Typed columnar batches and the trait of what yields them.

use serde::{Deserialize, Serialize};

/// Rows a batch may have at most.
pub const MAX_BATCH_ROWS: usize = 65_536;
/// Bytes a batch may have at most (values, not overhead), save that it always has at least one row.
pub const MAX_BATCH_BYTES: usize = 8 << 20;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// 64-bit floating point.
    Number,
    /// 64-bit signed integer.
    Integer,
    /// UTF-8 text.
    Text,
    /// True or false.
    Boolean,
    /// Bytes.
    Bytes,
    /// Nanoseconds since the Unix epoch.
    Timestamp,
}

/// A column of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnInfo {
    /// Name, unique in the source.
    pub name: String,
    /// Type of the values.
    pub kind: ColumnType,
    /// UCUM code where the source knows it.
    pub unit: Option<String>,
}

/// Values of one column; an absent value holds a filler.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnValues {
    /// Of a number column.
    Number(Vec<f64>),
    /// Of an integer column.
    Integer(Vec<i64>),
    /// Of a text column.
    Text(Vec<String>),
    /// Of a boolean column.
    Boolean(Vec<bool>),
    /// Of a bytes column.
    Bytes(Vec<Vec<u8>>),
    /// Of a timestamp column.
    Timestamp(Vec<i64>),
}

/// One column of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// One value for each row.
    pub values: ColumnValues,
    /// Presence bitmap, least significant bit first; none means that all are present.
    pub present: Option<Vec<u8>>,
}

/// Consecutive rows, column by column.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Position of the first row in the source, counted over all rows.
    pub first_row: u64,
    /// Rows, at least one.
    pub rows: usize,
    /// Columns in the order of the selection.
    pub columns: Vec<Column>,
}

/// A value to select rows by.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A number.
    Number(f64),
    /// An integer.
    Integer(i64),
    /// Text.
    Text(String),
    /// True or false.
    Boolean(bool),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// What to read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Selection {
    /// Columns by name; empty means all.
    pub columns: Vec<String>,
    /// Only rows in which each of these columns equals the value. Numbers, integers and texts that read as the same
    /// number are equal.
    pub where_equal: Vec<(String, Scalar)>,
    /// Row of the source to start at.
    pub from_row: u64,
}

/// Why a source gave no rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There is no column of this name.
    #[error("there is no column `{0}`")]
    NoSuchColumn(String),
    /// Another attempt may succeed.
    #[error("the source is unavailable: {0}")]
    Unavailable(String),
    /// The data are not as declared; says where and why.
    #[error("the source is malformed: {0}")]
    Malformed(String),
}

/// A source of rows. Opened once for a step; may be read many times.
pub trait Source: Send + Sync {
    /// The columns in the source's order.
    ///
    /// # Errors
    /// When the source cannot be read or is malformed.
    fn columns(&self) -> Result<Vec<ColumnInfo>, SourceError>;

    /// A reader of the selection from its first row.
    ///
    /// # Errors
    /// When a column does not exist or the source cannot be read.
    fn open(&self, selection: &Selection) -> Result<Box<dyn Rows>, SourceError>;

    /// Whether `columns`, `open` or the readers may wait for a disk or a network. A source that holds its rows in memory or
    /// computes them says no and is spared the change of threads, which costs more than a small batch.
    fn may_block(&self) -> bool {
        true
    }
}

/// A reader at a position. Blocking: callers on an async runtime give it a thread that may block.
pub trait Rows: Send {
    /// The next rows, at least one and at most `max_rows` (at least 1, capped by [`MAX_BATCH_ROWS`] and
    /// [`MAX_BATCH_BYTES`]); none at the end.
    ///
    /// # Errors
    /// When the source cannot be read further or is malformed.
    fn next(&mut self, max_rows: usize) -> Result<Option<Batch>, SourceError>;
}
