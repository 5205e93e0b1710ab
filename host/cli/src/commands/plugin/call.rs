//! `inquisitor plugin call`: one observation under the real sandbox, with everything that it used.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use inquisitor_engine::catalogue::{Catalogue, read_component};
use inquisitor_findings::reading::{Observation, Reading, Series, Value};
use inquisitor_manifest::Severity;
use inquisitor_manifest::plan::Plan;
use inquisitor_manifest::spec::Parameters;
use inquisitor_runtime::outcome::Failure;
use inquisitor_runtime::request::{
    Facts, Grants, Limits, LogLine, Nondeterminism, Report, SessionRequest, Usage,
};
use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::args::Global;
use crate::args::plugin::PluginCall;
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
    let runtime = host::runtime(args.cache_dir.as_deref(), settings)?;
    let plugin = runtime.load(&bytes).await?;
    let manifest = manifest(args, plugin.digest(), &plugin.description().name, &parameters, &step)?;
    let plan = plan(&manifest, &Catalogue::of(plugin.clone(), args.file.clone()))?;
    let substrate = match &plan.substrate {
        None => None,
        Some(source) => {
            let current = std::env::current_dir().context("the current folder is gone")?;
            Some(inquisitor_substrate::open(source, Some(&current), seed(args.seed)).context("--substrate")?)
        }
    };
    let request = SessionRequest {
        parameters,
        facts: Facts {
            inquiry: MANIFEST_ID.to_owned(),
            step: STEP.to_owned(),
            instrument: INSTRUMENT.to_owned(),
            attempt: 1,
            started: i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX),
        },
        limits: limits(&plan),
        grants: Grants {
            http: plan.capabilities.http,
            tcp: plan.capabilities.tcp,
            files: plan.capabilities.files,
        },
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
    let document = Document {
        outcome,
        error,
        observation: report.result.as_ref().ok(),
        logs: &report.logs,
        denials: &report.denials,
        usage: &report.usage,
    };
    print::result(global.output, &document, || text(&report))?;
    Ok(if report.result.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(exit::ERROR) })
}

fn seed(number: u64) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    seed
}

const MANIFEST_ID: &str = "plugin-call";
const INSTRUMENT: &str = "instrument";
const STEP: &str = "call";

/// The call as an inquiry of one step, so that options get the same checks, and mean the same, as in a manifest.
fn manifest(
    args: &PluginCall,
    digest: &str,
    name: &str,
    parameters: &Parameters,
    step: &Parameters,
) -> anyhow::Result<serde_json::Value> {
    let mut manifest = json!({
        "version": "1.0",
        "id": MANIFEST_ID,
        "name": "One call of a plugin",
        "metadata": { "author": "inquisitor plugin call" },
        "protocol": { "type": "sequential", "phases": [{ "name": "execution", "steps": [
            { "name": STEP, "type": "measurement", "instrument": INSTRUMENT, "parameters": step },
        ] }] },
        "instruments": [{ "type": format!("{name}@sha256:{digest}"), "id": INSTRUMENT, "parameters": parameters }],
        "limits": {},
    });
    if let Some(given) = &args.substrate {
        let source = if given.trim_start().starts_with('{') {
            serde_json::from_str(given).context("--substrate: not valid JSON")?
        } else {
            json!({ "type": "file", "path": given })
        };
        manifest["substrate"] = json!({ "source": source });
    }
    if let Some(memory) = &args.memory {
        manifest["limits"]["memory"] = json!(memory);
    }
    if let Some(wall) = &args.wall {
        manifest["limits"]["wall"] = json!(wall);
    }
    if let Some(fuel) = args.fuel {
        manifest["limits"]["fuel"] = json!(fuel);
    }
    let reads = args.allow_read.iter().map(|path| folder(path, true));
    let writes = args.allow_write.iter().map(|path| folder(path, false));
    let files = reads.chain(writes).collect::<anyhow::Result<Vec<_>>>()?;
    manifest["capabilities"] = json!({ "http": args.allow_http, "tcp": args.allow_tcp, "files": files });
    Ok(manifest)
}

