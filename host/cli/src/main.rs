//! The `inquisitor` command: parses the command line and hands over to one file of `commands/` for each subcommand.
//!
//! Nothing here knows how an inquiry runs: that is the engine's. Start at `args/` for what there is, at `host.rs` for how the
//! parts are put together in this process, at `client/` for how a host is asked.

mod args;
mod client;
mod commands;
mod exit;
mod host;
mod input;
mod logging;
mod print;
mod progress;
mod quantity;
mod secret;
mod settings;
mod table;

use std::process::ExitCode;

use crate::args::Cli;

/// The hidden subcommand under which this program compiles a component in a child process.
const COMPILE: &str = "__compile";

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == COMPILE) {
        return inquisitor_runtime::compile_child_main();
    }
    let cli = Cli::read();
    match start(&cli) {
        Ok(code) => code,
        Err(error) => {
            print::note(&format!("error: {error:#}"));
            print::error_document(cli.global.output, &error);
            ExitCode::from(exit::ERROR)
        }
    }
}

fn start(cli: &Cli) -> anyhow::Result<ExitCode> {
    let settings = settings::load(cli.global.config.as_deref())?;
    // What is still to be sent goes out when this is dropped, after the command's own work.
    let _logging = logging::start(cli, &settings)?;
    commands::run(cli, &settings)
}
