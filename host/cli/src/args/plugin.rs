//! `inquisitor plugin`: for authors of instruments, and for those who put them on a host.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::PluginSources;

/// Write, build, check and try instruments, and put them on a host.
#[derive(Debug, Subcommand)]
pub(crate) enum Plugin {
    New(PluginNew),
    Build(PluginBuild),
    Check(PluginCheck),
    Inspect(PluginInspect),
    Call(Box<PluginCall>),
    List(Box<PluginList>),
    Push(PluginPush),
    /// Take a plugin off a host. Refused while an inquiry that has not ended uses it.
    #[command(after_help = "Example:\n  inquisitor plugin rm ph-meter@1.2.0")]
    Rm {
        /// The plugin: `name@version`, `name`, or its digest.
        reference: String,
    },
}

/// List the plugins that manifests may name: those on this machine, or a host's where a server or context is named.
///
/// A context that is merely in use is not meant here, since `run` and `validate` take the plugins of this machine.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  inquisitor plugin list
  inquisitor plugin list --server http://127.0.0.1:8000 --name ph-meter")]
pub(crate) struct PluginList {
    /// Only those of this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) sources: PluginSources,
}

/// Put a component on a host.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  inquisitor plugin push target/ph-meter.wasm
  inquisitor plugin push target/ph-meter.wasm --tenant lab-a")]
pub(crate) struct PluginPush {
    /// The component.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// The tenant that it is for. [default: the key's; with a key above tenants: everybody]
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// Do not wait until the host has compiled it: print where its status is.
    #[arg(long = "async")]
    pub(crate) in_background: bool,
    /// Say nothing while it is sent.
    #[arg(long, short)]
    pub(crate) quiet: bool,
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
