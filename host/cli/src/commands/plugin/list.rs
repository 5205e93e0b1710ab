//! `inquisitor plugin list`: the plugins that manifests may name.

use std::process::ExitCode;

use serde::Serialize;

use crate::args::{Global, Output, PluginSources};
use crate::settings::Settings;
use crate::{host, print};

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    version: &'a str,
    aliases: &'a [String],
    summary: &'a str,
    digest: &'a str,
    path: String,
}

pub(crate) async fn run(
    global: &Global,
    settings: &Settings,
    sources: &PluginSources,
) -> anyhow::Result<ExitCode> {
    let runtime = host::runtime(sources.cache_dir.as_deref(), settings)?;
    let catalogue = host::catalogue(&runtime, sources, settings).await?;
    let installed = catalogue.installed();
    let rows: Vec<Row<'_>> = installed
        .iter()
        .map(|installed| {
            let description = installed.plugin.description();
            Row {
                name: &description.name,
                version: &description.version,
                aliases: &description.aliases,
                summary: &description.summary,
                digest: installed.plugin.digest(),
                path: installed.source.to_string(),
            }
        })
        .collect();
    match global.output {
        Output::Json => print::json(&rows)?,
        Output::Text => {
            let width =
                |column: fn(&Row<'_>) -> String| rows.iter().map(|row| column(row).len()).max().unwrap_or(0);
            let names = width(|row| row.name.to_owned());
            let versions = width(|row| row.version.to_owned());
            for row in &rows {
                let also = if row.aliases.is_empty() {
                    String::new()
                } else {
                    format!(" (also {})", row.aliases.join(", "))
                };
                print::text(&format!(
                    "{:names$}  {:versions$}  {}{also}",
                    row.name, row.version, row.summary
                ))?;
            }
            if rows.is_empty() {
                print::note("no plugins; name a folder with --plugin-dir or a file with --plugin");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
