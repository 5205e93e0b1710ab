//! `inquisitor ledger`: read the ledger of a data directory, and verify an export with nothing else at hand.

use std::io::{BufRead, Read as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use inquisitor_engine::journal::Journal as _;
use inquisitor_ledger::Checkpoint;
use serde_json::json;

use crate::args::{Global, Ledger, Output};
use crate::commands::block_on;
use crate::{exit, host, input, print};

pub(crate) fn run(global: &Global, command: &Ledger) -> anyhow::Result<ExitCode> {
    match command {
        Ledger::Checkpoint { data_dir } => block_on(checkpoint(global, data_dir))?,
        Ledger::Export { data_dir } => block_on(export(data_dir))?,
        Ledger::Verify { file, checkpoint } => verify(global, file, checkpoint.as_deref()),
    }
}

async fn checkpoint(global: &Global, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let conductor = host::existing_conductor(data_dir).await?;
    let checkpoint = conductor.checkpoint().await?;
    conductor.shutdown().await;
    match global.output {
        Output::Json => print::json(&checkpoint)?,
        Output::Text => print::text(&ledger_checkpoint(&checkpoint)?.to_string())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The checkpoint in the ledger's own form.
fn ledger_checkpoint(checkpoint: &inquisitor_engine::journal::Checkpoint) -> anyhow::Result<Checkpoint> {
    let root = checkpoint.root.parse().context("the conductor's root is not a hash")?;
    Ok(Checkpoint { size: checkpoint.size, root })
}

async fn export(data_dir: &Path) -> anyhow::Result<ExitCode> {
    let conductor = host::existing_conductor(data_dir).await?;
    print::begun();
    let exported = conductor.export_ledger(&mut std::io::BufWriter::new(std::io::stdout().lock()));
    conductor.shutdown().await;
    exported.context("cannot export the ledger")?;
    Ok(ExitCode::SUCCESS)
}

fn verify(global: &Global, file: &Path, noted: Option<&Path>) -> anyhow::Result<ExitCode> {
    let noted: Option<Checkpoint> = match noted {
        None => None,
        Some(path) => {
            let text = input::text(path)?.text;
            Some(text.parse().with_context(|| format!("{} is not a checkpoint", path.display()))?)
        }
    };
    let mut reader: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        Box::new(std::io::BufReader::new(opened))
    };
    let mut failure = None;
    let lines =
        std::iter::from_fn(|| line(&mut reader).map_err(|error| failure = Some(error)).ok().flatten());
    let verified = inquisitor_ledger::verify_export(lines, noted.as_ref());
    if let Some(error) = failure {
        return Err(error).with_context(|| format!("cannot read {}", file.display()));
    }
    match verified {
        Ok(checkpoint) => {
            match global.output {
                Output::Json => print::json(&json!({ "valid": true, "checkpoint": checkpoint }))?,
                Output::Text => {
                    print::text(&format!("valid: {} entries, root {}", checkpoint.size, checkpoint.root))?;
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            match global.output {
                Output::Json => print::json(&json!({ "valid": false, "error": error.to_string() }))?,
                Output::Text => print::note(&format!("not valid: {error}")),
            }
            Ok(ExitCode::from(exit::ERROR))
        }
    }
}

/// The next line without its newline; none at the end.
fn line(reader: &mut dyn BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    // One byte more than an entry and its newline may have: the verifier refuses what is too long.
    let bound = inquisitor_ledger::MAX_ENTRY_BYTES as u64 + 2;
    if reader.take(bound).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(Some(line))
}
