//! Which Rust toolchain builds components here.
//!
//! In this order: the active one where it has the target `wasm32-wasip2`; the same after rustup has added the target; one
//! that has the sources of the standard library, with which `wasm32-unknown-unknown` is built. The last needs no
//! network, because instruments use no C library and reach WASI through its interfaces.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::Error;

/// Debian packages that hold a toolchain with the sources of its standard library, and a linker.
pub const SYSTEM_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];

/// Time that rustup gets to fetch some 20 MB. Without a network it fails at once.
const RUSTUP_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a failure of rustup is remembered, so that work without a network does not wait for it at every build.
const RUSTUP_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Programs that link WebAssembly, by preference.
const LINKERS: [&str; 7] =
    ["wasm-ld", "wasm-ld-19", "wasm-ld-20", "wasm-ld-21", "wasm-ld-18", "wasm-ld-17", "wasm-ld-16"];

/// A toolchain that builds components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// The active toolchain, with the target `wasm32-wasip2`.
    Wasip2,
    /// A toolchain with the sources of the standard library, which it builds for `wasm32-unknown-unknown`.
    BuildStd {
        /// The folder above its `bin` and `lib`.
        sysroot: PathBuf,
        /// The linker, where it is not the toolchain's own.
        linker: Option<PathBuf>,
    },
}

impl Toolchain {
    /// Find the toolchain for a crate. `state_dir` is where a failure of rustup is remembered, the target folder;
    /// `say` hears of what was added or could not be, once.
    ///
    /// # Errors
    /// [`Error::NoRust`] or [`Error::NoToolchain`].
    pub fn find(crate_dir: &Path, state_dir: &Path, say: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        let active = sysroot(Path::new("rustc"), crate_dir);
        let mut rustup_failure = None;
        if let Some(active) = &active {
            if has_target(active) {
                return Ok(Self::Wasip2);
            }
            match add_target(crate_dir, state_dir, say) {
                Ok(()) if has_target(active) => return Ok(Self::Wasip2),
                Ok(()) => {}
                Err(failure) => rustup_failure = Some(failure),
            }
        }
        Self::find_with_sources(crate_dir).ok_or(match active {
            Some(_) => Error::NoToolchain { rustup_failure },
            None => Error::NoRust,
        })
    }

    /// Find a toolchain that builds the standard library from its sources: the active one, else the system's.
    pub fn find_with_sources(crate_dir: &Path) -> Option<Self> {
        let system = Path::new("/usr/bin/rustc");
        [sysroot(Path::new("rustc"), crate_dir), sysroot(system, crate_dir)].into_iter().flatten().find_map(
            |sysroot| {
                let whole = sources(&sysroot).join("library/std/Cargo.toml").is_file()
                    && sysroot.join("bin/cargo").is_file();
                if !whole {
                    return None;
                }
                if has_linker(&sysroot) {
                    return Some(Self::BuildStd { sysroot, linker: None });
                }
                let linker = find_program(&LINKERS)?;
                Some(Self::BuildStd { sysroot, linker: Some(linker) })
            },
        )
    }

    /// One line on which toolchain it is.
    pub fn describe(&self) -> String {
        match self {
            Self::Wasip2 => "the target wasm32-wasip2".to_owned(),
            Self::BuildStd { sysroot, .. } => {
                format!("wasm32-unknown-unknown with the standard library's sources in {}", sysroot.display())
            }
        }
    }

    pub(crate) fn target(&self) -> &'static str {
        match self {
            Self::Wasip2 => "wasm32-wasip2",
            Self::BuildStd { .. } => "wasm32-unknown-unknown",
        }
    }

    /// Name of this toolchain's folder in the target folder.
    pub(crate) fn folder(&self) -> &'static str {
        match self {
            Self::Wasip2 => "wasip2",
            Self::BuildStd { .. } => "build-std",
        }
    }

    pub(crate) fn build_arguments(&self) -> &'static [&'static str] {
        match self {
            Self::Wasip2 => &[],
            Self::BuildStd { .. } => &["-Z", "build-std=std,panic_abort"],
        }
    }

    pub(crate) fn cargo_program(&self) -> PathBuf {
        match self {
            Self::Wasip2 => PathBuf::from("cargo"),
            Self::BuildStd { sysroot, .. } => sysroot.join("bin/cargo"),
        }
    }

    pub(crate) fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        match self {
            Self::Wasip2 => Vec::new(),
            Self::BuildStd { sysroot, linker } => {
                // Building the standard library is not stable, and this is how a stable compiler is told to do it all
                // the same.
                let mut environment =
                    vec![("RUSTC", sysroot.join("bin/rustc")), ("RUSTC_BOOTSTRAP", PathBuf::from("1"))];
                if let Some(linker) = linker {
                    environment.push(("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker.clone()));
                }
                environment
            }
        }
    }

    /// Folder of the standard library's sources, where they are compiled.
    pub(crate) fn std_sources(&self) -> Option<PathBuf> {
        match self {
            Self::Wasip2 => None,
            Self::BuildStd { sysroot, .. } => Some(sources(sysroot)),
        }
    }
}

