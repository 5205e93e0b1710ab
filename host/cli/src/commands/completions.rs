//! `inquisitor completions`: scripts that let a shell complete this command line.

use std::process::ExitCode;

use crate::args::Cli;
use crate::print;

pub(crate) fn run(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::described(), "inquisitor", &mut script);
    print::write(&script)?;
    Ok(ExitCode::SUCCESS)
}
