//! `inquisitor plugin check`: whether a file is a component that this host runs, and if not, what is missing.

use std::process::ExitCode;

use std::fmt::Write as _;

use inquisitor_engine::catalogue::read_component;
use inquisitor_runtime::{CheckReport, Severity};

use crate::args::Global;
use crate::args::plugin::PluginCheck;
use crate::settings::Settings;
use crate::{exit, host, print};

pub(crate) async fn run(
    global: &Global,
    settings: &Settings,
    args: &PluginCheck,
) -> anyhow::Result<ExitCode> {
    let bytes = read_component(&args.file).map_err(anyhow::Error::msg)?;
    let runtime = host::runtime(args.cache_dir.as_deref(), settings)?;
    let report = runtime.check(&bytes).await;
    print::result(global.output, &report, || text(&report))?;
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(exit::ERROR) })
}

fn text(report: &CheckReport) -> anyhow::Result<String> {
    let mut out = String::new();
    for finding in &report.findings {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(out, "{severity}[{}]: {}", finding.name, finding.message)?;
        if let Some(help) = &finding.help {
            writeln!(out, "  help: {help}")?;
        }
    }
    match &report.description {
        Some(description) if report.is_ok() => {
            writeln!(
                out,
                "ok: {} {} is an instrument that this host runs",
                description.name, description.version
            )?;
        }
        _ => writeln!(out, "not an instrument that this host runs")?,
    }
    writeln!(out, "\ndigest          sha256:{}", report.digest)?;
    writeln!(out, "size            {}", print::bytes(report.size))?;
    writeln!(out, "minimum memory  {}", print::bytes(report.minimum_memory))?;
    for (name, interfaces) in [("imports", &report.imports), ("exports", &report.exports)] {
        writeln!(out, "{name}")?;
        for interface in interfaces {
            writeln!(out, "  {interface}")?;
        }
    }
    Ok(out)
}
