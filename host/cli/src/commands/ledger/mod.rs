//! `inquisitor ledger`: read the ledger of a host or of a data directory, and verify exports and proofs with nothing else at
//! hand.

mod asked;
mod local;
mod proof;

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use inquisitor_ledger::Checkpoint;
use serde_json::{Value, json};

use crate::args::ledger::{Ledger, LedgerSource, Verify};
use crate::args::remote::Remote;
use crate::args::{Global, Output};
use crate::client::Client;
use crate::commands::block_on;
use crate::settings::Settings;
use crate::{exit, input, print};

pub(crate) fn run(
    global: &Global,
    settings: &Settings,
    remote: &Remote,
    command: &Ledger,
) -> anyhow::Result<ExitCode> {
    match command {
        Ledger::Checkpoint { source, size } => block_on(async {
            match Source::of(source, remote, settings)? {
                Source::Host(client) => asked::checkpoint(global, &client, *size).await,
                Source::Folder(folder) => local::checkpoint(global, folder, *size).await,
            }
        })?,
        Ledger::Export { source } => block_on(async {
            match Source::of(source, remote, settings)? {
                Source::Host(client) => asked::export(&client).await,
                Source::Folder(folder) => local::export(folder).await,
            }
        })?,
        Ledger::Entries { from, limit } => {
            block_on(async { asked::entries(global, &Client::new(remote, settings)?, *from, *limit).await })?
        }
        Ledger::Prove { index, from, size } => block_on(async {
            let client = Client::new(remote, settings)?;
            match (index, from) {
                (Some(index), _) => asked::inclusion(global, &client, *index, *size).await,
                (None, from) => asked::consistency(global, &client, from.unwrap_or(0), *size).await,
            }
        })?,
        Ledger::Verify(args) => verify(global, args),
    }
}

/// Where a ledger is read from.
enum Source<'a> {
    Host(Box<Client>),
    Folder(&'a Path),
}

impl<'a> Source<'a> {
    /// A host where one was named; else the data directory that was named, else the host of the context in use.
    fn of(source: &'a LedgerSource, remote: &Remote, settings: &'a Settings) -> anyhow::Result<Self> {
        match source.data_dir.as_deref().or(settings.data_dir.as_deref()) {
            Some(folder) if !remote.is_named() => Ok(Self::Folder(folder)),
            _ => Ok(Self::Host(Box::new(Client::new(remote, settings)?))),
        }
    }
}

fn verify(global: &Global, args: &Verify) -> anyhow::Result<ExitCode> {
    let noted: Option<Checkpoint> = match &args.checkpoint {
        None => None,
        Some(path) => {
            let text = input::text(path)?.text;
            Some(text.parse().with_context(|| format!("{} is not a checkpoint", path.display()))?)
        }
    };
    match (&args.file, &args.proof, &args.consistency) {
        (Some(file), ..) => local::verify(global, file, noted.as_ref()),
        (None, Some(file), _) => verdict(global, proof::inclusion(&input::text(file)?.text, noted.as_ref())),
        (None, None, Some(file)) => {
            verdict(global, proof::consistency(&input::text(file)?.text, noted.as_ref()))
        }
        (None, None, None) => anyhow::bail!("name an export, a proof or a proof of consistency"),
    }
}

/// What is said of something that is valid.
struct Verified {
    text: String,
    document: Value,
}

/// Print what came of verifying.
fn verdict<E: fmt::Display>(global: &Global, verified: Result<Verified, E>) -> anyhow::Result<ExitCode> {
    match verified {
        Ok(verified) => {
            print::result(global.output, &verified.document, || Ok(verified.text))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            let error = error.to_string();
            if global.output == Output::Text {
                print::note(&format!("not valid: {}", inquisitor_report::printable(&error)));
            } else {
                print::document(global.output, &json!({ "valid": false, "error": error }))?;
            }
            Ok(ExitCode::from(exit::ERROR))
        }
    }
}
