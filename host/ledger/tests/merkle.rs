//! The tree and its proofs against published vectors and against a naive implementation written from the RFC's
//! definitions, which shares no code with the crate.

use std::cell::Cell;
use std::collections::HashMap;

use inquisitor_ledger::{
    Checkpoint, Frontier, Hash, NodeReader, ProofError, consistency_proof, inclusion_proof, leaf_hash,
    root_at, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// RFC 6962, 2.1: MTH, word by word.
fn mth(leaves: &[Vec<u8>]) -> [u8; 32] {
    match leaves.len() {
        0 => Sha256::digest([]).into(),
        1 => Sha256::digest([&[0][..], &leaves[0]].concat()).into(),
        n => {
            let k = split(n);
            Sha256::digest([&[1][..], &mth(&leaves[..k]), &mth(&leaves[k..])].concat()).into()
        }
    }
}

/// RFC 6962, 2.1.1: PATH.
fn path(m: usize, leaves: &[Vec<u8>]) -> Vec<[u8; 32]> {
    let n = leaves.len();
    if n == 1 {
        return Vec::new();
    }
    let k = split(n);
    let (mut rest, hash) = if m < k {
        (path(m, &leaves[..k]), mth(&leaves[k..]))
    } else {
        (path(m - k, &leaves[k..]), mth(&leaves[..k]))
    };
    rest.push(hash);
    rest
}

/// RFC 6962, 2.1.2: SUBPROOF.
fn subproof(m: usize, leaves: &[Vec<u8>], known: bool) -> Vec<[u8; 32]> {
    let n = leaves.len();
    if m == n {
        return if known { Vec::new() } else { vec![mth(leaves)] };
    }
    let k = split(n);
    let (mut rest, hash) = if m <= k {
        (subproof(m, &leaves[..k], known), mth(&leaves[k..]))
    } else {
        (subproof(m - k, &leaves[k..], false), mth(&leaves[..k]))
    };
    rest.push(hash);
    rest
}

/// The largest power of two below n.
fn split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

#[derive(Default)]
struct Stored {
    nodes: HashMap<(u8, u64), Hash>,
    reads: Cell<usize>,
}

impl NodeReader for Stored {
    type Error = std::convert::Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Option<Hash>, Self::Error> {
        self.reads.set(self.reads.get() + 1);
        Ok(self.nodes.get(&(level, index)).copied())
    }
}

fn grow(leaves: &[Vec<u8>]) -> (Stored, Vec<Checkpoint>) {
    let mut stored = Stored::default();
    let mut tree = Frontier::new();
    let mut checkpoints = vec![tree.checkpoint()];
    for leaf in leaves {
        for node in tree.append(leaf) {
            stored.nodes.insert((node.level, node.index), node.hash);
        }
        checkpoints.push(tree.checkpoint());
    }
    (stored, checkpoints)
}

fn hashes(raw: &[[u8; 32]]) -> Vec<Hash> {
    raw.iter().map(|bytes| Hash(*bytes)).collect()
}

fn parse(texts: &[&str]) -> Vec<Hash> {
    texts.iter().map(|text| text.parse().expect("a hash")).collect()
}

fn published_leaves() -> Vec<Vec<u8>> {
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
        .iter()
        .map(|text| hex::decode(text).expect("hexadecimal"))
        .collect()
}

#[test]
fn roots_are_the_published_ones() {
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let leaves = published_leaves();
    let (stored, checkpoints) = grow(&leaves);
    for (size, root) in roots.iter().enumerate() {
        assert_eq!(hex::encode(mth(&leaves[..size])), *root, "naive root of {size}");
        assert_eq!(checkpoints[size].root.to_string(), *root, "root of {size}");
        assert_eq!(root_at(&stored, size as u64).unwrap().to_string(), *root);
    }
}

#[test]
fn proofs_are_the_published_ones() {
    let leaves = published_leaves();
    let (stored, _) = grow(&leaves);
    let inclusion: [(u64, u64, &[&str]); 4] = [
        (0, 1, &[]),
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    ];
    for (index, size, proof) in inclusion {
        assert_eq!(
            inclusion_proof(&stored, index, size).unwrap(),
            parse(proof),
            "inclusion {index} in {size}"
        );
    }
    let consistency: [(u64, u64, &[&str]); 4] = [
        (1, 1, &[]),
        (
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            &[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    for (from, to, proof) in consistency {
        assert_eq!(consistency_proof(&stored, from, to).unwrap(), parse(proof), "consistency {from} to {to}");
    }
}

#[test]
fn every_proof_up_to_40_is_the_naive_one_and_verifies() {
    let leaves: Vec<Vec<u8>> = (0..40_u8).map(|leaf| vec![leaf; usize::from(leaf % 5)]).collect();
    let (stored, checkpoints) = grow(&leaves);
    for size in 0..=leaves.len() {
        assert_eq!(checkpoints[size].root.0, mth(&leaves[..size]));
        for index in 0..size {
            let proof = inclusion_proof(&stored, index as u64, size as u64).unwrap();
            assert_eq!(proof, hashes(&path(index, &leaves[..size])));
            verify_inclusion(&leaf_hash(&leaves[index]), index as u64, &proof, &checkpoints[size]).unwrap();
        }
        for from in 0..=size {
            let proof = consistency_proof(&stored, from as u64, size as u64).unwrap();
            if from > 0 {
                assert_eq!(proof, hashes(&subproof(from, &leaves[..size], true)), "{from} to {size}");
            }
            verify_consistency(&checkpoints[from], &checkpoints[size], &proof).unwrap();
        }
    }
}

#[test]
fn proofs_read_a_logarithmic_number_of_hashes() {
    let leaves: Vec<Vec<u8>> = (0..10_007_u32).map(|leaf| leaf.to_be_bytes().to_vec()).collect();
    let (stored, checkpoints) = grow(&leaves);
    // ⌈log2 10007⌉ = 14; one span of a proof may be ragged and read up to 14 itself.
    for position in [0, 1, 4096, 8191, 8192, 9999, 10_006] {
        stored.reads.set(0);
        let proof = inclusion_proof(&stored, position, 10_007).unwrap();
        assert!(stored.reads.get() <= 28, "{} reads", stored.reads.get());
        verify_inclusion(&leaf_hash(&leaves[position as usize]), position, &proof, &checkpoints[10_007])
            .unwrap();
        stored.reads.set(0);
        let proof = consistency_proof(&stored, position + 1, 10_007).unwrap();
        assert!(stored.reads.get() <= 28, "{} reads", stored.reads.get());
        verify_consistency(&checkpoints[position as usize + 1], &checkpoints[10_007], &proof).unwrap();
    }
}

#[test]
fn impossible_positions_and_gaps_are_errors() {
    let (mut stored, checkpoints) = grow(&published_leaves());
    assert!(matches!(inclusion_proof(&stored, 8, 8), Err(ProofError::Ledger(_))));
    assert!(matches!(inclusion_proof(&stored, 0, 0), Err(ProofError::Ledger(_))));
    assert!(matches!(consistency_proof(&stored, 9, 8), Err(ProofError::Ledger(_))));
    assert!(verify_inclusion(&checkpoints[1].root, 8, &[], &checkpoints[8]).is_err());
    assert!(verify_consistency(&checkpoints[8], &checkpoints[7], &[]).is_err());
    // The extremes of the number range neither panic nor verify.
    let huge = Checkpoint { size: u64::MAX, ..checkpoints[8] };
    for index in [0, 1, u64::MAX / 2, u64::MAX - 1] {
        assert!(
            verify_inclusion(&checkpoints[1].root, index, &vec![checkpoints[1].root; 64], &huge).is_err()
        );
    }
    for size in [1, 2, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX - 1] {
        assert!(
            verify_consistency(&Checkpoint { size, ..huge }, &huge, &vec![checkpoints[1].root; 64]).is_err()
        );
    }
    stored.nodes.remove(&(1, 2));
    assert!(matches!(inclusion_proof(&stored, 7, 8), Err(ProofError::Missing { level: 1, index: 2 })));
}

fn leaves_and_two_positions() -> impl Strategy<Value = (Vec<Vec<u8>>, usize, usize)> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 1..200).prop_flat_map(|leaves| {
        let n = leaves.len();
        (Just(leaves), 0..n, 1..=n)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, rng_seed: proptest::test_runner::RngSeed::Fixed(6962), ..ProptestConfig::default() })]

    #[test]
    fn proofs_verify_and_damaged_ones_do_not(
        (leaves, index, from) in leaves_and_two_positions(),
        at in any::<prop::sample::Index>(),
        bit in 0..256_usize,
    ) {
        let (stored, checkpoints) = grow(&leaves);
        let n = leaves.len();
        prop_assert_eq!(checkpoints[n].root.0, mth(&leaves));
        prop_assert_eq!(root_at(&stored, from as u64).unwrap(), checkpoints[from].root);
        let flip = |hash: &mut Hash| hash.0[bit / 8] ^= 1 << (bit % 8);

        let leaf = leaf_hash(&leaves[index]);
        let proof = inclusion_proof(&stored, index as u64, n as u64).unwrap();
        let check = |leaf: &Hash, index: u64, proof: &[Hash], checkpoint: &Checkpoint| {
            verify_inclusion(leaf, index, proof, checkpoint).is_ok()
        };
        prop_assert!(check(&leaf, index as u64, &proof, &checkpoints[n]));
        let mut other = leaf;
        flip(&mut other);
        prop_assert!(!check(&other, index as u64, &proof, &checkpoints[n]));
        let mut other = checkpoints[n];
        flip(&mut other.root);
        prop_assert!(!check(&leaf, index as u64, &proof, &other));
        if !proof.is_empty() {
            let mut other = proof.clone();
            flip(&mut other[at.index(proof.len())]);
            prop_assert!(!check(&leaf, index as u64, &other, &checkpoints[n]));
            prop_assert!(!check(&leaf, index as u64, &proof[1..], &checkpoints[n]));
        }
        let longer = [&proof[..], &[leaf]].concat();
        prop_assert!(!check(&leaf, index as u64, &longer, &checkpoints[n]));
        for wrong in (0..n).filter(|wrong| leaves[*wrong] != leaves[index]) {
            prop_assert!(!check(&leaf, wrong as u64, &proof, &checkpoints[n]), "index {} for {}", wrong, index);
        }

        let proof = consistency_proof(&stored, from as u64, n as u64).unwrap();
        prop_assert!(verify_consistency(&checkpoints[from], &checkpoints[n], &proof).is_ok());
        let mut other = checkpoints[from];
        flip(&mut other.root);
        prop_assert!(verify_consistency(&other, &checkpoints[n], &proof).is_err());
        let mut other = checkpoints[n];
        flip(&mut other.root);
        prop_assert!(verify_consistency(&checkpoints[from], &other, &proof).is_err());
        if !proof.is_empty() {
            let mut other = proof.clone();
            flip(&mut other[at.index(proof.len())]);
            prop_assert!(verify_consistency(&checkpoints[from], &checkpoints[n], &other).is_err());
            prop_assert!(verify_consistency(&checkpoints[from], &checkpoints[n], &proof[1..]).is_err());
        }
        for wrong in (1..=n).filter(|wrong| *wrong != from) {
            let claimed = Checkpoint { size: wrong as u64, ..checkpoints[from] };
            prop_assert!(verify_consistency(&claimed, &checkpoints[n], &proof).is_err(), "size {} for {}", wrong, from);
        }
    }
}
