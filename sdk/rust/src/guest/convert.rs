//! Between the types of the bindings and those of the SDK. Vectors move; nothing large is copied.

use super::bindings::inquisitor::instrument::{substrate as wire_substrate, types as wire};
use crate::error::Error;
use crate::reading::{Observation, Reading, Series, Value};
use crate::substrate::{Column, ColumnInfo, ColumnType, ColumnValues, Selection, SubstrateError};

pub(super) fn substrate_error(error: wire_substrate::SubstrateError) -> SubstrateError {
    use wire_substrate::SubstrateError as Wire;
    match error {
        Wire::None => SubstrateError::None,
        Wire::NoSuchColumn(name) => SubstrateError::NoSuchColumn(name),
        Wire::Unavailable(message) => SubstrateError::Unavailable(message),
        Wire::Malformed(message) => SubstrateError::Malformed(message),
        Wire::LimitExceeded(message) => SubstrateError::LimitExceeded(message),
    }
}

pub(super) fn column_info(column: wire_substrate::ColumnInfo) -> ColumnInfo {
    use wire_substrate::ColumnType as Wire;
    let kind = match column.type_ {
        Wire::Number => ColumnType::Number,
        Wire::Integer => ColumnType::Integer,
        Wire::Text => ColumnType::Text,
        Wire::Boolean => ColumnType::Boolean,
        Wire::Bytes => ColumnType::Bytes,
        Wire::Timestamp => ColumnType::Timestamp,
    };
    ColumnInfo { name: column.name, kind, unit: column.unit }
}

pub(super) fn column(column: wire_substrate::Column) -> Column {
    use wire_substrate::ColumnValues as Wire;
    let values = match column.values {
        Wire::Number(values) => ColumnValues::Number(values),
        Wire::Integer(values) => ColumnValues::Integer(values),
        Wire::Text(values) => ColumnValues::Text(values),
        Wire::Boolean(values) => ColumnValues::Boolean(values),
        Wire::Bytes(values) => ColumnValues::Bytes(values),
        Wire::Timestamp(values) => ColumnValues::Timestamp(values),
    };
    Column { values, present: column.present }
}

pub(super) fn selection(selection: &Selection) -> wire_substrate::Selection {
    wire_substrate::Selection {
        columns: selection.columns.clone(),
        where_equal: selection.where_equal.iter().map(|(name, v)| (name.clone(), value(v.clone()))).collect(),
        from_row: selection.from_row,
    }
}

fn value(value: Value) -> wire::Value {
    match value {
        Value::Number(number) => wire::Value::Number(number),
        Value::Integer(integer) => wire::Value::Integer(integer),
        Value::Text(text) => wire::Value::Text(text),
        Value::Boolean(boolean) => wire::Value::Boolean(boolean),
        Value::Bytes(bytes) => wire::Value::Bytes(bytes),
    }
}

pub(super) fn attributes(attributes: Vec<(String, Value)>) -> Vec<wire::Attribute> {
    attributes.into_iter().map(|(name, v)| wire::Attribute { name, value: value(v) }).collect()
}

pub(super) fn observation(observation: Observation) -> wire::Observation {
    let (readings, series) = observation.into_parts();
    wire::Observation {
        readings: readings.into_iter().map(reading).collect(),
        series: series.into_iter().map(one_series).collect(),
    }
}

fn reading(reading: Reading) -> wire::Reading {
    wire::Reading {
        quantity: reading.quantity,
        value: value(reading.value),
        unit: reading.unit,
        uncertainty: reading.uncertainty,
        confidence: reading.confidence,
        time: reading.time,
        attributes: attributes(reading.attributes),
    }
}

fn one_series(series: Series) -> wire::Series {
    wire::Series {
        quantity: series.quantity,
        unit: series.unit,
        times: series.times,
        values: series.values,
        uncertainties: series.uncertainties,
        confidence: series.confidence,
        attributes: attributes(series.attributes),
    }
}

pub(super) fn error(error: Error) -> wire::Error {
    match error {
        Error::InvalidParameters { pointer, message } => {
            wire::Error::InvalidParameters(wire::ParameterError { pointer, message })
        }
        Error::Unavailable { message, retry_after } => wire::Error::Unavailable(wire::Unavailability {
            message,
            retry_after: retry_after.map(|wait| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)),
        }),
        Error::Failed { message } => wire::Error::Failed(message),
    }
}
