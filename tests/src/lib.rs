//! What end-to-end tests share: the real binary, run as a user runs it, with a home of its own.
//!
//! The tests need what `cargo xtask plugins` and `cargo build -p inquisitor` make; where it is missing they fail and say so.

pub mod chart;
pub mod cluster;
pub mod faults;
pub mod http;
pub mod netns;
pub mod server;

pub use server::Server;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository().join("target"), |path| repository().join(path))
}

/// The binary.
///
/// # Panics
/// When it was not built.
pub fn binary() -> PathBuf {
    existing(target().join("debug/inquisitor"), "cargo build -p inquisitor")
}

/// A shipped plugin.
///
/// # Panics
/// When it was not built.
pub fn plugin(name: &str) -> PathBuf {
    existing(target().join("plugins").join(name).with_extension("wasm"), "cargo xtask plugins")
}

/// A component made for tests.
///
/// # Panics
/// When it was not built.
pub fn test_component(name: &str) -> PathBuf {
    existing(target().join("test-components").join(name).with_extension("wasm"), "cargo xtask plugins")
}

/// A file of `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    repository().join("tests/fixtures").join(name)
}

fn existing(path: PathBuf, command: &str) -> PathBuf {
    assert!(path.is_file(), "{} is missing; run `{command}` first", path.display());
    path
}

/// `inquisitor` with a home and no settings of the user who runs the tests. The cache of compiled code is shared between
/// tests, as it is between runs of a user.
///
/// # Panics
/// When it was not built.
pub fn inquisitor() -> Command {
    apart(&binary())
}

/// The same of the release binary, for benchmarks.
///
/// # Panics
/// When it was not built.
pub fn released() -> Command {
    apart(&existing(target().join("release/inquisitor"), "cargo build --release -p inquisitor"))
}

fn apart(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    settle(&mut command);
    command
}

/// Give a command that runs the binary, in whatever way, a home and no settings of the user.
pub(crate) fn settle(command: &mut Command) {
    command.current_dir(repository());
    for name in [
        "DATA_DIR",
        "ARTIFACT_DIR",
        "LOG_LEVEL",
        "LOG_FORMAT",
        "INQUISITOR_CONFIG",
        "INQUISITOR_OUTPUT",
        "INQUISITOR_PLUGIN_DIR",
        "INQUISITOR_SERVER",
        "INQUISITOR_KEY",
        "INQUISITOR_CONTEXT",
        "API_KEY",
        "MANIFEST_DIR",
        "SUBSTRATE_DIR",
    ] {
        command.env_remove(name);
    }
    let home = target().join("test-home");
    command
        .env("HOME", &home)
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("XDG_CACHE_HOME", home.join("cache"))
        .env("NO_COLOR", "1");
}

/// What a finished command left.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON ({error}):\n{}\n{}", self.stdout, self.stderr))
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Run `inquisitor` with these arguments to its end.
///
/// # Panics
/// When it cannot be started.
pub fn run<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(arguments: I) -> Ended {
    inquisitor()
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run the binary: {error}"))
        .into()
}

/// Run a manifest given as text, and read its document.
///
/// # Panics
/// When the manifest cannot be written.
pub fn run_manifest(folder: &Path, manifest: &str, more: &[&str]) -> Ended {
    let file = folder.join("inquiry.yaml");
    std::fs::write(&file, manifest).unwrap_or_else(|error| panic!("cannot write the manifest: {error}"));
    let mut command = inquisitor();
    command.arg("run").arg(&file).args(["--output", "json"]).args(more);
    command.output().unwrap_or_else(|error| panic!("cannot run the binary: {error}")).into()
}
