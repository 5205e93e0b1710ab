//! `inquisitor plugin inspect`: what a component says of itself.

use std::fmt::Write as _;
use std::process::ExitCode;

use inquisitor_engine::catalogue::read_component;
use inquisitor_runtime::{Capability, Description};
use serde::Serialize;

use crate::args::Global;
use crate::args::plugin::PluginInspect;
use crate::settings::Settings;
use crate::{host, print};

#[derive(Serialize)]
struct Document<'a> {
    digest: &'a str,
    bytes: usize,
    #[serde(flatten)]
    description: &'a Description,
}

pub(crate) async fn run(
    global: &Global,
    settings: &Settings,
    args: &PluginInspect,
) -> anyhow::Result<ExitCode> {
    let bytes = read_component(&args.file).map_err(anyhow::Error::msg)?;
    let runtime = host::runtime(args.cache_dir.as_deref(), settings)?;
    let plugin = runtime.load(&bytes).await?;
    let document =
        Document { digest: plugin.digest(), bytes: bytes.len(), description: plugin.description() };
    print::result(global.output, &document, || text(&document))?;
    Ok(ExitCode::SUCCESS)
}

fn text(document: &Document<'_>) -> anyhow::Result<String> {
    let description = document.description;
    let mut out = String::new();
    writeln!(out, "{} {}", description.name, description.version)?;
    writeln!(out, "{}\n", description.summary)?;
    if !description.aliases.is_empty() {
        writeln!(out, "also known as   {}", description.aliases.join(", "))?;
    }
    writeln!(out, "digest          sha256:{}", document.digest)?;
    writeln!(out, "size            {}", print::bytes(document.bytes as u64))?;
    writeln!(out, "minimum memory  {}", print::bytes(description.minimum_memory))?;
    let lifecycle =
        [("calibrate", description.lifecycle.calibrate), ("checkpoint", description.lifecycle.checkpoint)];
    let lifecycle: Vec<&str> = lifecycle.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
    writeln!(
        out,
        "lifecycle       {}",
        if lifecycle.is_empty() { "observe only".to_owned() } else { lifecycle.join(", ") }
    )?;
    let wanted: Vec<String> = description.capabilities.iter().map(wanted).collect();
    writeln!(
        out,
        "would like      {}",
        if wanted.is_empty() { "nothing beyond the sandbox".to_owned() } else { wanted.join(", ") }
    )?;
    writeln!(out, "\nquantities")?;
    for quantity in &description.quantities {
        writeln!(out, "  {} [{}]  {}", quantity.name, quantity.unit, quantity.description)?;
    }
    writeln!(out, "\nparameters of the instrument\n{}", indented(&description.parameters_schema)?)?;
    writeln!(out, "\nparameters of a step\n{}", indented(&description.step_parameters_schema)?)?;
    writeln!(out, "\nimports")?;
    for import in &description.imports {
        writeln!(out, "  {import}")?;
    }
    Ok(out)
}

fn wanted(capability: &Capability) -> String {
    match capability {
        Capability::Http(target) => format!("http {target}"),
        Capability::Tcp(target) => format!("tcp {target}"),
        Capability::ReadFiles(path) => format!("read {path}"),
        Capability::WriteFiles(path) => format!("write {path}"),
    }
}

fn indented(schema: &serde_json::Map<String, serde_json::Value>) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(schema)?;
    Ok(text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"))
}
