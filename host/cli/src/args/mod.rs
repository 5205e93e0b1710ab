//! The command line: names, defaults and help. What a command does is in `commands/`.

pub(crate) mod backup;
pub(crate) mod client;
pub(crate) mod context;
pub(crate) mod ledger;
pub(crate) mod plugin;
pub(crate) mod remote;
pub(crate) mod serve;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum, ValueHint};

use backup::BackupCommand;
use client::{InquiryArgs, KeyArgs, RaftArgs, Submit, TenantArgs};
use context::ContextCommand;
use ledger::Ledger;
use plugin::Plugin;
use remote::Remote;
use serve::Serve;

/// Ask instruments that you don't trust; get an answer that anyone can check.
#[derive(Debug, Parser)]
#[command(name = "inquisitor", version, about, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes of `run` and of `submit --watch`: 0 verified, 1 error, 2 usage, 3 inconclusive, 4 falsified."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Parse the command line of this process; ends it where that is what was asked for, or where it cannot be understood.
    pub(crate) fn read() -> Self {
        Self::of(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    fn of(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = without_empty_variables(Self::described());
        let matches = command.try_get_matches_from_mut(arguments)?;
        let mut cli = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        cli.remote.settle(&mut command, &matches)?;
        Ok(cli)
    }

    /// All that can be said on the command line.
    pub(crate) fn described() -> clap::Command {
        remote::hidden_where_nobody_is_asked(Self::command())
    }
}

/// A variable that is set to nothing counts as not set: deployments name variables that they have no value for.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let empty = |name: &std::ffi::OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|argument| match argument.get_env() {
            Some(name) if empty(name) => argument.env(clap::builder::Resettable::Reset),
            _ => argument,
        })
        .mut_subcommands(without_empty_variables)
}

/// Options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "General options")]
pub(crate) struct Global {
    /// How results are printed.
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Text, env = "INQUISITOR_OUTPUT")]
    pub(crate) output: Output,

    /// When to use colour. `auto` means: on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,

    /// What the host logs to standard error: off, error, warn, info, debug, trace, or a filter such as
    /// `warn,inquisitor_runtime=debug`. [default: info for `serve`, else warn]
    #[arg(long, global = true, env = "LOG_LEVEL", value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,

    /// How log lines look. [default: text]
    #[arg(long, global = true, value_enum, env = "LOG_FORMAT", ignore_case = true)]
    pub(crate) log_format: Option<LogFormat>,

    /// Where `run` and `serve` send traces: an OpenTelemetry collector that takes OTLP over HTTP, as
    /// `http://collector:4318`.
    #[arg(
        long,
        global = true,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        value_name = "URL",
        value_hint = ValueHint::Url,
        hide_short_help = true
    )]
    pub(crate) otlp_endpoint: Option<String>,

    /// File with defaults for these options. [default: inquisitor/config.toml in the user's configuration folder]
    #[arg(long, global = true, env = "INQUISITOR_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// One JSON document on standard output.
    Json,
    /// One YAML document on standard output.
    Yaml,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A JSON object for each line.
    Json,
    /// For people.
    Text,
}

/// What to do. A command whose options are a type of its own is described there.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Run),
    Validate(Validate),
    /// Print the JSON Schema of manifests.
    Schema,
    Serve(Box<Serve>),
    Submit(Submit),
    Inquiry(InquiryArgs),
    /// Write, build, check and try instruments, and put them on a host.
    #[command(subcommand)]
    Plugin(Plugin),
    /// Read and verify the ledger of a host, or of a data directory.
    #[command(subcommand)]
    Ledger(Ledger),
    Tenant(TenantArgs),
    Key(KeyArgs),
    /// A host at a glance.
    ///
    /// Exits 1 if it is not ready.
    Status,
    Raft(RaftArgs),
    /// Back a cluster up, check backups, and restore them.
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Servers and keys under a name.
    #[command(subcommand)]
    Context(ContextCommand),
    /// Print a completion script for a shell.
    #[command(
        after_help = "Example:\n  inquisitor completions bash > ~/.local/share/bash-completion/completions/inquisitor"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Where plugins and compiled code lie.
#[derive(Debug, Clone, Args)]
pub(crate) struct PluginSources {
    /// A component to use beside the installed ones. Takes precedence over an installed plugin of the same name. Repeatable.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) plugin: Vec<PathBuf>,

