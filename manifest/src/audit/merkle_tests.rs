//! The tree against the vectors of Certificate Transparency.
//!
//! Leaves, roots and proofs are those of google/certificate-transparency,
//! `cpp/merkletree/merkle_tree_test.cc`, as kept today in
//! transparency-dev/merkle, `rfc6962_test.go` and `log_verifier_test.go`.

use super::*;

const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Leaf (from 0), size, proof.
const INCLUSION: [(u64, u64, &[&str]); 5] = [
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
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

/// Older size, newer size, proof.
const CONSISTENCY: [(u64, u64, &[&str]); 5] = [
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
    (
        6,
        7,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
];

fn hash(text: &str) -> LogHash {
    text.parse().unwrap()
}

fn hashes(texts: &[&str]) -> Vec<LogHash> {
    texts.iter().map(|text| hash(text)).collect()
}

fn reference_tree() -> Tree {
    let mut tree = Tree::new();
    for leaf in LEAVES {
        tree.push(leaf_hash(&hex::decode(leaf).unwrap()));
    }
    tree
}

/// A tree of `size` leaves that all differ.
fn counted_tree(size: u64) -> Tree {
    let mut tree = Tree::new();
    for index in 0..size {
        tree.push(leaf_hash(&index.to_be_bytes()));
    }
    tree
}

#[test]
fn leaves_and_nodes_hash_as_certificate_transparency_does() {
    assert_eq!(
        empty_root(),
        hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    );
    assert_eq!(
        leaf_hash(b"L123456"),
        hash("395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56")
    );
    assert_eq!(
        LogHash::of_parts(&[&[1], b"N123", b"N456"]),
        hash("aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb")
    );
}

#[test]
fn roots_are_those_of_certificate_transparency() {
    let tree = reference_tree();
    let mut frontier = Frontier::new();
    assert_eq!(tree.root_at(0), Some(empty_root()));
    assert_eq!(frontier.root(), empty_root());
    for (index, root) in ROOTS.iter().enumerate() {
        frontier.push(tree.leaves[index]);
        assert_eq!(frontier.root(), hash(root), "frontier of {}", index + 1);
        assert_eq!(tree.root_at(index as u64 + 1), Some(hash(root)), "tree of {}", index + 1);
    }
    assert_eq!(tree.root_at(9), None);
}

#[test]
fn proofs_are_those_of_certificate_transparency() {
    let tree = reference_tree();
    for (index, size, proof) in INCLUSION {
        let proof = hashes(proof);
        assert_eq!(tree.inclusion_proof(index, size).as_ref(), Some(&proof), "{index} in {size}");
        let leaf = tree.leaves[usize::try_from(index).unwrap()];
        let root = tree.root_at(size).unwrap();
        assert_eq!(verify_inclusion(index, size, &leaf, &proof, &root), Ok(()));
    }
    for (older, newer, proof) in CONSISTENCY {
        let proof = hashes(proof);
        let found = tree.consistency_proof(older, newer);
        assert_eq!(found.as_ref(), Some(&proof), "{older} to {newer}");
        let (old_root, new_root) = (tree.root_at(older).unwrap(), tree.root_at(newer).unwrap());
        assert_eq!(verify_consistency(older, newer, &old_root, &new_root, &proof), Ok(()));
    }
}

#[test]
fn frontier_and_tree_agree_at_every_size() {
    let tree = counted_tree(200);
    let mut frontier = Frontier::new();
    for (index, leaf) in tree.leaves.iter().enumerate() {
        assert_eq!(Some(frontier.root()), tree.root_at(index as u64));
        frontier.push(*leaf);
    }
}

#[test]
fn every_proof_of_small_trees_holds_and_no_altered_one_does() {
    let tree = counted_tree(17);
    for size in 1..=17 {
        let root = tree.root_at(size).unwrap();
        for index in 0..size {
            let leaf = tree.leaves[usize::try_from(index).unwrap()];
            let proof = tree.inclusion_proof(index, size).unwrap();
            let check = |index, size, leaf: &LogHash, proof: &[LogHash]| {
                verify_inclusion(index, size, leaf, proof, &root)
            };
            assert_eq!(check(index, size, &leaf, &proof), Ok(()));
            assert_eq!(check(index + 1, size, &leaf, &proof), Err(BadProof));
            assert_eq!(check(index, size, &empty_root(), &proof), Err(BadProof));
            for altered in alterations(&proof) {
                assert_eq!(check(index, size, &leaf, &altered), Err(BadProof));
            }
        }
        for older in 1..size {
            let old_root = tree.root_at(older).unwrap();
            let proof = tree.consistency_proof(older, size).unwrap();
            let check = |older, newer, old_root: &LogHash, proof: &[LogHash]| {
                verify_consistency(older, newer, old_root, &root, proof)
            };
            assert_eq!(check(older, size, &old_root, &proof), Ok(()), "{older} to {size}");
            assert_eq!(check(older, size, &empty_root(), &proof), Err(BadProof));
            assert_eq!(check(size, older, &old_root, &proof), Err(BadProof));
            for altered in alterations(&proof) {
                assert_eq!(check(older, size, &old_root, &altered), Err(BadProof));
            }
        }
    }
}

/// The proof cut, lengthened, and with one bit changed in each hash.
fn alterations(proof: &[LogHash]) -> Vec<Vec<LogHash>> {
    let mut altered = vec![[proof, &[empty_root()]].concat(), [&[empty_root()], proof].concat()];
    if let Some((_, rest)) = proof.split_last() {
        altered.push(rest.to_vec());
    }
    for index in 0..proof.len() {
        let mut bytes = *proof[index].as_bytes();
        bytes[index % 32] ^= 16;
        let mut changed = proof.to_vec();
        changed[index] = LogHash::from(bytes);
        altered.push(changed);
    }
    altered
}

#[test]
fn the_empty_tree_begins_every_tree() {
    let tree = counted_tree(5);
    let root = tree.root_at(5).unwrap();
    assert_eq!(tree.consistency_proof(0, 5), Some(Vec::new()));
    assert_eq!(verify_consistency(0, 5, &empty_root(), &root, &[]), Ok(()));
    assert_eq!(verify_consistency(0, 5, &root, &root, &[]), Err(BadProof));
    assert_eq!(verify_consistency(5, 4, &root, &root, &[]), Err(BadProof));
    assert_eq!(verify_inclusion(0, 0, &root, &[], &empty_root()), Err(BadProof));
}
