//! Any bytes as a manifest: parsed, validated, rendered, compiled. Nothing panics, every diagnostic has its place in the
//! text, and what compiles can be written and read back.
#![no_main]

use std::sync::Arc;

use inquisitor_manifest::plan::Plan;
use inquisitor_manifest::spec::Manifest;
use inquisitor_manifest::{
    Catalogue, ParameterOwner, ParameterProblem, PluginInfo, PluginReference, ResolveError, Style,
    parse_bytes, render, resolve_among, validate,
};
use libfuzzer_sys::fuzz_target;

/// A host with one plugin that takes anything.
struct OnePlugin(Arc<PluginInfo>);

impl Catalogue for OnePlugin {
    fn resolve(&self, reference: &PluginReference) -> Result<Arc<PluginInfo>, ResolveError> {
        resolve_among(std::slice::from_ref(&self.0), reference)
    }

    fn check_unit(&self, code: &str) -> Result<(), String> {
        inquisitor_findings::check_unit(code)
    }

    fn check_expression(&self, text: &str) -> Result<(), String> {
        inquisitor_findings::check_expression(text)
    }

    fn check_parameters(&self, _: &Manifest) -> Vec<(ParameterOwner, ParameterProblem)> {
        Vec::new()
    }
}

fn host() -> OnePlugin {
    OnePlugin(Arc::new(PluginInfo {
        name: "echo".into(),
        version: "1.0.0".into(),
        digest: "00".repeat(32),
        aliases: vec!["thermal".into()],
        parameters_schema: serde_json::json!({}).into(),
        step_parameters_schema: serde_json::json!({}).into(),
        quantities: Vec::new(),
        capabilities: Vec::new(),
        minimum_memory: 0,
    }))
}

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_bytes("fuzz", bytes).secrets();
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let validated = validate("fuzz", text, &host());
    assert_eq!(validated.plan.is_none(), validated.diagnostics.has_errors());
    for found in &validated.diagnostics {
        assert!(text.get(found.span.start..found.span.end).is_some(), "{found:?}");
    }
    let rendered = render(&validated.parsed, &validated.diagnostics, Style::Plain);
    assert!(rendered.is_empty() || rendered.ends_with('\n'));
    if let Some(plan) = validated.plan {
        check_plan(&plan);
    }
});

/// Steps depend only on steps before them.
fn check_plan(plan: &Plan) {
    for (position, step) in plan.steps.iter().enumerate() {
        assert!(step.after.iter().all(|before| *before < position));
    }
}
