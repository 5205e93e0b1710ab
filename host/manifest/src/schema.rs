//! The description of the format as JSON Schema (2020-12), for editors and for programs that write manifests.
//!
//! It is made from the description that the parser judges by, so the two agree on fields, words and ranges. What the
//! parser checks beyond (that names are unique, that references lead somewhere) no schema can say.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::format::{BODY, RESOURCE, WRAPPER};
use crate::shape::{Field, Forms, MAX_NAME, Need, Object, Others, Shape, Spelling, Tagged, TextRule, Words};
use crate::units::{DURATION_PATTERN, SIZE_PATTERN};

/// JSON Schema of a manifest in either spelling.
pub fn schema() -> Value {
    let mut writer = Writer { definitions: BTreeMap::new() };
    let wrapped = writer.reference(&WRAPPER, Spelling::Wrapped);
    let bare = writer.reference(&BODY, Spelling::Wrapped);
    let resource = writer.reference(&RESOURCE, Spelling::Kubernetes);
    let definitions: Map<String, Value> = writer.definitions.into_iter().collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Inquiry manifest",
        "description": "Which instruments to ask, over which data, in which order, and how their readings become a finding.",
        "type": "object",
        // Told apart by a field, so that an editor speaks of the mistakes in the spelling that is meant.
        "if": { "required": ["apiVersion"] },
        "then": resource,
        "else": { "if": { "required": ["manifest"] }, "then": wrapped, "else": bare },
        "$defs": definitions,
    })
}

struct Writer {
    definitions: BTreeMap<String, Value>,
}

