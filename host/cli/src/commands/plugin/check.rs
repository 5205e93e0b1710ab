//! `inquisitor plugin check`: whether a file is a component that this host runs, and if not, what is missing.

use std::process::ExitCode;

use inquisitor_engine::catalogue::read_component;

use crate::args::{Global, Output, PluginCheck};
use crate::settings::Settings;
use crate::{exit, host, print};

pub(crate) async fn run(global: &Global, settings: &Settings, args: &PluginCheck) -> anyhow::Result<ExitCode> {
    let bytes = read_component(&args.file).map_err(anyhow::Error::msg)?;
    let runtime = host::runtime(args.cache_dir.as_deref(), settings)?;
    let report = runtime.check(&bytes).await;
    match global.output {
        Output::Json => print::json(&report)?,
        Output::Text => print::text(&report.to_string())?,
    }
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(exit::ERROR) })
}
