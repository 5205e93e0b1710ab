//! `cargo xtask test`: everything that continuous integration checks.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{cargo, part, run};
use crate::{cluster, peers, plugins};

/// Run every check: format, lints, documentation, licences, components, tests; or one that takes options.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    only: Option<Only>,
    /// Leave out what is slow and seldom changes its answer: licences, documentation, reproducible components.
    #[arg(long)]
    quick: bool,
}

#[derive(clap::Subcommand)]
enum Only {
    /// Three hosts under load and faults: nothing acknowledged is lost, nothing is done twice.
    Cluster(cluster::Arguments),
}

/// The licence checker, installed into the target folder where it is not on the path.
const CARGO_DENY: &str = "cargo-deny";

pub(crate) fn run_tests(repository: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(Only::Cluster(arguments)) = &arguments.only {
        return cluster::run_cluster(repository, arguments);
    }
    part("format", || run(cargo(repository).args(["fmt", "--all", "--check"])))?;
    part("lints", || {
        run(cargo(repository).args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    })?;
    if !arguments.quick {
        part("documentation", || {
            let mut doc = cargo(repository);
            doc.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
            run(&mut doc)
        })?;
        part("licences and sources", || licences(repository))?;
    }
    part("programs of others", || {
        for program in [&peers::PROMETHEUS, &peers::IPROUTE, &peers::NFTABLES, &peers::DNSMASQ] {
            peers::debian(program)?;
        }
        peers::python(repository, "schemathesis", "tests/api/requirements.txt")?;
        // Helm's own code, which the tests that run the chart render it with.
        peers::python(repository, "deployment", "tests/deployment/requirements.txt").map(|_| ())
    })?;
    part("components", || plugins::run(repository, &plugins::Arguments::default()))?;
    // The end-to-end tests run the binary, which a test build alone does not make.
    part("binary", || run(cargo(repository).args(["build", "--package", "inquisitor"])))?;
    part("tests", || tests(repository))?;
    part("cluster under faults", || cluster::run_cluster(repository, &cluster::Arguments::short()))?;
    part("deployment", || run(&mut Command::new(repository.join("tests/deployment/run.sh"))))?;
    part("documentation tests", || run(cargo(repository).args(["test", "--workspace", "--doc"])))?;
    // It builds a crate of its own from nothing, so it is not among the tests that run every time.
    part("template of an instrument", || {
        run(cargo(repository).args([
            "test",
            "--package",
            "inquisitor-sdk",
            "--test",
            "template",
            "--",
            "--ignored",
        ]))
    })?;
    if !arguments.quick {
        part("reproducible components", || plugins::run(repository, &plugins::Arguments::reproducible()))?;
    }
    Ok(())
}

/// With nextest where it is installed: it runs the tests of all crates at once.
fn tests(repository: &Path) -> anyhow::Result<()> {
    let targets = ["--workspace", "--lib", "--bins", "--tests"];
    let mut tests = cargo(repository);
    if is_installed("cargo-nextest") {
        tests.args(["nextest", "run"]);
    } else {
        tests.arg("test");
    }
    // What tests need beside the host was installed before, so that none of them has a reason to be left out.
    run(tests.arg("--no-fail-fast").args(targets).env("INQUISITOR_REQUIRE_PEERS", "1"))
}

fn licences(repository: &Path) -> anyhow::Result<()> {
    let program = deny(repository)?;
    let checks = ["bans", "licenses", "sources"];
    run(Command::new(&program)
        .current_dir(repository)
        .args(["check", "--hide-inclusion-graph"])
        .args(checks))?;
    // The advisories lie in a repository of their own, which not every machine can reach.
    let fetched =
        Command::new(&program).current_dir(repository).args(["fetch", "db"]).stderr(Stdio::null()).status();
    if fetched.is_ok_and(|status| status.success()) {
        run(Command::new(&program).current_dir(repository).args(["check", "advisories"]))
    } else {
        println!("the database of advisories cannot be fetched here; advisories were not checked");
        Ok(())
    }
}

/// The licence checker on the path, or in the target folder, where it is installed first if need be.
fn deny(repository: &Path) -> anyhow::Result<PathBuf> {
    if is_installed(CARGO_DENY) {
        return Ok(PathBuf::from(CARGO_DENY));
    }
    let tools = plugins::target_dir(repository).join("tools");
    let program = tools.join("bin").join(CARGO_DENY);
    if !program.is_file() {
        let mut install = cargo(repository);
        install.args(["install", "--locked", "--quiet", CARGO_DENY, "--root"]).arg(&tools);
        // Optimizing a program that runs for two seconds would cost minutes.
        install.args(["--profile", "dev"]);
        run(&mut install)?;
    }
    Ok(program)
}

fn is_installed(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
