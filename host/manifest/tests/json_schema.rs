//! The published JSON Schema and the parser agree.
// Helpers of tests are not tests to the linter.
#![allow(clippy::unwrap_used)]

mod common;

use common::Installed;
use inquisitor_manifest::{Code, parse, schema, validate};
use serde_json::{Value, json};

const HELLO: &str = include_str!("fixtures/hello-world.yaml");
const QUICKSTART: &str = include_str!("fixtures/quickstart.yaml");
const EVERYTHING: &str = include_str!("fixtures/everything.yaml");
const COLD_CHAIN: &str = include_str!("fixtures/cold-chain.yaml");

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

/// YAML as JSON, through the parameters of a manifest, where anything may stand.
fn as_json(yaml: &str) -> Value {
    let indented: String = yaml.lines().map(|line| format!("      {line}\n")).collect();
    let parsed = parse("y", &format!("instruments:\n  - type: a\n    parameters:\n{indented}"));
    Value::Object(parsed.manifest.unwrap().instruments[0].parameters.clone())
}

fn paths(value: &Value) -> Vec<String> {
    validator().iter_errors(value).map(|error| error.to_string()).collect()
}

#[test]
fn it_is_a_valid_schema() {
    assert!(jsonschema::meta::is_valid(&schema()));
    assert_eq!(schema(), schema());
}

#[test]
fn it_accepts_the_good_manifests() {
    for text in [HELLO, QUICKSTART, EVERYTHING, COLD_CHAIN] {
        assert_eq!(paths(&as_json(text)), Vec::<String>::new());
    }
    let bare = as_json(EVERYTHING)["manifest"].clone();
    assert_eq!(paths(&bare), Vec::<String>::new());
}

/// Where a path of a value is replaced by another value; null takes it out.
fn changed(mut value: Value, pointer: &str, to: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match (value.pointer_mut(parent).unwrap(), to) {
        (Value::Object(fields), Value::Null) => {
            fields.remove(key).unwrap();
        }
        (Value::Object(fields), to) => {
            fields.insert(key.to_owned(), to);
        }
        (other, to) => other[key.parse::<usize>().unwrap()] = to,
    }
    value
}

#[test]
fn it_refuses_what_the_parser_refuses_and_accepts_what_it_accepts() {
    let body = "/manifest";
    let cases: Vec<(&str, Value, bool)> = vec![
        ("/version", json!("2.0"), false),
        ("/version", json!(1.0), false),
        ("/version", Value::Null, false),
        ("/id", json!(""), false),
        ("/metadata/author", Value::Null, false),
        ("/metadata/editor", json!("x"), false),
        ("/protocol/type", json!("serial"), false),
        ("/protocol/phases", json!([]), false),
        ("/protocol/phases/0", json!("execution"), true),
        ("/protocol/phases/1/steps", json!([]), false),
        ("/protocol/phases/1/steps/1/type", json!("an own word"), true),
        ("/protocol/phases/1/steps/1/depends", json!([]), false),
        ("/substrate/source/type", json!("stream"), false),
        ("/substrate/source", json!({ "type": "synthetic", "generator": "echo" }), true),
        ("/substrate/source", json!({ "type": "synthetic", "path": "x" }), false),
        ("/instruments", json!([]), false),
        ("/instruments/0/id", Value::Null, false),
        ("/instruments/0/provider", json!("docker"), false),
        ("/instruments/0/probeInterval", json!(30), true),
        ("/instruments/0/probeInterval", json!("30"), false),
        ("/instruments/0/parameters/anything", json!({ "at": ["all"] }), true),
        ("/execution/concurrency/max_workers", json!(101), false),
        ("/execution/retry_policy/backoff_factor", json!(0.05), false),
        ("/execution/timeout", json!("90min"), true),
        ("/execution/timeout", json!(0), false),
        ("/validation/preflight_checks/0", json!("weather"), false),
        (
            "/falsification/axioms/0",
            json!({ "quantity": "temperature", "min": 1, "max_rate": 2, "per": 1 }),
            false,
        ),
        ("/falsification/axioms/0", json!({ "quantity": "temperature" }), false),
        ("/falsification/axioms/0", json!({ "quantity": "temperature", "max": 3 }), true),
        ("/arbitration/minimum_confidence", json!(1.5), false),
        ("/arbitration/method", json!("mean"), false),
        ("/belief/states", json!(["one"]), false),
        ("/belief/decide_at", json!(0.5), false),
        ("/analysis/visualizations/0/type", json!("heat_map"), false),
        ("/reporting/artifacts/0/format", json!("pdf"), false),
        ("/reporting/destinations/0/type", json!("s3"), false),
        ("/limits/memory", json!("64 MiB"), true),
        ("/limits/memory", json!("64 mib"), false),
        ("/limits/memory", json!(1), true),
        ("/limits/fuel", json!(0), false),
        ("/capabilities/http/0", json!("https://api.example.com:443/"), false),
        ("/capabilities/files/0/path", json!("data"), false),
        ("/unknown", json!({}), false),
    ];
    let good = as_json(EVERYTHING);
    let validator = validator();
    for (pointer, to, right) in cases {
        let value = changed(good.clone(), &format!("{body}{pointer}"), to);
        assert_eq!(validator.is_valid(&value), right, "schema: {pointer}");
        // Only what a schema can say: the parser alone, without what the catalogue knows.
        let parsed = parse("v", &serde_json::to_string(&value).unwrap());
        assert_eq!(parsed.diagnostics.has_errors(), !right, "parser: {pointer} {:?}", parsed.diagnostics);
    }
}

