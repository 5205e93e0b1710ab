//! Compiled code on disk. A file is named by what it was made from (the component, wasmtime's version, the settings) and
//! by a keyed digest of its own bytes, so that one rename makes it complete.
//!
//! Compiled code is machine code: whoever can make the host load a file of his own runs outside of the sandbox. So a file
//! is loaded only if its digest is right under a key that this host drew at random, kept in the same folder, readable by
//! the host's user alone. That finds a torn or damaged file, one copied from another host, and one put there by someone
//! who may write to the folder but not read the key. (Who can read the key is the host's own user, who needs no file.)

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::deserialize::{self, Verified};
use crate::error::RuntimeError;

/// Name of the key's file.
const KEY_FILE: &str = "key";
/// Ending of compiled code.
const EXTENSION: &str = "cwasm";

/// What a compiled file was made from, in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(String);

/// The folder of compiled code.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    secret: [u8; 32],
    settings: [u8; 32],
    limit: u64,
}

/// How full the folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Fill {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl Cache {
    /// Open or make the folder and its key.
    ///
    /// # Errors
    /// When the folder cannot be made or written, or belongs to someone else.
    pub(crate) fn open(folder: &Path, limit: u64, engine: &Engine) -> Result<Self, RuntimeError> {
        let refuse = |message: String| RuntimeError::CacheDir { path: folder.to_path_buf(), message };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| refuse(format!("cannot make it: {error}")))?;
        let about = fs::metadata(folder).map_err(|error| refuse(error.to_string()))?;
        if !about.is_dir() {
            return Err(refuse("it is not a folder".to_owned()));
        }
        if about.uid() != rustix::process::geteuid().as_raw() {
            return Err(refuse("it belongs to another user; choose a folder of this user's own".to_owned()));
        }
        if about.mode() & 0o077 != 0 {
            let private = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
            private.map_err(|error| {
                refuse(format!("others may enter it and that cannot be changed: {error}"))
            })?;
        }
        let secret =
            secret(folder).map_err(|error| refuse(format!("cannot read or make its key: {error}")))?;
        Ok(Self { folder: folder.to_path_buf(), secret, settings: settings_digest(engine), limit })
    }

    /// The key of a component's compiled code.
    pub(crate) fn key(&self, component: &[u8; 32]) -> Key {
        let mut hash = Sha256::new();
        hash.update(component);
        hash.update(self.settings);
        Key(hex::encode(hash.finalize()))
    }

    /// Map compiled code, if there is some that this host wrote. What is there but not right is removed.
    pub(crate) fn load(&self, engine: &Engine, key: &Key) -> Option<Component> {
        for path in self.files_of(key) {
            match self.load_file(engine, key, &path) {
                Ok(component) => {
                    // What was used last is evicted last. A clock that cannot be written costs an eviction too early.
                    if let Ok(file) = File::open(&path) {
                        let _ = file.set_modified(SystemTime::now());
                    }
                    return Some(component);
                }
                Err(reason) => {
                    tracing::warn!(file = %path.display(), %reason, "compiled code is not used and removed");
                    let _ = fs::remove_file(&path);
                }
            }
        }
        None
    }

    fn load_file(&self, engine: &Engine, key: &Key, path: &Path) -> Result<Component, String> {
        let named = path.file_stem().and_then(OsStr::to_str).and_then(|name| name.split_once('-'));
        let Some((_, named)) = named else { return Err("its name has no digest".to_owned()) };
        let named = hex::decode(named).map_err(|_| "its name has no digest".to_owned())?;
        let mut file = File::open(path).map_err(|error| error.to_string())?;
        let mac = self.digest(key, &mut file).map_err(|error| error.to_string())?;
        mac.verify_slice(&named).map_err(|_| "it was not written by this host, or is damaged".to_owned())?;
        deserialize::map(engine, &Verified::by_cache(path)).map_err(|error| error.to_string())
    }

    /// A name for a file that is being written, in the same folder, so that it can be renamed.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        // Mode 0600 by itself.
        tempfile::Builder::new().prefix("tmp-").tempfile_in(&self.folder)
    }

    /// Keep what the compiler wrote, and make room for it.
    ///
    /// # Errors
    /// When the file cannot be read or renamed.
    pub(crate) fn store(&self, key: &Key, written: tempfile::NamedTempFile) -> io::Result<()> {
        let mut file = File::open(written.path())?;
        let digest = hex::encode(self.digest(key, &mut file)?.finalize().into_bytes());
        let path = self.folder.join(format!("{}-{digest}.{EXTENSION}", key.0));
        written.persist(&path).map_err(|error| error.error)?;
        self.evict(&path);
        Ok(())
    }

    /// How full the folder is.
    pub(crate) fn fill(&self) -> Fill {
        self.files().into_iter().fold(Fill::default(), |fill, (_, _, bytes)| Fill {
            files: fill.files + 1,
            bytes: fill.bytes + bytes,
        })
    }

    fn digest(&self, key: &Key, file: &mut File) -> io::Result<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret)
            .map_err(|error| io::Error::other(format!("a key of 32 bytes: {error}")))?;
        mac.update(key.0.as_bytes());
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(mac),
                read => mac.update(&buffer[..read]),
            }
        }
    }

    fn files_of(&self, key: &Key) -> Vec<PathBuf> {
        let prefix = format!("{}-", key.0);
        self.files()
            .into_iter()
            .map(|(path, _, _)| path)
            .filter(|path| {
                path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(&prefix))
            })
            .collect()
    }

    fn files(&self) -> Vec<(PathBuf, SystemTime, u64)> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        entries
            .flatten()
            .filter(|entry| entry.path().extension() == Some(OsStr::new(EXTENSION)))
            .filter_map(|entry| {
                let about = entry.metadata().ok()?;
                Some((entry.path(), about.modified().ok()?, about.len()))
            })
            .collect()
    }

    /// Remove what was used longest ago until the rest fits. A mapped file stays usable after its name is gone.
    fn evict(&self, keep: &Path) {
        let mut files = self.files();
        let mut total: u64 = files.iter().map(|(_, _, bytes)| bytes).sum();
        files.sort_by_key(|(_, used, _)| *used);
        for (path, _, bytes) in files {
            if total <= self.limit {
                break;
            }
            if path != keep && fs::remove_file(&path).is_ok() {
                total -= bytes;
            }
        }
    }
}

