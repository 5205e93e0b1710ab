//! `inquisitor plugin`: what authors of instruments use.

mod build;
mod call;
mod check;
mod inspect;
mod list;
mod new;

use std::process::ExitCode;

use crate::args::{Global, Plugin};
use crate::commands::block_on;
use crate::settings::Settings;

pub(crate) fn run(global: &Global, settings: &Settings, command: &Plugin) -> anyhow::Result<ExitCode> {
    match command {
        Plugin::New(args) => new::run(global, args),
        Plugin::Build(args) => build::run(global, args),
        Plugin::Check(args) => block_on(check::run(global, settings, args))?,
        Plugin::Inspect(args) => block_on(inspect::run(global, settings, args))?,
        Plugin::Call(args) => block_on(call::run(global, settings, args))?,
        Plugin::List { sources } => block_on(list::run(global, settings, sources))?,
    }
}
