//! Volumes as the kubelet lays them out: links that are replaced at once, owners, permissions, and what a new disk holds.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use super::described::{Pod, Source};

/// Make the volumes of a new pod; where each lies. Claims are found again in `claims`, everything else is new in `own`, save
/// for compiled components, which a pod finds as the one of its name before left them in `compiled`: to compile them is most of
/// the work of a start, and is done by the first pod of each name.
///
/// # Panics
/// When a folder cannot be made, or a volume's kind is not run here.
pub fn make(pod: &Pod, own: &Path, claims: &Path, compiled: &Path) -> BTreeMap<String, PathBuf> {
    let mut made = BTreeMap::new();
    let cache = pod.container().env.get("INQUISITOR_CACHE_DIR").map(Path::new);
    for mount in &pod.container().mounts {
        let folder = match &mount.source {
            Source::Claim { claim } => {
                let folder = claims.join(claim);
                if !folder.exists() {
                    disk(&folder);
                }
                shared(&folder, pod.group, 0o2770);
                folder
            }
            Source::Empty { .. } => {
                let folder = match cache == Some(mount.path.as_path()) {
                    true => compiled.to_path_buf(),
                    false => own.join(&mount.volume),
                };
                create(&folder);
                let mode = if pod.group.is_some() { 0o2777 } else { 0o777 };
                shared(&folder, pod.group, mode);
                folder
            }
            Source::Files { files, mode } => {
                let folder = own.join(&mount.volume);
                create(&folder);
                set_files(&folder, files, *mode, pod.group);
                folder
            }
        };
        made.insert(mount.volume.clone(), folder);
    }
    made
}

/// What a volume of files shows from now on. Every name is a link through `..data`, which is replaced at once.
///
/// # Panics
/// When it cannot be written.
pub fn set_files(folder: &Path, files: &BTreeMap<String, String>, mode: u32, group: Option<u32>) {
    let version = (0..).map(|number| format!("..version_{number}")).find(|name| !folder.join(name).exists());
    let version = version.unwrap_or_default();
    let inside = folder.join(&version);
    create(&inside);
    for (name, text) in files {
        let path = inside.join(name);
        done(std::fs::write(&path, text), &path);
        // Whoever is in the volume's group may read what its owner may.
        let mode = if group.is_some() { mode | ((mode & 0o400) >> 3) } else { mode };
        shared(&path, group, mode);
    }
    shared(&inside, group, 0o2755);
    shared(folder, group, 0o2777);
    let link = folder.join("..data_new");
    done(symlink(&version, &link), &link);
    done(std::fs::rename(&link, folder.join("..data")), &link);
    for name in files.keys() {
        let path = folder.join(name);
        if path.symlink_metadata().is_err() {
            done(symlink(Path::new("..data").join(name), &path), &path);
        }
    }
    // Names that are gone; those with dots are of the layout.
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") && !files.contains_key(&name) {
            done(std::fs::remove_file(entry.path()), &entry.path());
        }
    }
}

/// A new disk: most file systems come with a folder that only root may look into.
fn disk(folder: &Path) {
    create(folder);
    let found = folder.join("lost+found");
    create(&found);
    done(std::fs::set_permissions(&found, PermissionsExt::from_mode(0o700)), &found);
}

fn shared(path: &Path, group: Option<u32>, mode: u32) {
    done(chown(path, None, group), path);
    done(std::fs::set_permissions(path, PermissionsExt::from_mode(mode)), path);
}

fn create(folder: &Path) {
    done(std::fs::create_dir_all(folder), folder);
}

fn done(result: std::io::Result<()>, path: &Path) {
    result.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(folder: &Path, name: &str) -> Option<String> {
        std::fs::read_to_string(folder.join(name)).ok()
    }

    #[test]
    fn files_are_replaced_together() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let files = |text: &[(&str, &str)]| {
            text.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        set_files(folder, &files(&[("a.yaml", "1"), ("b.yaml", "1")]), 0o644, None);
        assert_eq!(read(folder, "a.yaml").as_deref(), Some("1"));
        let before = std::fs::read_link(folder.join("..data")).expect("a link");
        set_files(folder, &files(&[("a.yaml", "2")]), 0o644, None);
        assert_eq!(read(folder, "a.yaml").as_deref(), Some("2"));
        assert!(
            folder.join("b.yaml").symlink_metadata().is_err(),
            "a name that is gone is a link to nothing"
        );
        // Whoever has the old version open goes on reading it.
        assert_eq!(read(&folder.join(before), "b.yaml").as_deref(), Some("1"));
    }
}