impl Writer {
    /// A reference to an object's definition, which is written where it is not there yet.
    fn reference(&mut self, object: &Object, spelling: Spelling) -> Value {
        let name = match spelling {
            Spelling::Kubernetes if object.name != RESOURCE.name && differs(object) => {
                format!("{}-in-resource", object.name)
            }
            _ => object.name.to_owned(),
        };
        if !self.definitions.contains_key(&name) {
            self.definitions.insert(name.clone(), Value::Null);
            let definition = self.object(object, spelling);
            self.definitions.insert(name.clone(), definition);
        }
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    fn object(&mut self, object: &Object, spelling: Spelling) -> Value {
        let mut properties = Map::new();
        for field in object.fields {
            properties.insert(field.name.to_owned(), self.field(field, spelling));
        }
        let required: Vec<&str> = object
            .fields
            .iter()
            .filter(|field| field.need.in_spelling(spelling))
            .map(|field| field.name)
            .collect();
        let rest = object.rest.map_or(Value::Bool(false), |rest| self.shape(rest, spelling));
        let mut definition = json!({
            "description": object.about,
            "type": "object",
            "properties": properties,
            "additionalProperties": rest,
        });
        if !required.is_empty() {
            definition["required"] = json!(required);
        }
        if !object.one_of.is_empty() {
            definition["anyOf"] = object.one_of.iter().map(|name| json!({ "required": [name] })).collect();
        }
        definition
    }

    fn field(&mut self, field: &Field, spelling: Spelling) -> Value {
        let mut schema = self.shape(&field.shape, spelling);
        if let Value::Object(fields) = &mut schema {
            fields.insert("description".to_owned(), json!(field.about));
        }
        schema
    }

    fn shape(&mut self, shape: &Shape, spelling: Spelling) -> Value {
        match shape {
            Shape::Text(rule) => text(*rule),
            Shape::Words(words) => vocabulary(words),
            Shape::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
            Shape::Number { min, max, above } => {
                let mut schema = json!({ "type": "number" });
                if min.is_finite() {
                    schema[if *above { "exclusiveMinimum" } else { "minimum" }] = json!(min);
                }
                if max.is_finite() {
                    schema["maximum"] = json!(max);
                }
                schema
            }
            Shape::Boolean => json!({ "type": "boolean" }),
            Shape::Size => json!({
                "anyOf": [{ "type": "string", "pattern": SIZE_PATTERN }, { "type": "integer", "minimum": 1 }],
            }),
            Shape::Duration { min } => json!({
                "anyOf": [
                    { "type": "string", "pattern": DURATION_PATTERN },
                    { "type": "number", "minimum": *min as f64 / 1e9 },
                ],
            }),
            Shape::Seconds => json!({
                "anyOf": [{ "type": "string", "pattern": DURATION_PATTERN }, { "type": "integer", "minimum": 1 }],
            }),
            Shape::Parameters => json!({ "type": "object" }),
            Shape::Object(object) => self.reference(object, spelling),
            Shape::List { item, min, max } => {
                let mut schema =
                    json!({ "type": "array", "items": self.shape(item, spelling), "maxItems": max });
                if *min > 0 {
                    schema["minItems"] = json!(min);
                }
                schema
            }
            Shape::Map { value, max } => json!({
                "type": "object", "additionalProperties": self.shape(value, spelling), "maxProperties": max,
            }),
            Shape::NameOr(object) => {
                json!({ "anyOf": [text(TextRule::Name), self.reference(object, spelling)] })
            }
            Shape::Tagged(tagged) => self.tagged(tagged, spelling),
            Shape::Forms(forms) => self.forms(forms, spelling),
        }
    }

    fn tagged(&mut self, tagged: &Tagged, spelling: Spelling) -> Value {
        let kinds: Vec<Value> =
            tagged.known.iter().map(|(_, object)| self.reference(object, spelling)).collect();
        json!({ "oneOf": kinds })
    }

    fn forms(&mut self, forms: &Forms, spelling: Spelling) -> Value {
        let forms: Vec<Value> =
            forms.forms.iter().map(|form| self.reference(form.object, spelling)).collect();
        json!({ "oneOf": forms })
    }
}

/// Whether an object has other required fields in the other spelling, itself or anywhere in it.
fn differs(object: &Object) -> bool {
    object.fields.iter().any(|field| field.need == Need::RequiredWhenWrapped || shape_differs(&field.shape))
}

fn shape_differs(shape: &Shape) -> bool {
    match shape {
        Shape::Object(object) | Shape::NameOr(object) => differs(object),
        Shape::List { item, .. } => shape_differs(item),
        Shape::Map { value, .. } => shape_differs(value),
        Shape::Tagged(tagged) => tagged.known.iter().any(|(_, object)| differs(object)),
        Shape::Forms(forms) => forms.forms.iter().any(|form| differs(form.object)),
        Shape::Text(_) | Shape::Words(_) | Shape::Integer { .. } | Shape::Number { .. } | Shape::Boolean => {
            false
        }
        Shape::Size | Shape::Duration { .. } | Shape::Seconds | Shape::Parameters => false,
    }
}

fn vocabulary(words: &Words) -> Value {
    match words.others {
        Others::Warned => {
            // An open vocabulary: any name is right, the known ones are there to choose from.
            json!({ "type": "string", "minLength": 1, "maxLength": MAX_NAME, "examples": words.known })
        }
        Others::Refused | Others::Unsupported => json!({ "enum": words.known }),
    }
}

fn text(rule: TextRule) -> Value {
    let mut schema = json!({ "type": "string" });
    if let Some(pattern) = rule.pattern() {
        schema["pattern"] = json!(pattern);
    }
    match rule {
        TextRule::Name => {
            schema["minLength"] = json!(1);
            schema["maxLength"] = json!(MAX_NAME);
        }
        TextRule::Time => schema["format"] = json!("date-time"),
        TextRule::Provider => schema = json!({ "const": "internal" }),
        TextRule::Location | TextRule::Unit | TextRule::Expression => schema["minLength"] = json!(1),
        TextRule::Any
        | TextRule::Version
        | TextRule::Plugin
        | TextRule::AbsolutePath
        | TextRule::Authority => {}
    }
    schema
}
