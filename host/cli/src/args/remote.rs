//! How a host is reached: options of every command that asks one.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::quantity::Period;
use crate::secret::Secret;

/// Options of every command that asks a host.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Remote {
    /// Address of the host, as `https://inquisitor.example:8000`. Asked directly: proxies named in the environment are not
    /// used. [default: that of the context, else http://127.0.0.1:8000]
    #[arg(long, global = true, env = "INQUISITOR_SERVER", value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) server: Option<String>,

    /// Key to ask with. Other users of this machine can see options; prefer the environment or `--key-file`.
    #[arg(
        long,
        global = true,
        env = "INQUISITOR_KEY",
        hide_env_values = true,
        value_name = "KEY",
        conflicts_with = "key_file"
    )]
    pub(crate) key: Option<Secret>,

    /// File with the key. [default: that of the context]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key_file: Option<PathBuf>,

    /// Server and key under a name: see `inquisitor context`. [default: the one that is in use, unless a server is named]
    #[arg(long, global = true, env = "INQUISITOR_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,

    /// Certificates (PEM) of the authorities to trust instead of the system's.
    #[arg(long, global = true, env = "INQUISITOR_CA_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) ca_file: Option<PathBuf>,

    /// How long one answer may take, as `30s`. Uploads and streams may take longer, as long as something moves.
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s")]
    pub(crate) timeout: Period,

    /// How long to try again while the host cannot be reached or is busy; `0s`: not at all. Only what is safe to ask twice is.
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s")]
    pub(crate) retry_for: Period,
}

impl Remote {
    /// Whether a host was named for this call, so that a command that also works without one asks it.
    pub(crate) fn is_named(&self) -> bool {
        self.server.is_some() || self.context.is_some()
    }
}
