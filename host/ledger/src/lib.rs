//! The ledger: an append-only Merkle log after RFC 6962, whose entries anyone can check with no server at hand.
//!
//! What it is: hashes, the canonical bytes of entries, a tree that grows in O(log n) memory, proofs of inclusion and of
//! consistency, their verification, and the audit of a whole exported log. What it is not: a store. It does no I/O and
//! reads no clock; whoever keeps the log stores the entries and the subtree hashes ([`Node`]) that
//! [`Frontier::append`] hands out, and gives them back through [`NodeReader`].
//!
//! # Format
//! - An entry is a JSON object ([`Entry`]); its bytes are the canonical form of RFC 8785 (JCS). Canonical JSON because
//!   the verifier may be written in any language: members sorted, one spelling of every number and string, so the bytes
//!   can be made again from the parsed value, and what a person reads is what was hashed.
//! - JCS numbers are IEEE 754 doubles. An integer beyond ±(2^53 − 1) would be rounded by a verifier that parses numbers
//!   as doubles, JavaScript for one, so such integers are refused: write them as decimal strings. Times are
//!   nanosecond-exact and go in as RFC 3339 strings ([`rfc3339`]).
//! - Leaf hash `SHA-256(0x00 ‖ bytes)`, node hash `SHA-256(0x01 ‖ left ‖ right)`, empty tree `SHA-256("")`. The prefixes
//!   keep a leaf from passing as a node.
//! - A [`Checkpoint`] is the pair of size and root, the one thing a third party has to have noted down.
//!
//! Start reading at [`Frontier`], then [`inclusion_proof`] and [`verify_inclusion`], then [`Auditor`].

mod audit;
mod canonical;
mod checkpoint;
mod entry;
mod error;
mod frontier;
mod hash;
mod proof;
mod verify;

pub use audit::{Auditor, export_checkpoint_line, verify_export};
pub use canonical::{MAX_ENTRY_BYTES, MAX_SAFE_INTEGER, canonical_bytes, rfc3339};
pub use checkpoint::Checkpoint;
pub use entry::{Entry, FORMAT};
pub use error::LedgerError;
pub use frontier::{Frontier, Node};
pub use hash::{Hash, empty_root, leaf_hash, node_hash};
pub use proof::{NodeReader, ProofError, consistency_proof, inclusion_proof, root_at};
pub use verify::{verify_consistency, verify_inclusion};
