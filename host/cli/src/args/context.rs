//! `inquisitor context`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// Servers and keys under a name, kept in the configuration file.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  inquisitor context set prod --server https://inquisitor.example:8000 --key-file ~/.prod.key --use
  inquisitor context use prod
  inquisitor status                 # asks prod
  inquisitor status --context lab")]
pub(crate) enum ContextCommand {
    /// List contexts; the one in use is marked.
    List,
    /// Use a context from now on.
    Use {
        /// Name of the context.
        name: String,
    },
    /// Add a context or change one. What is not named stays as it is.
    Set(ContextSet),
    /// Remove a context.
    Rm {
        /// Name of the context.
        name: String,
    },
}

/// A context.
#[derive(Debug, Args)]
pub(crate) struct ContextSet {
    /// Name of the context: letters, digits, hyphens, dots and underscores.
    pub(crate) name: String,
    /// Address of the host.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) server: Option<String>,
    /// File with the key.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "key_stdin")]
    pub(crate) key_file: Option<PathBuf>,
    /// Read the key from standard input and keep it in the configuration file, which only its owner can read.
    #[arg(long)]
    pub(crate) key_stdin: bool,
    /// Certificates (PEM) of the authorities to trust instead of the system's.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) ca_file: Option<PathBuf>,
    /// Use it from now on.
    #[arg(long = "use")]
    pub(crate) make_current: bool,
}
