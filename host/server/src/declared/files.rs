//! The directory of declared manifests. Blocking.
//!
//! Files are those named `*.yaml`, `*.yml` or `*.json` directly in the directory, save for hidden ones; folders in it are not
//! looked into, so that data may lie beside the manifests. Symbolic links are followed: in a mounted ConfigMap every visible
//! name is one, through the hidden `..data`, and `..data` is what an update swaps.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use inquisitor_manifest::MAX_MANIFEST_BYTES;

/// Files that are looked at; the rest are counted.
pub(super) const MAX_FILES: usize = 1000;

/// What is said of what is no file.
const NO_FILE: &str = "it is not a file";

/// What tells one directory from another that was mounted or renamed to its place.
pub(super) type Identity = (u64, u64);

/// The directory as it was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) identity: Identity,
    pub(super) files: BTreeSet<String>,
    /// Files beyond [`MAX_FILES`] by name.
    pub(super) beyond: usize,
}

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    /// It went away between the list and now.
    Gone,
    /// There is something, and it cannot be used.
    Unusable(String),
}

/// The names of the files.
///
/// # Errors
/// When the directory is not there or cannot be read; a sentence for people.
pub(super) fn names(directory: &Path) -> Result<Names, String> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => "the directory is not there".to_owned(),
        _ => format!("the directory cannot be read: {error}"),
    };
    let identity = identity(directory).map_err(failed)?;
    let mut files = BTreeSet::new();
    let mut beyond = 0;
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(name) = name.to_str() else {
            tracing::debug!(name = %name.display(), "not a manifest: its name is not UTF-8");
            continue;
        };
        if is_manifest(name) {
            files.insert(name.to_owned());
        }
        if files.len() > MAX_FILES {
            files.pop_last();
            beyond += 1;
        }
    }
    Ok(Names { identity, files, beyond })
}

/// What tells this directory from another in its place.
///
/// # Errors
/// When it cannot be seen.
pub(super) fn identity(directory: &Path) -> std::io::Result<Identity> {
    let metadata = std::fs::metadata(directory)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Whether a name is one of a manifest.
pub(super) fn is_manifest(name: &str) -> bool {
    !name.starts_with('.')
        && Path::new(name)
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}

/// Read a file of the directory, up to the bytes that a manifest may have and one more, so that a larger one is told.
pub(super) fn read(directory: &Path, name: &str) -> Content {
    let path = directory.join(name);
    // Opening a device may do something, so the kind is asked for first.
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Content::Unusable(NO_FILE.to_owned()),
        Err(error) => return missing(&path, &error),
    }
    let file = match open(&path) {
        Ok(file) => file,
        Err(error) => return missing(&path, &error),
    };
    // Something else may have taken its place meanwhile.
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Content::Unusable(NO_FILE.to_owned());
    }
    let mut bytes = Vec::new();
    match file.take(MAX_MANIFEST_BYTES as u64 + 1).read_to_end(&mut bytes) {
        Ok(_) => Content::Bytes(bytes),
        Err(error) => Content::Unusable(format!("it cannot be read: {error}")),
    }
}

/// Open for reading. Opening a pipe would wait for a writer, and nobody would look at the directory again.
fn open(path: &Path) -> std::io::Result<File> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    File::options().read(true).custom_flags(nonblocking).open(path)
}

fn missing(path: &Path, error: &std::io::Error) -> Content {
    match error.kind() {
        // A link whose target is missing is there, and what ran for it must not end for that.
        ErrorKind::NotFound if path.is_symlink() => {
            Content::Unusable("it is a symbolic link to something that is not there".to_owned())
        }
        ErrorKind::NotFound => Content::Gone,
        _ => Content::Unusable(format!("it cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn visible_manifests_directly_in_the_directory_are_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["a.yaml", "b.yml", "c.json", ".hidden.yaml", "..data.yaml", "notes.txt", "data.csv", "yaml"]
        {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("folder.yaml")).unwrap();
        let names = names(folder.path()).unwrap();
        assert_eq!(names.files.iter().collect::<Vec<_>>(), ["a.yaml", "b.yml", "c.json", "folder.yaml"]);
        assert_eq!(read(folder.path(), "folder.yaml"), Content::Unusable("it is not a file".into()));
    }

    #[test]
    fn a_mounted_config_map_is_read_through_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let version = |name: &str, text: &str| {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("a.yaml"), text).unwrap();
        };
        version("..2026_01", "one");
        symlink("..2026_01", folder.path().join("..data")).unwrap();
        symlink("..data/a.yaml", folder.path().join("a.yaml")).unwrap();
        assert_eq!(names(folder.path()).unwrap().files, BTreeSet::from(["a.yaml".to_owned()]));
        assert_eq!(read(folder.path(), "a.yaml"), Content::Bytes(b"one".to_vec()));
        version("..2026_02", "two");
        symlink("..2026_02", folder.path().join("..data_tmp")).unwrap();
        std::fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
        assert_eq!(read(folder.path(), "a.yaml"), Content::Bytes(b"two".to_vec()));
        // Half an update: the link is there, what it leads to is not.
        std::fs::remove_file(folder.path().join("..data")).unwrap();
        assert!(matches!(read(folder.path(), "a.yaml"), Content::Unusable(_)));
    }

    #[test]
    fn what_went_away_is_gone_and_a_directory_that_is_not_there_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path(), "a.yaml"), Content::Gone);
        let message = names(&folder.path().join("none")).unwrap_err();
        assert_eq!(message, "the directory is not there");
    }

    #[test]
    fn a_pipe_is_no_file_and_nobody_waits_for_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        let made = rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0);
        made.unwrap();
        // As where it takes the place of a file after that was seen to be one.
        assert!(!open(&path).unwrap().metadata().unwrap().is_file());
        assert_eq!(read(folder.path(), "a.yaml"), Content::Unusable(NO_FILE.into()));
    }

    #[test]
    fn no_more_is_read_than_a_manifest_may_have() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), vec![b'#'; 2 * MAX_MANIFEST_BYTES]).unwrap();
        let Content::Bytes(bytes) = read(folder.path(), "a.yaml") else { panic!("it is a file") };
        assert_eq!(bytes.len(), MAX_MANIFEST_BYTES + 1);
    }

    #[test]
    fn files_beyond_the_bound_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..MAX_FILES + 3 {
            std::fs::write(folder.path().join(format!("{number:05}.yaml")), "").unwrap();
        }
        let names = names(folder.path()).unwrap();
        assert_eq!((names.files.len(), names.beyond), (MAX_FILES, 3));
        assert!(names.files.contains("00000.yaml"));
    }
}
