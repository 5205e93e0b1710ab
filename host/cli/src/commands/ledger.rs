//! `inquisitor ledger`: read the ledger of a data directory, and verify an export with nothing else at hand.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use inquisitor_engine::journal::Journal as _;

use crate::args::{Global, Ledger, Output};
use crate::commands::block_on;
use crate::{exit, host, print};

pub(crate) fn run(global: &Global, command: &Ledger) -> anyhow::Result<ExitCode> {
    match command {
        Ledger::Checkpoint { data_dir } => block_on(checkpoint(global, data_dir))?,
        Ledger::Export { data_dir } => block_on(export(data_dir))?,
        Ledger::Verify { file } => verify(global, file),
    }
}

async fn checkpoint(global: &Global, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let conductor = host::existing_conductor(data_dir).await?;
    let checkpoint = conductor.checkpoint().await?;
    conductor.shutdown().await;
    match global.output {
        Output::Json => print::json(&checkpoint)?,
        Output::Text => print::text(&format!("{} entries\nroot {}", checkpoint.size, checkpoint.root))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn export(data_dir: &Path) -> anyhow::Result<ExitCode> {
    let conductor = host::existing_conductor(data_dir).await?;
    let exported = conductor.export_ledger(&mut std::io::BufWriter::new(std::io::stdout().lock()));
    conductor.shutdown().await;
    exported.context("cannot export the ledger")?;
    Ok(ExitCode::SUCCESS)
}

fn verify(global: &Global, file: &Path) -> anyhow::Result<ExitCode> {
    let reader: Box<dyn std::io::BufRead> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        Box::new(std::io::BufReader::new(opened))
    };
    match inquisitor_ledger::export::verify(reader) {
        Ok(checkpoint) => {
            match global.output {
                Output::Json => print::json(&serde_json::json!({
                    "valid": true, "size": checkpoint.size, "root": checkpoint.root.to_string(),
                }))?,
                Output::Text => print::text(&format!("valid: {} entries, root {}", checkpoint.size, checkpoint.root))?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            match global.output {
                Output::Json => print::json(&serde_json::json!({ "valid": false, "error": error.to_string() }))?,
                Output::Text => print::note(&format!("not valid: {error}")),
            }
            Ok(ExitCode::from(exit::ERROR))
        }
    }
}
