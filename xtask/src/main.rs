//! `cargo xtask`: commands for those who work on Inquisitor. No logic of the product lives here.
//!
//! One module for each subcommand; start with the one you run.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod cluster;
mod demo;
mod fuzz;
mod peers;
mod plugins;
mod process;
mod test;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

/// Commands for those who work on Inquisitor.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the three examples and print their findings.
    Demo(demo::Arguments),
    /// Run every check: format, lints, documentation, licences, components, tests.
    Test(test::Arguments),
    /// Run the benchmarks.
    Bench(bench::Arguments),
    /// Feed a target with inputs that nobody would write.
    Fuzz(fuzz::Arguments),
    /// Build the plugins, the examples' components and the test guests.
    Plugins(plugins::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Demo(arguments) => demo::run_demo(&repository(), &arguments),
        Command::Test(arguments) => test::run_tests(&repository(), &arguments),
        Command::Bench(arguments) => bench::run_benches(&repository(), &arguments),
        Command::Fuzz(arguments) => fuzz::run_fuzz(&repository(), &arguments),
        Command::Plugins(arguments) => plugins::run(&repository(), &arguments),
    }
}

/// Root of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}
