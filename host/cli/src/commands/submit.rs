//! `inquisitor submit`: an inquiry for a host, once, however often it is asked.

use std::process::ExitCode;

use inquisitor_manifest::{Diagnostic, Diagnostics, Severity, Style};
use inquisitor_server::api::inquiries::{SubmittedInquiry, ValidationReport};
use reqwest::Method;
use reqwest::header::HeaderName;
use serde_json::{Value, json};

use crate::args::client::Submit;
use crate::args::remote::Remote;
use crate::args::{Global, Output};
use crate::client::{Answer, Client, ClientError};
use crate::commands::watch;
use crate::settings::Settings;
use crate::{exit, input, print};

pub(crate) async fn run(
    global: &Global,
    settings: &Settings,
    remote: &Remote,
    args: &Submit,
) -> anyhow::Result<ExitCode> {
    let manifest = input::text(&args.manifest)?;
    let client = Client::new(remote, settings)?;
    let content_type = if manifest.name.ends_with(".json") { "application/json" } else { "application/yaml" };
    let path: &[&str] = if args.dry_run { &["v1", "inquiries", "validate"] } else { &["v1", "inquiries"] };
    let mut request = client
        .request(Method::POST, path, &[])?
        .body(content_type, manifest.text.clone().into_bytes())
        .safe_to_repeat();
    if !args.dry_run {
        let key = args.idempotency_key.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        request = request.header(HeaderName::from_static("idempotency-key"), &key)?;
    }
    let answer = match client.answer(&request).await {
        Ok(answer) => answer,
        Err(error) => return refused(global, &manifest, error),
    };
    if args.dry_run {
        return validated(global, &manifest, &answer);
    }
    let submitted: SubmittedInquiry = answer.typed()?;
    if !submitted.warnings.is_empty() {
        print::note(&rendered(&manifest, submitted.warnings, print::color_stderr(global)));
    }
    let id = &submitted.inquiry.id;
    let replayed = answer.header("idempotent-replayed") == Some("true");
    if replayed {
        print::note(&format!("it was submitted before, as inquiry {id}"));
    }
    if args.watch {
        if !args.quiet && !replayed {
            print::note(&format!("inquiry {id}"));
        }
        return watch::to_its_end(global, &client, id, args.quiet).await;
    }
    print::result(global.output, &answer.value, || Ok(id.clone()))?;
    Ok(ExitCode::SUCCESS)
}

/// A manifest with mistakes is shown as `validate` shows it; any other refusal is an error.
fn refused(global: &Global, manifest: &input::Text, error: ClientError) -> anyhow::Result<ExitCode> {
    let ClientError::Problem(problem) = &error else { return Err(error.into()) };
    let diagnostics: Result<Vec<Diagnostic>, _> =
        problem.errors.iter().cloned().map(serde_json::from_value).collect();
    match diagnostics {
        Ok(diagnostics) if !diagnostics.is_empty() => {
            print::note(&rendered(manifest, diagnostics, print::color_stderr(global)));
            if let Some(request) = &problem.request {
                print::note(&format!("request {}", inquisitor_report::printable(request)));
            }
            if global.output != Output::Text {
                print::document(global.output, &json!({ "error": problem.title, "problem": problem }))?;
            }
            Ok(ExitCode::from(exit::ERROR))
        }
        _ => Err(error.into()),
    }
}

fn validated(global: &Global, manifest: &input::Text, answer: &Answer) -> anyhow::Result<ExitCode> {
    let report: ValidationReport = answer.typed()?;
    let valid = report.valid;
    print::result(global.output, &answer.value, || {
        Ok(if report.diagnostics.is_empty() {
            format!("{}: valid", manifest.name)
        } else {
            rendered(manifest, report.diagnostics, print::color_stdout(global))
        })
    })?;
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::from(exit::ERROR) })
}

/// A host's diagnostics with the lines of the manifest that was sent to it.
fn rendered(manifest: &input::Text, mut diagnostics: Vec<Diagnostic>, color: bool) -> String {
    let fits = |diagnostic: &Diagnostic| {
        let span = diagnostic.span;
        let related = diagnostic.related.as_ref().map_or(span, |related| related.span);
        [span, related].iter().all(|span| manifest.text.get(span.start..span.end).is_some())
    };
    let count = |severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    // What is about another text than ours, as after a proxy that changed it, cannot be underlined and is only counted.
    diagnostics.retain(fits);
    for diagnostic in &mut diagnostics {
        diagnostic.file.clone_from(&manifest.name);
    }
    let whole: Value = json!({ "kept": diagnostics, "errors": errors, "warnings": warnings });
    let whole: Diagnostics = serde_json::from_value(whole).unwrap_or_default();
    let style = if color { Style::Coloured } else { Style::Plain };
    inquisitor_manifest::render(&inquisitor_manifest::parse(&manifest.name, &manifest.text), &whole, style)
}
