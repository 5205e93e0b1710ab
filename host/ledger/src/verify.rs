//! Checking proofs. Needs nothing but the proof and the checkpoints; the algorithms are those of RFC 9162, sections
//! 2.1.3.2 and 2.1.4.2, which check proofs of RFC 6962's trees.

use crate::{Checkpoint, Hash, LedgerError, node_hash};

/// Checks that an entry with this leaf hash is at `index` in the ledger of the checkpoint.
///
/// # Errors
/// When the position is outside the ledger, the proof has another length than such a proof has, or it leads to another root.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    proof: &[Hash],
    checkpoint: &Checkpoint,
) -> Result<(), LedgerError> {
    let size = checkpoint.size;
    if index >= size {
        return Err(LedgerError::OutOfRange { position: index, size });
    }
    let expected = inclusion_length(index, size);
    if proof.len() != expected {
        return Err(LedgerError::ProofLength { expected, found: proof.len() });
    }
    let mut node = index;
    let mut last = size - 1;
    let mut root = *leaf;
    for hash in proof {
        if node & 1 == 1 || node == last {
            root = node_hash(hash, &root);
            // Levels on which the right edge has no sibling are skipped.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            root = node_hash(&root, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    same_root(checkpoint.root, root)
}

/// Checks that the ledger of the older checkpoint is the beginning of the newer one's.
///
/// # Errors
/// When the older one is larger, the proof has another length than such a proof has, or it leads to another root.
pub fn verify_consistency(older: &Checkpoint, newer: &Checkpoint, proof: &[Hash]) -> Result<(), LedgerError> {
    if older.size > newer.size {
        return Err(LedgerError::OutOfRange { position: older.size, size: newer.size });
    }
    if older.size == newer.size || older.size == 0 {
        if !proof.is_empty() {
            return Err(LedgerError::ProofLength { expected: 0, found: proof.len() });
        }
        return if older.size == 0 {
            same_root(crate::empty_root(), older.root)
        } else {
            same_root(newer.root, older.root)
        };
    }
    let expected = consistency_length(older.size, newer.size);
    if proof.len() != expected {
        return Err(LedgerError::ProofLength { expected, found: proof.len() });
    }
    let mut hashes = proof.iter().copied();
    // Where the older size is a power of two, its root is itself a node of the newer tree and is left out of the proof.
    let first = if older.size.is_power_of_two() { Some(older.root) } else { hashes.next() };
    let Some(first) = first else {
        return Err(LedgerError::ProofLength { expected, found: proof.len() });
    };
    let mut node = older.size - 1;
    let mut last = newer.size - 1;
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_root, mut new_root) = (first, first);
    for hash in hashes {
        if node & 1 == 1 || node == last {
            old_root = node_hash(&hash, &old_root);
            new_root = node_hash(&hash, &new_root);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_root = node_hash(&new_root, &hash);
        }
        node >>= 1;
        last >>= 1;
    }
    same_root(older.root, old_root)?;
    same_root(newer.root, new_root)
}

fn same_root(expected: Hash, found: Hash) -> Result<(), LedgerError> {
    if expected == found { Ok(()) } else { Err(LedgerError::ProofMismatch { expected, found }) }
}

/// Hashes in the audit path of a leaf: one for each level up to where its path meets the right edge, then one for each
/// subtree to the left of that edge.
fn inclusion_length(index: u64, size: u64) -> usize {
    let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
    // A shift by 64 is not defined; there is no bit left then.
    let border = index.checked_shr(inner).map_or(0, u64::count_ones);
    (inner + border) as usize
}

/// Hashes in a consistency proof of two sizes, `0 < older < newer`.
fn consistency_length(older: u64, newer: u64) -> usize {
    let (mut start, mut len, mut count) = (0_u64, newer, 0_usize);
    while start + len != older {
        let left = 1_u64 << (u64::BITS - 1 - (len - 1).leading_zeros());
        if older <= start + left {
            len = left;
        } else {
            start += left;
            len -= left;
        }
        count += 1;
    }
    count + usize::from(start != 0)
}
