//! Checking the proofs that a host gives, with nothing but the document and perhaps a checkpoint that was noted. Pure.

use inquisitor_ledger::{
    Checkpoint, Entry, Hash, LedgerError, canonical_bytes, leaf_hash, verify_consistency, verify_inclusion,
};
use inquisitor_server::api::ledger::{ConsistencyProof, InclusionProof};
use serde_json::{Value, json};

use super::Verified;

/// Why a proof does not hold.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProofError {
    #[error("it is not such a proof: {0}")]
    Document(serde_json::Error),
    #[error("`{0}` is not a hash")]
    Hash(String),
    #[error("the entry in it does not have the hash that is proved")]
    OtherEntry,
    #[error("the entry in it says that its index is {found}, and the proof is about {expected}")]
    OtherIndex { expected: u64, found: u64 },
    #[error("it is about {}, and the checkpoint that was noted is {}", of(.found), of(.noted))]
    OtherLedger { noted: Checkpoint, found: Checkpoint },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Check that an entry is in the ledger.
pub(super) fn inclusion(text: &str, noted: Option<&Checkpoint>) -> Result<Verified, ProofError> {
    let proof: InclusionProof = serde_json::from_str(text).map_err(ProofError::Document)?;
    let checkpoint = Checkpoint { size: proof.size, root: hash(&proof.root)? };
    compare(&checkpoint, noted)?;
    let leaf = hash(&proof.leaf_hash)?;
    if let Some(entry) = &proof.entry {
        let bytes = canonical_bytes(entry)?;
        if leaf_hash(&bytes) != leaf {
            return Err(ProofError::OtherEntry);
        }
        let found = entry.get("index").and_then(Value::as_u64);
        if let Some(found) = found.filter(|found| *found != proof.index) {
            return Err(ProofError::OtherIndex { expected: proof.index, found });
        }
        Entry::parse(&bytes, proof.index)?;
    }
    verify_inclusion(&leaf, proof.index, &hashes(&proof.proof)?, &checkpoint)?;
    let what = if proof.entry.is_some() { "entry" } else { "an entry with this hash, at index" };
    Ok(Verified {
        text: format!("valid: {what} {} is in the ledger of {}", proof.index, of(&checkpoint)),
        document: json!({ "valid": true, "index": proof.index, "checkpoint": checkpoint }),
    })
}

/// Check that a ledger only grew. The checkpoint that was noted may be the earlier or the later one.
pub(super) fn consistency(text: &str, noted: Option<&Checkpoint>) -> Result<Verified, ProofError> {
    let proof: ConsistencyProof = serde_json::from_str(text).map_err(ProofError::Document)?;
    let older = Checkpoint { size: proof.from, root: hash(&proof.from_root)? };
    let newer = Checkpoint { size: proof.to, root: hash(&proof.to_root)? };
    let known = if noted.is_some_and(|noted| noted.size == older.size) { &older } else { &newer };
    compare(known, noted)?;
    verify_consistency(&older, &newer, &hashes(&proof.proof)?)?;
    Ok(Verified {
        text: format!("valid: the ledger of {} is the beginning of that of {}", of(&older), of(&newer)),
        document: json!({ "valid": true, "from": older, "to": newer }),
    })
}

fn of(checkpoint: &Checkpoint) -> String {
    format!("{} entries with root {}", checkpoint.size, checkpoint.root)
}

fn compare(found: &Checkpoint, noted: Option<&Checkpoint>) -> Result<(), ProofError> {
    match noted {
        Some(noted) if noted != found => Err(ProofError::OtherLedger { noted: *noted, found: *found }),
        _ => Ok(()),
    }
}

fn hash(text: &str) -> Result<Hash, ProofError> {
    text.parse().map_err(|_| ProofError::Hash(text.to_owned()))
}

fn hashes(texts: &[String]) -> Result<Vec<Hash>, ProofError> {
    texts.iter().map(|text| hash(text)).collect()
}

#[cfg(test)]
mod tests {
    use inquisitor_ledger::{Frontier, node_hash};

    use super::*;

    fn entry(index: u64) -> Value {
        json!({ "v": 1, "index": index, "kind": "test", "time": "2026-11-24T00:00:00Z", "inquiry": "", "body": {} })
    }

    fn leaf(index: u64) -> Hash {
        leaf_hash(&canonical_bytes(&entry(index)).unwrap())
    }

    fn ledger(size: u64) -> Checkpoint {
        let mut frontier = Frontier::new();
        for index in 0..size {
            frontier.append_leaf(leaf(index));
        }
        frontier.checkpoint()
    }

    /// Of entry 1 in the ledger of three: the sibling, then the lone third leaf.
    fn proof() -> Value {
        let root = ledger(3).root;
        assert_eq!(root, node_hash(&node_hash(&leaf(0), &leaf(1)), &leaf(2)));
        json!({
            "index": 1, "size": 3, "root": root.to_string(), "leaf_hash": leaf(1).to_string(), "entry": entry(1),
            "proof": [leaf(0).to_string(), leaf(2).to_string()],
        })
    }

    fn refused(change: impl FnOnce(&mut Value)) -> String {
        let mut proof = proof();
        change(&mut proof);
        inclusion(&proof.to_string(), None).err().unwrap().to_string()
    }

    #[test]
    fn a_proof_of_an_entry_holds_and_a_changed_one_does_not() {
        assert!(inclusion(&proof().to_string(), Some(&ledger(3))).is_ok());
        assert!(refused(|proof| proof["entry"]["kind"] = json!("forged")).contains("does not have the hash"));
        assert!(refused(|proof| proof["root"] = proof["leaf_hash"].clone()).contains("root"));
        assert!(refused(|proof| proof["proof"] = json!([])).contains("proof"));
        assert!(refused(|proof| proof["proof"][0] = json!("abc")).contains("`abc` is not a hash"));
        assert!(refused(|proof| proof["index"] = json!(0)).contains("says that its index is 1"));
        assert!(inclusion("{}", None).err().unwrap().to_string().starts_with("it is not such a proof"));
    }

    #[test]
    fn a_proof_for_another_ledger_than_the_noted_one_is_refused() {
        let error = inclusion(&proof().to_string(), Some(&ledger(4))).err().unwrap().to_string();
        assert!(error.contains("the checkpoint that was noted is 4 entries"), "{error}");
    }

    #[test]
    fn a_proof_of_growth_is_held_against_either_checkpoint() {
        let proof = json!({
            "from": 2, "from_root": ledger(2).root.to_string(), "to": 3, "to_root": ledger(3).root.to_string(),
            "proof": [leaf(2).to_string()],
        })
        .to_string();
        for noted in [None, Some(ledger(2)), Some(ledger(3))] {
            assert!(consistency(&proof, noted.as_ref()).is_ok());
        }
        assert!(consistency(&proof, Some(&ledger(4))).is_err());
    }
}
