//! `inquisitor plugin call`: one observation under the real sandbox, with everything that it used.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use inquisitor_engine::catalogue::read_component;
use inquisitor_findings::reading::{Observation, Reading, Series, Value};
use inquisitor_manifest::quantity::{parse_duration, parse_size};
use inquisitor_manifest::spec::{FileGrant, Parameters, Substrate};
use inquisitor_runtime::Plugin;
use inquisitor_runtime::request::{
    Facts, Grants, Limits, LogLine, Nondeterminism, Report, SessionRequest, Usage,
};
use inquisitor_substrate::batch::Source;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::args::{Global, Output, PluginCall};
use crate::progress::log_line;
use crate::settings::Settings;
use crate::{exit, host, input, print};

/// Readings shown in text; `--output json` has all of them.
const MAX_SHOWN: usize = 20;

#[derive(Serialize)]
struct Document<'a> {
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observation: Option<&'a Observation>,
    logs: &'a [LogLine],
    denials: &'a [String],
    usage: &'a Usage,
}

pub(crate) async fn run(global: &Global, settings: &Settings, args: &PluginCall) -> anyhow::Result<ExitCode> {
    let bytes = read_component(&args.file).map_err(anyhow::Error::msg)?;
    let parameters = input::parameters("--params", &args.params)?;
    let step = input::parameters("--step", &args.step)?;
    let substrate = args.substrate.as_deref().map(|given| substrate(given, args.seed)).transpose()?;
    let limits = limits(args)?;
    let runtime = host::runtime(args.cache_dir.as_deref(), settings)?;
    let plugin = runtime.load(&bytes).await?;
    check_against_schemas(&plugin, &parameters, &step)?;
    let request = SessionRequest {
        parameters,
        facts: Facts {
            inquiry: "plugin-call".to_owned(),
            step: "call".to_owned(),
            instrument: plugin.description().name.clone(),
            attempt: 1,
            started: i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX),
        },
        limits,
        grants: grants(args)?,
        substrate,
        state: None,
        nondeterminism: Nondeterminism::Seeded(seed(args.seed)),
        cancel: CancellationToken::new(),
        listener: None,
    };
    let report = plugin.run(request, &step).await;
    let (outcome, error) = match &report.result {
        Ok(_) => ("completed", None),
        Err(failure) => (failure.name(), Some(failure.to_string())),
    };
    match global.output {
        Output::Json => print::json(&Document {
            outcome,
            error,
            observation: report.result.as_ref().ok(),
            logs: &report.logs,
            denials: &report.denials,
            usage: &report.usage,
        })?,
        Output::Text => print::text(&text(&report)?)?,
    }
    Ok(if report.result.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(exit::ERROR) })
}

fn seed(number: u64) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    seed
}

/// The data: JSON of a substrate source, or a file.
fn substrate(given: &str, number: u64) -> anyhow::Result<Arc<dyn Source>> {
    let source: Substrate = if given.trim_start().starts_with('{') {
        serde_json::from_str(given).context("--substrate: not a substrate source")?
    } else {
        Substrate::File { path: given.to_owned(), parameters: Parameters::new() }
    };
    let problems = inquisitor_substrate::check_parameters(&source);
    if let Some(problem) = problems.first() {
        bail!("--substrate: {}: {}", problem.pointer, problem.message);
    }
    let current = std::env::current_dir().context("the current folder is gone")?;
    inquisitor_substrate::open(&source, Some(&current), seed(number)).context("--substrate")
}

fn limits(args: &PluginCall) -> anyhow::Result<Limits> {
    let mut limits = Limits { fuel: args.fuel, ..Limits::default() };
    if let Some(memory) = &args.memory {
        limits.memory = parse_size(memory).map_err(|message| anyhow::anyhow!("--memory: {message}"))?;
    }
    if let Some(wall) = &args.wall {
        let nanoseconds = parse_duration(wall).map_err(|message| anyhow::anyhow!("--wall: {message}"))?;
        limits.wall = Duration::from_nanos(nanoseconds);
    }
    Ok(limits)
}

