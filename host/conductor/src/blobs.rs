//! Content-addressed files: what is too large for the log, under the name of its SHA-256.
//!
//! `blobs/ab/cdef…` holds the bytes whose digest is `abcdef…`. A blob never changes, so writing one twice is writing it
//! once. This type is the seam for other places: an object store or a peer answers the same two questions by digest, and
//! whatever it answers is checked the same way.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use inquisitor_engine::journal::JournalError;
use inquisitor_ledger::Hash;

use crate::error::{ConductorError, chain};
use crate::lately::Lately;

/// Bytes of one blob. The largest are components and columnar readings; more is a mistake, and reading takes this much
/// memory at once.
pub const MAX_BLOB_BYTES: usize = 256 << 20;

/// Age from which a blob that is put again or named by a command is dated anew. Far below the age at which one may be swept,
/// so that what is in use is never old; far above zero, so that what was just put costs nothing more.
const RENEW_AFTER: Duration = Duration::from_secs(600);
/// What the name of a blob begins with while it is written.
const INCOMING: &str = ".incoming-";

/// Blobs on the local disk.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    dir: PathBuf,
    // Also held while a file is dated anew or removed, so that neither happens in the midst of the other.
    totals: Arc<Mutex<Totals>>,
    /// Blobs that were put lately, and found to be whole. None of them is swept, whatever the clock says.
    lately: Arc<Lately>,
}

/// How much is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) blobs: u64,
    pub(crate) bytes: u64,
}

impl Blobs {
    /// Counts what is there. Blocking.
    pub(crate) fn open(dir: PathBuf) -> Result<Self, ConductorError> {
        let blobs = Self { dir, totals: Arc::default(), lately: Arc::default() };
        let mut totals = Totals::default();
        blobs.for_each(|file| {
            if file.digest.is_some() {
                totals.blobs += 1;
                totals.bytes += file.bytes;
            }
            Ok(())
        })?;
        *blobs.lock() = totals;
        Ok(blobs)
    }

