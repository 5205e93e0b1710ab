//! From records to batches: selection, filters and the bounds of a batch, the same for every kind of source.

use crate::batch::{
    Batch, ColumnInfo, MAX_BATCH_BYTES, MAX_BATCH_ROWS, Rows, Scalar, Selection, SourceError,
};
use crate::cell::{Cell, Gathering, Wanted};

/// Records one after another, each looked at cell by cell.
pub(crate) trait Records: Send {
    /// Goes to the next record; false at the end.
    fn advance(&mut self) -> Result<bool, SourceError>;

    /// The value of a column of the current record, of the column's type.
    fn cell(&self, column: usize) -> Result<Cell<'_>, SourceError>;

    /// Adds the value of a column of the current record to a batch; returns the bytes that it takes.
    fn gather(&self, column: usize, target: &mut Gathering) -> Result<usize, SourceError> {
        Ok(target.push(self.cell(column)?))
    }
}

/// Bytes that columns reserve for the first batch, all together; it grows as needed. Later batches reserve what the one
/// before them had.
const FIRST_CAPACITY: usize = 64 << 10;

/// Reads a selection of records as batches.
pub(crate) struct Reader<R> {
    records: R,
    /// The source's columns, of which `selected` holds positions.
    columns: Vec<ColumnInfo>,
    selected: Vec<usize>,
    filters: Vec<(usize, Wanted)>,
    from_row: u64,
    /// Position of the record that `advance` goes to next.
    next_row: u64,
    /// Whether the current record was read but belongs into the next batch.
    is_held: bool,
    /// Rows to reserve space for.
    capacity: usize,
    end: Option<Result<(), SourceError>>,
}

impl<R: Records> Reader<R> {
    /// A reader of the selection.
    ///
    /// # Errors
    /// When the selection names a column that does not exist.
    pub(crate) fn new(
        columns: Vec<ColumnInfo>,
        selection: &Selection,
        records: R,
    ) -> Result<Self, SourceError> {
        let position = |name: &String| {
            columns
                .iter()
                .position(|column| column.name == *name)
                .ok_or_else(|| SourceError::NoSuchColumn(name.clone()))
        };
        let selected = if selection.columns.is_empty() {
            (0..columns.len()).collect()
        } else {
            selection.columns.iter().map(position).collect::<Result<_, _>>()?
        };
        let filter = |(name, scalar): &(String, Scalar)| Ok((position(name)?, Wanted::new(scalar)));
        let filters = selection.where_equal.iter().map(filter).collect::<Result<_, SourceError>>()?;
        let capacity = FIRST_CAPACITY / (8 * columns.len().max(1));
        Ok(Self {
            records,
            columns,
            selected,
            filters,
            from_row: selection.from_row,
            next_row: 0,
            is_held: false,
            capacity,
            end: None,
        })
    }

    /// Goes to the next record of the selection; false at the end.
    fn advance(&mut self) -> Result<bool, SourceError> {
        if std::mem::take(&mut self.is_held) {
            return Ok(true);
        }
        'records: while self.records.advance()? {
            self.next_row += 1;
            if self.next_row <= self.from_row {
                continue;
            }
            for (column, wanted) in &self.filters {
                if !wanted.equals(&self.records.cell(*column)?) {
                    continue 'records;
                }
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Adds the current record; returns the bytes of its values.
    fn gather(&self, gathered: &mut [Gathering]) -> Result<usize, SourceError> {
        let mut bytes = 0;
        for (column, gathering) in self.selected.iter().zip(gathered) {
            bytes += self.records.gather(*column, gathering)?;
        }
        Ok(bytes)
    }
}

impl<R: Records> Rows for Reader<R> {
    /// After an error every further call gives the same error: what follows malformed data means nothing.
    fn next(&mut self, max_rows: usize) -> Result<Option<Batch>, SourceError> {
        if let Some(end) = &self.end {
            return end.clone().map(|()| None);
        }
        let max_rows = max_rows.clamp(1, MAX_BATCH_ROWS);
        let capacity = max_rows.min(self.capacity);
        let mut gathered: Vec<Gathering> =
            self.selected.iter().map(|column| Gathering::new(self.columns[*column].kind, capacity)).collect();
        let (mut rows, mut bytes, mut first_row) = (0, 0, 0);
        while rows < max_rows {
            let added = match self.advance() {
                Ok(true) => self.gather(&mut gathered),
                Ok(false) => {
                    self.end = Some(Ok(()));
                    break;
                }
                Err(error) => Err(error),
            };
            match added {
                // The rows before the malformed one are good; the error comes with the next call.
                Err(error) => {
                    self.end = Some(Err(error));
                    break;
                }
                Ok(added) if rows > 0 && bytes + added > MAX_BATCH_BYTES => {
                    self.is_held = true;
                    break;
                }
                Ok(added) => bytes += added,
            }
            if rows == 0 {
                first_row = self.next_row - 1;
            }
            rows += 1;
        }
        if rows == 0 {
            return self.end.clone().unwrap_or(Ok(())).map(|()| None);
        }
        self.capacity = rows;
        // What a held or a malformed record left in some columns.
        for gathering in &mut gathered {
            gathering.truncate(rows);
        }
        let columns = gathered.into_iter().map(Gathering::finish).collect();
        Ok(Some(Batch { first_row, rows, columns }))
    }
}
