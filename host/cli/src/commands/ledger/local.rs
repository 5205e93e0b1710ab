//! The ledger of a data directory, and an export with nothing else at hand.

use std::io::{BufRead, Read as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use inquisitor_engine::journal::Journal as _;
use inquisitor_ledger::Checkpoint;
use serde_json::json;

use super::Verified;
use crate::args::Global;
use crate::{host, print};

pub(super) async fn checkpoint(
    global: &Global,
    data_dir: &Path,
    size: Option<u64>,
) -> anyhow::Result<ExitCode> {
    let conductor = host::existing_conductor(data_dir).await?;
    let checkpoint = match size {
        None => {
            conductor.checkpoint().await.map_err(anyhow::Error::from).and_then(|now| ledger_checkpoint(&now))
        }
        Some(size) => conductor.checkpoint_at(size).await.map_err(anyhow::Error::from),
    };
    conductor.shutdown().await;
    let checkpoint = checkpoint?;
    print::result(global.output, &checkpoint, || Ok(checkpoint.to_string()))?;
    Ok(ExitCode::SUCCESS)
}

/// The checkpoint in the ledger's own form.
fn ledger_checkpoint(checkpoint: &inquisitor_engine::journal::Checkpoint) -> anyhow::Result<Checkpoint> {
    let root = checkpoint.root.parse().context("the conductor's root is not a hash")?;
    Ok(Checkpoint { size: checkpoint.size, root })
}

pub(super) async fn export(data_dir: &Path) -> anyhow::Result<ExitCode> {
    let conductor = host::existing_conductor(data_dir).await?;
    print::begun();
    let exported = conductor.export_ledger(&mut std::io::BufWriter::new(std::io::stdout().lock()));
    conductor.shutdown().await;
    exported.context("cannot export the ledger")?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn verify(global: &Global, file: &Path, noted: Option<&Checkpoint>) -> anyhow::Result<ExitCode> {
    let mut reader: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        Box::new(std::io::BufReader::new(opened))
    };
    let mut failure = None;
    let lines =
        std::iter::from_fn(|| line(&mut reader).map_err(|error| failure = Some(error)).ok().flatten());
    let verified = inquisitor_ledger::verify_export(lines, noted);
    if let Some(error) = failure {
        return Err(error).with_context(|| format!("cannot read {}", file.display()));
    }
    let said = verified.map(|checkpoint| Verified {
        text: format!("valid: {} entries, root {}", checkpoint.size, checkpoint.root),
        document: json!({ "valid": true, "checkpoint": checkpoint }),
    });
    super::verdict(global, said)
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