/// A digest of wasmtime's version, of all settings that shape code, and of the target.
pub(crate) fn settings_digest(engine: &Engine) -> [u8; 32] {
    struct Feed(Sha256);
    impl std::hash::Hasher for Feed {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0 // Never asked for: the whole digest is taken.
        }
    }
    let mut feed = Feed(Sha256::new());
    std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut feed);
    feed.0.finalize().into()
}

/// The host's key: read, or drawn and written. Two hosts that start at once in one folder agree on the first one's.
fn secret(folder: &Path) -> io::Result<[u8; 32]> {
    let path = folder.join(KEY_FILE);
    let read = || -> io::Result<[u8; 32]> {
        let about = fs::metadata(&path)?;
        if about.mode() & 0o077 != 0 {
            return Err(io::Error::other("others may read the key; remove the folder, it is made anew"));
        }
        let bytes = fs::read(&path)?;
        bytes
            .try_into()
            .map_err(|_| io::Error::other("the key is damaged; remove the folder, it is made anew"))
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let drawn: [u8; 32] = rand::random();
    let temporary = folder.join(format!("key-{}-{}", std::process::id(), hex::encode(&drawn[..4])));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(&drawn)?;
    file.sync_all()?;
    // A link does not replace: the first one there wins.
    let linked = fs::hard_link(&temporary, &path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => read(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine() -> Engine {
        crate::engine::for_compiling().unwrap()
    }

    fn compiled(cache: &Cache, engine: &Engine, text: &str) -> (Key, tempfile::NamedTempFile) {
        let bytes = wat::parse_str(text).unwrap();
        let key = cache.key(&Sha256::digest(&bytes).into());
        let mut file = cache.temporary().unwrap();
        file.write_all(&engine.precompile_component(&bytes).unwrap()).unwrap();
        (key, file)
    }

    #[test]
    fn what_was_stored_is_loaded_and_what_was_changed_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine();
        let cache = Cache::open(folder.path(), 1 << 30, &engine).unwrap();
        let (key, file) = compiled(&cache, &engine, "(component)");
        assert!(cache.load(&engine, &key).is_none());
        cache.store(&key, file).unwrap();
        assert!(cache.load(&engine, &key).is_some());

        let path = cache.files_of(&key).remove(0);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(cache.load(&engine, &key).is_none(), "a changed file must not be loaded");
        assert!(!path.exists(), "a changed file is removed");
    }

    #[test]
    fn a_file_of_another_host_is_not_loaded() {
        let engine = engine();
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let our_cache = Cache::open(ours.path(), 1 << 30, &engine).unwrap();
        let their_cache = Cache::open(theirs.path(), 1 << 30, &engine).unwrap();
        let (key, file) = compiled(&their_cache, &engine, "(component)");
        their_cache.store(&key, file).unwrap();
        let path = their_cache.files_of(&key).remove(0);
        fs::copy(&path, ours.path().join(path.file_name().unwrap())).unwrap();
        assert!(our_cache.load(&engine, &key).is_none());
    }

    #[test]
    fn a_file_of_another_component_is_not_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine();
        let cache = Cache::open(folder.path(), 1 << 30, &engine).unwrap();
        let (key, file) = compiled(&cache, &engine, "(component)");
        cache.store(&key, file).unwrap();
        let path = cache.files_of(&key).remove(0);
        let other = cache.key(&[7; 32]);
        let name = path.file_name().unwrap().to_str().unwrap().replace(&key.0, &other.0);
        fs::rename(&path, folder.path().join(name)).unwrap();
        assert!(cache.load(&engine, &other).is_none());
    }

    #[test]
    fn the_folder_keeps_to_its_bound_and_the_newest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine();
        let cache = Cache::open(folder.path(), 1, &engine).unwrap();
        let (first, file) = compiled(&cache, &engine, "(component)");
        cache.store(&first, file).unwrap();
        let (second, file) = compiled(&cache, &engine, "(component (core module))");
        cache.store(&second, file).unwrap();
        assert_eq!(cache.fill().files, 1);
        assert!(cache.load(&engine, &second).is_some());
    }

    #[test]
    fn the_key_outlives_the_process_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let first = secret(folder.path()).unwrap();
        assert_eq!(secret(folder.path()).unwrap(), first);
        let path = folder.path().join(KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(secret(folder.path()).is_err());
    }

    #[test]
    fn an_open_folder_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Cache::open(folder.path(), 1, &engine()).unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().mode() & 0o777, 0o700);
    }
}
