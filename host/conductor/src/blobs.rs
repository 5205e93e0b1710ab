//! Content-addressed files: what is too large for the log, under the name of its SHA-256.
//!
//! `blobs/ab/cdef…` holds the bytes whose digest is `abcdef…`. A blob never changes, so writing one twice is writing it
//! once. This type is the seam for other places: an object store or a peer answers the same two questions by digest, and
//! whatever it answers is checked the same way.

use std::io::Write;
use std::path::{Path, PathBuf};

use inquisitor_engine::journal::JournalError;
use inquisitor_ledger::Hash;

use crate::error::chain;

/// Bytes of one blob. The largest are components and columnar readings; more is a mistake, and reading takes this much
/// memory at once.
pub const MAX_BLOB_BYTES: usize = 256 << 20;

/// Blobs on the local disk.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    dir: PathBuf,
}

impl Blobs {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
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
        let path = self.path(&digest);
        if path.exists() {
            // A file under its final name was complete and on disk before it got the name. One that a failing disk
            // damaged since is written anew: a put promises that the blob can be read.
            if std::fs::read(&path).is_ok_and(|stored| stored == bytes) {
                return Ok(digest);
            }
            tracing::warn!(blob = %digest, "a stored blob did not match its digest and is written anew");
        }
        write(&self.dir, &path, bytes).map_err(|error| failed(chain(&error)))?;
        Ok(digest)
    }

    /// Whether there is a blob of this digest.
    pub(crate) fn has(&self, digest: &Hash) -> bool {
        self.path(digest).is_file()
    }

    /// Reads the bytes and checks them. Blocking.
    pub(crate) fn get(&self, digest: &str) -> Result<Vec<u8>, JournalError> {
        let failed =
            |message: String| JournalError::Blob { digest: digest.chars().take(80).collect(), message };
        let hash: Hash = digest.parse().map_err(|error| failed(chain(&error)))?;
        let path = self.path(&hash);
        let size = match std::fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(failed("it is not stored here".into()));
            }
            Err(error) => return Err(failed(error.to_string())),
        };
        if size > MAX_BLOB_BYTES as u64 {
            return Err(failed(format!(
                "the stored file has {size} bytes; at most {MAX_BLOB_BYTES} are allowed"
            )));
        }
        let bytes = std::fs::read(&path).map_err(|error| failed(error.to_string()))?;
        if Hash::digest(&bytes) != hash {
            return Err(failed(
                "the stored file does not match the digest; it was changed or the disk is failing".into(),
            ));
        }
        Ok(bytes)
    }
}

/// Temporary file, fsync, rename, fsync of the folders whose entries are new.
fn write(dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(dir);
    if !folder.is_dir() {
        std::fs::create_dir_all(folder)?;
        sync_dir(dir)?;
    }
    let mut file = tempfile::Builder::new().prefix(".incoming-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_dir(folder)
}

/// Makes a folder's new entries durable.
pub(crate) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Blobs) {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(dir.path().to_owned());
        (dir, blobs)
    }

    #[test]
    fn a_blob_comes_back_and_a_second_put_changes_nothing() {
        let (dir, blobs) = store();
        let digest = blobs.put(b"abc").unwrap();
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(blobs.put(b"abc").unwrap(), digest);
        assert!(blobs.has(&digest));
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
