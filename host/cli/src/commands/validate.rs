//! `inquisitor validate`: every mistake of a manifest at once, each with its place.

use std::process::ExitCode;

use inquisitor_engine::catalogue::Catalogue;
use inquisitor_manifest::plan::Plan;
use inquisitor_manifest::{Diagnostic, Severity};
use serde::Serialize;

use crate::args::{Global, Output, Validate};
use crate::input::Text;
use crate::settings::Settings;
use crate::{exit, host, input, print};

/// A manifest that was checked against the installed plugins.
pub(crate) struct Checked {
    /// The plan; none if there is an error.
    pub(crate) plan: Option<Plan>,
    /// Errors and warnings, in the order of their place.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// What `--output json` prints for each file.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    file: &'a str,
    valid: bool,
    diagnostics: &'a [Diagnostic],
}

impl<'a> Report<'a> {
    pub(crate) fn new(file: &'a str, diagnostics: &'a [Diagnostic]) -> Self {
        Self { file, valid: !has_errors(diagnostics), diagnostics }
    }
}

pub(crate) async fn run(global: &Global, settings: &Settings, args: &Validate) -> anyhow::Result<ExitCode> {
    let runtime = host::runtime(args.sources.cache_dir.as_deref(), settings)?;
    let catalogue = host::catalogue(&runtime, &args.sources, settings).await;
    let mut code = 0;
    let mut documents = Vec::new();
    for path in &args.manifests {
        let manifest = match input::text(path) {
            Ok(manifest) => manifest,
            Err(error) => {
                print::note(&format!("error: {error:#}"));
                code = exit::USAGE;
                continue;
            }
        };
        let checked = check(&manifest.name, &manifest.text, &catalogue);
        if has_errors(&checked.diagnostics) {
            code = code.max(exit::ERROR);
        }
        match global.output {
            Output::Json => documents.push(serde_json::to_value(Report::new(&manifest.name, &checked.diagnostics))?),
            Output::Text if checked.diagnostics.is_empty() => print::text(&format!("{}: valid", manifest.name))?,
            Output::Text => print::text(&rendered(&checked, &manifest, print::color_stdout(global)))?,
        }
    }
    if global.output == Output::Json {
        print::json(&documents)?;
    }
    Ok(ExitCode::from(code))
}

/// Parse a manifest and compile its plan.
pub(crate) fn check(name: &str, text: &str, catalogue: &Catalogue) -> Checked {
    let parsed = inquisitor_manifest::parse(name, text);
    let (plan, compiled) = inquisitor_manifest::compile(&parsed, catalogue);
    let mut diagnostics = parsed.diagnostics;
    diagnostics.extend(compiled);
    Checked { plan: plan.filter(|_| !has_errors(&diagnostics)), diagnostics }
}

fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

/// The diagnostics as a person reads them, with the source underlined.
pub(crate) fn rendered(checked: &Checked, manifest: &Text, color: bool) -> String {
    inquisitor_manifest::render(&checked.diagnostics, &manifest.name, &manifest.text, color)
}
