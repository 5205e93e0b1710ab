//! What to read, and how it fits the columns that the substrate has.

use std::collections::BTreeMap;

use inquisitor_sdk::{ColumnInfo, ColumnType, Error, Value, is_quantity_name};
use schemars::JsonSchema;
use serde::Deserialize;

/// Columns that one table may make readings of.
const MAX_COLUMNS: usize = 64;

/// A column or a list of them.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Names {
    /// One column.
    One(String),
    /// Several columns.
    Many(Vec<String>),
}

impl Names {
    /// Each name with its JSON Pointer below `pointer`.
    fn with_pointers(&self, pointer: &str) -> Vec<(&str, String)> {
        match self {
            Self::One(name) => vec![(name.as_str(), pointer.to_owned())],
            Self::Many(names) => names
                .iter()
                .enumerate()
                .map(|(index, name)| (name.as_str(), format!("{pointer}/{index}")))
                .collect(),
        }
    }
}

/// A standard uncertainty for all readings, or the column that holds one for each.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Uncertainty {
    /// The same for each reading, in the unit of the value.
    Constant(f64),
    /// A number column.
    Column(String),
}

/// A value to select rows by.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Wanted {
    /// True or false.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

impl Wanted {
    pub(crate) fn value(&self) -> Value {
        match self {
            Self::Boolean(boolean) => (*boolean).into(),
            Self::Integer(integer) => (*integer).into(),
            Self::Number(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
        }
    }
}

/// Parameters of the instrument.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// The column that holds the values, or a list of columns.
    pub(crate) value: Names,
    /// Name of the quantity that the values are of; by default the column's name. Only where there is one column.
    pub(crate) quantity: Option<String>,
    /// UCUM code of the values' unit; by default that of the column, else `1`.
    pub(crate) unit: Option<String>,
    /// The column that holds the time of each row. By default `time`, where there is such a column of timestamps.
    pub(crate) time: Option<String>,
    /// Standard uncertainty (k = 1) of the values: a number in their unit, or the name of a column that holds one for
    /// each row.
    pub(crate) uncertainty: Option<Uncertainty>,
    /// Only rows in which each of these columns equals the value.
    #[serde(default, rename = "where")]
    pub(crate) conditions: BTreeMap<String, Wanted>,
    /// How far to trust the readings, 0 to 1.
    #[serde(default = "full_confidence")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) confidence: f64,
}

fn full_confidence() -> f64 {
    1.0
}

impl Parameters {
    /// What is wrong without a look at the substrate.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let names = self.value.with_pointers("/value");
        if names.is_empty() || names.len() > MAX_COLUMNS {
            return Err(Error::invalid("/value", format!("must name 1 to {MAX_COLUMNS} columns")));
        }
        if let Some(quantity) = &self.quantity {
            if names.len() > 1 {
                return Err(Error::invalid(
                    "/quantity",
                    "is only for one column; of several, each has its own name",
                ));
            }
            if !is_quantity_name(quantity) {
                return Err(Error::invalid(
                    "/quantity",
                    "must be lower-case letters, digits and underscores, a letter first",
                ));
            }
        }
        if self.unit.as_deref() == Some("") {
            return Err(Error::invalid(
                "/unit",
                "must be a UCUM code; `1` is that of a value without a unit",
            ));
        }
        if let Some(Uncertainty::Constant(uncertainty)) = self.uncertainty
            && !(uncertainty.is_finite() && uncertainty >= 0.0)
        {
            return Err(Error::invalid("/uncertainty", "must be zero or more"));
        }
        if !(0.0..=1.0).contains(&self.confidence) {
            return Err(Error::invalid("/confidence", "must lie between 0 and 1"));
        }
        Ok(())
    }
}

/// One column of values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ValueColumn {
    pub(crate) name: String,
    pub(crate) kind: ColumnType,
    pub(crate) quantity: String,
    pub(crate) unit: String,
}

