//! What can be wrong with a ledger, an entry or a proof.

use crate::Hash;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// A text that should be a hash.
    #[error("`{text}` is not a hash: 64 lower-case hexadecimal digits are needed")]
    HashText {
        /// The start of the text.
        text: String,
    },
    /// A text that should be a checkpoint.
    #[error(
        "not a checkpoint: {problem}; the form is three lines, `inquisitor ledger 1`, the size, the root"
    )]
    CheckpointText {
        /// What is wrong.
        problem: String,
    },
    /// A value has no canonical form.
    #[error("no canonical JSON at `{pointer}`: {problem}")]
    NotCanonical {
        /// JSON Pointer to the value.
        pointer: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// An entry is larger than an entry may be.
    #[error(
        "entry of {bytes} bytes; at most {limit} are allowed, put the data into a blob and its digest here"
    )]
    EntryTooLarge {
        /// Bytes it has.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// An entry of an exported log is not one.
    #[error("entry {index}: {problem}")]
    BadEntry {
        /// Position in the log, from 0.
        index: u64,
        /// What is wrong.
        problem: String,
    },
    /// An exported log ends without its checkpoint, or goes on after it.
    #[error("the export is not whole: {problem}")]
    BadExport {
        /// What is wrong.
        problem: String,
    },
    /// The log has another number of entries than the checkpoint.
    #[error("the log has {found} entries, the checkpoint is of {expected}")]
    SizeMismatch {
        /// Entries of the checkpoint.
        expected: u64,
        /// Entries found.
        found: u64,
    },
    /// The log's root is not the checkpoint's.
    #[error(
        "the root of the {size} entries is {found}, the checkpoint says {expected}: an entry was changed"
    )]
    RootMismatch {
        /// Number of entries.
        size: u64,
        /// Root of the checkpoint.
        expected: Hash,
        /// Root computed.
        found: Hash,
    },
    /// A proof speaks of positions that cannot be.
    #[error("position {position} is outside a ledger of {size} entries")]
    OutOfRange {
        /// The position or smaller size asked for.
        position: u64,
        /// Size of the tree.
        size: u64,
    },
    /// A proof has too few or too many hashes for its positions.
    #[error("the proof has {found} hashes, {expected} belong there")]
    ProofLength {
        /// Hashes that a proof of these positions has.
        expected: usize,
        /// Hashes it has.
        found: usize,
    },
    /// A proof leads to another root.
    #[error("the proof does not hold: it leads to the root {found}, not {expected}")]
    ProofMismatch {
        /// Root of the checkpoint.
        expected: Hash,
        /// Root that the proof leads to.
        found: Hash,
    },
    /// The stored parts of a tree do not belong together.
    #[error("a tree of {size} entries has {expected} complete subtrees, {found} were given")]
    BadFrontier {
        /// Number of entries.
        size: u64,
        /// Subtrees that such a tree has.
        expected: usize,
        /// Subtrees given.
        found: usize,
    },
}
