//! Readings as clients see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A reading, with what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReadingItem {
    /// Name of the step that brought it.
    pub step: String,
    /// Id of the instrument.
    pub instrument: String,
    /// The round, from 0; more than 0 only in continuous inquiries.
    pub round: u32,
    /// Position in what the step brought, from 0: readings first, then the rows of each series.
    pub index: usize,
    /// Name of the quantity.
    pub quantity: String,
    /// The value: a number, a text, true or false; bytes as hexadecimal text.
    #[schema(example = json!(21.5))]
    pub value: serde_json::Value,
    /// What the value is.
    pub value_type: ValueType,
    /// UCUM code; `1` where the value has no unit.
    pub unit: String,
    /// Standard uncertainty (k = 1) in the reading's unit, where one was stated.
    pub uncertainty: Option<f64>,
    /// 0 to 1.
    pub confidence: f64,
    /// When (RFC 3339): the reading's own time, else when the step ran.
    pub time: String,
    /// What else belongs to it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub attributes: BTreeMap<String, serde_json::Value>,
    /// What became of it.
    #[serde(rename = "use")]
    pub used: ReadingUse,
    /// The axiom that excluded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusion: Option<ReadingExclusion>,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// A real number.
    Number,
    /// An integer.
    Integer,
    /// Text.
    Text,
    /// True or false.
    Boolean,
    /// Bytes.
    Bytes,
}

impl ValueType {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Text => "text",
            Self::Boolean => "boolean",
            Self::Bytes => "bytes",
        }
    }
}

/// What became of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadingUse {
    /// It entered the finding.
    Used,
    /// An axiom excluded it.
    Excluded,
    /// Its step is one of diagnosis or calibration, whose readings enter no finding.
    NotCounted,
    /// There is no finding that it could have entered.
    Undecided,
    /// The finding lists the first 1000 exclusions only, and this reading may be among the others, which it counts.
    Unlisted,
}

impl ReadingUse {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Excluded => "excluded",
            Self::NotCounted => "not_counted",
            Self::Undecided => "undecided",
            Self::Unlisted => "unlisted",
        }
    }
}

/// Why a reading was excluded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReadingExclusion {
    /// Position of the axiom in the manifest, from 0; none where the rule is the host's own.
    pub axiom: Option<usize>,
    /// The rule in words.
    pub rule: String,
    /// How far beyond the axiom the reading lies, in the axiom's unit; none where the axiom has no distance.
    pub margin: Option<f64>,
}