fn sysroot(rustc: &Path, crate_dir: &Path) -> Option<PathBuf> {
    let output = Command::new(rustc)
        .args(["--print", "sysroot"])
        .current_dir(crate_dir)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end()))
}

fn has_target(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib/wasm32-wasip2/lib").is_dir()
}

fn sources(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust")
}

/// Whether the toolchain has the linker that it takes for this target when it is not told another.
fn has_linker(sysroot: &Path) -> bool {
    let Ok(targets) = std::fs::read_dir(sysroot.join("lib/rustlib")) else { return false };
    targets.flatten().any(|target| target.path().join("bin/rust-lld").is_file())
}

fn find_program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()))
}

/// Ask rustup for the target. An error is what it said.
fn add_target(crate_dir: &Path, state_dir: &Path, say: &mut dyn FnMut(&str)) -> Result<(), String> {
    let Some(rustup) = find_program(&["rustup"]) else { return Err("there is no rustup".to_owned()) };
    let memory = state_dir.join("rustup-target-add-failed");
    if let Some(failure) = remembered(&memory, SystemTime::now()) {
        return Err(failure);
    }
    let result = run_rustup(&rustup, crate_dir);
    match &result {
        Ok(()) => say("added the target wasm32-wasip2 to the Rust toolchain"),
        Err(failure) => {
            say(&format!(
                "rustup could not add the target wasm32-wasip2 ({failure}); looking for another way"
            ));
            // Where it cannot be remembered, it is tried again next time: slower, nothing worse.
            let _ = std::fs::create_dir_all(state_dir);
            let _ = std::fs::write(&memory, failure);
        }
    }
    result
}

/// The failure that was written down, unless that is too long ago.
fn remembered(memory: &Path, now: SystemTime) -> Option<String> {
    let written = std::fs::metadata(memory).ok()?.modified().ok()?;
    let age = now.duration_since(written).unwrap_or_default();
    if age < RUSTUP_RETRY_AFTER { std::fs::read_to_string(memory).ok() } else { None }
}

fn run_rustup(rustup: &Path, crate_dir: &Path) -> Result<(), String> {
    let mut child = Command::new(rustup)
        .args(["target", "add", "wasm32-wasip2"])
        .current_dir(crate_dir)
        .env("RUSTUP_MAX_RETRIES", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let stderr = child.stderr.take();
    // Read on a thread of its own, so that rustup never waits for a full pipe while its time is counted here.
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut stderr) = stderr {
            let _ = std::io::Read::read_to_string(&mut stderr, &mut text);
        }
        text
    });
    let start = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if start.elapsed() > RUSTUP_TIMEOUT => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no end after {} s", RUSTUP_TIMEOUT.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    if status.success() {
        return Ok(());
    }
    Err(reason(&reader.join().unwrap_or_default()))
}

/// What rustup's messages come to: the first clause of the error. The rest repeats addresses and paths.
fn reason(messages: &str) -> String {
    let line = messages.lines().find(|line| line.starts_with("error")).or(messages.lines().last());
    let line = line.unwrap_or("no reason given").trim_start_matches("error:").trim();
    line.split(": ").next().unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_rustup_is_remembered_for_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let memory = folder.path().join("failed");
        let now = SystemTime::now();
        assert_eq!(remembered(&memory, now), None);
        std::fs::write(&memory, "no network").unwrap();
        assert_eq!(remembered(&memory, now).as_deref(), Some("no network"));
        assert_eq!(remembered(&memory, now + RUSTUP_RETRY_AFTER + Duration::from_secs(60)), None);
    }

    #[test]
    fn the_reason_is_the_first_clause_of_the_error() {
        let messages =
            "info: downloading\nerror: component download failed for rust-std: could not download: refused\n";
        assert_eq!(reason(messages), "component download failed for rust-std");
        assert_eq!(reason("it is broken\n"), "it is broken");
        assert_eq!(reason(""), "no reason given");
    }

    #[test]
    fn the_target_and_the_linker_are_looked_for_in_the_sysroot() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!has_target(folder.path()) && !has_linker(folder.path()));
        std::fs::create_dir_all(folder.path().join("lib/rustlib/wasm32-wasip2/lib")).unwrap();
        std::fs::create_dir_all(folder.path().join("lib/rustlib/some-host/bin")).unwrap();
        std::fs::write(folder.path().join("lib/rustlib/some-host/bin/rust-lld"), "").unwrap();
        assert!(has_target(folder.path()) && has_linker(folder.path()));
    }
}
