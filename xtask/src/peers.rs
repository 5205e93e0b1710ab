//! Programs of others that tests and benchmarks need beside the host: installed where they are missing and can be.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::plugins;
use crate::process::run;

/// A program, and the Debian package that has it.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
}

/// Scrapes and checks metrics.
pub(crate) const PROMETHEUS: Program = Program { name: "prometheus", package: "prometheus" };

/// The key-value store that a cluster is measured beside.
pub(crate) const ETCD: Program = Program { name: "etcd", package: "etcd-server" };

/// Makes load.
pub(crate) const WRK: Program = Program { name: "wrk", package: "wrk" };

/// Makes links and addresses of networks that tests have to themselves.
pub(crate) const IPROUTE: Program = Program { name: "ip", package: "iproute2" };

/// Cuts members of a cluster off from each other.
pub(crate) const NFTABLES: Program = Program { name: "nft", package: "nftables" };

/// Answers for names in the cluster that the chart is run in.
pub(crate) const DNSMASQ: Program = Program { name: "dnsmasq", package: "dnsmasq-base" };

/// Make sure that a program is there.
///
/// # Errors
/// When it is missing and cannot be installed, with what to do.
pub(crate) fn debian(program: &Program) -> anyhow::Result<()> {
    if is_on_path(program.name) {
        return Ok(());
    }
    eprintln!("`{}` is missing; installing Debian's package {}", program.name, program.package);
    let install = |arguments: &[&str]| {
        // What it says is no result of whoever needs the program.
        run(Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(arguments)
            .stdout(std::io::stderr()))
    };
    let mut installed = install(&[
        "install",
        "-y",
        "-qq",
        "--no-install-recommends",
        "-o",
        "Dpkg::Use-Pty=0",
        program.package,
    ]);
    if installed.is_err() {
        installed = install(&["update", "-qq"]).and_then(|()| {
            install(&[
                "install",
                "-y",
                "-qq",
                "--no-install-recommends",
                "-o",
                "Dpkg::Use-Pty=0",
                program.package,
            ])
        });
    }
    installed
        .with_context(|| format!("install `{}` by hand, as root or from your system", program.package))?;
    if !is_on_path(program.name) {
        bail!("the package {} brought no `{}`", program.package, program.name);
    }
    Ok(())
}

/// A Python environment of its own in the target folder, with what the requirements file names. Returns its folder of
/// programs.
///
/// # Errors
/// When Python is missing or a package cannot be installed.
pub(crate) fn python(repository: &Path, name: &str, requirements: &str) -> anyhow::Result<PathBuf> {
    let folder = plugins::target_dir(repository).join("python").join(name);
    let wanted = std::fs::read_to_string(repository.join(requirements))
        .with_context(|| format!("cannot read {requirements}"))?;
    let done = folder.join("installed.txt");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(folder.join("bin"));
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder)).context("Python 3 with venv is needed")?;
    run(Command::new(folder.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(repository.join(requirements)))?;
    std::fs::write(&done, wanted).context("cannot note what was installed")?;
    Ok(folder.join("bin"))
}

/// Administrators' programs count too: tests look there.
fn is_on_path(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", "PATH=$PATH:/usr/sbin:/sbin; command -v \"$0\" >/dev/null", program])
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
