//! What an instrument says of itself before it is opened.

use schemars::generate::SchemaSettings;

use crate::instrument::Instrument;
use crate::reading::{ANY_QUANTITY, MAX_NAME, Quantity, is_quantity_name};

/// Access that an instrument would like to have. The manifest must ask for it and the tenant's policy must allow it;
/// what was not granted refuses at the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capability {
    /// Outgoing HTTP to this authority (`host:port`); `*` where the parameters decide.
    Http(String),
    /// Outgoing TCP to this address (`host:port`); `*` where the parameters decide.
    Tcp(String),
    /// This directory, read-only.
    ReadFiles(String),
    /// This directory, to read and to write.
    WriteFiles(String),
}

/// An instrument's description of itself.
///
/// ```
/// # use inquisitor_sdk::About;
/// About::new("thermal-probe")
///     .summary("Temperatures of a column of the substrate")
///     .quantity("temperature", "Cel", "Temperature at the probe")
///     .calibrates();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) summary: Option<String>,
    pub(crate) aliases: Vec<String>,
    pub(crate) quantities: Vec<Quantity>,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) calibrates: bool,
    pub(crate) checkpoints: bool,
}

impl About {
    /// An instrument that manifests ask for by this `type`: lower case, digits and hyphens, at most 64 characters.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: None,
            summary: None,
            aliases: Vec::new(),
            quantities: Vec::new(),
            capabilities: Vec::new(),
            calibrates: false,
            checkpoints: false,
        }
    }

    /// Semantic version, where it is not the crate's.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// One line on what it measures, where it is not the crate's `description`.
    #[must_use]
    pub fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = Some(summary.into());
        self
    }

    /// Another name under which manifests may ask for it. The name of another plugin always takes precedence.
    #[must_use]
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.aliases.push(alias.into());
        self
    }

    /// A quantity that it may give readings of: its name (lower case, digits, underscores, a letter first), the UCUM
    /// code of its usual unit (`1` for a value without one), and a sentence on what it is. The name
    /// [`crate::ANY_QUANTITY`] allows readings of any quantity, for instruments whose parameters decide.
    #[must_use]
    pub fn quantity(
        mut self,
        name: impl Into<String>,
        unit: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        self.quantities.push(Quantity {
            name: name.into(),
            unit: unit.into(),
            description: description.into(),
        });
        self
    }

    /// Access that it would like to have.
    #[must_use]
    pub fn capability(mut self, capability: Capability) -> Self {
        self.capabilities.push(capability);
        self
    }

    /// [`Instrument::calibrate`] does something, so the host calls it before the first observation.
    #[must_use]
    pub fn calibrates(mut self) -> Self {
        self.calibrates = true;
        self
    }

    /// [`Instrument::checkpoint`] and [`Instrument::restore`] work.
    #[must_use]
    pub fn checkpoints(mut self) -> Self {
        self.checkpoints = true;
        self
    }

    /// What breaks the contract, or nothing.
    pub(crate) fn check(&self) -> Result<(), String> {
        for name in std::iter::once(&self.name).chain(&self.aliases) {
            let allowed = |c: char| {
                c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || (c == '_' && *name != self.name)
            };
            if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
                return Err(format!(
                    "the name `{name}` must have 1 to {MAX_NAME} lower-case letters, digits and hyphens"
                ));
            }
        }
        if self.quantities.is_empty() {
            return Err("it declares no quantity, so it could give no reading; add `.quantity(…)`".to_owned());
        }
        for (index, quantity) in self.quantities.iter().enumerate() {
            if quantity.name != ANY_QUANTITY && !is_quantity_name(&quantity.name) {
                return Err(format!(
                    "the quantity `{}` must be named with 1 to {MAX_NAME} lower-case letters, digits and underscores, a letter first",
                    quantity.name
                ));
            }
            if quantity.unit.is_empty() {
                return Err(format!(
                    "the quantity `{}` has no unit; `1` is the unit of a value without one",
                    quantity.name
                ));
            }
            if self.quantities[..index].iter().any(|earlier| earlier.name == quantity.name) {
                return Err(format!("the quantity `{}` is declared twice", quantity.name));
            }
        }
        Ok(())
    }
}

/// JSON Schema (2020-12) of a parameters type, as the host checks manifests against it.
pub(crate) fn schema_of<T: schemars::JsonSchema>() -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    generator.into_root_schema_for::<T>().into()
}

/// The schemas of an instrument: of the parameters and of a step's parameters.
pub(crate) fn schemas<I: Instrument>() -> (serde_json::Value, serde_json::Value) {
    (schema_of::<I::Parameters>(), schema_of::<I::Step>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_quantities_are_checked() {
        let good = About::new("a-1").alias("basic_probe").quantity("t_1", "Cel", "");
        assert_eq!(good.check(), Ok(()));
        let cases = [
            (About::new("A").quantity("t", "1", ""), "the name `A`"),
            (About::new("a_b").quantity("t", "1", ""), "the name `a_b`"),
            (About::new("a".repeat(65)).quantity("t", "1", ""), "1 to 64"),
            (About::new("a").alias("").quantity("t", "1", ""), "the name ``"),
            (About::new("a"), "declares no quantity"),
            (About::new("a").quantity("T", "1", ""), "the quantity `T`"),
            (About::new("a").quantity("t", "", ""), "has no unit"),
            (About::new("a").quantity("t", "1", "").quantity("t", "1", ""), "declared twice"),
        ];
        for (about, expected) in cases {
            let error = about.check().unwrap_err();
            assert!(error.contains(expected), "{error:?} should contain {expected:?}");
        }
    }
}
