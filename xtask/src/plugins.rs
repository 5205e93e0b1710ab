//! `cargo xtask plugins`: every component of this repository.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use inquisitor_component_build::{
    Component, Error, Request, SYSTEM_PACKAGES, Toolchain, build, write_if_changed,
};
use sha2::{Digest, Sha256};

/// Cargo profile of the components, defined in the root Cargo.toml and in that of the test guests.
const PROFILE: &str = "component";

/// Build the plugins, the examples' components and the test guests.
#[derive(Default, clap::Args)]
pub(crate) struct Arguments {
    /// Build a copy of the repository in another folder too, and fail unless every component has the same bytes.
    #[arg(long)]
    check_reproducible: bool,
    /// Which toolchain to take.
    #[arg(long, value_enum, default_value_t = Choice::Auto)]
    toolchain: Choice,
}

impl Arguments {
    /// Build twice and compare.
    pub(crate) fn reproducible() -> Self {
        Self { check_reproducible: true, ..Self::default() }
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Choice {
    #[default]
    /// The target wasm32-wasip2 where it is or can be had, else the standard library from its sources.
    Auto,
    /// The standard library from its sources.
    BuildStd,
}

/// Crates of one workspace whose components go to one folder.
struct Group {
    crates: Vec<PathBuf>,
    output: PathBuf,
    /// Where cargo works. Each workspace has its own: its remapped paths are among the compiler's flags, and in one folder
    /// every change of workspace would build all dependencies anew.
    work: PathBuf,
}

pub(crate) fn run(repository: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let target = target_dir(repository);
    let toolchain = toolchain(repository, &target, arguments.toolchain)?;
    let mut digests = Vec::new();
    for group in groups(repository, &target)? {
        for component in build_group(&toolchain, &group)? {
            let path = group.output.join(name(&component.crate_dir)?).with_extension("wasm");
            let written = write_if_changed(&path, &component.bytes)?;
            let note = if written { "" } else { "  unchanged" };
            println!("{:>9} bytes  {}{note}", component.bytes.len(), path.display());
            let relative = component.crate_dir.strip_prefix(repository)?.to_path_buf();
            digests.push((relative, digest(&component.bytes)));
        }
    }
    if arguments.check_reproducible {
        check_reproducible(repository, &toolchain, &digests)?;
    }
    Ok(())
}

/// Where cargo puts what it builds: CARGO_TARGET_DIR, or `target` in the repository.
pub(crate) fn target_dir(repository: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository.join("target"), |path| repository.join(path))
}

fn build_group(toolchain: &Toolchain, group: &Group) -> anyhow::Result<Vec<Component>> {
    let request = Request { crates: &group.crates, target_dir: &group.work, profile: PROFILE };
    Ok(build(toolchain, &request)?)
}

/// The crates to build: those of the main workspace in one group, so that cargo runs once for them, and the test guests.
fn groups(repository: &Path, target: &Path) -> anyhow::Result<Vec<Group>> {
    let mut own = crates_in(&repository.join("plugins"))?;
    own.extend(crates_in(&repository.join("examples"))?);
    let guests = crates_in(&repository.join("tests/guests"))?;
    Ok([
        Group { crates: own, output: target.join("plugins"), work: target.join("component-build") },
        Group {
            crates: guests,
            output: target.join("test-components"),
            work: target.join("component-build-guests"),
        },
    ]
    .into_iter()
    .filter(|group| !group.crates.is_empty())
    .collect())
}

/// The crates in the folders of a folder, sorted; none where the folder does not exist.
fn crates_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut crates = Vec::new();
    for entry in folder.read_dir().with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.join("Cargo.toml").is_file() {
            crates.push(path);
        }
    }
    crates.sort();
    Ok(crates)
}

fn name(crate_dir: &Path) -> anyhow::Result<&Path> {
    crate_dir.file_name().map(Path::new).with_context(|| format!("{} has no name", crate_dir.display()))
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The toolchain to build with; the system's packages are installed where that is what is missing.
fn toolchain(repository: &Path, target: &Path, choice: Choice) -> anyhow::Result<Toolchain> {
    let find = || match choice {
        Choice::Auto => Toolchain::find(repository, target, &mut |line| eprintln!("{line}")),
        Choice::BuildStd => {
            Toolchain::find_with_sources(repository).ok_or(Error::NoToolchain { rustup_failure: None })
        }
    };
    match find() {
        Err(error @ (Error::NoToolchain { .. } | Error::NoRust)) => {
            if install_system_packages()? {
                Ok(find()?)
            } else {
                Err(error.into())
            }
        }
        other => Ok(other?),
    }
}

/// Install the system's toolchain where apt is there and may be used without asking. Says whether it did.
fn install_system_packages() -> anyhow::Result<bool> {
    let succeeds = |program: &str, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    if !succeeds("apt-get", &["--version"]) {
        return Ok(false);
    }
    let is_root =
        Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let prefix: &[&str] = if is_root {
        &[]
    } else if succeeds("sudo", &["-n", "true"]) {
        &["sudo", "-n"]
    } else {
        return Ok(false);
    };
    eprintln!("installing {} to build components", SYSTEM_PACKAGES.join(" "));
    let install: Vec<&str> = ["apt-get", "install", "--yes", "--no-install-recommends"]
        .into_iter()
        .chain(SYSTEM_PACKAGES)
        .collect();
    let update: &[&str] = &["apt-get", "update"];
    for step in [update, &install] {
        let words: Vec<&str> = prefix.iter().chain(step).copied().collect();
        let status = Command::new(words[0])
            .args(&words[1..])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .with_context(|| format!("cannot run {}", words[0]))?;
        ensure!(status.success(), "`{}` failed; its messages are above", words.join(" "));
    }
    Ok(true)
}

/// Build a copy of the repository in another folder and compare.
fn check_reproducible(
    repository: &Path,
    toolchain: &Toolchain,
    expected: &[(PathBuf, String)],
) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let copy = folder.path().join("somewhere/else");
    for part in [
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain.toml",
        ".cargo",
        "wit",
        "sdk",
        "plugins",
        "host",
        "tests",
        "examples",
        "xtask",
    ] {
        let from = repository.join(part);
        if from.exists() {
            copy_tree(&from, &copy.join(part))?;
        }
    }
    let target = folder.path().join("target");
    let mut differing = Vec::new();
    let mut compared = 0;
    for group in groups(&copy, &target)? {
        for component in build_group(toolchain, &group)? {
            let relative = component.crate_dir.strip_prefix(&copy)?;
            let Some((_, digest_here)) = expected.iter().find(|(path, _)| path == relative) else {
                bail!("{} was not built here", relative.display());
            };
            compared += 1;
            if *digest_here != digest(&component.bytes) {
                let path =
                    target_dir(repository).join("differing").join(name(relative)?).with_extension("wasm");
                write_if_changed(&path, &component.bytes)?;
                differing.push(format!("{} (the other is {})", relative.display(), path.display()));
            }
        }
    }
    ensure!(
        differing.is_empty(),
        "these differ when they are built in another folder: {}",
        differing.join(", ")
    );
    ensure!(compared == expected.len(), "{compared} of {} components were compared", expected.len());
    println!("{compared} components have the same bytes when they are built in another folder");
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    let problem = || format!("cannot copy {}", from.display());
    if !from.is_dir() {
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).with_context(problem)?;
        }
        std::fs::copy(from, to).with_context(problem)?;
        return Ok(());
    }
    for entry in from.read_dir().with_context(problem)? {
        let entry = entry?;
        if entry.file_name() != "target" {
            copy_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
