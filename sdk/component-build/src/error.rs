//! What can go wrong between a crate and its component.

use std::io;
use std::path::{Path, PathBuf};

use crate::toolchain::SYSTEM_PACKAGES;

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no Rust at all.
    #[error("there is no `rustc` on the PATH; install Rust 1.87 or later, best with rustup")]
    NoRust,
    /// There is Rust, but none that builds components.
    #[error("{}", no_toolchain(.rustup_failure))]
    NoToolchain {
        /// What rustup said when it was asked for the target, where there is a rustup.
        rustup_failure: Option<String>,
    },
    /// A program could not be run.
    #[error("cannot run `{program}`: {source}")]
    Run {
        /// The program.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// Cargo failed; it has said why on standard error.
    #[error("cargo could not build the crate; its messages are above")]
    CargoFailed,
    /// `cargo metadata` failed.
    #[error("cargo cannot read the crate in {}: {message}", .crate_dir.display())]
    Metadata {
        /// Folder of the crate.
        crate_dir: PathBuf,
        /// What cargo said.
        message: String,
    },
    /// The folder is not that of a crate in the workspace of the first crate.
    #[error("{} is not a crate of the workspace in {}", .crate_dir.display(), .workspace.display())]
    NotInWorkspace {
        /// The folder.
        crate_dir: PathBuf,
        /// Root of the workspace.
        workspace: PathBuf,
    },
    /// The crate has no library that could become a component.
    #[error(
        "the crate in {} has no library of type `cdylib`; add `[lib] crate-type = [\"cdylib\", \"rlib\"]` to its Cargo.toml",
        .crate_dir.display()
    )]
    NoCdylib {
        /// Folder of the crate.
        crate_dir: PathBuf,
    },
    /// The module holds no description of a component, or one that does not fit it.
    #[error("the crate in {} does not make a component: {message}", .crate_dir.display())]
    NotAComponent {
        /// Folder of the crate.
        crate_dir: PathBuf,
        /// What is missing or wrong.
        message: String,
    },
    /// A file could not be read or written.
    #[error("cannot {what} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { what, path: path.to_path_buf(), source }
    }
}

fn no_toolchain(rustup_failure: &Option<String>) -> String {
    let mut text = String::from("no Rust toolchain here builds WebAssembly components.");
    if let Some(failure) = rustup_failure {
        text.push_str(&format!("\n`rustup target add wasm32-wasip2` failed: {failure}"));
    }
    text.push_str(&format!(
        "\nOne of these helps:\
         \n    rustup target add wasm32-wasip2\
         \n    rustup component add rust-src\
         \n    apt-get install --no-install-recommends {}",
        SYSTEM_PACKAGES.join(" ")
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_told_what_to_type_and_what_rustup_said() {
        let text = Error::NoToolchain { rustup_failure: Some("no network".into()) }.to_string();
        assert!(text.contains("failed: no network"), "{text}");
        assert!(text.contains("\n    rustup target add wasm32-wasip2\n"), "{text}");
        assert!(text.contains("apt-get install --no-install-recommends rustc-web cargo-web"), "{text}");
    }
}
