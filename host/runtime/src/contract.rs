//! Whether readings and metadata are what the plugin contract allows. Judges form, not truth: a reading of a thousand
//! degrees is well-formed, and findings decide what it is worth.

use inquisitor_findings::reading::{Observation, Reading, Series, Value};
use serde_json::Map;

use crate::description::{ANY_QUANTITY, Capability, Description};
use crate::outcome::Failure;

/// Attributes of one reading, series or calibration.
pub(crate) const MAX_ATTRIBUTES: usize = 32;
/// Characters of an attribute's name.
const MAX_ATTRIBUTE_NAME: usize = 64;
/// Bytes of a unit. UCUM codes are far shorter; their validity is the findings' business.
const MAX_UNIT: usize = 128;
/// Bytes of a text or a blob in a reading. Images are megabytes; a reading is no file store.
const MAX_VALUE: usize = 16 << 20;
/// Characters of names in metadata.
const MAX_NAME: usize = 64;
/// Bytes of a JSON Schema.
const MAX_SCHEMA: usize = 256 << 10;
/// Bytes of a summary or of a quantity's description.
const MAX_PROSE: usize = 2 << 10;
/// Quantities, aliases and capabilities of one instrument.
const MAX_QUANTITIES: usize = 1_000;
const MAX_ALIASES: usize = 32;
const MAX_CAPABILITIES: usize = 64;
/// Bytes of what a capability names.
const MAX_TARGET: usize = 1 << 10;

/// Check every reading.
///
/// # Errors
/// The first violation, with the reading that has it.
pub(crate) fn check_observation(observation: &Observation, description: &Description) -> Result<(), Failure> {
    for (index, reading) in observation.readings.iter().enumerate() {
        check_reading(reading, description)
            .map_err(|wrong| violation("reading", index, &reading.quantity, &wrong))?;
    }
    for (index, series) in observation.series.iter().enumerate() {
        check_series(series, description)
            .map_err(|wrong| violation("series", index, &series.quantity, &wrong))?;
    }
    Ok(())
}

fn violation(kind: &str, index: usize, quantity: &str, wrong: &str) -> Failure {
    let quantity = crate::logs::escape(quantity, 2 * MAX_NAME);
    Failure::ContractViolation { message: format!("{kind} {index} (`{quantity}`): {wrong}") }
}

fn check_reading(reading: &Reading, description: &Description) -> Result<(), String> {
    check_common(&reading.quantity, &reading.unit, reading.confidence, description)?;
    match &reading.value {
        Value::Number(number) if !number.is_finite() => {
            return Err(format!("the value is {number}, not a finite number"));
        }
        Value::Text(text) if text.len() > MAX_VALUE => return Err(too_long(text.len())),
        Value::Bytes(bytes) if bytes.len() > MAX_VALUE => return Err(too_long(bytes.len())),
        _ => {}
    }
    match reading.uncertainty {
        Some(uncertainty) => check_uncertainty(uncertainty),
        None => Ok(()),
    }
}

fn too_long(bytes: usize) -> String {
    format!("the value has {bytes} bytes, {MAX_VALUE} are allowed")
}

fn check_series(series: &Series, description: &Description) -> Result<(), String> {
    check_common(&series.quantity, &series.unit, series.confidence, description)?;
    let values = series.values.len();
    if !series.times.is_empty() && series.times.len() != values {
        return Err(format!(
            "{} times for {values} values; there is one for each value, or none",
            series.times.len()
        ));
    }
    if series.uncertainties.len() > 1 && series.uncertainties.len() != values {
        let given = series.uncertainties.len();
        return Err(format!(
            "{given} uncertainties for {values} values; there is one for each value, one for all, or none"
        ));
    }
    if let Some(position) = series.values.iter().position(|value| !value.is_finite()) {
        return Err(format!("value {position} is {}, not a finite number", series.values[position]));
    }
    series.uncertainties.iter().try_for_each(|uncertainty| check_uncertainty(*uncertainty))
}

fn check_common(
    quantity: &str,
    unit: &str,
    confidence: f64,
    description: &Description,
) -> Result<(), String> {
    check_quantity_name(quantity)?;
    if !description.declares(quantity) {
        let declared: Vec<_> =
            description.quantities.iter().take(10).map(|known| known.name.as_str()).collect();
        return Err(format!(
            "the quantity is not among those that the instrument declares ({})",
            declared.join(", ")
        ));
    }
    check_unit(unit)?;
    if !(0.0..=1.0).contains(&confidence) {
        return Err(format!("the confidence is {confidence}, not between 0 and 1"));
    }
    Ok(())
}

fn check_unit(unit: &str) -> Result<(), String> {
    if unit.is_empty() {
        return Err("the unit is empty; the unit of a plain number is `1`".to_owned());
    }
    if unit.len() > MAX_UNIT {
        return Err(format!("the unit has {} bytes, {MAX_UNIT} are allowed", unit.len()));
    }
    Ok(())
}

