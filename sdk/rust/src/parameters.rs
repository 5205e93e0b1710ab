//! Parameters from JSON into the author's types, with errors that point at the offending value.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::error::Error;

/// For an instrument, or a step, that takes no parameters: an empty object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParameters {}

/// Read parameters.
///
/// # Errors
/// [`Error::InvalidParameters`] with the JSON Pointer of the value that does not fit.
pub(crate) fn parse<T: DeserializeOwned>(json: &str) -> Result<T, Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let mut pointer = String::new();
        for segment in error.path() {
            match segment {
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                Segment::Map { key } | Segment::Enum { variant: key } => {
                    pointer.push('/');
                    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                }
                Segment::Unknown => break,
            }
        }
        Error::invalid(pointer, without_position(&error.into_inner()))
    })?;
    deserializer.end().map_err(|error| Error::invalid("", without_position(&error)))?;
    Ok(value)
}

/// The message without the line and column, which would mislead: they are those of compact JSON that nobody wrote.
fn without_position(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rfind(" at line ") {
        Some(end) => message[..end].to_owned(),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Parameters {
        port: u16,
        #[serde(default)]
        channels: Vec<Channel>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Channel {
        #[serde(rename = "gain/offset")]
        gain: f64,
    }

    #[test]
    fn errors_point_at_the_value() {
        let cases = [
            (r#"{"port":70000}"#, "/port", "invalid value: integer `70000`, expected u16"),
            (
                r#"{"port":1,"channels":[{"gain/offset":1},{"gain/offset":"x"}]}"#,
                "/channels/1/gain~1offset",
                "f64",
            ),
            (r#"{"prot":1}"#, "/prot", "unknown field `prot`"),
            (r#"{}"#, "", "missing field `port`"),
            (r#"{"port":1,"channels":[{}]}"#, "/channels/0", "missing field `gain/offset`"),
            (r#"{"port":1} x"#, "", "trailing characters"),
        ];
        for (json, pointer, message) in cases {
            match parse::<Parameters>(json).unwrap_err() {
                Error::InvalidParameters { pointer: found, message: text } => {
                    assert_eq!(found, pointer, "{json}");
                    assert!(text.contains(message), "{text:?} should contain {message:?}");
                    assert!(!text.contains("at line"), "{text:?}");
                }
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn no_parameters_means_none() {
        assert_eq!(parse::<NoParameters>("{}").unwrap(), NoParameters {});
        assert!(parse::<NoParameters>(r#"{"a":1}"#).is_err());
    }
}
