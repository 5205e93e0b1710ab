//! One value between a record and a batch, what it is compared with, and the columns it is gathered in.

use std::borrow::Cow;

use crate::batch::{Column, ColumnType, ColumnValues, Scalar};
use crate::parameters::rfc3339;

/// The value of one column in one row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell<'a> {
    /// There is none.
    Absent,
    /// A finite number.
    Number(f64),
    /// An integer.
    Integer(i64),
    /// Text.
    Text(Cow<'a, str>),
    /// True or false.
    Boolean(bool),
    /// Nanoseconds since the Unix epoch.
    Timestamp(i64),
}

/// A number as written: integers keep all their digits.
#[derive(Debug, Clone, Copy)]
enum Numeric {
    Integer(i64),
    Float(f64),
}

impl Numeric {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(integer) = text.parse() {
            return Some(Self::Integer(integer));
        }
        text.parse().ok().filter(|number: &f64| number.is_finite()).map(Self::Float)
    }

    fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Self::Integer(left), Self::Integer(right)) => left == right,
            (Self::Float(left), Self::Float(right)) => left == right,
            (Self::Integer(integer), Self::Float(float)) | (Self::Float(float), Self::Integer(integer)) => {
                // Compared as integers, since a large integer may have no float of its own. 2^63 is the first float
                // beyond the range.
                #[allow(clippy::cast_possible_truncation)]
                let exact = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&float)
                    && float.fract() == 0.0
                    && float as i64 == integer;
                exact
            }
        }
    }
}

/// A value to select rows by, made ready to be compared with many cells.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    scalar: Scalar,
    /// The value as a number, where it reads as one.
    numeric: Option<Numeric>,
    /// The value as nanoseconds since the Unix epoch, where it reads as a time.
    moment: Option<i64>,
}

impl Wanted {
    pub(crate) fn new(scalar: &Scalar) -> Self {
        let (numeric, moment) = match scalar {
            Scalar::Number(number) => (Some(Numeric::Float(*number)), None),
            Scalar::Integer(integer) => (Some(Numeric::Integer(*integer)), Some(*integer)),
            Scalar::Text(text) => (Numeric::read(text), rfc3339(text)),
            Scalar::Boolean(_) | Scalar::Bytes(_) => (None, None),
        };
        Self { scalar: scalar.clone(), numeric, moment }
    }

    /// Whether a cell equals the value. An absent cell equals nothing. A time equals an integer of the same
    /// nanoseconds and a text that is the same time in RFC 3339.
    pub(crate) fn equals(&self, cell: &Cell<'_>) -> bool {
        let numeric = |other| self.numeric.is_some_and(|own| own.equals(other));
        match cell {
            Cell::Absent => false,
            Cell::Number(number) => numeric(Numeric::Float(*number)),
            Cell::Integer(integer) => numeric(Numeric::Integer(*integer)),
            Cell::Text(text) => {
                matches!(&self.scalar, Scalar::Text(own) if own == text)
                    || (self.numeric.is_some() && Numeric::read(text).is_some_and(numeric))
            }
            Cell::Boolean(flag) => self.scalar == Scalar::Boolean(*flag),
            Cell::Timestamp(moment) => self.moment == Some(*moment),
        }
    }
}

/// A column of a batch while rows are added.
#[derive(Debug)]
pub(crate) struct Gathering {
    values: ColumnValues,
    rows: usize,
    /// Presence bitmap, from the first absent value on.
    present: Option<Vec<u8>>,
}

impl Gathering {
    pub(crate) fn new(kind: ColumnType, capacity: usize) -> Self {
        let values = match kind {
            ColumnType::Number => ColumnValues::Number(Vec::with_capacity(capacity)),
            ColumnType::Integer => ColumnValues::Integer(Vec::with_capacity(capacity)),
            ColumnType::Text => ColumnValues::Text(Vec::with_capacity(capacity)),
            ColumnType::Boolean => ColumnValues::Boolean(Vec::with_capacity(capacity)),
            ColumnType::Bytes => ColumnValues::Bytes(Vec::with_capacity(capacity)),
            ColumnType::Timestamp => ColumnValues::Timestamp(Vec::with_capacity(capacity)),
        };
        Self { values, rows: 0, present: None }
    }

    /// Adds a row and returns the bytes that its value takes. A cell of another type than the column's counts as
    /// absent; records give none.
    pub(crate) fn push(&mut self, cell: Cell<'_>) -> usize {
        let (bytes, is_present) = match (&mut self.values, cell) {
            (ColumnValues::Number(values), Cell::Number(number)) => (push_to(values, number, 8), true),
            #[allow(clippy::cast_precision_loss)]
            (ColumnValues::Number(values), Cell::Integer(integer)) => {
                (push_to(values, integer as f64, 8), true)
            }
            (ColumnValues::Integer(values), Cell::Integer(integer)) => (push_to(values, integer, 8), true),
            (ColumnValues::Text(values), Cell::Text(text)) => {
                let bytes = text.len();
                (push_to(values, text.into_owned(), bytes), true)
            }
            (ColumnValues::Boolean(values), Cell::Boolean(flag)) => (push_to(values, flag, 1), true),
            (ColumnValues::Timestamp(values), Cell::Timestamp(moment)) => (push_to(values, moment, 8), true),
            (ColumnValues::Number(values), _) => (push_to(values, 0.0, 8), false),
            (ColumnValues::Integer(values) | ColumnValues::Timestamp(values), _) => {
                (push_to(values, 0, 8), false)
            }
            (ColumnValues::Text(values), _) => (push_to(values, String::new(), 0), false),
            (ColumnValues::Boolean(values), _) => (push_to(values, false, 1), false),
            (ColumnValues::Bytes(values), _) => (push_to(values, Vec::new(), 0), false),
        };
        match (&mut self.present, is_present) {
            (None, true) => {}
            (None, false) => {
                let mut bitmap = all_set(self.rows);
                set(&mut bitmap, self.rows, false);
                self.present = Some(bitmap);
            }
            (Some(bitmap), _) => set(bitmap, self.rows, is_present),
        }
        self.rows += 1;
        bytes
    }

