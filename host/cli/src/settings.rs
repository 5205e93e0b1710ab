//! The configuration file: defaults for options that neither a flag nor the environment gave.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use etcetera::BaseStrategy as _;
use serde::Deserialize;

/// What the file may hold. Every key is also a flag, and the flag wins.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// `--log-level`.
    pub(crate) log_level: Option<String>,
    /// `--log-format`: `json` or `text`.
    pub(crate) log_format: Option<String>,
    /// `--data-dir`.
    pub(crate) data_dir: Option<PathBuf>,
    /// `--artifact-dir`.
    pub(crate) artifact_dir: Option<PathBuf>,
    /// `--plugin-dir`.
    pub(crate) plugin_dir: Vec<PathBuf>,
    /// `--cache-dir`.
    pub(crate) cache_dir: Option<PathBuf>,
    /// `--secret-dir`.
    pub(crate) secret_dir: Option<PathBuf>,
    /// `--allow-secret`.
    pub(crate) allow_secret: Vec<String>,
}

/// Read the file that was asked for, or the user's own where there is one.
///
/// # Errors
/// When the file that was asked for cannot be read, or a file is not valid.
pub(crate) fn load(asked: Option<&Path>) -> anyhow::Result<Settings> {
    let path = match asked {
        Some(path) => path.to_owned(),
        None => match user_file() {
            Some(path) if path.is_file() => path,
            _ => return Ok(Settings::default()),
        },
    };
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read the configuration {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("the configuration {} is not valid", path.display()))
}

fn user_file() -> Option<PathBuf> {
    let folders = etcetera::choose_base_strategy().ok()?;
    Some(folders.config_dir().join("inquisitor").join("config.toml"))
}

/// Where compiled code is kept if nothing else was said. Falls back to a folder of the temporary directory for users
/// without a home.
pub(crate) fn default_cache_dir() -> PathBuf {
    let folder =
        etcetera::choose_base_strategy().map_or_else(|_| std::env::temp_dir(), |folders| folders.cache_dir());
    folder.join("inquisitor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = toml::from_str::<Settings>("data_dir = '/x'").unwrap_err().to_string();
        assert!(error.contains("data_dir") && error.contains("data-dir"), "{error}");
    }

    #[test]
    fn a_file_that_was_asked_for_must_exist() {
        let error = load(Some(Path::new("no-such-config.toml"))).unwrap_err().to_string();
        assert!(error.contains("no-such-config.toml"), "{error}");
    }
}
