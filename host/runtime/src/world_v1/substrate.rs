//! `substrate`: batches from the source into the guest, column by column, each column moved and not copied.

use std::sync::Arc;

use inquisitor_substrate::batch::{
    Batch, ColumnInfo, ColumnType, ColumnValues, MAX_BATCH_ROWS, Rows, Scalar, Selection, Source, SourceError,
};
use wasmtime::component::Resource;

use super::own::substrate::{self, SubstrateError};
use super::own::types::Value;
use crate::call::Ended;
use crate::guest::Guest;
use crate::outcome::Failure;

/// Columns and conditions of one selection. A source has few; the guest says how many it asks for.
const MAX_SELECTED: usize = 4_096;

/// A reader that a guest holds. The rows are away while a blocking read has them; a call that is dropped meanwhile leaves
/// the reader without, and the session ends with the call.
#[allow(unreachable_pub)] // The generated bindings re-export it.
pub struct Reader {
    rows: Option<Box<dyn Rows>>,
    may_block: bool,
}

type Answer<T> = wasmtime::Result<Result<T, SubstrateError>>;

/// Run `work` where it may block, unless the source says that it never does.
async fn off_thread<T: Send + 'static>(
    may_block: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> wasmtime::Result<T> {
    if may_block {
        let done = tokio::task::spawn_blocking(work).await;
        // The source's own fault, whatever it was; not the guest's.
        done.map_err(|error| {
            Ended(Failure::Host { message: format!("the data source failed: {error}") }).into()
        })
    } else {
        Ok(work())
    }
}

impl substrate::Host for Guest {
    async fn columns(&mut self) -> Answer<Vec<substrate::ColumnInfo>> {
        let Some(source) = self.substrate.clone() else { return Ok(Err(SubstrateError::None)) };
        let columns = off_thread(source.may_block(), move || source.columns()).await?;
        Ok(columns.map(|columns| columns.into_iter().map(column_info).collect()).map_err(source_error))
    }
}

impl substrate::HostRows for Guest {
    async fn open(&mut self, selection: substrate::Selection) -> Answer<Resource<Reader>> {
        let Some(source) = self.substrate.clone() else { return Ok(Err(SubstrateError::None)) };
        if selection.columns.len() > MAX_SELECTED || selection.where_equal.len() > MAX_SELECTED {
            let message = format!("a selection has at most {MAX_SELECTED} columns and conditions");
            return Ok(Err(SubstrateError::LimitExceeded(message)));
        }
        let selection = Selection {
            columns: selection.columns,
            where_equal: selection
                .where_equal
                .into_iter()
                .map(|(name, value)| (name, scalar(value)))
                .collect(),
            from_row: selection.from_row,
        };
        let may_block = source.may_block();
        let source: Arc<dyn Source> = source;
        match off_thread(may_block, move || source.open(&selection)).await? {
            Ok(rows) => Ok(Ok(self.table.push(Reader { rows: Some(rows), may_block })?)),
            Err(error) => Ok(Err(source_error(error))),
        }
    }

    async fn next(&mut self, reader: Resource<Reader>, max_rows: u32) -> Answer<Option<substrate::Batch>> {
        let place = self.table.get_mut(&reader)?;
        let may_block = place.may_block;
        let Some(mut rows) = place.rows.take() else {
            return Ok(Err(SubstrateError::Unavailable("the reader failed before".to_owned())));
        };
        let max_rows = usize::try_from(max_rows).unwrap_or(usize::MAX).clamp(1, MAX_BATCH_ROWS);
        let (rows, batch) = off_thread(may_block, move || {
            let batch = rows.next(max_rows);
            (rows, batch)
        })
        .await?;
        self.table.get_mut(&reader)?.rows = Some(rows);
        match batch {
            Ok(None) => Ok(Ok(None)),
            Ok(Some(batch)) => {
                self.recorder.batch(&batch);
                self.meter.rows += batch.rows as u64;
                Ok(Ok(Some(wit_batch(batch))))
            }
            Err(error) => Ok(Err(source_error(error))),
        }
    }

    fn drop(&mut self, reader: Resource<Reader>) -> wasmtime::Result<()> {
        self.table.delete(reader)?;
        Ok(())
    }
}

fn scalar(value: Value) -> Scalar {
    match value {
        Value::Number(number) => Scalar::Number(number),
        Value::Integer(integer) => Scalar::Integer(integer),
        Value::Text(text) => Scalar::Text(text),
        Value::Boolean(boolean) => Scalar::Boolean(boolean),
        Value::Bytes(bytes) => Scalar::Bytes(bytes),
    }
}

fn source_error(error: SourceError) -> SubstrateError {
    match error {
        SourceError::NoSuchColumn(name) => SubstrateError::NoSuchColumn(name),
        SourceError::Unavailable(message) => SubstrateError::Unavailable(message),
        SourceError::Malformed(message) => SubstrateError::Malformed(message),
    }
}

fn column_info(info: ColumnInfo) -> substrate::ColumnInfo {
    let kind = match info.kind {
        ColumnType::Number => substrate::ColumnType::Number,
        ColumnType::Integer => substrate::ColumnType::Integer,
        ColumnType::Text => substrate::ColumnType::Text,
        ColumnType::Boolean => substrate::ColumnType::Boolean,
        ColumnType::Bytes => substrate::ColumnType::Bytes,
        ColumnType::Timestamp => substrate::ColumnType::Timestamp,
    };
    substrate::ColumnInfo { name: info.name, type_: kind, unit: info.unit }
}

fn wit_batch(batch: Batch) -> substrate::Batch {
    let column = |column: inquisitor_substrate::batch::Column| substrate::Column {
        values: match column.values {
            ColumnValues::Number(values) => substrate::ColumnValues::Number(values),
            ColumnValues::Integer(values) => substrate::ColumnValues::Integer(values),
            ColumnValues::Text(values) => substrate::ColumnValues::Text(values),
            ColumnValues::Boolean(values) => substrate::ColumnValues::Boolean(values),
            ColumnValues::Bytes(values) => substrate::ColumnValues::Bytes(values),
            ColumnValues::Timestamp(values) => substrate::ColumnValues::Timestamp(values),
        },
        present: column.present,
    };
    substrate::Batch {
        first_row: batch.first_row,
        rows: u32::try_from(batch.rows).unwrap_or(u32::MAX),
        columns: batch.columns.into_iter().map(column).collect(),
    }
}