    /// Adds a row of a number column that is present: what [`Self::push`] does, without the detour.
    #[inline]
    pub(crate) fn push_number(&mut self, number: f64) -> usize {
        match (&mut self.values, &self.present) {
            (ColumnValues::Number(values), None) => {
                values.push(number);
                self.rows += 1;
                8
            }
            _ => self.push(Cell::Number(number)),
        }
    }

    /// Adds a row of an integer column that is present; as [`Self::push_number`].
    #[inline]
    pub(crate) fn push_integer(&mut self, integer: i64) -> usize {
        match (&mut self.values, &self.present) {
            (ColumnValues::Integer(values), None) => {
                values.push(integer);
                self.rows += 1;
                8
            }
            _ => self.push(Cell::Integer(integer)),
        }
    }

    /// Forgets the rows from this one on.
    pub(crate) fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            ColumnValues::Number(values) => values.truncate(rows),
            ColumnValues::Integer(values) | ColumnValues::Timestamp(values) => values.truncate(rows),
            ColumnValues::Text(values) => values.truncate(rows),
            ColumnValues::Boolean(values) => values.truncate(rows),
            ColumnValues::Bytes(values) => values.truncate(rows),
        }
        self.rows = self.rows.min(rows);
        if let Some(bitmap) = &mut self.present {
            bitmap.truncate(self.rows.div_ceil(8));
            if let (Some(last), used @ 1..) = (bitmap.last_mut(), self.rows % 8) {
                *last &= (1 << used) - 1;
            }
            if *bitmap == all_set(self.rows) {
                self.present = None;
            }
        }
    }

    pub(crate) fn finish(self) -> Column {
        Column { values: self.values, present: self.present }
    }
}

fn push_to<T>(values: &mut Vec<T>, value: T, bytes: usize) -> usize {
    values.push(value);
    bytes
}

/// A bitmap of so many set bits; the spare bits of the last byte are clear.
fn all_set(rows: usize) -> Vec<u8> {
    let mut bitmap = vec![0xff; rows.div_ceil(8)];
    if let (Some(last), used @ 1..) = (bitmap.last_mut(), rows % 8) {
        *last = (1 << used) - 1;
    }
    bitmap
}

/// Appends the bit of a row; rows come in order.
fn set(bitmap: &mut Vec<u8>, row: usize, is_present: bool) {
    if row.is_multiple_of(8) {
        bitmap.push(0);
    }
    if let (true, Some(last)) = (is_present, bitmap.last_mut()) {
        *last |= 1 << (row % 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_as_the_same_number_is_equal() {
        let five =
            [Scalar::Number(5.0), Scalar::Integer(5), Scalar::Text("5.00".into()), Scalar::Text("5".into())];
        for scalar in five {
            let wanted = Wanted::new(&scalar);
            for cell in [Cell::Number(5.0), Cell::Integer(5), Cell::Text("5e0".into())] {
                assert!(wanted.equals(&cell), "{scalar:?} {cell:?}");
            }
            for cell in [Cell::Number(5.1), Cell::Integer(4), Cell::Text("five".into()), Cell::Absent] {
                assert!(!wanted.equals(&cell), "{scalar:?} {cell:?}");
            }
        }
    }

    #[test]
    fn large_integers_are_compared_exactly() {
        // 2^53 + 1 has no float; 2^63 is beyond the range of the integers but would saturate to the largest.
        let wanted = Wanted::new(&Scalar::Number(9_007_199_254_740_992.0));
        assert!(wanted.equals(&Cell::Integer(9_007_199_254_740_992)));
        assert!(!wanted.equals(&Cell::Integer(9_007_199_254_740_993)));
        let wanted = Wanted::new(&Scalar::Number(9_223_372_036_854_775_808.0));
        assert!(!wanted.equals(&Cell::Integer(i64::MAX)));
    }

    #[test]
    fn text_and_flags_and_times() {
        assert!(Wanted::new(&Scalar::Text("dock".into())).equals(&Cell::Text("dock".into())));
        assert!(!Wanted::new(&Scalar::Text("nan".into())).equals(&Cell::Text("NaN".into())));
        assert!(Wanted::new(&Scalar::Boolean(true)).equals(&Cell::Boolean(true)));
        assert!(!Wanted::new(&Scalar::Integer(1)).equals(&Cell::Boolean(true)));
        let second = Cell::Timestamp(1_000_000_000);
        assert!(Wanted::new(&Scalar::Integer(1_000_000_000)).equals(&second));
        assert!(Wanted::new(&Scalar::Text("1970-01-01T01:00:01+01:00".into())).equals(&second));
        assert!(!Wanted::new(&Scalar::Bytes(vec![1])).equals(&second));
    }

    #[test]
    fn presence_is_kept_only_where_a_value_is_absent() {
        let mut column = Gathering::new(ColumnType::Integer, 0);
        for row in 0..9 {
            column.push(Cell::Integer(row));
        }
        column.push(Cell::Absent);
        column.push(Cell::Integer(10));
        column.truncate(10);
        assert_eq!(
            column.finish(),
            Column {
                values: ColumnValues::Integer(vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 0]),
                present: Some(vec![0xff, 0b01])
            }
        );
        let mut column = Gathering::new(ColumnType::Integer, 0);
        column.push(Cell::Integer(1));
        column.push(Cell::Absent);
        column.truncate(1);
        assert_eq!(column.finish().present, None);
    }
}
