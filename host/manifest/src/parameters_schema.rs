//! A plugin's JSON Schema, and the validator that was made of it, which costs more than using it.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::compile::schema_guard::{Guarded, guard};

/// Values of all schemas together whose validators are kept, what is referred to counted each time. A plugin's have some
/// hundreds. Those beyond are made anew for each manifest: whoever uploads many large schemas gets no more memory.
const MAX_KEPT: usize = 200_000;

/// Values of schemas whose validators are kept now.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// A JSON Schema of parameters. Clones share what is kept of it.
#[derive(Clone)]
pub struct ParametersSchema(Arc<Inner>);

struct Inner {
    schema: Value,
    validator: OnceLock<Kept>,
}

/// A validator that is counted while it is kept.
struct Kept(Arc<Guarded>);

impl Kept {
    /// None where too much is kept.
    fn new(guarded: &Arc<Guarded>, limit: usize) -> Option<Self> {
        let nodes = guarded.nodes.get();
        let fits = |kept: usize| kept.checked_add(nodes).filter(|sum| *sum <= limit);
        KEPT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Self(guarded.clone()))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT.fetch_sub(self.0.nodes.get(), Ordering::Relaxed);
    }
}

impl ParametersSchema {
    /// The validator, or why the schema cannot be used.
    pub(crate) fn validator(&self) -> Result<Arc<Guarded>, String> {
        self.validator_within(MAX_KEPT)
    }

    fn validator_within(&self, limit: usize) -> Result<Arc<Guarded>, String> {
        if let Some(kept) = self.0.validator.get() {
            return Ok(kept.0.clone());
        }
        let guarded = Arc::new(guard(&self.0.schema)?);
        if let Some(kept) = Kept::new(&guarded, limit) {
            // Somebody else may have been faster; then this one is not kept.
            let _ = self.0.validator.set(kept);
        }
        Ok(guarded)
    }
}

impl From<Value> for ParametersSchema {
    fn from(schema: Value) -> Self {
        Self(Arc::new(Inner { schema, validator: OnceLock::new() }))
    }
}

impl Deref for ParametersSchema {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0.schema
    }
}

impl PartialEq for ParametersSchema {
    fn eq(&self, other: &Self) -> bool {
        self.0.schema == other.0.schema
    }
}

impl fmt::Debug for ParametersSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.schema.fmt(f)
    }
}

impl Serialize for ParametersSchema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.schema.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ParametersSchema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_validator_is_made_once_and_shared_by_clones() {
        let schema = ParametersSchema::from(json!({ "type": "object" }));
        let clone = schema.clone();
        let made = schema.validator().unwrap();
        assert!(Arc::ptr_eq(&made, &clone.validator().unwrap()));
        assert!(made.validator.is_valid(&json!({})) && !made.validator.is_valid(&json!([])));
        let same = ParametersSchema::from(json!({ "type": "object" }));
        assert_eq!(same, schema);
        assert!(!Arc::ptr_eq(&made, &same.validator().unwrap()));
    }

    #[test]
    fn what_is_beyond_the_bound_is_used_and_not_kept() {
        let schema = ParametersSchema::from(json!({ "type": "object" }));
        let made = schema.validator_within(0).unwrap();
        assert!(made.validator.is_valid(&json!({})));
        assert!(schema.0.validator.get().is_none());
        schema.validator().unwrap();
        assert!(schema.0.validator.get().is_some());
    }

    #[test]
    fn a_schema_that_cannot_be_used_says_why_each_time() {
        let schema = ParametersSchema::from(json!({ "$ref": "#" }));
        for _ in 0..2 {
            assert!(schema.validator().is_err_and(|why| why.contains("leads back")));
        }
    }

    #[test]
    fn it_is_written_and_read_as_the_schema() {
        let schema = ParametersSchema::from(json!({ "type": "object" }));
        let text = serde_json::to_string(&schema).unwrap();
        assert_eq!(text, r#"{"type":"object"}"#);
        assert_eq!(serde_json::from_str::<ParametersSchema>(&text).unwrap(), schema);
    }
}