fn grants(args: &PluginCall) -> anyhow::Result<Grants> {
    let folder = |path: &PathBuf, read_only: bool| {
        let absolute = std::path::absolute(path).with_context(|| format!("{}", path.display()))?;
        if !absolute.is_dir() {
            bail!("{} is not a folder", Path::display(path));
        }
        Ok(FileGrant { path: absolute.to_string_lossy().into_owned(), read_only })
    };
    let reads = args.allow_read.iter().map(|path| folder(path, true));
    let writes = args.allow_write.iter().map(|path| folder(path, false));
    Ok(Grants {
        http: args.allow_http.clone(),
        tcp: args.allow_tcp.clone(),
        files: reads.chain(writes).collect::<anyhow::Result<_>>()?,
    })
}

/// The same check that a manifest's parameters get, so that a call that works here works there.
fn check_against_schemas(plugin: &Plugin, parameters: &Parameters, step: &Parameters) -> anyhow::Result<()> {
    let description = plugin.description();
    let checks = [
        ("--params", parameters, &description.parameters_schema),
        ("--step", step, &description.step_parameters_schema),
    ];
    let mut problems = String::new();
    for (option, given, schema) in checks {
        let found = inquisitor_manifest::parameters::check(given, schema)
            .map_err(|message| anyhow::anyhow!("the plugin's own schema for {option} is not usable: {message}"))?;
        for problem in found {
            write!(problems, "\n  {option} at `{}`: {}", problem.pointer, problem.message)?;
        }
    }
    if !problems.is_empty() {
        bail!("the plugin's schema refuses the parameters:{problems}");
    }
    Ok(())
}

fn text(report: &Report) -> anyhow::Result<String> {
    let mut out = String::new();
    match &report.result {
        Ok(observation) => {
            writeln!(out, "completed with {} reading(s)", observation.len())?;
            for reading in observation.readings.iter().take(MAX_SHOWN) {
                writeln!(out, "  {}", reading_line(reading))?;
            }
            if observation.readings.len() > MAX_SHOWN {
                writeln!(out, "  … and {} more", observation.readings.len() - MAX_SHOWN)?;
            }
            for series in observation.series.iter().take(MAX_SHOWN) {
                writeln!(out, "  {}", series_line(series))?;
            }
        }
        Err(failure) => writeln!(out, "{}: {failure}", failure.name())?,
    }
    if !report.logs.is_empty() {
        writeln!(out, "\nlog")?;
        for line in &report.logs {
            writeln!(out, "  {}", log_line(line))?;
        }
    }
    for denial in &report.denials {
        writeln!(out, "\nrefused: {denial}")?;
    }
    let usage = &report.usage;
    writeln!(out, "\nused")?;
    writeln!(out, "  time        {:.3} ms", Duration::from_nanos(usage.wall).as_secs_f64() * 1000.0)?;
    match usage.fuel {
        Some(fuel) => writeln!(out, "  fuel        {fuel}")?,
        None => writeln!(out, "  fuel        not metered (ask with --fuel)")?,
    }
    writeln!(out, "  memory      {}", print::bytes(usage.peak_memory))?;
    writeln!(out, "  host calls  {}", usage.host_calls)?;
    if usage.rows > 0 {
        writeln!(out, "  rows        {}", usage.rows)?;
    }
    if usage.dropped_log_lines > 0 {
        writeln!(out, "  log lines dropped over the limit  {}", usage.dropped_log_lines)?;
    }
    Ok(out)
}

fn reading_line(reading: &Reading) -> String {
    let value = match &reading.value {
        Value::Number(number) => number.to_string(),
        Value::Integer(integer) => integer.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
    };
    let uncertainty = reading.uncertainty.map(|uncertainty| format!(" ± {uncertainty}")).unwrap_or_default();
    let unit = if reading.unit == "1" { String::new() } else { format!(" {}", reading.unit) };
    let time = reading
        .time
        .and_then(|time| jiff::Timestamp::from_nanosecond(i128::from(time)).ok())
        .map(|time| format!(" at {time}"))
        .unwrap_or_default();
    format!("{} = {value}{uncertainty}{unit}, confidence {}{time}", reading.quantity, reading.confidence)
}

fn series_line(series: &Series) -> String {
    let minimum = series.values.iter().copied().fold(f64::INFINITY, f64::min);
    let maximum = series.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!(
        "{} = {} values from {minimum} to {maximum} {}, confidence {}",
        series.quantity,
        series.values.len(),
        series.unit,
        series.confidence
    )
}
