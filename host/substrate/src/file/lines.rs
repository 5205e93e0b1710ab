//! Input of bounded records: what keeps memory independent of the file.

use std::io::{self, BufRead, BufReader, Read};

use super::{BUFFER_BYTES, MAX_LINE_BYTES};
use crate::batch::SourceError;

/// What a file is read through.
pub(super) type Input = Box<dyn Read + Send>;

/// Lets so many bytes through, until it is allowed more. The csv reader grows its record as long as a quote is open;
/// this is what stops it.
pub(super) struct Limited {
    input: BufReader<Input>,
    left: usize,
}

/// What [`Limited`] says when the bytes are used up.
#[derive(Debug, thiserror::Error)]
#[error("a record is longer than {MAX_LINE_BYTES} bytes")]
pub(super) struct TooLong;

impl Limited {
    /// An input that stands after so many lines of the file.
    pub(super) fn after_lines(input: Input, lines: u64) -> Result<Self, SourceError> {
        let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
        skip_lines(&mut input, lines)?;
        Ok(Self { input, left: 0 })
    }

    /// Allows one more record, beside what the csv reader may hold in its buffer.
    pub(super) fn allow_record(&mut self) {
        self.left = MAX_LINE_BYTES + BUFFER_BYTES;
    }
}

impl Read for Limited {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other(TooLong));
        }
        let most = target.len().min(self.left);
        let read = self.input.read(&mut target[..most])?;
        self.left -= read;
        Ok(read)
    }
}

/// Skips lines of any length without keeping them.
fn skip_lines(input: &mut impl BufRead, lines: u64) -> Result<(), SourceError> {
    for _ in 0..lines {
        if input.skip_until(b'\n').map_err(|error| unavailable(&error))? == 0 {
            break;
        }
    }
    Ok(())
}

/// Reads line by line.
pub(super) struct Lines {
    input: BufReader<Input>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    /// The lines after so many.
    pub(super) fn after(input: Input, lines: u64) -> Result<Self, SourceError> {
        let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
        skip_lines(&mut input, lines)?;
        Ok(Self { input, line: Vec::new(), number: lines })
    }

    /// Goes to the next line; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool, SourceError> {
        self.line.clear();
        let mut bounded = (&mut self.input).take(MAX_LINE_BYTES as u64 + 1);
        let read = bounded.read_until(b'\n', &mut self.line).map_err(|error| unavailable(&error))?;
        self.number += 1;
        if read > MAX_LINE_BYTES {
            return Err(malformed(self.number, format_args!("longer than {MAX_LINE_BYTES} bytes")));
        }
        Ok(read > 0)
    }

    /// The line without its end, and without a byte order mark at the start of the file.
    pub(super) fn line(&self) -> &[u8] {
        let line = if self.number == 1 {
            self.line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&self.line)
        } else {
            &self.line
        };
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// The line's number in the file, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

/// The file cannot be read further now.
pub(super) fn unavailable(error: &io::Error) -> SourceError {
    SourceError::Unavailable(format!("the file cannot be read: {error}"))
}

/// A line is not as declared.
pub(super) fn malformed(line: u64, what: impl std::fmt::Display) -> SourceError {
    SourceError::Malformed(format!("line {line}: {what}"))
}
