//! The growing tree, of which only the right edge is kept.

use crate::{Checkpoint, Hash, LedgerError, empty_root, leaf_hash, node_hash};

/// A complete subtree: the hash over the leaves `index · 2^level` to `(index + 1) · 2^level − 1`. Once complete it never
/// changes, so it can be stored for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Height over the leaves; 0 is a leaf.
    pub level: u8,
    /// Position among the subtrees of this height, from 0.
    pub index: u64,
    /// The hash.
    pub hash: Hash,
}

/// The tree as far as an appender needs it: at most 64 hashes, one for each complete subtree that a binary one in the
/// size stands for, largest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tree from its stored parts.
    ///
    /// # Errors
    /// When the number of hashes is not that of the binary ones in the size.
    pub fn from_parts(size: u64, peaks: Vec<Hash>) -> Result<Self, LedgerError> {
        let expected = size.count_ones() as usize;
        if peaks.len() != expected {
            return Err(LedgerError::BadFrontier { size, expected, found: peaks.len() });
        }
        Ok(Self { size, peaks })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Hashes of the complete subtrees, largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Adds an entry's bytes as the next leaf and returns the subtrees that it completes, smallest first: the leaf
    /// itself always, on average two. Whoever serves proofs stores them.
    pub fn append(&mut self, entry: &[u8]) -> Vec<Node> {
        self.append_leaf(leaf_hash(entry))
    }

    /// Adds a leaf by its hash; see [`Frontier::append`].
    pub fn append_leaf(&mut self, leaf: Hash) -> Vec<Node> {
        let mut hash = leaf;
        let mut index = self.size;
        let mut completed = vec![Node { level: 0, index, hash }];
        // Each trailing one of the old size is a subtree that the new leaf's side now equals in height.
        let joins = self.size.trailing_ones();
        for level in 1..=joins {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            index >>= 1;
            completed.push(Node { level: level as u8, index, hash });
        }
        self.peaks.push(hash);
        self.size += 1;
        completed
    }

    /// The root: the peaks joined from the smallest up (RFC 6962, section 2.1: a tree of n leaves splits at the largest
    /// power of two below n).
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => empty_root(),
            Some(smallest) => peaks.fold(*smallest, |right, left| node_hash(left, &right)),
        }
    }

    /// Size and root.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { size: self.size, root: self.root() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_hands_out_each_completed_subtree_once() {
        let mut tree = Frontier::new();
        let mut seen = std::collections::BTreeSet::new();
        for leaf in 0..1000_u64 {
            for node in tree.append(&leaf.to_be_bytes()) {
                assert!(seen.insert((node.level, node.index)));
                assert_eq!((node.index + 1) << node.level, leaf + 1);
            }
        }
        for level in 0..10_u8 {
            assert_eq!(seen.iter().filter(|(l, _)| *l == level).count(), 1000 >> level);
        }
        assert_eq!(tree.peaks().len(), 6);
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let mut tree = Frontier::new();
        for leaf in 0..5_u8 {
            tree.append(&[leaf]);
        }
        let again = Frontier::from_parts(tree.size(), tree.peaks().to_vec()).unwrap();
        assert_eq!(again, tree);
        assert_eq!(
            Frontier::from_parts(5, vec![empty_root()]).unwrap_err(),
            LedgerError::BadFrontier { size: 5, expected: 2, found: 1 }
        );
    }
}
