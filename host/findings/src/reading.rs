//! Readings: what instruments say, before anyone has judged it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One typed value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// A finite real number.
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

impl Value {
    /// The value as a real number, where it is one; integers are converted (exact up to 2^53).
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            #[allow(clippy::cast_precision_loss)]
            Self::Integer(integer) => Some(*integer as f64),
            Self::Text(_) | Self::Boolean(_) | Self::Bytes(_) => None,
        }
    }
}

/// One statement of an instrument about one quantity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Name of the quantity.
    pub quantity: String,
    /// What the instrument found.
    pub value: Value,
    /// UCUM code; `1` where the value has no unit.
    pub unit: String,
    /// Standard uncertainty (k = 1) in the reading's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertainty: Option<f64>,
    /// 0 to 1.
    pub confidence: f64,
    /// Nanoseconds since the Unix epoch; none means while the step ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<i64>,
    /// What else belongs to it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Value>,
}

/// Numeric readings of one quantity by the column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Name of the quantity.
    pub quantity: String,
    /// UCUM code.
    pub unit: String,
    /// Nanoseconds since the Unix epoch; empty, or one for each value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<i64>,
    /// Finite values.
    pub values: Vec<f64>,
    /// Standard uncertainties: none, one for all, or one for each value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncertainties: Vec<f64>,
    /// 0 to 1.
    pub confidence: f64,
    /// What belongs to every reading of the series.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Value>,
}

/// What one observation brought.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Observation {
    /// Readings one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Reading>,
    /// Readings by the column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Series>,
}

impl Observation {
    /// How many readings there are, counting each row of each series.
    pub fn len(&self) -> usize {
        self.readings.len() + self.series.iter().map(|series| series.values.len()).sum::<usize>()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An observation with where it comes from: the input of an inquiry's finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Id of the instrument in the manifest.
    pub instrument: String,
    /// Name of the step.
    pub step: String,
    /// When the step ran, nanoseconds since the Unix epoch: the time of readings that have none.
    pub time: i64,
    /// What it brought.
    pub observation: Observation,
}