fn check_uncertainty(uncertainty: f64) -> Result<(), String> {
    if uncertainty.is_finite() && uncertainty >= 0.0 {
        Ok(())
    } else {
        Err(format!("an uncertainty is {uncertainty}, not a finite number of zero or more"))
    }
}

/// Check the name of an attribute.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_attribute(name: &str) -> Result<(), String> {
    match name.chars().count() {
        0 => Err("the name of an attribute is empty".to_owned()),
        1..=MAX_ATTRIBUTE_NAME => Ok(()),
        characters => Err(format!(
            "the name of an attribute has {characters} characters, {MAX_ATTRIBUTE_NAME} are allowed"
        )),
    }
}

/// Parse a JSON Schema.
///
/// # Errors
/// When it is too long or not a JSON object.
pub(crate) fn schema(field: &str, text: &str) -> Result<Map<String, serde_json::Value>, String> {
    if text.len() > MAX_SCHEMA {
        return Err(format!("`{field}` has {} bytes, {MAX_SCHEMA} are allowed", text.len()));
    }
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(schema)) => Ok(schema),
        Ok(_) => {
            Err(format!("`{field}` is not a JSON object; the schema that accepts any parameters is {{}}"))
        }
        Err(error) => Err(format!("`{field}` is not JSON: {error}")),
    }
}

/// Check a description.
///
/// # Errors
/// The first thing that is wrong, and what would be right.
pub(crate) fn check_description(description: &Description) -> Result<(), String> {
    check_name("name", &description.name)?;
    semver::Version::parse(&description.version).map_err(|error| {
        let version = crate::logs::escape(&description.version, MAX_NAME);
        format!("`version` is `{version}`, not a semantic version such as 1.0.0: {error}")
    })?;
    check_prose("summary", &description.summary)?;
    check_count("aliases", description.aliases.len(), MAX_ALIASES)?;
    for alias in &description.aliases {
        check_alias(alias)?;
    }
    check_count("quantities", description.quantities.len(), MAX_QUANTITIES)?;
    for (index, quantity) in description.quantities.iter().enumerate() {
        if quantity.name != ANY_QUANTITY {
            check_quantity_name(&quantity.name)?;
        }
        check_unit(&quantity.unit).map_err(|wrong| format!("quantity `{}`: {wrong}", quantity.name))?;
        check_prose("quantities", &quantity.description)?;
        if description.quantities[..index].iter().any(|earlier| earlier.name == quantity.name) {
            return Err(format!("the quantity `{}` is declared twice", quantity.name));
        }
    }
    check_count("capabilities", description.capabilities.len(), MAX_CAPABILITIES)?;
    for capability in &description.capabilities {
        let (Capability::Http(target)
        | Capability::Tcp(target)
        | Capability::ReadFiles(target)
        | Capability::WriteFiles(target)) = capability;
        if target.is_empty() || target.len() > MAX_TARGET {
            return Err(format!("a capability names {} bytes; 1 to {MAX_TARGET} are allowed", target.len()));
        }
    }
    Ok(())
}

fn check_count(field: &str, count: usize, allowed: usize) -> Result<(), String> {
    if count > allowed {
        Err(format!("`{field}` has {count} entries, {allowed} are allowed"))
    } else {
        Ok(())
    }
}

fn check_prose(field: &str, text: &str) -> Result<(), String> {
    if text.len() > MAX_PROSE {
        return Err(format!("a text in `{field}` has {} bytes, {MAX_PROSE} are allowed", text.len()));
    }
    Ok(())
}

/// Lower case, digits and hyphens, a letter first.
fn check_name(field: &str, name: &str) -> Result<(), String> {
    let right = (1..=MAX_NAME).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if right {
        return Ok(());
    }
    let name = crate::logs::escape(name, 2 * MAX_NAME);
    Err(format!(
        "`{field}` has `{name}`; a name is 1 to {MAX_NAME} lower-case letters, digits and hyphens, a letter first"
    ))
}

/// As a name, with underscores too: manifests of other systems have them.
fn check_alias(alias: &str) -> Result<(), String> {
    check_name("aliases", &alias.replace('_', "-")).map_err(|_| {
        let alias = crate::logs::escape(alias, 2 * MAX_NAME);
        format!(
            "`aliases` has `{alias}`; an alias is 1 to {MAX_NAME} lower-case letters, digits, hyphens and underscores, a letter first"
        )
    })
}