    fn lock(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much is stored.
    pub(crate) fn totals(&self) -> Totals {
        *self.lock()
    }

    /// Walks all files of the folder.
    pub(crate) fn for_each(
        &self,
        mut work: impl FnMut(&StoredFile) -> Result<(), ConductorError>,
    ) -> Result<(), ConductorError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| ConductorError::io("read", &path)(error)
        };
        for folder in std::fs::read_dir(&self.dir).map_err(failed(&self.dir))? {
            let folder = folder.map_err(failed(&self.dir))?.path();
            if !folder.is_dir() {
                continue;
            }
            for file in std::fs::read_dir(&folder).map_err(failed(&folder))? {
                let file = file.map_err(failed(&folder))?;
                let path = file.path();
                let metadata = match file.metadata() {
                    Ok(metadata) => metadata,
                    // Being written when the folder was read, or removed since.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(failed(&path)(error)),
                };
                let modified = metadata.modified().map_err(failed(&path))?;
                work(&StoredFile { digest: digest_of(&path), bytes: metadata.len(), modified, path })?;
            }
        }
        Ok(())
    }

    /// Removes a file if it is still older than that; says whether it did.
    pub(crate) fn remove_older(&self, file: &StoredFile, than: Duration) -> Result<bool, ConductorError> {
        let mut totals = self.lock();
        if file.digest.is_some_and(|digest| self.has_lately(&digest)) {
            return Ok(false);
        }
        match std::fs::metadata(&file.path).and_then(|metadata| metadata.modified()) {
            Ok(modified) if age(modified) >= than => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(ConductorError::io("read", &file.path)(error)),
        }
        std::fs::remove_file(&file.path).map_err(ConductorError::io("remove", &file.path))?;
        if file.digest.is_some() {
            totals.blobs = totals.blobs.saturating_sub(1);
            totals.bytes = totals.bytes.saturating_sub(file.bytes);
        }
        Ok(true)
    }

    /// Whether the blob was put lately, so that it is there and stays.
    pub(crate) fn has_lately(&self, digest: &Hash) -> bool {
        self.lately.has(digest)
    }

    /// Dates a stored file anew if it is not young. Says whether there is a file.
    fn renew(&self, path: &Path) -> std::io::Result<bool> {
        match std::fs::metadata(path).and_then(|metadata| metadata.modified()) {
            Ok(modified) if age(modified) < RENEW_AFTER => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        let _guard = self.lock();
        match File::options().append(true).open(path) {
            Ok(file) => file.set_modified(SystemTime::now()).map(|()| true),
            // Swept since it was looked at.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn path(&self, digest: &Hash) -> PathBuf {
        let text = digest.to_string();
        let (folder, file) = text.split_at(2);
        self.dir.join(folder).join(file)
    }

    /// Keeps the bytes; durable when this returns. Blocking.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<Hash, JournalError> {
        let digest = Hash::digest(bytes);
        let failed = |message: String| JournalError::Blob { digest: digest.to_string(), message };
        if bytes.len() > MAX_BLOB_BYTES {
            return Err(failed(format!("{} bytes; at most {MAX_BLOB_BYTES} are allowed", bytes.len())));
        }
        if self.has_lately(&digest) {
            return Ok(digest);
        }
        let path = self.path(&digest);
        if self.renew(&path).map_err(|error| failed(chain(&error)))? {
            // A file under its final name was complete and on disk before it got the name. One that a failing disk
            // damaged since is written anew: a put promises that the blob can be read.
            if std::fs::read(&path).is_ok_and(|stored| stored == bytes) {
                self.lately.note(digest);
                return Ok(digest);
            }
            tracing::warn!(blob = %digest, "a stored blob did not match its digest and is written anew");
        }
        let file = write(&self.dir, &path, bytes).map_err(|error| failed(chain(&error)))?;
        let mut totals = self.lock();
        // Two may put the same bytes at once, and a damaged file may be in the way: only what is there after all counts.
        let before = std::fs::metadata(&path).ok().map(|metadata| metadata.len());
        file.persist(&path).map_err(|error| failed(chain(&error.error)))?;
        totals.blobs += u64::from(before.is_none());
        totals.bytes = totals.bytes.saturating_sub(before.unwrap_or(0)) + bytes.len() as u64;
        drop(totals);
        sync_dir(path.parent().unwrap_or(&self.dir)).map_err(|error| failed(chain(&error)))?;
        self.lately.note(digest);
        Ok(digest)
    }

    /// Whether there is a blob of this digest, for a command that names it: it will not be swept before the command is
    /// applied.
    ///
    /// # Errors
    /// When the file system does not say.
    pub(crate) fn hold(&self, digest: &Hash) -> std::io::Result<bool> {
        Ok(self.has_lately(digest) || self.renew(&self.path(digest))?)
    }

    /// A file for a blob whose bytes come bit by bit, and the path that it gets once they are whole. Blocking.
    pub(crate) fn draft(
        &self,
        digest: &[u8; 32],
    ) -> Result<(tempfile::NamedTempFile, PathBuf), ConductorError> {
        let path = self.path(&Hash(*digest));
        let file = draft(&self.dir, &path).map_err(ConductorError::io("create", &path))?;
        Ok((file, path))
    }

    /// Bytes of a blob; none where there is no blob of this digest. Blocking.
    pub(crate) fn size(&self, digest: &Hash) -> Result<Option<u64>, ConductorError> {
        let path = self.path(digest);
        match std::fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ConductorError::io("read", &path)(error)),
        }
    }

    /// Bytes of a blob from an offset on, at most `limit`; not checked, for whoever has all of them does that. Blocking.
    pub(crate) fn piece(&self, digest: &Hash, offset: u64, limit: usize) -> Result<Vec<u8>, JournalError> {
        let failed = |error: std::io::Error| {
            let message = match error.kind() {
                std::io::ErrorKind::NotFound => "it is not stored here".to_owned(),
                _ => error.to_string(),
            };
            JournalError::Blob { digest: digest.to_string(), message }
        };
        let mut file = File::open(self.path(digest)).map_err(failed)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut bytes = Vec::with_capacity(limit);
        file.take(limit as u64).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// Reads the bytes and checks them. Blocking.
    pub(crate) fn get(&self, digest: &str) -> Result<Vec<u8>, JournalError> {
        let failed =
            |message: String| JournalError::Blob { digest: digest.chars().take(80).collect(), message };
        let hash: Hash = digest.parse().map_err(|error| failed(chain(&error)))?;
        let read = self.read(&hash).map_err(failed);
        if read.is_err() {
            // The next put looks, and mends it.
            self.lately.forget(&hash);
        }
        read
    }

    fn read(&self, hash: &Hash) -> Result<Vec<u8>, String> {
        let path = self.path(hash);
        let size = match std::fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err("it is not stored here".to_owned());
            }
            Err(error) => return Err(error.to_string()),
        };
        if size > MAX_BLOB_BYTES as u64 {
            return Err(format!("the stored file has {size} bytes; at most {MAX_BLOB_BYTES} are allowed"));
        }
        let bytes = std::fs::read(&path).map_err(|error| error.to_string())?;
        if Hash::digest(&bytes) != *hash {
            return Err(
                "the stored file does not match the digest; it was changed or the disk is failing".to_owned()
            );
        }
        Ok(bytes)
    }
}

