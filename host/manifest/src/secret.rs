//! Secret references: `${NAME}` in the text values of parameters and in paths. A manifest, a plan and a ledger hold the
//! reference; the secret itself comes in at the moment of use, through [`resolve`].

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::spec::Parameters;

/// Why secret references could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// `${` that no closing brace ends.
    #[error("holds `${{` without a closing brace")]
    Unclosed,
    /// What stands between the braces is no name.
    #[error("holds a secret reference whose name is not letters, digits and underscores: `{0}`")]
    Name(String),
    /// The name is not known, or not allowed.
    #[error(
        "the secret `{0}` is not known here; set it in the environment or the secret directory, and allow it for the tenant"
    )]
    Unknown(String),
}

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// To be taken as it is.
    Literal(&'a str),
    /// The name of a secret.
    Secret(&'a str),
}

/// Characters of a secret's name.
const MAX_NAME: usize = 128;

/// Take a text apart. `$${` stands for `${` itself; a `$` before anything else is a `$`.
pub(crate) fn parse(text: &str) -> Result<Vec<Piece<'_>>, SecretError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            // Both dollars are one: keep the text up to and with the first, skip the second, go on after the brace.
            pieces.push(Piece::Literal(&rest[..at]));
            pieces.push(Piece::Literal("{"));
            rest = &rest[at + 2..];
            continue;
        }
        if at > 0 {
            pieces.push(Piece::Literal(&rest[..at]));
        }
        let inner = &rest[at + 2..];
        let end = inner.find('}').ok_or(SecretError::Unclosed)?;
        let name = &inner[..end];
        if !is_name(name) {
            return Err(SecretError::Name(crate::diagnostic::shorten(name.to_owned(), 40)));
        }
        pieces.push(Piece::Secret(name));
        rest = &inner[end + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest));
    }
    Ok(pieces)
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.as_bytes()[0].is_ascii_digit()
}

/// The names of the secrets that a text refers to.
pub(crate) fn names(text: &str) -> impl Iterator<Item = &str> {
    let pieces = if text.contains("${") { parse(text).unwrap_or_default() } else { Vec::new() };
    pieces.into_iter().filter_map(|piece| match piece {
        Piece::Secret(name) => Some(name),
        Piece::Literal(_) => None,
    })
}

/// Whether a text is a secret reference and nothing else, so that nobody can tell the type of its value.
pub(crate) fn is_whole(text: &str) -> bool {
    text.starts_with("${") && matches!(parse(text).as_deref(), Ok([Piece::Secret(_)]))
}

/// Whether a text refers to a secret.
pub(crate) fn is_in(text: &str) -> bool {
    names(text).next().is_some()
}

/// Whether a text has a reference that is no good.
pub(crate) fn is_malformed(text: &str) -> bool {
    text.contains("${") && parse(text).is_err()
}

/// The names of all secrets that parameters refer to.
pub fn names_in(parameters: &Parameters) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for value in parameters.values() {
        visit(value, &mut |text| found.extend(names(text).map(str::to_owned)));
    }
    found
}

/// Whether a value refers to a secret anywhere.
pub(crate) fn within(value: &Value) -> bool {
    let mut found = false;
    visit(value, &mut |text| found |= is_in(text));
    found
}

