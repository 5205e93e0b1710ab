//! The tar file around a backup, written in one way only.
//!
//! Any program that knows tar can list and unpack it. This one reads it more strictly than tar asks for: a header must be, byte
//! for byte, the one that would be written for its name and size, padding must be zero, and nothing may follow the end. So
//! there is no bit of the file that could change unseen.

use std::io::Read;

use tar::{EntryType, Header};

use crate::error::ConductorError;

/// Headers, padding and the end come in multiples of this.
const BLOCK: u64 = 512;
/// Bytes that end an archive.
pub(crate) const END_BYTES: u64 = 2 * BLOCK;
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// The header of a file.
pub(crate) fn header(name: &str, size: u64, modified: u64) -> Result<[u8; 512], ConductorError> {
    let mut header = Header::new_ustar();
    header.set_path(name).map_err(|error| ConductorError::backup(name, error))?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(modified);
    header.set_size(size);
    header.set_cksum();
    Ok(*header.as_bytes())
}

/// Bytes of zero that follow a file of this size.
pub(crate) fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK) - size
}

/// Bytes that a file of this size takes.
pub(crate) fn entry_bytes(size: u64) -> u64 {
    BLOCK + size + padding(size)
}

/// Reads an archive, file by file.
pub(crate) struct Archive<R> {
    input: R,
    /// The time that all headers have; known from the first.
    modified: Option<u64>,
    /// Bytes read so far.
    position: u64,
}

impl<R: Read> Archive<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, modified: None, position: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Reads the header of the next file, which must be the one of this name, and returns its size.
    pub(crate) fn next(&mut self, name: &str) -> Result<u64, ConductorError> {
        let damaged = |problem: &str| ConductorError::backup(name, problem);
        let mut bytes = [0; 512];
        self.fill(name, &mut bytes)?;
        let read = Header::from_byte_slice(&bytes);
        let is_first = self.modified.is_none();
        let foreign = "what is here was not written as a part of a backup";
        if is_first && read.path_bytes().as_ref() != name.as_bytes() {
            return Err(damaged("the file does not begin as a backup does; is it one, and not compressed?"));
        }
        let size = read.entry_size().map_err(|_| damaged(foreign))?;
        let modified = match self.modified {
            Some(modified) => modified,
            None => read.mtime().map_err(|_| damaged(foreign))?,
        };
        if header(name, size, modified)? != bytes {
            return Err(damaged(match read.path_bytes().as_ref() == name.as_bytes() {
                true => "its header was changed",
                false => "it is missing; something else is in its place",
            }));
        }
        self.modified = Some(modified);
        Ok(size)
    }

    /// Hands on the bytes of the file that [`Self::next`] found, piece by piece, and reads its padding.
    pub(crate) fn pieces(
        &mut self,
        name: &str,
        size: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), ConductorError>,
    ) -> Result<(), ConductorError> {
        let mut buffer = vec![0; PIECE];
        let mut left = size;
        while left > 0 {
            let piece = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            self.fill(name, &mut buffer[..piece])?;
            take(&buffer[..piece])?;
            left -= piece as u64;
        }
        self.padding(name, size)
    }

    /// A reader of the bytes of the file that [`Self::next`] found; [`Self::padding`] must follow once all are read.
    pub(crate) fn body(&mut self, size: u64) -> Body<'_, R> {
        Body { archive: self, left: size }
    }

    /// Reads what follows a file of this size.
    pub(crate) fn padding(&mut self, name: &str, size: u64) -> Result<(), ConductorError> {
        let mut zeros = [0; BLOCK as usize];
        // Less than a block.
        let zeros = &mut zeros[..usize::try_from(padding(size)).unwrap_or(0)];
        self.fill(name, zeros)?;
        match zeros.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(ConductorError::backup(name, "the padding behind it was changed")),
        }
    }

    /// Reads the end, which nothing may follow.
    pub(crate) fn end(&mut self) -> Result<(), ConductorError> {
        let name = "the end of the file";
        let mut zeros = [0; END_BYTES as usize];
        self.fill(name, &mut zeros)?;
        let mut more = [0];
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(ConductorError::backup(name, "it was changed"));
        }
        match self.input.read(&mut more) {
            Ok(0) => Ok(()),
            Ok(_) => Err(ConductorError::backup(name, "something follows it")),
            Err(error) => Err(ConductorError::backup(name, error)),
        }
    }

    fn fill(&mut self, name: &str, buffer: &mut [u8]) -> Result<(), ConductorError> {
        self.input.read_exact(buffer).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                ConductorError::backup(name, "the file ends in the midst of it; it was cut off")
            }
            _ => ConductorError::backup(name, format!("it cannot be read: {error}")),
        })?;
        self.position += buffer.len() as u64;
        Ok(())
    }
}

/// The bytes of one file of an archive.
pub(crate) struct Body<'a, R> {
    archive: &'a mut Archive<R>,
    left: u64,
}

impl<R> Body<'_, R> {
    /// Bytes that were not read yet.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }
}

impl<R: Read> Read for Body<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.archive.input.read(&mut buffer[..most])?;
        self.left -= read as u64;
        self.archive.position += read as u64;
        if read == 0 && most > 0 {
            return Err(std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                "the file ends in the midst of it; it was cut off",
            ));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, content) in files {
            let size = content.len() as u64;
            bytes.extend(header(name, size, 7).unwrap());
            bytes.extend(*content);
            bytes.resize(bytes.len() + padding(size) as usize, 0);
            assert_eq!(bytes.len() as u64 % BLOCK, 0);
        }
        bytes.resize(bytes.len() + END_BYTES as usize, 0);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, ConductorError> {
        let mut archive = Archive::new(bytes);
        let mut files = Vec::new();
        for name in ["a", "b/c"] {
            let size = archive.next(name)?;
            let mut content = Vec::new();
            archive.pieces(name, size, |piece| {
                content.extend_from_slice(piece);
                Ok(())
            })?;
            files.push(content);
        }
        archive.end()?;
        assert_eq!(archive.position(), bytes.len() as u64);
        Ok(files)
    }

    #[test]
    fn what_is_written_is_what_is_read_and_any_tar_reads_it() {
        let files: [(&str, &[u8]); 2] = [("a", b"hello"), ("b/c", &[7; 512])];
        let bytes = archive(&files);
        assert_eq!(read(&bytes).unwrap(), files.map(|(_, content)| content.to_vec()));
        let mut names = Vec::new();
        for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
            names.push(entry.unwrap().path().unwrap().to_string_lossy().into_owned());
        }
        assert_eq!(names, ["a", "b/c"]);
        let sum: u64 = files.iter().map(|(_, content)| entry_bytes(content.len() as u64)).sum();
        assert_eq!(sum + END_BYTES, bytes.len() as u64);
    }

    #[test]
    fn no_bit_outside_of_the_contents_changes_unseen_and_no_byte_is_missing_unseen() {
        let bytes = archive(&[("a", b""), ("b/c", b"")]);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(read(&changed).is_err(), "byte {at}");
            assert!(read(&bytes[..at]).is_err(), "cut at {at}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(read(&longer).unwrap_err().to_string().contains("something follows"));
    }

    #[test]
    fn a_file_of_more_than_eight_gibibytes_has_a_header() {
        let size = 9 << 30;
        let bytes = header("state.snap", size, 7).unwrap();
        assert_eq!(Archive::new(&bytes[..]).next("state.snap").unwrap(), size);
    }
}