/// A file in the folder of blobs.
#[derive(Debug, Clone)]
pub(crate) struct StoredFile {
    /// None for one that is being written, or that something left in the midst of it.
    pub(crate) digest: Option<Hash>,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
    pub(crate) path: PathBuf,
}

impl StoredFile {
    /// Whether it has not changed for that long, and is ours.
    pub(crate) fn is_older(&self, than: Duration) -> bool {
        let is_draft = self.path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(INCOMING));
        (self.digest.is_some() || is_draft) && age(self.modified) >= than
    }
}

/// Zero for what lies in the future: a clock that was set back makes nothing old.
fn age(modified: SystemTime) -> Duration {
    SystemTime::now().duration_since(modified).unwrap_or_default()
}

fn digest_of(path: &Path) -> Option<Hash> {
    let folder = path.parent()?.file_name()?.to_str()?;
    let file = path.file_name()?.to_str()?;
    format!("{folder}{file}").parse().ok()
}

/// A temporary file beside where it will be.
fn draft(dir: &Path, path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().unwrap_or(dir);
    if !folder.is_dir() {
        std::fs::create_dir_all(folder)?;
        sync_dir(dir)?;
    }
    tempfile::Builder::new().prefix(INCOMING).tempfile_in(folder)
}

/// Temporary file and fsync; the folder's own entry is durable when this returns.
fn write(dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<tempfile::NamedTempFile> {
    let mut file = draft(dir, path)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Makes a folder's new entries durable.
pub(crate) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Blobs) {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path().to_owned()).unwrap();
        (dir, blobs)
    }

    #[test]
    fn a_blob_comes_back_and_a_second_put_changes_nothing() {
        let (dir, blobs) = store();
        let digest = blobs.put(b"abc").unwrap();
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(blobs.put(b"abc").unwrap(), digest);
        assert!(blobs.hold(&digest).unwrap());
        assert!(!blobs.hold(&Hash::digest(b"x")).unwrap());
        assert_eq!(blobs.get(&digest.to_string()).unwrap(), b"abc");
        let files: Vec<_> = std::fs::read_dir(dir.path().join("ba")).unwrap().collect();
        assert_eq!(files.len(), 1, "no temporary file stays: {files:?}");
    }

    #[test]
    fn a_changed_file_is_never_given_out_and_a_put_mends_it() {
        let (dir, blobs) = store();
        let digest = blobs.put(b"abc").unwrap().to_string();
        std::fs::write(dir.path().join(&digest[..2]).join(&digest[2..]), b"abd").unwrap();
        let error = blobs.get(&digest).unwrap_err().to_string();
        assert!(error.contains(&digest) && error.contains("does not match"), "{error}");
        blobs.put(b"abc").unwrap();
        assert_eq!(blobs.get(&digest).unwrap(), b"abc");
    }

    #[test]
    fn what_is_no_digest_or_not_there_is_said() {
        let (_dir, blobs) = store();
        let missing = blobs.get(&Hash::digest(b"x").to_string()).unwrap_err().to_string();
        assert!(missing.contains("not stored here"), "{missing}");
        let wrong = blobs.get("../../etc/passwd").unwrap_err().to_string();
        assert!(wrong.contains("64 lower-case hexadecimal digits"), "{wrong}");
    }
}
