//! Parse and compile a manifest of ten thousand steps, the budget of `inquisitor validate`.
// A figure that criterion does not measure is printed beside those that it does.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inquisitor_manifest::{
    Catalogue, PluginInfo, PluginReference, ResolveError, Style, parse, render, resolve_among, validate,
};
use serde_json::json;

const STEPS: usize = 10_000;

struct Installed(Vec<Arc<PluginInfo>>);

impl Catalogue for Installed {
    fn resolve(&self, reference: &PluginReference) -> Result<Arc<PluginInfo>, ResolveError> {
        resolve_among(&self.0, reference)
    }

    fn check_unit(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn check_expression(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

fn installed() -> Installed {
    let schema = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": { "channel": { "type": "integer", "minimum": 0 }, "label": { "type": "string" } }
    });
    Installed(vec![Arc::new(PluginInfo {
        name: "thermal".into(),
        version: "1.0.0".into(),
        digest: "a".repeat(64),
        aliases: Vec::new(),
        parameters_schema: schema.clone().into(),
        step_parameters_schema: schema.into(),
        quantities: Vec::new(),
        capabilities: Vec::new(),
        minimum_memory: 1 << 20,
    })])
}

/// Ten phases; each step has parameters, and every other one a dependency. `parameter` is what each gives for a label.
fn manifest(kind: &str, parameter: &str) -> String {
    let mut text = format!(
        "manifest:\n  version: \"1.0.0\"\n  id: large\n  name: Large\n  metadata:\n    author: bench\n  protocol:\n    \
         type: {kind}\n    phases:\n"
    );
    for step in 0..STEPS {
        if step % (STEPS / 10) == 0 {
            text.push_str(&format!("      - name: phase-{}\n        steps:\n", step / (STEPS / 10)));
        }
        text.push_str(&format!(
            "          - name: step-{step}\n            type: measurement\n            instrument: logger-{}\n            \
             parameters:\n              channel: {}\n              label: {parameter}\n",
            step % 20,
            step % 8
        ));
        if step % 2 == 1 {
            text.push_str(&format!("            depends_on: [step-{}]\n", step - 1));
        }
    }
    text.push_str("  instruments:\n");
    for instrument in 0..20 {
        text.push_str(&format!("    - type: thermal\n      id: logger-{instrument}\n"));
    }
    text
}

/// The most memory that this process ever had resident, in bytes, where the system tells.
fn peak_resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Memory for a manifest, its plan and all between. Must come first: a peak never falls again.
fn measures_memory(_: &mut Criterion) {
    let installed = installed();
    let text = manifest("dag", "north");
    let before = peak_resident();
    let validated = validate("large.yaml", &text, &installed);
    if let (Some(before), Some(after)) = (before, peak_resident()) {
        let (used, times) = (after - before, (after - before) as f64 / text.len() as f64);
        println!(
            "validate/memory: {} bytes of text, {used} bytes more at the peak, {times:.1} times the text",
            text.len()
        );
    }
    assert!(validated.plan.is_some(), "{}", validated.diagnostics.summary());
}

fn validates(criterion: &mut Criterion) {
    let installed = installed();
    let mut group = criterion.benchmark_group("validate");
    group.sample_size(20);
    for (name, kind, parameter) in
        [("sequential", "sequential", "north"), ("dag", "dag", "north"), ("all-wrong", "dag", "[north]")]
    {
        let text = manifest(kind, parameter);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(validate("large.yaml", black_box(&text), &installed)));
        });
        assert_eq!(validate("large.yaml", &text, &installed).plan.is_some(), parameter == "north");
    }
    let text = manifest("dag", "north");
    group.bench_function("parse-alone", |bencher| {
        bencher.iter(|| black_box(parse("large.yaml", black_box(&text))));
    });
    let validated = validate("large.yaml", &manifest("dag", "[north]"), &installed);
    group.bench_function("render-1000", |bencher| {
        bencher.iter(|| black_box(render(&validated.parsed, &validated.diagnostics, Style::Coloured)));
    });
    group.finish();
}

criterion_group!(benches, measures_memory, validates);
criterion_main!(benches);
