//! The host's own log, on standard error, and traces. The log lines of instruments are results and do not come here.
//!
//! [`json`] writes lines for machines, [`traces`] sends spans to a collector.

mod json;
mod traces;

use anyhow::Context as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt as _, FilterFn, filter_fn};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::args::{Cli, Command, LogFormat};
use crate::settings::Settings;

use json::JsonLines;
pub(crate) use traces::Across;
use traces::Traces;

/// Keeps logging; what is still to be sent to the collector goes out when it is dropped.
#[must_use = "traces end when it is dropped"]
pub(crate) struct Guard {
    _traces: Option<Traces>,
}

/// Start logging, and tracing for `run` and `serve`, as flags, environment and configuration say.
///
/// # Errors
/// When the level is not a filter, the format in the configuration is unknown, or the collector's address is no URL.
pub(crate) fn start(cli: &Cli, settings: &Settings) -> anyhow::Result<Guard> {
    let host = Host::of(&cli.command, settings);
    // What is wrong with a host's certificate is told as the command's error.
    let usual =
        if matches!(cli.command, Command::Serve(_)) { "info" } else { "warn,rustls_platform_verifier=off" };
    let level = cli.global.log_level.as_deref().or(settings.log_level.as_deref()).unwrap_or(usual);
    let events = filter(level).with_context(|| format!("log level `{level}`"))?;
    // Spans are let through whatever the level is: a warning must say to which inquiry it belongs.
    let shown = events.or(spans());
    let format = match (cli.global.log_format, settings.log_format.as_deref()) {
        (Some(format), _) => format,
        (None, None | Some("text")) => LogFormat::Text,
        (None, Some("json")) => LogFormat::Json,
        (None, Some(other)) => {
            anyhow::bail!("log-format `{other}` in the configuration: json or text is meant")
        }
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Json => lines
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines::new(host.member.clone(), host.namespace.clone()))
            .boxed(),
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
    };
    let runs = matches!(cli.command, Command::Serve(_) | Command::Run(_));
    let endpoint = cli.global.otlp_endpoint.as_deref().or(settings.otlp_endpoint.as_deref());
    let traces = match endpoint.filter(|_| runs) {
        None => None,
        Some(endpoint) => Some(Traces::start(endpoint, host.member.as_deref())?),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(shown))
        .with(traces.as_ref().map(Traces::layer))
        .init();
    Ok(Guard { _traces: traces })
}

/// Who logs, where that is more than a command of a moment.
#[derive(Default)]
struct Host {
    member: Option<String>,
    namespace: Option<String>,
}

impl Host {
    fn of(command: &Command, settings: &Settings) -> Self {
        let Command::Serve(serve) = command else { return Self::default() };
        let named = [&serve.raft_node_id, &settings.raft_node_id, &serve.pod_name, &settings.pod_name];
        let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self {
            member: Some(named.into_iter().find_map(Clone::clone).unwrap_or_else(machine)),
            namespace: serve.pod_namespace.clone().or_else(|| settings.pod_namespace.clone()),
        }
    }
}

/// Spans of our own code that say which inquiry, step or request something belongs to.
fn spans() -> FilterFn<impl Fn(&tracing::Metadata<'_>) -> bool> {
    filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with("inquisitor"))
        .with_max_level_hint(LevelFilter::INFO)
}

/// The filter that a level or a list of directives stands for.
fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    let text = text.to_ascii_lowercase();
    // The filter takes a word that is no level for a target, so that a misspelt level would log nothing and say nothing.
    let bare = text
        .split(',')
        .map(str::trim)
        .find(|part| !part.is_empty() && !part.contains(['=', '[']) && part.parse::<LevelFilter>().is_err());
    if let Some(word) = bare {
        anyhow::bail!(
            "`{word}` is none of off, error, warn, info, debug and trace; for a part of the program write `{word}=debug`"
        );
    }
    // The library of consensus tells its every move at `info`; whoever wants to see them names it.
    let is_info = text.split(',').any(|part| part.trim() == "info");
    let text = if is_info && !text.contains("openraft") { format!("{text},openraft=warn") } else { text };
    EnvFilter::builder()
        .parse(&text)
        .map_err(|_| anyhow::anyhow!("write a level, or directives such as `warn,inquisitor_runtime=debug`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consensus_is_quiet_at_info_unless_it_is_named() {
        assert!(filter("INFO").unwrap().to_string().contains("openraft=warn"));
        assert!(!filter("info,openraft=info").unwrap().to_string().contains("openraft=warn"));
        assert!(!filter("debug").unwrap().to_string().contains("openraft"));
    }

    #[test]
    fn a_misspelt_level_is_refused() {
        for good in ["warn", "OFF", "", "warn,inquisitor_runtime=debug", "a::b=trace, info"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["verbose", "warn,inquisitor_runtime", "a=b=c", "wran"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
