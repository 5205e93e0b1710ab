//! Parameters, and where the events come from.

use inquisitor_sdk::{ColumnInfo, ColumnType, Context, Error};
use schemars::JsonSchema;
use serde::Deserialize;

/// Tags that parameters may name.
const MAX_NAMED_TAGS: usize = 1_000;
/// Chance that a tag which is there does not answer, unless it is given.
const USUAL_DROPOUT: f64 = 0.05;
/// The tags that are simulated, unless they are given.
const SIMULATED_TAGS: [&str; 3] = ["tag-1", "tag-2", "tag-3"];

/// Where the events come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// The substrate.
    Substrate,
    /// A simulation.
    Simulated,
}

/// Parameters of the instrument.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Parameters {
    /// `substrate` or `simulated`. By default the substrate where the inquiry has one, else a simulation.
    source: Option<Source>,
    /// The substrate's column that holds the tag of each event.
    tag: String,
    /// The substrate's column of times. By default `time`, where there is such a column of timestamps.
    time: Option<String>,
    /// The substrate's column of the signal strength in dBm. By default `rssi`, where there is such a column of numbers.
    rssi: Option<String>,
    /// The tags that should be there. One that did not answer is reported absent.
    pub(crate) expected: Vec<String>,
    /// Chance that a tag which is there does not answer, 0 to 1. Each event of the substrate is dropped with this
    /// chance, so that a clean recording can stand for a bad reader; by default none is, and 0.05 in a simulation.
    #[schemars(range(min = 0.0, max = 1.0))]
    dropout: Option<f64>,
    /// How far to trust the readings, 0 to 1. Simulated ones get at most 0.5.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) confidence: f64,
    /// The tags to simulate. By default those expected, else tag-1, tag-2 and tag-3.
    tags: Vec<String>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            source: None,
            tag: "tag".to_owned(),
            time: None,
            rssi: None,
            expected: Vec::new(),
            dropout: None,
            confidence: 1.0,
            tags: Vec::new(),
        }
    }
}

/// Where the events come from, fitted to the substrate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Substrate(Columns),
    Simulation,
}

/// The columns of the substrate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) tag: String,
    pub(crate) time: Option<String>,
    pub(crate) rssi: Option<String>,
}

impl Parameters {
    /// What is wrong without a look at the substrate.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (pointer, value) in [("/dropout", self.dropout), ("/confidence", Some(self.confidence))] {
            if value.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
                return Err(Error::invalid(pointer, "must lie between 0 and 1"));
            }
        }
        for (pointer, tags) in [("/expected", &self.expected), ("/tags", &self.tags)] {
            if tags.len() > MAX_NAMED_TAGS {
                return Err(Error::invalid(pointer, format!("must name at most {MAX_NAMED_TAGS} tags")));
            }
        }
        Ok(())
    }

    pub(crate) fn origin(&self, context: &Context) -> Result<Origin, Error> {
        if self.source == Some(Source::Simulated) {
            return Ok(Origin::Simulation);
        }
        let Some(columns) = context.substrate().columns_if_any()? else {
            return match self.source {
                Some(_) => {
                    Err(Error::invalid("/source", "the inquiry has no substrate; leave this out to simulate"))
                }
                None => Ok(Origin::Simulation),
            };
        };
        let texts = [ColumnType::Text, ColumnType::Integer];
        let numbers = [ColumnType::Number, ColumnType::Integer];
        Ok(Origin::Substrate(Columns {
            tag: required(&columns, &self.tag, &texts, "/tag", "texts or integers")?,
            time: optional(
                &columns,
                self.time.as_deref(),
                "time",
                &[ColumnType::Timestamp],
                "/time",
                "timestamps",
            )?,
            rssi: optional(&columns, self.rssi.as_deref(), "rssi", &numbers, "/rssi", "numbers")?,
        }))
    }

    /// Chance that an event of the substrate is dropped.
    pub(crate) fn dropout_of_events(&self) -> f64 {
        self.dropout.unwrap_or(0.0)
    }

    /// Chance that a tag which is there does not answer, as it is given or as is usual.
    pub(crate) fn assumed_dropout(&self) -> f64 {
        self.dropout.unwrap_or(USUAL_DROPOUT)
    }

    pub(crate) fn simulated_tags(&self) -> Vec<String> {
        if !self.tags.is_empty() {
            self.tags.clone()
        } else if !self.expected.is_empty() {
            self.expected.clone()
        } else {
            SIMULATED_TAGS.map(str::to_owned).to_vec()
        }
    }
}

fn required(
    columns: &[ColumnInfo],
    name: &str,
    kinds: &[ColumnType],
    pointer: &str,
    wanted: &str,
) -> Result<String, Error> {
    let Some(column) = columns.iter().find(|column| column.name == name) else {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        return Err(Error::invalid(
            pointer,
            format!("the substrate has no column `{name}`; it has {}", names.join(", ")),
        ));
    };
    if !kinds.contains(&column.kind) {
        return Err(Error::invalid(
            pointer,
            format!("column `{name}` holds {} values where {wanted} are needed", column.kind.name()),
        ));
    }
    Ok(name.to_owned())
}

fn optional(
    columns: &[ColumnInfo],
    name: Option<&str>,
    usual: &str,
    kinds: &[ColumnType],
    pointer: &str,
    wanted: &str,
) -> Result<Option<String>, Error> {
    match name {
        Some(name) => required(columns, name, kinds, pointer, wanted).map(Some),
        None => Ok(columns
            .iter()
            .find(|column| column.name == usual && kinds.contains(&column.kind))
            .map(|column| column.name.clone())),
    }
}
