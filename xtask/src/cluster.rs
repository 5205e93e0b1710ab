//! `cargo xtask test cluster`: a cluster of real hosts under load and faults.

use std::io::stderr;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::process::{cargo, run};
use crate::{peers, plugins};

/// Do faults to a cluster of three hosts while clients use it through all of them, and compare what they were told with what
/// the hosts have.
///
/// The hosts are processes with a network of their own, which takes root or user namespaces; without, the faults that cut
/// hosts off from each other are left out, and the result says so. What the hosts had and logged is kept where something
/// went wrong.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Do the faults in turns for about so many seconds. [default: each once]
    #[arg(long, value_name = "N", conflicts_with = "short")]
    seconds: Option<u64>,
    /// Do each fault once and let it last for a moment only.
    #[arg(long)]
    short: bool,
    /// Do this fault only, as `leader-killed`; a name that is none brings the list. Repeatable.
    #[arg(long, value_name = "NAME")]
    fault: Vec<String>,
    /// How to print what came of it.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Output {
    /// A table.
    Text,
    /// One object. Nothing else is on standard output.
    Json,
}

impl Arguments {
    /// What is run with everything else.
    pub(crate) fn short() -> Self {
        Self { seconds: None, short: true, fault: Vec::new(), output: Output::Text }
    }
}

/// Build what it takes, and run it.
///
/// # Errors
/// When something cannot be built, or something happened that must not.
pub(crate) fn run_cluster(repository: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    for program in [&peers::IPROUTE, &peers::NFTABLES] {
        // Without them there are fewer faults, which the result says.
        if let Err(error) = peers::debian(program) {
            eprintln!("{error:#}");
        }
    }
    // Its list of components is none of the result.
    let program = std::env::current_exe().context("no path of this program")?;
    run(Command::new(program).arg("plugins").stdout(stderr()))?;
    run(cargo(repository).args(["build", "--package", "inquisitor"]))?;
    let folder = plugins::target_dir(repository).join("cluster-faults");
    let mut faults = cargo(repository);
    faults.args(["run", "--quiet", "--package", "inquisitor-tests", "--bin", "cluster-faults", "--"]);
    faults.arg("--folder").arg(folder).env("INQUISITOR_REQUIRE_PEERS", "1");
    if let Some(seconds) = arguments.seconds {
        faults.arg("--seconds").arg(seconds.to_string());
    }
    if arguments.short {
        faults.arg("--short");
    }
    for fault in &arguments.fault {
        faults.args(["--fault", fault]);
    }
    if matches!(arguments.output, Output::Json) {
        faults.args(["--output", "json"]);
    }
    run(&mut faults)
}
