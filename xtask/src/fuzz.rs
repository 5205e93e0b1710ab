//! `cargo xtask fuzz`: inputs that nobody would write, for as long as one likes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::process::{cargo, run};
use crate::{peers, plugins};

/// Feed a target with inputs that nobody would write, until the time is over or something breaks.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to feed.
    #[arg(value_enum)]
    target: Target,
    /// How long, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// Manifests: coverage-guided, the parser, the rules and the compiler.
    Manifest,
    /// Exported ledgers and checkpoints: coverage-guided, the offline verification.
    Ledger,
    /// Uploads: mutated components, posted to a running host.
    Upload,
    /// The API: schemathesis, from the host's own openapi.json.
    Api,
}

pub(crate) fn run_fuzz(repository: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    match arguments.target {
        Target::Manifest => {
            let seeds = ["host/manifest/tests/fixtures", "tests/fixtures", "examples"];
            guided(repository, "manifest", &seeds, arguments.seconds)
        }
        Target::Ledger => guided(repository, "ledger", &[], arguments.seconds),
        Target::Upload => against_a_host(repository, "upload", arguments.seconds),
        Target::Api => {
            peers::python(repository, "schemathesis", "tests/api/requirements.txt")?;
            against_a_host(repository, "api", arguments.seconds)
        }
    }
}

/// libFuzzer. The flags are those of coverage instrumentation, which the stable compiler passes on to LLVM.
fn guided(repository: &Path, name: &str, seeds: &[&str], seconds: u64) -> anyhow::Result<()> {
    const INSTRUMENTATION: &str = "--cfg fuzzing -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";
    let host = host_triple()?;
    let target = plugins::target_dir(repository).join("fuzz");
    let mut build = cargo(repository);
    build.current_dir(repository.join("tests/fuzz"));
    build.args(["build", "--release", "--bin", name, "--target", &host, "--target-dir"]).arg(&target);
    // Only what is built for the target is instrumented, not the build's own programs.
    build.env(format!("CARGO_TARGET_{}_RUSTFLAGS", host.to_uppercase().replace('-', "_")), INSTRUMENTATION);
    run(&mut build)?;

    let corpus = target.join("corpus").join(name);
    std::fs::create_dir_all(&corpus).context("cannot make the folder of the corpus")?;
    for (number, file) in seeds.iter().flat_map(|folder| texts(&repository.join(folder))).enumerate() {
        std::fs::copy(&file, corpus.join(format!("seed-{number}"))).context("cannot copy a seed")?;
    }
    let crashes = target.join("crashes").join(name);
    std::fs::create_dir_all(&crashes).context("cannot make the folder of crashes")?;
    let mut fuzz = Command::new(target.join(&host).join("release").join(name));
    fuzz.arg(&corpus);
    fuzz.arg(format!("-artifact_prefix={}/", crashes.display()));
    fuzz.args([format!("-max_total_time={seconds}"), "-timeout=20".into(), "-rss_limit_mb=2048".into()]);
    fuzz.args(["-max_len=65536", "-print_final_stats=1", "-verbosity=0"]);
    run(&mut fuzz).with_context(|| format!("the input that broke it is in {}", crashes.display()))
}

/// One of the tests that need a running host, for a given time.
fn against_a_host(repository: &Path, test: &str, seconds: u64) -> anyhow::Result<()> {
    plugins::run(repository, &plugins::Arguments::default())?;
    run(cargo(repository).args(["build", "--package", "inquisitor"]))?;
    let mut fuzz = cargo(repository);
    fuzz.args([
        "test",
        "--package",
        "inquisitor-tests",
        "--test",
        "fuzz",
        "--",
        "--nocapture",
        "--exact",
        test,
    ]);
    fuzz.env("FUZZ_SECONDS", seconds.to_string());
    run(&mut fuzz)
}

/// The manifests in a folder and the folders in it.
fn texts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(texts(&path));
        } else if path.extension().is_some_and(|ending| ending == "yaml" || ending == "json") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The triple of this machine, as rustc calls it.
fn host_triple() -> anyhow::Result<String> {
    let output = Command::new("rustc").args(["-vV"]).output().context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(host.to_owned())
}
