//! The host's own log, on standard error. The log lines of instruments are results and do not come here.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::args::{Global, LogFormat};
use crate::settings::Settings;

/// Start logging as flags, environment and configuration say.
///
/// # Errors
/// When the level is not a filter, or the format in the configuration is unknown.
pub(crate) fn start(global: &Global, settings: &Settings) -> anyhow::Result<()> {
    let level = global.log_level.as_deref().or(settings.log_level.as_deref()).unwrap_or("warn");
    let filter = filter(level).with_context(|| format!("log level `{level}`"))?;
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
    EnvFilter::builder()
        .parse(&text)
        .map_err(|_| anyhow::anyhow!("write a level, or directives such as `warn,inquisitor_runtime=debug`"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
