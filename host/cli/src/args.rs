//! The command line: names, defaults and help. What a command does is in `commands/`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

/// Ask instruments that you don't trust; get an answer that anyone can check.
#[derive(Debug, Parser)]
#[command(name = "inquisitor", version, about, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "Exit codes of `run`: 0 verified, 1 error, 2 usage, 3 inconclusive, 4 falsified.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// How results are printed.
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Text, env = "INQUISITOR_OUTPUT")]
    pub(crate) output: Output,

    /// When to use colour. `auto` means: on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,

    /// What the host logs to standard error: off, error, warn, info, debug, trace, or a filter such as
    /// `warn,inquisitor_runtime=debug`. [default: warn]
    #[arg(long, global = true, env = "LOG_LEVEL", value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,

    /// How log lines look. [default: text]
    #[arg(long, global = true, value_enum, env = "LOG_FORMAT", ignore_case = true)]
    pub(crate) log_format: Option<LogFormat>,

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

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an inquiry to its finding.
    Run(Run),
    /// Check manifests and report every mistake.
    Validate(Validate),
    /// Print the JSON Schema of manifests.
    Schema,
    /// Write, build, check and try instruments.
    #[command(subcommand)]
    Plugin(Plugin),
    /// Read and verify the ledger of a data directory.
    #[command(subcommand)]
    Ledger(Ledger),
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

/// Run an inquiry to its finding.
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

/// Write, build, check and try instruments.
#[derive(Debug, Subcommand)]
pub(crate) enum Plugin {
    /// Start a new instrument from the template.
    New(PluginNew),
    /// Build an instrument's crate to a component.
    Build(PluginBuild),
    /// Say whether a file is a component that this host runs, and if not, what is missing.
    Check(PluginCheck),
    /// Print what a component says of itself.
    Inspect(PluginInspect),
    /// Run one observation under the real sandbox.
    Call(Box<PluginCall>),
    /// List the plugins that manifests may name.
    List {
        #[command(flatten)]
        sources: PluginSources,
    },
}

/// Start a new instrument from the template.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  inquisitor plugin new ph-meter && cd ph-meter && cargo test && inquisitor plugin build"
)]
pub(crate) struct PluginNew {
    /// Name of the instrument and its folder: lower case, digits and hyphens.
    pub(crate) name: String,
    /// Where to make the folder. [default: here]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) path: Option<PathBuf>,
    /// Use the SDK in this folder instead of the published one.
    #[arg(long, value_name = "DIR", env = "INQUISITOR_SDK", value_hint = ValueHint::DirPath)]
    pub(crate) sdk: Option<PathBuf>,
}

/// Build an instrument's crate to a component.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  inquisitor plugin build plugins/echo --out echo.wasm")]
pub(crate) struct PluginBuild {
    /// The crate.
    #[arg(default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// Where to write the component. [default: target/NAME.wasm in the crate's target folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
}

/// Say whether a file is a component that this host runs, and if not, what is missing.
///
/// Exits 0 if it is, 1 if it is not.
#[derive(Debug, Args)]
pub(crate) struct PluginCheck {
    /// The component.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Where compiled code is kept between runs.
    #[arg(long, value_name = "DIR", env = "INQUISITOR_CACHE_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) cache_dir: Option<PathBuf>,
}

/// Print what a component says of itself.
#[derive(Debug, Args)]
pub(crate) struct PluginInspect {
    /// The component.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Where compiled code is kept between runs.
    #[arg(long, value_name = "DIR", env = "INQUISITOR_CACHE_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) cache_dir: Option<PathBuf>,
}

/// Run one observation under the real sandbox.
#[derive(Debug, Args)]
#[command(after_help = r#"Examples:
  inquisitor plugin call echo.wasm --step '{"message": "hello"}'
  inquisitor plugin call table.wasm --params '{"value": "temperature"}' --substrate shipment.csv
  inquisitor plugin call probe.wasm --substrate '{"type": "synthetic", "generator": "gaussian", "parameters": {"samples": 10}}'
  inquisitor plugin call modbus.wasm --params @modbus.json --allow-tcp 10.0.0.5:502"#)]
pub(crate) struct PluginCall {
    /// The component.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Parameters of the instrument: JSON, or `@FILE`.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) params: String,
    /// Parameters of the step: JSON, or `@FILE`.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) step: String,
    /// The data: a csv, tsv or jsonl file, or a substrate source as JSON.
    #[arg(long, value_name = "FILE|JSON", value_hint = ValueHint::FilePath)]
    pub(crate) substrate: Option<String>,
    /// Limit on memory, as `64MiB`.
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// Limit on wall time, as `10s`.
    #[arg(long, value_name = "DURATION")]
    pub(crate) wall: Option<String>,
    /// Limit on instructions; also reports how many were used.
    #[arg(long)]
    pub(crate) fuel: Option<u64>,
    /// Let it speak HTTP with this `host:port`. Repeatable.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) allow_http: Vec<String>,
    /// Let it speak TCP with this `host:port`. Repeatable.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) allow_tcp: Vec<String>,
    /// Let it read this folder. Repeatable.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) allow_read: Vec<PathBuf>,
    /// Let it read and write this folder. Repeatable.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) allow_write: Vec<PathBuf>,
    /// Seed of its randomness and of a synthetic substrate.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Where compiled code is kept between runs.
    #[arg(long, value_name = "DIR", env = "INQUISITOR_CACHE_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) cache_dir: Option<PathBuf>,
}

/// Read and verify the ledger of a data directory.
#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    /// Print the checkpoint: the number of entries and the hash over all of them.
    Checkpoint {
        /// The data directory.
        #[arg(long, value_name = "DIR", env = "DATA_DIR", value_hint = ValueHint::DirPath)]
        data_dir: PathBuf,
    },
    /// Print every entry, one JSON document on each line, then the checkpoint.
    Export {
        /// The data directory.
        #[arg(long, value_name = "DIR", env = "DATA_DIR", value_hint = ValueHint::DirPath)]
        data_dir: PathBuf,
    },
    /// Check an exported ledger with nothing else at hand: every entry canonical, the root as stated.
    #[command(
        after_help = "Example:\n  inquisitor ledger export --data-dir ./state > ledger.jsonl\n  inquisitor ledger verify ledger.jsonl"
    )]
    Verify {
        /// The export; `-` reads standard input.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// A checkpoint that was noted down before or came another way, as `ledger checkpoint` prints it. Without one, an
        /// export that was rewritten as a whole looks as good as the real one.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        checkpoint: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
