//! A plugin's JSON Schema comes from whoever wrote the plugin, and may be made to hang or to crash who uses it. What is
//! let through here has a cost that is bounded beforehand.
//!
//! References are followed and counted as often as they are used, and must not lead back to themselves, so that neither
//! compiling nor validating can recurse without end or grow exponentially. Patterns are few, small and run by an engine
//! of linear time. Nothing is fetched.

use std::io;
use std::num::NonZeroUsize;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

/// Bytes of a schema. The largest that generators make of real parameters are some tens of thousands.
const MAX_SCHEMA_BYTES: usize = 256 << 10;
/// How deep a schema may be, references included.
const MAX_SCHEMA_DEPTH: usize = 64;
/// Values of a schema, what is referred to counted each time.
const MAX_SCHEMA_NODES: usize = 20_000;
/// `unevaluatedProperties` and `unevaluatedItems` in a schema: each may evaluate what it stands beside once more, so
/// nested ones double the cost.
const MAX_UNEVALUATED: usize = 8;
/// Patterns in a schema, and bytes of one and of what it is compiled to: compiling is the expensive part of a pattern.
const MAX_PATTERNS: usize = 256;
const MAX_PATTERN_BYTES: usize = 1024;
const MAX_COMPILED_PATTERN_BYTES: usize = 256 << 10;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A schema that is safe to use.
pub(crate) struct Guarded {
    pub(crate) validator: Validator,
    /// What validating costs for each value of the parameters, roughly.
    pub(crate) nodes: NonZeroUsize,
}

/// Compile a schema, or say why not.
pub(crate) fn guard(schema: &Value) -> Result<Guarded, String> {
    let mut counter = Counter(0);
    if serde_json::to_writer(&mut counter, schema).is_err() {
        return Err(format!("it is larger than {MAX_SCHEMA_BYTES} bytes"));
    }
    let mut walk = Walk { root: schema, nodes: 0, unevaluated: 0, patterns: 0, following: Vec::new() };
    walk.visit(schema, 0)?;
    let validator = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .should_validate_formats(false)
        .with_pattern_options(
            PatternOptions::regex()
                .size_limit(MAX_COMPILED_PATTERN_BYTES)
                .dfa_size_limit(MAX_COMPILED_PATTERN_BYTES),
        )
        .build(schema)
        .map_err(|error| {
            let at = error.instance_path().as_str();
            let at = if at.is_empty() { String::new() } else { format!(" (at {at})") };
            format!("{}{at}", error.masked_with("the value"))
        })?;
    Ok(Guarded { validator, nodes: NonZeroUsize::new(walk.nodes).unwrap_or(NonZeroUsize::MIN) })
}

