//! The configuration file: defaults for options that neither a flag nor the environment gave.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use etcetera::BaseStrategy as _;
use serde::{Deserialize, Serialize};

use crate::print;
use crate::quantity::{Period, Size};
use crate::secret::Secret;

/// What the file may hold. Every key save the contexts is also a flag, and the flag wins.
#[derive(Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// `--log-level`.
    pub(crate) log_level: Option<String>,
    /// `--log-format`: `json` or `text`.
    pub(crate) log_format: Option<String>,
    /// `--otlp-endpoint`.
    pub(crate) otlp_endpoint: Option<String>,
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
    /// `--manifest-dir` of `serve`.
    pub(crate) manifest_dir: Option<PathBuf>,
    /// `--substrate-dir` of `serve`.
    pub(crate) substrate_dir: Option<PathBuf>,
    /// `--raft-node-id` of `serve`.
    pub(crate) raft_node_id: Option<String>,
    /// `--raft-peers` of `serve`.
    pub(crate) raft_peers: Option<String>,
    /// `--raft-listen` of `serve`.
    pub(crate) raft_listen: Option<SocketAddr>,
    /// `--cluster-secret` of `serve`.
    pub(crate) cluster_secret: Option<Secret>,
    /// `--cluster-secret-file` of `serve`.
    pub(crate) cluster_secret_file: Option<PathBuf>,
    /// `--raft-tls-ca` of `serve`.
    pub(crate) raft_tls_ca: Option<PathBuf>,
    /// `--raft-tls-cert` of `serve`.
    pub(crate) raft_tls_cert: Option<PathBuf>,
    /// `--raft-tls-key` of `serve`.
    pub(crate) raft_tls_key: Option<PathBuf>,
    /// `--pod-name` of `serve`.
    pub(crate) pod_name: Option<String>,
    /// `--pod-namespace` of `serve`.
    pub(crate) pod_namespace: Option<String>,
    /// `--http-listen` of `serve`.
    pub(crate) http_listen: Option<SocketAddr>,
    /// `--api-key` of `serve`.
    pub(crate) api_key: Option<Secret>,
    /// `--api-key-file` of `serve`.
    pub(crate) api_key_file: Option<PathBuf>,
    /// `--http-tls-cert` of `serve`.
    pub(crate) http_tls_cert: Option<PathBuf>,
    /// `--http-tls-key` of `serve`.
    pub(crate) http_tls_key: Option<PathBuf>,
    /// `--address-file` of `serve`.
    pub(crate) address_file: Option<PathBuf>,
    /// `--max-plugin-size` of `serve`.
    pub(crate) max_plugin_size: Option<Size>,
    /// `--max-body-size` of `serve`.
    pub(crate) max_body_size: Option<Size>,
    /// `--max-connections` of `serve`.
    pub(crate) max_connections: Option<usize>,
    /// `--max-requests` of `serve`.
    pub(crate) max_requests: Option<usize>,
    /// `--max-event-streams` of `serve`.
    pub(crate) max_event_streams: Option<usize>,
    /// `--max-running` of `serve`.
    pub(crate) max_running: Option<usize>,
    /// `--header-timeout` of `serve`.
    pub(crate) header_timeout: Option<Period>,
    /// `--body-timeout` of `serve`.
    pub(crate) body_timeout: Option<Period>,
    /// `--shutdown-timeout` of `serve`.
    pub(crate) shutdown_timeout: Option<Period>,
    /// The context in use: `--context`.
    pub(crate) context: Option<String>,
    /// Servers and keys under a name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// A server and its key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Context {
    /// `--server`.
    pub(crate) server: Option<String>,
    /// `--key`.
    pub(crate) key: Option<Secret>,
    /// `--key-file`.
    pub(crate) key_file: Option<PathBuf>,
    /// `--ca-file`.
    pub(crate) ca_file: Option<PathBuf>,
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
    let settings =
        parse(&text).with_context(|| format!("the configuration {} is not valid", path.display()))?;
    if settings.holds_a_key() && is_open_to_others(&path) {
        print::note(&format!(
            "warning: {0} holds a key and others can read it; `chmod 600 {0}` keeps it to yourself",
            path.display()
        ));
    }
    Ok(settings)
}

/// Read the settings. What is wrong is told by its line: the line itself may hold a key.
fn parse(text: &str) -> anyhow::Result<Settings> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        anyhow::anyhow!("line {line}: {}", error.message())
    })
}

impl Settings {
    fn holds_a_key(&self) -> bool {
        self.api_key.is_some() || self.contexts.values().any(|context| context.key.is_some())
    }

    /// The context of this name.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn context(&self, name: &str) -> anyhow::Result<&Context> {
        let Some(context) = self.contexts.get(name) else {
            if self.contexts.is_empty() {
                bail!("there is no context `{name}`; `inquisitor context set {name} --server URL` makes it");
            }
            let known: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
            bail!("there is no context `{name}`; there are {}", known.join(", "));
        };
        Ok(context)
    }
}

fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// The configuration file that is read and written: the one that was asked for, or the user's own.
///
/// # Errors
/// For users without a home.
pub(crate) fn file(asked: Option<&Path>) -> anyhow::Result<PathBuf> {
    asked
        .map(Path::to_owned)
        .or_else(user_file)
        .context("there is no folder for the configuration; name a file with --config")
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

/// Where a host keeps its state if nothing else was said.
///
/// # Errors
/// For users without a home.
pub(crate) fn default_data_dir() -> anyhow::Result<PathBuf> {
    let folders =
        etcetera::choose_base_strategy().context("there is no folder for data; name one with --data-dir")?;
    Ok(folders.data_dir().join("inquisitor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_by_its_line_and_no_line_is_shown() {
        let error = parse("log-level = 'info'\n[contexts.prod]\nkey = hunter22\n").unwrap_err().to_string();
        assert!(error.starts_with("line 3: ") && !error.contains("hunter22"), "{error}");
    }

    #[test]
    fn a_context_that_is_not_there_names_those_that_are() {
        let settings = parse("[contexts.lab]\nserver = 'http://lab:8000'").unwrap();
        let error = settings.context("prod").unwrap_err().to_string();
        assert_eq!(error, "there is no context `prod`; there are lab");
        assert_eq!(settings.context("lab").unwrap().server.as_deref(), Some("http://lab:8000"));
    }

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
