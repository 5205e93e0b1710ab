//! Making proofs from stored subtree hashes, in O(log n) reads.

use crate::{Hash, LedgerError, empty_root, node_hash};

/// Where the hashes of complete subtrees lie; what [`crate::Frontier::append`] handed out, by level and index.
pub trait NodeReader {
    /// Why a read failed.
    type Error;

    /// The hash of the complete subtree, or none where it is not stored.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn node(&self, level: u8, index: u64) -> Result<Option<Hash>, Self::Error>;
}

/// Why a proof could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProofError<E> {
    /// The positions cannot be.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A subtree that a ledger of this size has is not in the store.
    #[error("the hash of the ledger's subtree {index} at level {level} is missing from the store")]
    Missing {
        /// Height over the leaves.
        level: u8,
        /// Position among the subtrees of this height.
        index: u64,
    },
    /// The store cannot be read.
    #[error("the ledger's hashes cannot be read")]
    Store(#[source] E),
}

/// A range of leaves that starts at a multiple of its own largest subtree.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    len: u64,
}

impl Span {
    /// The halves after RFC 6962: the left one has the largest power of two below the length. The length is at least 2.
    fn split(self) -> (Self, Self) {
        let left = 1_u64 << (u64::BITS - 1 - (self.len - 1).leading_zeros());
        (Self { start: self.start, len: left }, Self { start: self.start + left, len: self.len - left })
    }
}

/// The hash over a span: one read where it is a complete subtree, else one for each complete subtree in it.
fn span_hash<N: NodeReader>(nodes: &N, span: Span) -> Result<Hash, ProofError<N::Error>> {
    let mut lefts = Vec::new();
    let mut rest = span;
    while !rest.len.is_power_of_two() {
        let (left, right) = rest.split();
        lefts.push(complete_hash(nodes, left)?);
        rest = right;
    }
    let last = complete_hash(nodes, rest)?;
    Ok(lefts.iter().rev().fold(last, |right, left| node_hash(left, &right)))
}

fn complete_hash<N: NodeReader>(nodes: &N, span: Span) -> Result<Hash, ProofError<N::Error>> {
    let level = span.len.trailing_zeros() as u8;
    let index = span.start >> level;
    nodes.node(level, index).map_err(ProofError::Store)?.ok_or(ProofError::Missing { level, index })
}

/// The root that the ledger had at a size.
///
/// # Errors
/// When a hash is missing or cannot be read.
pub fn root_at<N: NodeReader>(nodes: &N, size: u64) -> Result<Hash, ProofError<N::Error>> {
    if size == 0 { Ok(empty_root()) } else { span_hash(nodes, Span { start: 0, len: size }) }
}

/// The audit path of the entry at `index` in the ledger of `size` entries: the hashes that lead from its leaf to the root,
/// lowest first (RFC 6962, section 2.1.1).
///
/// # Errors
/// When `index` is not below `size`, or a hash is missing or cannot be read.
pub fn inclusion_proof<N: NodeReader>(
    nodes: &N,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, ProofError<N::Error>> {
    if index >= size {
        return Err(LedgerError::OutOfRange { position: index, size }.into());
    }
    let mut path = Vec::new();
    let mut span = Span { start: 0, len: size };
    while span.len > 1 {
        let (left, right) = span.split();
        if index < right.start {
            path.push(span_hash(nodes, right)?);
            span = left;
        } else {
            path.push(span_hash(nodes, left)?);
            span = right;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the ledger of `from` entries is the beginning of the one of `to` entries (RFC 6962, section 2.1.2). Empty
/// where the sizes are equal or `from` is 0: there is nothing to prove then.
///
/// # Errors
/// When `from` is larger than `to`, or a hash is missing or cannot be read.
pub fn consistency_proof<N: NodeReader>(
    nodes: &N,
    from: u64,
    to: u64,
) -> Result<Vec<Hash>, ProofError<N::Error>> {
    if from > to {
        return Err(LedgerError::OutOfRange { position: from, size: to }.into());
    }
    if from == 0 || from == to {
        return Ok(Vec::new());
    }
    let mut path = Vec::new();
    let mut span = Span { start: 0, len: to };
    // The old tree's part of the span; once the span starts right of zero, the verifier no longer knows its hash.
    while span.start + span.len != from {
        let (left, right) = span.split();
        if from <= right.start {
            path.push(span_hash(nodes, right)?);
            span = left;
        } else {
            path.push(span_hash(nodes, left)?);
            span = right;
        }
    }
    if span.start != 0 {
        path.push(span_hash(nodes, span)?);
    }
    path.reverse();
    Ok(path)
}
