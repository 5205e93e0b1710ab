//! Builds crates to WebAssembly components with whichever Rust toolchain is at hand.
//!
//! It finds a toolchain ([`Toolchain::find`]), runs cargo once for any number of crates of one workspace, and gives the
//! component of each ([`build`]). The same sources built by the same toolchain give the same bytes wherever they lie:
//! paths are remapped, and nothing of the user's compiler flags is taken over.
//!
//! It is not a package manager: where no toolchain will do, the error says which commands to type. It does not know the
//! contract with instruments either; whether a component is an instrument is the host's to check.
//!
//! Where to start reading: [`build`], then the module `toolchain`.

mod cargo;
mod encode;
mod error;
mod toolchain;

use std::path::{Path, PathBuf};

pub use error::Error;
pub use toolchain::{SYSTEM_PACKAGES, Toolchain};

/// What to build.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Folders of the crates, each with a `Cargo.toml`; all of one workspace. Each crate has a library of type
    /// `cdylib`.
    pub crates: &'a [PathBuf],
    /// Where cargo keeps what it builds; each toolchain gets a folder of its own in it.
    pub target_dir: &'a Path,
    /// Cargo profile, such as `release`.
    pub profile: &'a str,
}

/// A component that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Folder of the crate, as it was given.
    pub crate_dir: PathBuf,
    /// The component.
    pub bytes: Vec<u8>,
}

/// Build crates to components, with one run of cargo. The components come in the order of the crates. Cargo's progress and
/// its diagnostics go to standard error.
///
/// # Errors
/// When the crates are not of one workspace, cargo fails, a crate has no `cdylib`, or the module does not describe a
/// component.
pub fn build(toolchain: &Toolchain, request: &Request<'_>) -> Result<Vec<Component>, Error> {
    // Cargo runs in the crate's folder, where a relative path would mean another place.
    let target_dir = std::path::absolute(request.target_dir)
        .map_err(|source| Error::io("find", request.target_dir, source))?;
    let modules = cargo::run(toolchain, &Request { target_dir: &target_dir, ..*request })?;
    modules
        .into_iter()
        .map(|(crate_dir, path)| {
            let bytes = encode::component(&crate_dir, &path)?;
            Ok(Component { crate_dir, bytes })
        })
        .collect()
}

/// Build one crate and write its component to `output`, unless the same bytes are there already. Gives the component's
/// bytes. `say` hears of what the user should know of the toolchain, at most a line or two.
///
/// # Errors
/// When no toolchain will do, and as for [`build`]; when the output cannot be written.
pub fn build_to_file(
    crate_dir: &Path,
    target_dir: &Path,
    profile: &str,
    output: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<u8>, Error> {
    let toolchain = Toolchain::find(crate_dir, target_dir, say)?;
    let crates = [crate_dir.to_path_buf()];
    let components = build(&toolchain, &Request { crates: &crates, target_dir, profile })?;
    let bytes = components
        .into_iter()
        .next()
        .map(|component| component.bytes)
        .ok_or_else(|| Error::NoCdylib { crate_dir: crate_dir.to_path_buf() })?;
    write_if_changed(output, &bytes)?;
    Ok(bytes)
}

/// Write bytes to a file and make its folder, unless the file holds them already. Says whether it wrote. A reader never
/// sees half a component: the bytes go to a neighbour that takes the file's place.
///
/// # Errors
/// When the folder or the file cannot be written.
pub fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool, Error> {
    if std::fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(false);
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|source| Error::io("make the folder", folder, source))?;
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    std::fs::write(&part, bytes).map_err(|source| Error::io("write", &part, source))?;
    std::fs::rename(&part, path).map_err(|source| Error::io("write", path, source))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_once_and_left_alone_when_it_holds_the_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.wasm");
        assert!(write_if_changed(&path, b"one").unwrap());
        assert!(!write_if_changed(&path, b"one").unwrap());
        assert!(write_if_changed(&path, b"two").unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