/// Counts bytes and refuses beyond the bound.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        if self.0 > MAX_SCHEMA_BYTES { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Visits a schema as deep and as often as a validator may. It does not tell keywords from the names of properties, so
/// it may count too much, never too little.
struct Walk<'a> {
    root: &'a Value,
    nodes: usize,
    unevaluated: usize,
    patterns: usize,
    /// References that are being followed.
    following: Vec<&'a str>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, value: &'a Value, depth: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > MAX_SCHEMA_NODES {
            return Err(format!("with its references it has more than {MAX_SCHEMA_NODES} values"));
        }
        if depth > MAX_SCHEMA_DEPTH {
            return Err(format!("with its references it is more than {MAX_SCHEMA_DEPTH} levels deep"));
        }
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.visit(item, depth + 1)),
            Value::Object(fields) => {
                for (key, value) in fields {
                    self.keyword(key, value, depth)?;
                    self.visit(value, depth + 1)?;
                }
                Ok(())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn keyword(&mut self, key: &str, value: &'a Value, depth: usize) -> Result<(), String> {
        match (key, value) {
            ("$ref", Value::String(reference)) => self.follow(reference, depth)?,
            ("$dynamicRef" | "$recursiveRef", Value::String(_)) => {
                return Err(format!("it uses {key}, which the host does not follow; use $ref"));
            }
            ("$schema", Value::String(dialect)) if dialect.trim_end_matches('#') != DIALECT => {
                return Err(format!("its $schema is not JSON Schema 2020-12 ({DIALECT})"));
            }
            ("$id", Value::String(_)) if depth > 0 => {
                return Err(
                    "a part of it has an $id of its own, which changes what its references mean".to_owned()
                );
            }
            (
                "$anchor" | "$dynamicAnchor" | "$recursiveAnchor" | "$vocabulary",
                Value::String(_) | Value::Bool(_),
            ) => {
                return Err(format!("it uses {key}, which the host does not follow; refer to `#/$defs/…`"));
            }
            ("unevaluatedProperties" | "unevaluatedItems", _) => {
                self.unevaluated += 1;
                if self.unevaluated > MAX_UNEVALUATED {
                    return Err(format!(
                        "it uses unevaluatedProperties and unevaluatedItems more than {MAX_UNEVALUATED} times"
                    ));
                }
            }
            ("pattern", Value::String(pattern)) => self.pattern(pattern)?,
            ("patternProperties", Value::Object(patterns)) => {
                patterns.keys().try_for_each(|key| self.pattern(key))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn pattern(&mut self, pattern: &str) -> Result<(), String> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(format!("it has more than {MAX_PATTERNS} patterns"));
        }
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(format!("it has a pattern of more than {MAX_PATTERN_BYTES} bytes"));
        }
        Ok(())
    }

    fn follow(&mut self, reference: &'a str, depth: usize) -> Result<(), String> {
        let said = crate::diagnostic::quote(reference);
        let pointer = match reference.strip_prefix('#') {
            Some(pointer) if (pointer.is_empty() || pointer.starts_with('/')) && !pointer.contains('%') => {
                pointer
            }
            _ => {
                return Err(format!(
                    "it refers to {said}; only references into itself, as `#/$defs/…`, are followed"
                ));
            }
        };
        if self.following.contains(&reference) {
            return Err(format!("its reference {said} leads back to itself"));
        }
        let Some(target) = self.root.pointer(pointer) else {
            return Err(format!("it refers to {said}, which it does not have"));
        };
        self.following.push(reference);
        self.visit(target, depth + 1)?;
        self.following.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(schema: &Value, why: &str) {
        match guard(schema) {
            Ok(_) => panic!("accepted: {schema}"),
            Err(reason) => assert!(reason.contains(why), "{reason}"),
        }
    }

    #[test]
    fn ordinary_schemas_pass() {
        let schema = json!({
            "$schema": DIALECT, "$id": "https://example.com/a", "type": "object",
            "properties": { "a": { "$ref": "#/$defs/a" }, "b": { "$ref": "#/$defs/a" } },
            "$defs": { "a": { "type": "string", "pattern": "^[a-z]+$" } }
        });
        let guarded = guard(&schema).map_err(|reason| panic!("{reason}")).unwrap();
        assert!(guarded.validator.is_valid(&json!({ "a": "x" })));
        assert!(!guarded.validator.is_valid(&json!({ "a": "1" })));
        assert!(guard(&json!(true)).is_ok());
    }

    #[test]
    fn hostile_schemas_are_refused_with_a_reason() {
        refused(&json!({ "$ref": "#" }), "leads back");
        refused(
            &json!({ "allOf": [{ "$ref": "#/$defs/a" }], "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } }),
            "leads back",
        );
        refused(&json!({ "$ref": "https://example.com/s.json" }), "only references into itself");
        refused(&json!({ "$ref": "#/%24defs/a", "$defs": { "a": true } }), "only references into itself");
        refused(&json!({ "$ref": "#/$defs/b" }), "does not have");
        refused(&json!({ "$dynamicRef": "#a" }), "$dynamicRef");
        refused(&json!({ "properties": { "a": { "$id": "x" } } }), "$id");
        refused(&json!({ "$schema": "http://json-schema.org/draft-04/schema#" }), "2020-12");
        refused(&json!({ "type": "number?" }), "");
        refused(&json!({ "pattern": "(" }), "");
        refused(&json!({ "pattern": "(a{1000}){1000}" }), "");
        refused(&json!({ "pattern": "x".repeat(2000) }), "pattern");
        refused(&json!({ "description": "x".repeat(300 << 10) }), "bytes");
        // Each level refers twice to the one below: 2^15 in the end.
        let mut levels = serde_json::Map::new();
        for level in 0..15 {
            let below = json!({ "$ref": format!("#/$defs/l{}", level + 1) });
            levels.insert(format!("l{level}"), json!({ "allOf": [below.clone(), below] }));
        }
        levels.insert("l15".into(), json!(true));
        refused(&json!({ "$ref": "#/$defs/l0", "$defs": levels }), "values");
        let mut deep = json!(true);
        for _ in 0..100 {
            deep = json!({ "not": deep });
        }
        refused(&deep, "deep");
        let many: Vec<Value> = (0..20).map(|_| json!({ "unevaluatedProperties": false })).collect();
        refused(&json!({ "anyOf": many }), "unevaluated");
    }
}
