//! `inquisitor backup`: make, check and restore backups.

mod create;

use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use indicatif::ProgressBar;
use inquisitor_conductor::{BackupManifest, Restored, Verified};
use inquisitor_ledger::Checkpoint;
use serde_json::json;

use crate::args::backup::{BackupCommand, Restore, Source};
use crate::args::remote::Remote;
use crate::args::{Global, Output};
use crate::commands::block_on;
use crate::progress::of_bytes;
use crate::settings::Settings;
use crate::{exit, input, print};

pub(crate) fn run(
    global: &Global,
    settings: &Settings,
    remote: &Remote,
    command: &BackupCommand,
) -> anyhow::Result<ExitCode> {
    match command {
        BackupCommand::Create(create) => block_on(create::run(global, settings, remote, create))?,
        BackupCommand::Verify(source) => verify(global, source),
        BackupCommand::Restore(args) => restore(global, args),
    }
}

fn verify(global: &Global, source: &Source) -> anyhow::Result<ExitCode> {
    let noted = noted(source)?;
    let verified = inquisitor_conductor::verify(open(&source.file, true)?, noted.as_ref());
    match verified {
        Ok(Verified { manifest, bytes }) => {
            let document = json!({ "valid": true, "bytes": bytes, "manifest": manifest });
            print::result(global.output, &document, || {
                let checked =
                    "every part matches its SHA-256, every ledger entry the root; no blob is missing";
                Ok(format!("valid: {}\n{checked}", shown(&manifest, bytes)))
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::from(error));
            if global.output == Output::Text {
                print::note(&format!("not valid: {}", inquisitor_report::printable(&error)));
            } else {
                print::document(global.output, &json!({ "valid": false, "error": error }))?;
            }
            Ok(ExitCode::from(exit::ERROR))
        }
    }
}

fn restore(global: &Global, args: &Restore) -> anyhow::Result<ExitCode> {
    let noted = noted(&args.source)?;
    let input = open(&args.source.file, args.quiet)?;
    let Restored { manifest, cluster, node_id } =
        inquisitor_conductor::restore(input, &args.data_dir, noted.as_ref())?;
    let document = json!({
        "data_dir": args.data_dir, "cluster": cluster, "node_id": node_id, "manifest": manifest,
    });
    print::result(global.output, &document, || {
        Ok(format!(
            "restored into {}: {}\n\
             it is the new cluster {cluster}; start a host on it, and wait until it is ready before others join",
            args.data_dir.display(),
            of(&manifest)
        ))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The checkpoint that was noted before, if one is named.
fn noted(source: &Source) -> anyhow::Result<Option<Checkpoint>> {
    let Some(path) = &source.checkpoint else { return Ok(None) };
    let text = input::text(path)?.text;
    Ok(Some(text.parse().with_context(|| format!("{} is not a checkpoint", path.display()))?))
}

/// The file, or standard input for `-`, with a bar on a terminal.
fn open(file: &Path, quiet: bool) -> anyhow::Result<Box<dyn Read>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let cannot = || format!("cannot read {}", file.display());
    let opened = std::fs::File::open(file).with_context(cannot)?;
    let length = opened.metadata().with_context(cannot)?.len();
    Ok(Box::new(bar(file, length, quiet).wrap_read(opened)))
}

/// Cleared when it is done.
fn bar(file: &Path, length: u64, quiet: bool) -> ProgressBar {
    of_bytes(file, length, quiet).with_finish(indicatif::ProgressFinish::AndClear)
}

fn shown(manifest: &BackupManifest, bytes: u64) -> String {
    format!("{}, {}", of(manifest), print::bytes(bytes))
}

/// What a backup is of, in a line.
fn of(manifest: &BackupManifest) -> String {
    let count =
        |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let text = format!(
        "cluster {} as of {}, log entry {}: {} ({} unfinished), {}, {}, root {}",
        manifest.cluster,
        manifest.created,
        manifest.applied.index,
        count(manifest.inquiries, "inquiry", "inquiries"),
        manifest.unfinished,
        count(manifest.blobs.count, "blob", "blobs"),
        count(manifest.ledger.size, "ledger entry", "ledger entries"),
        manifest.ledger.root
    );
    // What a file says of itself is a stranger's text.
    inquisitor_report::printable(&text).into_owned()
}
