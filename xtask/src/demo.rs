//! `cargo xtask demo`: build everything that the examples need, and run them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::plugins;
use crate::process::{cargo, run};

/// The examples, from the simplest on.
const EXAMPLES: [&str; 3] = ["hello-world", "silicon-resistivity", "cold-chain"];

/// Run the three examples and print their findings.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run_demo(repository: &Path, _: &Arguments) -> anyhow::Result<()> {
    run(cargo(repository).args(["build", "--package", "inquisitor"]))?;
    plugins::run(repository, &plugins::Arguments::default())?;
    let inquisitor = plugins::target_dir(repository).join("debug").join("inquisitor");
    for example in EXAMPLES {
        let manifest = Path::new("examples").join(example).join("inquiry.yaml");
        println!("\n$ inquisitor run {}", manifest.display());
        let status = Command::new(&inquisitor)
            .current_dir(repository)
            .args(["run", "--quiet"])
            .arg(&manifest)
            .status()
            .with_context(|| format!("cannot run {}", inquisitor.display()))?;
        ensure!(status.success(), "the example {example} did not come to the verdict VERIFIED ({status})");
    }
    Ok(())
}
