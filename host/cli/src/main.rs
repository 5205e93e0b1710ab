//! The `inquisitor` command: parses the command line and hands over to one file of `commands/` for each subcommand.
//!
//! Nothing here knows how an inquiry runs: that is the engine's. Start at `args.rs` for what there is, at `host.rs` for how
//! the parts are put together.

mod args;
mod commands;
mod exit;
mod host;
mod input;
mod logging;
mod print;
mod progress;
mod settings;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Cli;

/// The hidden subcommand under which this program compiles a component in a child process.
const COMPILE: &str = "__compile";

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == COMPILE) {
        return inquisitor_runtime::compile_child_main();
    }
    let cli = Cli::parse();
    match start(&cli) {
        Ok(code) => code,
        Err(error) => {
            print::note(&format!("error: {error:#}"));
            print::json_error(cli.global.output, &error);
            ExitCode::from(exit::ERROR)
        }
    }
}

fn start(cli: &Cli) -> anyhow::Result<ExitCode> {
    let settings = settings::load(cli.global.config.as_deref())?;
    logging::start(&cli.global, &settings)?;
    commands::run(cli, &settings)
}
