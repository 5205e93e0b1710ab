//! What an instrument says of itself, checked, and what its component says without being run.

use std::collections::BTreeMap;

use inquisitor_findings::reading::Value;
use serde::{Deserialize, Serialize};
use serde_json::Map;

/// A plugin's description of itself, with what its component needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The name that manifests use as `type`.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// One line on what it measures.
    pub summary: String,
    /// Other names under which manifests may ask for it.
    pub aliases: Vec<String>,
    /// What it may give readings of.
    pub quantities: Vec<Quantity>,
    /// JSON Schema of the parameters of a session.
    pub parameters_schema: Map<String, serde_json::Value>,
    /// JSON Schema of the parameters of a step.
    pub step_parameters_schema: Map<String, serde_json::Value>,
    /// The access that it would like.
    pub capabilities: Vec<Capability>,
    /// The optional parts of a session's life that it has.
    pub lifecycle: Lifecycle,
    /// Bytes of linear memory with which a session starts, all memories together.
    pub minimum_memory: u64,
    /// Table elements with which a session starts, all tables together.
    pub minimum_table_elements: u64,
    /// The interfaces that the component imports, sorted.
    pub imports: Vec<String>,
}

impl Description {
    /// Whether the instrument declares the quantity, by its name or as any (`*`).
    pub fn declares(&self, quantity: &str) -> bool {
        self.quantities.iter().any(|declared| declared.name == quantity || declared.name == ANY_QUANTITY)
    }
}

/// The name under which an instrument declares that its parameters decide what it measures.
pub(crate) const ANY_QUANTITY: &str = "*";

/// A quantity that an instrument may give readings of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantity {
    /// Name in readings and axioms.
    pub name: String,
    /// UCUM code of the unit in which it is usually given.
    pub unit: String,
    /// What it is, in a sentence.
    pub description: String,
}

/// Access that an instrument would like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "capability", content = "target", rename_all = "kebab-case")]
pub enum Capability {
    /// Outgoing HTTP to an authority; `*` where the parameters decide.
    Http(String),
    /// Outgoing TCP to an address; `*` where the parameters decide.
    Tcp(String),
    /// A directory to read.
    ReadFiles(String),
    /// A directory to read and write.
    WriteFiles(String),
}

/// The optional parts of a session's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lifecycle {
    /// `calibrate` does something.
    pub calibrate: bool,
    /// `checkpoint` and `restore` work.
    pub checkpoint: bool,
}

/// The result of a calibration.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Calibration {
    /// Until when it holds, nanoseconds since the Unix epoch, where that is known.
    pub valid_until: Option<i64>,
    /// Figures for the record.
    pub attributes: BTreeMap<String, Value>,
}
