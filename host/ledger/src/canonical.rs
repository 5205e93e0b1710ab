//! Canonical JSON after RFC 8785, and the values that have none.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::LedgerError;

/// Largest integer that every JSON reader keeps exactly: 2^53 − 1. Larger ones go in as decimal strings.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Bytes of one entry's canonical form. Entries stay for ever and are read whole, so data belong into blobs and only
/// their digests here; the bound also keeps a hostile export from filling the verifier's memory.
pub const MAX_ENTRY_BYTES: usize = 64 << 10;

/// The canonical bytes of a value: RFC 8785, UTF-8.
///
/// # Errors
/// When the value is not JSON, holds an integer beyond ±[`MAX_SAFE_INTEGER`], or is larger than [`MAX_ENTRY_BYTES`].
pub fn canonical_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, LedgerError> {
    let value =
        serde_json::to_value(value).map_err(|error| not_canonical(&mut Vec::new(), error.to_string()))?;
    check_numbers(&value, &mut Vec::new())?;
    write_canonical(&value)
}

/// The canonical bytes of a value whose numbers have been checked.
pub(crate) fn write_canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, LedgerError> {
    let bytes = serde_json_canonicalizer::to_vec(value)
        .map_err(|error| not_canonical(&mut Vec::new(), error.to_string()))?;
    if bytes.len() > MAX_ENTRY_BYTES {
        return Err(LedgerError::EntryTooLarge { bytes: bytes.len(), limit: MAX_ENTRY_BYTES });
    }
    Ok(bytes)
}

/// Refuses integers in an object that a double cannot hold exactly.
pub(crate) fn check_object(members: &Map<String, Value>) -> Result<(), LedgerError> {
    let mut path = Vec::new();
    for (name, member) in members {
        path.push(PathPart::Member(name));
        check_numbers(member, &mut path)?;
        path.pop();
    }
    Ok(())
}

/// A time as RFC 3339 in UTC with all nine digits, as `2026-01-31T12:00:00.000000001Z`: exact, and in the order of
/// time where texts are sorted.
///
/// `nanoseconds` count from the Unix epoch; every `i64` has such a time, from 1677 to 2262.
pub fn rfc3339(nanoseconds: i64) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)) {
        Ok(time) => format!("{time:.9}"),
        // Not reached: the calendar covers the whole range of an i64. The exact count is the honest answer if it were.
        Err(_) => nanoseconds.to_string(),
    }
}

/// Refuses integers that a double cannot hold exactly.
fn check_numbers<'a>(value: &'a Value, path: &mut Vec<PathPart<'a>>) -> Result<(), LedgerError> {
    match value {
        Value::Number(number) => {
            let integer = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            match integer {
                Some(magnitude) if magnitude > MAX_SAFE_INTEGER => Err(not_canonical(
                    path,
                    format!("the integer {number} is beyond 2^53 - 1; write it as a decimal string"),
                )),
                _ => Ok(()),
            }
        }
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                path.push(PathPart::Position(position));
                check_numbers(item, path)?;
                path.pop();
            }
            Ok(())
        }
        Value::Object(members) => {
            for (name, member) in members {
                path.push(PathPart::Member(name));
                check_numbers(member, path)?;
                path.pop();
            }
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

/// A step of a JSON Pointer.
enum PathPart<'a> {
    Member(&'a str),
    Position(usize),
}

fn not_canonical(path: &mut Vec<PathPart<'_>>, problem: String) -> LedgerError {
    let mut pointer = String::new();
    for part in path.drain(..) {
        pointer.push('/');
        match part {
            PathPart::Member(name) => pointer.push_str(&name.replace('~', "~0").replace('/', "~1")),
            PathPart::Position(position) => pointer.push_str(&position.to_string()),
        }
    }
    LedgerError::NotCanonical { pointer, problem }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_sorted_and_numbers_have_one_spelling() {
        let value = json!({ "b": 1.0, "a": [1e21, 0.1, -0.0, "é\n"], "A": null });
        let text = String::from_utf8(canonical_bytes(&value).unwrap()).unwrap();
        assert_eq!(text, r#"{"A":null,"a":[1e+21,0.1,0,"é\n"],"b":1}"#);
    }

    #[test]
    fn integers_beyond_a_double_are_refused_with_their_place() {
        assert!(canonical_bytes(&json!({ "n": MAX_SAFE_INTEGER, "m": -(1_i64 << 53) + 1 })).is_ok());
        for wrong in [json!(1_u64 << 53), json!(-(1_i64 << 53)), json!(u64::MAX), json!(i64::MIN)] {
            let error = canonical_bytes(&json!({ "a/b": [0, { "t": wrong }] })).unwrap_err();
            assert!(
                matches!(&error, LedgerError::NotCanonical { pointer, .. } if pointer == "/a~1b/1/t"),
                "{error}"
            );
        }
    }

    #[test]
    fn large_entries_are_refused() {
        let error = canonical_bytes(&"x".repeat(MAX_ENTRY_BYTES)).unwrap_err();
        assert_eq!(error, LedgerError::EntryTooLarge { bytes: MAX_ENTRY_BYTES + 2, limit: MAX_ENTRY_BYTES });
    }

    #[test]
    fn times_are_exact_and_ordered() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(1), "1970-01-01T00:00:00.000000001Z");
        assert_eq!(rfc3339(i64::MIN), "1677-09-21T00:12:43.145224192Z");
        assert_eq!(rfc3339(i64::MAX), "2262-04-11T23:47:16.854775807Z");
        assert!(rfc3339(-1) < rfc3339(0));
    }
}