    /// A folder of components. Repeatable. [default: the plugins that came with this binary]
    #[arg(long, value_name = "DIR", env = "INQUISITOR_PLUGIN_DIR", value_delimiter = ':', value_hint = ValueHint::DirPath)]
    pub(crate) plugin_dir: Vec<PathBuf>,

    /// Where compiled code is kept between runs. [default: inquisitor in the user's cache folder]
    #[arg(long, value_name = "DIR", env = "INQUISITOR_CACHE_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) cache_dir: Option<PathBuf>,
}

/// Run an inquiry to its finding, on this machine.
///
/// Progress goes to standard error, the finding to standard output. An instrument with a `probeInterval` is observed as often
/// as the steps say, not continuously.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  inquisitor run examples/cold-chain/inquiry.yaml
  inquisitor run inquiry.yaml --output json > finding.json
  inquisitor run inquiry.yaml --data-dir ./state       # keeps the ledger; run again to finish after a crash
  inquisitor run inquiry.yaml --plugin target/my-probe.wasm

Exit codes: 0 verified, 1 error, 2 usage, 3 inconclusive, 4 falsified.")]
pub(crate) struct Run {
    /// The manifest; `-` reads standard input.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) manifest: PathBuf,

    /// Where the ledger and all records are kept. An inquiry of the same manifest that was interrupted there is finished
    /// first. [default: a temporary folder]
    #[arg(long, value_name = "DIR", env = "DATA_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,

    /// Write the reports and charts that the manifest asks for into this folder.
    #[arg(long, value_name = "DIR", env = "ARTIFACT_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) artifact_dir: Option<PathBuf>,

    /// A secret that the manifest may refer to as `${NAME}`, taken from the environment or the secret folder. Repeatable.
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_secret: Vec<String>,

    /// Folder with a file for each secret.
    #[arg(long, value_name = "DIR", env = "INQUISITOR_SECRET_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) secret_dir: Option<PathBuf>,

    /// Say nothing while it runs.
    #[arg(long, short)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) sources: PluginSources,
}

/// Check manifests and report every mistake.
///
/// Exits 0 if all are valid, 1 if one is not, 2 if one cannot be read.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  inquisitor validate manifests/*.yaml")]
pub(crate) struct Validate {
    /// The manifests; `-` reads standard input.
    #[arg(required = true, value_hint = ValueHint::FilePath)]
    pub(crate) manifests: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) sources: PluginSources,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::described().debug_assert();
    }

    fn cli(words: &str) -> Result<Cli, clap::Error> {
        Cli::of(words.split(' ').map(OsString::from))
    }

    #[test]
    fn a_host_is_named_before_a_command_or_after_it() {
        for words in [
            "inquisitor --server http://h --key k plugin push f.wasm",
            "inquisitor plugin --server http://h push f.wasm --key k",
            "inquisitor --key k inquiry list --server http://h",
            "inquisitor status --server http://h --key k",
        ] {
            let remote = cli(words).unwrap().remote;
            let key = remote.key.as_ref().map(Secret::expose);
            assert_eq!((remote.server.as_deref(), key), (Some("http://h"), Some("k")), "{words}");
        }
    }

    #[test]
    fn a_command_that_asks_no_host_takes_none() {
        for (words, refused) in [
            (
                "inquisitor --server http://h validate m.yaml",
                "`inquisitor validate` asks no host: leave out --server",
            ),
            (
                "inquisitor plugin check f.wasm --key-file k",
                "`inquisitor plugin check` asks no host: leave out --key-file",
            ),
            ("inquisitor --retry-for 1s serve", "`inquisitor serve` asks no host: leave out --retry-for"),
            (
                "inquisitor context set lab --server http://h --key k",
                "`inquisitor context set` asks no host: leave out --key",
            ),
            (
                "inquisitor --context lab ledger verify f",
                "`inquisitor ledger verify` asks no host: leave out --context",
            ),
            ("inquisitor status --key a --key-file b", "--key and --key-file say the same"),
        ] {
            let error = cli(words).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{words}");
            assert!(error.to_string().contains(refused), "{words}: {error}");
        }
        // These are its own.
        let own = cli("inquisitor context set lab --server http://h --key-file k --ca-file c");
        assert!(matches!(own.unwrap().command, Command::Context(ContextCommand::Set(_))));
    }
}