#[test]
fn every_field_of_the_schema_is_known_to_the_parser_and_the_other_way_round() {
    // Both are made from one description; this keeps it so. For each object of the schema a field `zzz` is put into a
    // place where the object stands, and the parser must name exactly the schema's fields as known.
    let schema = schema();
    let definitions = schema["$defs"].as_object().unwrap();
    let everything = as_json(EVERYTHING);
    let mut seen = 0;
    let places = [
        ("manifest", "/manifest"),
        ("metadata", "/manifest/metadata"),
        ("protocol", "/manifest/protocol"),
        ("phase", "/manifest/protocol/phases/1"),
        ("step", "/manifest/protocol/phases/1/steps/1"),
        ("substrate", "/manifest/substrate"),
        ("file-source", "/manifest/substrate/source"),
        ("instrument", "/manifest/instruments/0"),
        ("execution", "/manifest/execution"),
        ("concurrency", "/manifest/execution/concurrency"),
        ("retry-policy", "/manifest/execution/retry_policy"),
        ("validation", "/manifest/validation"),
        ("falsification", "/manifest/falsification"),
        ("bounds-axiom", "/manifest/falsification/axioms/0"),
        ("rate-axiom", "/manifest/falsification/axioms/1"),
        ("agreement-axiom", "/manifest/falsification/axioms/2"),
        ("expression-axiom", "/manifest/falsification/axioms/3"),
        ("arbitration", "/manifest/arbitration"),
        ("belief", "/manifest/belief"),
        ("state-range", "/manifest/belief/observe/compliant"),
        ("analysis", "/manifest/analysis"),
        ("test", "/manifest/analysis/statistical/0"),
        ("chart", "/manifest/analysis/visualizations/0"),
        ("reporting", "/manifest/reporting"),
        ("artifact", "/manifest/reporting/artifacts/0"),
        ("file-destination", "/manifest/reporting/destinations/0"),
        ("limits", "/manifest/limits"),
        ("capabilities", "/manifest/capabilities"),
        ("file-grant", "/manifest/capabilities/files/0"),
    ];
    for (name, pointer) in places {
        let fields: Vec<&String> = definitions[name]["properties"].as_object().unwrap().keys().collect();
        let value = changed(everything.clone(), &format!("{pointer}/qqqqqqqqqqqqqqqq"), json!(1));
        let parsed = parse("v", &value.to_string());
        let unknown: Vec<_> =
            parsed.diagnostics.iter().filter(|found| found.code == Code::UnknownField).collect();
        assert_eq!(unknown.len(), 1, "{name}: {:?}", parsed.diagnostics);
        let help = unknown[0].help.as_deref().unwrap();
        let list = help
            .trim_start_matches("known are ")
            .trim_start_matches("write ")
            .replace('`', "")
            .replace(" and ", ", ");
        let mut known: Vec<&str> = list.split(", ").collect();
        known.sort_unstable();
        assert_eq!(known, fields, "{name}");
        seen += 1;
    }
    let elsewhere = ["wrapped-manifest", "resource", "resource-metadata", "synthetic-source", "observe"];
    let in_resource = definitions.keys().filter(|name| name.ends_with("-in-resource")).count();
    assert_eq!(definitions.len(), seen + elsewhere.len() + in_resource);
}

#[test]
fn what_each_spelling_requires_differs() {
    let validator = validator();
    let minimal = json!({
        "apiVersion": "apparatus.wadelabs.io/v1", "kind": "InquiryManifest",
        "metadata": { "name": "a" }, "spec": { "instruments": [{ "type": "rfid" }] }
    });
    assert!(validator.is_valid(&minimal));
    assert!(validate("r", &minimal.to_string(), &Installed::new()).plan.is_some());
    assert!(!validator.is_valid(&json!({ "manifest": minimal["spec"] })));
    assert!(!validator.is_valid(&minimal["spec"]));
    assert!(!validator.is_valid(&changed(minimal, "/kind", json!("Pod"))));
}
