//! Component files: found in folders, read within bounds.

use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Bytes of a component file that are read at most; a larger one is no plugin.
pub const MAX_COMPONENT_BYTES: u64 = 64 << 20;

/// Read a component file.
///
/// # Errors
/// A sentence with the file's name, when it cannot be read or is too large.
pub fn read_component(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| format!("cannot read {shown}: {error}");
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    // A device has no end, and opening a pipe waits for a writer that may never come.
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(format!("{shown} is a device or a pipe, not a file"));
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // The length is what was read, not what the metadata said: files grow.
    file.take(MAX_COMPONENT_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_COMPONENT_BYTES {
        return Err(format!("{shown} is larger than the {MAX_COMPONENT_BYTES} bytes that are read at most"));
    }
    Ok(bytes)
}

/// The components of a folder, in order of name.
pub(super) fn components(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("cannot read the folder: {error}"))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "wasm"))
        .collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_device_without_an_end_is_no_component() {
        let error = read_component(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error, "/dev/zero is a device or a pipe, not a file");
    }

    #[test]
    fn a_component_is_read_up_to_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.wasm");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(MAX_COMPONENT_BYTES + 1).unwrap();
        assert!(read_component(&path).unwrap_err().contains("is larger than"));
        file.set_len(3).unwrap();
        assert_eq!(read_component(&path).unwrap(), [0; 3]);
    }
}
