//! One file for each subcommand.

mod backup;
mod completions;
mod context;
mod inquiry;
mod key;
mod ledger;
mod plugin;
mod raft;
mod run;
mod schema;
mod serve;
mod signals;
mod status;
mod submit;
mod tenant;
mod validate;
mod watch;

use std::process::ExitCode;

use anyhow::Context as _;

use crate::args::{Cli, Command};
use crate::settings::Settings;

/// Do what the command line asks for.
///
/// # Errors
/// What stopped it, to be shown to the user.
pub(crate) fn run(cli: &Cli, settings: &Settings) -> anyhow::Result<ExitCode> {
    let (global, remote) = (&cli.global, &cli.remote);
    match &cli.command {
        Command::Run(run) => block_on(run::run(global, settings, run))?,
        Command::Validate(validate) => block_on(validate::run(global, settings, validate))?,
        Command::Schema => schema::run(),
        Command::Plugin(plugin) => plugin::run(global, settings, remote, plugin),
        Command::Ledger(ledger) => ledger::run(global, settings, remote, ledger),
        Command::Serve(serve) => block_on(serve::run(global, settings, serve))?,
        Command::Submit(submit) => block_on(submit::run(global, settings, remote, submit))?,
        Command::Inquiry(args) => block_on(inquiry::run(global, settings, remote, args))?,
        Command::Tenant(args) => block_on(tenant::run(global, settings, remote, args))?,
        Command::Key(args) => block_on(key::run(global, settings, remote, args))?,
        Command::Status => block_on(status::run(global, settings, remote))?,
        Command::Raft(args) => block_on(raft::run(global, settings, remote, args))?,
        Command::Backup(command) => backup::run(global, settings, remote, command),
        Command::Context(command) => context::run(global, settings, command),
        Command::Completions { shell } => completions::run(*shell),
    }
}

/// Commands that call instruments, ask a host or open a data directory need an async runtime; `--help` and the like do not pay for it.
fn block_on<F: Future>(future: F) -> anyhow::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of this program")?;
    // The one provider of cryptography, for servers and clients; a second call finds it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(runtime.block_on(future))
}
