//! The host's own log, on standard error. The log lines of instruments are results and do not come here.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::args::{Global, LogFormat};
use crate::settings::Settings;

/// Start logging as flags, environment and configuration say.
///
/// # Errors
/// When the level is not a filter, or the format in the configuration is unknown.
pub(crate) fn start(global: &Global, settings: &Settings) -> anyhow::Result<()> {
    let level = global.log_level.as_deref().or(settings.log_level.as_deref()).unwrap_or("warn");
    let filter = EnvFilter::builder()
        .parse(level.to_ascii_lowercase())
        .with_context(|| format!("log level `{level}`"))?;
    let format = match (global.log_format, settings.log_format.as_deref()) {
        (Some(format), _) => format,
        (None, None | Some("text")) => LogFormat::Text,
        (None, Some("json")) => LogFormat::Json,
        (None, Some(other)) => {
            anyhow::bail!("log-format `{other}` in the configuration: json or text is meant")
        }
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
    }
    Ok(())
}