/// The parameters as they fit the substrate.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) values: Vec<ValueColumn>,
    pub(crate) time: Option<String>,
    pub(crate) uncertainty: Option<&'a Uncertainty>,
    pub(crate) conditions: &'a BTreeMap<String, Wanted>,
    pub(crate) confidence: f64,
}

impl<'a> Plan<'a> {
    /// Fit the parameters to the columns.
    ///
    /// # Errors
    /// A pointer to the parameter that names a column that is not there, or is of a type that cannot serve.
    pub(crate) fn new(parameters: &'a Parameters, columns: &[ColumnInfo]) -> Result<Self, Error> {
        let values = parameters
            .value
            .with_pointers("/value")
            .into_iter()
            .map(|(name, pointer)| value_column(parameters, columns, name, &pointer))
            .collect::<Result<Vec<_>, _>>()?;
        let time = match &parameters.time {
            Some(name) => {
                let column = find(columns, name, "/time")?;
                if column.kind != ColumnType::Timestamp {
                    return Err(Error::invalid("/time", not_of(column, "timestamps")));
                }
                Some(name.clone())
            }
            None => columns
                .iter()
                .find(|column| column.name == "time" && column.kind == ColumnType::Timestamp)
                .map(|column| column.name.clone()),
        };
        if let Some(Uncertainty::Column(name)) = &parameters.uncertainty {
            let column = find(columns, name, "/uncertainty")?;
            if !is_numeric(column.kind) {
                return Err(Error::invalid("/uncertainty", not_of(column, "numbers")));
            }
        }
        if parameters.uncertainty.is_some()
            && let Some(column) = values.iter().find(|column| !is_numeric(column.kind))
        {
            return Err(Error::invalid(
                "/uncertainty",
                format!(
                    "column `{}` holds {} values, which have no uncertainty",
                    column.name,
                    column.kind.name()
                ),
            ));
        }
        for name in parameters.conditions.keys() {
            find(columns, name, &format!("/where/{}", name.replace('~', "~0").replace('/', "~1")))?;
        }
        Ok(Self {
            values,
            time,
            uncertainty: parameters.uncertainty.as_ref(),
            conditions: &parameters.conditions,
            confidence: parameters.confidence,
        })
    }
}

fn value_column(
    parameters: &Parameters,
    columns: &[ColumnInfo],
    name: &str,
    pointer: &str,
) -> Result<ValueColumn, Error> {
    let column = find(columns, name, pointer)?;
    if matches!(column.kind, ColumnType::Bytes | ColumnType::Timestamp) {
        return Err(Error::invalid(pointer, not_of(column, "numbers, integers, booleans or texts")));
    }
    // A unit for a text or a boolean can only be a mistake about which column it is.
    if let Some(unit) = &parameters.unit
        && unit != "1"
        && !is_numeric(column.kind)
    {
        return Err(Error::invalid(pointer, format!("{}, and `unit` is {unit}", not_of(column, "numbers"))));
    }
    let quantity = parameters.quantity.clone().unwrap_or_else(|| name.to_owned());
    if !is_quantity_name(&quantity) {
        return Err(Error::invalid(
            pointer,
            format!(
                "`{name}` is no name for a quantity (lower case, digits, underscores); give one with `quantity`"
            ),
        ));
    }
    let unit = parameters.unit.clone().or_else(|| column.unit.clone()).unwrap_or_else(|| "1".to_owned());
    Ok(ValueColumn { name: name.to_owned(), kind: column.kind, quantity, unit })
}

pub(crate) fn is_numeric(kind: ColumnType) -> bool {
    matches!(kind, ColumnType::Number | ColumnType::Integer)
}

fn find<'c>(columns: &'c [ColumnInfo], name: &str, pointer: &str) -> Result<&'c ColumnInfo, Error> {
    columns.iter().find(|column| column.name == name).ok_or_else(|| {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        Error::invalid(pointer, format!("the substrate has no column `{name}`; it has {}", names.join(", ")))
    })
}

fn not_of(column: &ColumnInfo, wanted: &str) -> String {
    format!("column `{}` holds {} values where {wanted} are needed", column.name, column.kind.name())
}
