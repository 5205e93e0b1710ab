//! `inquisitor plugin`: what authors of instruments use, and who puts them on a host.

mod build;
mod call;
mod check;
mod inspect;
mod list;
mod new;
mod push;

use std::process::ExitCode;

use crate::args::Global;
use crate::args::plugin::Plugin;
use crate::args::remote::Remote;
use crate::commands::block_on;
use crate::settings::Settings;

pub(crate) fn run(
    global: &Global,
    settings: &Settings,
    remote: &Remote,
    command: &Plugin,
) -> anyhow::Result<ExitCode> {
    match command {
        Plugin::New(args) => new::run(global, args),
        Plugin::Build(args) => build::run(global, args),
        Plugin::Check(args) => block_on(check::run(global, settings, args))?,
        Plugin::Inspect(args) => block_on(inspect::run(global, settings, args))?,
        Plugin::Call(args) => block_on(call::run(global, settings, args))?,
        Plugin::List(args) if remote.is_named() => block_on(push::list(global, settings, remote, args))?,
        Plugin::List(args) => block_on(list::run(global, settings, args))?,
        Plugin::Push(args) => block_on(push::push(global, settings, remote, args))?,
        Plugin::Rm { reference } => block_on(push::remove(settings, remote, reference))?,
    }
}
