//! `cargo xtask bench`: the benchmarks, by the part they measure.

use std::path::Path;

use crate::process::{cargo, run};
use crate::{peers, plugins};

/// Run benchmarks. Each compares with a baseline in the same run; figures of different runs do not compare.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to measure; everything where none is named.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Run each benchmark once, to see that it works.
    #[arg(long)]
    smoke: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// An observation through the sandbox against bare wasmtime; loading; numbers from the substrate.
    Runtime,
    /// Parsing, validating and compiling a manifest of 10,000 steps.
    Manifest,
    /// Falsification and arbitration of 100,000 readings.
    Findings,
    /// Appending to the Merkle log.
    Ledger,
    /// Durable commands against a bare redb loop with group commit; opening a data directory.
    Conductor,
    /// A csv file against the bare csv reader.
    Substrate,
    /// The release binary under load over HTTP, against bare redb and bare axum; start and memory. Needs `wrk`.
    Server,
    /// Three hosts beside three members of etcd: durable writes, linearizable reads, the leader's death. Needs `etcd`.
    Etcd,
}

impl Part {
    const ALL: [Self; 8] = [
        Self::Runtime,
        Self::Manifest,
        Self::Findings,
        Self::Ledger,
        Self::Conductor,
        Self::Substrate,
        Self::Server,
        Self::Etcd,
    ];

    /// The crate and its benchmark.
    fn target(self) -> (&'static str, &'static str) {
        match self {
            Self::Runtime => ("inquisitor-runtime", "observe"),
            Self::Manifest => ("inquisitor-manifest", "validate"),
            Self::Findings => ("inquisitor-findings", "conclude"),
            Self::Ledger => ("inquisitor-ledger", "append"),
            Self::Conductor => ("inquisitor-conductor", "append"),
            Self::Substrate => ("inquisitor-substrate", "csv"),
            Self::Server => ("inquisitor-tests", "server"),
            Self::Etcd => ("inquisitor-tests", "etcd"),
        }
    }
}

pub(crate) fn run_benches(repository: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let parts = if arguments.parts.is_empty() { Part::ALL.to_vec() } else { arguments.parts.clone() };
    let needs_host = parts.contains(&Part::Server) || parts.contains(&Part::Etcd);
    if parts.contains(&Part::Runtime) || needs_host {
        plugins::run(repository, &plugins::Arguments::default())?;
    }
    if parts.contains(&Part::Server) {
        peers::debian(&peers::WRK)?;
    }
    if parts.contains(&Part::Etcd) {
        peers::debian(&peers::ETCD)?;
    }
    if needs_host {
        run(cargo(repository).args(["build", "--release", "--package", "inquisitor"]))?;
    }
    for part in parts {
        let mut bench = cargo(repository);
        let (package, name) = part.target();
        bench.args(["bench", "--package", package, "--bench", name]);
        if arguments.smoke {
            bench.args(["--", "--test"]);
        }
        run(&mut bench)?;
    }
    Ok(())
}