fn visit(value: &Value, each: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => each(text),
        Value::Array(items) => items.iter().for_each(|item| visit(item, each)),
        Value::Object(fields) => fields.values().for_each(|field| visit(field, each)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What is looked up, and what was used of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved<T> {
    /// The value with secrets in the place of references. Keep it out of logs.
    pub value: T,
    /// The names that were looked up.
    pub used: BTreeSet<String>,
}

/// Put secrets in the place of the references in parameters, and undo `$${`. What a secret holds is not looked at for
/// further references.
///
/// # Errors
/// A reference is malformed, or `lookup` does not know its name.
pub fn resolve(
    parameters: &Parameters,
    lookup: &mut dyn FnMut(&str) -> Option<String>,
) -> Result<Resolved<Parameters>, SecretError> {
    let mut used = BTreeSet::new();
    let value = resolve_fields(parameters, lookup, &mut used)?;
    Ok(Resolved { value, used })
}

/// The same for one text, such as a path.
///
/// # Errors
/// As for [`resolve`].
pub fn resolve_text(
    text: &str,
    lookup: &mut dyn FnMut(&str) -> Option<String>,
) -> Result<Resolved<String>, SecretError> {
    let mut used = BTreeSet::new();
    let value = resolve_string(text, lookup, &mut used)?;
    Ok(Resolved { value, used })
}

type Lookup<'a> = &'a mut dyn FnMut(&str) -> Option<String>;

fn resolve_fields(
    fields: &Map<String, Value>,
    lookup: Lookup<'_>,
    used: &mut BTreeSet<String>,
) -> Result<Map<String, Value>, SecretError> {
    fields.iter().map(|(key, value)| Ok((key.clone(), resolve_value(value, lookup, used)?))).collect()
}

fn resolve_value(
    value: &Value,
    lookup: Lookup<'_>,
    used: &mut BTreeSet<String>,
) -> Result<Value, SecretError> {
    Ok(match value {
        Value::String(text) => Value::String(resolve_string(text, lookup, used)?),
        Value::Array(items) => Value::Array(
            items.iter().map(|item| resolve_value(item, lookup, used)).collect::<Result<_, SecretError>>()?,
        ),
        Value::Object(fields) => Value::Object(resolve_fields(fields, lookup, used)?),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

fn resolve_string(
    text: &str,
    lookup: Lookup<'_>,
    used: &mut BTreeSet<String>,
) -> Result<String, SecretError> {
    let mut resolved = String::with_capacity(text.len());
    for piece in parse(text)? {
        match piece {
            Piece::Literal(literal) => resolved.push_str(literal),
            Piece::Secret(name) => {
                let secret = lookup(name).ok_or_else(|| SecretError::Unknown(name.to_owned()))?;
                used.insert(name.to_owned());
                resolved.push_str(&secret);
            }
        }
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "USER" => Some("ada".into()),
            "TRICK" => Some("${USER}".into()),
            _ => None,
        }
    }

    fn text(text: &str) -> Result<String, SecretError> {
        resolve_text(text, &mut lookup).map(|resolved| resolved.value)
    }

    #[test]
    fn references_and_escapes() {
        assert_eq!(text("plain $5 {x}").unwrap(), "plain $5 {x}");
        assert_eq!(text("${USER}").unwrap(), "ada");
        assert_eq!(text("a-${USER}-${USER}!").unwrap(), "a-ada-ada!");
        assert_eq!(text("$${USER}").unwrap(), "${USER}");
        assert_eq!(text("$$${USER}").unwrap(), "$${USER}");
        assert_eq!(text("$${${USER}").unwrap(), "${ada");
        assert_eq!(text("${TRICK}").unwrap(), "${USER}");
    }

    #[test]
    fn malformed_and_unknown_references_are_told() {
        assert_eq!(text("${USER"), Err(SecretError::Unclosed));
        assert_eq!(text("${}"), Err(SecretError::Name(String::new())));
        assert_eq!(text("${a b}"), Err(SecretError::Name("a b".into())));
        assert_eq!(text("${1A}"), Err(SecretError::Name("1A".into())));
        assert_eq!(text("${NOBODY}"), Err(SecretError::Unknown("NOBODY".into())));
    }

    #[test]
    fn parameters_are_resolved_in_their_depth_and_names_told() {
        let parameters = json!({ "a": ["x", { "b": "Bearer ${USER}" }], "n": 1, "${USER}": "key" });
        let parameters = parameters.as_object().unwrap();
        assert_eq!(names_in(parameters), BTreeSet::from(["USER".to_owned()]));
        let resolved = resolve(parameters, &mut lookup).unwrap();
        assert_eq!(
            Value::Object(resolved.value),
            json!({ "a": ["x", { "b": "Bearer ada" }], "n": 1, "${USER}": "key" })
        );
        assert_eq!(resolved.used, BTreeSet::from(["USER".to_owned()]));
    }

    #[test]
    fn whole_references_are_told_from_parts() {
        assert!(is_whole("${A}"));
        assert!(!is_whole("x${A}"));
        assert!(!is_whole("${A}${B}"));
        assert!(!is_whole("$${A}"));
    }
}