fn folder(path: &Path, read_only: bool) -> anyhow::Result<serde_json::Value> {
    let absolute = std::path::absolute(path).with_context(|| path.display().to_string())?;
    if !absolute.is_dir() {
        bail!("{} is not a folder", path.display());
    }
    Ok(json!({ "path": absolute, "read_only": read_only }))
}

fn plan(manifest: &serde_json::Value, catalogue: &Catalogue) -> anyhow::Result<Plan> {
    let validated = inquisitor_manifest::validate("plugin call", &manifest.to_string(), catalogue);
    let mut problems = String::new();
    for diagnostic in validated.diagnostics.iter().filter(|found| found.severity == Severity::Error) {
        write!(problems, "\n  {}: {}", option_of(&diagnostic.path), diagnostic.message)?;
        if let Some(help) = &diagnostic.help {
            write!(problems, " ({help})")?;
        }
    }
    match validated.plan {
        Some(plan) => Ok(plan),
        None => bail!("the call is not valid:{problems}"),
    }
}

/// The option that a field of the made-up manifest came from, with the rest of the path.
fn option_of(path: &str) -> String {
    let origins = [
        ("protocol.phases[0].steps[0].parameters", "--step"),
        ("instruments[0].parameters", "--params"),
        ("substrate.source", "--substrate"),
        ("limits.memory", "--memory"),
        ("limits.wall", "--wall"),
        ("limits.fuel", "--fuel"),
        ("capabilities.http", "--allow-http"),
        ("capabilities.tcp", "--allow-tcp"),
        ("capabilities.files", "--allow-read, --allow-write"),
    ];
    origins
        .iter()
        .find_map(|(field, option)| path.strip_prefix(field).map(|rest| format!("{option}{rest}")))
        .unwrap_or_else(|| path.to_owned())
}

fn limits(plan: &Plan) -> Limits {
    let host = Limits::default();
    Limits {
        memory: plan.limits.memory.unwrap_or(host.memory),
        wall: plan.limits.wall.map_or(host.wall, Duration::from_nanos),
        fuel: plan.limits.fuel,
        ..host
    }
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
        Err(failure) => {
            writeln!(out, "{failure}")?;
            if let Failure::Unavailable { retry_after: Some(wait), .. } = failure {
                let wait = Duration::from_nanos(*wait).as_secs_f64();
                writeln!(out, "  worth another try after {wait} s")?;
            }
        }
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
    if let Some(state) = &report.state {
        writeln!(out, "  state       {} to keep", print::bytes(state.len() as u64))?;
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

#[cfg(test)]
mod tests {
    use inquisitor_runtime::request::Transcript;

    use super::*;

    fn report(result: Result<Observation, Failure>) -> Report {
        Report {
            result,
            logs: Vec::new(),
            usage: Usage::default(),
            transcript: Transcript::default(),
            state: Some(vec![0; 2048]),
            denials: Vec::new(),
        }
    }

    #[test]
    fn a_failure_is_named_once_and_says_when_to_try_again() {
        let unavailable =
            Failure::Unavailable { message: "no answer".to_owned(), retry_after: Some(1_500_000_000) };
        let shown = text(&report(Err(unavailable))).unwrap();
        assert!(shown.starts_with("unavailable: no answer\n  worth another try after 1.5 s\n"), "{shown}");
        let shown = text(&report(Err(Failure::Failed { message: "broken".to_owned() }))).unwrap();
        assert!(shown.starts_with("failed: broken\n\nused"), "{shown}");
    }

    #[test]
    fn state_to_keep_is_shown() {
        let shown = text(&report(Ok(Observation::default()))).unwrap();
        assert!(shown.contains("  state       2.00 KiB to keep\n"), "{shown}");
    }
}
