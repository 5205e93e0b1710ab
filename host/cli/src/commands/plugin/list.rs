//! `inquisitor plugin list`: the plugins that manifests may name.

use std::process::ExitCode;

use serde::Serialize;

use crate::args::Global;
use crate::args::plugin::PluginList;
use crate::settings::Settings;
use crate::table::Table;
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

pub(crate) async fn run(global: &Global, settings: &Settings, args: &PluginList) -> anyhow::Result<ExitCode> {
    let runtime = host::runtime(args.sources.cache_dir.as_deref(), settings)?;
    let catalogue = host::catalogue(&runtime, &args.sources, settings).await?;
    let installed = catalogue.installed();
    let rows: Vec<Row<'_>> = installed
        .iter()
        .filter(|installed| {
            args.name.as_deref().is_none_or(|name| installed.plugin.description().name == name)
        })
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
    print::result(global.output, &rows, || {
        let mut table = Table::new(&["name", "version", "also", "summary"]);
        for row in &rows {
            table.row([row.name, row.version, &row.aliases.join(", "), row.summary]);
        }
        Ok(table.text("no plugins; name a folder with --plugin-dir or a file with --plugin"))
    })?;
    Ok(ExitCode::SUCCESS)
}
