//! Between the world's types and the host's own, by hand: the world may change, the host's types stay.

use std::collections::BTreeMap;

use inquisitor_findings::reading::{Observation, Reading, Series, Value};

use super::bindings::exports::inquisitor::instrument::metadata;
use super::own::types;
use crate::contract;
use crate::description::{Capability, Description, Lifecycle, Quantity};
use crate::inspect::Inspection;
use crate::logs::escape;
use crate::outcome::Failure;

/// Bytes of a guest's error message that are kept.
const MAX_MESSAGE: usize = 4 << 10;

pub(super) fn error(error: types::Error) -> Failure {
    let text = |text: &str| escape(text, MAX_MESSAGE);
    match error {
        types::Error::InvalidParameters(wrong) => {
            Failure::InvalidParameters { pointer: text(&wrong.pointer), message: text(&wrong.message) }
        }
        types::Error::Unavailable(what) => {
            Failure::Unavailable { message: text(&what.message), retry_after: what.retry_after }
        }
        types::Error::Failed(message) => Failure::Failed { message: text(&message) },
    }
}

fn value(value: types::Value) -> Value {
    match value {
        types::Value::Number(number) => Value::Number(number),
        types::Value::Integer(integer) => Value::Integer(integer),
        types::Value::Text(text) => Value::Text(text),
        types::Value::Boolean(boolean) => Value::Boolean(boolean),
        types::Value::Bytes(bytes) => Value::Bytes(bytes),
    }
}

/// Attributes by name. `owner` says whose they are, where a name comes twice or there are too many.
pub(super) fn attributes(
    list: Vec<types::Attribute>,
    owner: impl Fn() -> String,
) -> Result<BTreeMap<String, Value>, Failure> {
    if list.len() > contract::MAX_ATTRIBUTES {
        let message =
            format!("{} has {} attributes, {} are allowed", owner(), list.len(), contract::MAX_ATTRIBUTES);
        return Err(Failure::ContractViolation { message });
    }
    let mut map = BTreeMap::new();
    for attribute in list {
        contract::check_attribute(&attribute.name)
            .map_err(|wrong| Failure::ContractViolation { message: format!("{}: {wrong}", owner()) })?;
        let value = value(attribute.value);
        if let Value::Number(number) = value
            && !number.is_finite()
        {
            let message =
                format!("{}: attribute `{}` is {number}, not a finite number", owner(), attribute.name);
            return Err(Failure::ContractViolation { message });
        }
        if map.contains_key(&attribute.name) {
            let message = format!("{}: attribute `{}` comes twice", owner(), attribute.name);
            return Err(Failure::ContractViolation { message });
        }
        map.insert(attribute.name, value);
    }
    Ok(map)
}

/// Readings as the host keeps them. Columns are moved, not copied.
pub(super) fn observation(observation: types::Observation, limit: u64) -> Result<Observation, Failure> {
    let count = observation.readings.len() as u64
        + observation.series.iter().map(|series| series.values.len() as u64).sum::<u64>();
    if count > limit {
        return Err(Failure::ResultLimit { what: "readings".to_owned(), limit, asked: count });
    }
    let mut readings = Vec::with_capacity(observation.readings.len());
    for (index, reading) in observation.readings.into_iter().enumerate() {
        let attributes = if reading.attributes.is_empty() {
            BTreeMap::new()
        } else {
            attributes(reading.attributes, || format!("reading {index}"))?
        };
        readings.push(Reading {
            quantity: reading.quantity,
            value: value(reading.value),
            unit: reading.unit,
            uncertainty: reading.uncertainty,
            confidence: reading.confidence,
            time: reading.time,
            attributes,
        });
    }
    let mut columns = Vec::with_capacity(observation.series.len());
    for (index, series) in observation.series.into_iter().enumerate() {
        columns.push(Series {
            quantity: series.quantity,
            unit: series.unit,
            times: series.times,
            values: series.values,
            uncertainties: series.uncertainties,
            confidence: series.confidence,
            attributes: attributes(series.attributes, || format!("series {index}"))?,
        });
    }
    Ok(Observation { readings, series: columns })
}

/// The description, checked.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub(super) fn description(told: metadata::Description, found: &Inspection) -> Result<Description, String> {
    let mut imports = found.imports.clone();
    imports.sort();
    let description = Description {
        parameters_schema: contract::schema("parameters-schema", &told.parameters_schema)?,
        step_parameters_schema: contract::schema("step-parameters-schema", &told.step_parameters_schema)?,
        name: told.name,
        version: told.version,
        summary: told.summary,
        aliases: told.aliases,
        quantities: told
            .quantities
            .into_iter()
            .map(|quantity| Quantity {
                name: quantity.name,
                unit: quantity.unit,
                description: quantity.description,
            })
            .collect(),
        capabilities: told
            .capabilities
            .into_iter()
            .map(|capability| match capability {
                metadata::Capability::Http(target) => Capability::Http(target),
                metadata::Capability::Tcp(target) => Capability::Tcp(target),
                metadata::Capability::ReadFiles(target) => Capability::ReadFiles(target),
                metadata::Capability::WriteFiles(target) => Capability::WriteFiles(target),
            })
            .collect(),
        lifecycle: Lifecycle {
            calibrate: told.lifecycle.contains(metadata::Lifecycle::CALIBRATE),
            checkpoint: told.lifecycle.contains(metadata::Lifecycle::CHECKPOINT),
        },
        minimum_memory: found.minimum_memory,
        minimum_table_elements: found.minimum_table_elements,
        imports,
    };
    contract::check_description(&description)?;
    Ok(description)
}
