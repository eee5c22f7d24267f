//! The tree over a log's lines: RFC 6962, section 2.1, with SHA-256.
//!
//! `Frontier` appends in logarithmic time and keeps only the roots of the
//! perfect subtrees. `Tree` keeps every leaf hash, and so can prove that an
//! entry is in a log and that a log is the beginning of a longer one.

use crate::audit::hash::LogHash;

/// The hash of a leaf. RFC 6962 2.1: a leaf's prefix is 0, a node's 1, so
/// that neither can pass for the other.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> LogHash {
    LogHash::of_parts(&[&[0], leaf])
}

/// The hash of a node over its two children.
#[must_use]
pub fn node_hash(left: &LogHash, right: &LogHash) -> LogHash {
    LogHash::of_parts(&[&[1], left.as_bytes(), right.as_bytes()])
}

/// The root of a tree without leaves.
#[must_use]
pub fn empty_root() -> LogHash {
    LogHash::of(&[])
}

/// What appending needs: one root for each perfect subtree, largest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    roots: Vec<LogHash>,
}

impl Frontier {
    /// A tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, roots: Vec::new() }
    }

    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends the leaf whose hash this is.
    pub fn push(&mut self, leaf: LogHash) {
        let mut root = leaf;
        // Each trailing one of the size is a subtree that becomes full now.
        for _ in 0..self.size.trailing_ones() {
            let left = self.roots.pop().expect("one root for each bit of the size");
            root = node_hash(&left, &root);
        }
        self.roots.push(root);
        self.size += 1;
    }

    /// The root of the whole tree.
    #[must_use]
    pub fn root(&self) -> LogHash {
        let mut smallest_first = self.roots.iter().rev();
        let Some(smallest) = smallest_first.next() else { return empty_root() };
        smallest_first.fold(*smallest, |right, left| node_hash(left, &right))
    }
}

/// All leaf hashes of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    leaves: Vec<LogHash>,
}

impl Tree {
    /// A tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self { leaves: Vec::new() }
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// Appends the leaf whose hash this is.
    pub fn push(&mut self, leaf: LogHash) {
        self.leaves.push(leaf);
    }

    /// The root of the first `size` leaves; `None` if there are fewer.
    #[must_use]
    pub fn root_at(&self, size: u64) -> Option<LogHash> {
        let leaves = self.leaves.get(..usize::try_from(size).ok()?)?;
        Some(if leaves.is_empty() { empty_root() } else { root_of(leaves) })
    }

    /// Proves that leaf `index` is in the tree of the first `size` leaves.
    /// RFC 6962 2.1.1. `None` if there is no such leaf or tree.
    #[must_use]
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Option<Vec<LogHash>> {
        let mut leaves = self.leaves.get(..usize::try_from(size).ok()?)?;
        let mut index = usize::try_from(index).ok().filter(|index| *index < leaves.len())?;
        let mut from_root = Vec::new();
        while leaves.len() > 1 {
            let (left, right) = leaves.split_at(split(leaves.len()));
            if index < left.len() {
                from_root.push(root_of(right));
                leaves = left;
            } else {
                from_root.push(root_of(left));
                index -= left.len();
                leaves = right;
            }
        }
        from_root.reverse();
        Some(from_root)
    }

    /// Proves that the first `older` leaves begin the first `newer` ones.
    /// RFC 6962 2.1.2. `None` unless `older` ≤ `newer` ≤ the tree's size.
    #[must_use]
    pub fn consistency_proof(&self, older: u64, newer: u64) -> Option<Vec<LogHash>> {
        let mut leaves = self.leaves.get(..usize::try_from(newer).ok()?)?;
        let mut older = usize::try_from(older).ok().filter(|older| *older <= leaves.len())?;
        let mut from_root = Vec::new();
        if older == 0 || older == leaves.len() {
            return Some(from_root);
        }
        // Whether the old tree still reaches to the left edge of `leaves`: then
        // the verifier knows its root already.
        let mut whole = true;
        while older < leaves.len() {
            let (left, right) = leaves.split_at(split(leaves.len()));
            if older <= left.len() {
                from_root.push(root_of(right));
                leaves = left;
            } else {
                from_root.push(root_of(left));
                older -= left.len();
                leaves = right;
                whole = false;
            }
        }
        if !whole {
            from_root.push(root_of(leaves));
        }
        from_root.reverse();
        Some(from_root)
    }
}

/// The largest power of two smaller than `count`, which is at least 2.
const fn split(count: usize) -> usize {
    1 << (usize::BITS - 1 - (count - 1).leading_zeros())
}

/// The root over at least one leaf. Subtrees are at most 64 deep.
fn root_of(leaves: &[LogHash]) -> LogHash {
    if let [leaf] = leaves {
        return *leaf;
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    node_hash(&root_of(left), &root_of(right))
}

/// A proof that proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proof does not lead from one tree to the other")]
pub struct BadProof;

/// Checks that `leaf` is leaf `index` of the tree with `size` leaves and `root`.
///
/// # Errors
/// [`BadProof`] if `proof` does not show it.
// RFC 9162 2.1.3.2, whose trees are those of RFC 6962.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &LogHash,
    proof: &[LogHash],
    root: &LogHash,
) -> Result<(), BadProof> {
    if index >= size {
        return Err(BadProof);
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(BadProof);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && hash == *root { Ok(()) } else { Err(BadProof) }
}

/// Checks that the tree of `older` leaves begins the tree of `newer` leaves.
///
/// # Errors
/// [`BadProof`] if `proof` does not show it.
// RFC 9162 2.1.4.2; the empty tree begins every tree and needs no proof.
pub fn verify_consistency(
    older: u64,
    newer: u64,
    older_root: &LogHash,
    newer_root: &LogHash,
    proof: &[LogHash],
) -> Result<(), BadProof> {
    let holds = |holds: bool| if holds { Ok(()) } else { Err(BadProof) };
    if older == newer {
        return holds(proof.is_empty() && older_root == newer_root);
    }
    if older == 0 {
        return holds(proof.is_empty() && *older_root == empty_root());
    }
    if older > newer {
        return Err(BadProof);
    }
    // A perfect old tree is itself the first node; the proof leaves it out.
    let (first, rest) = if older.is_power_of_two() {
        (older_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(BadProof)?;
        (first, rest)
    };
    let (mut node, mut last) = (older - 1, newer - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(BadProof);
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    holds(last == 0 && old_hash == *older_root && new_hash == *newer_root)
}

#[cfg(test)]
#[path = "merkle_tests.rs"]
mod tests;
