//! Checking a whole exported log, with no server at hand and in O(log n) memory.
//!
//! An export is JSON lines: one canonical entry a line, in order, and last one line with the checkpoint,
//! `{"checkpoint":{"root":"…","size":…}}`.

use serde::{Deserialize, Serialize};

use crate::{Checkpoint, Entry, Frontier, LedgerError};

/// Reads entries one by one and keeps the tree over them.
#[derive(Debug, Clone, Default)]
pub struct Auditor {
    tree: Frontier,
}

impl Auditor {
    /// One that has read nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the next entry.
    ///
    /// # Errors
    /// When the bytes are no canonical entry, or say another position.
    pub fn entry(&mut self, bytes: &[u8]) -> Result<Entry, LedgerError> {
        let entry = Entry::parse(bytes, self.tree.size())?;
        self.tree.append(bytes);
        Ok(entry)
    }

    /// Size and root of what was read so far.
    pub fn checkpoint(&self) -> Checkpoint {
        self.tree.checkpoint()
    }

    /// Compares what was read so far with a checkpoint. A checkpoint noted down earlier can be compared when as many
    /// entries as it has were read: the ledger then had the same beginning.
    ///
    /// # Errors
    /// When size or root differ.
    pub fn compare(&self, expected: &Checkpoint) -> Result<(), LedgerError> {
        let found = self.checkpoint();
        if found.size != expected.size {
            return Err(LedgerError::SizeMismatch { expected: expected.size, found: found.size });
        }
        if found.root != expected.root {
            return Err(LedgerError::RootMismatch {
                size: found.size,
                expected: expected.root,
                found: found.root,
            });
        }
        Ok(())
    }
}

/// The last line of an export.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LastLine {
    checkpoint: Checkpoint,
}

/// The last line of an export, without its newline.
///
/// # Errors
/// When the size is larger than a JSON number can be.
pub fn export_checkpoint_line(checkpoint: &Checkpoint) -> Result<Vec<u8>, LedgerError> {
    crate::canonical_bytes(&LastLine { checkpoint: *checkpoint })
}

/// Checks an export, line by line (without the newlines), and against a checkpoint noted down before where one is given:
/// it may be of an earlier size. Returns the checkpoint of the whole log.
///
/// The export's own checkpoint guards against accidents; only one that came another way guards against a rewritten log.
///
/// # Errors
/// When a line is no canonical entry in its place, the export's checkpoint is missing or not that of the entries, or
/// the noted one does not fit.
pub fn verify_export<I, L>(lines: I, noted: Option<&Checkpoint>) -> Result<Checkpoint, LedgerError>
where
    I: IntoIterator<Item = L>,
    L: AsRef<[u8]>,
{
    let mut auditor = Auditor::new();
    let mut own: Option<Checkpoint> = None;
    let mut compared = false;
    for line in lines {
        if own.is_some() {
            return Err(LedgerError::BadExport { problem: "there are lines after the checkpoint".into() });
        }
        if let Some(noted) = noted
            && noted.size == auditor.tree.size()
        {
            auditor.compare(noted)?;
            compared = true;
        }
        let line = line.as_ref();
        // Canonical entries begin with their first member by name, `body`.
        if line.starts_with(br#"{"checkpoint":"#) {
            let last: LastLine = serde_json::from_slice(line)
                .map_err(|error| LedgerError::BadExport { problem: format!("the checkpoint: {error}") })?;
            own = Some(last.checkpoint);
        } else {
            auditor.entry(line)?;
        }
    }
    let Some(own) = own else {
        return Err(LedgerError::BadExport {
            problem: "the last line, with the checkpoint, is missing".into(),
        });
    };
    auditor.compare(&own)?;
    if let Some(noted) = noted
        && !compared
    {
        auditor.compare(noted)?;
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(size: u64) -> Vec<Vec<u8>> {
        let mut auditor = Auditor::new();
        let mut lines = Vec::new();
        for index in 0..size {
            let entry = Entry {
                v: crate::FORMAT,
                index,
                kind: "k".into(),
                time: crate::rfc3339(index as i64),
                inquiry: format!("q{index}"),
                body: serde_json::Map::new(),
            };
            let bytes = entry.to_bytes().unwrap();
            assert_eq!(auditor.entry(&bytes).unwrap(), entry);
            lines.push(bytes);
        }
        lines.push(export_checkpoint_line(&auditor.checkpoint()).unwrap());
        lines
    }

    fn checkpoint_of(size: u64) -> Checkpoint {
        verify_export(export(size), None).unwrap()
    }

    #[test]
    fn a_whole_export_verifies_also_against_earlier_checkpoints() {
        for size in [0, 1, 2, 7, 20] {
            assert_eq!(checkpoint_of(size).size, size);
            for earlier in 0..=size {
                verify_export(export(size), Some(&checkpoint_of(earlier))).unwrap();
            }
        }
    }

    #[test]
    fn every_kind_of_damage_is_found_and_named() {
        let whole = export(9);
        let damage = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut lines = whole.clone();
            change(&mut lines);
            verify_export(&lines, None).unwrap_err()
        };
        let replaced = |lines: &mut Vec<Vec<u8>>, at: usize, from: &str, to: &str| {
            lines[at] = String::from_utf8(lines[at].clone()).unwrap().replace(from, to).into_bytes();
        };
        assert!(matches!(
            damage(&|lines| replaced(lines, 3, "q3", "q4")),
            LedgerError::RootMismatch { size: 9, .. }
        ));
        assert!(matches!(damage(&|lines| lines.swap(2, 3)), LedgerError::BadEntry { index: 2, .. }));
        assert!(matches!(damage(&|lines| drop(lines.remove(5))), LedgerError::BadEntry { index: 5, .. }));
        assert!(matches!(
            damage(&|lines| drop(lines.remove(8))),
            LedgerError::SizeMismatch { expected: 9, found: 8 }
        ));
        assert!(matches!(damage(&|lines| drop(lines.pop())), LedgerError::BadExport { .. }));
        assert!(matches!(damage(&|lines| lines.push(lines[0].clone())), LedgerError::BadExport { .. }));
        assert!(matches!(
            damage(&|lines| replaced(lines, 4, "{\"body", "{ \"body")),
            LedgerError::BadEntry { index: 4, .. }
        ));
    }

    #[test]
    fn a_rewritten_log_does_not_fit_the_noted_checkpoint() {
        let noted = Checkpoint { size: 4, root: crate::leaf_hash(b"another") };
        assert!(matches!(
            verify_export(export(9), Some(&noted)).unwrap_err(),
            LedgerError::RootMismatch { size: 4, .. }
        ));
        let longer = Checkpoint { size: 10, ..noted };
        assert_eq!(
            verify_export(export(9), Some(&longer)).unwrap_err(),
            LedgerError::SizeMismatch { expected: 10, found: 9 }
        );
    }
}
