//! From a manifest to a plan: instruments resolved, parameters checked, steps expanded and put in order.
//!
//! Compiling goes on after mistakes, and works on a manifest that has some already, so that an author sees those of
//! both stages at once; but only a manifest without any gives a plan.

mod hooks;
mod instruments;
mod order;
mod parameters;
pub(crate) mod schema_guard;
mod steps;

use crate::catalogue::Catalogue;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::parsed::{Parsed, parse};
use crate::plan::Plan;
use crate::spec::Manifest;
use crate::tree::{At, Path};

/// Steps of a plan, those expanded from a step for every instrument counted one by one.
pub const MAX_STEPS: usize = 20_000;

/// Instruments of a manifest.
pub const MAX_INSTRUMENTS: usize = 1000;

/// Dependencies between steps of a plan. Two phases of a thousand parallel steps each have a million: every step of the
/// second waits for all of the first.
pub const MAX_EDGES: usize = 1_000_000;

/// What the stages of compiling share.
pub(crate) struct Compiler<'a> {
    pub(crate) parsed: &'a Parsed,
    pub(crate) manifest: &'a Manifest,
    pub(crate) catalogue: &'a dyn Catalogue,
    pub(crate) diagnostics: Diagnostics,
}

/// Compile a manifest. The diagnostics are those that compiling adds; [`Parsed::diagnostics`] holds the others. There
/// is a plan only where neither has errors.
pub fn compile(parsed: &Parsed, catalogue: &dyn Catalogue) -> (Option<Plan>, Diagnostics) {
    let Some(manifest) = &parsed.manifest else {
        return (None, Diagnostics::default());
    };
    let mut compiler = Compiler { parsed, manifest, catalogue, diagnostics: Diagnostics::default() };
    let resolved = compiler.instruments();
    compiler.check_parameters(&resolved);
    compiler.ask_catalogue();
    compiler.check_quantities(&resolved);
    let steps = compiler.steps();
    let mut diagnostics = compiler.diagnostics;
    diagnostics.sort();
    if diagnostics.has_errors() || parsed.diagnostics.has_errors() {
        return (None, diagnostics);
    }
    let plan = steps.map(|steps| Plan {
        manifest_id: manifest.id.clone(),
        name: manifest.name.clone(),
        manifest_digest: parsed.digest.clone(),
        tenant: manifest.tenant.clone(),
        kind: manifest.kind.clone(),
        tags: manifest.metadata.tags.clone(),
        instruments: instruments::planned(manifest, &resolved),
        steps,
        substrate: manifest.substrate.clone(),
        execution: manifest.execution.clone(),
        preflight: manifest.preflight.clone(),
        falsification: manifest.falsification.clone(),
        arbitration: manifest.arbitration.clone(),
        belief: manifest.belief.clone(),
        analysis: manifest.analysis.clone(),
        reporting: manifest.reporting.clone(),
        limits: manifest.limits.clone(),
        capabilities: manifest.capabilities.clone(),
    });
    (plan, diagnostics)
}

/// A manifest that went through both stages.
#[derive(Debug, Clone)]
pub struct Validated {
    /// The text and what was understood of it.
    pub parsed: Parsed,
    /// The plan, where there are no errors.
    pub plan: Option<Plan>,
    /// What both stages found, in the order of the text.
    pub diagnostics: Diagnostics,
}

/// Parse and compile in one.
pub fn validate(name: &str, text: &str, catalogue: &dyn Catalogue) -> Validated {
    let parsed = parse(name, text);
    let (plan, found) = compile(&parsed, catalogue);
    let diagnostics = parsed.diagnostics.clone().merged(found);
    Validated { parsed, plan, diagnostics }
}

impl<'a> Compiler<'a> {
    /// The value of a field of the body with its path.
    fn field(&self, keys: &[&str]) -> Option<At<'a>> {
        self.parsed.body()?.at(keys)
    }

    /// The text of a path into the body.
    fn path(&self, rest: &str) -> String {
        let body = self.parsed.body_path();
        match body {
            Path::Root => rest.to_owned(),
            _ => format!("{body}.{rest}"),
        }
    }

    /// Complain of a field of the body; of the body itself where the field is not there.
    fn complain(
        &mut self,
        at: Option<At<'a>>,
        path: &str,
        code: Code,
        message: String,
        help: Option<String>,
    ) {
        let path = self.path(path);
        let span = at.or_else(|| self.parsed.body()).map(At::span).unwrap_or_default();
        self.diagnostics
            .push(Diagnostic::new(self.parsed.source(), code, span, path, message).maybe_help(help));
    }
}
