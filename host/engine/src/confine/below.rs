//! A path that stays below a folder, whatever it says.

use std::io;
use std::path::{Component, Path, PathBuf};

/// The path below `root` that `path` means, symbolic links followed as far as it exists. A relative path is relative to
/// `root`; an absolute one must lie below it as written.
///
/// Neither `..` nor a symbolic link leads out. What does not exist yet is resolved as written; a symbolic link that leads
/// nowhere is refused, because writing to it would make a file wherever it points.
///
/// Looks things up in the file system, and changes nothing. Whoever can change the folder in between can still change what
/// the path means; the folders are the host's own.
///
/// # Errors
/// A sentence that says what is wrong. It names the path as given and no other.
pub(super) fn below(root: &Path, path: &Path) -> Result<PathBuf, String> {
    let shown = path.display();
    let outside = || format!("`{shown}` leads out of the folder that it is confined to");
    let real_root = match std::fs::canonicalize(root) {
        Ok(real) => real,
        // Nothing below it exists either, so there is nothing that could lead out.
        Err(error) if error.kind() == io::ErrorKind::NotFound => root.to_owned(),
        Err(error) => {
            return Err(format!("the folder that `{shown}` is confined to cannot be used: {error}"));
        }
    };
    let relative = if path.is_absolute() {
        path.strip_prefix(root).or_else(|_| path.strip_prefix(&real_root)).map_err(|_| outside())?
    } else {
        path
    };
    let mut names: Vec<&std::ffi::OsStr> = Vec::new();
    for component in relative.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                names.pop().ok_or_else(outside)?;
            }
            Component::RootDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    let mut resolved = real_root.clone();
    for (position, name) in names.iter().enumerate() {
        let next = resolved.join(name);
        match std::fs::symlink_metadata(&next) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                resolved.extend(&names[position..]);
                return Ok(resolved);
            }
            Err(error) => return Err(format!("`{shown}` cannot be used: {error}")),
        }
        resolved = std::fs::canonicalize(&next).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!("`{shown}` goes through a symbolic link that leads nowhere"),
            _ => format!("`{shown}` cannot be used: {error}"),
        })?;
        if !resolved.starts_with(&real_root) {
            return Err(outside());
        }
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder `inside` with a file and symbolic links, and a folder beside it.
    fn folders() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("inside");
        std::fs::create_dir_all(inside.join("deep")).unwrap();
        std::fs::create_dir(folder.path().join("beside")).unwrap();
        std::fs::write(inside.join("deep/data.csv"), "a\n1\n").unwrap();
        std::fs::write(folder.path().join("beside/secret"), "").unwrap();
        symlink(folder.path().join("beside"), inside.join("out")).unwrap();
        symlink("deep/data.csv", inside.join("short")).unwrap();
        symlink("../beside/new", inside.join("dangling")).unwrap();
        let inside = std::fs::canonicalize(inside).unwrap();
        (folder, inside)
    }

    #[test]
    fn what_stays_below_is_resolved() {
        let (_folder, root) = folders();
        let data = root.join("deep/data.csv");
        for path in ["deep/data.csv", "./deep/../deep/data.csv", "short", "new/../deep/data.csv"] {
            assert_eq!(below(&root, Path::new(path)), Ok(data.clone()), "{path}");
        }
        assert_eq!(below(&root, &data), Ok(data));
        assert_eq!(below(&root, Path::new("new/folder")), Ok(root.join("new/folder")));
        assert_eq!(below(&root, Path::new("")), Ok(root.clone()));
    }

    #[test]
    fn what_leads_out_is_refused_and_names_only_what_was_given() {
        let (folder, root) = folders();
        let absolute = root.join("../beside/secret");
        for path in
            ["..", "../beside/secret", "deep/../../beside", "out/secret", "out", "/etc/passwd", "dangling"]
        {
            let error = below(&root, Path::new(path)).unwrap_err();
            assert!(error.contains(path), "{error}");
            assert!(!error.contains(&folder.path().display().to_string()), "{error}");
        }
        assert!(below(&root, &absolute).is_err());
    }

    #[test]
    fn a_folder_that_is_not_there_yet_confines_as_well() {
        let (folder, _) = folders();
        let root = folder.path().join("later");
        assert_eq!(below(&root, Path::new("a/b")), Ok(root.join("a/b")));
        assert!(below(&root, Path::new("a/../../b")).is_err());
    }
}
