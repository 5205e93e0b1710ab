//! One file for each subcommand.

mod completions;
mod ledger;
mod plugin;
mod run;
mod schema;
mod validate;

use std::process::ExitCode;

use anyhow::Context as _;

use crate::args::{Cli, Command};
use crate::settings::Settings;

/// Do what the command line asks for.
///
/// # Errors
/// What stopped it, to be shown to the user.
pub(crate) fn run(cli: &Cli, settings: &Settings) -> anyhow::Result<ExitCode> {
    let global = &cli.global;
    match &cli.command {
        Command::Run(run) => block_on(run::run(global, settings, run))?,
        Command::Validate(validate) => block_on(validate::run(global, settings, validate))?,
        Command::Schema => schema::run(),
        Command::Plugin(plugin) => plugin::run(global, settings, plugin),
        Command::Ledger(ledger) => ledger::run(global, ledger),
        Command::Completions { shell } => completions::run(*shell),
    }
}

/// Commands that call instruments or open a data directory need an async runtime; `--help` and the like do not pay for it.
fn block_on<F: Future>(future: F) -> anyhow::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of this program")?;
    Ok(runtime.block_on(future))
}
