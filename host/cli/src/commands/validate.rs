//! `inquisitor validate`: every mistake of a manifest at once, each with its place.

use std::process::ExitCode;

use inquisitor_manifest::{Diagnostic, Diagnostics, Style, Validated, render, validate};
use serde::Serialize;
use serde_json::json;

use crate::args::{Global, Output, Validate};
use crate::settings::Settings;
use crate::{exit, host, input, print};

/// What programs get for each file.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    file: &'a str,
    valid: bool,
    errors: usize,
    warnings: usize,
    /// Diagnostics beyond the bound, counted only.
    omitted: usize,
    diagnostics: &'a [Diagnostic],
}

impl<'a> Report<'a> {
    pub(crate) fn new(file: &'a str, diagnostics: &'a Diagnostics) -> Self {
        Self {
            file,
            valid: !diagnostics.has_errors(),
            errors: diagnostics.errors(),
            warnings: diagnostics.warnings(),
            omitted: diagnostics.omitted(),
            diagnostics: diagnostics.as_slice(),
        }
    }
}

pub(crate) async fn run(global: &Global, settings: &Settings, args: &Validate) -> anyhow::Result<ExitCode> {
    let runtime = host::runtime(args.sources.cache_dir.as_deref(), settings)?;
    let catalogue = host::catalogue(&runtime, &args.sources, settings).await?;
    let mut code = 0;
    let mut documents = Vec::new();
    for path in &args.manifests {
        let manifest = match input::text(path) {
            Ok(manifest) => manifest,
            Err(error) => {
                print::note(&format!("error: {error:#}"));
                documents.push(json!({
                    "file": path.display().to_string(),
                    "valid": false,
                    "error": format!("{error:#}"),
                }));
                code = exit::USAGE;
                continue;
            }
        };
        let validated = validate(&manifest.name, &manifest.text, catalogue.as_ref());
        let diagnostics = &validated.diagnostics;
        if diagnostics.has_errors() {
            code = code.max(exit::ERROR);
        }
        if global.output != Output::Text {
            documents.push(serde_json::to_value(Report::new(&manifest.name, diagnostics))?);
        } else if diagnostics.is_empty() {
            print::text(&format!("{}: valid", manifest.name))?;
        } else {
            print::text(&rendered(&validated, print::color_stdout(global)))?;
        }
    }
    if global.output != Output::Text {
        print::document(global.output, &documents)?;
    }
    Ok(ExitCode::from(code))
}

/// The diagnostics as a person reads them, with the source underlined.
pub(crate) fn rendered(validated: &Validated, color: bool) -> String {
    let style = if color { Style::Coloured } else { Style::Plain };
    render(&validated.parsed, &validated.diagnostics, style)
}