/// Lower case, digits and underscores, a letter first.
fn check_quantity_name(name: &str) -> Result<(), String> {
    let right = (1..=MAX_NAME).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if right {
        return Ok(());
    }
    let name = crate::logs::escape(name, 2 * MAX_NAME);
    Err(format!(
        "the quantity `{name}` is not named by 1 to {MAX_NAME} lower-case letters, digits and underscores, a letter first"
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::description::{Lifecycle, Quantity};

    fn description() -> Description {
        Description {
            name: "probe".to_owned(),
            version: "1.2.3".to_owned(),
            summary: String::new(),
            aliases: vec!["thermal".to_owned()],
            quantities: vec![Quantity {
                name: "temperature".to_owned(),
                unit: "Cel".to_owned(),
                description: String::new(),
            }],
            parameters_schema: Map::new(),
            step_parameters_schema: Map::new(),
            capabilities: Vec::new(),
            lifecycle: Lifecycle::default(),
            minimum_memory: 0,
            minimum_table_elements: 0,
            imports: Vec::new(),
        }
    }

    fn reading() -> Reading {
        Reading {
            quantity: "temperature".to_owned(),
            value: Value::Number(4.0),
            unit: "Cel".to_owned(),
            uncertainty: Some(0.1),
            confidence: 1.0,
            time: None,
            attributes: BTreeMap::new(),
        }
    }

    fn series() -> Series {
        Series {
            quantity: "temperature".to_owned(),
            unit: "Cel".to_owned(),
            times: vec![1, 2],
            values: vec![4.0, 5.0],
            uncertainties: vec![0.1],
            confidence: 0.5,
            attributes: BTreeMap::new(),
        }
    }

    fn complaint(change: impl FnOnce(&mut Reading)) -> String {
        let mut reading = reading();
        change(&mut reading);
        let observation = Observation { readings: vec![reading], series: Vec::new() };
        match check_observation(&observation, &description()) {
            Err(Failure::ContractViolation { message }) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_right_passes() {
        let observation = Observation { readings: vec![reading()], series: vec![series()] };
        assert_eq!(check_observation(&observation, &description()), Ok(()));
        assert_eq!(check_description(&description()), Ok(()));
    }

    #[test]
    fn each_violation_names_the_reading_and_the_field() {
        assert!(
            complaint(|r| r.value = Value::Number(f64::NAN))
                .contains("reading 0 (`temperature`): the value is NaN")
        );
        assert!(complaint(|r| r.quantity = "humidity".to_owned()).contains("declares (temperature)"));
        assert!(complaint(|r| r.unit.clear()).contains("unit is empty"));
        assert!(complaint(|r| r.unit = "x".repeat(200)).contains("128 are allowed"));
        assert!(complaint(|r| r.confidence = 1.5).contains("confidence is 1.5"));
        assert!(complaint(|r| r.confidence = f64::NAN).contains("confidence is NaN"));
        assert!(complaint(|r| r.uncertainty = Some(-1.0)).contains("uncertainty is -1"));
        assert!(complaint(|r| r.uncertainty = Some(f64::INFINITY)).contains("uncertainty is inf"));
    }

    #[test]
    fn the_lists_of_a_series_agree() {
        let complaint = |change: fn(&mut Series)| {
            let mut series = series();
            change(&mut series);
            check_series(&series, &description()).unwrap_err()
        };
        assert!(complaint(|s| s.times.push(3)).contains("3 times for 2 values"));
        assert!(complaint(|s| s.uncertainties = vec![0.1; 3]).contains("3 uncertainties for 2 values"));
        assert!(complaint(|s| s.values[1] = f64::INFINITY).contains("value 1 is inf"));
        assert!(complaint(|s| s.uncertainties = vec![-0.1]).contains("uncertainty is -0.1"));
    }

    #[test]
    fn metadata_are_checked_by_field() {
        let complaint = |change: fn(&mut Description)| {
            let mut description = description();
            change(&mut description);
            check_description(&description).unwrap_err()
        };
        assert!(complaint(|d| d.name = "Thermal".to_owned()).contains("`name` has `Thermal`"));
        assert!(complaint(|d| d.name = "x".repeat(65)).contains("1 to 64"));
        assert!(complaint(|d| d.aliases[0].clear()).contains("`aliases`"));
        assert!(complaint(|d| d.version = "1.2".to_owned()).contains("such as 1.0.0"));
        assert!(complaint(|d| d.quantities[0].name = "air-temp".to_owned()).contains("air-temp"));
        assert!(complaint(|d| d.quantities[0].unit.clear()).contains("unit is empty"));
        assert!(complaint(|d| d.quantities.push(d.quantities[0].clone())).contains("declared twice"));
        assert!(schema("parameters-schema", "[]").unwrap_err().contains("not a JSON object"));
        assert!(schema("parameters-schema", "{").unwrap_err().contains("not JSON"));
        assert!(
            schema("parameters-schema", &" ".repeat(MAX_SCHEMA + 1)).unwrap_err().contains("are allowed")
        );
    }
}
